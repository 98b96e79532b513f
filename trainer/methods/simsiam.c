/* simsiam.c: SimSiam (Chen and He 2021, section 3): a predictor behind the projector says what the projector
 * makes of the other view; no gradient goes to what it is to say. That, and no target network nor negatives,
 * keeps all from one answer. FastSiam (Pototzky et al. 2022) has the mean of all other views said instead;
 * with one other view it is the same.
 *
 *     z_v: the projector's output for view v, p_v = predictor(z_v)
 *     L = mean over views v and samples of  - <p_v / |p_v|, t_v / |t_v|>
 *     t_v = the mean of z_w over the views w != v, without a gradient
 *
 * L is -1 where all agree, and stays there where an encoder has collapsed: the loss does not tell. As in the
 * released code each view goes through projector and predictor alone, the projector's last norm has neither
 * scale nor shift, and the predictor's learning rate stays at the peak. The bias that stands frozen in front
 * of that norm is left out here: the norm takes it off again. */
#include "trainer/methods/simsiam.h"

#include "trainer/graph/build.h"

/* t_v times the number of other views: [samples, width]. */
static sb_t others(sb_method *m, int view)
{
    sb_t sum = SB_NONE;
    for (int v = 0; v < m->views; v++) {
        if (v == view)
            continue;
        sb_t z = sb_stop(sb_embedding(m, v));
        sum = sum == SB_NONE ? z : sb_combine(m->graph, sum, z, .alpha = 1, .beta = 1);
    }
    return sum;
}

/* How much the predictor agrees for one view, of each sample: [samples, 1]. */
static sb_t agreement(sb_method *m, int view)
{
    const sb_simsiam_keys *k = m->keys;
    sb_graph *g = m->graph;
    sb_t z = sb_embedding(m, view), t = others(m, view);
    const sb_mlp_how how = {
        .layers = 2, .hidden = k->hidden, .out = sb_shape_of(g, z).c, .last = SB_LAST_BIAS
    };
    sb_t p = sb_head(m, z, "predictor", &how);
    return sb_row_dot(g, sb_unit_rows(g, p), sb_unit_rows(g, t));
}

sb_t sb_simsiam_build(sb_method *m)
{
    const sb_simsiam_keys *k = m->keys;
    const float share = -1 / (float)m->views;
    sb_graph *g = m->graph;
    sb_t sum = sb_combine(g, agreement(m, 0), SB_NONE, .alpha = share);
    for (int v = 1; v < m->views; v++)
        sum = sb_combine(g, sum, agreement(m, v), .alpha = 1, .beta = share);
    if (k->predictor_rate == SB_PREDICTOR_STEADY)
        sb_steady_rate(m, "predictor.");
    return sb_mean(g, sum);
}

const char *const sb_simsiam_defaults[] = { "projector.layers=3",    "projector.hidden=2048",
                                            "projector.out=2048",    "projector.last=unscaled",
                                            "projector.views=apart", "optimiser.name=sgd",
                                            "optimiser.lr=0.05",     "optimiser.weight_decay=1e-4",
                                            "optimiser.warmup=0",    NULL };

static const sb_key keys[] = { SB_KEYS_SIMSIAM };

const sb_method_kind sb_method_simsiam = {
    .name = "simsiam",
    .summary = "a predictor says what the same network makes of the other view, without a gradient to it",
    .paper = "Chen and He 2021, arXiv 2011.10566",
    .works_from = 64,
    .evidence = "66.1 at 64 against 68.1 at 256, ImageNet linear, 100 epochs (table 2)",
    .keys = SB_KEY_TABLE("method", "simsiam", sb_simsiam_keys, keys),
    .defaults = sb_simsiam_defaults,
    .views_least = 2,
    .views_most = 2,
    .samples_least = 2,
    .build = sb_simsiam_build
};
