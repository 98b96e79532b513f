/* vicreg.c: VICReg (Bardes et al. 2022, section 4): the views of a sample are to have one embedding, every
 * column of a view's embeddings is to vary by 1 or more over the batch, and two columns are not to vary
 * together. There are no negatives, and no network but the trained one.
 *
 *     A, B [N, d]: the embeddings of the views
 *     s = 1 / (N d) sum (A - B)^2
 *     v(X) = 1 / d sum_k max(0, 1 - sqrt(Var_k + 1e-4)),   Var_k: of column k of X, unbiased
 *     c(X) = 1 / d sum_{k != l} Cov_kl^2,                  Cov = X'^T X' / (N - 1), X': X less its means
 *     L = 25 s + 25 (v(A) + v(B)) / 2 + c(A) + c(B)
 *
 * The paper's equation has no half at v; its released code has. As there, each view goes through the
 * projector alone. A batch smaller than the embedding is wide leaves a floor in the loss: Cov has no full
 * rank. */
#include "trainer/graph/build.h"
#include "trainer/method.h"

#define EPSILON 1e-4f /* of a variance */

typedef struct {
    double invariance_weight, variance_weight, covariance_weight;
    enum { CODE, PAPER } variance;
} vicreg_keys;

static const sb_key keys[] = {
    SB_KEY_REAL(vicreg_keys, invariance_weight, "25", 0, 1e6, "of the distance between views"),
    SB_KEY_REAL(vicreg_keys, variance_weight, "25", 0, 1e6, "of the columns' deviation from 1"),
    SB_KEY_REAL(vicreg_keys, covariance_weight, "1", 0, 1e6, "of the covariance between columns"),
    SB_KEY_CHOICE(vicreg_keys, variance, "code", "code|paper",
                  "code: the mean over both views; paper: their sum, twice as much"),
};

/* v of one view: [1, 1]. */
static sb_t variance(sb_method *m, sb_t x)
{
    sb_graph *g = m->graph;
    sb_t deviation = sb_deviation(g, x, .samples = m->samples, .epsilon = EPSILON);
    sb_t missing = sb_combine(g, deviation, SB_NONE, .alpha = -1, .constant = 1);
    return sb_mean(g, sb_map(g, missing, SB_MAP_RELU));
}

/* c of one view, times the embedding's width: [1, 1]. */
static sb_t covariance(sb_method *m, sb_t x)
{
    sb_graph *g = m->graph;
    sb_t centred = sb_centre(g, x, .samples = m->samples);
    sb_t c = sb_product(g, centred, centred, .form = SB_PRODUCT_ROWS, .scale = 1 / (float)(m->samples - 1));
    return sb_identity_distance(g, c, .on = 0, .off = 1);
}

static sb_t build(sb_method *m)
{
    const vicreg_keys *k = m->keys;
    sb_graph *g = m->graph;
    sb_t a = sb_embedding(m, 0), b = sb_embedding(m, 1);
    const float width = (float)sb_shape_of(g, a).c;
    const float vary = (float)k->variance_weight * (k->variance == CODE ? 0.5f : 1);
    const float apart = (float)k->covariance_weight / width;
    sb_t invariance = sb_mean(g, sb_row_distance(g, a, b));
    sb_t varied = sb_combine(g, variance(m, a), variance(m, b), .alpha = vary, .beta = vary);
    sb_t joint = sb_combine(g, covariance(m, a), covariance(m, b), .alpha = apart, .beta = apart);
    return sb_combine(g, sb_combine(g, varied, joint, .alpha = 1, .beta = 1), invariance, .alpha = 1,
                      .beta = (float)k->invariance_weight / width);
}

/* The learning rate is the paper's for batches of 128, its smallest (appendix C.4); it is scaled to the
 * batch. */
static const char *const defaults[] = {
    "projector.layers=3",   "projector.hidden=8192",       "projector.out=8192",
    "projector.last=plain", "projector.views=apart",       "optimiser.name=lars",
    "optimiser.lr=0.8",     "optimiser.weight_decay=1e-6", NULL
};

const sb_method_kind sb_method_vicreg = {
    .name = "vicreg",
    .summary = "views agree, and the columns of an embedding vary, each on its own",
    .paper = "Bardes et al. 2022, arXiv 2105.04906",
    .works_from = 128,
    .evidence = "67.3 at 128 against 68.6 at 2048, ImageNet linear, 100 epochs (table 13)",
    .moments = true,
    .keys = SB_KEY_TABLE("method", "vicreg", vicreg_keys, keys),
    .defaults = defaults,
    .views_least = 2,
    .views_most = 2,
    .samples_least = 2,
    .build = build
};
