/* exponential.h: exp of f32 without a call of libm, so that whole vectors go through. Private to kernels/cpu.
 */
#ifndef SB_KERNELS_CPU_EXPONENTIAL_H
#define SB_KERNELS_CPU_EXPONENTIAL_H

#include "kernels/share/half.h"

/* a b + c, rounded once where the processor has an instruction for it. */
static inline float sb_cpu_fma(float a, float b, float c)
{
#ifdef __FMA__
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

/* exp(x) for -87.3 <= x <= 0, where the result is a normal number; off by less than 2 / 2^24 of itself.
 * NaN stays. 2^n times a polynomial in x - n log 2, which is within half of log 2 from 0 (relative
 * error 2e-8). */
static inline float sb_cpu_exponential(float x)
{
    const float whole = 12582912.0f; /* 1.5 2^23: the sum's last digit is 1 */
    sb_float_bits shifted, power;
    shifted.f = sb_cpu_fma(x, 1.44269504f, whole);
    const float n = shifted.f - whole;
    const float r = sb_cpu_fma(n, 2.12194440e-4f, sb_cpu_fma(n, -0.693359375f, x)); /* log 2, in two parts */
    float p = 0.001383678289f;
    p = sb_cpu_fma(p, r, 0.008374813944f);
    p = sb_cpu_fma(p, r, 0.04166822508f);
    p = sb_cpu_fma(p, r, 0.166664198f);
    p = sb_cpu_fma(p, r, 0.4999999106f);
    p = sb_cpu_fma(p, r, 1.0f);
    p = sb_cpu_fma(p, r, 1.0f);
    power.u = (shifted.u << 23) + 0x3F800000u;
    return p * power.f;
}

#endif
