/* standard_rows.c: rows of mean 0 and variance 1 on the CPU. */
#include "kernels/op/standard_rows.h"

#include "kernels/cpu/cpu.h"

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    size_t columns = (size_t)call->ys.c, rows = sb_shape_rows(&call->ys);
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < rows; r++)
        sb_standard_row((const float *)call->x[0] + r * columns, columns, (float *)call->y + r * columns);
    return 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    size_t columns = (size_t)call->ys.c, rows = sb_shape_rows(&call->ys);
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < rows; r++) {
        const float *x = (const float *)call->x[0] + r * columns, *dy = (const float *)call->dy + r * columns;
        float *dx = (float *)call->dx[0] + r * columns;
        double mean, inverse, sum = 0, along = 0;
        sb_standard_find(x, columns, &mean, &inverse);
        for (size_t c = 0; c < columns; c++) {
            sum += dy[c];
            along += dy[c] * (x[c] - mean);
        }
        sum /= (double)columns;
        along *= inverse * inverse / (double)columns;
        for (size_t c = 0; c < columns; c++)
            sb_cpu_give(dx, c, (float)((dy[c] - sum - (x[c] - mean) * along) * inverse), call->add[0]);
    }
    return 0;
}

const sb_kernel sb_cpu_standard_rows = { .forward = forward, .backward = backward };
