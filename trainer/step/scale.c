/* scale.c: the scale of f16's gradients (step.h).
 *
 * Between 2^-24 and 65504 f16 has only 40 binary orders, and gradients of activations are small. So the
 * gradient at the features is multiplied by a scale, a power of two, before it goes back through the
 * backbone, and the gradient of the backbone's weights, in f32, is divided by it afterwards (Micikevicius et
 * al., "Mixed precision training", 2018). Where that leaves a value that is not finite, the step is skipped
 * and the scale halves; after so many steps without one it doubles, up to a most; steps of the heads alone do
 * not count. Begin, factors and interval are those of PyTorch's GradScaler. Heads and loss are f32, and their
 * gradients are never scaled.
 *
 * What a run has to remember is an entry of the store, so that checkpoints have it. */
#include "kernels/op/combine.h"
#include "kernels/op/unscale.h"
#include "proto/error.h"
#include "trainer/step/private.h"

#define BEGIN 65536.0f
#define INTERVAL 2000       /* steps */
#define FACTOR_MOST 0x1p64f /* far beyond what any gradient needs, and finite */

int sb_step_make_scale(sb_step *s)
{
    const sb_extent extent = { .dims = 1, .side = { sizeof s->scale / sizeof(float) }, .init = SB_INIT_ZERO };
    s->scale_entry = sb_store_add(&s->store, "loss_scale", SB_ENTRY_STATE, &extent);
    return s->scale_entry >= 0 ? 0 : -1;
}

static float *memory_of(const sb_step *s)
{
    return s->section.state + s->store.entries[s->scale_entry].offset;
}

static int write_scale(sb_step *s)
{
    return s->device->copy(s->device, SB_STREAM_COMPUTE, memory_of(s), &s->scale, sizeof s->scale,
                           SB_TO_DEVICE);
}

int sb_step_read_scale(sb_step *s)
{
    sb_device *d = s->device;
    if (!s->scaled)
        return 0;
    if (d->copy(d, SB_STREAM_COMPUTE, &s->scale, memory_of(s), sizeof s->scale, SB_TO_HOST) != 0 ||
        d->wait(d, SB_STREAM_COMPUTE) != 0)
        return -1;
    if (s->scale.factor >= 1)
        return 0;
    s->scale = (sb_step_scale){ .factor = BEGIN }; /* a run begins */
    return write_scale(s);
}

int sb_step_scale_gradient(sb_step *s)
{
    const sb_combine_how how = { .alpha = s->scale.factor };
    for (int i = 0; i < SB_BACKBONE_ROWS && s->scaled; i++) {
        const sb_step_rows *r = &s->given_rows[i];
        const sb_shape all = { s->rows, 1, 1, (int)r->width, SB_F32 };
        const sb_call call = { .how = &how, .xs = { all }, .ys = all, .x = { r->drows }, .y = r->drows };
        if (r->width > 0 && sb_forward(s->device, SB_OP_COMBINE, &call) != 0)
            return -1;
    }
    return 0;
}

/* Divides `count` gradients by a scale, and sets *wrong where one is not finite. */
static int unscale(const sb_step *s, float *gradient, size_t count, float scale, int32_t *wrong)
{
    const sb_unscale_how how = { 1 / scale };
    const sb_shape all = { 1, 1, 1, (int)count, SB_F32 };
    const sb_call call = {
        .how = &how, .xs = { all }, .ys = all, .x = { gradient }, .y = gradient, .aux = wrong
    };
    return count > 0 ? sb_forward(s->device, SB_OP_UNSCALE, &call)
                     : s->device->zero(s->device, wrong, sizeof *wrong);
}

int sb_step_unscale(sb_step *s, bool alone)
{
    sb_device *d = s->device;
    const size_t backbone = s->backbone.weights, all = s->store.floats[SB_ENTRY_WEIGHT];
    int32_t wrong[2];
    if (!s->scaled)
        return 0;
    if (unscale(s, s->section.gradient, backbone, s->scale.factor, &s->wrong[0]) != 0 ||
        unscale(s, s->section.gradient + backbone, all - backbone, 1, &s->wrong[1]) != 0 ||
        d->copy(d, SB_STREAM_COMPUTE, wrong, s->wrong, sizeof wrong, SB_TO_HOST) != 0 ||
        d->wait(d, SB_STREAM_COMPUTE) != 0)
        return -1;
    const bool skipped = wrong[0] || wrong[1];
    if (skipped) {
        s->scale.good = 0;
        s->scale.skipped++;
        s->scale.factor /= 2;
    } else if (!alone) { /* the heads by themselves do not try the scale */
        s->scale.good++;
    }
    if (s->scale.good >= INTERVAL) {
        s->scale.factor *= s->scale.factor < FACTOR_MOST ? 2 : 1;
        s->scale.good = 0;
    }
    if (s->scale.factor < 1)
        return sb_fail("gradients do not fit f16, however small the loss is made (its scale is below 1): set "
                       "trainer.precision=bf16 or f32, or lower optimiser.lr");
    return write_scale(s) != 0 ? -1 : skipped;
}

const sb_step_scale *sb_step_scale_of(const sb_step *s) { return s->scaled ? &s->scale : NULL; }
