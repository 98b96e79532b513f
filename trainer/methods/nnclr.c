/* nnclr.c: nearest-neighbour contrastive learning (Dwibedi et al. 2021, section 3): what is to be found is
 * not the other view of an image, but the embedding of an earlier image that is most like it.
 *
 *     z_v: the projector's output for view v, p_v = predictor(z_v), both of unit length
 *     n_v = the row of the queue with the largest <z_v, n>, without a gradient
 *     L = 1/2 (C(n_1, p_2) + C(n_2, p_1));   the oldest rows of the queue <- z_1
 *     C(n, p) = mean over the samples of  log sum_j exp(<n_i, p_j> / T) - <n_i, p_i> / T
 *
 * With `denominator: dcl` the sum is over j != i (Yeh et al. 2022): then the gradient does not die where
 * negatives are few. They are the batch's: NNCLR alone is no method for small batches. Only rows that a step
 * has pushed are neighbours; in a run's first step there are none, and n_v is z_v itself. */
#include <math.h>

#include "proto/error.h"
#include "trainer/graph/build.h"
#include "trainer/method.h"

typedef struct {
    double temperature;
    int hidden, queue;
    enum { NNCLR, DCL } denominator;
} nnclr_keys;

static const sb_key keys[] = {
    SB_KEY_REAL(nnclr_keys, temperature, "0.2", 0.001, 100, "of the softmax over similarities"),
    SB_KEY_INT(nnclr_keys, queue, "65536", 1, 1 << 20,
               "earlier embeddings that may be neighbours, down to a multiple of the batch"),
    SB_KEY_CHOICE(nnclr_keys, denominator, "nnclr", "nnclr|dcl",
                  "dcl: without the positive, so that few negatives suffice"),
    SB_KEY_INT(nnclr_keys, hidden, "4096", 1, 65536, "width of the predictor's hidden layer"),
};

static int queue_rows(const sb_method *m)
{
    const nnclr_keys *k = m->keys;
    return sb_queue_rows(m, k->queue);
}

static double filled(const sb_method *m, int64_t step, int64_t steps)
{
    (void)steps;
    return sb_queue_filled(m, queue_rows(m), step);
}

/* The predictions of one view, of unit length. */
static sb_t predict(sb_method *m, int view)
{
    const nnclr_keys *k = m->keys;
    sb_t z = sb_embedding(m, view);
    const sb_mlp_how how = {
        .layers = 2, .hidden = k->hidden, .out = sb_shape_of(m->graph, z).c, .last = SB_LAST_PLAIN
    };
    return sb_unit_rows(m->graph, sb_head(m, z, "predictor", &how));
}

/* C of neighbours and predictions, of each sample: [samples, 1]. */
static sb_t error(sb_method *m, sb_t nearest, sb_t p, sb_t places)
{
    const nnclr_keys *k = m->keys;
    sb_graph *g = m->graph;
    const float T = (float)k->temperature;
    const bool with_positive = k->denominator == NNCLR;
    sb_t products = sb_product(g, nearest, p, .form = SB_PRODUCT_COLUMNS, .scale = 1);
    sb_t negatives = sb_logsumexp(g, products, SB_NONE, places, .temperature = T, .diagonal = true,
                                  .empty = with_positive ? -INFINITY : 0);
    sb_t less = sb_combine(g, negatives, sb_row_dot(g, nearest, p), .alpha = 1, .beta = -1 / T);
    return with_positive ? sb_softplus(g, less) : less;
}

static sb_t build(sb_method *m)
{
    const nnclr_keys *k = m->keys;
    sb_graph *g = m->graph;
    if (queue_rows(m) == 0)
        return sb_fail("method.queue = %d is less than a batch of %d: there would never be a neighbour",
                       k->queue, m->samples);
    sb_t z[2], p[2];
    for (int v = 0; v < 2; v++) {
        z[v] = sb_unit_rows(g, sb_stop(sb_embedding(m, v)));
        p[v] = predict(m, v);
    }
    sb_t queue = sb_queue(m, "queue", queue_rows(m), sb_shape_of(g, z[0]).c), count = sb_number(m, filled);
    sb_t places = sb_places(m);
    if (sb_push(m, queue, z[0]) < 0)
        return SB_FAILED;
    sb_t first = error(m, sb_nearest_row(g, z[0], queue, count), p[1], places);
    sb_t second = error(m, sb_nearest_row(g, z[1], queue, count), p[0], places);
    return sb_mean(g, sb_combine(g, first, second, .alpha = 0.5f, .beta = 0.5f));
}

static const char *const defaults[] = {
    "projector.layers=3",  "projector.hidden=2048",       "projector.out=256",
    "projector.last=norm", "projector.views=apart",       "optimiser.name=lars",
    "optimiser.lr=0.4",    "optimiser.weight_decay=1e-5", NULL
};

const sb_method_kind sb_method_nnclr = {
    .name = "nnclr",
    .summary = "the nearest of a queue of earlier embeddings finds the other view's prediction in the batch",
    .paper = "Dwibedi et al. 2021, arXiv 2104.14548",
    .works_from = 128,
    .evidence = "83.4 at 128, CIFAR-10 kNN, 200 epochs (lightly)",
    .negatives = SB_NEGATIVES_OF_OTHER_VIEW,
    .keys = SB_KEY_TABLE("method", "nnclr", nnclr_keys, keys),
    .defaults = defaults,
    .views_least = 2,
    .views_most = 2,
    .samples_least = 2,
    .build = build
};
