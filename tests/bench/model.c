/* model.c: see model.h. */
#include "tests/bench/model.h"

#include <stdio.h>

#include "kernels/op/conv.h"
#include "kernels/share/resample.h"

/* ---- what is assumed ----------------------------------------------------------------------------------- */

#define COPY "a copy on an H100 reached 0.87 (Voltage Park's published benchmarks)"
#define SUMS "a guess: a copy, less what its sums take"
#define TAPS "a tap of a blur takes 2 instructions where the peak counts one (SPEED.md)"
#define PIXELS "a guess: as other convolutions, of 8 channels of which 3 are pixels"
#define STEPS "published steps of ResNet-50 (test_model); cuDNN's first plans in f32 reorder tensors"
#define SAME "the same steps"
#define GUESS "a guess"

const sb_assumption sb_assumed[SB_KINDS] = {
    /*                     name, bandwidth, f32, half, moved, kernels, libraries, source */
    [SB_KIND_VALUES] = { "value by value", 0.85, 0.5, 0.5, 0, { 1, 2 }, { 0, 0 }, COPY },
    [SB_KIND_NORM] = { "norms", 0.75, 0.5, 0.5, 0, { 3, 4 }, { 0, 0 }, SUMS },
    [SB_KIND_POOL] = { "pooling", 0.7, 0.5, 0.5, 0, { 1, 1 }, { 0, 0 }, GUESS },
    [SB_KIND_WEIGHTS] = { "weights", 0.8, 0.5, 0.5, 0, { 1.5, 1 }, { 0, 0 }, GUESS },
    [SB_KIND_VIEW] = { "views", 0.6, 0.4, 0.4, 0, { 7, 0 }, { 0, 0 }, TAPS },
    [SB_KIND_STEM] = { "convolution of pixels", 0.75, 0.4, 0.2, 2, { 1, 2 }, { 1, 1 }, PIXELS },
    [SB_KIND_POINT] = { "convolution 1 x 1", 0.75, 0.6, 0.5, 2, { 0, 1 }, { 1, 2 }, STEPS },
    [SB_KIND_WINDOW] = { "convolution, larger", 0.75, 0.6, 0.5, 2, { 0, 1 }, { 1, 2 }, SAME },
    [SB_KIND_DEPTHWISE] = { "convolution, depthwise", 0.5, 0.3, 0.3, 0, { 1, 3 }, { 0, 0 }, GUESS },
    [SB_KIND_ATTENTION] = { "attention", 0.5, 0.3, 0.3, 0, { 1, 3 }, { 0, 0 }, GUESS },
    [SB_KIND_PRODUCT] = { "matrix product", 0.75, 0.7, 0.5, 0, { 1, 1 }, { 1, 2 }, GUESS },
    [SB_KIND_PAIRS] = { "pairs of samples", 0.5, 0.3, 0.3, 0, { 1, 1 }, { 0, 0 }, GUESS },
};

void sb_model_print(void)
{
    printf("| kind of kernel | of the bandwidth | of the peak in f32 | in bf16 | moved beside, in f32 "
           "| launches, forward + back | by |\n|---|---|---|---|---|---|---|\n");
    for (const sb_assumption *a = sb_assumed; a < sb_assumed + SB_KINDS; a++)
        printf("| %s | %.2f | %.2f | %.2f | %.0f x | %g + %g | %s |\n", a->name, a->bandwidth, a->f32,
               a->half, a->moved, a->kernels[0] + a->libraries[0], a->kernels[1] + a->libraries[1],
               a->source);
    printf(
        "\nA launch takes the GPU %.0f us and the host %.0f us (guesses), a call of cuDNN or cuBLAS the "
        "host %.0f us (published); uploads reach %.2f of PCIe's bandwidth (as the copy). The cache between "
        "calls and clocks under load are left aside.\n",
        1e6 * SB_MODEL_GAP, 1e6 * SB_MODEL_QUEUE, 1e6 * SB_MODEL_EXECUTE, SB_MODEL_LINK);
}

/* ---- kinds --------------------------------------------------------------------------------------------- */

#define PIXELS_MOST 4 /* channels: fewer than a tensor core takes at once */

