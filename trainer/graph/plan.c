/* plan.c: lays a graph out: turns, what the device prepares, places (plan.h). */
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/memory.h"
#include "trainer/graph/plan_private.h"

#define ALIGN 256

static size_t align(size_t bytes) { return (bytes + ALIGN - 1) / ALIGN * ALIGN; }

/* ---- turns --------------------------------------------------------------------------------------------- */

static sb_turn *add_turn(sb_plan *p, sb_turn_kind kind, int node)
{
    if (p->turn_count == p->turn_room) {
        int room = p->turn_room ? 2 * p->turn_room : 256;
        sb_turn *grown = sb_grown(p->turns, (size_t)room, sizeof *grown, "the turns of a plan");
        if (!grown)
            return NULL;
        p->turns = grown;
        p->turn_room = room;
    }
    sb_turn *t = &p->turns[p->turn_count++];
    *t = (sb_turn){ .kind = kind, .node = node };
    return t;
}

/* A buffer that no turn has touched yet. SB_AT_NOWHERE: no memory. */
static sb_at add_buffer(sb_plan *p, size_t bytes)
{
    if (p->buffer_count == p->buffer_room) {
        int room = p->buffer_room ? 2 * p->buffer_room : 256;
        sb_buffer *grown = sb_grown(p->buffers, (size_t)room, sizeof *grown, "the buffers of a plan");
        if (!grown)
            return (sb_at){ 0 };
        p->buffers = grown;
        p->buffer_room = room;
    }
    p->buffers[p->buffer_count] = (sb_buffer){ .bytes = align(bytes), .first = -1, .over = -1 };
    return (sb_at){ SB_AT_BUFFER, p->buffer_count++ };
}

/* Lengthens a buffer's life to the turn that was added last. Returns where it lies. */
static sb_at touch(sb_plan *p, sb_at at)
{
    if (at.kind == SB_AT_BUFFER) {
        sb_buffer *b = &p->buffers[at.index];
        int now = p->turn_count - 1;
        b->first = b->first < 0 ? now : b->first;
        b->last = now;
    }
    return at;
}

static bool gathers(const sb_plan *p, int node)
{
    const sb_node *n = &p->graph.nodes[node];
    for (int k = 0; k < SB_WEIGHTS_MAX; k++)
        if (n->w[k] >= 0 && sb_entry_gathered(&p->graph.store->entries[n->w[k]]))
            return true;
    return false;
}

/* Adds a turn that makes node i's output, into a buffer of its own. What a norm gathered stays in one buffer,
 * whatever is made again, because it is read after the way forth. */
static int make(sb_plan *p, int i, sb_turn_kind kind)
{
    const sb_node *n = &p->graph.nodes[i];
    sb_planned *q = &p->nodes[i];
    sb_turn *t = add_turn(p, kind, i);
    if (!t)
        return -1;
    for (int k = 0; k < SB_INPUTS_MAX; k++)
        if (n->x[k] >= 0)
            t->x[k] = touch(p, p->nodes[n->x[k]].value);
    q->value = add_buffer(p, sb_shape_bytes(&q->call.ys));
    sb_shape aux = { 0 };
    if (sb_ops[n->op]->aux)
        aux = sb_ops[n->op]->aux(n->how, q->call.xs);
    if (aux.n > 0 && (q->aux.kind == SB_AT_NOWHERE || !gathers(p, i)))
        q->aux = add_buffer(p, sb_shape_bytes(&aux));
    if (q->value.kind == SB_AT_NOWHERE || (aux.n > 0 && q->aux.kind == SB_AT_NOWHERE))
        return -1;
    t->y = touch(p, q->value);
    t->aux = touch(p, q->aux);
    return 0;
}

/* absent [count]: nodes whose value is not kept, and was not made again yet. The value of tensor t is there
 * for a turn of the way back: made again if it has to be, after what that takes. */
static int ensure(sb_plan *p, bool *absent, int t)
{
    const sb_node *n = &p->graph.nodes[t];
    if (!absent[t])
        return 0;
    for (int k = 0; k < SB_INPUTS_MAX; k++)
        if (n->x[k] >= 0 && ensure(p, absent, n->x[k]) != 0)
            return -1;
    absent[t] = false;
    return make(p, t, SB_TURN_AGAIN);
}

