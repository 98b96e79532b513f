/* queries.c: a token and positions of cells on the CPU. */
#include "kernels/op/queries.h"

#include "kernels/cpu/bias.h"
#include "kernels/cpu/cpu.h"

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_queries s = sb_queries_of(call);
    const int half = s.width / 2;
    const int32_t *cells = call->x[0];
    float *axis = call->scratch;
#pragma omp parallel for schedule(static)
    for (int place = 0; place < s.longest; place++)
        for (int i = 0; i < half; i++)
            axis[place * half + i] = sb_sincos_axis(s.width, place, i);
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < s.rows; row++)
        for (int c = 0; c < s.width; c++)
            sb_cpu_store(call->y, s.type, row * (size_t)s.width + (size_t)c,
                         call->w[0][c] + sb_queries_position(&s, axis, cells[row], c));
    return 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    if (call->dw[0])
        sb_cpu_bias_back(&call->ys, call->dy, call->dw[0]);
    return 0;
}

static size_t scratch(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_queries s = sb_queries_of(call);
    return sb_queries_axis_bytes(&s);
}

const sb_kernel sb_cpu_queries = { .scratch = scratch, .forward = forward, .backward = backward };
