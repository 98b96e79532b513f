/* conv.c: convolutions, forward and backward. */
#include <math.h>
#include <stdlib.h>

#include "kernels/op/conv.h"
#include "kernels/op/standard_rows.h"
#include "tests/kernels/convolve.h"

/* The CPU computes these by Winograd's F(4 x 4, 3 x 3) (kernels/cpu/conv.c), in bf16 in f32, too. A value is
 * then made of sums and differences over its whole tile, and may be off by as many times what a sum of its
 * own terms may: 2.5 times were seen, of normal numbers, where there are 32 channels, and less where there
 * are more. Without FMA a product is rounded before it is added: a term is rounded twice. */
#define WINOGRAD 4
#ifdef __FMA__
#define ROUNDINGS 1
#else
#define ROUNDINGS 2
#endif
static bool may_be_winograd(const sb_reference *r)
{
    const sb_conv_how *how = r->how;
    const sb_shape *x = &r->xs[0];
    const int tiles = (x->h + 3) / 4 * ((x->w + 3) / 4);
    return x->type != SB_F16 && how->kernel == 3 && how->stride == 1 && how->pad == 1 && x->c >= 32 &&
           how->out >= 32 && x->c % 8 == 0 && how->out % 8 == 0 && x->h * x->w >= 8 * tiles &&
           x->n * tiles >= (x->type == SB_F32 ? 32 : 64);
}

static void compute(const sb_reference *r, sb_convolved which, double terms, double *out, double *bound)
{
    const sb_conv_how *how = r->how;
    const size_t count = which == SB_CONVOLVE_FORWARD ? sb_shape_elements(&r->ys)
                         : which == SB_CONVOLVE_DATA  ? sb_shape_elements(&r->xs[0])
                                                      : sb_extent_count(&r->ws[0]);
    const bool winograd = may_be_winograd(r);
    sb_convolve(r, &(sb_convolution){ how->kernel, how->stride, how->pad, .apart = false }, which,
                winograd ? ROUNDINGS * terms : terms, out, bound);
    for (size_t i = 0; bound && winograd && i < count; i++)
        bound[i] *= WINOGRAD;
}

static int taps(const sb_reference *r)
{
    int kernel = ((const sb_conv_how *)r->how)->kernel;
    return kernel * kernel;
}

static size_t fan_in(const sb_reference *r) { return (size_t)taps(r) * (size_t)r->xs[0].c; }

/* It may be one more term of a sum, from the start on. Or a device may round a value to its type, add the
 * bias, and round again. */
static void add_bias(sb_reference *r)
{
    const sb_array_type type = sb_array_type_of(r->ys.type);
    for (size_t i = 0; i < sb_shape_elements(&r->ys); i++) {
        const double bias = r->w[1][i % (size_t)r->ys.c], value = r->y[i];
        r->y[i] += bias;
        if (r->y_bound)
            r->y_bound[i] += SB_UNIT_F32 * (sb_growth((double)fan_in(r)) * fabs(bias) + fabs(value)) +
                             (type == SB_ARRAY_F32 ? 0 : sb_array_unit(type) * fabs(value)) +
                             sb_array_least(type);
    }
}

static void forward(sb_reference *r)
{
    compute(r, SB_CONVOLVE_FORWARD, taps(r) * r->xs[0].c, r->y, r->y_bound);
    if (r->w[1])
        add_bias(r);
}

static void backward(sb_reference *r)
{
    if (r->dx[0])
        compute(r, SB_CONVOLVE_DATA, taps(r) * r->ys.c, r->dx[0], r->dx_bound[0]);
    compute(r, SB_CONVOLVE_WEIGHT, (double)r->ys.n * r->ys.h * r->ys.w, r->dw[0], r->dw_bound[0]);
    if (r->dw[1])
        sb_bias_reference(r);
}

/* ---- standardised filters ------------------------------------------------------------------------------ */