/* Where the gradient of the tensor goes that node i reads as x[k]. */
static int give_gradient(sb_plan *p, sb_turn *turn, int k, int tensor)
{
    const sb_node *n = &p->graph.nodes[tensor];
    sb_planned *q = &p->nodes[tensor];
    turn->add[k] = q->gradient.kind != SB_AT_NOWHERE;
    if (!turn->add[k] && n->leaf) {
        int leaf = 0;
        while (p->graph.leaves[leaf] != tensor)
            leaf++;
        q->gradient = (sb_at){ SB_AT_DLEAF, leaf };
    } else if (!turn->add[k]) {
        q->gradient = add_buffer(p, sb_shape_bytes(&q->call.ys));
        if (q->gradient.kind == SB_AT_NOWHERE)
            return -1;
    }
    turn->dx[k] = touch(p, q->gradient);
    return 0;
}

static int backward_turn(sb_plan *p, bool *absent, int i)
{
    const sb_node *n = &p->graph.nodes[i];
    sb_planned *q = &p->nodes[i];
    unsigned keeps = sb_ops[n->op]->keeps(n->how, q->call.xs);
    for (int k = 0; k < SB_INPUTS_MAX; k++)
        if (n->x[k] >= 0 && keeps & SB_KEEPS_X(k) && ensure(p, absent, n->x[k]) != 0)
            return -1;
    if (keeps & (SB_KEEPS_Y | SB_KEEPS_AUX) && ensure(p, absent, i) != 0)
        return -1;
    sb_turn *t = add_turn(p, SB_TURN_BACKWARD, i);
    if (!t)
        return -1;
    t->dy = touch(p, q->gradient);
    if (keeps & SB_KEEPS_Y)
        t->y = touch(p, q->value);
    if (keeps & SB_KEEPS_AUX)
        t->aux = touch(p, q->aux);
    for (int k = SB_INPUTS_MAX - 1; k >= 0; k--) { /* the order in which kernels give them (op.h) */
        if (n->x[k] < 0)
            continue;
        if (keeps & SB_KEEPS_X(k))
            t->x[k] = touch(p, p->nodes[n->x[k]].value);
        if (q->call.gradient[k] && give_gradient(p, t, k, n->x[k]) != 0)
            return -1;
    }
    return 0;
}

/* Adds a turn for each gradient that comes in at an output. A gradient that nothing else adds to needs no
 * turn: it is read where the caller has it. */
static int add_incoming(sb_plan *p)
{
    const sb_graph *g = &p->graph;
    /* By a node that sends a gradient back. */
    bool *read = sb_zeroed((size_t)g->count, sizeof *read, "the nodes of a plan");
    if (!read)
        return -1;
    for (int i = 0; i < g->count; i++)
        for (int k = 0; k < SB_INPUTS_MAX && !g->nodes[i].leaf; k++)
            if (g->nodes[i].x[k] >= 0 && p->nodes[i].call.gradient[k])
                read[g->nodes[i].x[k]] = true;
    int rc = 0;
    for (int k = 0; k < g->output_count && rc == 0; k++) {
        sb_planned *q = &p->nodes[g->outputs[k]];
        if (!g->given_gradient[k] || !g->nodes[g->outputs[k]].gradient)
            continue;
        if (!read[g->outputs[k]]) {
            q->gradient = (sb_at){ SB_AT_DOUTPUT, k };
            continue;
        }
        sb_turn *t = add_turn(p, SB_TURN_INCOMING, g->outputs[k]);
        if (!t) {
            rc = -1;
            continue;
        }
        rc = give_gradient(p, t, 0, g->outputs[k]);
        t->dy = (sb_at){ SB_AT_DOUTPUT, k };
    }
    free(read);
    return rc;
}

static int make_turns(sb_plan *p)
{
    const sb_graph *g = &p->graph;
    for (int k = 0; k < g->leaf_count; k++)
        p->nodes[g->leaves[k]].value = (sb_at){ SB_AT_LEAF, k };
    for (int i = 0; i < g->count; i++)
        if (!g->nodes[i].leaf && make(p, i, SB_TURN_FORWARD) != 0)
            return -1;
    p->backward_from = p->turn_count;
    if (!p->training)
        return 0;
    bool *absent = sb_zeroed((size_t)g->count, sizeof *absent, "the nodes of a plan");
    if (!absent)
        return -1;
    for (int i = 0; i < g->count; i++)
        absent[i] = p->nodes[i].again;
    for (int k = 0; k < g->output_count; k++) /* read by the caller: kept anyway */
        absent[g->outputs[k]] = false;
    int rc = add_incoming(p);
    for (int i = g->count - 1; i >= 0 && rc == 0; i--)
        if (!g->nodes[i].leaf && g->nodes[i].gradient && p->nodes[i].gradient.kind != SB_AT_NOWHERE)
            rc = backward_turn(p, absent, i);
    free(absent);
    for (int i = p->backward_from; i < p->turn_count && rc == 0; i++) /* known from now on, as kernels ask */
        if (p->turns[i].kind == SB_TURN_BACKWARD)
            memcpy(p->nodes[p->turns[i].node].call.add, p->turns[i].add, sizeof p->turns[i].add);
    return rc;
}