/* An operation that is not named here moves values and is bound by that. */
static sb_kind kind_of(sb_op_id op, const sb_call *call)
{
    switch (op) {
    case SB_OP_BATCHNORM:
    case SB_OP_GROUPNORM:
    case SB_OP_LAYERNORM:
    case SB_OP_GRN: return SB_KIND_NORM;
    case SB_OP_AVGPOOL:
    case SB_OP_GRIDPOOL:
    case SB_OP_MAXPOOL: return SB_KIND_POOL;
    case SB_OP_UPDATE:
    case SB_OP_UNSCALE:
    case SB_OP_ROW_DOT:
    case SB_OP_RUNNING: return SB_KIND_WEIGHTS;
    case SB_OP_VIEW: return SB_KIND_VIEW;
    case SB_OP_DEPTHWISE: return SB_KIND_DEPTHWISE;
    case SB_OP_ATTENTION: return SB_KIND_ATTENTION;
    case SB_OP_LINEAR:
    case SB_OP_PRODUCT:
    case SB_OP_NEAREST_ROW:
    case SB_OP_MATCH:
    case SB_OP_RELATIONS: return SB_KIND_PRODUCT;
    case SB_OP_LOGSUMEXP_PAIRS: return SB_KIND_PAIRS;
    case SB_OP_CONV:
        return call->xs[0].c <= PIXELS_MOST                    ? SB_KIND_STEM
               : ((const sb_conv_how *)call->how)->kernel == 1 ? SB_KIND_POINT
                                                               : SB_KIND_WINDOW;
    default: return SB_KIND_VALUES;
    }
}

sb_work sb_work_of(sb_op_id op, const sb_call *call, bool backward)
{
    sb_work w = { .kind = kind_of(op, call), .backward = backward, .type = call->xs[0].type };
    w.cost = sb_ops[op]->cost(call->how, call->xs, backward);
    if (backward && !call->gradient[0]) { /* a product as large as the forward one */
        w.cost.operations -= sb_ops[op]->cost(call->how, call->xs, false).operations;
        w.cost.bytes -= (double)sb_shape_bytes(&call->xs[0]);
    }
    return w;
}

sb_cost sb_cost_of_view(int height, int width, int channels, int size, bool blurred)
{
    const double tile = (double)height * width * channels, rows = 4.0 * size * width * channels,
                 plane = (double)size * size * channels;
    sb_cost cost = { .bytes = tile + 2 * rows + 4 * plane + 2 * 4 * plane + plane };
    if (blurred) {
        cost.bytes += 2 * 4 * plane + 4 * plane;
        cost.operations = 2 * 2.0 * sb_blur_width(size) * plane;
    }
    return cost;
}

/* ---- seconds ------------------------------------------------------------------------------------------- */

double sb_work_bound(const sb_peak *gpu, const sb_work *w)
{
    return sb_peak_bound(gpu, w->cost.bytes, w->cost.operations, w->type);
}

/* What its bytes or its operations take at these shares: the longer. */
static double memory_of(const sb_peak *gpu, const sb_work *w)
{
    return w->cost.bytes / gpu->bandwidth / sb_assumed[w->kind].bandwidth;
}

static double compute_of(const sb_peak *gpu, const sb_work *w)
{
    const sb_assumption *a = &sb_assumed[w->kind];
    return w->type == SB_F32 ? w->cost.operations / gpu->f32 / a->f32
                             : w->cost.operations / gpu->bf16 / a->half;
}

/* What goes on beside that, whatever the share. */
static double beside_of(const sb_peak *gpu, const sb_work *w)
{
    const sb_assumption *a = &sb_assumed[w->kind];
    const double moved = w->type == SB_F32 ? a->moved * w->cost.bytes : 0;
    return (a->kernels[w->backward] + a->libraries[w->backward]) * SB_MODEL_GAP +
           moved / gpu->bandwidth / sb_assumed[SB_KIND_VALUES].bandwidth;
}

double sb_work_seconds(const sb_peak *gpu, const sb_work *w)
{
    const double memory = memory_of(gpu, w), compute = compute_of(gpu, w);
    return beside_of(gpu, w) + (memory > compute ? memory : compute);
}

sb_share sb_work_share(const sb_peak *gpu, const sb_work *w)
{
    return memory_of(gpu, w) >= compute_of(gpu, w) ? SB_SHARE_BANDWIDTH
           : w->type == SB_F32                     ? SB_SHARE_F32
                                                   : SB_SHARE_HALF;
}

double sb_assumed_share(sb_kind kind, sb_share share)
{
    const sb_assumption *a = &sb_assumed[kind];
    return share == SB_SHARE_BANDWIDTH ? a->bandwidth : share == SB_SHARE_F32 ? a->f32 : a->half;
}

double sb_work_reached(const sb_peak *gpu, const sb_work *w, double seconds)
{
    const sb_share share = sb_work_share(gpu, w);
    const double beside = beside_of(gpu, w),
                 whole = share == SB_SHARE_BANDWIDTH ? memory_of(gpu, w) : compute_of(gpu, w);
    return beside < seconds / 2 ? whole * sb_assumed_share(w->kind, share) / (seconds - beside) : 0;
}
