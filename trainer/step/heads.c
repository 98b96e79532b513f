/* heads.c: heads and loss in a step (step.h): what their graph is given, and what a step leaves behind for
 * the next: rows of unit length, the target network's average, the rows of the queues. */
#include <math.h>
#include <string.h>

#include "kernels/op/combine.h"
#include "kernels/op/unit_rows.h"
#include "proto/error.h"
#include "trainer/graph/normal.h"
#include "trainer/schedule.h"
#include "trainer/step/private.h"

/* out: NULL: its size is enough. */
static int plan_graph(sb_plan **out, sb_plan_bytes *bytes, const sb_graph *g, bool training)
{
    sb_shape leaves[SB_LEAVES_MAX];
    const sb_plan_options options = { .training = training };
    for (int k = 0; k < g->leaf_count; k++) /* built for this batch: the nominal shapes are the true ones */
        leaves[k] = sb_shape_of(g, g->leaves[k]);
    if (!out)
        return sb_plan_size(bytes, g, leaves, &options);
    if (sb_plan_create(out, g, leaves, &options) != 0)
        return -1;
    *bytes = (sb_plan_bytes){ sb_plan_arena_bytes(*out), sb_plan_kept_bytes(*out),
                              sb_plan_packed_bytes(*out) };
    return 0;
}

int sb_step_plan_heads(sb_step *s, bool sketch)
{
    for (int k = 0; k < s->loss->leaf_count; k++) {
        const sb_shape shape = sb_shape_of(s->loss, s->loss->leaves[k]);
        s->given_offset[k] = s->given_floats;
        s->given_floats += sb_given_bytes(s->method.given[k].kind, &shape) / sizeof(float);
    }
    for (int t = 0; t < s->method.table_count; t++) {
        const sb_shape shape = sb_shape_of(s->loss, s->loss->leaves[s->method.tables[t].leaf]);
        s->table_offset[t] = s->table_floats;
        s->table_floats += (sb_shape_elements(&shape) + 63) / 64 * 64;
    }
    if (plan_graph(sketch ? NULL : &s->heads, &s->heads_bytes, s->loss, true) != 0)
        return sb_context("heads and loss");
    if (sb_method_mirrored(s->method.kind) &&
        plan_graph(sketch ? NULL : &s->target_heads, &s->target_heads_bytes, s->target_projector, false) != 0)
        return sb_context("the target's projector");
    return 0;
}

/* ---- there and back ------------------------------------------------------------------------------------ */

/* Numbers of this step, into device memory at once. */
static int send_numbers(sb_step *s, int64_t number, const sb_step_source *source)
{
    sb_device *d = s->device;
    for (int k = 0; k < s->loss->leaf_count; k++) {
        const sb_given *given = &s->method.given[k];
        const sb_shape shape = sb_shape_of(s->loss, s->loss->leaves[k]);
        float *to = s->given_host + s->given_offset[k];
        if (given->kind == SB_GIVEN_NUMBER)
            *to = (float)given->number(&s->method, number, s->method.steps);
        if (given->kind == SB_GIVEN_NORMAL) {
            sb_random random;
            sb_random_init(&random, s->config->common.seed, SB_RANDOM_METHOD, (uint32_t)s->batch_number,
                           (uint32_t)(s->batch_number >> 32), (uint32_t)k);
            sb_normals(&random, 1, to, sb_shape_elements(&shape));
        }
    }
    if (sb_step_number_images(s, source) != 0 || sb_step_ask_places(s, source) != 0 ||
        sb_step_ask_guides(s, source) != 0)
        return -1;
    return s->given_floats == 0 ? 0
                                : d->copy(d, SB_STREAM_COMPUTE, s->given, s->given_host,
                                          s->given_floats * sizeof(float), SB_TO_DEVICE);
}

