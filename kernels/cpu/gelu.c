/* gelu.c: GELU on the CPU, one pass each way, a piece of a row at a time.
 *
 * The normal distribution, for t >= 0: Phi(-t) = exp(-t^2/2) f(t), where f falls slowly from 1/2. f is a
 * quotient of two polynomials (a least-squares fit with weights until the largest relative error, 6e-9, was
 * reached from both sides), whose coefficients are all positive: no digit cancels. Nothing
 * branches and no function of libm is called, so that eight or sixteen values go through at once. */
#include "kernels/op/gelu.h"

#include <math.h>

#include "kernels/cpu/columns.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/exponential.h"

/* 13.2, as bits: exp(-t^2/2) is below f32's least normal number from here on. */
#define T_MOST 0x41533333u

/* Phi(u), and exp(-u^2/2); of NaN, any numbers. Choices are made of bits: of comparisons the compiler makes
 * branches, and gives up. */
static inline float distribution(float u, float *bell)
{
    sb_float_bits t, e, right;
    t.f = u;
    right.u = ((t.u >> 31) - 1) & 0x3F800000u; /* 1 where u >= 0 */
    t.u &= 0x7FFFFFFFu;
    const uint32_t inside = 0 - ((t.u - T_MOST) >> 31);
    t.u = t.u < T_MOST ? t.u : T_MOST;
    e.f = sb_cpu_exponential(t.f * t.f * -0.5f);
    e.u &= inside;
    float above = 0.004077430814504623f, below = 0.010220475494861603f;
    above = sb_cpu_fma(above, t.f, 0.04037141799926758f);
    below = sb_cpu_fma(below, t.f, 0.10120294988155365f);
    above = sb_cpu_fma(above, t.f, 0.1824585646390915f);
    below = sb_cpu_fma(below, t.f, 0.46742042899131775f);
    above = sb_cpu_fma(above, t.f, 0.4372466504573822f);
    below = sb_cpu_fma(below, t.f, 1.199277400970459f);
    above = sb_cpu_fma(above, t.f, 0.5f);
    below = sb_cpu_fma(below, t.f, 1.6723783016204834f);
    below = sb_cpu_fma(below, t.f, 1.0f);
    const float left = e.f * above / below;
    *bell = e.f;
    return left + right.f * (1 - 2 * left);
}

/* b, or zeros. */
static const float *bias_of(const sb_call *call, int first)
{
    static const float zeros[SB_CPU_PIECE];
    return call->w[0] ? call->w[0] + first : zeros;
}

static void forward_piece(const sb_call *call, size_t at, int first, int count, float *sums)
{
    const sb_type type = call->ys.type;
    float row[SB_CPU_PIECE];
    const float *x = sb_cpu_row(call->x[0], type, at, count, row), *bias = bias_of(call, first);
    float *y = sb_cpu_row_to(call->y, type, at, false, row);
    (void)sums;
#pragma omp simd
    for (int i = 0; i < count; i++) {
        const float u = x[i] + bias[i];
        float bell;
        y[i] = u * distribution(u, &bell);
    }
    if (y == row)
        sb_cpu_store_row(call->y, type, at, count, row);
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    sb_cpu_pieces(call, forward_piece, NULL);
    return 0;
}

static void backward_piece(const sb_call *call, size_t at, int first, int count, float *sums)
{
    const sb_type type = call->ys.type;
    float row[SB_CPU_PIECE], incoming[SB_CPU_PIECE];
    const float *x = sb_cpu_row(call->x[0], type, at, count, row), *bias = bias_of(call, first),
                *dy = sb_cpu_row(call->dy, type, at, count, incoming);
    float *dx = call->dx[0] ? sb_cpu_row_to(call->dx[0], type, at, call->add[0], row) : row;
#pragma omp simd
    for (int i = 0; i < count; i++) {
        const float u = x[i] + bias[i];
        float bell, phi = distribution(u, &bell);
        dx[i] = dy[i] * sb_cpu_fma(u, bell * 0.39894228040143268f, phi); /* 1 / sqrt(2 pi) */
    }
    if (sums) {
#pragma omp simd
        for (int i = 0; i < count; i++)
            sums[first + i] += dx[i];
    }
    if (call->dx[0] && dx == row)
        sb_cpu_give_row(call->dx[0], type, at, count, row, call->add[0]);
}

static size_t scratch(sb_device *device, const sb_call *call)
{
    (void)device;
    return ((const sb_gelu_how *)call->how)->bias ? sb_cpu_pieces_scratch(call) : 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    sb_cpu_pieces(call, backward_piece, call->dw[0]);
    return 0;
}

const sb_kernel sb_cpu_gelu = { .scratch = scratch, .forward = forward, .backward = backward };
