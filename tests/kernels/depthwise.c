/* depthwise.c: convolutions of each channel by itself, forward and backward. */
#include "kernels/op/depthwise.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kernels/op_cases.h"

typedef enum { FORWARD, DATA, WEIGHT } direction;

/* Every product once; `which` says where it is added. */
static void convolve(const sb_reference *r, direction which, const double *x_in, const double *w_in,
                     const double *y_in, double *out)
{
    const sb_depthwise_how *how = r->how;
    const sb_shape *xs = &r->xs[0], *ys = &r->ys;
    for (int n = 0; n < ys->n; n++)
        for (int i = 0; i < ys->h; i++)
            for (int j = 0; j < ys->w; j++)
                for (int a = 0; a < how->kernel; a++)
                    for (int b = 0; b < how->kernel; b++) {
                        int row = i * how->stride - how->pad + a, column = j * how->stride - how->pad + b;
                        if (row < 0 || row >= xs->h || column < 0 || column >= xs->w)
                            continue;
                        long x = (((long)n * xs->h + row) * xs->w + column) * xs->c,
                             y = (((long)n * ys->h + i) * ys->w + j) * ys->c;
                        for (int c = 0; c < xs->c; c++) {
                            long w = ((long)c * how->kernel + a) * how->kernel + b;
                            if (which == FORWARD)
                                out[y + c] += x_in[x + c] * w_in[w];
                            else if (which == DATA)
                                out[x + c] += y_in[y + c] * w_in[w];
                            else
                                out[w] += y_in[y + c] * x_in[x + c];
                        }
                    }
}

/* One direction with its bounds: the magnitudes are the same sums of absolute values. */
static void compute(const sb_reference *r, direction which, double terms, double *out, double *bound)
{
    const size_t counts[] = { [FORWARD] = sb_shape_elements(&r->ys),
                              [DATA] = sb_shape_elements(&r->xs[0]),
                              [WEIGHT] = sb_extent_count(&r->ws[0]) };
    const size_t c = (size_t)r->ys.c;
    memset(out, 0, counts[which] * sizeof *out);
    convolve(r, which, r->x[0], r->w[0], r->dy, out);
    for (size_t i = 0; which == FORWARD && r->w[1] && i < counts[FORWARD]; i++)
        out[i] += r->w[1][i % c];
    if (!bound)
        return;
    double *x = sb_doubles_absolute(counts[DATA], r->x[0]), *w = sb_doubles_absolute(counts[WEIGHT], r->w[0]);
    double *dy = r->dy ? sb_doubles_absolute(counts[FORWARD], r->dy) : NULL;
    memset(bound, 0, counts[which] * sizeof *bound);
    convolve(r, which, x, w, dy, bound);
    for (size_t i = 0; i < counts[which]; i++) {
        if (which == FORWARD && r->w[1])
            bound[i] += fabs(r->w[1][i % c]);
        bound[i] *= sb_growth(terms) * SB_UNIT_F32;
    }
    free(x);
    free(w);
    free(dy);
}

static double taps(const sb_reference *r)
{
    int kernel = ((const sb_depthwise_how *)r->how)->kernel;
    return kernel * kernel;
}

static void forward(sb_reference *r) { compute(r, FORWARD, taps(r), r->y, r->y_bound); }

static void backward(sb_reference *r)
{
    const size_t rows = sb_shape_rows(&r->ys), c = (size_t)r->ys.c;
    if (r->dx[0])
        compute(r, DATA, taps(r), r->dx[0], r->dx_bound[0]);
    compute(r, WEIGHT, (double)rows, r->dw[0], r->dw_bound[0]);
    for (size_t k = 0; r->dw[1] && k < c; k++) {
        double sum = 0, magnitude = 0;
        for (size_t i = 0; i < rows; i++) {
            sum += r->dy[i * c + k];
            magnitude += fabs(r->dy[i * c + k]);
        }
        r->dw[1][k] = sum;
        r->dw_bound[1][k] = sb_growth((double)rows) * SB_UNIT_F32 * magnitude;
    }
}

static const sb_op_test test = {
    .op = SB_OP_DEPTHWISE, .how_bytes = sizeof(sb_depthwise_how), .forward = forward, .backward = backward
};

/* Of n images of h x w with c channels. */
typedef struct {
    int n, h, w, c;
    sb_depthwise_how how;
    unsigned no_dx;
} row;

static void add(bool timed, row r)
{
    static size_t number;
    for (sb_type type = SB_F32; type <= SB_F16; type++)
        if (timed || sb_case_has(type, number))
            sb_op_case_add(&test, &r.how, &(sb_shape){ r.n, r.h, r.w, r.c, type },
                           (sb_op_options){ .timed = timed, .no_dx = r.no_dx },
                           "%s [%d, %d, %d, %d] %d x %d / %d pad %d%s%s", sb_type_name(type), r.n, r.h, r.w,
                           r.c, r.how.kernel, r.how.kernel, r.how.stride, r.how.pad,
                           r.how.bias ? " bias" : "", r.no_dx ? " no dx" : "");
    number++;
}

/* ---- refusals ------------------------------------------------------------------------------------------ */