/* The target's projector, over the target's features. */
static int run_target(sb_step *s)
{
    sb_feed feed = { .section = &s->target };
    for (int i = 0, leaf = 0; i < SB_BACKBONE_ROWS; i++)
        if (s->given_rows[i].target)
            feed.leaf[leaf++] = s->given_rows[i].target;
    if (sb_plan_forward(s->target_heads, &feed) != 0)
        return -1;
    return sb_plan_update_running(s->target_heads, s->target_running);
}

static const void *given_to(const sb_step *s, int leaf)
{
    const sb_given *given = &s->method.given[leaf];
    switch (given->kind) {
    case SB_GIVEN_BACKBONE: return s->given_rows[given->index].rows;
    case SB_GIVEN_TARGET_MAP: return s->given_rows[SB_ROW_MAP].target;
    case SB_GIVEN_PLACES: return s->overlapping ? s->given + s->given_offset[leaf] : NULL;
    case SB_GIVEN_TARGET: return sb_plan_output(s->target_heads, given->index);
    case SB_GIVEN_STATE: return s->section.state + s->store.entries[given->index].offset;
    case SB_GIVEN_NUMBER:
    case SB_GIVEN_NORMAL:
    case SB_GIVEN_IMAGES:
    case SB_GIVEN_SAID:
    case SB_GIVEN_TOLD:
    case SB_GIVEN_OTHERS: return s->given + s->given_offset[leaf];
    case SB_GIVEN_ROWS: return s->table_rows + s->table_offset[given->index];
    }
    return NULL;
}

/* Heads and loss, and what their gradient is given. */
static int forward(sb_step *s, int64_t number, const sb_step_source *source, sb_feed *feed)
{
    if (send_numbers(s, number, source) != 0 || sb_step_get_rows(s) != 0 ||
        (s->target_heads && run_target(s) != 0))
        return -1;
    *feed = (sb_feed){ .section = &s->section };
    for (int k = 0; k < s->loss->leaf_count; k++) {
        feed->leaf[k] = given_to(s, k);
        if (s->method.given[k].kind == SB_GIVEN_BACKBONE)
            feed->dleaf[k] = s->given_rows[s->method.given[k].index].drows;
    }
    for (int t = 0; t < s->method.table_count; t++)
        feed->dleaf[s->method.tables[t].leaf] = s->table_gradient + s->table_offset[t];
    feed->doutput[s->method.loss_output] = s->share;
    return sb_plan_forward(s->heads, feed);
}

int sb_step_heads_loss(sb_step *s, int64_t number, const sb_step_source *source, double *loss)
{
    sb_device *d = s->device;
    sb_feed feed;
    float value;
    if (forward(s, number, source, &feed) != 0 ||
        d->copy(d, SB_STREAM_COMPUTE, &value, sb_plan_output(s->heads, s->method.loss_output), sizeof value,
                SB_TO_HOST) != 0 ||
        d->wait(d, SB_STREAM_COMPUTE) != 0)
        return -1;
    *loss = sb_method_fills(&s->method, number) ? NAN : (double)value;
    return 0;
}

/* At what the backbone gives. */
static int zero_gradients(const sb_step *s)
{
    for (int i = 0; i < SB_BACKBONE_ROWS; i++) {
        const sb_step_rows *r = &s->given_rows[i];
        if (r->width > 0 &&
            s->device->zero(s->device, r->drows, (size_t)s->rows * r->width * sizeof(float)) != 0)
            return -1;
    }
    return 0;
}

