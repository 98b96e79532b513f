/* distillation.c: a frozen teacher is imitated in what it finds similar (LightlyTrain's `distillation`,
 * version 3): which earlier images an image is like, and which places of an image are like each other. What
 * the student's features are is left to it.
 *
 *     t, t_m: the teacher's features of a view, and of its places m; s, s_m: the student's, each behind a
 *     linear layer; all of unit length
 *     Q: t of the batch and of `queue` images before it
 *     L = mean over the samples of KL(softmax(Q t / T) || softmax(Q s / T))
 *       + local mean over samples and places of KL(softmax_j(<t_m, t_j> / T) || softmax_j(<s_m, s_j> / T))
 *     the oldest rows of the queue <- t
 *
 * The queue begins as zeros, which count as images that nothing is like. Both maps are averaged to the cells
 * of the coarser one, at most `grid` a side. Only the queue couples views, so any batch will do. */
#include "proto/error.h"
#include "trainer/encoders/parts.h"
#include "trainer/graph/build.h"
#include "trainer/method.h"

typedef struct {
    double temperature, local;
    int queue, grid;
} distillation_keys;

static const sb_key keys[] = {
    SB_KEY_REAL(distillation_keys, temperature, "0.07", 0.001, 100, "of the softmaxes over similarities"),
    SB_KEY_INT(distillation_keys, queue, "1024", 1, 1 << 20,
               "earlier images that a view is compared with, beside the batch's, down to a multiple of it"),
    SB_KEY_REAL(distillation_keys, local, "1", 0, 1000, "weight of the relations of places; 0: none"),
    SB_KEY_INT(distillation_keys, grid, "32", 1, 256,
               "maps are averaged to so many places along a side at most"),
};

static int map(const void *own)
{
    const distillation_keys *k = own;
    return k->local > 0 ? k->grid : 0;
}

/* A linear layer over what the student has, to the teacher's width, and its rows of unit length. */
static sb_t student(sb_graph *g, sb_t x, const char *name, int width)
{
    return sb_unit_rows(g, sb_encoder_small(g, sb_linear(g, x, name, .out = width, .bias = true)));
}

/* Of each view, how far its places are from relating to each other as the teacher's do. */
static sb_t inside(const void *own, const sb_inside *in)
{
    const distillation_keys *k = own;
    sb_graph *g = in->graph;
    sb_t s = student(g, in->places, "local", sb_shape_of(g, in->teacher).c), t = sb_unit_rows(g, in->teacher);
    return sb_avgpool(g, sb_relations(g, s, t, .temperature = (float)k->temperature));
}

/* Of each view, how far its similarities to the rows of `to` are from those of the teacher. */
static sb_t divergence(sb_graph *g, sb_t s, sb_t t, sb_t to, float temperature)
{
    sb_t of_s = sb_product(g, s, to, .form = SB_PRODUCT_COLUMNS, .scale = 1),
         of_t = sb_product(g, t, to, .form = SB_PRODUCT_COLUMNS, .scale = 1),
         p = sb_softmax(g, of_t, SB_NONE, .temperature = temperature);
    sb_t both = sb_cross_entropy(g, of_s, p, .temperature = temperature),
         entropy = sb_cross_entropy(g, of_t, p, .temperature = temperature);
    return sb_combine(g, both, entropy, .alpha = 1, .beta = -1);
}

static sb_t build(sb_method *m)
{
    const distillation_keys *k = m->keys;
    sb_graph *g = m->graph;
    const int rows = sb_queue_rows(m, k->queue);
    if (rows == 0)
        return sb_fail("method.queue = %d is less than a batch of %d", k->queue, m->samples);
    sb_t t = sb_unit_rows(g, sb_teacher_features(m));
    const int width = sb_shape_of(g, t).c;
    sb_t s = student(g, sb_embedding(m, 0), "global", width), queue = sb_queue(m, "queue", rows, width);
    if (sb_push(m, queue, t) < 0)
        return SB_FAILED;
    sb_t loss = sb_mean(g, divergence(g, s, t, sb_concat(g, t, queue), (float)k->temperature));
    return k->local > 0
               ? sb_combine(g, loss, sb_mean(g, sb_losses_of_views(m)), .alpha = 1, .beta = (float)k->local)
               : loss;
}

/* LightlyTrain's, whose rate is for 1536 samples, and its views: nearly all of the tile's colours, and no
 * blur to speak of. */
static const char *const defaults[] = { "projector.layers=0",
                                        "optimiser.name=adamw",
                                        "optimiser.scaling=sqrt",
                                        "optimiser.lr=1.28e-5",
                                        "optimiser.weight_decay=0.04",
                                        "views.0.crop_min=0.14",
                                        "views.0.saturation=0.2",
                                        "views.0.blur=0",
                                        NULL };

const sb_method_kind sb_method_distillation = {
    .name = "distillation",
    .summary = "what a trained network finds similar, images and places, is to be similar",
    .paper = "LightlyTrain, distillation v3 (no paper)",
    .keys = SB_KEY_TABLE("method", "distillation", distillation_keys, keys),
    .defaults = defaults,
    .views_least = 1,
    .views_most = 1,
    .samples_least = 1,
    .teacher = SB_TEACHER_FILE,
    .map = map,
    .inside = inside,
    .build = build,
};
