/* simclr.c: SimCLR's NT-Xent (Chen et al. 2020, "A simple framework for contrastive learning of visual
 * representations", eq. 1).
 *
 *     L = mean over the 2N anchors of  log sum_{j != i} exp(s_ij / T) - s_{i,pos(i)} / T
 *       = mean over the 2N anchors of  log(1 + exp(n_i - p_i))
 *     n_i = log sum over the negatives of exp(s_ij / T)
 *     p_i = s_{i,pos(i)} / T,   s_ij = <z_i, z_j>, |z_i| = 1
 *
 * In f32 the second form keeps its digits where the positive outweighs its negatives; the first loses them.
 */
#include <math.h>

#include "trainer/graph/build.h"
#include "trainer/method.h"

typedef struct {
    double temperature;
} simclr_keys;

static const sb_key keys[] = {
    SB_KEY_REAL(simclr_keys, temperature, "0.1", 0.001, 100, "of the softmax over similarities"),
};

static sb_t build(sb_method *m)
{
    sb_graph *g = m->graph;
    const simclr_keys *k = m->keys;
    float T = (float)k->temperature;
    sb_t z = sb_unit_rows(g, sb_embeddings(m));
    sb_t negatives = sb_logsumexp_pairs(g, z, sb_places(m), .samples = m->samples, .temperature = T,
                                        .positives = false, .empty = -INFINITY);
    sb_t positive = sb_row_dot(g, z, sb_rows(g, z, .first = m->samples, .count = 2 * m->samples));
    return sb_mean(g, sb_softplus(g, sb_combine(g, negatives, positive, .alpha = 1, .beta = -1 / T)));
}

const sb_method_kind sb_method_simclr = {
    .name = "simclr",
    .summary = "softmax over similarities: each view is to find its partner among all others",
    .paper = "Chen et al. 2020, arXiv 2002.05709",
    .works_from = 64,
    .evidence = "59.2 at 64 against 67.9 at 4096, ImageNet linear, 300 epochs, gradients accumulated (BYOL, "
                "table 16)",
    .negatives = SB_NEGATIVES_OF_BOTH_VIEWS,
    .keys = SB_KEY_TABLE("method", "simclr", simclr_keys, keys),
    .views_least = 2,
    .views_most = 2,
    .samples_least = 1,
    .build = build
};
