/* swav.c: swapping assignments between views (Caron et al. 2020, section 3): each of the first two views is
 * assigned to prototypes, evenly over the batch, and every other view is to say which.
 *
 *     S_v = Z_v P^T: the scores of view v's embeddings with the prototypes, both of unit length
 *     Q_c = the even assignment of view c, for c = 1, 2 (kernels/op/sinkhorn.h); no gradient goes through it
 *     L = mean over c, over the views v != c and over the samples of  -sum_k Q_c log softmax(S_v / T)
 *
 * Where a batch is smaller than there are prototypes, no even assignment exists. So the embeddings of the
 * last steps stand beside it in a queue for each c, once that is full and `queue_from` is over. The views
 * after the first two may be smaller and many (multi-crop), and are not assigned. All views go through the
 * projector together. */
#include <math.h>
#include <stdio.h>

#include "trainer/graph/build.h"
#include "trainer/method.h"

typedef struct {
    double temperature, epsilon, queue_from, frozen;
    int iterations, prototypes, queue;
} swav_keys;

static const sb_key keys[] = {
    SB_KEY_REAL(swav_keys, temperature, "0.1", 0.001, 100, "of the softmax over the prototypes"),
    SB_KEY_REAL(swav_keys, epsilon, "0.05", 0.001, 100, "how soft an assignment is"),
    SB_KEY_INT(swav_keys, iterations, "3", 1, 1000, "of the assignment"),
    SB_KEY_INT(swav_keys, prototypes, "3000", 2, 1 << 20,
               "at most as many as batch and queue together; ten times the classes that are expected"),
    SB_KEY_INT(swav_keys, queue, "3840", 0, 1 << 20,
               "earlier embeddings that are assigned beside the batch, down to a multiple of it"),
    SB_KEY_REAL(swav_keys, queue_from, "0.075", 0, 1, "share of the steps after which the queue is used"),
    SB_KEY_REAL(swav_keys, frozen, "0.005", 0, 1,
                "share of the steps in which the prototypes stay as they began"),
};

static int queue_rows(const sb_method *m)
{
    const swav_keys *k = m->keys;
    return sb_queue_rows(m, k->queue);
}

/* How many rows of the queue count in this step: none, or all. */
static double used(const sb_method *m, int64_t step, int64_t steps)
{
    const swav_keys *k = m->keys;
    bool late = (double)step >= k->queue_from * (double)steps, full = step >= queue_rows(m) / m->samples;
    return late && full ? queue_rows(m) : 0;
}

static sb_t prototypes(sb_method *m, sb_t z)
{
    const swav_keys *k = m->keys;
    return sb_prototypes(m, z, k->prototypes, (int64_t)ceil(k->frozen * (double)m->steps));
}

/* The assignment of view c: [samples, prototypes]. */
static sb_t assign(sb_method *m, sb_t z, sb_t scores, int c)
{
    const swav_keys *k = m->keys;
    sb_graph *g = m->graph;
    sb_t earlier = SB_NONE, count = SB_NONE;
    if (queue_rows(m) > 0) {
        char name[32];
        snprintf(name, sizeof name, "queue.%d", c);
        sb_t queue = sb_queue(m, name, queue_rows(m), sb_shape_of(g, z).c);
        if (sb_push(m, queue, sb_view_rows(m, z, c)) < 0)
            return SB_FAILED;
        earlier = sb_stop(prototypes(m, queue));
        count = sb_number(m, used);
    }
    return sb_sinkhorn(g, sb_view_rows(m, sb_stop(scores), c), earlier, count, .epsilon = (float)k->epsilon,
                       .iterations = k->iterations);
}

static sb_t build(sb_method *m)
{
    const swav_keys *k = m->keys;
    sb_graph *g = m->graph;
    const int others = (m->views - 1) * m->samples;
    sb_t z = sb_unit_rows(g, sb_embeddings(m)), scores = prototypes(m, z), loss[2];
    for (int c = 0; c < 2; c++) {
        sb_t codes = assign(m, z, scores, c);
        sb_t said = sb_rows(g, scores, .first = (c + 1) % m->views * m->samples, .count = others);
        sb_t wanted = sb_rows(g, codes, .first = 0, .count = others); /* the same for each view */
        loss[c] = sb_mean(g, sb_cross_entropy(g, said, wanted, .temperature = (float)k->temperature));
    }
    return sb_combine(g, loss[0], loss[1], .alpha = 0.5f, .beta = 0.5f);
}

/* The learning rate is the paper's for batches of 256; it is scaled to the batch. */
static const char *const defaults[] = {
    "projector.layers=2", "projector.hidden=2048", "projector.out=128",           "projector.last=bias",
    "optimiser.lr=0.6",   "optimiser.name=lars",   "optimiser.weight_decay=1e-6", NULL
};

const sb_method_kind sb_method_swav = {
    .name = "swav",
    .summary = "each view says to which prototype the other was assigned, evenly over batch and queue",
    .paper = "Caron et al. 2020, arXiv 2006.09882",
    .works_from = 256,
    .evidence = "72.7 at 256 against 73.9 at 4096, ImageNet linear, 200 epochs, 2 + 6 crops (README of "
                "facebookresearch/swav)",
    .even = true,
    .keys = SB_KEY_TABLE("method", "swav", swav_keys, keys),
    .defaults = defaults,
    .views_least = 2,
    .views_most = SB_VIEWS_MAX,
    .samples_least = 2,
    .build = build
};
