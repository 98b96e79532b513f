/* hsic.c: SSL-HSIC (Li et al. 2021): embeddings are to depend on the image, as the Hilbert-Schmidt
 * independence criterion measures dependence, and no more on themselves than that takes. As in BYOL (byol.c)
 * a predictor stands behind the projector, and a target network is an average of the trained one.
 *
 *     z_ip: four unit vectors of image i: the predictor's for both views, the target's for both views
 *     k(x, y) = c / sqrt(c^2 + |x - y|^2), approximately <phi(x), phi(y)> with D features
 *     phi(x) = sqrt(2 / D) cos(W x / c + b)
 *     xy = sum_i |sum_p phi(z_ip)|^2 / (12 N) - |sum_ip phi(z_ip)|^2 / (4 N)^2
 *     xx = |sum_ip (phi_1(z_ip) - m_1)^T (phi_2(z_ip) - m_2)|^2 / (4 N)^2,   m: the mean over i and p
 *     L = 3 sqrt(xx) - xy
 *
 * No gradient goes to the target.
 *
 * phi_1 and phi_2 have features of their own, drawn anew in each step; xy takes phi_1. 1 / sqrt(1 + r^2) is
 * the mean over a normal number h of exp(-h^2 r^2 / 2), and that is the kernel whose frequencies are h g with
 * a vector g of normal numbers: so a row of W is h g, and nothing of the published table of Bessel functions
 * is needed. b is a normal number of deviation 8, which is even on the circle to 1e-14. The paper learns c
 * with an optimiser of its own; here it is a key. */
#include <math.h>

#include "trainer/graph/build.h"
#include "trainer/method.h"
#include "trainer/momentum.h"

#define VECTORS 4  /* of an image */
#define PHASE 8.0f /* deviation of b */

typedef struct {
    sb_momentum_keys target;
    double scale, self_weight;
    int hidden, features;
} hsic_keys;

static const sb_key keys[] = {
    SB_KEYS_MOMENTUM(hsic_keys, target, "0.99", "4096", "cosine"),
    SB_KEY_REAL(hsic_keys, scale, "1", 0.001, 1000, "c: the distance at which similarity falls"),
    SB_KEY_REAL(hsic_keys, self_weight, "3", 0, 1000, "of the embeddings' dependence on themselves"),
    SB_KEY_INT(hsic_keys, hidden, "4096", 1, 65536, "width of the predictor's hidden layer"),
    SB_KEY_INT(hsic_keys, features, "512", 1, 1 << 16, "random features that stand for the kernel"),
};

static double momentum(const sb_method *m, int64_t step, int64_t steps)
{
    const hsic_keys *k = m->keys;
    return sb_momentum_at(&k->target, m->step_samples, step, steps);
}

static double one(const sb_method *m, int64_t step, int64_t steps)
{
    return (void)m, (void)step, (void)steps, 1;
}

/* A row for each sample, all the same. */
static sb_t for_each(sb_method *m, sb_t row)
{
    return sb_rows(m->graph, row, .first = 0, .count = m->samples);
}

/* Features of the vectors with frequencies and phases that are drawn here: [samples, D] each. */
static void features(sb_method *m, const sb_t vectors[VECTORS], sb_t phi[VECTORS])
{
    const hsic_keys *k = m->keys;
    sb_graph *g = m->graph;
    const int width = sb_shape_of(g, vectors[0]).c;
    sb_t directions = sb_normal(m, k->features, width);
    sb_t lengths = for_each(m, sb_normal(m, 1, k->features)),
         phases = for_each(m, sb_normal(m, 1, k->features));
    for (int p = 0; p < VECTORS; p++) {
        sb_t along = sb_product(g, vectors[p], directions, .form = SB_PRODUCT_COLUMNS,
                                .scale = 1 / (float)k->scale);
        sb_t angle = sb_combine(g, sb_times(g, along, lengths), phases, .alpha = 1, .beta = PHASE);
        phi[p] = sb_combine(g, sb_map(g, angle, SB_MAP_COSINE), SB_NONE,
                            .alpha = sqrtf(2 / (float)k->features));
    }
}

