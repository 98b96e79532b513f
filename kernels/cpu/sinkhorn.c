/* sinkhorn.c: codes over prototypes on the CPU. E is kept in f32, its scalings and all sums in f64. A sum
 * over rows is one thread's, in order, so no result depends on the number of threads. */
#include "kernels/op/sinkhorn.h"

#include <math.h>

#include "kernels/cpu/cpu.h"

#define TILE 64 /* columns of a thread */

typedef struct {
    double *row, *column; /* [rows], [K]: the scalings; y = row E column */
    float *most;          /* [rows]: largest scores */
    float *e;             /* [rows, K] */
} work;

static size_t rows_of(const sb_sinkhorn *s) { return (size_t)s->earlier + (size_t)s->samples; }

static size_t scratch(sb_device *device, const sb_call *call)
{
    (void)device;
    sb_sinkhorn s = sb_sinkhorn_of(call);
    size_t rows = rows_of(&s), k = (size_t)s.columns;
    return (rows + k) * sizeof(double) + rows * (1 + k) * sizeof(float);
}

static work lay_out_work(const sb_sinkhorn *s, void *memory)
{
    work w = { .row = memory };
    w.column = w.row + rows_of(s);
    w.most = (void *)(w.column + s->columns);
    w.e = w.most + rows_of(s);
    return w;
}

/* Row r of the stack: `used` earlier ones, then x's. */
static const float *row_of(const sb_call *call, size_t used, size_t r)
{
    size_t k = (size_t)call->xs[0].c;
    return r < used ? (const float *)call->x[1] + r * k : (const float *)call->x[0] + (r - used) * k;
}

static void exponentials(const sb_sinkhorn *s, const sb_call *call, size_t used, const work *w)
{
    size_t rows = used + (size_t)s->samples, k = (size_t)s->columns;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < rows; r++) {
        const float *score = row_of(call, used, r);
        float most = score[0];
        for (size_t c = 1; c < k; c++)
            most = score[c] > most ? score[c] : most;
        w->most[r] = most;
        for (size_t c = 0; c < k; c++)
            w->e[r * k + c] = (float)exp(((double)score[c] - most) / s->epsilon);
    }
    float most = w->most[0];
    for (size_t r = 1; r < rows; r++)
        most = w->most[r] > most ? w->most[r] : most;
    for (size_t r = 0; r < rows; r++)
        w->row[r] = fmax(exp(((double)w->most[r] - most) / s->epsilon), SB_SINKHORN_LEAST);
}

static void scale_columns(const sb_sinkhorn *s, size_t rows, const work *w)
{
    int k = s->columns;
#pragma omp parallel for schedule(static)
    for (int first = 0; first < k; first += TILE) {
        int count = k - first < TILE ? k - first : TILE;
        double sum[TILE] = { 0 };
        for (size_t r = 0; r < rows; r++) {
            const float *e = w->e + r * (size_t)k + first;
#pragma omp simd
            for (int c = 0; c < count; c++)
                sum[c] += w->row[r] * e[c];
        }
        for (int c = 0; c < count; c++)
            w->column[first + c] = sum[c] == 0 ? 0 : 1 / sum[c];
    }
}

static void scale_rows(const sb_sinkhorn *s, size_t rows, const work *w)
{
    size_t k = (size_t)s->columns;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < rows; r++) {
        double sum = 0;
        for (size_t c = 0; c < k; c++)
            sum += w->e[r * k + c] * w->column[c];
        w->row[r] = 1 / sum;
    }
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    sb_sinkhorn s = sb_sinkhorn_of(call);
    work w = lay_out_work(&s, call->scratch);
    size_t used = (size_t)sb_sinkhorn_used(&s, call->x[2]), rows = used + (size_t)s.samples,
           k = (size_t)s.columns;
    exponentials(&s, call, used, &w);
    for (int i = 0; i < ((const sb_sinkhorn_how *)call->how)->iterations; i++) {
        scale_columns(&s, rows, &w);
        scale_rows(&s, rows, &w);
    }
#pragma omp parallel for schedule(static)
    for (size_t r = used; r < rows; r++)
        for (size_t c = 0; c < k; c++)
            ((float *)call->y)[(r - used) * k + c] = (float)(w.row[r] * w.e[r * k + c] * w.column[c]);
    return 0;
}

const sb_kernel sb_cpu_sinkhorn = { .scratch = scratch, .forward = forward };
