/* update.c: the optimiser of a step: its state, and its step over all weights at once (step.h). */
#include <stdlib.h>

#include "kernels/op/update.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "trainer/schedule.h"
#include "trainer/step/private.h"

/* The table of all weights, and the call that makes a step over it. */
typedef struct {
    sb_update_array *arrays;
    sb_update_how how;
    sb_call call;
} update;

int sb_step_list_update(sb_step *s)
{
    const sb_kernel *kernel = s->device->kernels[SB_OP_UPDATE];
    update *u = sb_zeroed(1, sizeof *u, "the optimiser");
    if (!u)
        return -1;
    s->update = u;
    s->state_arrays = s->config->optimiser_kind->state_arrays;
    u->arrays = sb_zeroed((size_t)s->store.count, sizeof *u->arrays, "the optimiser's table of weights");
    if (!u->arrays)
        return -1;
    for (int i = 0; i < s->store.count; i++) {
        const sb_entry *e = &s->store.entries[i];
        if (e->kind == SB_ENTRY_WEIGHT)
            u->arrays[u->how.count++] = (sb_update_array){ .state_stride = s->store.floats[SB_ENTRY_WEIGHT],
                                                           .count = e->count,
                                                           .decayed = e->extent.decayed,
                                                           .rate = e->rate,
                                                           .steady = e->steady,
                                                           .frozen_until = e->frozen_until };
    }
    u->how.arrays = u->arrays;
    u->call.how = &u->how;
    s->update_bytes = kernel->packed ? kernel->packed(s->device, &u->call) : 0;
    return 0;
}

int sb_step_set_update(sb_step *s)
{
    const sb_kernel *kernel = s->device->kernels[SB_OP_UPDATE];
    update *u = s->update;
    for (int i = 0, k = 0; i < s->store.count; i++) {
        const sb_entry *e = &s->store.entries[i];
        if (e->kind != SB_ENTRY_WEIGHT)
            continue;
        u->arrays[k].weight = s->section.weight + e->offset;
        u->arrays[k].gradient = s->section.gradient + e->offset;
        u->arrays[k++].state = s->state + e->offset;
    }
    u->call.packed = s->update_packed;
    if (s->device->zero(s->device, s->state,
                        (size_t)s->state_arrays * s->store.floats[SB_ENTRY_WEIGHT] * sizeof(float)) != 0)
        return -1;
    return kernel->pack ? kernel->pack(s->device, &u->call) : 0;
}

void sb_step_free_update(sb_step *s)
{
    update *u = s->update;
    if (!u)
        return;
    free(u->arrays);
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
