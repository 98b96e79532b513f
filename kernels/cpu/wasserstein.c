/* wasserstein.c: columns against normal numbers on the CPU. A column is one thread's: sorted, then summed in
 * the order of its rows, in f64. */
#include "kernels/op/wasserstein.h"

#include <stdlib.h>

#include "kernels/cpu/cpu.h"

typedef struct {
    float value;
    int row;
} item;

/* Quantiles [samples], and items of all columns. */
static size_t scratch(sb_device *device, const sb_call *call)
{
    (void)device;
    return (size_t)((const sb_wasserstein_how *)call->how)->samples * sizeof(double) +
           sb_shape_elements(&call->xs[0]) * sizeof(item);
}

static int compare(const void *a, const void *b)
{
    const item *x = a, *y = b;
    if (x->value != y->value)
        return x->value < y->value ? -1 : 1;
    return x->row < y->row ? -1 : 1;
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const int samples = ((const sb_wasserstein_how *)call->how)->samples;
    size_t n = (size_t)samples, columns = (size_t)call->ys.c, views = (size_t)call->ys.n;
    double *quantile = call->scratch;
    item *items = (void *)(quantile + n);
    for (int i = 0; i < samples; i++)
        quantile[i] = sb_normal_quantile(i, samples);
#pragma omp parallel for collapse(2) schedule(static)
    for (size_t view = 0; view < views; view++)
        for (size_t c = 0; c < columns; c++) {
            const float *x = (const float *)call->x[0] + view * n * columns + c;
            float *aux = (float *)call->aux + view * n * columns + c;
            item *mine = items + (view * columns + c) * n;
            double sum = 0;
            for (size_t i = 0; i < n; i++)
                mine[i] = (item){ x[i * columns], (int)i };
            qsort(mine, n, sizeof *mine, compare);
            for (size_t i = 0; i < n; i++) {
                double off = mine[i].value - quantile[i];
                sum += off * off;
                aux[(size_t)mine[i].row * columns] = (float)quantile[i];
            }
            ((float *)call->y)[view * columns + c] = (float)(sum / samples);
        }
    return 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    const int samples = ((const sb_wasserstein_how *)call->how)->samples;
    size_t count = sb_shape_elements(&call->xs[0]), columns = (size_t)call->ys.c;
    const float *x = call->x[0], *aux = call->aux, *dy = call->dy;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++) {
        double slope = 2 * ((double)x[i] - aux[i]) / samples;
        sb_cpu_give(call->dx[0], i,
                    (float)(dy[i / columns / (size_t)samples * columns + i % columns] * slope), call->add[0]);
    }
    return 0;
}

const sb_kernel sb_cpu_wasserstein = { .scratch = scratch, .forward = forward, .backward = backward };
