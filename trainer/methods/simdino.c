/* simdino.c: SimDINO (Wu et al. 2025): DINO (dino.c) without prototypes: every view is to have the embedding
 * that a target network has for each global view, and the embeddings of a batch are to take volume.
 *
 *     z_v, t_v: of view v, of the trained network and of the target, of unit length
 *     R = gamma mean over the global views v of  log det(I + d / (N epsilon) Z_v^T Z_v)
 *     gamma = (d + N) / (d N)
 *     L = - mean over global views g, views v != g and samples of <z_v, t_g>  -  weight R
 *
 * The first `globals` views are the global ones; the others may be smaller, and many. A batch smaller than
 * the embedding is wide pushes N directions a step. Where all embeddings are one, L is -1 - weight gamma
 * log(1 + d / epsilon). */
#include "proto/error.h"
#include "trainer/graph/build.h"
#include "trainer/method.h"
#include "trainer/momentum.h"

typedef struct {
    sb_momentum_keys target;
    double epsilon, weight;
    int globals;
} simdino_keys;

static const sb_key keys[] = {
    SB_KEYS_MOMENTUM(simdino_keys, target, "0.996", "1024", "cosine"),
    SB_KEY_REAL(simdino_keys, epsilon, "0.5", 1e-6, 1e6, "size below which a direction takes no volume"),
    SB_KEY_REAL(simdino_keys, weight, "1", 0, 1e6, "of the volume"),
    SB_KEY_INT(simdino_keys, globals, "2", 1, 16, "views that the target sees: the first"),
};

static double momentum(const sb_method *m, int64_t step, int64_t steps)
{
    const simdino_keys *k = m->keys;
    return sb_momentum_at(&k->target, m->step_samples, step, steps);
}

/* The mean cosine of the global views' targets with all other views. */
static sb_t agreement(sb_method *m, sb_t z)
{
    const simdino_keys *k = m->keys;
    sb_graph *g = m->graph;
    const float share = 1 / (float)(k->globals * (m->views - 1));
    sb_t sum = SB_NONE;
    for (int t = 0; t < k->globals; t++) {
        sb_t target = sb_unit_rows(g, sb_target_embedding(m, t));
        for (int v = 0; v < m->views; v++)
            if (v != t)
                sum = sb_combine(g, sb_row_dot(g, sb_view_rows(m, z, v), target), sum, .alpha = share,
                                 .beta = 1);
    }
    return sb_mean(g, sum);
}

static sb_t build(sb_method *m)
{
    const simdino_keys *k = m->keys;
    sb_graph *g = m->graph;
    if (k->globals > m->views)
        return sb_fail("method.globals = %d, and a sample has %d views", k->globals, m->views);
    sb_t z = sb_unit_rows(g, sb_embeddings(m));
    const float d = (float)sb_shape_of(g, z).c, n = (float)m->samples, gamma = (d + n) / (d * n);
    sb_t global = sb_rows(g, z, .first = 0, .count = k->globals * m->samples);
    sb_t volume = sb_mean(g,
                          sb_logdet(g, global, .samples = m->samples, .scale = d / (n * (float)k->epsilon)));
    return sb_combine(g, agreement(m, z), volume, .alpha = -1, .beta = -gamma * (float)k->weight);
}

/* The optimiser is that of DINO for ResNets. */
static const char *const defaults[] = { "projector.layers=3",          "projector.hidden=2048",
                                        "projector.out=256",           "projector.last=bias",
                                        "optimiser.name=sgd",          "optimiser.lr=0.03",
                                        "optimiser.weight_decay=1e-4", NULL };

const sb_method_kind sb_method_simdino = {
    .name = "simdino",
    .summary = "views agree with a target network, and the embeddings of a batch take volume",
    .paper = "Wu et al. 2025, arXiv 2502.10385",
    .keys = SB_KEY_TABLE("method", "simdino", simdino_keys, keys),
    .defaults = defaults,
    .views_least = 2,
    .views_most = SB_VIEWS_MAX,
    .samples_least = 1,
    .momentum = momentum,
    .build = build
};
