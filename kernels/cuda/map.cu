/* map.cu: a function value by value on a GPU. sincospi, of the angle over pi, reduces any angle without local
 * memory, which cos does not. */
#include "kernels/cuda/launch.h"
#include "kernels/op/map.h"

static __global__ void map_forward(size_t count, sb_map_function f, const float *x, float *y)
{
    size_t i = global_thread();
    if (i >= count)
        return;
    double sine, cosine;
    switch (f) {
    case SB_MAP_RELU: y[i] = x[i] <= 0 ? 0 : x[i]; break; /* NaN stays, here and below */
    case SB_MAP_ROOT: y[i] = x[i] <= 0 ? 0 : sqrtf(x[i]); break;
    case SB_MAP_INVERSE: y[i] = 1 / x[i]; break;
    case SB_MAP_EXP: y[i] = (float)exp((double)x[i]); break;
    case SB_MAP_SMOOTH: y[i] = fabsf(x[i]) >= 1 ? fabsf(x[i]) - 0.5f : 0.5f * x[i] * x[i]; break;
    default: sincospi(x[i] * M_1_PI, &sine, &cosine); y[i] = (float)cosine;
    }
}

/* at: what backward keeps, x or y. */
static __global__ void map_backward(size_t count, sb_map_function f, const float *at, const float *dy,
                                    float *dx, bool add)
{
    size_t i = global_thread();
    if (i >= count)
        return;
    double sine, cosine;
    float slope;
    switch (f) {
    case SB_MAP_RELU: slope = at[i] <= 0 ? 0 : 1; break;
    case SB_MAP_ROOT: slope = at[i] <= 0 ? 0 : 0.5f / at[i]; break;
    case SB_MAP_INVERSE: slope = -at[i] * at[i]; break;
    case SB_MAP_EXP: slope = at[i]; break;
    case SB_MAP_SMOOTH: slope = at[i] >= 1 ? 1 : at[i] <= -1 ? -1 : at[i]; break;
    default: sincospi(at[i] * M_1_PI, &sine, &cosine); slope = -(float)sine;
    }
    give(dx, SB_F32, i, dy[i] * slope, add);
}

static sb_map_function function_of(const sb_call *c) { return ((const sb_map_how *)c->how)->function; }

static int forward(sb_device *device, const sb_call *c)
{
    size_t count = sb_shape_elements(&c->ys);
    LAUNCH(map_forward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, function_of(c),
           (const float *)c->x[0], (float *)c->y);
    return sb_cuda_launched("map_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    size_t count = sb_shape_elements(&c->ys);
    const void *at = c->x[0] ? c->x[0] : c->y;
    LAUNCH(map_backward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, function_of(c),
           (const float *)at, (const float *)c->dy, (float *)c->dx[0], c->add[0]);
    return sb_cuda_launched("map_backward");
}

extern "C" const sb_kernel sb_cuda_map = { .forward = forward, .backward = backward };
