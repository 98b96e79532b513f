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

/* 13.2, as bits: exp(-t^2/2) is below f32's least normal number from here on. */
#define T_MOST 0x41533333u

/* 2^v for -126 <= v <= 0: the nearest whole number goes into the exponent, what is left into a polynomial
 * (relative error 2e-9). */
static inline float power_of_two(float v)
{
    const float round = 12582912.0f; /* 1.5 2^23: the sum's last digit is 1 */
    sb_float_bits whole, scale;
    whole.f = v + round;
    const float f = v - (whole.f - round);
    float p = 0.00015345742576755583f;
    p = p * f + 0.0013399928575381637f;
    p = p * f + 0.009618489071726799f;
    p = p * f + 0.05550328642129898f;
    p = p * f + 0.24022646248340607f;
    p = p * f + 0.6931471824645996f;
    p = p * f + 1.0f;
    scale.u = (whole.u - 0x4B400000u + 127u) << 23;
    return p * scale.f;
}

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
    e.f = power_of_two(t.f * t.f * -0.72134752044448170f); /* log2(e) / 2 */
    e.u &= inside;
    float above = 0.004077430814504623f, below = 0.010220475494861603f;
    above = above * t.f + 0.04037141799926758f;
    below = below * t.f + 0.10120294988155365f;
    above = above * t.f + 0.1824585646390915f;
    below = below * t.f + 0.46742042899131775f;
    above = above * t.f + 0.4372466504573822f;
    below = below * t.f + 1.199277400970459f;
    above = above * t.f + 0.5f;
    below = below * t.f + 1.6723783016204834f;
    below = below * t.f + 1.0f;
    const float left = e.f * above / below;
    *bell = e.f;
    return left + right.f * (1 - 2 * left);
}

/* u = x + b */
static void load_piece(const sb_call *call, size_t at, int first, int count, float *u)
{
    const float *bias = call->w[0];
    sb_cpu_load_row(call->x[0], call->ys.type, at, count, u);
    if (bias) {
#pragma omp simd
        for (int i = 0; i < count; i++)
            u[i] += bias[first + i];
    }
}

static void forward_piece(const sb_call *call, size_t at, int first, int count, float *sums)
{
    float u[SB_CPU_PIECE];
    (void)sums;
    load_piece(call, at, first, count, u);
#pragma omp simd
    for (int i = 0; i < count; i++) {
        float bell;
        u[i] *= distribution(u[i], &bell);
    }
    sb_cpu_store_row(call->y, call->ys.type, at, count, u);
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
    float u[SB_CPU_PIECE], g[SB_CPU_PIECE];
    load_piece(call, at, first, count, u);
    sb_cpu_load_row(call->dy, type, at, count, g);
#pragma omp simd
    for (int i = 0; i < count; i++) {
        float bell, phi = distribution(u[i], &bell);
        g[i] *= phi + u[i] * (bell * 0.39894228040143268f); /* 1 / sqrt(2 pi) */
    }
    if (sums) {
#pragma omp simd
        for (int i = 0; i < count; i++)
            sums[first + i] += g[i];
    }
    if (call->dx[0])
        sb_cpu_give_row(call->dx[0], type, at, count, g, call->add[0]);
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
