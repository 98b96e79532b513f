/* epps_pulley.c: columns against normal numbers on the CPU, in f64. A value's sine and cosine are computed
 * at the first step alone; from knot to knot they are turned by that angle. A thread has TILE columns of a
 * view (backward: of a row) and takes rows and knots in order, so no result depends on the number of threads.
 */
#include "kernels/op/epps_pulley.h"

#include "kernels/cpu/cpu.h"

#define TILE 32

/* exp(i t x) of TILE columns at one knot, and what takes it to the next. */
typedef struct {
    double cosine[TILE], sine[TILE], step_cosine[TILE], step_sine[TILE];
} angles;

static void start(angles *a, double step, int count, const float *x)
{
    for (int c = 0; c < count; c++) {
        a->cosine[c] = 1;
        a->sine[c] = 0;
        a->step_cosine[c] = cos(step * x[c]);
        a->step_sine[c] = sin(step * x[c]);
    }
}

static void turn(angles *a, int count)
{
#pragma omp simd
    for (int c = 0; c < count; c++) {
        double cosine = a->cosine[c] * a->step_cosine[c] - a->sine[c] * a->step_sine[c];
        a->sine[c] = a->sine[c] * a->step_cosine[c] + a->cosine[c] * a->step_sine[c];
        a->cosine[c] = cosine;
    }
}

static int tiles_of(const sb_epps_pulley *s) { return (s->columns + TILE - 1) / TILE; }

/* A tile's sums of cosines and of sines at each knot. */
typedef struct {
    double cosine[TILE], sine[TILE];
} sums;

static size_t scratch(sb_device *device, const sb_call *call)
{
    (void)device;
    sb_epps_pulley s = sb_epps_pulley_of(call);
    return (size_t)s.views * (size_t)tiles_of(&s) * (size_t)s.knots * sizeof(sums);
}

/* x, y, aux: of the tile's first column; x and aux of the view's first row. */
static void tile_forward(const sb_epps_pulley *s, int count, const float *x, float *y, float *aux, sums *sum)
{
    size_t columns = (size_t)s->columns;
    double statistic[TILE] = { 0 };
    for (int j = 0; j < s->knots; j++)
        sum[j] = (sums){ 0 };
    for (size_t n = 0; n < (size_t)s->samples; n++) {
        angles a;
        start(&a, s->step, count, x + n * columns);
        for (int j = 0; j < s->knots; j++) {
#pragma omp simd
            for (int c = 0; c < count; c++) {
                sum[j].cosine[c] += a.cosine[c];
                sum[j].sine[c] += a.sine[c];
            }
            turn(&a, count);
        }
    }
    for (int j = 0; j < s->knots; j++) {
        double normal = sb_epps_pulley_normal(s, j), weight = sb_epps_pulley_weight(s, j);
        float *d = aux + 2 * (size_t)j * columns, *sine = d + columns;
        for (int c = 0; c < count; c++) {
            double off = sum[j].cosine[c] / s->samples - normal, mean = sum[j].sine[c] / s->samples;
            d[c] = (float)off;
            sine[c] = (float)mean;
            statistic[c] += weight * (off * off + mean * mean);
        }
    }
    for (int c = 0; c < count; c++)
        y[c] = (float)(s->samples * statistic[c]);
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    sb_epps_pulley s = sb_epps_pulley_of(call);
    size_t columns = (size_t)s.columns, knots = (size_t)s.knots;
    int tiles = tiles_of(&s);
#pragma omp parallel for collapse(2) schedule(static)
    for (int v = 0; v < s.views; v++)
        for (int tile = 0; tile < tiles; tile++) {
            int first = tile * TILE, count = s.columns - first < TILE ? s.columns - first : TILE;
            size_t view = (size_t)v;
            tile_forward(&s, count, (const float *)call->x[0] + view * (size_t)s.samples * columns + first,
                         (float *)call->y + view * columns + first,
                         (float *)call->aux + view * knots * 2 * columns + first,
                         (sums *)call->scratch + (view * (size_t)tiles + (size_t)tile) * knots);
        }
    return 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    sb_epps_pulley s = sb_epps_pulley_of(call);
    size_t columns = (size_t)s.columns, rows = (size_t)s.views * (size_t)s.samples;
    double factor[SB_KNOTS_MAX];
    for (int j = 0; j < s.knots; j++)
        factor[j] = 2 * sb_epps_pulley_weight(&s, j) * j * s.step;
#pragma omp parallel for collapse(2) schedule(static)
    for (size_t r = 0; r < rows; r++)
        for (size_t first = 0; first < columns; first += TILE) {
            int count = columns - first < TILE ? (int)(columns - first) : TILE;
            size_t view = r / (size_t)s.samples;
            const float *d = (const float *)call->aux + view * (size_t)s.knots * 2 * columns + first;
            double sum[TILE] = { 0 };
            angles a;
            start(&a, s.step, count, (const float *)call->x[0] + r * columns + first);
            for (int j = 0; j < s.knots; j++, d += 2 * columns) {
                const float *sine = d + columns;
#pragma omp simd
                for (int c = 0; c < count; c++)
                    sum[c] += factor[j] * (sine[c] * a.cosine[c] - d[c] * a.sine[c]);
                turn(&a, count);
            }
            const float *dy = (const float *)call->dy + view * columns + first;
            for (int c = 0; c < count; c++)
                sb_cpu_give(call->dx[0], r * columns + first + (size_t)c, (float)(dy[c] * sum[c]),
                            call->add[0]);
        }
    return 0;
}

const sb_kernel sb_cpu_epps_pulley = { .scratch = scratch, .forward = forward, .backward = backward };
