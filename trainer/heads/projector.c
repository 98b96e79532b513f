/* projector.c: see projector.h. All f32: the head is small beside the backbone. */
#include "trainer/heads/projector.h"

#include <stdio.h>

#include "trainer/graph/build.h"

sb_t sb_projector(sb_graph *g, sb_t x, const sb_config *config)
{
    int hidden = config->projector.hidden > 0 ? config->projector.hidden : sb_shape_of(g, x).c,
        layers = config->projector.layers;
    for (int i = 0; i < layers; i++) {
        const bool last = i == layers - 1, norm = !last || config->projector.last_norm;
        char linear[16], batchnorm[16];
        snprintf(linear, sizeof linear, "%d", 3 * i); /* linear, norm and ReLU take a number each */
        snprintf(batchnorm, sizeof batchnorm, "%d", 3 * i + 1);
        sb_scope(g, "projector");
        x = sb_linear(g, x, linear, .out = last ? config->projector.out : hidden, .bias = !norm);
        if (norm && last)
            x = sb_batchnorm_unshifted(g, x, batchnorm, .relu = false);
        else if (norm)
            x = sb_batchnorm(g, x, SB_NONE, batchnorm, .relu = true);
        x = sb_leave(g, x);
    }
    return x;
}
