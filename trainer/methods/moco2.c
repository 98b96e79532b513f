/* moco2.c: MoCo v2 (He et al. 2020, "Momentum contrast", eq. 1; Chen et al. 2020, "Improved baselines with
 * momentum contrastive learning"): a view is to find what a target network makes of the other one among what
 * that made of earlier images. The negatives are in a queue, so their number has nothing to do with the
 * batch.
 *
 *     q: of view 1, of the trained network; k: of view 2, of the target; |q| = |k| = 1
 *     L = mean over the samples of  log(exp(<q, k> / T) + sum over the queue of exp(<q, n> / T)) - <q, k> / T
 *       = mean over the samples of  log(1 + exp(log sum over the queue of exp(<q, n> / T) - <q, k> / T))
 *     the oldest rows of the queue <- k;   target <- m target + (1 - m) trained,   m: trainer/momentum.h
 *
 * Only rows that a step has pushed are negatives: in a run's first step there are none, L and its gradient
 * are 0, and only the queue begins to fill. (The released code begins with random vectors.) With `symmetric`
 * the loss of the views the other way round is added, as in the released notebook; it has a queue of its own,
 * of the keys of view 1. Both networks see both views anyway, so it costs no more.
 *
 * Shuffling BN: keys and queries that share the statistics of their norms can be matched by those. Here a
 * chunk (trainer.chunk) is a norm's group, and later views go through the chunks in another order than the
 * first (trainer/step/chunks.c), which is what shuffling does. */
#include <math.h>
#include <stdio.h>

#include "proto/error.h"
#include "trainer/graph/build.h"
#include "trainer/method.h"
#include "trainer/momentum.h"

typedef struct {
    sb_momentum_keys target;
    double temperature;
    int queue;
    bool symmetric;
} moco2_keys;

static const sb_key keys[] = {
    SB_KEYS_MOMENTUM(moco2_keys, target, "0.999", "256", "constant"),
    SB_KEY_REAL(moco2_keys, temperature, "0.2", 0.001, 100, "of the softmax over similarities"),
    SB_KEY_INT(moco2_keys, queue, "65536", 1, 1 << 20,
               "earlier keys that are negatives, down to a multiple of the batch"),
    SB_KEY_BOOL(moco2_keys, symmetric, "false", "each view looks for the other; else view 1 for view 2"),
};

static double momentum(const sb_method *m, int64_t step, int64_t steps)
{
    const moco2_keys *k = m->keys;
    return sb_momentum_at(&k->target, m->step_samples, step, steps);
}

static int queue_rows(const sb_method *m)
{
    const moco2_keys *k = m->keys;
    return sb_queue_rows(m, k->queue);
}

static double filled(const sb_method *m, int64_t step, int64_t steps)
{
    (void)steps;
    return sb_queue_filled(m, queue_rows(m), step);
}

/* How badly one view finds the other, of each sample: [samples, 1]. */
static sb_t error(sb_method *m, int view, sb_t count)
{
    const moco2_keys *k = m->keys;
    sb_graph *g = m->graph;
    const float T = (float)k->temperature;
    sb_t q = sb_unit_rows(g, sb_embedding(m, view)), key = sb_unit_rows(g, sb_target_embedding(m, 1 - view));
    char name[32];
    snprintf(name, sizeof name, "queue.%d", 1 - view);
    sb_t queue = sb_queue(m, name, queue_rows(m), sb_shape_of(g, key).c);
    if (sb_push(m, queue, key) < 0)
        return SB_FAILED;
    sb_t products = sb_product(g, q, queue, .form = SB_PRODUCT_COLUMNS, .scale = 1);
    sb_t negatives = sb_logsumexp(g, products, count, SB_NONE, .temperature = T, .empty = -INFINITY);
    return sb_softplus(g, sb_combine(g, negatives, sb_row_dot(g, q, key), .alpha = 1, .beta = -1 / T));
}

static sb_t build(sb_method *m)
{
    const moco2_keys *k = m->keys;
    if (queue_rows(m) == 0)
        return sb_fail("method.queue = %d is less than a batch of %d: there would never be a negative",
                       k->queue, m->samples);
    sb_t count = sb_number(m, filled), sum = error(m, 0, count);
    if (k->symmetric)
        sum = sb_combine(m->graph, sum, error(m, 1, count), .alpha = 1, .beta = 1);
    return sb_mean(m->graph, sum);
}

static const char *const defaults[] = {
    "projector.layers=2",          "projector.hidden=2048", "projector.out=128",
    "projector.last=bias",         "projector.views=apart", "optimiser.name=sgd",
    "optimiser.weight_decay=1e-4", "optimiser.lr=0.03",     NULL
};

const sb_method_kind sb_method_moco2 = {
    .name = "moco2",
    .summary = "a view finds the other among a queue of what a slowly following network saw before",
    .paper = "Chen et al. 2020, arXiv 2003.04297",
    .works_from = 128,
    .evidence = "83.8 at 128, CIFAR-10 kNN, 200 epochs (lightly)",
    .negatives = SB_NEGATIVES_OF_QUEUE,
    .keys = SB_KEY_TABLE("method", "moco2", moco2_keys, keys),
    .defaults = defaults,
    .views_least = 2,
    .views_most = 2,
    .samples_least = 2,
    .momentum = momentum,
    .build = build
};
