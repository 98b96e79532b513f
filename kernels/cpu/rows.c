/* rows.c: rows in turn on the CPU. */
#include <string.h>

#include "kernels/cpu/cpu.h"
#include "kernels/op/rows.h"

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_rows_how *how = call->how;
    int n = call->xs[0].n;
    size_t width = sb_shape_elements(&call->xs[0]) / (size_t)n;
#pragma omp parallel for schedule(static)
    for (int i = 0; i < how->count; i++)
        memcpy((float *)call->y + (size_t)i * width,
               (const float *)call->x[0] + (((size_t)how->first + (size_t)i) % (size_t)n) * width,
               width * sizeof(float));
    return 0;
}

/* Each row of x looks for the rows of y that took it: one in n. */
static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_rows_how *how = call->how;
    const float *dy = call->dy;
    float *dx = call->dx[0];
    size_t n = (size_t)call->xs[0].n, first = (size_t)how->first, count = (size_t)how->count,
           width = sb_shape_elements(&call->xs[0]) / n;
#pragma omp parallel for schedule(static)
    for (size_t j = 0; j < n; j++)
        for (size_t k = 0; k < width; k++) {
            double sum = 0;
            for (size_t i = (j + n - first) % n; i < count; i += n)
                sum += dy[i * width + k];
            sb_cpu_give(dx, j * width + k, (float)sum, call->add[0]);
        }
    return 0;
}

const sb_kernel sb_cpu_rows = { .forward = forward, .backward = backward };
