/* cases_conv.c: convolution in its three directions. */
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "tests/kernels/cases.h"
#include "tests/kernels/reference.h"

typedef struct {
    sb_conv_shape shape;
    bool accumulate;
} parameters;

/* Each direction has its two inputs and its output in the same places. */
enum { X, W, Y };

static const sb_conv_shape *shape_of(const sb_trial *t) { return &((const parameters *)t->parameters)->shape; }

static int out_side(int side, const sb_conv_shape *s) { return (side + 2 * s->pad - s->kernel) / s->stride + 1; }

static void declare(sb_trial *t, sb_array_role x, sb_array_role w, sb_array_role y)
{
    const sb_conv_shape *s = shape_of(t);
    size_t places = (size_t)out_side(s->h, s) * (size_t)out_side(s->w, s), taps = (size_t)s->kernel * (size_t)s->kernel;
    sb_array *a = sb_array_add(t, x ? "dx" : "x", sb_array_type_of(s->type), x, (size_t)s->n * (size_t)s->h * (size_t)s->w * (size_t)s->in);
    sb_fill_normal(t, a, 0.3, 1);
    a = sb_array_add(t, w ? "dw" : "w", SB_ARRAY_F32, w, taps * (size_t)s->in * (size_t)s->out);
    sb_fill_normal(t, a, 0, 0.1);
    a = sb_array_add(t, y ? "y" : "dy", sb_array_type_of(s->type), y, (size_t)s->n * places * (size_t)s->out);
    sb_fill_normal(t, a, 0.1, 1);
    t->flops = 2.0 * s->n * (double)places * (double)taps * s->in * s->out;
}

static void prepare_forward(sb_trial *t) { declare(t, SB_ARRAY_GIVEN, SB_ARRAY_GIVEN, SB_ARRAY_WRITTEN); }

/* <dy, conv(x, w)>: both gradients' loss. */
static double loss(const sb_trial *t)
{
    double *y = sb_doubles(t->arrays[Y].count), sum = 0;
    sb_reference_conv_forward(shape_of(t), sb_value(t, X), sb_value(t, W), y);
    for (size_t i = 0; i < t->arrays[Y].count; i++)
        sum += y[i] * sb_value(t, Y)[i];
    free(y);
    return sum;
}

static void prepare_data(sb_trial *t)
{
    declare(t, SB_ARRAY_WRITTEN, SB_ARRAY_GIVEN, SB_ARRAY_GIVEN);
    t->arrays[X].gradient_of = X;
}

static void prepare_weight(sb_trial *t)
{
    const parameters *p = t->parameters;
    declare(t, SB_ARRAY_GIVEN, p->accumulate ? SB_ARRAY_UPDATED : SB_ARRAY_WRITTEN, SB_ARRAY_GIVEN);
    t->arrays[W].gradient_of = W;
}

static int open_conv(sb_trial *t, sb_device *device)
{
    sb_conv *conv;
    if (device->conv_create(device, shape_of(t), &conv) != 0)
        return -1;
    t->plan = conv;
    t->scratch_bytes = device->conv_scratch(conv);
    t->packed_bytes = device->conv_packed(conv);
    return 0;
}

static void close_conv(sb_trial *t, sb_device *device) { device->conv_destroy(device, t->plan); }

static int pack(sb_trial *t, sb_device *device) { return device->conv_pack(device, t->plan, sb_memory(t, W), t->packed, t->scratch); }

static int call_forward(sb_trial *t, sb_device *device)
{
    return device->conv_forward(device, t->plan, sb_memory(t, X), t->packed, sb_memory(t, Y), t->scratch);
}

static int call_data(sb_trial *t, sb_device *device)
{
    return device->conv_backward_data(device, t->plan, sb_memory(t, Y), t->packed, sb_memory(t, X), t->scratch);
}

static int call_weight(sb_trial *t, sb_device *device)
{
    const parameters *p = t->parameters;
    return device->conv_backward_weight(device, t->plan, sb_memory(t, X), sb_memory(t, Y), sb_memory(t, W), p->accumulate, t->scratch);
}