/* 1 / deviation of a filter, and the filter standardised. */
static double standardise(const double *w, size_t count, double *out)
{
    double mean = 0, variance = 0;
    for (size_t i = 0; i < count; i++)
        mean += w[i] / (double)count;
    for (size_t i = 0; i < count; i++)
        variance += (w[i] - mean) * (w[i] - mean) / (double)count;
    for (size_t i = 0; i < count; i++)
        out[i] = (w[i] - mean) / sqrt(variance + SB_STANDARD_EPSILON);
    return 1 / sqrt(variance + SB_STANDARD_EPSILON);
}

/* The same call with the filters standardised; the caller frees w[0]. */
static sb_reference standardised(const sb_reference *r)
{
    sb_reference s = *r;
    s.w[0] = sb_doubles(sb_extent_count(&r->ws[0]));
    for (int o = 0; o < r->ys.c; o++)
        standardise(r->w[0] + (size_t)o * fan_in(r), fan_in(r), s.w[0] + (size_t)o * fan_in(r));
    return s;
}

/* What is made of them is wrong by as much again where each is rounded, to f32 and when it is packed: by at
 * most its unit of the magnitude, of which `bound` is so many units of f32. */
static void add_rounding(const sb_reference *r, double terms, size_t count, double *bound)
{
    const sb_array_type type = sb_array_type_of(r->xs[0].type);
    const double unit = SB_UNIT_F32 + (type == SB_ARRAY_F32 ? 0 : sb_array_unit(type));
    for (size_t i = 0; bound && i < count; i++)
        bound[i] *= 1 + unit / (sb_growth(terms) * SB_UNIT_F32);
}

static void forward_standardised(sb_reference *r)
{
    sb_reference s = standardised(r);
    const double terms = (double)fan_in(r);
    compute(&s, SB_CONVOLVE_FORWARD, terms, r->y, r->y_bound);
    add_rounding(r, terms, sb_shape_elements(&r->ys), r->y_bound);
    if (r->w[1])
        add_bias(r);
    free(s.w[0]);
}

/* From the gradient at a standardised filter y, which may be off by `bound`, to the filter's. A device may
 * round the former to the type of x. */
static void back_through(const sb_reference *r, size_t at, const double *y, double inverse)
{
    const size_t count = fan_in(r);
    const sb_array_type type = sb_array_type_of(r->xs[0].type);
    double *g = r->dw[0] + at, *bound = r->dw_bound[0] + at, sum = 0, along = 0, sums = 0, alongs = 0;
    for (size_t i = 0; i < count; i++) {
        bound[i] += sb_array_unit(type) * fabs(g[i]) + sb_array_least(type);
        sum += g[i] / (double)count;
        along += g[i] * y[i] / (double)count;
        sums += bound[i] / (double)count;
        alongs += bound[i] * fabs(y[i]) / (double)count;
    }
    for (size_t i = 0; i < count; i++) {
        g[i] = (g[i] - sum - y[i] * along) * inverse;
        bound[i] = (bound[i] + sums + fabs(y[i]) * alongs) * inverse + SB_UNIT_F32 * fabs(g[i]);
    }
}

static void backward_standardised(sb_reference *r)
{
    sb_reference s = standardised(r);
    const double terms = (double)taps(r) * r->ys.c;
    backward(&s);
    if (r->dx[0])
        add_rounding(r, terms, sb_shape_elements(&r->xs[0]), r->dx_bound[0]);
    for (size_t at = 0; at < sb_extent_count(&r->ws[0]); at += fan_in(r)) {
        double inverse = standardise(r->w[0] + at, fan_in(r), s.w[0] + at);
        back_through(r, at, s.w[0] + at, inverse);
    }
    free(s.w[0]);
}

/* Packing rounds the weights to the compute type: they are given so rounded that the reference computes with
 * the same. */
static void fill(sb_trial *t, sb_reference *r)
{
    sb_array x = { .type = sb_array_type_of(r->xs[0].type),
                   .value = r->x[0],
                   .count = sb_shape_elements(&r->xs[0]) };
    sb_array w = { .type = x.type, .value = r->w[0], .count = sb_extent_count(&r->ws[0]) };
    sb_fill_normal(t, &x, 0.3, 1);
    sb_fill_normal(t, &w, 0, 0.1);
    if (r->w[1])
        sb_fill_normal(t, sb_array_w(t, 1), 0.5, 1);
}

