/* step.h: what tests of training steps begin with: the input of an encoder of their own, and a device. */
#ifndef SB_TESTS_STEP_H
#define SB_TESTS_STEP_H

#include "kernels/open.h"
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
