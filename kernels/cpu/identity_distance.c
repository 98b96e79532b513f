/* identity_distance.c: how far a matrix is from the identity on the CPU. A row's sum is one thread's, in f64;
 * rows are added in order, so no result depends on the number of threads. */
#include "kernels/op/identity_distance.h"

#include "kernels/cpu/cpu.h"

/* A sum for each row. */
static size_t scratch(sb_device *device, const sb_call *call)
{
    (void)device;
    return (size_t)call->xs[0].c * sizeof(double);
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    size_t d = (size_t)call->xs[0].c;
    const float *x = call->x[0];
    const sb_identity_distance_how *how = call->how;
    double *sums = call->scratch, sum = 0;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < d; r++) {
        double on = x[r * d + r] - 1.0, others = 0;
        for (size_t c = 0; c < d; c++)
            if (c != r)
                others += (double)x[r * d + c] * x[r * d + c];
        sums[r] = how->on * on * on + how->off * others;
    }
    for (size_t r = 0; r < d; r++)
        sum += sums[r];
    *(float *)call->y = (float)sum;
    return 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    size_t d = (size_t)call->xs[0].c;
    const float *x = call->x[0];
    const sb_identity_distance_how *how = call->how;
    float twice = 2 * *(const float *)call->dy, on = how->on * twice, off = how->off * twice;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < d; r++)
        for (size_t c = 0; c < d; c++) {
            size_t i = r * d + c;
            sb_cpu_give(call->dx[0], i, r == c ? on * (x[i] - 1) : off * x[i], call->add[0]);
        }
    return 0;
}

const sb_kernel sb_cpu_identity_distance = { .scratch = scratch, .forward = forward, .backward = backward };