/* ---- places -------------------------------------------------------------------------------------------- */

/* What a node's kernel works in, and what it packs. */
static void ask_kernel(const sb_plan *p, int i, size_t *scratch, size_t *packed)
{
    const sb_kernel *kernel = p->device->kernels[p->graph.nodes[i].op];
    const sb_call *call = &p->nodes[i].call;
    *scratch = kernel->scratch ? kernel->scratch(p->device, call) : 0;
    *packed = kernel->packed ? kernel->packed(p->device, call) : 0;
}

/* What the kernels promise, before any is planned. */
static void ask_kernels(sb_plan *p)
{
    for (int i = 0; i < p->graph.count; i++) {
        sb_planned *q = &p->nodes[i];
        if (p->graph.nodes[i].leaf)
            continue;
        ask_kernel(p, i, &q->scratch, &q->packed);
        q->packed_at = p->packed_bytes;
        p->packed_bytes += align(q->packed);
    }
}

/* A buffer that lives in one turn alone. */
static int set_scratch(sb_plan *p, size_t bytes, int turn, sb_at *at)
{
    if (bytes == 0)
        return 0;
    *at = add_buffer(p, bytes);
    if (at->kind == SB_AT_NOWHERE)
        return -1;
    p->buffers[at->index].first = p->buffers[at->index].last = turn;
    return 0;
}

/* What each turn works in; and, behind the last one, what packing the weights works in. */
static int set_scratches(sb_plan *p)
{
    size_t most = 0;
    for (int i = 0; i < p->turn_count; i++) {
        sb_turn *t = &p->turns[i];
        if (t->kind != SB_TURN_INCOMING && set_scratch(p, p->nodes[t->node].scratch, i, &t->scratch) != 0)
            return -1;
    }
    for (int i = 0; i < p->graph.count; i++) {
        const sb_node *n = &p->graph.nodes[i];
        if (!n->leaf && p->device->kernels[n->op]->pack && p->nodes[i].scratch > most)
            most = p->nodes[i].scratch;
    }
    return set_scratch(p, most, p->turn_count, &p->pack_scratch);
}

/* Outputs and what norms gathered stay to the end: they are read behind the last turn. */
static void keep(sb_plan *p, sb_at at)
{
    p->buffers[at.index].last = p->turn_count;
    p->buffers[at.index].kept = true;
}

static void keep_to_the_end(sb_plan *p)
{
    if (!p->buffers) /* a graph of leaves alone */
        return;
    for (int k = 0; k < p->graph.output_count; k++)
        keep(p, p->nodes[p->graph.outputs[k]].value);
    for (int i = 0; i < p->graph.count; i++)
        if (p->nodes[i].aux.kind == SB_AT_BUFFER && gathers(p, i))
            keep(p, p->nodes[i].aux);
}

/* Gives a buffer the place of one that is read in this turn, its first, if nothing reads that later. */
static bool put_over(sb_plan *p, int turn, sb_buffer *b, sb_at read)
{
    if (read.kind != SB_AT_BUFFER)
        return false;
    const int over = p->buffers[read.index].over, place = over < 0 ? read.index : over;
    sb_buffer *under = &p->buffers[place];
    if (under->last != turn || under->bytes != b->bytes)
        return false;
    b->over = place;
    under->last = b->last;
    return true;
}

static void put_gradient_over(sb_plan *p, int turn, int k)
{
    const sb_turn *t = &p->turns[turn];
    const sb_call *call = &p->nodes[t->node].call;
    const unsigned over = sb_ops[p->graph.nodes[t->node].op]->over[k];
    const bool as_y = call->xs[k].block == call->ys.block;
    sb_buffer *b = &p->buffers[t->dx[k].index];
    bool done = (as_y && over & SB_OVER_DY && put_over(p, turn, b, t->dy)) ||
                (as_y && over & SB_KEEPS_Y && put_over(p, turn, b, t->y));
    for (int i = 0; i < SB_INPUTS_MAX && !done; i++)
        done = over & SB_KEEPS_X(i) && call->xs[k].block == call->xs[i].block &&
               put_over(p, turn, b, t->x[i]);
}