static sb_t sum(sb_graph *g, const sb_t phi[VECTORS])
{
    sb_t all = phi[0];
    for (int p = 1; p < VECTORS; p++)
        all = sb_combine(g, all, phi[p], .alpha = 1, .beta = 1);
    return all;
}

/* Takes from each vector's features the mean over all. */
static void centre(sb_method *m, sb_t ones, sb_t phi[VECTORS])
{
    sb_graph *g = m->graph;
    sb_t mean = for_each(m, sb_product(g, ones, sum(g, phi), .form = SB_PRODUCT_ROWS,
                                       .scale = 1 / (float)(VECTORS * m->samples)));
    for (int p = 0; p < VECTORS; p++)
        phi[p] = sb_combine(g, phi[p], mean, .alpha = 1, .beta = -1);
}

static sb_t xy(sb_method *m, sb_t ones, const sb_t phi[VECTORS])
{
    sb_graph *g = m->graph;
    sb_t images = sum(g, phi), all = sb_product(g, ones, images, .form = SB_PRODUCT_ROWS,
                                                .scale = 1 / (float)(VECTORS * m->samples));
    return sb_combine(g, sb_mean(g, sb_row_dot(g, images, images)), sb_row_dot(g, all, all),
                      .alpha = 1.0f / (VECTORS * (VECTORS - 1)), .beta = -1);
}

/* sqrt(xx). */
static sb_t self(sb_method *m, const sb_t first[VECTORS], const sb_t second[VECTORS])
{
    const hsic_keys *k = m->keys;
    sb_graph *g = m->graph;
    sb_t c = SB_NONE;
    for (int p = 0; p < VECTORS; p++)
        c = sb_combine(g,
                       sb_product(g, first[p], second[p], .form = SB_PRODUCT_ROWS,
                                  .scale = 1 / (float)(VECTORS * m->samples)),
                       c, .alpha = 1, .beta = 1);
    sb_t square = sb_mean(g, sb_row_dot(g, c, c));
    return sb_map(g, sb_combine(g, square, SB_NONE, .alpha = (float)k->features), SB_MAP_ROOT);
}

static sb_t build(sb_method *m)
{
    const hsic_keys *k = m->keys;
    sb_graph *g = m->graph;
    sb_t vectors[VECTORS], first[VECTORS], second[VECTORS];
    for (int v = 0; v < 2; v++) {
        sb_t z = sb_embedding(m, v);
        const sb_mlp_how how = {
            .layers = 2, .hidden = k->hidden, .out = sb_shape_of(g, z).c, .last = SB_LAST_PLAIN
        };
        vectors[v] = sb_unit_rows(g, sb_head(m, z, "predictor", &how));
        vectors[2 + v] = sb_unit_rows(g, sb_target_embedding(m, v));
    }
    sb_t ones = for_each(m, sb_number(m, one));
    features(m, vectors, first);
    features(m, vectors, second);
    sb_t dependence = xy(m, ones, first);
    centre(m, ones, first);
    centre(m, ones, second);
    return sb_combine(g, self(m, first, second), dependence, .alpha = (float)k->self_weight, .beta = -1);
}

static const char *const defaults[] = {
    "projector.layers=2",   "projector.hidden=4096",       "projector.out=256",
    "projector.last=plain", "projector.views=apart",       "optimiser.name=lars",
    "optimiser.lr=0.4",     "optimiser.weight_decay=1e-6", NULL
};

const sb_method_kind sb_method_hsic = {
    .name = "hsic",
    .summary = "embeddings depend on the image, by a kernel's measure, and little on themselves",
    .paper = "Li et al. 2021, arXiv 2106.08320",
    .keys = SB_KEY_TABLE("method", "hsic", hsic_keys, keys),
    .defaults = defaults,
    .views_least = 2,
    .views_most = 2,
    .samples_least = 2,
    .momentum = momentum,
    .build = build
};
