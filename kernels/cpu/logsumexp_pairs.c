/* logsumexp_pairs.c: log-sum-exp over pairs of rows on the CPU, tile by tile, never the whole matrix.
 *
 * A thread takes ROWS rows at a time and walks the columns COLUMNS at a time; a tile of logits is one product
 * of matrices. The running maximum keeps every exponent at or below zero. The matrix is symmetric, so one
 * pass over rows gives both terms of the gradient: P_ij uses lse_i, P_ji uses lse_j. */
#include "kernels/op/logsumexp_pairs.h"

#include <math.h>

#include "kernels/cpu/cpu.h"
#include "proto/error.h"

/* A tile lies on a thread's stack and in its core's cache. */
#define ROWS 64
#define COLUMNS 256
#define LANES 16 /* a sum of so many partial sums: a fixed order that vectorises */

/* exp of this is no more than a rounding beside exp(0), and still a normal number. */
#define LEAST_EXPONENT (-87.0f)

/* glibc's vector form, off by less than 4 units in the last place. Elsewhere it is newer than Debian 12. */
#ifdef __x86_64__
#pragma omp declare simd notinbranch
float expf(float x);
#endif

/* The logit of a pair that is left out is -INFINITY. Here those of one sample's views: one column in
 * `samples`. */
static void leave_out_own(const sb_call *call, int row, int rows, int column, int columns, float *logits)
{
    const sb_logsumexp_pairs_how *how = call->how;
    for (int r = 0; r < rows; r++) {
        int own = (row + r) % how->samples,
            first = (own - column % how->samples + how->samples) % how->samples;
        for (int c = first; c < columns; c += how->samples)
            if (sb_pair_left_out(how, NULL, row + r, column + c))
                logits[r * columns + c] = -INFINITY;
    }
}

/* And those of samples that overlap, which are of one image: most rows have no other of theirs in a tile. */
static void leave_out_overlapping(const sb_call *call, int row, int rows, int column, int columns,
                                  float *logits)
{
    const int samples = ((const sb_logsumexp_pairs_how *)call->how)->samples;
    const sb_square *places = call->x[1];
    int32_t sample[COLUMNS], image[COLUMNS], left[COLUMNS], top[COLUMNS], side[COLUMNS];
    for (int c = 0, next = column % samples; c < columns; c++, next = next + 1 < samples ? next + 1 : 0) {
        const sb_square *p = &places[next];
        sample[c] = next, image[c] = p->image, left[c] = p->left, top[c] = p->top, side[c] = p->side;
    }
    for (int r = 0; r < rows; r++) {
        const int own = (row + r) % samples;
        const sb_square mine = places[own];
        float *x = logits + (size_t)r * (size_t)columns;
        int same = 0;
#pragma omp simd reduction(+ : same)
        for (int c = 0; c < columns; c++)
            same += image[c] == mine.image;
        if (same == 0)
            continue;
#pragma omp simd
        for (int c = 0; c < columns; c++) {
            const sb_square its = { image[c], left[c], top[c], side[c] };
            x[c] = sb_overlap(&mine, &its) && sample[c] != own ? -INFINITY : x[c];
        }
    }
}

/* logits[r][c] = <z_(row + r), z_(column + c)> / temperature, [rows, columns]. */
static int tile_logits(const sb_call *call, int row, int rows, int column, int columns, float *logits)
{
    const sb_logsumexp_pairs_how *how = call->how;
    const float *z = call->x[0];
    size_t width = (size_t)call->xs[0].c;
    if (sb_cpu_sgemm(false, true, rows, columns, (int)width, 1.0f / how->temperature, z + (size_t)row * width,
                     z + (size_t)column * width, 0, logits) != 0)
        return -1;
    leave_out_own(call, row, rows, column, columns, logits);
    if (call->x[1])
        leave_out_overlapping(call, row, rows, column, columns, logits);
    return 0;
}

