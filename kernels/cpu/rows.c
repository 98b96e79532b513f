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

/* Each row of x looks for the one row of y that took it. */
static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_rows_how *how = call->how;
    int n = call->xs[0].n;
    size_t width = sb_shape_elements(&call->xs[0]) / (size_t)n;
#pragma omp parallel for schedule(static)
    for (int j = 0; j < n; j++) {
        int i = j >= how->first ? j - how->first : j - how->first + n;
        const float *dy = i < how->count ? (const float *)call->dy + (size_t)i * width : NULL;
        float *dx = (float *)call->dx[0] + (size_t)j * width;
        for (size_t k = 0; k < width; k++)
            sb_cpu_give(dx, k, dy ? dy[k] : 0, call->add[0]);
    }
    return 0;
}

const sb_kernel sb_cpu_rows = { .forward = forward, .backward = backward };
