/* moco3.c: MoCo v3 (Chen, Xie and He 2021, "An empirical study of training self-supervised vision
 * transformers", algorithm 1), with its heads for a ResNet: a predictor behind the projector says what a
 * target network makes of the other view, among what that makes of the batch's other samples. No queue.
 *
 *     p_v = predictor(projector), k_v: the target's projector, of view v, of unit length
 *     L = 2 T mean over the samples of  C(p_1, k_2) + C(p_2, k_1)
 *     C(p, k)_i = log sum_j exp(<p_i, k_j> / T) - <p_i, k_i> / T = log(1 + exp(n_i - <p_i, k_i> / T))
 *     n_i = log sum over the samples j != i of exp(<p_i, k_j> / T)
 *     target <- m target + (1 - m) trained,   m: trainer/momentum.h
 *
 * The factor 2 T makes the size of the gradient independent of T. One sample has no negatives. As in the
 * released code each view goes through projector and predictor alone. */
#include <math.h>

#include "trainer/graph/build.h"
#include "trainer/method.h"
#include "trainer/momentum.h"

typedef struct {
    sb_momentum_keys target;
    double temperature;
    int hidden;
} moco3_keys;

static const sb_key keys[] = {
    SB_KEYS_MOMENTUM(moco3_keys, target, "0.99", "4096", "cosine"),
    SB_KEY_REAL(moco3_keys, temperature, "1", 0.001, 100, "of the softmax over similarities"),
    SB_KEY_INT(moco3_keys, hidden, "4096", 1, 65536, "width of the predictor's hidden layer"),
};

static double momentum(const sb_method *m, int64_t step, int64_t steps)
{
    const moco3_keys *k = m->keys;
    return sb_momentum_at(&k->target, m->step_samples, step, steps);
}

/* C of one view's predictions, of each sample: [samples, 1]. */
static sb_t error(sb_method *m, int view, sb_t places)
{
    const moco3_keys *k = m->keys;
    sb_graph *g = m->graph;
    const float T = (float)k->temperature;
    sb_t z = sb_embedding(m, view), key = sb_unit_rows(g, sb_target_embedding(m, 1 - view));
    const sb_mlp_how how = {
        .layers = 2, .hidden = k->hidden, .out = sb_shape_of(g, z).c, .last = SB_LAST_PLAIN
    };
    sb_t p = sb_unit_rows(g, sb_head(m, z, "predictor", &how));
    sb_t products = sb_product(g, p, key, .form = SB_PRODUCT_COLUMNS, .scale = 1);
    sb_t negatives = sb_logsumexp(g, products, SB_NONE, places, .temperature = T, .diagonal = true,
                                  .empty = -INFINITY);
    return sb_softplus(g, sb_combine(g, negatives, sb_row_dot(g, p, key), .alpha = 1, .beta = -1 / T));
}

static sb_t build(sb_method *m)
{
    const moco3_keys *k = m->keys;
    sb_graph *g = m->graph;
    const float scale = (float)(2 * k->temperature);
    sb_t places = sb_places(m);
    return sb_mean(g, sb_combine(g, error(m, 0, places), error(m, 1, places), .alpha = scale, .beta = scale));
}

/* The optimiser is that of the paper's 300 epochs, as `momentum` is. */
static const char *const defaults[] = {
    "projector.layers=2",      "projector.hidden=4096",       "projector.out=256",
    "projector.last=unscaled", "projector.views=apart",       "optimiser.name=lars",
    "optimiser.lr=0.3",        "optimiser.weight_decay=1e-6", NULL
};

const sb_method_kind sb_method_moco3 = {
    .name = "moco3",
    .summary = "a predictor finds, within the batch, what a slowly following network makes of the other view",
    .paper = "Chen, Xie and He 2021, arXiv 2104.02057",
    .works_from = 256,
    .evidence = "93.1 at 256, CIFAR-10 linear, 1000 epochs (solo-learn)",
    .negatives = SB_NEGATIVES_OF_OTHER_VIEW,
    .keys = SB_KEY_TABLE("method", "moco3", moco3_keys, keys),
    .defaults = defaults,
    .views_least = 2,
    .views_most = 2,
    .samples_least = 2,
    .momentum = momentum,
    .build = build
};
