/* grn.c: global response normalisation on the CPU. Sums over the places of an image go by strips of its
 * channels, each strip the work of one thread: in f32 over a block of rows, and the blocks in f64, in order.
 * What becomes of a place is one pass over rows. */
#include "kernels/op/grn.h"

#include <math.h>
#include <string.h>

#include "kernels/cpu/columns.h"
#include "kernels/cpu/cpu.h"

#define STRIP 64 /* channels */

static size_t places_of(const sb_call *call) { return (size_t)call->xs[0].h * (size_t)call->xs[0].w; }

/* Of a strip of an image from element `at` on, the sums of a b over its places, and those of a. */
static void sum_strip(const sb_call *call, const void *a, const void *b, size_t at, int count,
                      double *products, double *plain)
{
    const size_t places = places_of(call), c = (size_t)call->xs[0].c;
    const sb_type type = call->xs[0].type;
    double both[STRIP] = { 0 }, one[STRIP] = { 0 };
    for (size_t first = 0; first < places; first += SB_CPU_BLOCK) {
        float product[STRIP] = { 0 }, sum[STRIP] = { 0 }, x_row[STRIP], y_row[STRIP];
        const size_t end = first + SB_CPU_BLOCK < places ? first + SB_CPU_BLOCK : places;
        for (size_t p = first; p < end; p++) {
            const float *x = sb_cpu_row(a, type, at + p * c, count, x_row),
                        *y = a == b ? x : sb_cpu_row(b, type, at + p * c, count, y_row);
#pragma omp simd
            for (int k = 0; k < count; k++) {
                product[k] += x[k] * y[k];
                sum[k] += x[k];
            }
        }
        for (int k = 0; k < count; k++) {
            both[k] += (double)product[k];
            one[k] += (double)sum[k];
        }
    }
    memcpy(products, both, (size_t)count * sizeof *both);
    memcpy(plain, one, (size_t)count * sizeof *one);
}

/* Of all images: products and plain [n, c]. */
static void sum_all(const sb_call *call, const void *a, const void *b, double *products, double *plain)
{
    const int c = call->xs[0].c, strips = (c + STRIP - 1) / STRIP;
#pragma omp parallel for schedule(static)
    for (int t = 0; t < call->xs[0].n * strips; t++) {
        const size_t image = (size_t)(t / strips), first = (size_t)(t % strips) * STRIP,
                     to = image * (size_t)c + first;
        const int count = c - (int)first < STRIP ? c - (int)first : STRIP;
        sum_strip(call, a, b, image * places_of(call) * (size_t)c + first, count, products + to, plain + to);
    }
}

/* ---- forward ------------------------------------------------------------------------------------------- */

/* Values of a sum of each channel of each image. Scratch has two such sums in f64, then what a place is
 * multiplied by. */
static size_t matrix(const sb_call *call) { return (size_t)call->xs[0].n * (size_t)call->xs[0].c; }

/* Of an image: lengths from their squares, which go to aux [c + 1] (NULL: nowhere), and the factors. */
static void set_factors(const sb_call *call, const double *squares, float *aux, float *factors)
{
    const int c = call->xs[0].c;
    const float epsilon = ((const sb_grn_how *)call->how)->epsilon;
    double sum = 0;
    for (int k = 0; k < c; k++) {
        factors[k] = (float)sqrt(squares[k]);
        sum += (double)factors[k];
    }
    const float mean = (float)(sum / c) + epsilon;
    for (int k = 0; k < c; k++) {
        const float length = factors[k];
        factors[k] = 1 + call->w[0][k] * (length / mean);
        if (aux)
            aux[k] = length;
    }
    if (aux)
        aux[c] = mean;
}

static void forward_row(const sb_call *call, size_t row)
{
    const int c = call->xs[0].c;
    const sb_type type = call->xs[0].type;
    const float *factors = (const float *)(const void *)((const double *)call->scratch + 2 * matrix(call)) +
                           row / places_of(call) * (size_t)c;
    float buffer[SB_CPU_PIECE];
    for (int first = 0; first < c; first += SB_CPU_PIECE) {
        const size_t at = row * (size_t)c + (size_t)first;
        const int count = c - first < SB_CPU_PIECE ? c - first : SB_CPU_PIECE;
        const float *x = sb_cpu_row(call->x[0], type, at, count, buffer);
        float *y = sb_cpu_row_to(call->y, type, at, false, buffer);
#pragma omp simd
        for (int k = 0; k < count; k++)
            y[k] = x[k] * factors[first + k] + call->w[1][first + k];
        if (y == buffer)
            sb_cpu_store_row(call->y, type, at, count, buffer);
    }
}

