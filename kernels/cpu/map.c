/* map.c: a function value by value on the CPU. */
#include "kernels/op/map.h"

#include <math.h>

#include "kernels/cpu/cpu.h"

static float value(sb_map_function f, float x)
{
    switch (f) {
    case SB_MAP_RELU: return x <= 0 ? 0 : x; /* NaN stays, here and below */
    case SB_MAP_ROOT: return x <= 0 ? 0 : sqrtf(x);
    case SB_MAP_INVERSE: return 1 / x;
    case SB_MAP_EXP: return (float)exp((double)x);
    case SB_MAP_SMOOTH: return fabsf(x) >= 1 ? fabsf(x) - 0.5f : 0.5f * x * x;
    default: return (float)cos((double)x);
    }
}

/* at: what backward keeps, x or y. */
static float slope(sb_map_function f, float at)
{
    switch (f) {
    case SB_MAP_RELU: return at <= 0 ? 0 : 1;
    case SB_MAP_ROOT: return at <= 0 ? 0 : 0.5f / at;
    case SB_MAP_INVERSE: return -at * at;
    case SB_MAP_EXP: return at;
    case SB_MAP_SMOOTH: return at >= 1 ? 1 : at <= -1 ? -1 : at;
    default: return -(float)sin((double)at);
    }
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_map_function f = ((const sb_map_how *)call->how)->function;
    size_t count = sb_shape_elements(&call->ys);
    const float *x = call->x[0];
    float *y = call->y;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++)
        y[i] = value(f, x[i]);
    return 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_map_function f = ((const sb_map_how *)call->how)->function;
    size_t count = sb_shape_elements(&call->ys);
    const float *at = call->x[0] ? call->x[0] : call->y, *dy = call->dy;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++)
        sb_cpu_give(call->dx[0], i, dy[i] * slope(f, at[i]), call->add[0]);
    return 0;
}

const sb_kernel sb_cpu_map = { .forward = forward, .backward = backward };
