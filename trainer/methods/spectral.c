/* spectral.c: spectral contrastive loss (HaoChen et al. 2021): views agree, and different samples are at
 * right angles. It is a factorisation of the graph of what augmentation makes alike, so that its solution
 * spans what a spectral decomposition of that graph finds.
 *
 *     L = 1/mu ( - 2 mean over samples of <f_i, g_i>  +  mean over pairs i != j of <f_i, g_j>^2 )
 *     f, g: the embeddings of the two views; one longer than sqrt(mu) is cut down to that length
 *         = x / sqrt(1 + max(|x|^2 / mu - 1, 0))
 *
 * Both terms are means over samples, or over pairs, of what those have alone: a small batch estimates the
 * loss of a large one without a bias. Pairs that overlap count as 0. */
#include "trainer/graph/build.h"
#include "trainer/method.h"

typedef struct {
    double mu;
} spectral_keys;

static const sb_key keys[] = {
    SB_KEY_REAL(spectral_keys, mu, "1", 0.001, 1000000, "the square of the longest embedding"),
};

static sb_t cut(sb_graph *g, sb_t x, double mu)
{
    sb_t beyond = sb_map(
        g, sb_combine(g, sb_row_dot(g, x, x), SB_NONE, .alpha = (float)(1 / mu), .constant = -1),
        SB_MAP_RELU);
    sb_t length = sb_map(g, sb_combine(g, beyond, SB_NONE, .alpha = 1, .constant = 1), SB_MAP_ROOT);
    return sb_times(g, x, sb_map(g, length, SB_MAP_INVERSE));
}

static sb_t build(sb_method *m)
{
    const spectral_keys *k = m->keys;
    sb_graph *g = m->graph;
    const double samples = m->samples;
    sb_t all = cut(g, sb_embeddings(m), k->mu), a = sb_view_rows(m, all, 0), b = sb_view_rows(m, all, 1);
    sb_t product = sb_product(g, a, b, .form = SB_PRODUCT_COLUMNS, .scale = 1);
    sb_t others = sb_mask(g, product, sb_places(m), .diagonal = true, .value = 0);
    return sb_combine(g, sb_mean(g, sb_row_dot(g, a, b)), sb_mean(g, sb_times(g, others, others)),
                      .alpha = (float)(-2 / k->mu), .beta = (float)(samples / (samples - 1) / k->mu));
}

/* The released code's for CIFAR. */
static const char *const defaults[] = { "projector.layers=1",
                                        "projector.out=1000",
                                        "projector.last=bias",
                                        "optimiser.name=sgd",
                                        "optimiser.lr=0.03",
                                        "optimiser.weight_decay=5e-4",
                                        NULL };

const sb_method_kind sb_method_spectral = {
    .name = "spectral",
    .summary = "views agree, and different samples are at right angles; no bias at small batches",
    .paper = "HaoChen et al. 2021, arXiv 2106.04156",
    .negatives = SB_NEGATIVES_OF_OTHER_VIEW,
    .keys = SB_KEY_TABLE("method", "spectral", spectral_keys, keys),
    .defaults = defaults,
    .views_least = 2,
    .views_most = 2,
    .samples_least = 2,
    .build = build
};
