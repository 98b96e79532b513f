/* gpu.h: what the test programs of the CUDA device have in common, on a GPU (test_gpu.c) and on the emulated
 * one (tests/emulated/test_cases.c): the list of cases; times by CUDA events of calls and whole steps, beside
 * what is predicted from the GPU's own clocks and widths (tests/bench/beside.h). */
#ifndef SB_TESTS_CUDA_GPU_H
#define SB_TESTS_CUDA_GPU_H

#include "kernels/device.h"

/* sb_cases_main, with the GPU's stopwatch; and, in f32, and in bf16 and f16 where it has them,
 *   step RECIPE [KEY=VALUE...]   times the trainer's whole step
 *   steps NAME [KEY=VALUE...]    those that are predicted (tests/bench/counts.h) and whose names begin so
 * A time is the mean of `steps` steps. */
int sb_gpu_main(int argc, char **argv, int (*open)(sb_device **out, int threads), const int *threads,
                int steps);

#endif
