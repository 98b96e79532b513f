/* sigmoid.c: the sigmoid loss of pairs (Zhai et al. 2023, "Sigmoid loss for language image pre-training", for
 * two views of images instead of images and texts): each pair of a view and another is told to belong
 * together or not, by itself.
 *
 *     L = 1/N sum over samples i of  softplus(-l_ii) + sum over j != i of softplus(l_ij)
 *     l_ij = t <a_i, b_j> + bias,   |a| = |b| = 1;   t > 0 and bias are learnt
 *
 * The sum over the negatives is no mean: the more there are, the more they weigh. t = t0 exp(scale) and bias
 * = bias0 + bias', where scale and bias' are what is learnt, from 0 on and without weight decay. Pairs that
 * overlap are left out of the sum. */
#include <math.h>

#include "trainer/graph/build.h"
#include "trainer/method.h"

typedef struct {
    double scale, bias;
} sigmoid_keys;

static const sb_key keys[] = {
    SB_KEY_REAL(sigmoid_keys, scale, "10", 0.001, 1000, "what similarities are multiplied by at first"),
    SB_KEY_REAL(sigmoid_keys, bias, "-10", -1000, 1000,
                "what is added to them at first; log(1 / (batch - 1)) makes positives and negatives even"),
};

static sb_t build(sb_method *m)
{
    const sigmoid_keys *k = m->keys;
    sb_graph *g = m->graph;
    sb_t z = sb_unit_rows(g, sb_embeddings(m)), a = sb_view_rows(m, z, 0), b = sb_view_rows(m, z, 1);
    sb_t scale = sb_map(
        g, sb_combine(g, sb_learnt(m, "scale"), SB_NONE, .alpha = 1, .constant = (float)log(k->scale)),
        SB_MAP_EXP);
    sb_t bias = sb_combine(g, sb_learnt(m, "bias"), SB_NONE, .alpha = 1, .constant = (float)k->bias);
    sb_t ta = sb_times(g, a, scale), similar = sb_row_dot(g, ta, b);
    sb_t ones = sb_ones_like(g, similar), column = sb_times(g, ones, bias);
    sb_t minus_positive = sb_combine(g, similar, column, .alpha = -1, .beta = -1);
    sb_t logits = sb_combine(g, sb_product(g, ta, b, .form = SB_PRODUCT_COLUMNS, .scale = 1),
                             sb_product(g, ones, column, .form = SB_PRODUCT_COLUMNS, .scale = 1), .alpha = 1,
                             .beta = 1);
    sb_t negative = sb_mask(g, logits, sb_places(m), .diagonal = true, .value = -INFINITY);
    return sb_combine(g, sb_mean(g, sb_softplus(g, minus_positive)), sb_mean(g, sb_softplus(g, negative)),
                      .alpha = 1, .beta = (float)m->samples);
}

const sb_method_kind sb_method_sigmoid = {
    .name = "sigmoid",
    .summary = "each pair is told by itself to be of one sample or not; scale and bias are learnt",
    .paper = "Zhai et al. 2023, arXiv 2303.15343",
    .negatives = SB_NEGATIVES_OF_OTHER_VIEW,
    .keys = SB_KEY_TABLE("method", "sigmoid", sigmoid_keys, keys),
    .views_least = 2,
    .views_most = 2,
    .samples_least = 2,
    .build = build
};