/* Packing rounds the weights to the compute type: so must the reference, before anything else. */
static void round_weights(sb_trial *t)
{
    sb_array w = t->arrays[W];
    w.type = sb_array_type_of(shape_of(t)->type);
    sb_array_round(&w);
}

/* The magnitudes are the same convolution of absolute values. */
static void reference_forward(sb_trial *t)
{
    const sb_conv_shape *s = shape_of(t);
    double *x = sb_doubles_absolute(t->arrays[X].count, sb_value(t, X)), *w, *y = sb_doubles(t->arrays[Y].count);
    round_weights(t);
    w = sb_doubles_absolute(t->arrays[W].count, sb_value(t, W));
    sb_reference_conv_forward(s, sb_value(t, X), sb_value(t, W), sb_wanted(t, Y));
    sb_reference_conv_forward(s, x, w, y);
    sb_array_bound(&t->arrays[Y], s->kernel * s->kernel * s->in, y);
    free(x);
    free(w);
    free(y);
}

static void reference_data(sb_trial *t)
{
    const sb_conv_shape *s = shape_of(t);
    double *x = sb_doubles(t->arrays[X].count), *w, *y = sb_doubles_absolute(t->arrays[Y].count, sb_value(t, Y));
    round_weights(t);
    w = sb_doubles_absolute(t->arrays[W].count, sb_value(t, W));
    sb_reference_conv_backward_data(s, sb_value(t, Y), sb_value(t, W), sb_wanted(t, X));
    sb_reference_conv_backward_data(s, y, w, x);
    sb_array_bound(&t->arrays[X], s->kernel * s->kernel * s->out, x);
    free(x);
    free(w);
    free(y);
}

static void reference_weight(sb_trial *t)
{
    const sb_conv_shape *s = shape_of(t);
    double *x = sb_doubles_absolute(t->arrays[X].count, sb_value(t, X)), *w = sb_doubles(t->arrays[W].count);
    double *y = sb_doubles_absolute(t->arrays[Y].count, sb_value(t, Y));
    sb_reference_conv_backward_weight(s, sb_value(t, X), sb_value(t, Y), sb_wanted(t, W));
    sb_reference_conv_backward_weight(s, x, y, w);
    double *addend = sb_doubles_absolute(t->arrays[W].count, sb_wanted(t, W));
    for (size_t i = 0; i < t->arrays[W].count && t->arrays[W].role == SB_ARRAY_UPDATED; i++) {
        sb_wanted(t, W)[i] += sb_value(t, W)[i];
        w[i] += sb_value(t, W)[i] < 0 ? -sb_value(t, W)[i] : sb_value(t, W)[i];
    }
    sb_array_bound(&t->arrays[W], s->n * out_side(s->h, s) * out_side(s->w, s), w);
    for (size_t i = 0; i < t->arrays[W].count && s->type == SB_BF16 && t->conv_gradient == SB_BF16; i++)
        t->arrays[W].bound[i] = t->arrays[W].bound[i] * (1 + SB_UNIT_BF16) + SB_UNIT_BF16 * addend[i];
    free(addend);
    free(x);
    free(w);
    free(y);
}

static const char *lacks(const void *given, const sb_device *device)
{
    const parameters *p = given;
    return p->shape.type == SB_BF16 && !device->bf16 ? "the device has no bf16 convolutions" : NULL;
}

static const sb_operation forward = { .name = "conv_forward", .prepare = prepare_forward, .open = open_conv, .before = pack,
                                      .call = call_forward, .close = close_conv, .reference = reference_forward, .lacks = lacks };
static const sb_operation backward_data = { .name = "conv_backward_data", .prepare = prepare_data, .open = open_conv, .before = pack,
                                            .call = call_data, .close = close_conv, .reference = reference_data, .loss = loss, .lacks = lacks };
static const sb_operation backward_weight = { .name = "conv_backward_weight", .prepare = prepare_weight, .open = open_conv,
                                              .call = call_weight, .close = close_conv, .reference = reference_weight, .loss = loss,
                                              .lacks = lacks };

