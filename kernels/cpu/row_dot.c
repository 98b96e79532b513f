/* row_dot.c: products of rows on the CPU. */
#include "kernels/cpu/cpu.h"
#include "kernels/op/row_dot.h"

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    size_t columns = (size_t)call->xs[0].c, rows = sb_shape_rows(&call->xs[0]);
    float *y = call->y;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < rows; r++) {
        const float *a = (const float *)call->x[0] + r * columns,
                    *b = (const float *)call->x[1] + r * columns;
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (size_t c = 0; c < columns; c++)
            sum += (double)a[c] * b[c];
        y[r] = (float)sum;
    }
    return 0;
}

/* Each input's gradient is the other, scaled. */
static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    size_t columns = (size_t)call->xs[0].c, rows = sb_shape_rows(&call->xs[0]);
    const float *dy = call->dy;
    for (int i = 1; i >= 0; i--) {
        const float *other = call->x[1 - i];
        float *dx = call->dx[i];
        if (!dx)
            continue;
#pragma omp parallel for schedule(static)
        for (size_t r = 0; r < rows; r++)
            for (size_t c = r * columns; c < (r + 1) * columns; c++)
                sb_cpu_give(dx, c, dy[r] * other[c], call->add[i]);
    }
    return 0;
}

const sb_kernel sb_cpu_row_dot = { .forward = forward, .backward = backward };
