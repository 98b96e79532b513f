/* cnn_jepa.c: what hidden cells of a view are like, not what they look like (CNN-JEPA: Kalapos and
 * Gyires-Toth 2024, after I-JEPA): the encoder sees a part of a view, a predictor says from it what an
 * average of the encoder over the last steps, which sees all of the view, has in the hidden cells.
 *
 *     p, t: prediction and target of a cell, of unit length
 *     L = mean over views and predicted cells of sum_c smooth_l1(p_c - t_c)
 *     target <- m target + (1 - m) trained,   m: trainer/momentum.h
 *
 * Nothing but a part of the tile and its mirror image is made of a view, so that colours keep their meaning:
 * for slides and maps. No term is of two views: a batch of one is exact. */
#include "kernels/op/gridpool.h"
#include "proto/error.h"
#include "trainer/encoders/parts.h"
#include "trainer/graph/build.h"
#include "trainer/method.h"
#include "trainer/momentum.h"

#define GROUPS 32 /* of channels, in the predictor's norms */
#define LAYERS 3

typedef struct {
    sb_mask_keys mask;
    sb_momentum_keys target;
} cnn_jepa_keys;

static const sb_key keys[] = {
    SB_KEYS_MASK(cnn_jepa_keys, mask, "0.6", "2", "1", "cells"),
    SB_KEYS_MOMENTUM(cnn_jepa_keys, target, "0.996", "128", "cosine"),
};

static const sb_mask_keys *mask(const void *own) { return &((const cnn_jepa_keys *)own)->mask; }

/* The target's, as it is. */
static int map(const void *own) { return (void)own, SB_GRIDPOOL_SIDE_MAX; }

static double momentum(const sb_method *m, int64_t step, int64_t steps)
{
    const cnn_jepa_keys *k = m->keys;
    return sb_momentum_at(&k->target, m->step_samples, step, steps);
}

/* A layer over a whole map x of `width` channels. */
static sb_t layer(sb_graph *g, sb_t x, int width, bool last)
{
    x = sb_encoder_small(g, sb_depthwise(g, x, "depthwise", .kernel = 3, .stride = 1, .pad = 1));
    x = sb_encoder_small(g, sb_conv(g, x, "pointwise", .out = width, .kernel = 1, .stride = 1, .bias = last));
    return last ? x : sb_groupnorm(g, x, SB_NONE, "norm", .groups = GROUPS, .relu = true);
}

static sb_t inside(const void *own, const sb_inside *in)
{
    (void)own;
    sb_graph *g = in->graph;
    const int width = sb_shape_of(g, in->map).c;
    if (in->prefix > 0 || width % GROUPS != 0)
        return sb_fail("a map of a multiple of %d channels was expected, without tokens of no "
                       "place: ConvNeXt and ResNet have one",
                       GROUPS);
    sb_scope(g, "predictor");
    sb_t x = sb_leave(
        g, sb_unpick(g, in->map, in->visible, in->pixels, "", .side = 1, .stride = in->cell, .token = true));
    for (int i = 0; i < LAYERS; i++) {
        sb_scope(g, "predictor.%d", i);
        x = sb_leave(g, layer(g, x, width, i == LAYERS - 1));
    }
    /* A grid as large as the map is the map in f32, as the target's is. */
    sb_t p = sb_pick(g, sb_gridpool(g, x, .most = SB_GRIDPOOL_SIDE_MAX), in->predicted, .side = 1),
         t = sb_pick(g, in->teacher, in->predicted, .side = 1);
    sb_t off = sb_combine(g, sb_unit_rows(g, p), sb_unit_rows(g, t), .alpha = 1, .beta = -1);
    sb_t mean = sb_avgpool(g, sb_map(g, off, SB_MAP_SMOOTH)); /* over the cells */
    return sb_row_dot(g, mean, sb_ones_like(g, mean));
}

/* The paper's but for the encoder, whose norms must not couple views here, and the rate, which was for batch
 * norms. */
static const char *const defaults[] = { "encoder.name=convnextv2_atto",
                                        "projector.layers=0",
                                        "optimiser.name=adamw",
                                        "optimiser.lr=1.5e-4",
                                        "optimiser.weight_decay=0.01",
                                        "views.0.jitter=0",
                                        "views.0.grey=0",
                                        "views.0.blur=0",
                                        NULL };

const sb_method_kind sb_method_cnn_jepa = {
    .name = "cnn_jepa",
    .summary = "what a slowly following network has in hidden cells is said from the visible ones",
    .paper = "Kalapos and Gyires-Toth 2024, arXiv 2408.07514",
    .keys = SB_KEY_TABLE("method", "cnn_jepa", cnn_jepa_keys, keys),
    .defaults = defaults,
    .views_least = 1,
    .views_most = 1,
    .samples_least = 1,
    .momentum = momentum,
    .teacher = SB_TEACHER_AVERAGE,
    .mask = mask,
    .map = map,
    .inside = inside,
};
