/* conv.c: convolutions through cuDNN. Plans are built when a convolution is created and kept.
 *
 * cuDNN sees NHWC activations whose channels are padded to 16 bytes (the stem's 3 become 8 in bf16: a copy in scratch), and filters
 * [out, k, k, in], packed once a step. The weight's gradient is of the filter's type, too: cuDNN has no plan that takes bf16 activations and gives
 * an f32 gradient. So a bf16 convolution's gradient is rounded once in each call, and added in f32 (device.h: conv_gradient). */
#include <stdlib.h>

#include "kernels/cuda/layout.h"
#include "kernels/cuda/plan.h"

struct sb_conv {
    sb_conv_shape shape; /* as asked for */
    sb_conv_shape seen;  /* as cuDNN sees it: channels padded */
    sb_cuda_plan forward, data, weight;
    size_t packed;    /* bytes of the filter, and of its gradient */
    size_t padded;    /* bytes of x with padded channels; 0: as it is */
    size_t workspace; /* the most of the plans */
};

/* ---- create ------------------------------------------------------------------------------------------------------------------------------ */

static int make_plans(sb_cuda *cuda, sb_conv *c)
{
    const sb_conv_shape *s = &c->seen;
    if (sb_cuda_plan_create(cuda, s, SB_CUDA_FORWARD, &c->forward) != 0 ||
        (s->data_gradient && sb_cuda_plan_create(cuda, s, SB_CUDA_BACKWARD_DATA, &c->data) != 0))
        return -1;
    return sb_cuda_plan_create(cuda, s, SB_CUDA_BACKWARD_WEIGHT, &c->weight);
}

int sb_cuda_conv_create(sb_device *device, const sb_conv_shape *s, sb_conv **out)
{
    sb_cuda *cuda = (sb_cuda *)device;
    if (sb_conv_check(s) != 0)
        return -1;
    sb_conv *c = calloc(1, sizeof *c);
    if (!c)
        return sb_fail("out of memory");
    c->shape = *s;
    c->seen = sb_cuda_padded(s);
    if (make_plans(cuda, c) != 0) {
        sb_cuda_conv_destroy(device, c);
        return -1;
    }
    size_t filter = (size_t)s->out * (size_t)s->kernel * (size_t)s->kernel * (size_t)c->seen.in;
    c->packed = sb_cuda_align(filter * sb_type_bytes(s->type));
    if (c->seen.in != s->in)
        c->padded = sb_cuda_align((size_t)s->n * (size_t)s->h * (size_t)s->w * (size_t)c->seen.in * sb_type_bytes(s->type));
    const sb_cuda_plan *plans[] = { &c->forward, &c->data, &c->weight };
    for (int i = 0; i < 3; i++)
        c->workspace = plans[i]->workspace > c->workspace ? plans[i]->workspace : c->workspace;
    c->workspace = sb_cuda_align(c->workspace);
    *out = c;
    return 0;
}

void sb_cuda_conv_destroy(sb_device *device, sb_conv *c)
{
    (void)device;
    if (!c)
        return;
    sb_cuda_plan_destroy(&c->forward);
    sb_cuda_plan_destroy(&c->data);
    sb_cuda_plan_destroy(&c->weight);
    free(c);
}

/* ---- run --------------------------------------------------------------------------------------------------------------------------------- */

size_t sb_cuda_conv_packed(const sb_conv *c) { return c->packed; }

/* Scratch: cuDNN's workspace, x with padded channels, the weight's gradient in cuDNN's layout. */
size_t sb_cuda_conv_scratch(const sb_conv *c) { return c->workspace + c->padded + c->packed; }

static void *padded_of(const sb_conv *c, void *scratch) { return (char *)scratch + c->workspace; }

static size_t pixels_of(const sb_conv *c) { return (size_t)c->shape.n * (size_t)c->shape.h * (size_t)c->shape.w; }

/* x as cuDNN wants it: as it is, or a padded copy. NULL: failed. */
static const void *seen_x(sb_device *device, const sb_conv *c, const void *x, void *scratch)
{
    if (!c->padded)
        return x;
    void *padded = padded_of(c, scratch);
    return sb_cuda_channels(device, pixels_of(c), c->shape.in, c->seen.in, c->shape.type, x, padded) == 0 ? padded : NULL;
}

int sb_cuda_conv_pack(sb_device *device, sb_conv *c, const float *weight, void *packed, void *scratch)
{
    (void)scratch;
    return sb_cuda_filter_pack(device, c->shape.out, c->shape.in, c->shape.kernel, c->seen.in, weight, c->shape.type, packed);
}

int sb_cuda_conv_forward(sb_device *device, sb_conv *c, const void *x, const void *packed, void *y, void *scratch)
{
    const void *seen = seen_x(device, c, x, scratch);
    return seen ? sb_cuda_plan_run((sb_cuda *)device, &c->forward, seen, packed, y, scratch) : -1;
}

int sb_cuda_conv_backward_data(sb_device *device, sb_conv *c, const void *dy, const void *packed, void *dx, void *scratch)
{
    if (!c->shape.data_gradient)
        return sb_fail("this convolution was planned without a data gradient");
    void *seen = c->padded ? padded_of(c, scratch) : dx;
    if (sb_cuda_plan_run((sb_cuda *)device, &c->data, seen, packed, dy, scratch) != 0)
        return -1;
    return c->padded ? sb_cuda_channels(device, pixels_of(c), c->seen.in, c->shape.in, c->shape.type, seen, dx) : 0;
}

int sb_cuda_conv_backward_weight(sb_device *device, sb_conv *c, const void *x, const void *dy, float *dweight, bool accumulate,
                                 void *scratch)
{
    const void *seen = seen_x(device, c, x, scratch);
    void *gradient = (char *)padded_of(c, scratch) + c->padded;
    if (!seen || sb_cuda_plan_run((sb_cuda *)device, &c->weight, seen, gradient, dy, scratch) != 0)
        return -1;
    return sb_cuda_filter_unpack(device, c->shape.out, c->shape.in, c->shape.kernel, c->seen.in, c->shape.type, gradient, accumulate,
                                 dweight);
}
