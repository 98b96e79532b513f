/* byol.c: bootstrap your own latent (Grill et al. 2020, section 3): a predictor behind the projector says
 * what a target network makes of the other view. There are no negatives. The target is an average of the
 * trained network over the last steps, so that both cannot agree on one answer for all.
 *
 *     L = mean over the samples of |p_1 - t_2|^2 + |p_2 - t_1|^2,   |p| = |t| = 1
 *     target <- m target + (1 - m) trained,   m: trainer/momentum.h
 *
 * As in the released code each view goes through projector and predictor alone, so their norms take its own
 * statistics; so do those of the backbone where trainer.chunk is the batch. The target's norms take the
 * statistics of its own batch, and gather their own. */
#include "trainer/graph/build.h"
#include "trainer/method.h"
#include "trainer/momentum.h"

typedef struct {
    sb_momentum_keys target;
    int hidden;
} byol_keys;

static const sb_key keys[] = {
    SB_KEYS_MOMENTUM(byol_keys, target, "0.996", "4096", "cosine"),
    SB_KEY_INT(byol_keys, hidden, "4096", 1, 65536, "width of the predictor's hidden layer"),
};

static double momentum(const sb_method *m, int64_t step, int64_t steps)
{
    const byol_keys *k = m->keys;
    return sb_momentum_at(&k->target, m->step_samples, step, steps);
}

/* The predictor's error for one view, of each sample: [samples, 1]. */
static sb_t error(sb_method *m, int view)
{
    const byol_keys *k = m->keys;
    sb_graph *g = m->graph;
    sb_t z = sb_embedding(m, view), other = sb_target_embedding(m, 1 - view);
    const sb_mlp_how how = {
        .layers = 2, .hidden = k->hidden, .out = sb_shape_of(g, z).c, .last = SB_LAST_PLAIN
    };
    sb_t p = sb_head(m, z, "predictor", &how);
    return sb_row_distance(g, sb_unit_rows(g, p), sb_unit_rows(g, other));
}

static sb_t build(sb_method *m)
{
    sb_graph *g = m->graph;
    return sb_mean(g, sb_combine(g, error(m, 0), error(m, 1), .alpha = 1, .beta = 1));
}

/* The optimiser is that of the paper's 1,000 epochs, as `momentum` is. */
static const char *const defaults[] = {
    "projector.layers=2",   "projector.hidden=4096",         "projector.out=256",
    "projector.last=plain", "projector.views=apart",         "optimiser.name=lars",
    "optimiser.lr=0.2",     "optimiser.weight_decay=1.5e-6", NULL
};

const sb_method_kind sb_method_byol = {
    .name = "byol",
    .summary = "a predictor says what a slowly following network makes of the other view",
    .paper = "Grill et al. 2020, arXiv 2006.07733",
    .works_from = 128,
    .evidence = "69.6 at 128 and 59.7 at 64 against 72.5 at 4096, ImageNet linear, 300 epochs, gradients "
                "accumulated (table 16)",
    .keys = SB_KEY_TABLE("method", "byol", byol_keys, keys),
    .defaults = defaults,
    .views_least = 2,
    .views_most = 2,
    .samples_least = 2,
    .momentum = momentum,
    .build = build
};
