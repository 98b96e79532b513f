/* barlow.c: Barlow Twins (Zbontar et al. 2021, section 3): the correlation of the embeddings' columns between
 * two views is to be the identity. There are no negatives, and no network but the trained one.
 *
 *     A, B: the embeddings of the views, each column with mean 0 and of length 1 over the batch
 *     C = A^T B
 *     L = sum over k of (C_kk - 1)^2 + lambda times the sum over k, l, k != l of C_kl^2
 *
 * As in the released code each view goes through the projector alone, and vectors (biases, the weights of
 * norms) have a learning rate of their own. A batch smaller than the embedding is wide leaves a floor of
 * about lambda width^2 / batch in the loss: C has no full rank. With a queue, the embeddings of the last
 * steps stand beside the batch in both views: columns have mean 0 and length 1 over all of them, and C is of
 * all of them, while the gradient goes to the batch alone. A queue counts by the rows that it has so far. */
#include <stdio.h>

#include "trainer/graph/build.h"
#include "trainer/method.h"

typedef struct {
    double lambda, vector_rate;
    int queue;
} barlow_keys;

static const sb_key keys[] = {
    SB_KEY_REAL(barlow_keys, lambda, "0.0051", 0, 1000, "weight of the correlations off the diagonal"),
    SB_KEY_REAL(barlow_keys, vector_rate, "0.024", 0, 1000,
                "learning rate of biases and norms, as a share of the matrices'"),
    SB_KEY_INT(barlow_keys, queue, "0", 0, 1 << 20,
               "earlier embeddings that stand beside the batch, down to a multiple of it; 0: none"),
};

static int queue_rows(const sb_method *m)
{
    const barlow_keys *k = m->keys;
    return sb_queue_rows(m, k->queue);
}

/* How many rows of the queue there are. */
static double filled(const sb_method *m, int64_t step, int64_t steps)
{
    (void)steps;
    return sb_queue_filled(m, queue_rows(m), step);
}

/* The columns of one view, over batch and queue. */
static sb_t columns(sb_method *m, int view, sb_t count)
{
    sb_graph *g = m->graph;
    sb_t z = sb_embedding(m, view), earlier = SB_NONE;
    if (queue_rows(m) > 0) {
        char name[32];
        snprintf(name, sizeof name, "queue.%d", view);
        earlier = sb_queue(m, name, queue_rows(m), sb_shape_of(g, z).c);
        if (sb_push(m, earlier, z) < 0)
            return SB_FAILED;
    }
    return sb_unit_columns(g, z, earlier, count);
}

static sb_t build(sb_method *m)
{
    const barlow_keys *k = m->keys;
    sb_graph *g = m->graph;
    sb_t count = queue_rows(m) > 0 ? sb_number(m, filled) : SB_NONE;
    sb_t a = columns(m, 0, count), b = columns(m, 1, count);
    sb_t c = sb_product(g, a, b, .form = SB_PRODUCT_ROWS, .scale = 1);
    sb_vector_rate(m, k->vector_rate);
    return sb_identity_distance(g, c, .on = 1, .off = (float)k->lambda);
}

static const char *const defaults[] = {
    "projector.layers=3",   "projector.hidden=8192",         "projector.out=8192",
    "projector.last=plain", "projector.views=apart",         "optimiser.name=lars",
    "optimiser.lr=0.2",     "optimiser.weight_decay=1.5e-6", NULL
};

const sb_method_kind sb_method_barlow = {
    .name = "barlow",
    .summary = "the correlation between the columns of two views is to be the identity",
    .paper = "Zbontar et al. 2021, arXiv 2103.03230",
    .works_from = 128,
    .evidence =
        "69.7 at 128 against 71.7 at 1024, ImageNet linear, 300 epochs (facebookresearch/barlowtwins#7)",
    .moments = true,
    .keys = SB_KEY_TABLE("method", "barlow", barlow_keys, keys),
    .defaults = defaults,
    .views_least = 2,
    .views_most = 2,
    .samples_least = 2,
    .build = build
};
