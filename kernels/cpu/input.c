/* input.c: 8-bit pixels to normalised activations, on the CPU. */
#include "kernels/op/input.h"

#include "kernels/cpu/cpu.h"

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_input_how *how = call->how;
    const sb_shape *x = &call->xs[0];
    const uint8_t *pixels = call->x[0];
    const sb_input_line line = sb_input_line_of(how, x->c);
    const int c = x->c;
    size_t row = (size_t)x->w * (size_t)c;
    long rows = (long)x->n * x->h;
#pragma omp parallel for schedule(static)
    for (long r = 0; r < rows; r++)
        for (int p = 0; p < x->w; p++)
            for (int k = 0; k < c; k++) {
                size_t at = (size_t)r * row + (size_t)(p * c + k);
                sb_cpu_store(call->y, how->type, at, (float)pixels[at] * line.scale[k] + line.offset[k]);
            }
    return 0;
}

const sb_kernel sb_cpu_input = { .forward = forward };
