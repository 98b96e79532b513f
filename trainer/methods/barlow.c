/* barlow.c: Barlow Twins (Zbontar et al. 2021, section 3): the correlation of the embeddings' columns between
 * two views is to be the identity. There are no negatives, and no network but the trained one.
 *
 *     A, B: the embeddings of the views, each column with mean 0 and variance 1 over the batch
 *     C = A^T B / N
 *     L = sum over k of (C_kk - 1)^2 + lambda times the sum over k, l, k != l of C_kl^2
 *
 * As in the released code each view goes through the projector alone, and vectors (biases, the weights of
 * norms) have a learning rate of their own. A batch smaller than the embedding is wide leaves a floor of
 * about lambda width^2 / batch in the loss: C has no full rank. */
#include "trainer/graph/build.h"
#include "trainer/method.h"

typedef struct {
    double lambda, vector_rate;
} barlow_keys;

static const sb_key keys[] = {
    SB_KEY_REAL(barlow_keys, lambda, "0.0051", 0, 1000, "weight of the correlations off the diagonal"),
    SB_KEY_REAL(barlow_keys, vector_rate, "0.024", 0, 1000,
                "learning rate of biases and norms, as a share of the matrices'"),
};

static sb_t build(sb_method *m)
{
    const barlow_keys *k = m->keys;
    sb_graph *g = m->graph;
    sb_t a = sb_standardise(g, sb_embedding(m, 0)), b = sb_standardise(g, sb_embedding(m, 1));
    sb_t c = sb_product(g, a, b, .form = SB_PRODUCT_ROWS, .scale = 1 / (float)m->samples);
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
    .keys = SB_KEY_TABLE("method", "barlow", barlow_keys, keys),
    .defaults = defaults,
    .views_least = 2,
    .views_most = 2,
    .samples_least = 2,
    .build = build
};
