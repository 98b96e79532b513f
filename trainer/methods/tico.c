/* tico.c: transformation invariance and covariance contrast (Zhu et al. 2022): an embedding is to be that
 * which a target network has for the other view, and is to avoid the directions that embeddings took lately.
 *
 *     z_v, t_v: of view v, of the trained network and of the target, of unit length
 *     C <- beta C + (1 - beta) mean of z z^T over the batch, without a gradient; C begins at 0
 *     L = 1 - mean <z_v, t_w> + rho mean z_v^T C z_v,   w: the other view
 *
 * The published code pairs view 1 with the target's view 2; here both directions count, and C takes both
 * views, since both networks see both anyway. C remembers some 1 / (1 - beta) batches, so a small batch is no
 * bar; beta belongs to a batch of beta_batch, and reaches as many images back at any other with beta^(batch /
 * beta_batch). L is about rho where all embeddings are one, and rho / d at best. */
#include <math.h>

#include "trainer/graph/build.h"
#include "trainer/method.h"
#include "trainer/momentum.h"

typedef struct {
    sb_momentum_keys target;
    double rho, beta;
    int beta_batch;
} tico_keys;

static const sb_key keys[] = {
    SB_KEYS_MOMENTUM(tico_keys, target, "0.996", "256", "cosine"),
    SB_KEY_REAL(tico_keys, rho, "8", 0, 1e6, "weight of the directions that embeddings took lately"),
    SB_KEY_REAL(tico_keys, beta, "0.9", 0, 1, "what is kept of these in a step, at a batch of beta_batch"),
    SB_KEY_INT(tico_keys, beta_batch, "256", 1, 1 << 20,
               "the batch that beta is meant for; it is rescaled to the run's"),
};

static double momentum(const sb_method *m, int64_t step, int64_t steps)
{
    const tico_keys *k = m->keys;
    return sb_momentum_at(&k->target, m->step_samples, step, steps);
}

/* z z^T of one view, over twice the samples. */
static sb_t moment(sb_method *m, sb_t z)
{
    return sb_product(m->graph, sb_stop(z), sb_stop(z), .form = SB_PRODUCT_ROWS,
                      .scale = 0.5f / (float)m->samples);
}

/* z^T C z less what z has of its target, of each sample. */
static sb_t error(sb_method *m, sb_t z, sb_t c, int view)
{
    const tico_keys *k = m->keys;
    sb_graph *g = m->graph;
    sb_t other = sb_unit_rows(g, sb_target_embedding(m, 1 - view));
    sb_t taken = sb_row_dot(g, z, sb_product(g, z, sb_stop(c), .form = SB_PRODUCT_COLUMNS, .scale = 1));
    return sb_combine(g, taken, sb_row_dot(g, z, other), .alpha = (float)k->rho, .beta = -1);
}

static sb_t build(sb_method *m)
{
    const tico_keys *k = m->keys;
    sb_graph *g = m->graph;
    const float kept = (float)pow(k->beta, (double)m->samples / k->beta_batch);
    sb_t a = sb_unit_rows(g, sb_embedding(m, 0)), b = sb_unit_rows(g, sb_embedding(m, 1));
    const int width = sb_shape_of(g, a).c;
    sb_t before = sb_kept(m, "moment", width, width);
    sb_t now = sb_combine(g, moment(m, a), moment(m, b), .alpha = 1, .beta = 1);
    sb_t c = sb_combine(g, before, now, .alpha = kept, .beta = 1 - kept);
    if (sb_push(m, before, c) < 0)
        return SB_FAILED;
    sb_t both = sb_combine(g, error(m, a, c, 0), error(m, b, c, 1), .alpha = 0.5f, .beta = 0.5f);
    return sb_combine(g, sb_mean(g, both), SB_NONE, .alpha = 1, .constant = 1);
}

static const char *const defaults[] = {
    "projector.layers=2",   "projector.hidden=4096",         "projector.out=256",
    "projector.last=plain", "projector.views=apart",         "optimiser.name=lars",
    "optimiser.lr=0.2",     "optimiser.weight_decay=1.5e-6", NULL
};

const sb_method_kind sb_method_tico = {
    .name = "tico",
    .summary = "views agree with a target network, and avoid the directions that embeddings took lately",
    .paper = "Zhu et al. 2022, arXiv 2206.10698",
    .keys = SB_KEY_TABLE("method", "tico", tico_keys, keys),
    .defaults = defaults,
    .views_least = 2,
    .views_most = 2,
    .samples_least = 1,
    .momentum = momentum,
    .build = build
};
