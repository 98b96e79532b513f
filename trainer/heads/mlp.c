/* mlp.c: see mlp.h. All f32: a head is small beside the backbone. */
#include "trainer/heads/mlp.h"

#include <stdio.h>

#include "trainer/graph/build.h"

sb_t sb_mlp(sb_graph *g, sb_t x, const char *name, const sb_mlp_how *how)
{
    const int hidden = how->hidden > 0 ? how->hidden : sb_shape_of(g, x).c;
    sb_scope(g, "%s", name);
    for (int i = 0; i < how->layers; i++) {
        const bool last = i == how->layers - 1;
        char linear[16], norm[16];
        snprintf(linear, sizeof linear, "%d", 3 * i); /* linear, norm and ReLU take a number each */
        snprintf(norm, sizeof norm, "%d", 3 * i + 1);
        x = sb_linear(g, x, linear, .out = last ? how->out : hidden,
                      .bias = last && how->last == SB_LAST_BIAS);
        if (!last)
            x = sb_batchnorm(g, x, SB_NONE, norm, .relu = true);
        else if (how->last == SB_LAST_NORM)
            x = sb_batchnorm_unshifted(g, x, norm, .relu = false);
        else if (how->last == SB_LAST_UNSCALED)
            x = sb_batchnorm_bare(g, x, norm);
    }
    return sb_leave(g, x);
}
