/* update.c: the optimiser of a step: its state, and its step over all weights at once (step.h). */
#include <stdlib.h>

#include "kernels/op/update.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "trainer/schedule.h"
#include "trainer/step/private.h"

/* What the device prepared, and the table it was prepared from. */
typedef struct {
    sb_update_how how;
    sb_call call;
} update;

/* The table of all weights. */
static sb_update_array *list_arrays(const sb_step *s, int *count)
{
    sb_update_array *arrays = sb_zeroed((size_t)s->store.count, sizeof *arrays,
                                        "the optimiser's table of weights");
    *count = 0;
    for (int i = 0; arrays && i < s->store.count; i++) {
        const sb_entry *e = &s->store.entries[i];
        if (e->kind == SB_ENTRY_WEIGHT)
            arrays[(*count)++] = (sb_update_array){ .weight = s->section.weight + e->offset,
                                                    .gradient = s->section.gradient + e->offset,
                                                    .state = s->state + e->offset,
                                                    .state_stride = s->store.floats[SB_ENTRY_WEIGHT],
                                                    .count = e->count,
                                                    .decayed = e->extent.decayed,
                                                    .rate = e->rate,
                                                    .steady = e->steady,
                                                    .frozen_until = e->frozen_until };
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
    u->call.how = &u->how;
    u->how.arrays = list_arrays(s, &u->how.count);
    if (!u->how.arrays)
        return -1;
    return d->kernels[SB_OP_UPDATE]->plan ? d->kernels[SB_OP_UPDATE]->plan(d, &u->call) : 0;
}

void sb_step_free_update(sb_step *s)
{
    update *u = s->update;
    if (s->state)
        s->device->release(s->device, s->state);
    if (!u)
        return;
    if (u->call.planned)
        s->device->kernels[SB_OP_UPDATE]->unplan(s->device, u->call.planned);
    free((void *)(uintptr_t)u->how.arrays);
    free(u);
}

int sb_step_update(sb_step *s, int64_t number, double lr)
{
    const sb_settings *c = s->config;
    update *u = s->update;
    u->how.values = (sb_update_values){ .rule = c->optimiser_kind->rule,
                                        .lr = (float)lr,
                                        .steady_lr = (float)sb_schedule_peak(&c->optimiser, &c->trainer),
                                        .weight_decay = (float)c->optimiser.weight_decay,
                                        .step = number + 1 };
    c->optimiser_kind->set(c->optimiser_keys, &u->how.values);
    return sb_forward(s->device, SB_OP_UPDATE, &u->call);
}