/* A gradient takes the place of what its turn reads for the last time, where the operation allows that. */
static void put_gradients_over(sb_plan *p)
{
    for (int i = p->backward_from; i < p->turn_count; i++)
        for (int k = SB_INPUTS_MAX - 1; k >= 0; k--) /* in the order in which they are given */
            if (p->turns[i].kind == SB_TURN_BACKWARD && p->turns[i].dx[k].kind == SB_AT_BUFFER &&
                !p->turns[i].add[k])
                put_gradient_over(p, i, k);
}

/* What is kept before all else; then the largest, or what lives longest. */
static int kept_first(const sb_buffer *x, const sb_buffer *y) { return y->kept - x->kept; }
static int larger_first(const sb_buffer *x, const sb_buffer *y)
{
    return (x->bytes < y->bytes) - (x->bytes > y->bytes);
}
static int longer_first(const sb_buffer *x, const sb_buffer *y)
{
    return y->last - y->first - (x->last - x->first);
}

typedef int (*comparison)(const void *a, const void *b, void *buffers);

static int by_size(const void *a, const void *b, void *buffers)
{
    const int i = *(const int *)a, k = *(const int *)b;
    const sb_buffer *x = (const sb_buffer *)buffers + i, *y = (const sb_buffer *)buffers + k;
    int order = kept_first(x, y);
    order = order ? order : larger_first(x, y);
    return order ? order : i - k;
}

static int by_life(const void *a, const void *b, void *buffers)
{
    const int i = *(const int *)a, k = *(const int *)b;
    const sb_buffer *x = (const sb_buffer *)buffers + i, *y = (const sb_buffer *)buffers + k;
    int order = kept_first(x, y);
    order = order ? order : longer_first(x, y);
    return order ? order : by_size(a, b, buffers);
}

/* One after another, each at the lowest place where nothing that lives at the same time lies; what is kept
 * comes to lie at the beginning. Those that have a place are kept in the order of their places, so that one
 * pass finds the first gap. which [count]: buffers, put in order here; placed [count]: to work in. */
static void place_in_order(sb_plan *p, comparison order, int *which, int count, sb_buffer *placed)
{
    qsort_r(which, (size_t)count, sizeof *which, order, p->buffers);
    p->arena_bytes = 0;
    for (int i = 0; i < count; i++) {
        sb_buffer *b = &p->buffers[which[i]];
        b->offset = 0;
        for (int k = 0; k < i && placed[k].offset < b->offset + b->bytes; k++) {
            const sb_buffer *o = &placed[k];
            bool meets = (o->first <= b->last) & (b->first <= o->last); /* & and no branch: half the time */
            size_t end = meets ? o->offset + o->bytes : 0;
            b->offset = end > b->offset ? end : b->offset;
        }
        int k = i;
        for (; k > 0 && placed[k - 1].offset > b->offset; k--)
            placed[k] = placed[k - 1];
        placed[k] = *b;
        p->arena_bytes = b->offset + b->bytes > p->arena_bytes ? b->offset + b->bytes : p->arena_bytes;
        p->kept_bytes = b->kept ? p->arena_bytes : p->kept_bytes;
    }
}

/* In the order that takes the smaller arena: neither is always the better one. What takes another's place has
 * none of its own. */
static int place_buffers(sb_plan *p)
{
    const size_t all = (size_t)p->buffer_count;
    int count = 0, *which = sb_zeroed(all, sizeof *which, "a plan's buffers"), rc = -1;
    sb_buffer *placed = sb_zeroed(all, sizeof *placed, "the places of a plan's buffers");
    if (!which || !placed)
        goto out;
    for (int i = 0; i < p->buffer_count; i++)
        if (p->buffers[i].over < 0)
            which[count++] = i;
    place_in_order(p, by_size, which, count, placed);
    const size_t arena = p->arena_bytes;
    place_in_order(p, by_life, which, count, placed);
    if (p->arena_bytes >= arena)
        place_in_order(p, by_size, which, count, placed);
    for (int i = 0; i < p->buffer_count; i++)
        if (p->buffers[i].over >= 0)
            p->buffers[i].offset = p->buffers[p->buffers[i].over].offset;
    rc = 0;
out:
    free(placed);
    free(which);
    return rc;
}

