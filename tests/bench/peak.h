/* peak.h: the figures of a device that bound whatever it does, and the bound. */
#ifndef SB_TESTS_BENCH_PEAK_H
#define SB_TESTS_BENCH_PEAK_H

#include "kernels/device.h"

typedef struct {
    char name[64];
    double bandwidth; /* bytes a second, of its memory */
    double f32, bf16; /* operations a second: multiplications and additions in f32; in bf16 with f32 sums */
    double link;      /* bytes a second that come up from the host at most; 0: not known */
} sb_peak;

/* The least seconds for so many bytes and operations: the longer of the two. */
static inline double sb_peak_bound(const sb_peak *p, double bytes, double operations, sb_type type)
{
    double memory = bytes / p->bandwidth, compute = operations / (type == SB_F32 ? p->f32 : p->bf16);
    return memory > compute ? memory : compute;
}

#endif
