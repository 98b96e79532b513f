/* times.c: y = x0 x1 on the CPU. */
#include "kernels/op/times.h"

#include "kernels/cpu/cpu.h"

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const size_t count = sb_shape_elements(&call->ys), span = sb_times_span(call->xs);
    const float *a = call->x[0], *b = call->x[1];
    float *y = call->y;
    if (span == 1) {
#pragma omp parallel for simd schedule(static)
        for (size_t i = 0; i < count; i++)
            y[i] = a[i] * b[i];
        return 0;
    }
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++)
        y[i] = a[i] * b[i / span];
    return 0;
}

static void give_first(const sb_call *call)
{
    const size_t count = sb_shape_elements(&call->ys), span = sb_times_span(call->xs);
    const float *b = call->x[1], *dy = call->dy;
    float *dx = call->dx[0];
    const bool add = call->add[0];
    if (span == 1) {
#pragma omp parallel for simd schedule(static)
        for (size_t i = 0; i < count; i++)
            sb_cpu_give(dx, i, b[i] * dy[i], add);
        return;
    }
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++)
        sb_cpu_give(dx, i, b[i / span] * dy[i], add);
}

static void give_second(const sb_call *call)
{
    const size_t count = sb_shape_elements(&call->xs[1]), span = sb_times_span(call->xs);
    const float *a = call->x[0], *dy = call->dy;
    float *dx = call->dx[1];
    const bool add = call->add[1];
    if (span == 1) {
#pragma omp parallel for simd schedule(static)
        for (size_t i = 0; i < count; i++)
            sb_cpu_give(dx, i, a[i] * dy[i], add);
        return;
    }
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++) {
        double sum = 0;
        for (size_t k = i * span; k < (i + 1) * span; k++)
            sum += (double)a[k] * dy[k];
        sb_cpu_give(dx, i, (float)sum, add);
    }
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    if (call->dx[1])
        give_second(call);
    if (call->dx[0])
        give_first(call);
    return 0;
}

const sb_kernel sb_cpu_times = { .forward = forward, .backward = backward };