/* sum_c exp(x_c - most), and NAN where an x is. */
static double sum_exp(const float *x, int count, float most)
{
    float lanes[LANES] = { 0 };
    int c = 0;
    for (; c + LANES <= count; c += LANES)
#pragma omp simd
        for (int l = 0; l < LANES; l++) {
            float e = x[c + l] - most;
            lanes[l] += expf(e < LEAST_EXPONENT ? LEAST_EXPONENT : e);
        }
    for (; c < count; c++)
        lanes[c % LANES] += expf(x[c] - most);
    double sum = 0;
    for (int l = 0; l < LANES; l++)
        sum += (double)lanes[l];
    return sum;
}

static int forward_rows(const sb_call *call, int row, int rows, int m)
{
    const sb_logsumexp_pairs_how *how = call->how;
    float logits[ROWS * COLUMNS], most[ROWS], *lse = call->aux, *y = call->y;
    double sum[ROWS];
    for (int r = 0; r < rows; r++) {
        most[r] = -INFINITY;
        sum[r] = 0;
    }
    for (int column = 0; column < m; column += COLUMNS) {
        int columns = m - column < COLUMNS ? m - column : COLUMNS;
        if (tile_logits(call, row, rows, column, columns, logits) != 0)
            return -1;
        for (int r = 0; r < rows; r++) {
            const float *x = logits + (size_t)r * (size_t)columns;
            float now = most[r];
#pragma omp simd reduction(max : now)
            for (int c = 0; c < columns; c++)
                now = x[c] > now ? x[c] : now;
            float base = now == -INFINITY ? 0 : now;
            sum[r] = sum[r] * exp((double)most[r] - base) + sum_exp(x, columns, base);
            most[r] = now;
        }
    }
    for (int r = 0; r < rows; r++) {
        bool none = most[r] == -INFINITY && !isnan(sum[r]);
        lse[row + r] = none ? -INFINITY : (float)(most[r] + log(sum[r]));
        y[row + r] = none ? how->empty : lse[row + r];
    }
    return 0;
}

/* What row r gives to columns that are not left out: both terms of the gradient, for 1 / T times. */
static void weigh(float *x, int count, float lse, float dy, const float *lses, const float *dys, float scale)
{
#pragma omp simd
    for (int c = 0; c < count; c++) {
        float mine = x[c] - lse, its = x[c] - lses[c];
        float w = scale * (dy * expf(mine < LEAST_EXPONENT ? LEAST_EXPONENT : mine) +
                           dys[c] * expf(its < LEAST_EXPONENT ? LEAST_EXPONENT : its));
        x[c] = x[c] == -INFINITY ? 0 : w;
    }
}

static int backward_rows(const sb_call *call, int row, int rows, int m)
{
    const sb_logsumexp_pairs_how *how = call->how;
    size_t width = (size_t)call->xs[0].c;
    const float *z = call->x[0], *lse = call->aux, *dy = call->dy;
    float weights[ROWS * COLUMNS], *dz = call->dx[0];
    for (int column = 0; column < m; column += COLUMNS) {
        int columns = m - column < COLUMNS ? m - column : COLUMNS;
        if (tile_logits(call, row, rows, column, columns, weights) != 0)
            return -1;
        for (int r = 0; r < rows; r++)
            weigh(weights + (size_t)r * (size_t)columns, columns, lse[row + r], dy[row + r], lse + column,
                  dy + column, 1.0f / how->temperature);
        if (sb_cpu_sgemm(false, false, rows, (int)width, columns, 1, weights, z + (size_t)column * width,
                         call->add[0] || column > 0 ? 1 : 0, dz + (size_t)row * width) != 0)
            return -1;
    }
    return 0;
}

static int by_rows(const sb_call *call, int (*some)(const sb_call *call, int row, int rows, int m))
{
    int m = (int)sb_shape_rows(&call->xs[0]), failed = 0;
#pragma omp parallel for schedule(static) reduction(| : failed)
    for (int row = 0; row < m; row += ROWS)
        failed |= some(call, row, m - row < ROWS ? m - row : ROWS, m) != 0;
    return failed ? sb_fail("logsumexp_pairs: a product of %d rows failed", m) : 0;
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    return by_rows(call, forward_rows);
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    return by_rows(call, backward_rows);
}

const sb_kernel sb_cpu_logsumexp_pairs = { .forward = forward, .backward = backward };
