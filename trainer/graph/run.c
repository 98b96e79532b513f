/* run.c: runs a plan, turn by turn, or as it was recorded (plan.h). */
#include <string.h>

#include "kernels/op/running.h"
#include "proto/error.h"
#include "trainer/graph/plan_private.h"

#define RUNNING_MOMENTUM 0.1f /* torchvision's, of every norm */

void sb_plan_bind(sb_plan *p, void *arena, void *packed)
{
    p->arena = arena;
    p->packed = packed;
}

static void *resolve(const sb_plan *p, sb_at at, const sb_feed *feed)
{
    switch (at.kind) {
    case SB_AT_NOWHERE: return NULL;
    case SB_AT_BUFFER: return p->arena + p->buffers[at.index].offset;
    case SB_AT_LEAF: return (void *)(uintptr_t)feed->leaf[at.index];
    case SB_AT_DLEAF: return feed->dleaf[at.index];
    case SB_AT_DOUTPUT: return (void *)(uintptr_t)feed->doutput[at.index];
    }
    return NULL;
}

/* The call of a turn. A norm is given the section's statistics only where it shall use them: `infer`, and
 * always those that it does not gather itself. */
static sb_call call_of(const sb_plan *p, const sb_turn *t, const sb_feed *feed, bool infer)
{
    const sb_node *n = &p->graph.nodes[t->node];
    const sb_entry *entries = p->graph.store->entries;
    const sb_section *s = feed->section;
    sb_call c = p->nodes[t->node].call;
    c.scratch = resolve(p, t->scratch, feed);
    c.packed = p->packed + p->nodes[t->node].packed_at;
    c.y = resolve(p, t->y, feed);
    c.aux = resolve(p, t->aux, feed);
    c.dy = resolve(p, t->dy, feed);
    for (int k = 0; k < SB_INPUTS_MAX; k++) {
        c.x[k] = resolve(p, t->x[k], feed);
        c.dx[k] = resolve(p, t->dx[k], feed);
        c.add[k] = t->add[k];
    }
    for (int k = 0; k < SB_WEIGHTS_MAX; k++) {
        if (n->w[k] < 0)
            continue;
        const sb_entry *e = &entries[n->w[k]];
        const bool learnt = t->kind == SB_TURN_BACKWARD && s->gradient && !e->extent.given;
        if (e->kind == SB_ENTRY_STATISTIC) {
            c.w[k] = infer || e->extent.given ? s->statistic + e->offset : NULL;
        } else {
            c.w[k] = s->weight + e->offset;
            c.dw[k] = learnt ? s->gradient + e->offset : NULL;
        }
    }
    return c;
}

static int pack(sb_plan *p, const sb_feed *feed)
{
    for (int i = 0; i < p->graph.count; i++) {
        const sb_node *n = &p->graph.nodes[i];
        if (n->leaf || !p->device->kernels[n->op]->pack)
            continue;
        const sb_turn turn = { .kind = SB_TURN_FORWARD, .node = i, .scratch = p->pack_scratch };
        const sb_call c = call_of(p, &turn, feed, false);
        if (p->device->kernels[n->op]->pack(p->device, &c) != 0)
            return sb_context("%s", n->name);
    }
    return 0;
}

/* Copies the gradient that comes in at an output which other nodes read, too: they add theirs to the copy. */
static int copy_incoming(sb_plan *p, const sb_turn *t, const sb_feed *feed)
{
    return p->device->copy(p->device, SB_STREAM_COMPUTE, resolve(p, t->dx[0], feed), resolve(p, t->dy, feed),
                           sb_shape_bytes(&p->nodes[t->node].call.ys), SB_ON_DEVICE);
}

static int run_turns(sb_plan *p, int from, int to, const sb_feed *feed, bool infer)
{
    for (int i = from; i < to; i++) {
        const sb_turn *t = &p->turns[i];
        const sb_node *n = &p->graph.nodes[t->node];
        int rc;
        if (t->kind == SB_TURN_INCOMING) {
            rc = copy_incoming(p, t, feed);
        } else {
            const sb_call c = call_of(p, t, feed, infer);
            rc = t->kind == SB_TURN_BACKWARD ? sb_backward(p->device, n->op, &c)
                                             : sb_forward(p->device, n->op, &c);
        }
        if (rc != 0)
            return sb_context("%s", n->name);
    }
    return 0;
}

/* The entry of what node i gathers; NULL: nothing. */
static const sb_entry *gathered(const sb_plan *p, int i)
{
    const sb_node *n = &p->graph.nodes[i];
    for (int k = 0; k < SB_WEIGHTS_MAX && !n->leaf; k++)
        if (n->w[k] >= 0 && sb_entry_gathered(&p->graph.store->entries[n->w[k]]))
            return &p->graph.store->entries[n->w[k]];
    return NULL;
}

static const float *batch_of(const sb_plan *p, int i)
{
    return (const float *)(const void *)(p->arena + p->buffers[p->nodes[i].aux.index].offset);
}

