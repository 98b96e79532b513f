/* sogclr.c: SogCLR (Yuan et al. 2022, "Provable stochastic optimization for global contrastive learning"):
 * DCL (dcl.c) whose denominator is an average over the steps, one for each image, so that a small batch's
 * negatives are weighed as those of many batches are.
 *
 *     g_a = mean over the negatives j of anchor a of exp(s_aj / T),   s_aj = <z_a, z_j>, |z| = 1
 *     u_a = (1 - gamma) u_i + gamma g_a,   u_i: what is kept for a's image;   u_a = g_a if it has none yet
 *     L   = 1/N sum over the 2N anchors of  - s_{a,pos(a)} + mean over the negatives of  p_aj s_aj
 *     p_aj = exp(s_aj / T) / u_a, without a gradient
 *     u_i <- the mean of its two anchors' u_a
 *
 * The last term has the gradient of T (g_a / u_a) log g_a, with g_a / u_a <= 1 / gamma as a number: what is
 * built here. Only the gradient means something. All u are kept as logarithms: at a low temperature
 * exp(s / T) is beyond f32. The released code has gamma = 1 in steps whose images are all new; here each
 * image is new for itself.
 *
 * Negatives that overlap count as 0. An anchor that has no others counts as if they were at right angles.
 */
#include <math.h>

#include "trainer/graph/build.h"
#include "trainer/method.h"

typedef struct {
    double temperature, gamma;
} sogclr_keys;

static const sb_key keys[] = {
    SB_KEY_REAL(sogclr_keys, temperature, "0.1", 0.001, 100, "of the exponential of similarities"),
    SB_KEY_REAL(sogclr_keys, gamma, "0.9", 0.001, 1, "share of the step in the average of an image"),
};

/* log(u_a / g_a) of one view's anchors [N, 1], of log g_a and log u_i; 0 where nothing was seen. */
static sb_t log_share(sb_method *m, sb_t log_g, sb_t log_u, sb_t seen)
{
    const sogclr_keys *k = m->keys;
    sb_graph *g = m->graph;
    /* log u_a = log(gamma g_a) + log(1 + (1 - gamma) u_i / (gamma g_a)); gamma = 1 leaves 1e-30 of u_i. */
    const float of_step = (float)log(k->gamma), of_kept = (float)log(fmax(1 - k->gamma, 1e-30));
    sb_t ratio = sb_combine(g, log_u, log_g, .alpha = 1, .beta = -1, .constant = of_kept - of_step);
    return sb_times(g, seen, sb_combine(g, sb_softplus(g, ratio), SB_NONE, .alpha = 1, .constant = of_step));
}

static sb_t build(sb_method *m)
{
    const sogclr_keys *k = m->keys;
    sb_graph *g = m->graph;
    const float T = (float)k->temperature, log_count = (float)log(2 * ((double)m->samples - 1));
    sb_t log_u = sb_per_image(m, "log_u", 1), seen = sb_per_image(m, "seen", 1);
    sb_t z = sb_unit_rows(g, sb_embeddings(m));
    sb_t sums = sb_logsumexp_pairs(g, z, sb_places(m), .samples = m->samples, .temperature = T,
                                   .positives = false, .empty = log_count);
    sb_t pulled = sb_row_dot(g, sb_view_rows(m, z, 0), sb_view_rows(m, z, 1));
    sb_t loss = sb_combine(g, sb_mean(g, pulled), SB_NONE, .alpha = -2), log_mean[2];
    for (int v = 0; v < 2; v++) {
        sb_t log_g = sb_combine(g, sb_view_rows(m, sums, v), SB_NONE, .alpha = 1, .constant = -log_count);
        sb_t share = log_share(m, sb_stop(log_g), log_u, seen);
        sb_t weight = sb_map(g, sb_combine(g, share, SB_NONE, .alpha = -1), SB_MAP_EXP);
        loss = sb_combine(g, loss, sb_mean(g, sb_times(g, log_g, weight)), .alpha = 1, .beta = T);
        log_mean[v] = sb_combine(g, sb_stop(log_g), share, .alpha = 1, .beta = 1);
    }
    sb_t apart = sb_softplus(g, sb_combine(g, log_mean[1], log_mean[0], .alpha = 1, .beta = -1));
    sb_t kept = sb_combine(g, log_mean[0], apart, .alpha = 1, .beta = 1, .constant = (float)-log(2));
    if (sb_put(m, log_u, kept) < 0 || sb_put(m, seen, sb_ones_like(g, kept)) < 0)
        return SB_FAILED;
    return loss;
}

/* The released code's for ImageNet: the head ends in a norm without weights. */
static const char *const defaults[] = { "projector.last=unscaled",     "optimiser.name=lars",
                                        "optimiser.lr=0.075",          "optimiser.scaling=sqrt",
                                        "optimiser.weight_decay=1e-6", NULL };

const sb_method_kind sb_method_sogclr = {
    .name = "sogclr",
    .summary = "DCL whose denominator is averaged over the steps for each image",
    .paper = "Yuan et al. 2022, arXiv 2202.12387",
    .works_from = 64,
    .evidence = "91.78 at 64 against SimCLR's 90.66, CIFAR-10 linear, 400 epochs (Optimization-AI/SogCLR)",
    .negatives = SB_NEGATIVES_OF_BOTH_VIEWS,
    .keys = SB_KEY_TABLE("method", "sogclr", sogclr_keys, keys),
    .defaults = defaults,
    .views_least = 2,
    .views_most = 2,
    .samples_least = 2,
    .images = true,
    .build = build
};
