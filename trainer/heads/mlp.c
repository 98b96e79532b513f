/* mlp.c: see mlp.h. All f32: a head is small beside the backbone. */
#include "trainer/heads/mlp.h"

#include <stdio.h>

#include "trainer/graph/build.h"

/* A norm without those of its weights (batchnorm.h) whose bits are set. */
static sb_t norm(sb_graph *g, sb_t x, const char *name, unsigned without, const sb_mlp_how *how, bool relu)
{
    const sb_batchnorm_how batchnorm = { .epsilon = SB_NORM_EPSILON, .relu = relu };
    return SB_APPLY(g, SB_OP_BATCHNORM, name, without | (how->untracked ? SB_BATCHNORM_STATISTICS : 0), x,
                    SB_NONE, &batchnorm);
}

sb_t sb_mlp(sb_graph *g, sb_t x, const char *name, const sb_mlp_how *how)
{
    const int hidden = how->hidden > 0 ? how->hidden : sb_shape_of(g, x).c;
    sb_scope(g, "%s", name);
    for (int i = 0; i < how->layers; i++) {
        const bool last = i == how->layers - 1;
        char linear[16], norm_name[16];
        snprintf(linear, sizeof linear, "%d", 3 * i); /* linear, norm and ReLU take a number each */
        snprintf(norm_name, sizeof norm_name, "%d", 3 * i + 1);
        x = sb_linear(g, x, linear, .out = last ? how->out : hidden,
                      .bias = last && how->last == SB_LAST_BIAS);
        if (!last)
            x = norm(g, x, norm_name, 0, how, true);
        else if (how->last == SB_LAST_NORM)
            x = norm(g, x, norm_name, SB_BATCHNORM_SHIFT, how, false);
        else if (how->last == SB_LAST_UNSCALED)
            x = norm(g, x, norm_name, SB_BATCHNORM_SCALE | SB_BATCHNORM_SHIFT, how, false);
    }
    return sb_leave(g, x);
}
