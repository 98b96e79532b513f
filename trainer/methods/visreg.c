/* visreg.c: VISReg (arXiv 2606.02572): as LeJEPA (lejepa.c), the views of a sample are to have one embedding,
 * and the embeddings of a batch are to be normally distributed. Here mean, deviation and shape of the
 * distribution are terms of their own, so the gradient stays where embeddings draw together.
 *
 *     L = (1 - lambda) inv + lambda (centre + scale + shape);   inv: of LeJEPA
 *     centre = mean over views and columns of the column's mean, squared
 *     scale = mean over views and columns of (1 - s)^2,   s = sqrt(Var + 1e-4), Var unbiased
 *     shape = mean over views and random directions a of the squared Wasserstein distance from normal numbers
 *             (kernels/op/wasserstein.h) of the projections <(z - mean) / s, a>; no gradient goes to this s
 *
 * Directions are drawn anew in each step. No term grows with the batch. The first `globals` views are the
 * global ones. The 1e-4 is ours (VICReg's): a column of one value has a deviation, and a gradient, still. */
#include "trainer/graph/build.h"
#include "trainer/methods/lejepa.h"

#define EPSILON 1e-4f /* of a variance */

typedef struct {
    double lambda;
    int directions, globals;
} visreg_keys;

static const sb_key keys[] = {
    SB_KEY_REAL(visreg_keys, lambda, "0.6", 0, 1,
                "weight of the distribution against the agreement of views; 0.9 for large data"),
    SB_KEY_INT(visreg_keys, directions, "4096", 1, 1 << 20, "random directions in each step"),
    SB_KEY_INT(visreg_keys, globals, "2", 1, 16, "views whose mean the others are to meet: the first"),
};

static double one(const sb_method *m, int64_t step, int64_t steps)
{
    return (void)m, (void)step, (void)steps, 1;
}

/* The mean of squares of t, where each row has `width` of them. */
static sb_t mean_square(sb_graph *g, sb_t t)
{
    return sb_combine(g, sb_mean(g, sb_row_dot(g, t, t)), SB_NONE, .alpha = 1 / (float)sb_shape_of(g, t).c);
}

/* The mean over views of their columns' squared means. */
static sb_t centre(sb_method *m, sb_t z)
{
    sb_graph *g = m->graph;
    sb_t ones = sb_rows(g, sb_number(m, one), .first = 0, .count = m->samples), sum = SB_NONE;
    for (int v = 0; v < m->views; v++) {
        sb_t mean = sb_product(g, ones, sb_view_rows(m, z, v), .form = SB_PRODUCT_ROWS,
                               .scale = 1 / (float)m->samples);
        sum = sb_combine(g, mean_square(g, mean), sum, .alpha = 1 / (float)m->views, .beta = 1);
    }
    return sum;
}

/* x, whose view v is to be multiplied by row v of `factors`. */
static sb_t scaled(sb_method *m, sb_t x, sb_t factors, int view)
{
    sb_graph *g = m->graph;
    sb_t row = sb_rows(g, factors, .first = view, .count = 1);
    return sb_times(g, sb_view_rows(m, x, view), sb_rows(g, row, .first = 0, .count = m->samples));
}

static sb_t shape(sb_method *m, sb_t z, sb_t deviation)
{
    const visreg_keys *k = m->keys;
    sb_graph *g = m->graph;
    sb_t directions = sb_unit_rows(g, sb_normal(m, k->directions, sb_shape_of(g, z).c)), sum = SB_NONE;
    sb_t centred = sb_centre(g, z, .samples = m->samples);
    sb_t inverse = sb_map(g, sb_stop(deviation), SB_MAP_INVERSE);
    for (int v = 0; v < m->views; v++) {
        sb_t along = sb_product(g, scaled(m, centred, inverse, v), directions, .form = SB_PRODUCT_COLUMNS,
                                .scale = 1);
        sb_t distance = sb_mean(g, sb_wasserstein(g, along, .samples = m->samples));
        sum = sb_combine(g, distance, sum, .alpha = 1 / (float)m->views, .beta = 1);
    }
    return sum;
}

static sb_t build(sb_method *m)
{
    const visreg_keys *k = m->keys;
    sb_graph *g = m->graph;
    sb_t z = sb_embeddings(m);
    sb_t deviation = sb_deviation(g, z, .samples = m->samples, .epsilon = EPSILON);
    sb_t missing = mean_square(g, sb_combine(g, deviation, SB_NONE, .alpha = -1, .constant = 1));
    sb_t spread = sb_combine(g, missing, centre(m, z), .alpha = 1, .beta = 1);
    sb_t distribution = sb_combine(g, spread, shape(m, z, deviation), .alpha = 1, .beta = 1);
    return sb_combine(g, distribution, sb_disagreement(m, z, k->globals), .alpha = (float)k->lambda,
                      .beta = (float)(1 - k->lambda));
}

const sb_method_kind sb_method_visreg = {
    .name = "visreg",
    .summary = "views agree, and embeddings are normal numbers: in mean, deviation and shape, each a term",
    .paper = "2026, arXiv 2606.02572",
    .works_from = 256,
    .evidence = "90.2 with batches of 128 to 256, Imagenette linear, ViT-S, 200 epochs "
                "(stable-pretraining, RESULTS.md)",
    .keys = SB_KEY_TABLE("method", "visreg", visreg_keys, keys),
    .defaults = sb_lejepa_defaults,
    .views_least = 2,
    .views_most = SB_VIEWS_MAX,
    .samples_least = 2,
    .build = build
};
