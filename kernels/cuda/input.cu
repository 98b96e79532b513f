/* input.cu: 8-bit pixels to normalised activations, on a GPU. */
#include "kernels/cuda/line.h"

static __global__ void normalise(size_t count, int c, cuda_line line, const uint8_t *pixels, sb_type type,
                                 void *x)
{
    size_t i = global_thread();
    if (i < count)
        store(x, type, i, on_line(line, pixels[i], (int)(i % (size_t)c)));
}

static int forward(sb_device *device, const sb_call *c)
{
    const sb_input_how *how = (const sb_input_how *)c->how;
    size_t count = sb_shape_elements(&c->xs[0]);
    LAUNCH(normalise, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, c->xs[0].c,
           cuda_line_of(how, c->xs[0].c), (const uint8_t *)c->x[0], how->type, c->y);
    return sb_cuda_launched("input");
}

extern "C" const sb_kernel sb_cuda_input = { .forward = forward };
