/* mmcr.c: maximum manifold capacity representations (Yerxa et al. 2023): the mean of a sample's views is to
 * be long, so views agree, and the means of all samples are to fill space evenly.
 *
 *     z_iv: the embedding of view v of sample i, of unit length; c_i = the mean of z_iv over v
 *     L = - ||C||_*,   C = (c_1, ..., c_N): the sum of its singular values
 *
 * L is -sqrt(N) where all embeddings are one, and at best - sqrt(N min(N, d)). A batch smaller than the
 * embedding is wide pushes N directions a step. There may be many views. */
#include "trainer/graph/build.h"
#include "trainer/method.h"

static sb_t build(sb_method *m)
{
    const float share = 1 / (float)m->views;
    sb_graph *g = m->graph;
    sb_t z = sb_unit_rows(g, sb_embeddings(m));
    sb_t sum = sb_combine(g, sb_view_rows(m, z, 0), SB_NONE, .alpha = share);
    for (int v = 1; v < m->views; v++)
        sum = sb_combine(g, sum, sb_view_rows(m, z, v), .alpha = 1, .beta = share);
    return sb_combine(g, sb_nuclear_norm(g, sum), SB_NONE, .alpha = -1);
}

/* As the released code has it for CIFAR, where a batch is 32 samples of 40 views. */
static const char *const defaults[] = { "projector.layers=2",
                                        "projector.hidden=512",
                                        "projector.out=128",
                                        "projector.last=bias",
                                        "optimiser.name=adamw",
                                        "optimiser.lr=0.001",
                                        "optimiser.warmup=0",
                                        "optimiser.weight_decay=1e-6",
                                        "optimiser.scaling=none",
                                        "optimiser.final_lr=1",
                                        NULL };

const sb_method_kind sb_method_mmcr = {
    .name = "mmcr",
    .summary = "the means of the samples' views are to be long and to fill space evenly",
    .paper = "Yerxa et al. 2023, arXiv 2303.03307",
    .keys = SB_KEY_TABLE_EMPTY("method", "mmcr"),
    .defaults = defaults,
    .views_least = 2,
    .views_most = SB_VIEWS_MAX,
    .samples_least = 1,
    .build = build
};
