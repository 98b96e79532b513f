/* map.cu: a function value by value on a GPU. sincospi, of the angle over pi, reduces any angle without local
 * memory, which cos does not. */
#include "kernels/cuda/launch.h"
#include "kernels/op/map.h"

static __global__ void map_forward(size_t count, sb_map_function f, const float *x, float *y)
{
    size_t i = global_thread();
    if (i >= count)
        return;
    float above = x[i] > 0 ? x[i] : 0;
    double sine, cosine = 0;
    if (f == SB_MAP_COSINE)
        sincospi(x[i] * M_1_PI, &sine, &cosine);
    y[i] = f == SB_MAP_RELU ? above : f == SB_MAP_ROOT ? sqrtf(above) : (float)cosine;
}

/* at: x, or y of a root. */
static __global__ void map_backward(size_t count, sb_map_function f, const float *at, const float *dy,
                                    float *dx, bool add)
{
    size_t i = global_thread();
    if (i >= count)
        return;
    double sine = 0, cosine;
    if (f == SB_MAP_COSINE)
        sincospi(at[i] * M_1_PI, &sine, &cosine);
    float slope = f == SB_MAP_RELU   ? (at[i] > 0 ? 1.0f : 0.0f)
                  : f == SB_MAP_ROOT ? (at[i] > 0 ? 0.5f / at[i] : 0.0f)
                                     : -(float)sine;
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
    const void *at = function_of(c) == SB_MAP_ROOT ? c->y : c->x[0];
    LAUNCH(map_backward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, function_of(c),
           (const float *)at, (const float *)c->dy, (float *)c->dx[0], c->add[0]);
    return sb_cuda_launched("map_backward");
}

extern "C" const sb_kernel sb_cuda_map = { .forward = forward, .backward = backward };
