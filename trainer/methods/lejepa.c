/* lejepa.c: LeJEPA (Balestriero and LeCun 2025): the views of a sample are to have one embedding, and the
 * embeddings of a batch are to be normally distributed in every direction (SIGReg). There are no negatives,
 * no target network and no predictor.
 *
 *     L = lambda SIGReg + (1 - lambda) inv
 *     inv = mean over views, samples and coordinates of (z - c)^2, c: the mean of the sample's global views
 *     SIGReg = mean over views and over random directions a of the statistic of Epps and Pulley
 *              (kernels/op/epps_pulley.h) of the projections <z, a>; the directions are drawn anew in each
 * step
 *
 * The first `globals` views are the global ones; the others may be smaller. The statistic grows with the
 * batch, so a small batch wants a larger lambda. */
#include "trainer/methods/lejepa.h"

#include "proto/error.h"
#include "trainer/graph/build.h"

typedef struct {
    double lambda, last;
    int directions, knots, globals;
} lejepa_keys;

static const sb_key keys[] = {
    SB_KEY_REAL(lejepa_keys, lambda, "0.05", 0, 1,
                "weight of the distribution against the agreement of views"),
    SB_KEY_INT(lejepa_keys, directions, "1024", 1, 1 << 20, "random directions in each step"),
    SB_KEY_INT(lejepa_keys, knots, "17", 2, 1024, "points at which distributions are compared"),
    SB_KEY_REAL(lejepa_keys, last, "3", 0.1, 100, "the last of these points; the first is 0"),
    SB_KEY_INT(lejepa_keys, globals, "2", 1, 16, "views whose mean the others are to meet: the first"),
};

sb_t sb_disagreement(sb_method *m, sb_t z, int globals)
{
    sb_graph *g = m->graph;
    const float share = 1 / (float)globals;
    if (globals > m->views)
        return sb_fail("method.globals = %d, and a sample has %d views", globals, m->views);
    sb_t sum = sb_combine(g, sb_view_rows(m, z, 0), SB_NONE, .alpha = share);
    for (int v = 1; v < globals; v++)
        sum = sb_combine(g, sum, sb_view_rows(m, z, v), .alpha = 1, .beta = share);
    sb_t centres = sb_rows(g, sum, .first = 0, .count = m->views * m->samples); /* for each view */
    return sb_combine(g, sb_mean(g, sb_row_distance(g, z, centres)), SB_NONE,
                      .alpha = 1 / (float)sb_shape_of(g, z).c);
}

static sb_t build(sb_method *m)
{
    const lejepa_keys *k = m->keys;
    sb_graph *g = m->graph;
    sb_t z = sb_embeddings(m);
    const int width = sb_shape_of(g, z).c;
    sb_t directions = sb_unit_rows(g, sb_normal(m, k->directions, width));
    sb_t along = sb_product(g, z, directions, .form = SB_PRODUCT_COLUMNS, .scale = 1);
    sb_t normality = sb_mean(
        g, sb_epps_pulley(g, along, .samples = m->samples, .knots = k->knots, .last = (float)k->last));
    return sb_combine(g, normality, sb_disagreement(m, z, k->globals), .alpha = (float)k->lambda,
                      .beta = (float)(1 - k->lambda));
}

const char *const sb_lejepa_defaults[] = {
    "projector.layers=3",     "projector.hidden=2048",         "projector.out=64",
    "projector.last=bias",    "optimiser.name=adamw",          "optimiser.lr=0.0005",
    "optimiser.scaling=none", "optimiser.weight_decay=0.0005", NULL
};

const sb_method_kind sb_method_lejepa = {
    .name = "lejepa",
    .summary = "views agree, and embeddings are normally distributed in every direction",
    .paper = "Balestriero and LeCun 2025, arXiv 2511.08544",
    .keys = SB_KEY_TABLE("method", "lejepa", lejepa_keys, keys),
    .defaults = sb_lejepa_defaults,
    .views_least = 2,
    .views_most = SB_VIEWS_MAX,
    .samples_least = 2,
    .build = build
};
