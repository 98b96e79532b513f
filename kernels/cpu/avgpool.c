/* avgpool.c: global average pooling on the CPU. */
#include "kernels/op/avgpool.h"

#include "kernels/cpu/cpu.h"

#define BLOCK 64 /* channels that are worked on at once; of a tensor in blocks, one of its own */

static int channels_from(const sb_shape *x, size_t k)
{
    const size_t most = x->block > 0 ? (size_t)x->block : BLOCK, left = (size_t)x->c - k;
    return (int)(left < most ? left : most);
}

/* From a place to the next one. */
static size_t step_of(const sb_shape *x) { return (size_t)(x->block > 0 ? x->block : x->c); }

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
                 count = (size_t)sb_avgpool_count(how, x), step = step_of(x),
                 most = (size_t)channels_from(x, 0);
#pragma omp parallel for collapse(2) schedule(static)
    for (int n = 0; n < x->n; n++)
        for (size_t k = 0; k < c; k += most) {
            const int channels = channels_from(x, k);
            const size_t begin = sb_shape_at(x, (size_t)n * places, k);
            double sum[BLOCK] = { 0 };
            float buffer[BLOCK];
            for (size_t p = first; p < first + count; p++) {
                const float *row = sb_cpu_row(call->x[0], x->type, begin + p * step, channels, buffer);
#pragma omp simd
                for (int i = 0; i < channels; i++)
                    sum[i] += (double)row[i];
            }
            for (int i = 0; i < channels; i++)
                y[(size_t)n * c + k + (size_t)i] = (float)(sum[i] / (double)count);
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
                 in_mean = (size_t)sb_avgpool_count(how, x), step = step_of(x),
                 most = (size_t)channels_from(x, 0);
    const float share = (float)(1.0 / (double)in_mean);
#pragma omp parallel for collapse(2) schedule(static)
    for (int n = 0; n < x->n; n++)
        for (size_t k = 0; k < c; k += most) {
            const int count = channels_from(x, k);
            const size_t begin = sb_shape_at(x, (size_t)n * places, k);
            for (size_t p = 0; p < places; p++) {
                float row[BLOCK] = { 0 };
                for (int i = 0; i < count && p >= first && p < first + in_mean; i++)
                    row[i] = dy[(size_t)n * c + k + (size_t)i] * share;
                sb_cpu_give_row(call->dx[0], x->type, begin + p * step, count, row, call->add[0]);
            }
        }
    return 0;
}

const sb_kernel sb_cpu_avgpool = { .layout = layout, .forward = forward, .backward = backward };