static int refuse(int h, int kernel, int stride, int pad, sb_type type)
{
    sb_shape y;
    return sb_op_depthwise.shape(&(sb_depthwise_how){ kernel, stride, pad }, &(sb_shape){ 1, h, 8, 8, type },
                                 &y);
}

static int larger_than_the_image(sb_device *d) { return (void)d, refuse(4, 5, 1, 0, SB_F32); }
static int no_kernel(sb_device *d) { return (void)d, refuse(8, 0, 1, 0, SB_F32); }
static int no_stride(sb_device *d) { return (void)d, refuse(8, 3, 0, 1, SB_F32); }
static int pad_below_zero(sb_device *d) { return (void)d, refuse(8, 3, 1, -1, SB_F32); }
static int pad_of_a_kernel(sb_device *d) { return (void)d, refuse(8, 3, 1, 3, SB_F32); }
static int no_height(sb_device *d) { return (void)d, refuse(0, 3, 1, 1, SB_F32); }
static int of_bytes(sb_device *d) { return (void)d, refuse(8, 3, 1, 1, SB_U8); }

void sb_cases_depthwise(void)
{
    /* Every kernel and stride of the networks on a map whose sides are no multiples of anything; then odd
     * sizes along every dimension; what no network has: even kernels, strides of 3, none or odd padding. */
    for (int kernel = 3; kernel <= 7; kernel += 2)
        for (int stride = 1; stride <= 2; stride++)
            for (int bias = 0; bias < 2; bias++)
                add(false, (row){ 2, 13, 19, 33, { kernel, stride, kernel / 2, bias } });
    const row small[] = {
        { 2, 31, 33, 8, { 3, .stride = 1, .pad = 1 }, .no_dx = 1 },
        { 2, 7, 7, 40, { 7, .stride = 1, .pad = 3, .bias = true }, .no_dx = 1 },
        { 2, 14, 14, 16, { 5, .stride = 2, .pad = 2 }, .no_dx = 1 },
        { 1, 1, 1, 1, { 7, .stride = 1, .pad = 3, .bias = true } },
        { 1, 1, 1, 31, { 3, .stride = 2, .pad = 1 } },
        { 31, 1, 1, 33, { 5, .stride = 1, .pad = 2, .bias = true } },
        { 33, 3, 2, 31, { 3, .stride = 2, .pad = 1 } },
        { 1, 255, 1, 3, { 3, .stride = 1, .pad = 1, .bias = true } },
        { 1, 257, 2, 2, { 5, .stride = 2, .pad = 2 } }, /* as all that long, of several strips */
        { 1, 1, 257, 2, { 7, .stride = 1, .pad = 3 } },
        { 1, 2, 255, 3, { 3, .stride = 2, .pad = 1, .bias = true } },
        { 255, 2, 2, 1, { 3, .stride = 1, .pad = 1 } },
        { 257, 1, 2, 2, { 3, .stride = 2, .pad = 1, .bias = true } },
        { 1, 3, 3, 255, { 3, .stride = 1, .pad = 1, .bias = true } },
        { 1, 5, 4, 257, { 5, .stride = 2, .pad = 2 } },
        { 1, 9, 9, 16, { 1, .stride = 1, .pad = 0 } },
        { 1, 9, 10, 16, { 2, .stride = 2, .pad = 0 } },
        { 1, 11, 12, 5, { 4, .stride = 1, .pad = 3 } },
        { 2, 10, 11, 5, { 3, .stride = 3, .pad = 0, .bias = true } },
        { 1, 12, 11, 17, { 5, .stride = 3, .pad = 4 } },
        { 1, 12, 11, 17, { 3, .stride = 5, .pad = 1 } },
    };
    for (size_t i = 0; i < sizeof small / sizeof *small; i++)
        add(false, small[i]);

    /* ConvNeXt-atto's and MobileNetV4-conv-small's, on views of 224 pixels. */
    for (int side = 56, width = 40; side >= 7; side /= 2, width *= 2)
        add(true, (row){ 16, side, side, width, { 7, .stride = 1, .pad = 3, .bias = true } });
    add(true, (row){ 16, 28, 28, 64, { 5, .stride = 1, .pad = 2 } });
    add(true, (row){ 16, 28, 28, 192, { 5, .stride = 2, .pad = 2 } });
    add(true, (row){ 16, 14, 14, 96, { 3, .stride = 1, .pad = 1 } });
    add(true, (row){ 16, 14, 14, 192, { 3, .stride = 1, .pad = 1 } });
    add(true, (row){ 16, 14, 14, 576, { 3, .stride = 2, .pad = 1 } });
    add(true, (row){ 16, 7, 7, 512, { 3, .stride = 1, .pad = 1 } });
    add(true, (row){ 16, 7, 7, 512, { 5, .stride = 1, .pad = 2 } });

    sb_case_add_refusal("depthwise: kernel larger than the padded image", larger_than_the_image);
    sb_case_add_refusal("depthwise: no kernel", no_kernel);
    sb_case_add_refusal("depthwise: no stride", no_stride);
    sb_case_add_refusal("depthwise: negative pad", pad_below_zero);
    sb_case_add_refusal("depthwise: a pad as wide as the kernel", pad_of_a_kernel);
    sb_case_add_refusal("depthwise: no height", no_height);
    sb_case_add_refusal("depthwise: of bytes", of_bytes);
}
