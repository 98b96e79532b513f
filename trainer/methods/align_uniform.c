/* align_uniform.c: alignment and uniformity (Wang and Isola 2020, section 4): the views of a sample are to be
 * near each other, and the embeddings of a view evenly on the sphere.
 *
 *     L = mean over the samples of |a_i - b_i|^2  +  weight (u(a) + u(b)) / 2,   |a| = |b| = 1
 *     u(x) = log of the mean over pairs i != j of exp(-t |x_i - x_j|^2)
 *          = log sum_{i != j} exp(2 t (<x_i, x_j> - 1)) - log(N (N - 1))
 *
 * Pairs that overlap are left out of the sum; the logarithm of their share stays in the value of L. */
#include <math.h>

#include "trainer/graph/build.h"
#include "trainer/method.h"

typedef struct {
    double weight, t;
} align_uniform_keys;

static const sb_key keys[] = {
    SB_KEY_REAL(align_uniform_keys, weight, "1", 0, 1000, "of uniformity against alignment"),
    SB_KEY_REAL(align_uniform_keys, t, "2", 0.001, 1000,
                "how near embeddings are that push each other apart"),
};

/* u of a view's embeddings x, without its constant: [1, 1]. An embedding whose pairs all overlap has the
 * logarithm of almost nothing. */
static sb_t uniformity(sb_method *m, sb_t x, sb_t places)
{
    const align_uniform_keys *k = m->keys;
    sb_graph *g = m->graph;
    const float T = (float)(1 / (2 * k->t));
    sb_t product = sb_product(g, x, x, .form = SB_PRODUCT_COLUMNS, .scale = 1);
    sb_t near = sb_combine(g, product, SB_NONE, .alpha = 1, .constant = -1);
    sb_t rows = sb_logsumexp(g, near, SB_NONE, places, .temperature = T, .diagonal = true, .empty = -1e4f);
    sb_t row = sb_product(g, sb_one(m), rows, .form = SB_PRODUCT_COLUMNS, .scale = 1);
    return sb_logsumexp(g, row, SB_NONE, SB_NONE, .temperature = 1, .empty = 0);
}

static sb_t build(sb_method *m)
{
    const align_uniform_keys *k = m->keys;
    sb_graph *g = m->graph;
    const double pairs = (double)m->samples * (m->samples - 1);
    const float half = (float)(k->weight / 2), constant = (float)(-k->weight * log(pairs));
    sb_t z = sb_unit_rows(g, sb_embeddings(m)), places = sb_places(m);
    sb_t a = sb_view_rows(m, z, 0), b = sb_view_rows(m, z, 1);
    sb_t uniform = sb_combine(g, uniformity(m, a, places), uniformity(m, b, places), .alpha = half,
                              .beta = half, .constant = constant);
    return sb_combine(g, sb_mean(g, sb_row_distance(g, a, b)), uniform, .alpha = 1, .beta = 1);
}

/* The learning rate is the released code's for batches of 256; it is scaled to the batch. */
static const char *const defaults[] = { "projector.layers=2",
                                        "projector.last=bias",
                                        "optimiser.name=sgd",
                                        "optimiser.lr=0.12",
                                        "optimiser.warmup=0",
                                        "optimiser.weight_decay=1e-4",
                                        NULL };

const sb_method_kind sb_method_align_uniform = {
    .name = "align_uniform",
    .summary = "views are near each other, and embeddings lie evenly on the sphere",
    .paper = "Wang and Isola 2020, arXiv 2005.10242",
    .negatives = SB_NEGATIVES_OF_OTHER_VIEW,
    .keys = SB_KEY_TABLE("method", "align_uniform", align_uniform_keys, keys),
    .defaults = defaults,
    .views_least = 2,
    .views_most = 2,
    .samples_least = 2,
    .build = build
};