static const char *lacks(const sb_shape *xs, const sb_device *device)
{
    return xs->type == SB_BF16 && !device->bf16 ? "the device has no bf16 convolutions"
           : xs->type == SB_F16 && !device->f16 ? "the device has no f16 convolutions"
                                                : NULL;
}

static const sb_op_test test = { .op = SB_OP_CONV,
                                 .how_bytes = sizeof(sb_conv_how),
                                 .fill = fill,
                                 .forward = forward,
                                 .backward = backward,
                                 .lacks = lacks };

static const sb_op_test test_standardised = { .op = SB_OP_CONV,
                                              .how_bytes = sizeof(sb_conv_how),
                                              .fill = fill,
                                              .forward = forward_standardised,
                                              .backward = backward_standardised,
                                              .lacks = lacks };

/* Of n images of h x w with `in` channels. */
typedef struct {
    int n, h, w, in;
    sb_conv_how how;
} row;

static void add_as(sb_type type, bool timed, row r)
{
    const sb_conv_how *c = &r.how;
    sb_op_case_add(
        c->standardised ? &test_standardised : &test, c, &(sb_shape){ r.n, r.h, r.w, r.in, type },
        (sb_op_options){ .timed = timed, .no_dx = r.in <= 3 /* as in a network: not for the images */ },
        "%s [%d, %d, %d, %d] to %d, %d x %d / %d pad %d%s%s%s", sb_type_name(type), r.n, r.h, r.w, r.in,
        c->out, c->kernel, c->kernel, c->stride, c->pad, c->standardised ? " standardised" : "",
        c->bias ? " bias" : "", c->flat ? " flat" : "");
}

static void add(bool timed, row r)
{
    static size_t number;
    for (sb_type type = SB_F32; type <= SB_F16; type++)
        if (timed || sb_case_has(type, number))
            add_as(type, timed, r);
    number++;
}

/* ---- refusals ------------------------------------------------------------------------------------------ */

static int bad(row r)
{
    sb_shape y;
    return sb_op_conv.shape(&r.how, &(sb_shape){ r.n, r.h, r.w, r.in, SB_F32 }, &y);
}

static int larger_than_the_image(sb_device *d)
{
    return (void)d, bad((row){ 1, 4, 4, 8, { 8, .kernel = 5, .stride = 1 } });
}
static int no_images(sb_device *d)
{
    return (void)d, bad((row){ 0, 8, 8, 8, { 8, .kernel = 3, .stride = 1, .pad = 1 } });
}
static int no_channels(sb_device *d)
{
    return (void)d, bad((row){ 1, 8, 8, 0, { 8, .kernel = 3, .stride = 1, .pad = 1 } });
}
static int no_outputs(sb_device *d)
{
    return (void)d, bad((row){ 1, 8, 8, 8, { -1, .kernel = 3, .stride = 1, .pad = 1 } });
}
static int no_kernel(sb_device *d)
{
    return (void)d, bad((row){ 1, 8, 8, 8, { 8, .kernel = 0, .stride = 1 } });
}
static int no_stride(sb_device *d)
{
    return (void)d, bad((row){ 1, 8, 8, 8, { 8, .kernel = 3, .stride = 0, .pad = 1 } });
}
static int pad_below_zero(sb_device *d)
{
    return (void)d, bad((row){ 1, 8, 8, 8, { 8, .kernel = 3, .stride = 1, .pad = -1 } });
}
static int pad_of_a_kernel(sb_device *d)
{
    return (void)d, bad((row){ 1, 8, 8, 8, { 8, .kernel = 3, .stride = 1, .pad = 3 } });
}
static int no_height(sb_device *d)
{
    return (void)d, bad((row){ 1, 0, 8, 8, { 8, .kernel = 3, .stride = 1, .pad = 1 } });
}

