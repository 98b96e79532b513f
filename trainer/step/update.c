/* update.c: the optimiser of a step: its state, and its step over all weights (step.h): at once, or, where a
 * run goes on from given weights, over the backbone's and over the heads', which have a learning rate each.
 */
#include <stdlib.h>

#include "kernels/op/update.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "trainer/schedule.h"
#include "trainer/step/private.h"

typedef enum { HEADS, BACKBONE } part;

/* Of each part the table of its weights, and the call that makes a step over it. */
typedef struct {
    int parts; /* 1: all weights are one */
    struct {
        sb_update_array *arrays;
        sb_update_how how;
        sb_call call;
    } part[SB_UPDATE_PARTS];
} update;

/* Whether the entry is one of the part's weights; of all weights where there is one part. */
static bool is_of(const sb_step *s, const update *u, part which, const sb_entry *e)
{
    const bool backbone = e->adapter || e->offset + e->count <= s->backbone.floats[SB_ENTRY_WEIGHT];
    return sb_state_has(e) && (u->parts == 1 || backbone == (which == BACKBONE));
}

static int list_part(sb_step *s, update *u, part which)
{
    const sb_kernel *kernel = s->device->kernels[SB_OP_UPDATE];
    const int64_t heads = s->config->continuing.heads;
    sb_update_how *how = &u->part[which].how;
    sb_update_array *arrays = sb_zeroed((size_t)s->store.count, sizeof *arrays,
                                        "the optimiser's table of weights");
    u->part[which].arrays = arrays;
    if (!arrays)
        return -1;
    for (int i = 0; i < s->store.count; i++) {
        const sb_entry *e = &s->store.entries[i];
        const bool later = which == BACKBONE && e->frozen_until < heads;
        if (is_of(s, u, which, e))
            arrays[how->count++] = (sb_update_array){ .state_stride = s->state_layout.floats,
                                                      .coded = sb_state_coded(&s->state_layout, e),
                                                      .count = e->count,
                                                      .decayed = e->extent.decayed,
                                                      .rate = e->rate,
                                                      .steady = e->steady,
                                                      .frozen_until = later ? heads : e->frozen_until };
    }
    how->arrays = arrays;
    u->part[which].call.how = how;
    s->update_bytes[which] = kernel->packed ? kernel->packed(s->device, &u->part[which].call) : 0;
    return 0;
}

int sb_step_list_update(sb_step *s)
{
    update *u = sb_zeroed(1, sizeof *u, "the optimiser");
    if (!u)
        return -1;
    s->update = u;
    s->state_arrays = s->config->optimiser_kind->state_arrays;
    u->parts = s->config->continuing.enabled ? SB_UPDATE_PARTS : 1;
    if (sb_state_layout_make(&s->state_layout, &s->store, s->config->optimiser.state == SB_STATE_8BIT) != 0)
        return -1;
    for (int p = 0; p < u->parts; p++)
        if (list_part(s, u, (part)p) != 0)
            return -1;
    return 0;
}

int sb_step_set_update(sb_step *s)
{
    const sb_kernel *kernel = s->device->kernels[SB_OP_UPDATE];
    update *u = s->update;
    if (s->device->zero(s->device, s->state,
                        (size_t)s->state_arrays * s->state_layout.floats * sizeof(float)) != 0)
        return -1;
    for (int p = 0; p < u->parts; p++) {
        sb_update_array *array = u->part[p].arrays;
        for (int i = 0; i < s->store.count; i++) {
            const sb_entry *e = &s->store.entries[i];
            if (!is_of(s, u, (part)p, e))
                continue;
            array->weight = s->section.weight + e->offset;
            array->gradient = s->section.gradient + e->offset;
            array->state = s->state + s->state_layout.at[i];
            for (int k = 0; array->coded && k < s->state_arrays; k++) {
                float *state = s->state + (size_t)k * s->state_layout.floats;
                array->maxima[k] = sb_state_maxima(&s->state_layout, i, state);
                array->codes[k] = sb_state_codes(&s->state_layout, &s->store, i, state);
            }
            array++;
        }
        u->part[p].call.packed = s->update_packed[p];
        if (kernel->pack && kernel->pack(s->device, &u->part[p].call) != 0)
            return -1;
    }
    return 0;
}

void sb_step_free_update(sb_step *s)
{
    update *u = s->update;
    for (int p = 0; u && p < u->parts; p++)
        free(u->part[p].arrays);
    sb_state_layout_free(&s->state_layout);
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
                                          .step = number + 1 - (int64_t)s->scale.skipped };
        c->optimiser_kind->set(c->optimiser_keys, &how->values);
        if (sb_forward(s->device, SB_OP_UPDATE, &u->part[p].call) != 0)
            return -1;
    }
    return 0;
}
