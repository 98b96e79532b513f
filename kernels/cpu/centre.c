/* centre.c: columns without their means on the CPU. A thread has TILE columns of a group and adds its rows
 * in order, in f64, so no result depends on the number of threads. */
#include "kernels/op/centre.h"

#include "kernels/cpu/cpu.h"

#define TILE 64

static void centre(const sb_call *call, const float *x, float *y, bool add)
{
    size_t columns = (size_t)call->xs[0].c, samples = (size_t)((const sb_centre_how *)call->how)->samples,
           groups = sb_shape_rows(&call->xs[0]) / samples;
#pragma omp parallel for collapse(2) schedule(static)
    for (size_t group = 0; group < groups; group++)
        for (size_t first = 0; first < columns; first += TILE) {
            size_t count = columns - first < TILE ? columns - first : TILE,
                   begin = group * samples * columns + first;
            double mean[TILE] = { 0 };
            for (size_t r = 0; r < samples; r++)
                for (size_t c = 0; c < count; c++)
                    mean[c] += x[begin + r * columns + c];
            for (size_t c = 0; c < count; c++)
                mean[c] /= (double)samples;
            for (size_t r = 0; r < samples; r++)
                for (size_t c = 0; c < count; c++) {
                    size_t i = begin + r * columns + c;
                    sb_cpu_give(y, i, (float)(x[i] - mean[c]), add);
                }
        }
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    centre(call, call->x[0], call->y, false);
    return 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    centre(call, call->dy, call->dx[0], call->add[0]);
    return 0;
}

const sb_kernel sb_cpu_centre = { .forward = forward, .backward = backward };
