/* input.c: 8-bit pixels to normalised activations. */
#include "kernels/cpu/cpu.h"

int sb_cpu_input(sb_device *device, int n, int side, int c, const uint8_t *pixels, const float *mean, const float *std, sb_type type,
                 void *x)
{
    (void)device;
    float scale[4], offset[4];
    for (int k = 0; k < c; k++) {
        scale[k] = 1.0f / (255.0f * std[k]);
        offset[k] = -mean[k] / std[k];
    }
    size_t row = (size_t)side * (size_t)c;
    long rows = (long)n * side;
#pragma omp parallel for schedule(static)
    for (long r = 0; r < rows; r++)
        for (int p = 0; p < side; p++)
            for (int k = 0; k < c; k++) {
                size_t at = (size_t)r * row + (size_t)(p * c + k);
                sb_cpu_store(x, type, at, (float)pixels[at] * scale[k] + offset[k]);
            }
    return 0;
}