static int flat_kernel(sb_device *d)
{
    return (void)d, bad((row){ 1, 8, 8, 8, { 8, .kernel = 3, .stride = 1, .pad = 1, .flat = true } });
}

static int of_bytes(sb_device *device)
{
    (void)device;
    sb_shape y;
    return sb_op_conv.shape(&(sb_conv_how){ 8, 3, 1, 1 }, &(sb_shape){ 1, 8, 8, 8, SB_U8 }, &y);
}

static int of_numbers(sb_device *device)
{
    (void)device;
    sb_shape y;
    return sb_op_conv.shape(&(sb_conv_how){ 8, 3, 1, 1 }, &(sb_shape){ 1, 8, 8, 8, SB_I32 }, &y);
}

static int data_gradient_not_planned(sb_device *device)
{
    const sb_kernel *k = device->kernels[SB_OP_CONV];
    const sb_conv_how how = { 8, 3, 1, 1 };
    sb_call call = { .how = &how, .xs = { { 1, 8, 8, 3, SB_F32 } } };
    float dx;
    if (sb_op_conv.shape(&how, call.xs, &call.ys) != 0 || k->plan(device, &call) != 0)
        return 0; /* that is not what should be refused */
    call.dx[0] = &dx;
    int rc = k->backward(device, &call);
    k->unplan(device, call.planned);
    return rc;
}

