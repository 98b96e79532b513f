/* logsumexp.c: log-sum-exp of the rows of a matrix on the CPU. A row is one thread's, its sum in f64. */
#include "kernels/op/logsumexp.h"

#include <math.h>

#include "kernels/cpu/cpu.h"

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_logsumexp l = sb_logsumexp_of(call);
    const sb_square *places = call->x[2];
    const int used = sb_used(call->x[1], l.columns, l.columns);
    float *y = call->y, *aux = call->aux;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < l.rows; r++) {
        const float *x = (const float *)call->x[0] + r * (size_t)l.columns;
        float most = -INFINITY;
        for (int c = 0; c < used; c++)
            if (x[c] > most && !sb_logsumexp_left_out(&l, places, r, c))
                most = x[c];
        const float base = most == -INFINITY ? 0 : most;
        double sum = 0;
        for (int c = 0; c < used; c++)
            if (!sb_logsumexp_left_out(&l, places, r, c))
                sum += exp(((double)x[c] - base) / l.how.temperature);
        if (isnan(sum)) /* a largest logit knows nothing of it */
            most = NAN;
        const double log_sum = log(sum < 1 ? 1 : sum);
        aux[2 * r] = most;
        aux[2 * r + 1] = (float)log_sum;
        y[r] = most == -INFINITY ? l.how.empty : (float)((double)most / l.how.temperature + log_sum);
    }
    return 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_logsumexp l = sb_logsumexp_of(call);
    const sb_square *places = call->x[2];
    const int used = sb_used(call->x[1], l.columns, l.columns);
    const float *dy = call->dy, *aux = call->aux;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < l.rows; r++) {
        const float *x = (const float *)call->x[0] + r * (size_t)l.columns;
        float *dx = (float *)call->dx[0] + r * (size_t)l.columns, most = aux[2 * r], log_sum = aux[2 * r + 1],
              scale = dy[r] / l.how.temperature;
        for (int c = 0; c < l.columns; c++) {
            const bool left = c < used && most != -INFINITY && !sb_logsumexp_left_out(&l, places, r, c);
            sb_cpu_give(dx, (size_t)c, left ? scale * expf((x[c] - most) / l.how.temperature - log_sum) : 0,
                        call->add[0]);
        }
    }
    return 0;
}

const sb_kernel sb_cpu_logsumexp = { .forward = forward, .backward = backward };