static int forward(sb_device *device, const sb_call *call)
{
    const size_t c = (size_t)call->xs[0].c, rows = sb_shape_rows(&call->xs[0]);
    double *squares = call->scratch;
    float *factors = (float *)(void *)(squares + 2 * matrix(call)), *aux = call->aux;
    (void)device;
    sum_all(call, call->x[0], call->x[0], squares, squares + matrix(call));
#pragma omp parallel for schedule(static)
    for (int i = 0; i < call->xs[0].n; i++)
        set_factors(call, squares + (size_t)i * c, aux ? aux + (size_t)i * (c + 1) : NULL,
                    factors + (size_t)i * c);
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++)
        forward_row(call, row);
    return 0;
}

/* ---- backward ------------------------------------------------------------------------------------------ */

/* Of an image: what dy and x of a place are multiplied by. products: D of each channel. */
static void set_both(const sb_call *call, const float *aux, const double *products, float *factors,
                     float *of_x)
{
    const int c = call->xs[0].c;
    const double mean = (double)aux[c];
    double sum = 0;
    for (int k = 0; k < c; k++)
        sum += (double)call->w[0][k] * (double)aux[k] * products[k];
    const double other = sum / (c * mean * mean);
    for (int k = 0; k < c; k++) {
        factors[k] = 1 + call->w[0][k] * (aux[k] / aux[c]);
        of_x[k] = aux[k] == 0
                      ? 0
                      : (float)(((double)call->w[0][k] * products[k] / mean - other) / (double)aux[k]);
    }
}

static void backward_row(const sb_call *call, const float *factors, const float *of_x, size_t row)
{
    const int c = call->xs[0].c;
    const sb_type type = call->xs[0].type;
    float incoming[SB_CPU_PIECE], buffer[SB_CPU_PIECE];
    for (int first = 0; first < c; first += SB_CPU_PIECE) {
        const size_t at = row * (size_t)c + (size_t)first;
        const int count = c - first < SB_CPU_PIECE ? c - first : SB_CPU_PIECE;
        const float *dy = sb_cpu_row(call->dy, type, at, count, incoming),
                    *x = sb_cpu_row(call->x[0], type, at, count, buffer);
        float *dx = sb_cpu_row_to(call->dx[0], type, at, call->add[0], buffer);
#pragma omp simd
        for (int k = 0; k < count; k++)
            dx[k] = dy[k] * factors[first + k] + x[k] * of_x[first + k];
        if (dx == buffer)
            sb_cpu_give_row(call->dx[0], type, at, count, buffer, call->add[0]);
    }
}

static void add_weights(const sb_call *call, const double *products, const double *plain)
{
    const float *aux = call->aux;
    const size_t c = (size_t)call->xs[0].c;
#pragma omp parallel for schedule(static)
    for (size_t k = 0; k < c; k++) {
        double product = 0, sum = 0;
        for (size_t i = 0; i < (size_t)call->xs[0].n; i++) {
            product += products[i * c + k] * (double)(aux[i * (c + 1) + k] / aux[i * (c + 1) + c]);
            sum += plain[i * c + k];
        }
        if (call->dw[0])
            call->dw[0][k] += (float)product;
        if (call->dw[1])
            call->dw[1][k] += (float)sum;
    }
}

static int backward(sb_device *device, const sb_call *call)
{
    const size_t c = (size_t)call->xs[0].c, rows = sb_shape_rows(&call->xs[0]);
    double *products = call->scratch, *plain = products + matrix(call);
    float *factors = (float *)(void *)(plain + matrix(call)), *of_x = factors + matrix(call);
    const float *aux = call->aux;
    (void)device;
    sum_all(call, call->dy, call->x[0], products, plain);
    add_weights(call, products, plain);
    if (!call->dx[0])
        return 0;
#pragma omp parallel for schedule(static)
    for (int i = 0; i < call->xs[0].n; i++) {
        const size_t at = (size_t)i * c;
        set_both(call, aux + (size_t)i * (c + 1), products + at, factors + at, of_x + at);
    }
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++) {
        const size_t at = row / places_of(call) * c;
        backward_row(call, factors + at, of_x + at, row);
    }
    return 0;
}

static size_t scratch(sb_device *device, const sb_call *call)
{
    (void)device;
    return matrix(call) * (2 * sizeof(double) + 2 * sizeof(float));
}

const sb_kernel sb_cpu_grn = { .scratch = scratch, .forward = forward, .backward = backward };
