/* wmse.c: W-MSE (Ermolov et al. 2021): the embeddings of each view are whitened over a sub-batch
 * (kernels/op/whiten.h), so that they cannot draw together, and the views of a sample are to have one.
 *
 *     u_v = w_v / |w_v|,   w_v: the whitened embedding of view v
 *     L = mean over pairs of views and over the samples of |u_v - u_w|^2 = 2 - 2 cos
 *
 * No gradient is stopped. A sub-batch has at least two samples for each column of an embedding, else what is
 * whitened is noise; all views of a sample are in one. Sub-batches are rows in the batch's order, which is
 * random in each epoch. L is 2 where nothing agrees. Where no column varies, whitened embeddings and L are 0.
 */
#include "proto/error.h"
#include "trainer/graph/build.h"
#include "trainer/method.h"

typedef struct {
    int sub_batch;
} wmse_keys;

static const sb_key keys[] = {
    SB_KEY_INT(wmse_keys, sub_batch, "0", 0, 1 << 20,
               "samples that are whitened together, at least twice projector.out; 0: the batch"),
};

static int check(const sb_method *m, int together, int width)
{
    if (m->samples % together != 0)
        return sb_fail("method.sub_batch = %d does not divide trainer.batch = %d", together, m->samples);
    if (together >= 2 * width)
        return 0;
    return sb_fail(
        "method wmse whitens %d samples of %d columns, and needs two samples for each: projector.out of "
        "at most %d, or trainer.batch%s of at least %d",
        together, width, together / 2, together < m->samples ? " and method.sub_batch" : "", 2 * width);
}

static sb_t build(sb_method *m)
{
    const wmse_keys *k = m->keys;
    sb_graph *g = m->graph;
    sb_t z = sb_embeddings(m);
    const int together = k->sub_batch > 0 ? k->sub_batch : m->samples;
    if (z < 0 || check(m, together, sb_shape_of(g, z).c) != 0)
        return SB_FAILED;
    sb_t u = sb_unit_rows(g, sb_whiten(g, z, .samples = together)), sum = SB_NONE;
    const float share = 2 / (float)(m->views * (m->views - 1));
    for (int v = 0; v < m->views; v++)
        for (int w = v + 1; w < m->views; w++) {
            sb_t apart = sb_row_distance(g, sb_view_rows(m, u, v), sb_view_rows(m, u, w));
            sum = sb_combine(g, apart, sum, .alpha = share, .beta = 1);
        }
    return sb_mean(g, sum);
}

/* The released code's, but for the embedding: 32 columns, so that a batch of 64 suffices. */
static const char *const defaults[] = {
    "projector.layers=2",     "projector.hidden=1024",       "projector.out=32",
    "projector.last=bias",    "optimiser.name=adamw",        "optimiser.lr=0.002",
    "optimiser.scaling=none", "optimiser.weight_decay=1e-6", NULL
};

const sb_method_kind sb_method_wmse = { .name = "wmse",
                                        .summary = "views agree once each is whitened over the batch",
                                        .paper = "Ermolov et al. 2021, arXiv 2007.06346",
                                        .keys = SB_KEY_TABLE("method", "wmse", wmse_keys, keys),
                                        .defaults = defaults,
                                        .views_least = 2,
                                        .views_most = SB_VIEWS_MAX,
                                        .samples_least = 2,
                                        .build = build };
