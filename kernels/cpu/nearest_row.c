/* nearest_row.c: the nearest rows of a queue on the CPU. The products are oneDNN's, a band at a time. */
#include "kernels/op/nearest_row.h"

#include <math.h>
#include <string.h>

#include "kernels/cpu/cpu.h"

typedef struct {
    float *best;     /* [rows]: the largest product so far */
    int *at;         /* [rows]: of which row of the queue; -1: of none */
    float *products; /* [rows, band] */
} work;

static size_t scratch(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_nearest_row s = sb_nearest_row_of(call);
    return (size_t)s.rows * (sizeof(float) + sizeof(int) + (size_t)s.band * sizeof(float));
}

/* What a band of `count` rows, from row `first` of the queue on, adds. */
static void look(const sb_nearest_row *s, const work *w, int first, int count)
{
#pragma omp parallel for schedule(static)
    for (int r = 0; r < s->rows; r++) {
        const float *products = w->products + (size_t)r * (size_t)count;
        for (int c = 0; c < count; c++)
            if (products[c] > w->best[r]) {
                w->best[r] = products[c];
                w->at[r] = first + c;
            }
    }
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_nearest_row s = sb_nearest_row_of(call);
    const float *x = call->x[0], *queue = call->x[1];
    const size_t columns = (size_t)s.columns;
    const int used = sb_used(call->x[2], s.queue, 0);
    work w = { .best = call->scratch };
    w.at = (int *)(void *)(w.best + s.rows);
    w.products = (float *)(void *)(w.at + s.rows);
    for (int r = 0; r < s.rows; r++) {
        w.best[r] = -INFINITY;
        w.at[r] = -1;
    }
    for (int first = 0; first < used; first += s.band) {
        const int count = used - first < s.band ? used - first : s.band;
        if (sb_cpu_sgemm(false, true, s.rows, count, s.columns, 1, x, queue + (size_t)first * columns, 0,
                         w.products) != 0)
            return -1;
        look(&s, &w, first, count);
    }
    for (int r = 0; r < s.rows; r++)
        memcpy((float *)call->y + (size_t)r * columns,
               w.at[r] < 0 ? x + (size_t)r * columns : queue + (size_t)w.at[r] * columns,
               columns * sizeof(float));
    return 0;
}

const sb_kernel sb_cpu_nearest_row = { .scratch = scratch, .forward = forward };
