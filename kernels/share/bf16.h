/* bf16.h: conversion between f32 and bf16 bits, the same on every device (C and CUDA C compile this file). */
#ifndef SB_KERNELS_BF16_H
#define SB_KERNELS_BF16_H

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

/* Round to nearest even. A NaN stays one, whatever its low bits: a GPU's is 0x7FFFFFFF, which rounding would
 * carry into -0. */
SB_SHARED uint16_t sb_to_bf16(float value)
{
    sb_float_bits v;
    v.f = value;
    uint32_t rounded = (v.u + 0x7FFF + ((v.u >> 16) & 1)) >> 16, nan = (v.u >> 16) | 0x40;
    return (uint16_t)((v.u & 0x7FFFFFFF) > 0x7F800000 ? nan : rounded);
}

#endif