void sb_cases_conv(void)
{
    /* ResNet's layers with fewer places: the stems, 3 x 3, strided, 1 x 1, and projections; then odd sizes
     * along every dimension. */
    const row small[] = {
        { 2, 33, 33, 3, { 64, .kernel = 7, .stride = 2, .pad = 3 } },
        { 2, 31, 32, 1, { 64, .kernel = 7, .stride = 2, .pad = 3 } },
        { 2, 33, 31, 3, { 64, .kernel = 7, .stride = 4, .pad = 3 } },
        { 2, 17, 17, 3, { 64, .kernel = 3, .stride = 1, .pad = 1 } },
        { 2, 9, 9, 64, { 64, .kernel = 3, .stride = 1, .pad = 1 } },
        { 2, 9, 9, 64, { 128, .kernel = 3, .stride = 2, .pad = 1 } },
        { 2, 9, 9, 64, { 128, .kernel = 1, .stride = 2, .pad = 0 } },
        { 3, 7, 7, 64, { 256, .kernel = 1, .stride = 1, .pad = 0 } },
        { 3, 7, 7, 256, { 64, .kernel = 1, .stride = 1, .pad = 0 } },
        { 1, 7, 7, 256, { 512, .kernel = 1, .stride = 2, .pad = 0 } },
        { 1, 4, 4, 256, { 256, .kernel = 3, .stride = 2, .pad = 1 } },
        { 2, 1, 1, 64, { 64, .kernel = 3, .stride = 1, .pad = 1 } },
        { 2, 2, 2, 31, { 33, .kernel = 3, .stride = 2, .pad = 1 } },
        { 1, 1, 1, 31, { 31, .kernel = 7, .stride = 2, .pad = 3 } },
        { 1, 33, 31, 31, { 33, .kernel = 3, .stride = 1, .pad = 1 } },
        { 33, 5, 5, 33, { 31, .kernel = 3, .stride = 2, .pad = 1 } },
        { 31, 3, 3, 16, { 16, .kernel = 3, .stride = 1, .pad = 1 } },
        { 1, 255, 1, 16, { 16, .kernel = 3, .stride = 1, .pad = 1 } },
        { 1, 1, 257, 16, { 16, .kernel = 3, .stride = 2, .pad = 1 } },
        { 255, 1, 1, 16, { 16, .kernel = 1, .stride = 1, .pad = 0 } },
        { 257, 2, 2, 16, { 16, .kernel = 1, .stride = 2, .pad = 0 } },
        { 1, 3, 3, 255, { 257, .kernel = 1, .stride = 1, .pad = 0 } },
        { 1, 2, 2, 257, { 255, .kernel = 3, .stride = 1, .pad = 1 } },
        { 1, 4, 5, 6, { 1, .kernel = 3, .stride = 1, .pad = 1 } },
        { 1, 9, 9, 16, { 16, .kernel = 5, .stride = 3, .pad = 0 } },
        { 2, 33, 31, 3, { 64, .kernel = 7, .stride = 4, .pad = 3, .standardised = true } },
        { 2, 9, 9, 64, { 64, .kernel = 3, .stride = 1, .pad = 1, .standardised = true } },
        { 2, 9, 9, 64, { 128, .kernel = 1, .stride = 2, .pad = 0, .standardised = true } },
        { 1, 33, 31, 31, { 33, .kernel = 3, .stride = 1, .pad = 1, .standardised = true } },
        { 1, 1, 257, 16, { 16, .kernel = 3, .stride = 2, .pad = 1, .standardised = true } },
        { 255, 1, 1, 16, { 31, .kernel = 1, .stride = 1, .pad = 0, .standardised = true } },
        { 3, 7, 7, 64, { 255, .kernel = 1, .stride = 1, .bias = true, .flat = true } },
        { 257, 1, 33, 31, { 33, .kernel = 1, .stride = 1, .bias = true, .flat = true } },
        { 3, 5, 7, 24, { 40, .kernel = 1, .stride = 1, .bias = true } },
        { 1, 1, 1, 31, { 1, .kernel = 1, .stride = 1, .flat = true } },
        { 2, 33, 31, 3, { 40, .kernel = 4, .stride = 4, .pad = 0, .bias = true } },
        { 3, 9, 8, 40, { 80, .kernel = 2, .stride = 2, .pad = 0, .bias = true } },
        { 1, 65, 33, 3, { 192, .kernel = 16, .stride = 16, .pad = 0, .bias = true } },
        { 31, 3, 3, 16, { 16, .kernel = 3, .stride = 1, .pad = 1, .standardised = true, .bias = true } },
        /* what the CPU computes by Winograd's algorithm in f32; from 64 tiles on in bf16, too, without AMX */
        { 3, 17, 18, 64, { 64, .kernel = 3, .stride = 1, .pad = 1 } },
        { 1, 33, 31, 40, { 56, .kernel = 3, .stride = 1, .pad = 1 } },
        { 65, 4, 4, 32, { 40, .kernel = 3, .stride = 1, .pad = 1 } },
        { 17, 7, 6, 128, { 32, .kernel = 3, .stride = 1, .pad = 1 } },
        { 65, 3, 4, 32, { 256, .kernel = 3, .stride = 1, .pad = 1, .bias = true } },
        { 5, 15, 13, 72, { 32, .kernel = 3, .stride = 1, .pad = 1, .standardised = true } },
        { 33, 3, 4, 296, { 264, .kernel = 3, .stride = 1, .pad = 1 } }, /* two blocks of weights */
        { 8, 7, 7, 256, { 256, .kernel = 3, .stride = 1, .pad = 1, .standardised = true, .bias = true } },
    };
    for (size_t i = 0; i < sizeof small / sizeof *small; i++)
        add(false, small[i]);

    /* Every shape of ResNet-18, 34 and 50 on views of 224 and of 64 pixels, the small stem, that of stride 4.
     * `places` is a stage's side, `from` what it gets. */
    add(true, (row){ 16, 64, 64, 3, { 64, .kernel = 3, .stride = 1, .pad = 1 } });
    add(true, (row){ 2, 1024, 1024, 3, { 64, .kernel = 7, .stride = 4, .pad = 3 } });
    for (int side = 224; side >= 64; side -= 160) {
        int n = side == 224 ? 2 : 16;
        add(true, (row){ n, side, side, 3, { 64, .kernel = 7, .stride = 2, .pad = 3 } });
        add(true, (row){ n, side / 4, side / 4, 64, { 64, .kernel = 1, .stride = 1 } });
        for (int places = side / 4, width = 64, from = 64; width <= 512;
             from = 4 * width, places /= 2, width *= 2) {
            add(true, (row){ n, places, places, width, { width, .kernel = 3, .stride = 1, .pad = 1 } });
            add(true, (row){ n, places, places, width, { 4 * width, .kernel = 1, .stride = 1 } });
            add(true, (row){ n, places, places, 4 * width, { width, .kernel = 1, .stride = 1 } });
            if (width == 64)
                continue;
            add(true,
                (row){ n, 2 * places, 2 * places, width / 2, { width, .kernel = 3, .stride = 2, .pad = 1 } });
            add(true, (row){ n, 2 * places, 2 * places, width / 2, { width, .kernel = 1, .stride = 2 } });
            add(true, (row){ n, 2 * places, 2 * places, from, { width, .kernel = 1, .stride = 1 } });
            add(true,
                (row){ n, 2 * places, 2 * places, width, { width, .kernel = 3, .stride = 2, .pad = 1 } });
            add(true, (row){ n, 2 * places, 2 * places, from, { 4 * width, .kernel = 1, .stride = 2 } });
        }
    }

    /* ConvNeXt-atto, MobileNetV4-conv-small and ViT-Ti/32 at 224 pixels: their widths are no powers of 2. */
    static const row wide[] = {
        { 4, 224, 224, 3, { 40, .kernel = 4, .stride = 4, .bias = true } },
        { 4, 56, 56, 40, { 160, .kernel = 1, .stride = 1 } },
        { 4, 56, 56, 160, { 40, .kernel = 1, .stride = 1, .bias = true } },
        { 4, 56, 56, 40, { 80, .kernel = 2, .stride = 2, .bias = true } },
        { 4, 28, 28, 80, { 320, .kernel = 1, .stride = 1 } },
        { 4, 28, 28, 320, { 80, .kernel = 1, .stride = 1, .bias = true } },
        { 4, 14, 14, 160, { 640, .kernel = 1, .stride = 1 } },
        { 4, 14, 14, 640, { 160, .kernel = 1, .stride = 1, .bias = true } },
        { 4, 7, 7, 1280, { 320, .kernel = 1, .stride = 1, .bias = true } },
        { 4, 112, 112, 32, { 32, .kernel = 3, .stride = 2, .pad = 1 } },
        { 4, 56, 56, 32, { 96, .kernel = 3, .stride = 2, .pad = 1 } },
        { 4, 28, 28, 96, { 64, .kernel = 1, .stride = 1 } },
        { 4, 14, 14, 96, { 192, .kernel = 1, .stride = 1 } },
        { 4, 14, 14, 192, { 96, .kernel = 1, .stride = 1 } },
        { 4, 7, 7, 128, { 960, .kernel = 1, .stride = 1 } },
        { 16, 224, 224, 3, { 192, .kernel = 32, .stride = 32, .bias = true } },
        { 16, 1, 50, 192, { 576, .kernel = 1, .stride = 1, .bias = true, .flat = true } },
        { 16, 1, 50, 192, { 768, .kernel = 1, .stride = 1, .flat = true } },
        { 16, 1, 50, 768, { 192, .kernel = 1, .stride = 1, .bias = true, .flat = true } },
    };
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        add(true, wide[i]);

    sb_case_add_refusal("conv: kernel larger than the padded image", larger_than_the_image);
    sb_case_add_refusal("conv: no images", no_images);
    sb_case_add_refusal("conv: no channels in", no_channels);
    sb_case_add_refusal("conv: no channels out", no_outputs);
    sb_case_add_refusal("conv: no kernel", no_kernel);
    sb_case_add_refusal("conv: no stride", no_stride);
    sb_case_add_refusal("conv: negative pad", pad_below_zero);
    sb_case_add_refusal("conv: a pad as wide as the kernel", pad_of_a_kernel);
    sb_case_add_refusal("conv: no height", no_height);
    sb_case_add_refusal("conv: a linear layer with a kernel", flat_kernel);
    sb_case_add_refusal("conv: of bytes", of_bytes);
    sb_case_add_refusal("conv: of numbers of rows", of_numbers);
    sb_case_add_refusal("conv: a data gradient that was not planned", data_gradient_not_planned);
}
