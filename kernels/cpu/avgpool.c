/* avgpool.c: global average pooling on the CPU. */
#include "kernels/op/avgpool.h"

#include "kernels/cpu/cpu.h"

#define RUN 64 /* channels that are worked on at once, at most */

static void layout(sb_device *device, sb_call *call)
{
    sb_cpu_as_comes(device, call);
    call->ys.block = 0;
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_shape *x = &call->xs[0];
    const sb_avgpool_how *how = call->how;
    float *y = call->y;
    const size_t places = (size_t)x->h * (size_t)x->w, c = (size_t)x->c, first = (size_t)how->first,
                 count = (size_t)sb_avgpool_count(how, x), step = sb_cpu_step(x);
    const int run = sb_cpu_run(x, 0, RUN);
#pragma omp parallel for collapse(2) schedule(static)
    for (int n = 0; n < x->n; n++)
        for (int k = 0; k < x->c; k += run) {
            const int channels = sb_cpu_run(x, k, RUN);
            const size_t begin = sb_shape_at(x, (size_t)n * places, (size_t)k);
            double sum[RUN] = { 0 };
            float buffer[RUN];
            for (size_t p = first; p < first + count; p++) {
                const float *row = sb_cpu_row(call->x[0], x->type, begin + p * step, channels, buffer);
#pragma omp simd
                for (int i = 0; i < channels; i++)
                    sum[i] += (double)row[i];
            }
            for (int i = 0; i < channels; i++)
                y[(size_t)n * c + (size_t)(k + i)] = (float)(sum[i] / (double)count);
        }
    return 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_shape *x = &call->xs[0];
    const sb_avgpool_how *how = call->how;
    const float *dy = call->dy;
    const size_t places = (size_t)x->h * (size_t)x->w, c = (size_t)x->c, first = (size_t)how->first,
                 in_mean = (size_t)sb_avgpool_count(how, x), step = sb_cpu_step(x);
    const int run = sb_cpu_run(x, 0, RUN);
    const float share = (float)(1.0 / (double)in_mean);
#pragma omp parallel for collapse(2) schedule(static)
    for (int n = 0; n < x->n; n++)
        for (int k = 0; k < x->c; k += run) {
            const int count = sb_cpu_run(x, k, RUN);
            const size_t begin = sb_shape_at(x, (size_t)n * places, (size_t)k);
            for (size_t p = 0; p < places; p++) {
                float row[RUN] = { 0 };
                for (int i = 0; i < count && p >= first && p < first + in_mean; i++)
                    row[i] = dy[(size_t)n * c + (size_t)(k + i)] * share;
                sb_cpu_give_row(call->dx[0], x->type, begin + p * step, count, row, call->add[0]);
            }
        }
    return 0;
}

const sb_kernel sb_cpu_avgpool = { .layout = layout, .forward = forward, .backward = backward };
