/* step.h: what tests of training steps begin with: an encoder of their own, or its input, and a device. */
#ifndef SB_TESTS_STEP_H
#define SB_TESTS_STEP_H

#include "kernels/open.h"
#include "trainer/encoder.h"
#include "trainer/graph/build.h"

/* Views of `side` pixels, colours brought to -2 .. 2. */
static inline sb_t test_input(sb_graph *g, int side, int channels, sb_type type)
{
    const sb_input_how normalise = { .mean = { 0.5f, 0.5f, 0.5f },
                                     .std = { 0.25f, 0.25f, 0.25f },
                                     .type = type };
    sb_t pixels = sb_leaf(g, "pixels", (sb_shape){ 1, side, side, channels, SB_U8 }, false);
    return SB_APPLY(g, SB_OP_INPUT, "input", 0, pixels, SB_NONE, &normalise);
}

/* Small: two convolutions of 3 x 3 and stride 2, with a norm between them that gathers statistics. */
static inline sb_t test_encoder(sb_graph *g, const sb_encoder_input *input, int side, int first, int second)
{
    sb_t t = test_input(g, side, input->channels, input->type);
    t = sb_conv(g, t, "a", .out = first, .kernel = 3, .stride = 2, .pad = 1);
    t = sb_batchnorm(g, t, SB_NONE, "norm", .relu = true);
    t = sb_conv(g, t, "b", .out = second, .kernel = 3, .stride = 2, .pad = 1);
    return sb_output(g, sb_avgpool(g, t), true);
}

/* For cmocka: a group of tests whose state is the CPU, with two threads. */
static inline int test_open_cpu(void **state)
{
    sb_device *device;
    if (sb_device_cpu(&device, 2) != 0)
        return -1;
    *state = device;
    return 0;
}

static inline int test_close_cpu(void **state)
{
    sb_device *device = *state;
    sb_device_close(&device);
    return 0;
}

#endif
