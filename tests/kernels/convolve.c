/* convolve.c: see convolve.h. */
#include "tests/kernels/convolve.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of a product: where its factors and its sum lie, x, w and y. */
typedef struct {
    long x, w, y;
} product;

static void add(sb_convolved which, const product *at, const double *x, const double *w, const double *y,
                double *out)
{
    if (which == SB_CONVOLVE_FORWARD)
        out[at->y] += x[at->x] * w[at->w];
    else if (which == SB_CONVOLVE_DATA)
        out[at->x] += y[at->y] * w[at->w];
    else
        out[at->w] += y[at->y] * x[at->x];
}

/* Every product once; `which` says where it is added. */
static void convolve(const sb_reference *r, const sb_convolution *c, sb_convolved which, const double *x,
                     const double *w, const double *y, double *out)
{
    const sb_shape *xs = &r->xs[0], *ys = &r->ys;
    const int in = c->apart ? 1 : xs->c;
    for (int n = 0; n < ys->n; n++)
        for (int i = 0; i < ys->h; i++)
            for (int j = 0; j < ys->w; j++)
                for (int a = 0; a < c->kernel; a++)
                    for (int b = 0; b < c->kernel; b++) {
                        const int row = i * c->stride - c->pad + a, column = j * c->stride - c->pad + b;
                        if (row < 0 || row >= xs->h || column < 0 || column >= xs->w)
                            continue;
                        const long from = (((long)n * xs->h + row) * xs->w + column) * xs->c,
                                   to = (((long)n * ys->h + i) * ys->w + j) * ys->c;
                        for (int o = 0; o < ys->c; o++)
                            for (int k = 0; k < in; k++)
                                add(which,
                                    &(product){ from + (c->apart ? o : k),
                                                (((long)o * in + k) * c->kernel + a) * c->kernel + b,
                                                to + o },
                                    x, w, y, out);
                    }
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
    memset(out, 0, count * sizeof *out);
    convolve(r, c, which, r->x[0], r->w[0], r->dy, out);
    if (!bound)
        return;
    double *x = sb_doubles_absolute(of_x, r->x[0]), *w = sb_doubles_absolute(of_w, r->w[0]),
           *dy = r->dy ? sb_doubles_absolute(of_y, r->dy) : NULL;
    memset(bound, 0, count * sizeof *bound);
    convolve(r, c, which, x, w, dy, bound);
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