static void add(bool timed, sb_conv_shape s)
{
    for (sb_type type = SB_F32; type <= SB_BF16; type++) {
        char text[96];
        s.type = type;
        snprintf(text, sizeof text, "%s [%d, %d, %d, %d] to %d, %d x %d / %d pad %d", type == SB_F32 ? "f32" : "bf16", s.n, s.h, s.w, s.in,
                 s.out, s.kernel, s.kernel, s.stride, s.pad);
        parameters p = { .shape = s };
        p.shape.data_gradient = s.in > 3; /* as in a network: not for the images */
        sb_case_add(&forward, timed, &p, sizeof p, "%s", text);
        if (p.shape.data_gradient)
            sb_case_add(&backward_data, timed, &p, sizeof p, "%s", text);
        for (p.accumulate = false;; p.accumulate = true) {
            sb_case_add(&backward_weight, timed, &p, sizeof p, "%s%s", text, p.accumulate ? ", accumulated" : "");
            if (p.accumulate || timed)
                break;
        }
    }
}

/* ---- refusals --------------------------------------------------------------------------------------------------------------------- */

static int create_bad(sb_device *device, sb_conv_shape s)
{
    sb_conv *conv = NULL;
    int rc = device->conv_create(device, &s, &conv);
    if (rc == 0)
        device->conv_destroy(device, conv);
    return rc;
}

static int larger_than_the_image(sb_device *d) { return create_bad(d, (sb_conv_shape){ 1, 4, 4, 8, 8, .kernel = 5, .stride = 1 }); }
static int no_images(sb_device *d) { return create_bad(d, (sb_conv_shape){ 0, 8, 8, 8, 8, .kernel = 3, .stride = 1, .pad = 1 }); }
static int no_channels(sb_device *d) { return create_bad(d, (sb_conv_shape){ 1, 8, 8, 0, 8, .kernel = 3, .stride = 1, .pad = 1 }); }
static int no_outputs(sb_device *d) { return create_bad(d, (sb_conv_shape){ 1, 8, 8, 8, -1, .kernel = 3, .stride = 1, .pad = 1 }); }
static int no_kernel(sb_device *d) { return create_bad(d, (sb_conv_shape){ 1, 8, 8, 8, 8, .kernel = 0, .stride = 1 }); }
static int no_stride(sb_device *d) { return create_bad(d, (sb_conv_shape){ 1, 8, 8, 8, 8, .kernel = 3, .stride = 0, .pad = 1 }); }
static int pad_below_zero(sb_device *d) { return create_bad(d, (sb_conv_shape){ 1, 8, 8, 8, 8, .kernel = 3, .stride = 1, .pad = -1 }); }
static int no_height(sb_device *d) { return create_bad(d, (sb_conv_shape){ 1, 0, 8, 8, 8, .kernel = 3, .stride = 1, .pad = 1 }); }

static int data_gradient_not_planned(sb_device *device)
{
    sb_conv *conv;
    if (device->conv_create(device, &(sb_conv_shape){ 1, 8, 8, 3, 8, .kernel = 3, .stride = 1, .pad = 1 }, &conv) != 0)
        return 0; /* that is not what should be refused */
    int rc = device->conv_backward_data(device, conv, NULL, NULL, NULL, NULL);
    device->conv_destroy(device, conv);
    return rc;
}

