/* conv.c: convolutions through cuDNN. Its plans are built when a convolution is planned, and kept.
 *
 * cuDNN sees NHWC activations whose channels are padded to 16 bytes (the stem's 3 become 8 in 16 bits: a copy
 * in scratch), and filters [out, k, k, in], packed once a step. The weight's gradient is of the filter's
 * type, too: cuDNN has no plan that takes bf16 or f16 activations and gives an f32 gradient. So such a
 * convolution's gradient is rounded once in each call, and added in f32 (sb_kernel: rounds_dw). */
#include <stdlib.h>

#include "kernels/cuda/bias.h"
#include "kernels/cuda/layout.h"
#include "kernels/cuda/plan.h"

/* What follows from a call's shapes. */
typedef struct {
    sb_cuda_shape seen; /* as cuDNN sees it: channels padded */
    size_t packed;      /* bytes of the filter, and of its gradient */
    size_t copied;      /* bytes of x or dx as cuDNN sees it, where that is not x or dx itself; else 0 */
} layout;

/* What `plan` makes. */
typedef struct {
    layout layout;
    sb_cuda_plan forward, data, weight;
    size_t workspace; /* the most of the plans */
} convolution;

static layout layout_of(const sb_call *call)
{
    const sb_shape *x = &call->xs[0];
    layout l = { .seen = sb_cuda_shape_of(x, &call->ys, call->how) };
    const sb_cuda_shape *s = &l.seen;
    size_t element = sb_type_bytes(s->type), in = (size_t)s->in;
    l.packed = sb_cuda_align((size_t)s->out * (size_t)s->kernel * (size_t)s->kernel * in * element);
    if (s->in != x->c || (call->gradient[0] && call->add[0]))
        l.copied = sb_cuda_align((size_t)s->n * (size_t)s->h * (size_t)s->w * in * element);
    return l;
}

/* ---- plan ---------------------------------------------------------------------------------------------- */

static int make_plans(sb_cuda *cuda, convolution *c, bool data_gradient)
{
    if (sb_cuda_plan_create(cuda, &c->layout.seen, SB_CUDA_FORWARD, &c->forward) != 0 ||
        (data_gradient && sb_cuda_plan_create(cuda, &c->layout.seen, SB_CUDA_BACKWARD_DATA, &c->data) != 0))
        return -1;
    return sb_cuda_plan_create(cuda, &c->layout.seen, SB_CUDA_BACKWARD_WEIGHT, &c->weight);
}

static void unplan(sb_device *device, void *planned)
{
    (void)device;
    convolution *c = planned;
    sb_cuda_plan_destroy(&c->forward);
    sb_cuda_plan_destroy(&c->data);
    sb_cuda_plan_destroy(&c->weight);
    free(c);
}

static int plan(sb_device *device, sb_call *call)
{
    convolution *c = sb_zeroed(1, sizeof *c, "the plans of a convolution");
    if (!c)
        return -1;
    c->layout = layout_of(call);
    if (make_plans((sb_cuda *)device, c, call->gradient[0]) != 0) {
        unplan(device, c);
        return -1;
    }
    const sb_cuda_plan *plans[] = { &c->forward, &c->data, &c->weight };
    for (int i = 0; i < 3; i++)
        c->workspace = plans[i]->workspace > c->workspace ? plans[i]->workspace : c->workspace;
    c->workspace = sb_cuda_align(c->workspace);
    call->planned = c;
    return 0;
}

/* ---- run ----------------------------------------------------------------------------------------------- */

static size_t packed(sb_device *device, const sb_call *call)
{
    (void)device;
    return layout_of(call).packed;
}

/* Standardised weights, or the gradient at them: f32, in our layout. */
static size_t standard_bytes(const sb_call *call)
{
    const sb_conv_how *how = call->how;
    size_t filter = (size_t)call->xs[0].c * (size_t)how->kernel * (size_t)how->kernel;
    return how->standardised ? sb_cuda_align((size_t)how->out * filter * sizeof(float)) : 0;
}

static bool biased(const sb_call *call) { return ((const sb_conv_how *)call->how)->bias; }

/* cuDNN's workspace; x or dx as cuDNN sees it; the weight's gradient in cuDNN's layout; standardised weights.
 * Before all of them, in the same memory, the sums of a bias' gradient. */
