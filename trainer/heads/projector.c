/* projector.c: see projector.h. All f32: the head is small beside the backbone. */
#include "trainer/heads/projector.h"

#include <stdio.h>

#include "trainer/graph/build.h"

static const sb_key projector_keys[] = {
    SB_KEY_INT(sb_projector_keys, layers, "2", 1, 8, "linear layers of the head"),
    SB_KEY_INT(sb_projector_keys, hidden, "0", 0, 65536, "width of its hidden layers; 0: the backbone's"),
    SB_KEY_INT(sb_projector_keys, out, "128", 1, 65536, "width of an embedding"),
    SB_KEY_BOOL(sb_projector_keys, last_norm, "true", "batch norm after the last layer"),
};

const sb_key_table sb_projector_table = SB_KEY_TABLE("projector", NULL, sb_projector_keys, projector_keys);

sb_t sb_projector(sb_graph *g, sb_t x, const sb_projector_keys *keys)
{
    int hidden = keys->hidden > 0 ? keys->hidden : sb_shape_of(g, x).c, layers = keys->layers;
    for (int i = 0; i < layers; i++) {
        const bool last = i == layers - 1, norm = !last || keys->last_norm;
        char linear[16], batchnorm[16];
        snprintf(linear, sizeof linear, "%d", 3 * i); /* linear, norm and ReLU take a number each */
        snprintf(batchnorm, sizeof batchnorm, "%d", 3 * i + 1);
        sb_scope(g, "projector");
        x = sb_linear(g, x, linear, .out = last ? keys->out : hidden, .bias = !norm);
        if (norm && last)
            x = sb_batchnorm_unshifted(g, x, batchnorm, .relu = false);
        else if (norm)
            x = sb_batchnorm(g, x, SB_NONE, batchnorm, .relu = true);
        x = sb_leave(g, x);
    }
    return x;
}