static int update_running(sb_plan *p, float *running)
{
    for (int i = 0; i < p->graph.count; i++) {
        const sb_entry *e = gathered(p, i);
        if (!e)
            continue;
        const sb_shape *ys = &p->nodes[i].call.ys, pair = { 2, 1, 1, ys->c, SB_F32 };
        const sb_running_how how = { .rows = ys->n * ys->h * ys->w, .momentum = RUNNING_MOMENTUM };
        const sb_call c = {
            .how = &how, .xs = { pair }, .ys = pair, .x = { batch_of(p, i) }, .y = running + e->offset
        };
        if (sb_forward(p->device, SB_OP_RUNNING, &c) != 0)
            return sb_context("%s", p->graph.nodes[i].name);
    }
    return 0;
}

/* ---- runs ---------------------------------------------------------------------------------------------- */

static int call_by_call(sb_plan *p, sb_run_kind kind, const sb_feed *feed, float *running)
{
    switch (kind) {
    case SB_RUN_FORWARD: return run_turns(p, 0, p->backward_from, feed, false);
    case SB_RUN_INFER: return run_turns(p, 0, p->backward_from, feed, true);
    case SB_RUN_BACKWARD: return run_turns(p, p->backward_from, p->turn_count, feed, false);
    case SB_RUN_PACK: return pack(p, feed);
    case SB_RUN_RUNNING: return update_running(p, running);
    }
    return -1;
}

static sb_addresses addresses_of(const sb_plan *p, const sb_feed *feed, float *running)
{
    sb_addresses a = { .arena = p->arena, .packed = p->packed, .running = running };
    if (feed) {
        a.section = *feed->section;
        a.feed = *feed;
        a.feed.section = NULL;
    }
    return a;
}

static const sb_recorded_run *find(const sb_plan *p, sb_run_kind kind, const sb_addresses *with)
{
    for (int i = 0; i < p->run_count; i++)
        if (p->runs[i].kind == kind && memcmp(&p->runs[i].with, with, sizeof *with) == 0)
            return &p->runs[i];
    return NULL;
}

static void note_one_by_one(void) { sb_note("operations are launched one by one: %s", sb_error()); }

/* Whether a run of this kind does anything: a recording of nothing would be a launch of nothing. */
static bool works(const sb_plan *p, sb_run_kind kind)
{
    bool any = kind != SB_RUN_PACK && kind != SB_RUN_RUNNING;
    for (int i = 0; i < p->graph.count && !any; i++) {
        const sb_node *n = &p->graph.nodes[i];
        any = kind == SB_RUN_RUNNING ? gathered(p, i) != NULL
                                     : !n->leaf && p->device->kernels[n->op]->pack != NULL;
    }
    return any;
}

/* NULL: it could not be recorded, and a note says why. Nothing of it has run. */
static const sb_recorded_run *record(sb_plan *p, sb_run_kind kind, const sb_feed *feed,
                                     const sb_addresses *with)
{
    sb_device *d = p->device;
    sb_recording *recording = NULL;
    const bool begun = d->record(d) == 0, given = begun && call_by_call(p, kind, feed, with->running) == 0;
    if (!given) /* what ends the recording may fail because of it */
        note_one_by_one();
    const bool kept = begun && d->recorded(d, &recording) == 0;
    if (given && kept) {
        p->runs[p->run_count] = (sb_recorded_run){ kind, *with, recording };
        return &p->runs[p->run_count++];
    }
    if (given)
        note_one_by_one();
    if (kept)
        d->forget(d, recording);
    return NULL;
}

/* The first run of a kind loads what it needs, which cannot be recorded. What cannot be recorded at all still
 * runs, more slowly. */
static int run(sb_plan *p, sb_run_kind kind, const sb_feed *feed, float *running)
{
    sb_device *d = p->device;
    if (!d->record || !p->ran[kind] || !works(p, kind)) {
        p->ran[kind] = true;
        return call_by_call(p, kind, feed, running);
    }
    const sb_addresses with = addresses_of(p, feed, running);
    const sb_recorded_run *recorded = find(p, kind, &with);
    if (!recorded && !p->by_call && p->run_count < SB_RUNS_MAX) {
        recorded = record(p, kind, feed, &with);
        p->by_call = !recorded;
    }
    return recorded ? d->replay(d, recorded->recording) : call_by_call(p, kind, feed, running);
}

int sb_plan_pack(sb_plan *p, const sb_section *section)
{
    const sb_feed feed = { .section = section };
    return run(p, SB_RUN_PACK, &feed, NULL);
}

int sb_plan_forward(sb_plan *p, const sb_feed *feed) { return run(p, SB_RUN_FORWARD, feed, NULL); }

int sb_plan_infer(sb_plan *p, const sb_feed *feed) { return run(p, SB_RUN_INFER, feed, NULL); }

int sb_plan_backward(sb_plan *p, const sb_feed *feed) { return run(p, SB_RUN_BACKWARD, feed, NULL); }

int sb_plan_update_running(sb_plan *p, float *running) { return run(p, SB_RUN_RUNNING, NULL, running); }

void *sb_plan_output(const sb_plan *p, int output)
{
    return p->arena + p->buffers[p->nodes[p->graph.outputs[output]].value.index].offset;
}

int sb_plan_statistics(sb_plan *p, float *batch)
{
    for (int i = 0; i < p->graph.count; i++) {
        const sb_entry *e = gathered(p, i);
        if (e && p->device->copy(p->device, SB_STREAM_COMPUTE, batch + e->offset, batch_of(p, i),
                                 e->count * sizeof(float), SB_ON_DEVICE) != 0)
            return -1;
    }
    return 0;
}
