/* residual.c: y = x1 + gamma x0 on the CPU, one pass each way, a piece of a row at a time. */
#include "kernels/op/residual.h"

#include <string.h>

#include "kernels/cpu/columns.h"
#include "kernels/cpu/cpu.h"

static void forward_piece(const sb_call *call, size_t at, int first, int count, float *sums)
{
    const sb_type type = call->ys.type;
    float buffer[SB_CPU_PIECE], other[SB_CPU_PIECE];
    const float *gamma = call->w[0], *x = sb_cpu_row(call->x[0], type, at, count, buffer),
                *r = sb_cpu_row(call->x[1], type, at, count, other);
    float *y = sb_cpu_row_to(call->y, type, at, false, buffer);
    (void)sums;
    if (gamma) {
#pragma omp simd
        for (int i = 0; i < count; i++)
            y[i] = r[i] + gamma[first + i] * x[i];
    } else {
#pragma omp simd
        for (int i = 0; i < count; i++)
            y[i] = r[i] + x[i];
    }
    if (y == buffer)
        sb_cpu_store_row(call->y, type, at, count, buffer);
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    sb_cpu_pieces(call, forward_piece, NULL);
    return 0;
}

/* A copy of dy, or what it is added to. */
static void give_other(const sb_call *call, size_t at, int count, const float *dy)
{
    float row[SB_CPU_PIECE];
    memcpy(row, dy, (size_t)count * sizeof *row);
    sb_cpu_give_row(call->dx[1], call->ys.type, at, count, row, call->add[1]);
}

/* dx1 first: x0 and x1 may be one tensor. Each may lie over dy or x0. */
static void backward_piece(const sb_call *call, size_t at, int first, int count, float *sums)
{
    const sb_type type = call->ys.type;
    float buffer[SB_CPU_PIECE], incoming[SB_CPU_PIECE];
    const float *gamma = call->w[0], *dy = sb_cpu_row(call->dy, type, at, count, incoming);
    if (sums) {
        const float *x = sb_cpu_row(call->x[0], type, at, count, buffer);
#pragma omp simd
        for (int i = 0; i < count; i++)
            sums[first + i] += dy[i] * x[i];
    }
    if (call->dx[1] && call->dx[1] != call->dy)
        give_other(call, at, count, dy);
    if (!call->dx[0])
        return;
    float *dx = sb_cpu_row_to(call->dx[0], type, at, call->add[0], buffer);
#pragma omp simd
    for (int i = 0; i < count; i++)
        dx[i] = gamma ? gamma[first + i] * dy[i] : dy[i];
    if (dx == buffer)
        sb_cpu_give_row(call->dx[0], type, at, count, buffer, call->add[0]);
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
