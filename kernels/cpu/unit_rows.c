/* unit_rows.c: rows made unit vectors on the CPU. */
#include <math.h>

#include "kernels/cpu/cpu.h"
#include "kernels/op/unit_rows.h"

static double dot(const float *a, const float *b, size_t columns)
{
    double sum = 0;
    for (size_t c = 0; c < columns; c++)
        sum += (double)a[c] * b[c];
    return sum;
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    size_t columns = (size_t)call->ys.c, rows = sb_shape_rows(&call->ys);
    float *norm = call->aux;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < rows; r++) {
        const float *x = (const float *)call->x[0] + r * columns;
        float *y = (float *)call->y + r * columns;
        double length = sqrt(dot(x, x, columns));
        norm[r] = length < 1e-12 ? 1e-12f : (float)length; /* NAN stays */
        for (size_t c = 0; c < columns; c++)
            y[c] = x[c] / norm[r];
    }
    return 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    size_t columns = (size_t)call->ys.c, rows = sb_shape_rows(&call->ys);
    const float *norm = call->aux;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < rows; r++) {
        const float *y = (const float *)call->y + r * columns, *dy = (const float *)call->dy + r * columns;
        float *dx = (float *)call->dx[0] + r * columns, along = (float)dot(y, dy, columns);
        for (size_t c = 0; c < columns; c++)
            sb_cpu_give(dx, c, (dy[c] - y[c] * along) / norm[r], call->add[0]);
    }
    return 0;
}

const sb_kernel sb_cpu_unit_rows = { .forward = forward, .backward = backward };
