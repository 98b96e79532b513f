/* depthwise.c: convolutions of each channel by itself, forward and backward. */
#include "kernels/op/depthwise.h"

#include <math.h>

#include "tests/kernels/convolve.h"

static double taps(const sb_reference *r)
{
    int kernel = ((const sb_depthwise_how *)r->how)->kernel;
    return kernel * kernel;
}

static void compute(const sb_reference *r, sb_convolved which, double terms, double *out, double *bound)
{
    const sb_depthwise_how *how = r->how;
    sb_convolve(r, &(sb_convolution){ how->kernel, how->stride, how->pad, .apart = true }, which, terms, out,
                bound);
}

/* The bias is one more term of a sum. */
static void forward(sb_reference *r)
{
    compute(r, SB_CONVOLVE_FORWARD, taps(r), r->y, r->y_bound);
    for (size_t i = 0; r->w[1] && i < sb_shape_elements(&r->ys); i++) {
        const double bias = r->w[1][i % (size_t)r->ys.c];
        r->y[i] += bias;
        if (r->y_bound)
            r->y_bound[i] += sb_growth(taps(r)) * SB_UNIT_F32 * fabs(bias);
    }
}

static void backward(sb_reference *r)
{
    const double rows = (double)sb_shape_rows(&r->ys);
    if (r->dx[0])
        compute(r, SB_CONVOLVE_DATA, taps(r), r->dx[0], r->dx_bound[0]);
    compute(r, SB_CONVOLVE_WEIGHT, rows, r->dw[0], r->dw_bound[0]);
    if (r->dw[1])
        sb_bias_reference(r);
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
