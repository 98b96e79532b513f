/* residual.c: y = x1 + gamma x0 on the CPU, one pass each way, a piece of a row at a time. */
#include "kernels/op/residual.h"

#include <string.h>

#include "kernels/cpu/columns.h"
#include "kernels/cpu/cpu.h"

static void forward_piece(const sb_call *call, size_t at, int first, int count, float *sums)
{
    const float *gamma = call->w[0];
    const sb_type type = call->ys.type;
    float x[SB_CPU_PIECE], y[SB_CPU_PIECE];
    (void)sums;
    sb_cpu_load_row(call->x[0], type, at, count, x);
    sb_cpu_load_row(call->x[1], type, at, count, y);
    if (gamma) {
#pragma omp simd
        for (int i = 0; i < count; i++)
            y[i] += gamma[first + i] * x[i];
    } else {
#pragma omp simd
        for (int i = 0; i < count; i++)
            y[i] += x[i];
    }
    sb_cpu_store_row(call->y, type, at, count, y);
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    sb_cpu_pieces(call, forward_piece, NULL);
    return 0;
}

/* dx1 first: x0 and x1 may be one tensor. */
static void backward_piece(const sb_call *call, size_t at, int first, int count, float *sums)
{
    const float *gamma = call->w[0];
    const sb_type type = call->ys.type;
    float g[SB_CPU_PIECE], x[SB_CPU_PIECE], given[SB_CPU_PIECE];
    sb_cpu_load_row(call->dy, type, at, count, g);
    if (sums) {
        sb_cpu_load_row(call->x[0], type, at, count, x);
#pragma omp simd
        for (int i = 0; i < count; i++)
            sums[first + i] += g[i] * x[i];
    }
    if (call->dx[1] && (call->add[1] || call->dx[1] != call->dy)) {
        memcpy(given, g, (size_t)count * sizeof *g);
        sb_cpu_give_row(call->dx[1], type, at, count, given, call->add[1]);
    }
    if (!call->dx[0])
        return;
    if (gamma) {
#pragma omp simd
        for (int i = 0; i < count; i++)
            g[i] *= gamma[first + i];
    }
    sb_cpu_give_row(call->dx[0], type, at, count, g, call->add[0]);
}

static size_t scratch(sb_device *device, const sb_call *call)
{
    (void)device;
    return ((const sb_residual_how *)call->how)->scaled ? sb_cpu_pieces_scratch(call) : 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    sb_cpu_pieces(call, backward_piece, call->dw[0]);
    return 0;
}

const sb_kernel sb_cpu_residual = { .scratch = scratch, .forward = forward, .backward = backward };
