/* method_step_tool.c: step_tool.c with an encoder of its own, for training steps whose rounding errors
 * stay small: one convolution in patches, batch norm, and the mean over the patches, [n, 12]. It does not
 * link the encoders. */
#include "tests/step.h"
#include "trainer/configuration.h"
#include "trainer/encoder.h"
#include "trainer/graph/build.h"

#define PATCH 4
#define WIDTH 12

sb_t sb_encoder_build_map(sb_graph *g, const sb_encoder_kind *kind, const void *keys,
                          const sb_settings *config, sb_type type, bool masked, sb_encoder_map *map)
{
    (void)kind, (void)keys, (void)masked;
    sb_t t = test_input(g, 16, config->data.channels, type);
    t = sb_conv(g, t, "conv", .out = WIDTH, .kernel = PATCH, .stride = PATCH, .pad = 0);
    t = sb_batchnorm(g, t, SB_NONE, "norm", .relu = false);
    *map = (sb_encoder_map){ .map = t };
    return sb_output(g, sb_avgpool(g, t), true);
}

sb_encoder_norm sb_encoder_norm_of(const sb_settings *config)
{
    (void)config;
    return SB_ENCODER_BATCH;
}