void sb_cases_conv(void)
{
    /* ResNet's layers with fewer places: the stems, 3 x 3, strided, 1 x 1, and projections; then odd sizes along every dimension. */
    const sb_conv_shape small[] = {
        { 2, 33, 33, 3, 64, .kernel = 7, .stride = 2, .pad = 3 },  { 2, 31, 32, 1, 64, .kernel = 7, .stride = 2, .pad = 3 },
        { 2, 17, 17, 3, 64, .kernel = 3, .stride = 1, .pad = 1 },  { 2, 9, 9, 64, 64, .kernel = 3, .stride = 1, .pad = 1 },
        { 2, 9, 9, 64, 128, .kernel = 3, .stride = 2, .pad = 1 },  { 2, 9, 9, 64, 128, .kernel = 1, .stride = 2, .pad = 0 },
        { 3, 7, 7, 64, 256, .kernel = 1, .stride = 1, .pad = 0 },  { 3, 7, 7, 256, 64, .kernel = 1, .stride = 1, .pad = 0 },
        { 1, 7, 7, 256, 512, .kernel = 1, .stride = 2, .pad = 0 }, { 1, 4, 4, 256, 256, .kernel = 3, .stride = 2, .pad = 1 },
        { 2, 1, 1, 64, 64, .kernel = 3, .stride = 1, .pad = 1 },   { 2, 2, 2, 31, 33, .kernel = 3, .stride = 2, .pad = 1 },
        { 1, 1, 1, 31, 31, .kernel = 7, .stride = 2, .pad = 3 },   { 1, 33, 31, 31, 33, .kernel = 3, .stride = 1, .pad = 1 },
        { 33, 5, 5, 33, 31, .kernel = 3, .stride = 2, .pad = 1 },  { 31, 3, 3, 16, 16, .kernel = 3, .stride = 1, .pad = 1 },
        { 1, 255, 1, 16, 16, .kernel = 3, .stride = 1, .pad = 1 }, { 1, 1, 257, 16, 16, .kernel = 3, .stride = 2, .pad = 1 },
        { 255, 1, 1, 16, 16, .kernel = 1, .stride = 1, .pad = 0 }, { 257, 2, 2, 16, 16, .kernel = 1, .stride = 2, .pad = 0 },
        { 1, 3, 3, 255, 257, .kernel = 1, .stride = 1, .pad = 0 }, { 1, 2, 2, 257, 255, .kernel = 3, .stride = 1, .pad = 1 },
        { 1, 4, 5, 6, 1, .kernel = 3, .stride = 1, .pad = 1 },     { 1, 9, 9, 16, 16, .kernel = 5, .stride = 3, .pad = 0 },
    };
    for (size_t i = 0; i < sizeof small / sizeof *small; i++)
        add(false, small[i]);

    /* Every shape of ResNet-18, 34 and 50 on views of 224 and of 64 pixels, and the small stem. `places` is a stage's side, `from` what it gets. */
    add(true, (sb_conv_shape){ 16, 64, 64, 3, 64, .kernel = 3, .stride = 1, .pad = 1 });
    for (int side = 224; side >= 64; side -= 160) {
        int n = side == 224 ? 2 : 16;
        add(true, (sb_conv_shape){ n, side, side, 3, 64, .kernel = 7, .stride = 2, .pad = 3 });
        add(true, (sb_conv_shape){ n, side / 4, side / 4, 64, 64, .kernel = 1, .stride = 1 });
        for (int places = side / 4, width = 64, from = 64; width <= 512; from = 4 * width, places /= 2, width *= 2) {
            add(true, (sb_conv_shape){ n, places, places, width, width, .kernel = 3, .stride = 1, .pad = 1 });
            add(true, (sb_conv_shape){ n, places, places, width, 4 * width, .kernel = 1, .stride = 1 });
            add(true, (sb_conv_shape){ n, places, places, 4 * width, width, .kernel = 1, .stride = 1 });
            if (width == 64)
                continue;
            add(true, (sb_conv_shape){ n, 2 * places, 2 * places, width / 2, width, .kernel = 3, .stride = 2, .pad = 1 });
            add(true, (sb_conv_shape){ n, 2 * places, 2 * places, width / 2, width, .kernel = 1, .stride = 2 });
            add(true, (sb_conv_shape){ n, 2 * places, 2 * places, from, width, .kernel = 1, .stride = 1 });
            add(true, (sb_conv_shape){ n, 2 * places, 2 * places, width, width, .kernel = 3, .stride = 2, .pad = 1 });
            add(true, (sb_conv_shape){ n, 2 * places, 2 * places, from, 4 * width, .kernel = 1, .stride = 2 });
        }
    }

    sb_case_add_refusal("conv_create: kernel larger than the padded image", larger_than_the_image);
    sb_case_add_refusal("conv_create: no images", no_images);
    sb_case_add_refusal("conv_create: no channels in", no_channels);
    sb_case_add_refusal("conv_create: no channels out", no_outputs);
    sb_case_add_refusal("conv_create: no kernel", no_kernel);
    sb_case_add_refusal("conv_create: no stride", no_stride);
    sb_case_add_refusal("conv_create: negative pad", pad_below_zero);
    sb_case_add_refusal("conv_create: no height", no_height);
    sb_case_add_refusal("conv_backward_data: not planned", data_gradient_not_planned);
}
