/* half.h: conversion between f32 and the bits of the two types of 16 bits, bf16 and f16, the same on every
 * device (C and CUDA C compile this file). All round to nearest even. */
#ifndef SB_KERNELS_HALF_H
#define SB_KERNELS_HALF_H

#include <stdint.h>

#include "kernels/share/share.h"

typedef union {
    uint32_t u;
    float f;
} sb_float_bits;

SB_SHARED float sb_from_bf16(uint16_t bits)
{
    sb_float_bits v;
    v.u = (uint32_t)bits << 16;
    return v.f;
}

/* A NaN stays one, whatever its low bits: a GPU's is 0x7FFFFFFF, which rounding would carry into -0. From
 * compute capability 8.0 on a GPU has an instruction, which gives the same bits but for those of a NaN. */
SB_SHARED uint16_t sb_to_bf16(float value)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    uint16_t bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
#else
    sb_float_bits v;
    v.f = value;
    uint32_t rounded = (v.u + 0x7FFF + ((v.u >> 16) & 1)) >> 16, nan = (v.u >> 16) | 0x40;
    return (uint16_t)((v.u & 0x7FFFFFFF) > 0x7F800000 ? nan : rounded);
#endif
}

/* f16 has 5 bits of exponent and 11 of significand: 65504 is its largest number, 2^-14 the least with all
 * digits, 2^-24 the least. A GPU has an instruction for each way, which gives the same bits but for those of
 * a NaN read. */
SB_SHARED float sb_from_f16(uint16_t bits)
{
    sb_float_bits v;
#ifdef __CUDA_ARCH__
    asm("cvt.f32.f16 %0, %1;" : "=f"(v.f) : "h"(bits));
#else
    v.u = (uint32_t)(bits & 0x7FFF) << 13; /* 2^112 times too small, whatever digits it has */
    v.f *= 0x1p112f;
    v.u |= (bits & 0x7C00) == 0x7C00 ? 0x7F800000u : 0;
    v.u |= (uint32_t)(bits & 0x8000) << 16;
#endif
    return v.f;
}

SB_SHARED uint16_t sb_to_f16(float value)
{
#ifdef __CUDA_ARCH__
    uint16_t bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
#else
    sb_float_bits v, least;
    v.f = value;
    uint32_t sign = v.u >> 16 & 0x8000;
    v.u &= 0x7FFFFFFF;
    least.f = v.f + 0.5f; /* below 2^-14: the last digit of a number from 0.5 on is 2^-24, as f16's there */
    uint32_t rounded = (v.u - (112u << 23) + 0xFFF + (v.u >> 13 & 1)) >> 13, small = least.u - 0x3F000000;
    uint32_t finite = v.u < 0x38800000 ? small : rounded, large = v.u > 0x7F800000 ? 0x7FFF : 0x7C00;
    return (uint16_t)(sign | (v.u < 0x477FF000 ? finite : large)); /* from 65520 on: infinite */
#endif
}

#endif