int sb_step_heads(sb_step *s, int64_t number, const sb_step_source *source, double *loss)
{
    sb_device *d = s->device;
    sb_feed feed;
    float value;
    if (forward(s, number, source, &feed) != 0 || sb_plan_update_running(s->heads, s->running) != 0)
        return -1;
    for (int k = 0; k < s->config->guide_count; k++)
        if (d->copy(d, SB_STREAM_COMPUTE, &s->guide_loss[k],
                    sb_plan_output(s->heads, s->method.guide_outputs[k]), sizeof s->guide_loss[k],
                    SB_TO_HOST) != 0)
            return -1;
    if (sb_method_fills(&s->method, number)) { /* the bank: what a loss makes of its zeros says nothing */
        *loss = 0;
        return zero_gradients(s) != 0 ? -1 : d->wait(d, SB_STREAM_COMPUTE);
    }
    if (d->copy(d, SB_STREAM_COMPUTE, &value, sb_plan_output(s->heads, s->method.loss_output), sizeof value,
                SB_TO_HOST) != 0 ||
        zero_gradients(s) != 0 || /* the loss may not be of all of it */
        sb_plan_backward(s->heads, &feed) != 0 || d->wait(d, SB_STREAM_COMPUTE) != 0)
        return -1;
    *loss = (double)value;
    return 0;
}

/* ---- what a step leaves behind ------------------------------------------------------------------------- */

/* The rows that are to have length 1, as far as the section has them. */
static int unit_rows(sb_step *s, const sb_section *section)
{
    for (int i = 0; i < s->store.count; i++) {
        const sb_entry *e = &s->store.entries[i];
        if (!e->unit_rows || e->kind != SB_ENTRY_WEIGHT || /* a table's are made so when they change */
            e->offset + e->count > section->floats[SB_ENTRY_WEIGHT])
            continue;
        int rows = (int)e->extent.side[0];
        const sb_shape shape = { rows, 1, 1, (int)(e->count / (size_t)rows), SB_F32 };
        float *w = section->weight + e->offset;
        const sb_call call = { .xs = { shape }, .ys = shape, .x = { w }, .y = w, .aux = s->lengths };
        if (sb_forward(s->device, SB_OP_UNIT_ROWS, &call) != 0)
            return sb_context("%s", e->name);
    }
    return 0;
}

/* target <- momentum target + (1 - momentum) trained. */
static int average(sb_step *s, int64_t number, double momentum)
{
    const size_t first =
        sb_schedule_heads_alone(&s->config->continuing, number)
            ? s->backbone.floats[SB_ENTRY_WEIGHT] /* the average of equals would be rounded */
            : 0;
    if (s->target.floats[SB_ENTRY_WEIGHT] <= first) /* a step without a backbone, or without a projector */
        return 0;
    const float others = (float)(1 - momentum);
    const sb_combine_how how = { .alpha = 1 - others, .beta = others };
    const sb_shape all = { 1, 1, 1, (int)(s->target.floats[SB_ENTRY_WEIGHT] - first), SB_F32 };
    const sb_call call = { .how = &how,
                           .xs = { all, all },
                           .ys = all,
                           .x = { s->target.weight + first, s->section.weight + first },
                           .y = s->target.weight + first };
    return sb_forward(s->device, SB_OP_COMBINE, &call) != 0 ? sb_context("the target network") : 0;
}

static int push(sb_step *s, const sb_queue_push *p, int64_t number)
{
    const sb_entry *e = &s->store.entries[p->entry];
    const sb_shape rows = sb_plan_output_shape(s->heads, p->output);
    const int64_t turn = number % (e->extent.side[0] / rows.n);
    float *to = s->section.state + e->offset + (size_t)turn * sb_shape_elements(&rows);
    return s->device->copy(s->device, SB_STREAM_COMPUTE, to, sb_plan_output(s->heads, p->output),
                           sb_shape_bytes(&rows), SB_ON_DEVICE);
}

int sb_step_follow(sb_step *s, int64_t number, double lr)
{
    const sb_schedule momentum = s->method.kind->momentum;
    if (unit_rows(s, &s->section) != 0 ||
        (momentum && (average(s, number, momentum(&s->method, number, s->method.steps)) != 0 ||
                      unit_rows(s, &s->target) != 0)))
        return -1;
    for (int i = 0; i < s->method.push_count; i++)
        if (push(s, &s->method.pushes[i], number) != 0)
            return -1;
    return sb_step_keep_rows(s, lr);
}
