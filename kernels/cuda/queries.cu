/* queries.cu: a token and positions of cells on a GPU. A thread has one value; the token's gradient is a sum
 * of columns (bias.h). */
#include "kernels/cuda/bias.h"
#include "kernels/cuda/launch.h"
#include "kernels/op/queries.h"

static __global__ void queries_axis(sb_queries s, float *axis)
{
    const int at = (int)global_thread(), half = s.width / 2;
    if (at < s.longest * half)
        axis[at] = sb_sincos_axis(s.width, at / half, at % half);
}

static __global__ void queries_forward(sb_queries s, const float *axis, const int32_t *cells,
                                       const float *token, void *y)
{
    const size_t at = global_thread(), row = at / (size_t)s.width;
    const int c = (int)(at % (size_t)s.width);
    if (row < s.rows)
        store(y, s.type, at, token[c] + sb_queries_position(&s, axis, cells[row], c));
}

static int forward(sb_device *device, const sb_call *c)
{
    const sb_queries s = sb_queries_of(c);
    float *axis = (float *)c->scratch;
    LAUNCH(queries_axis, blocks_for((size_t)s.longest * (size_t)(s.width / 2)), THREADS, 0,
           sb_cuda_compute(device), s, axis);
    if (sb_cuda_launched("queries_axis") != 0)
        return -1;
    LAUNCH(queries_forward, blocks_for(s.rows * (size_t)s.width), THREADS, 0, sb_cuda_compute(device), s,
           (const float *)axis, (const int32_t *)c->x[0], c->w[0], c->y);
    return sb_cuda_launched("queries_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    return c->dw[0] ? sb_cuda_bias_back(device, &c->ys, c->dy, c->dw[0], c->scratch) : 0;
}

static size_t scratch(sb_device *device, const sb_call *c)
{
    (void)device;
    const sb_queries s = sb_queries_of(c);
    const size_t axis = sb_queries_axis_bytes(&s), sums = sb_cuda_bias_scratch(&c->ys);
    return axis > sums ? axis : sums;
}

extern "C" const sb_kernel sb_cuda_queries = { .scratch = scratch, .forward = forward, .backward = backward };
