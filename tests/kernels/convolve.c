/* convolve.c: see convolve.h. */
#include "tests/kernels/convolve.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* In a place of y that meets one of x in a tap: x [in], w [out][in], y [out]. `which` is what sums are added
 * to. */
static void add_all(sb_convolved which, int in, int out, const double *x, const double *w, const double *y,
                    double *sums)
{
    for (int o = 0; o < out; o++, w += in) {
        double sum = 0;
        if (which == SB_CONVOLVE_FORWARD) {
#pragma omp simd reduction(+ : sum)
            for (int k = 0; k < in; k++)
                sum += x[k] * w[k];
            sums[o] += sum;
            continue;
        }
        const double *factor = which == SB_CONVOLVE_DATA ? w : x;
        double *to = which == SB_CONVOLVE_DATA ? sums : sums + (size_t)o * (size_t)in;
#pragma omp simd
        for (int k = 0; k < in; k++)
            to[k] += y[o] * factor[k];
    }
}

/* The same of channels by themselves: x, w and y [channels]. */
static void add_apart(sb_convolved which, int channels, const double *x, const double *w, const double *y,
                      double *sums)
{
    const double *a = which == SB_CONVOLVE_FORWARD ? x : y, *b = which == SB_CONVOLVE_WEIGHT ? x : w;
#pragma omp simd
    for (int k = 0; k < channels; k++)
        sums[k] += a[k] * b[k];
}

/* Every product once; w and its gradient are [kernel, kernel, out, in]. */
static void convolve(const sb_reference *r, const sb_convolution *c, sb_convolved which, const double *x,
                     const double *w, const double *y, double *out)
{
    const sb_shape *xs = &r->xs[0], *ys = &r->ys;
    const int in = c->apart ? 1 : xs->c;
    for (int n = 0; n < ys->n; n++)
        for (int i = 0; i < ys->h; i++)
            for (int j = 0; j < ys->w; j++)
                for (int tap = 0; tap < c->kernel * c->kernel; tap++) {
                    const int row = i * c->stride - c->pad + tap / c->kernel,
                              column = j * c->stride - c->pad + tap % c->kernel;
                    if (row < 0 || row >= xs->h || column < 0 || column >= xs->w)
                        continue;
                    const size_t from = (((size_t)n * (size_t)xs->h + (size_t)row) * (size_t)xs->w +
                                         (size_t)column) *
                                        (size_t)xs->c,
                                 to = (((size_t)n * (size_t)ys->h + (size_t)i) * (size_t)ys->w + (size_t)j) *
                                      (size_t)ys->c,
                                 at = (size_t)tap * (size_t)ys->c * (size_t)in;
                    double *sums = out + (which == SB_CONVOLVE_FORWARD ? to
                                          : which == SB_CONVOLVE_DATA  ? from
                                                                       : at);
                    const double *dy = which == SB_CONVOLVE_FORWARD ? NULL : y + to,
                                 *filter = which == SB_CONVOLVE_WEIGHT ? NULL : w + at;
                    if (c->apart)
                        add_apart(which, ys->c, x + from, filter, dy, sums);
                    else
                        add_all(which, in, ys->c, x + from, filter, dy, sums);
                }
}

/* [out, in, taps] to [taps, out, in], or back. */
static double *turned(size_t count, size_t taps, const double *w, bool back)
{
    double *out = sb_doubles(count);
    const size_t each = count / taps;
    for (size_t i = 0; i < each; i++)
        for (size_t t = 0; t < taps; t++)
            out[back ? i * taps + t : t * each + i] = w[back ? t * each + i : i * taps + t];
    return out;
}

/* The same of weights [out, in, kernel, kernel]. */
static void convolve_to(const sb_reference *r, const sb_convolution *c, sb_convolved which, size_t count,
                        const double *x, const double *w, const double *y, double *out)
{
    const size_t taps = (size_t)c->kernel * (size_t)c->kernel;
    memset(out, 0, count * sizeof *out);
    if (which != SB_CONVOLVE_WEIGHT) {
        double *filters = turned(sb_extent_count(&r->ws[0]), taps, w, false);
        convolve(r, c, which, x, filters, y, out);
        free(filters);
        return;
    }
    convolve(r, c, which, x, NULL, y, out);
    double *gradients = turned(count, taps, out, true);
    memcpy(out, gradients, count * sizeof *out);
    free(gradients);
}

/* The magnitudes are the same sums of absolute values. */
void sb_convolve(const sb_reference *r, const sb_convolution *c, sb_convolved which, double terms,
                 double *out, double *bound)
{
    const size_t of_x = sb_shape_elements(&r->xs[0]), of_w = sb_extent_count(&r->ws[0]),
                 of_y = sb_shape_elements(&r->ys),
                 count = which == SB_CONVOLVE_FORWARD ? of_y
                         : which == SB_CONVOLVE_DATA  ? of_x
                                                      : of_w;
    convolve_to(r, c, which, count, r->x[0], r->w[0], r->dy, out);
    if (!bound)
        return;
    double *x = sb_doubles_absolute(of_x, r->x[0]), *w = sb_doubles_absolute(of_w, r->w[0]),
           *dy = r->dy ? sb_doubles_absolute(of_y, r->dy) : NULL;
    convolve_to(r, c, which, count, x, w, dy, bound);
    for (size_t i = 0; i < count; i++)
        bound[i] *= sb_growth(terms) * SB_UNIT_F32;
    free(x);
    free(w);
    free(dy);
}

void sb_bias_reference(sb_reference *r)
{
    const size_t rows = sb_shape_rows(&r->ys), c = (size_t)r->ys.c;
    for (size_t k = 0; k < c; k++) {
        double sum = 0, magnitude = 0;
        for (size_t i = 0; i < rows; i++) {
            sum += r->dy[i * c + k];
            magnitude += fabs(r->dy[i * c + k]);
        }
        r->dw[1][k] = sum;
        r->dw_bound[1][k] = sb_growth((double)rows) * SB_UNIT_F32 * magnitude;
    }
}
