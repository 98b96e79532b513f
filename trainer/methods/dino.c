/* dino.c: self-distillation with no labels (Caron et al. 2021), for convolutional nets: every view is to say
 * which prototypes a target network sees in each global view. The target's softmax is sharp, and has the
 * prototypes' mean score taken off; either alone would let all embeddings draw together.
 *
 *     s_v, t_v: scores of view v's unit embedding with the prototypes, of the trained network and of the
 * target P_g = softmax((t_g - c) / target_temperature), without a gradient L = mean over global views g,
 * views v != g and samples of  - sum_k P_g log softmax(s_v / temperature) c <- m c + (1 - m) mean of t_g over
 * global views and samples, after the step
 *
 * The target has prototypes of its own, which are averaged as the rest of it is. All prototypes have length
 * 1: the released code normalises their layer's weight, which is the same but for the length of a step. m is
 * centre_momentum; as the target's momentum it is meant for momentum_batch, and is rescaled to the run's
 * batch. L is log(prototypes) where every sample says the same of all, and near 0 where all sit on one. */
#include <math.h>

#include "proto/error.h"
#include "trainer/graph/build.h"
#include "trainer/method.h"
#include "trainer/momentum.h"

typedef struct {
    sb_momentum_keys target;
    double temperature, target_temperature, centre_momentum, frozen;
    int prototypes, globals;
} dino_keys;

static const sb_key keys[] = {
    SB_KEYS_MOMENTUM(dino_keys, target, "0.996", "1024", "cosine"),
    SB_KEY_REAL(dino_keys, temperature, "0.1", 0.001, 100, "of the trained network's softmax"),
    SB_KEY_REAL(dino_keys, target_temperature, "0.04", 0.001, 100, "of the target's softmax"),
    SB_KEY_REAL(dino_keys, centre_momentum, "0.9", 0, 1, "of the mean score, at a batch of momentum_batch"),
    SB_KEY_REAL(dino_keys, frozen, "0.01", 0, 1,
                "share of the steps in which the prototypes stay as they began"),
    SB_KEY_INT(dino_keys, prototypes, "65536", 2, 1 << 20, "directions that are told apart"),
    SB_KEY_INT(dino_keys, globals, "2", 1, 16, "views that the target sees: the first"),
};

static double momentum(const sb_method *m, int64_t step, int64_t steps)
{
    const dino_keys *k = m->keys;
    return sb_momentum_at(&k->target, m->step_samples, step, steps);
}

static double one(const sb_method *m, int64_t step, int64_t steps)
{
    return (void)m, (void)step, (void)steps, 1;
}

/* Scores of embeddings; in the target, of the global views alone. */
static sb_t head(sb_method *m, sb_graph *g, sb_t z)
{
    const dino_keys *k = m->keys;
    if (g == m->target)
        z = sb_rows(g, z, .first = 0, .count = k->globals * m->samples);
    return sb_prototypes_in(g, sb_unit_rows(g, z), k->prototypes,
                            (int64_t)ceil(k->frozen * (double)m->steps));
}

/* Has c follow the target's scores. c as it was before: [1, prototypes]. */
static sb_t centre(sb_method *m)
{
    const dino_keys *k = m->keys;
    sb_graph *g = m->graph;
    const float kept = (float)pow(k->centre_momentum, (double)m->samples / k->target.batch);
    sb_t c = sb_kept(m, "centre", 1, k->prototypes), mean = SB_NONE;
    sb_t ones = sb_rows(g, sb_number(m, one), .first = 0, .count = m->samples);
    for (int t = 0; t < k->globals; t++)
        mean = sb_combine(g,
                          sb_product(g, ones, sb_target_embedding(m, t), .form = SB_PRODUCT_ROWS,
                                     .scale = 1 / (float)(k->globals * m->samples)),
                          mean, .alpha = 1, .beta = 1);
    return sb_push(m, c, sb_combine(g, c, mean, .alpha = kept, .beta = 1 - kept)) < 0 ? SB_FAILED : c;
}

static sb_t build(sb_method *m)
{
    const dino_keys *k = m->keys;
    sb_graph *g = m->graph;
    if (k->globals > m->views)
        return sb_fail("method.globals = %d, and a sample has %d views", k->globals, m->views);
    sb_t scores = head(m, g, sb_embeddings(m)), c = centre(m), sum = SB_NONE;
    const float share = 1 / (float)(k->globals * (m->views - 1));
    for (int t = 0; t < k->globals; t++) {
        sb_t wanted = sb_softmax(g, sb_target_embedding(m, t), c,
                                 .temperature = (float)k->target_temperature);
        for (int v = 0; v < m->views; v++)
            if (v != t)
                sum = sb_combine(g,
                                 sb_cross_entropy(g, sb_view_rows(m, scores, v), wanted,
                                                  .temperature = (float)k->temperature),
                                 sum, .alpha = share, .beta = 1);
    }
    return sb_mean(g, sum);
}

/* As the released code has it for ResNet-50. */
static const char *const defaults[] = { "projector.layers=3",          "projector.hidden=2048",
                                        "projector.out=256",           "projector.last=bias",
                                        "optimiser.name=sgd",          "optimiser.lr=0.03",
                                        "optimiser.weight_decay=1e-4", NULL };

const sb_method_kind sb_method_dino = {
    .name = "dino",
    .summary = "every view says which prototypes a target network sees in the global views",
    .paper = "Caron et al. 2021, arXiv 2104.14294",
    .works_from = 128,
    .evidence = "68.2 at 128, ImageNet linear, ResNet-50, 100 epochs (lightly, benchmarks)",
    .keys = SB_KEY_TABLE("method", "dino", dino_keys, keys),
    .defaults = defaults,
    .views_least = 2,
    .views_most = SB_VIEWS_MAX,
    .samples_least = 1,
    .momentum = momentum,
    .head = head,
    .build = build
};
