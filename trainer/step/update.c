/* update.c: the optimiser of a step: its state, and its step over all weights (step.h): at once, or, where a
 * run goes on from given weights, over the backbone's and over the heads', which have a learning rate each.
 */
#include <stdlib.h>

#include "kernels/op/update.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "trainer/schedule.h"
#include "trainer/step/private.h"

typedef enum { HEADS, BACKBONE, PARTS } part;

/* Of each part what the device prepared, and the table it was prepared from. */
typedef struct {
    int parts; /* 1: all weights are one */
    struct {
        sb_update_how how;
        sb_call call;
    } part[PARTS];
} update;

static bool of_backbone(const sb_step *s, const sb_entry *e)
{
    return e->offset + e->count <= s->backbone[SB_ENTRY_WEIGHT];
}

/* The table of a part's weights; of all where there is one part. */
static sb_update_array *list_arrays(const sb_step *s, const update *u, part which, int *count)
{
    const int64_t heads = u->parts == 1 ? 0 : s->config->continuing.heads;
    sb_update_array *arrays = sb_zeroed((size_t)s->store.count, sizeof *arrays,
                                        "the optimiser's table of weights");
    *count = 0;
    for (int i = 0; arrays && i < s->store.count; i++) {
        const sb_entry *e = &s->store.entries[i];
        if (e->kind != SB_ENTRY_WEIGHT || (u->parts > 1 && of_backbone(s, e) != (which == BACKBONE)))
            continue;
        arrays[(*count)++] = (sb_update_array){ .weight = s->section.weight + e->offset,
                                                .gradient = s->section.gradient + e->offset,
                                                .state = s->state + e->offset,
                                                .state_stride = s->store.floats[SB_ENTRY_WEIGHT],
                                                .count = e->count,
                                                .decayed = e->extent.decayed,
                                                .rate = e->rate,
                                                .steady = e->steady,
                                                .frozen_until = which == BACKBONE && e->frozen_until < heads
                                                                    ? heads
                                                                    : e->frozen_until };
    }
    return arrays;
}

int sb_step_make_update(sb_step *s)
{
    sb_device *d = s->device;
    s->state_arrays = s->config->optimiser_kind->state_arrays;
    size_t bytes = (size_t)s->state_arrays * s->store.floats[SB_ENTRY_WEIGHT] * sizeof(float);
    void *memory;
    if (d->alloc(d, bytes, &memory) != 0)
        return sb_context("the optimiser's state");
    s->state = memory;
    if (d->zero(d, s->state, bytes) != 0)
        return -1;
    update *u = sb_zeroed(1, sizeof *u, "the optimiser");
    if (!u)
        return -1;
    s->update = u;
    u->parts = s->config->continuing.enabled ? PARTS : 1;
    for (int p = 0; p < u->parts; p++) {
        sb_update_how *how = &u->part[p].how;
        u->part[p].call.how = how;
        how->arrays = list_arrays(s, u, (part)p, &how->count);
        if (!how->arrays ||
            (d->kernels[SB_OP_UPDATE]->plan && d->kernels[SB_OP_UPDATE]->plan(d, &u->part[p].call) != 0))
            return -1;
    }
    return 0;
}

void sb_step_free_update(sb_step *s)
{
    update *u = s->update;
    if (s->state)
        s->device->release(s->device, s->state);
    for (int p = 0; u && p < u->parts; p++) {
        if (u->part[p].call.planned)
            s->device->kernels[SB_OP_UPDATE]->unplan(s->device, u->part[p].call.planned);
        free((void *)(uintptr_t)u->part[p].how.arrays);
    }
    free(u);
}

int sb_step_update(sb_step *s, int64_t number, double lr)
{
    const sb_settings *c = s->config;
    const double peak = sb_schedule_peak(&c->optimiser, &c->trainer);
    update *u = s->update;
    for (int p = 0; p < u->parts; p++) {
        const double share = p == BACKBONE ? sb_schedule_backbone(&c->continuing, number) : 1;
        sb_update_how *how = &u->part[p].how;
        how->values = (sb_update_values){ .rule = c->optimiser_kind->rule,
                                          .lr = (float)(lr * share),
                                          .steady_lr = (float)(peak * share),
                                          .weight_decay = (float)c->optimiser.weight_decay,
                                          .step = number + 1 };
        c->optimiser_kind->set(c->optimiser_keys, &how->values);
        if (sb_forward(s->device, SB_OP_UPDATE, &u->part[p].call) != 0)
            return -1;
    }
    return 0;
}