/* ---- the whole ----------------------------------------------------------------------------------------- */

/* All that is known without the device's preparing anything. */
static int lay_out(sb_plan **out, const sb_graph *graph, const sb_shape *leaves,
                   const sb_plan_options *options)
{
    sb_plan *p = sb_zeroed(1, sizeof *p, "a plan");
    if (!p)
        return -1;
    p->device = graph->store->device;
    p->training = options->training;
    int rc = sb_plan_nodes(p, graph, leaves, options->again) != 0 || make_turns(p) != 0 ? -1 : 0;
    if (rc == 0) {
        ask_kernels(p);
        rc = set_scratches(p);
    }
    if (rc == 0) {
        keep_to_the_end(p);
        put_gradients_over(p);
        rc = place_buffers(p);
    }
    if (rc != 0) {
        sb_plan_destroy(&p);
        return -1;
    }
    *out = p;
    return 0;
}

/* What the kernels prepare keeps within what they promised: that is how much there is. */
static int prepare(sb_plan *p)
{
    for (int i = 0; i < p->graph.count; i++) {
        const sb_node *n = &p->graph.nodes[i];
        sb_planned *q = &p->nodes[i];
        const sb_kernel *kernel = n->leaf ? NULL : p->device->kernels[n->op];
        size_t scratch, packed;
        if (!kernel || !kernel->plan)
            continue;
        if (kernel->plan(p->device, &q->call) != 0)
            return sb_context("%s", n->name);
        ask_kernel(p, i, &scratch, &packed);
        if (scratch > q->scratch || packed > q->packed)
            return sb_fail("%s: planned to work in %zu bytes and pack %zu, beyond the %zu and %zu promised",
                           n->name, scratch, packed, q->scratch, q->packed);
    }
    return 0;
}

int sb_plan_size(sb_plan_bytes *out, const sb_graph *graph, const sb_shape *leaves,
                 const sb_plan_options *options)
{
    sb_plan *p;
    if (lay_out(&p, graph, leaves, options) != 0)
        return -1;
    *out = (sb_plan_bytes){ p->arena_bytes, p->kept_bytes, p->packed_bytes };
    sb_plan_destroy(&p);
    return 0;
}

int sb_plan_create(sb_plan **out, const sb_graph *graph, const sb_shape *leaves,
                   const sb_plan_options *options)
{
    sb_plan *p;
    if (lay_out(&p, graph, leaves, options) != 0)
        return -1;
    if (prepare(p) != 0) {
        sb_plan_destroy(&p);
        return -1;
    }
    *out = p;
    return 0;
}

void sb_plan_destroy(sb_plan **plan)
{
    sb_plan *p = *plan;
    if (!p)
        return;
    for (int i = 0; i < p->run_count; i++)
        p->device->forget(p->device, p->runs[i].recording);
    for (int i = 0; p->nodes && i < p->graph.count; i++) {
        const sb_kernel *kernel = p->graph.nodes[i].leaf ? NULL : p->device->kernels[p->graph.nodes[i].op];
        if (kernel && kernel->unplan && p->nodes[i].call.planned)
            kernel->unplan(p->device, p->nodes[i].call.planned);
    }
    free(p->graph.nodes);
    free(p->nodes);
    free(p->turns);
    free(p->buffers);
    free(p);
    *plan = NULL;
}

size_t sb_plan_arena_bytes(const sb_plan *p) { return p->arena_bytes; }

size_t sb_plan_kept_bytes(const sb_plan *p) { return p->kept_bytes; }

size_t sb_plan_packed_bytes(const sb_plan *p) { return p->packed_bytes; }

int sb_plan_turns(const sb_plan *p) { return p->turn_count; }

void sb_plan_visit(const sb_plan *p, bool backward, sb_plan_visitor visit, void *context)
{
    int from = backward ? p->backward_from : 0, to = backward ? p->turn_count : p->backward_from;
    for (int i = from; i < to; i++) {
        const sb_turn *t = &p->turns[i];
        if (t->kind != SB_TURN_INCOMING)
            visit(context, p->graph.nodes[t->node].op, &p->nodes[t->node].call, t->kind == SB_TURN_BACKWARD);
    }
}

sb_shape sb_plan_output_shape(const sb_plan *p, int output)
{
    return p->nodes[p->graph.outputs[output]].call.ys;
}
