/* softmax.c: softmax of rows on the CPU. A row is one thread's, its sum in f64. */
#include "kernels/op/softmax.h"

#include <math.h>

#include "kernels/cpu/cpu.h"

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_softmax_how *how = call->how;
    const float *offset = call->x[1];
    size_t columns = (size_t)call->xs[0].c, rows = sb_shape_rows(&call->xs[0]);
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < rows; r++) {
        const float *x = (const float *)call->x[0] + r * columns;
        float *y = (float *)call->y + r * columns;
        double most = -INFINITY, sum = 0;
        for (size_t c = 0; c < columns; c++)
            most = fmax(most, (double)x[c] - (offset ? offset[c] : 0));
        for (size_t c = 0; c < columns; c++) {
            double e = exp(((double)x[c] - (offset ? offset[c] : 0) - most) / how->temperature);
            sum += e;
            y[c] = (float)e;
        }
        for (size_t c = 0; c < columns; c++)
            y[c] = (float)(y[c] / sum);
    }
    return 0;
}

const sb_kernel sb_cpu_softmax = { .forward = forward };
