/* cross_entropy.c: targets against softmaxes on the CPU. A row is one thread's, its sums in f64. */
#include "kernels/op/cross_entropy.h"

#include <math.h>

#include "kernels/cpu/cpu.h"

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_cross_entropy_how *how = call->how;
    size_t columns = (size_t)call->xs[0].c, rows = sb_shape_rows(&call->xs[0]);
    float *y = call->y, *aux = call->aux;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < rows; r++) {
        const float *x = (const float *)call->x[0] + r * columns,
                    *q = (const float *)call->x[1] + r * columns;
        float most = x[0];
        for (size_t c = 1; c < columns; c++)
            most = x[c] > most ? x[c] : most;
        double sum = 0, target = 0, along = 0;
        for (size_t c = 0; c < columns; c++) {
            double logit = ((double)x[c] - most) / how->temperature;
            sum += exp(logit);
            target += q[c];
            along += q[c] * logit;
        }
        double log_sum = log(sum < 1 ? 1 : sum);
        aux[2 * r] = most;
        aux[2 * r + 1] = (float)log_sum;
        y[r] = (float)(target * log_sum - along);
    }
    return 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_cross_entropy_how *how = call->how;
    size_t columns = (size_t)call->xs[0].c, rows = sb_shape_rows(&call->xs[0]);
    const float *dy = call->dy, *aux = call->aux;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < rows; r++) {
        const float *x = (const float *)call->x[0] + r * columns,
                    *q = (const float *)call->x[1] + r * columns;
        float *dx = (float *)call->dx[0] + r * columns, most = aux[2 * r], log_sum = aux[2 * r + 1],
              scale = dy[r] / how->temperature;
        double target = 0;
        for (size_t c = 0; c < columns; c++)
            target += q[c];
        for (size_t c = 0; c < columns; c++) {
            float p = expf((x[c] - most) / how->temperature - log_sum);
            sb_cpu_give(dx, c, scale * (p * (float)target - q[c]), call->add[0]);
        }
    }
    return 0;
}

const sb_kernel sb_cpu_cross_entropy = { .forward = forward, .backward = backward };
