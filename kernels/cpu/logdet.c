/* logdet.c: the volume of a view's rows on the CPU, in f64. A sum is one thread's and in index order, so no
 * result depends on the number of threads. */
#include "kernels/op/logdet.h"

#include <math.h>

#include "kernels/cpu/cholesky.h"
#include "kernels/cpu/cpu.h"

/* Views are taken one after another; a row of the solutions is a column's. */
static size_t scratch(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_logdet s = sb_logdet_of(call);
    return sb_logdet_scratch(&s) * sizeof(double);
}

/* I + scale X X^T for the vectors of a view, the lower triangle. columns [length, count]: X^T. */
static void gram(const sb_logdet *s, const double *columns, double *matrix)
{
    const size_t count = (size_t)s->count, length = (size_t)s->length;
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < count; i++) {
        double *row = matrix + i * count;
        for (size_t k = 0; k <= i; k++)
            row[k] = 0;
        for (size_t j = 0; j < length; j++)
            for (size_t k = 0; k <= i; k++)
                row[k] += columns[j * count + i] * columns[j * count + k];
        for (size_t k = 0; k <= i; k++)
            row[k] = s->scale * row[k] + (i == k);
    }
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_logdet s = sb_logdet_of(call);
    const size_t count = (size_t)s.count, length = (size_t)s.length;
    double *matrix = call->scratch, *columns = matrix + count * count;
    for (size_t v = 0; v < (size_t)s.views; v++) {
        const float *x = (const float *)call->x[0] + v * s.whole;
        float *aux = (float *)call->aux + v * s.whole;
        double sum = 0;
#pragma omp parallel for schedule(static)
        for (size_t j = 0; j < length; j++)
            for (size_t i = 0; i < count; i++)
                columns[j * count + i] = x[i * s.across + j * s.along];
        gram(&s, columns, matrix);
        sb_cpu_cholesky(matrix, count);
        for (size_t i = 0; i < count; i++)
            sum += 2 * log(matrix[i * count + i]);
        ((float *)call->y)[v] = (float)sum;
#pragma omp parallel for schedule(static)
        for (size_t j = 0; j < length; j++) {
            double *column = columns + j * count;
            sb_cpu_solve_lower(matrix, count, column);
            sb_cpu_solve_upper(matrix, count, column);
            for (size_t i = 0; i < count; i++)
                aux[i * s.across + j * s.along] = (float)(2 * s.scale * column[i]);
        }
    }
    return 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_logdet s = sb_logdet_of(call);
    const float *dy = call->dy, *aux = call->aux;
    const size_t values = sb_shape_elements(&call->xs[0]);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < values; i++)
        sb_cpu_give(call->dx[0], i, dy[i / s.whole] * aux[i], call->add[0]);
    return 0;
}

const sb_kernel sb_cpu_logdet = { .scratch = scratch, .forward = forward, .backward = backward };