static size_t scratch(sb_device *device, const sb_call *call)
{
    (void)device;
    const convolution *c = call->planned;
    const layout l = layout_of(call);
    const size_t sums = biased(call) ? sb_cuda_bias_scratch(&call->ys) : 0,
                 all = (c ? c->workspace : sb_cuda_workspace_most(&l.seen)) + l.copied + l.packed +
                       standard_bytes(call);
    return sums > all ? sums : all;
}

static void *copy_of(const sb_call *call)
{
    return (char *)call->scratch + ((const convolution *)call->planned)->workspace;
}

static bool is_padded(const sb_call *call)
{
    return ((const convolution *)call->planned)->layout.seen.in != call->xs[0].c;
}

static size_t pixels_of(const sb_shape *s) { return (size_t)s->n * (size_t)s->h * (size_t)s->w; }

/* x as cuDNN wants it: as it is, or a padded copy. NULL: failed. */
static const void *seen_x(sb_device *device, const sb_call *call)
{
    const convolution *c = call->planned;
    const sb_shape *x = &call->xs[0];
    void *padded = copy_of(call);
    if (!is_padded(call))
        return call->x[0];
    if (sb_cuda_channels(device, pixels_of(x), x->c, c->layout.seen.in, x->type, call->x[0], padded, false) !=
        0)
        return NULL;
    return padded;
}

static float *standard_of(const sb_call *call)
{
    const layout *l = &((const convolution *)call->planned)->layout;
    return (float *)(void *)((char *)copy_of(call) + l->copied + l->packed);
}

static int pack(sb_device *device, const sb_call *call)
{
    const sb_cuda_shape *s = &((const convolution *)call->planned)->layout.seen;
    const bool standardised = standard_bytes(call) > 0;
    if (standardised && sb_conv_standardise(device, call, standard_of(call)) != 0)
        return -1;
    return sb_cuda_filter_pack(device, s->out, call->xs[0].c, s->kernel, s->in,
                               standardised ? standard_of(call) : call->w[0], s->type, call->packed);
}

static int forward(sb_device *device, const sb_call *call)
{
    const convolution *c = call->planned;
    const void *x = seen_x(device, call);
    if (!x || sb_cuda_plan_run((sb_cuda *)device, &c->forward, x, call->packed, call->y, call->scratch) != 0)
        return -1;
    return biased(call) ? sb_cuda_bias_add(device, &call->ys, call->w[1], call->y) : 0;
}

static int backward_weight(sb_device *device, const sb_call *call)
{
    const convolution *c = call->planned;
    const sb_cuda_shape *s = &c->layout.seen;
    const void *x = seen_x(device, call);
    void *gradient = (char *)copy_of(call) + c->layout.copied;
    if (!x || sb_cuda_plan_run((sb_cuda *)device, &c->weight, x, gradient, call->dy, call->scratch) != 0)
        return -1;
    const bool standardised = standard_bytes(call) > 0;
    float *to = standardised ? standard_of(call) : call->dw[0];
    if ((standardised && device->zero(device, to, standard_bytes(call)) != 0) ||
        sb_cuda_filter_unpack(device, s->out, call->xs[0].c, s->kernel, s->in, s->type, gradient, to) != 0)
        return -1;
    return standardised ? sb_conv_standardise_back(device, call, to) : 0;
}

static int backward_data(sb_device *device, const sb_call *call)
{
    const convolution *c = call->planned;
    const sb_shape *x = &call->xs[0];
    if (!c->data.plan)
        return sb_fail("this convolution was planned without a data gradient");
    bool direct = !is_padded(call) && !call->add[0];
    void *seen = direct ? call->dx[0] : copy_of(call);
    if (sb_cuda_plan_run((sb_cuda *)device, &c->data, seen, call->packed, call->dy, call->scratch) != 0)
        return -1;
    if (direct)
        return 0;
    return sb_cuda_channels(device, pixels_of(x), c->layout.seen.in, x->c, x->type, seen, call->dx[0],
                            call->add[0]);
}

static int backward(sb_device *device, const sb_call *call)
{
    if (biased(call) && call->dw[1] &&
        sb_cuda_bias_back(device, &call->ys, call->dy, call->dw[1], call->scratch) != 0)
        return -1;
    if (call->dw[0] && backward_weight(device, call) != 0)
        return -1;
    return call->dx[0] ? backward_data(device, call) : 0;
}

const sb_kernel sb_cuda_conv = { .scratch = scratch,
                                 .packed = packed,
                                 .plan = plan,
                                 .unplan = unplan,
                                 .pack = pack,
                                 .forward = forward,
                                 .backward = backward,
                                 .rounds_dw = true };
