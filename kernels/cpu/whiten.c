/* whiten.c: whitening on the CPU, in f64. Rows of a group and of its matrices are shared out; each sum is one
 * thread's and in index order, so no result depends on the number of threads. */
#include "kernels/op/whiten.h"

#include "kernels/cpu/cholesky.h"
#include "kernels/cpu/cpu.h"

/* As the scratch is laid out. */
typedef struct {
    double *rows, *factor, *f;
} work;

/* Groups are taken one after another. */
static size_t scratch(sb_device *device, const sb_call *call)
{
    (void)device;
    sb_whiten s = sb_whiten_of(call);
    return sb_whiten_scratch(&s) * sizeof(double);
}

static work lay_out_work(const sb_whiten *s, void *memory)
{
    const size_t d = (size_t)s->columns;
    work w = { .rows = memory };
    w.factor = w.rows + (size_t)s->samples * d;
    w.f = w.factor + d * d;
    return w;
}

/* rows less their columns' means. */
static void centre(size_t n, size_t d, double *rows)
{
#pragma omp parallel for schedule(static)
    for (size_t c = 0; c < d; c++) {
        double mean = 0;
        for (size_t r = 0; r < n; r++)
            mean += rows[r * d + c];
        mean /= (double)n;
        for (size_t r = 0; r < n; r++)
            rows[r * d + c] -= mean;
    }
}

/* A group's rows without means, and the factor of their covariance. */
static void factorise(const sb_whiten *s, const float *x, const work *w)
{
    const size_t n = (size_t)s->samples, d = (size_t)s->columns;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n * d; i++)
        w->rows[i] = x[i];
    centre(n, d, w->rows);
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < d; i++) {
        for (size_t k = 0; k <= i; k++)
            w->factor[i * d + k] = 0;
        for (size_t r = 0; r < n; r++)
            for (size_t k = 0; k <= i; k++)
                w->factor[i * d + k] += w->rows[r * d + i] * w->rows[r * d + k];
        for (size_t k = 0; k <= i; k++)
            w->factor[i * d + k] /= (double)(n - 1);
    }
    sb_cpu_cholesky(w->factor, d);
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_whiten s = sb_whiten_of(call);
    const work w = lay_out_work(&s, call->scratch);
    const size_t n = (size_t)s.samples, d = (size_t)s.columns;
    for (size_t g = 0; g < (size_t)s.groups; g++) {
        float *y = (float *)call->y + g * n * d;
        factorise(&s, (const float *)call->x[0] + g * n * d, &w);
#pragma omp parallel for schedule(static)
        for (size_t r = 0; r < n; r++) {
            sb_cpu_solve_lower(w.factor, d, w.rows + r * d);
            for (size_t c = 0; c < d; c++)
                y[r * d + c] = (float)w.rows[r * d + c];
        }
    }
    return 0;
}

/* F + F^T over (samples - 1), into w->f. */
static void couple(const sb_whiten *s, const float *y, const float *dy, const work *w)
{
    const size_t n = (size_t)s->samples, d = (size_t)s->columns;
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < d; i++) {
        double *row = w->f + i * d;
        for (size_t k = 0; k <= i; k++)
            row[k] = 0;
        for (size_t r = 0; r < n; r++)
            for (size_t k = 0; k <= i; k++)
                row[k] += (double)dy[r * d + i] * y[r * d + k];
        for (size_t k = 0; k <= i; k++)
            row[k] /= (double)(n - 1);
    }
    for (size_t i = 0; i < d; i++)
        for (size_t k = 0; k < i; k++)
            w->f[k * d + i] = w->f[i * d + k];
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_whiten s = sb_whiten_of(call);
    const work w = lay_out_work(&s, call->scratch);
    const size_t n = (size_t)s.samples, d = (size_t)s.columns;
    for (size_t g = 0; g < (size_t)s.groups; g++) {
        const size_t first = g * n * d;
        const float *y = (const float *)call->y + first, *dy = (const float *)call->dy + first;
        factorise(&s, (const float *)call->x[0] + first, &w);
        couple(&s, y, dy, &w);
#pragma omp parallel for schedule(static)
        for (size_t r = 0; r < n; r++) {
            double *row = w.rows + r * d;
            for (size_t c = 0; c < d; c++) {
                row[c] = dy[r * d + c];
                for (size_t k = 0; k < d; k++)
                    row[c] -= y[r * d + k] * w.f[k * d + c];
            }
            sb_cpu_solve_upper(w.factor, d, row);
        }
        centre(n, d, w.rows);
#pragma omp parallel for schedule(static)
        for (size_t i = 0; i < n * d; i++)
            sb_cpu_give(call->dx[0], first + i, (float)w.rows[i], call->add[0]);
    }
    return 0;
}

const sb_kernel sb_cpu_whiten = { .scratch = scratch, .forward = forward, .backward = backward };
