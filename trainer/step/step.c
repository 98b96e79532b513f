/* step.c: see step.h. */
#include "trainer/step/step.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/memory.h"
#include "trainer/encoder.h"
#include "trainer/precision.h"
#include "trainer/schedule.h"
#include "trainer/step/private.h"

/* ---- creation ------------------------------------------------------------------------------------------ */

static int build_encoder(sb_step *s)
{
    const sb_settings *c = s->config;
    if (sb_graph_create(&s->encoder, &s->store) != 0)
        return -1;
    if (sb_backbone_build(&s->backbone, s->encoder, c, sb_precision_type(s->precision)) != 0)
        return -1;
    s->again = sb_zeroed((size_t)s->encoder->count, sizeof *s->again, "what is made again");
    if (!s->again)
        return -1;
    sb_step_recompute(s, c->trainer.recompute);
    return 0;
}

/* What is kept changes after a step, and a batch of the same step would have to see it. */
static int check_parts(const sb_step *s)
{
    const sb_method *m = &s->method;
    const int entry = m->push_count > 0    ? m->pushes[0].entry
                      : m->put_count > 0   ? m->puts[0].entry
                      : m->table_count > 0 ? m->tables[0].entry
                                           : -1;
    if (s->config->trainer.accumulate == 1 || entry < 0)
        return 0;
    return sb_fail("trainer.accumulate = %d: it keeps %s from batch to batch, and cannot be accumulated",
                   s->config->trainer.accumulate, s->store.entries[entry].name);
}

/* The graphs of heads and loss. width: of the embeddings that are given; 0: there is a backbone. */
static int build_heads(sb_step *s, int width)
{
    const sb_settings *c = s->config;
    sb_shape rows[SB_METHOD_ROWS] = { [SB_ROW_FEATURES] = { 1, 1, 1, width, SB_F32 } };
    if (width > 0 && (c->method->map || c->method->inside))
        return sb_fail("method %s: its loss is of more than the embeddings of a batch", c->method->name);
    if (width == 0 && sb_backbone_rows(&s->backbone, c, rows) != 0)
        return -1;
    for (int k = 0; k < SB_METHOD_ROWS; k++)
        s->given_rows[k].width = rows[k].c > 0 ? sb_shape_elements(&rows[k]) : 0;
    if (sb_graph_create(&s->loss, &s->store) != 0 || sb_graph_create(&s->target_projector, &s->store) != 0)
        return -1;
    if (sb_method_build(&s->method, s->loss, s->target_projector, c, rows) != 0 || check_parts(s) != 0)
        return sb_context("method %s", c->method->name);
    sb_backbone_limit_target(&s->backbone, &s->method);
    return 0;
}

/* The trained network, and its target: backbone and projector; and the teacher. */
static int make_sections(sb_step *s)
{
    const uint64_t seed = s->config->common.seed;
    if (sb_section_create(&s->section, &s->store, NULL, true, seed, s->section_memory) != 0)
        return -1;
    if (s->method.kind->teacher == SB_TEACHER_FILE &&
        sb_section_create(&s->teacher, &s->backbone.teacher.store, NULL, false, seed, s->teacher_memory) != 0)
        return -1;
    if (s->method.kind->momentum &&
        sb_section_create(&s->target, &s->store, s->method.projector, false, seed, s->target_memory) != 0)
        return -1;
    if (s->method.kind->teacher == SB_TEACHER_AVERAGE)
        s->teacher = s->target; /* the encoder comes first in both stores */
    return 0;
}

/* A loss without a backbone is no part of a step. */
static int set_share(sb_step *s)
{
    const float share = s->encoder ? 1 / (float)s->config->trainer.accumulate : 1;
    if (s->device->copy(s->device, SB_STREAM_COMPUTE, s->share, &share, sizeof share, SB_TO_DEVICE) != 0)
        return -1;
    return s->device->wait(s->device, SB_STREAM_COMPUTE);
}

/* The graphs and their store. width: of the embeddings that are given; 0: there is a backbone. */
static int build(sb_step **out, sb_device *device, const sb_settings *config, int width)
{
    *out = NULL;
    sb_step *s = sb_zeroed(1, sizeof *s, "a step");
    if (!s)
        return -1;
    *s = (sb_step){ .device = device, .config = config, .rows = config->trainer.batch * config->view_count };
    *out = s;
    sb_store_init(&s->store, device);
    s->precision = sb_precision_on(device, width == 0 ? config->trainer.precision : SB_PRECISION_F32);
    device->rounds = s->precision == SB_PRECISION_TF32;
    s->scaled = s->precision == SB_PRECISION_F16;
    if ((width == 0 && build_encoder(s) != 0) || build_heads(s, width) != 0)
        return -1;
    if (s->scaled && sb_step_make_scale(s) != 0)
        return -1;
    return width == 0 ? sb_step_add_adapters(s) : 0;
}

static int create(sb_step **out, sb_device *device, const sb_settings *config, int width)
{
    const bool backbone = width == 0;
    sb_precision precision;
    *out = NULL;
    if (width == 0 && sb_precision_settle(device, config->trainer.precision, &precision) != 0)
        return -1;
    int rc = build(out, device, config, width);
    sb_step *s = *out;
    if (rc == 0) {
        s->inputs = sb_zeroed((size_t)s->rows, sizeof *s->inputs, "the views of a batch");
        s->chunks = sb_zeroed((size_t)s->rows, sizeof *s->chunks, "the chunks of a batch");
        rc = s->inputs && s->chunks ? 0 : -1;
    }
    if (rc == 0 && backbone &&
        (sb_step_list_update(s) != 0 || sb_step_lay_out(s, config->trainer.chunk) != 0))
        rc = -1;
    if (rc == 0)
        rc = sb_step_plan_heads(s, false);
    if (rc == 0)
        rc = sb_step_take_memory(s);
    if (rc == 0 && (make_sections(s) != 0 || (backbone && sb_step_set_update(s) != 0) || set_share(s) != 0 ||
                    sb_step_weights_changed(s) != 0))
        rc = -1;
    if (rc != 0)
        sb_step_destroy(out);
    return rc;
}

int sb_step_sketch(sb_step **out, sb_device *device, const sb_settings *config)
{
    int rc = build(out, device, config, 0);
    if (rc == 0 && (sb_step_plan_heads(*out, true) != 0 || sb_step_list_update(*out) != 0))
        rc = -1;
    if (rc != 0)
        sb_step_destroy(out);
    return rc;
}

int sb_step_create(sb_step **out, sb_device *device, const sb_settings *config)
{
    return create(out, device, config, 0);
}

int sb_step_create_loss(sb_step **out, sb_device *device, const sb_settings *config, int width)
{
    return create(out, device, config, width);
}

void sb_step_destroy(sb_step **step)
{
    sb_step *s = *step;
    if (!s)
        return;
    sb_step_free_memory(s);
    sb_step_drop_plans(s);
    sb_plan_destroy(&s->heads);
    sb_plan_destroy(&s->target_heads);
    sb_step_free_update(s);
    sb_section_free(&s->section, &s->store);
    sb_section_free(&s->target, &s->store);
    if (s->method.kind && s->method.kind->teacher == SB_TEACHER_FILE)
        sb_section_free(&s->teacher, &s->backbone.teacher.store);
    sb_backbone_free(&s->backbone);
    sb_graph_destroy(&s->encoder);
    sb_graph_destroy(&s->loss);
    sb_graph_destroy(&s->target_projector);
    sb_store_free(&s->store);
    free(s->chunks);
    free(s->inputs);
    free(s->again);
    free(s->adapters);
    free(s);
    *step = NULL;
}

void sb_step_measure(const sb_step *s, sb_step_budget *out) { *out = s->budget; }

const sb_method *sb_step_method(const sb_step *s) { return &s->method; }

const sb_store *sb_step_store(const sb_step *s) { return &s->store; }

const sb_section *sb_step_section(const sb_step *s) { return &s->section; }

const sb_section *sb_step_target(const sb_step *s) { return &s->target; }

float *sb_step_state(const sb_step *s, int *state_arrays)
{
    *state_arrays = s->state_arrays;
    return s->state;
}

const sb_state_layout *sb_step_state_layout(const sb_step *s) { return &s->state_layout; }

const size_t *sb_step_backbone(const sb_step *s) { return s->backbone.floats; }

sb_checkpoint_view sb_step_kept(const sb_step *s, int64_t number, const char *config_text)
{
    const sb_section *section = &s->section, *target = &s->target;
    const size_t weights = s->store.floats[SB_ENTRY_WEIGHT];
    sb_checkpoint_view v = {
        .store = &s->store,
        .parts = { { "", SB_ENTRY_WEIGHT, section->weight, weights },
                   { "", SB_ENTRY_STATISTIC, section->statistic, section->floats[SB_ENTRY_STATISTIC] },
                   { "", SB_ENTRY_STATE, section->state, section->floats[SB_ENTRY_STATE] },
                   { "target.", SB_ENTRY_WEIGHT, target->weight, target->floats[SB_ENTRY_WEIGHT] },
                   { "target.", SB_ENTRY_STATISTIC, target->statistic, target->floats[SB_ENTRY_STATISTIC] } },
        .part_count = 5,
        .step = number,
        .config_text = config_text
    };
    for (int k = 0; k < s->state_arrays; k++) {
        sb_checkpoint_part *p = &v.parts[v.part_count++];
        *p = (sb_checkpoint_part){ .kind = SB_ENTRY_WEIGHT,
                                   .memory = s->state + (size_t)k * s->state_layout.floats,
                                   .floats = s->state_layout.floats,
                                   .state = &s->state_layout };
        snprintf(p->prefix, sizeof p->prefix, "optimiser.%d.", k);
    }
    return v;
}

/* The encoder's plan runs with one network or with the other: each has its own packed weights. */
static void use(const sb_step *s, const sb_step_plan *p, const sb_section *section)
{
    sb_plan_bind(p->plan, s->arena, section == &s->target ? p->target_packed : p->packed);
}

static int pack(sb_step *s)
{
    for (int i = 0; i < s->plan_count; i++) {
        const sb_step_plan *p = &s->plans[i];
        if (s->target_heads) {
            use(s, p, &s->target);
            if (sb_plan_pack(p->plan, &s->target) != 0)
                return -1;
        }
        use(s, p, &s->section);
        if (sb_plan_pack(p->plan, &s->section) != 0)
            return -1;
    }
    if ((s->target_heads && sb_plan_pack(s->target_heads, &s->target) != 0) ||
        (s->method.kind->teacher == SB_TEACHER_AVERAGE && sb_step_pack_teacher(s) != 0))
        return -1;
    return sb_plan_pack(s->heads, &s->section);
}

int sb_step_weights_changed(sb_step *s)
{
    return sb_step_read_scale(s) != 0 ||
                   (s->method.kind->teacher == SB_TEACHER_FILE && sb_step_pack_teacher(s) != 0)
               ? -1
               : pack(s);
}

sb_precision sb_step_precision(const sb_step *s) { return s->precision; }

int sb_step_begin(sb_step *s)
{
    if (sb_step_begin_adapters(s) != 0 ||
        (s->method.kind->momentum && sb_section_assign(&s->target, &s->store, &s->section) != 0))
        return -1;
    return sb_step_weights_changed(s);
}

/* ---- gradient ------------------------------------------------------------------------------------------ */

/* What the encoder is given for a chunk: its pixels and what belongs to them, and the gradient at what it
 * gives. */
static sb_feed feed_of(const sb_step *s, const sb_chunk *k)
{
    sb_feed feed = { .section = &s->section, .leaf = { k->pixels } };
    if (k->cells) {
        feed.leaf[1] = k->cells;
        feed.leaf[2] = k->cells + (size_t)k->n * (size_t)k->plan->masks.visible_count;
    }
    if (s->backbone.teacher.places)
        feed.leaf[sb_backbone_teacher_leaf(s->config)] = s->teacher_map;
    for (int i = 0; i < SB_BACKBONE_ROWS; i++)
        if (s->given_rows[i].width > 0)
            feed.doutput[s->backbone.outputs[i]] = s->given_rows[i].chunk_drows;
    return feed;
}

/* Chunk `number`, which the call before may have uploaded, comes to where the compute stream may read it. */
static int bring(sb_step *s, const sb_step_source *source, int number)
{
    sb_device *d = s->device;
    int rc = s->uploaded ? 0 : sb_step_upload(s, source, number);
    if (rc != 0)
        return rc;
    s->uploaded = false;
    return d->order(d, SB_STREAM_COMPUTE, SB_STREAM_UPLOAD);
}

/* A chunk that was brought, and the upload of chunk `next` (-1: none), which runs beside it: it has to wait
 * only for what was computed before, and that was the last to read the other buffer. */
static int forward(sb_step *s, const sb_step_source *source, int number, int next)
{
    const sb_chunk *k = &s->chunks[number];
    sb_device *d = s->device;
    const sb_feed feed = feed_of(s, k);
    if (d->order(d, SB_STREAM_UPLOAD, SB_STREAM_COMPUTE) != 0 || sb_plan_forward(k->plan->plan, &feed) != 0)
        return -1;
    return next < 0 ? 0 : sb_step_upload(s, source, next);
}

/* Whether the running statistics take those of a chunk: of replicas, each of which has a chunk of each size,
 * the first one's. */
static bool gathers(const sb_step *s, const sb_chunk *k)
{
    return (k - s->chunks) % s->config->trainer.replicas == 0;
}

/* What a chunk that went forward leaves for the batch. */
static int keep_rows(sb_step *s, const sb_chunk *k)
{
    if (sb_step_scatter(s, k, false) != 0)
        return -1;
    return gathers(s, k) ? sb_plan_update_running(k->plan->plan, s->running) : 0;
}

/* The target network over a chunk that was brought. Its norms take the statistics of the chunk, too. */
static int forward_target(sb_step *s, const sb_chunk *k)
{
    const sb_feed feed = { .section = &s->target, .leaf = { k->pixels } };
    sb_plan *plan = k->plan->plan;
    use(s, k->plan, &s->target);
    int rc = sb_plan_forward(plan, &feed);
    if (rc == 0 && (sb_step_scatter(s, k, true) != 0 ||
                    (gathers(s, k) && sb_plan_update_running(plan, s->target_running) != 0)))
        rc = -1;
    use(s, k->plan, &s->section);
    return rc;
}

/* The networks that no gradient goes to, over a chunk that was brought. */
static int forward_others(sb_step *s, const sb_chunk *k)
{
    return (s->target_heads && forward_target(s, k) != 0) || (k->plan->teacher && sb_step_teach(s, k) != 0)
               ? -1
               : 0;
}

static int backward(sb_step *s, int number)
{
    const sb_chunk *k = &s->chunks[number];
    const sb_feed feed = feed_of(s, k);
    if (sb_step_gather(s, k) != 0)
        return -1;
    return sb_plan_backward(k->plan->plan, &feed);
}

/* The chunk that was forwarded last, once more: its pixels are still there, what it computed is not. */
static int forward_again(sb_step *s, int number)
{
    const sb_chunk *k = &s->chunks[number];
    const sb_feed feed = feed_of(s, k);
    return sb_plan_forward(k->plan->plan, &feed);
}

/* The running statistics as they are before the step: passes change the copy, and the commit takes it over.
 * Of each array, from float `first` on.
 */
static int copy_statistics(sb_step *s, bool back, size_t first)
{
    const sb_section *sections[] = { &s->section, &s->target };
    float *copies[] = { s->running, s->target_running };
    for (int i = 0; i < 2; i++) {
        const size_t floats = sections[i]->floats[SB_ENTRY_STATISTIC];
        if (floats <= first)
            continue;
        float *statistic = sections[i]->statistic + first, *copy = copies[i] + first;
        if (s->device->copy(s->device, SB_STREAM_COMPUTE, back ? statistic : copy, back ? copy : statistic,
                            (floats - first) * sizeof(float), SB_ON_DEVICE) != 0)
            return -1;
    }
    return 0;
}

/* What the batches of a step add to. */
static int begin_step(sb_step *s)
{
    const size_t bytes = s->store.floats[SB_ENTRY_WEIGHT] * sizeof(float);
    return s->device->zero(s->device, s->section.gradient, bytes) != 0 ? -1 : copy_statistics(s, false, 0);
}

/* Whether the heads learn alone: nothing goes back through the backbone. What stands behind the encoder in
 * its graph (sb_method_kind.inside) is such a head, and there the gradient goes through it. */
static bool heads_alone(const sb_step *s, int64_t number)
{
    return sb_schedule_heads_alone(&s->config->continuing, number) && s->given_rows[SB_ROW_LOSS].width == 0;
}

/* Whether the loss is the mean over the views' own. */
static bool is_mean(const sb_step *s) { return !s->method.kind->build && s->config->guide_count == 0; }

/* One pass: what the loss is the mean of has a gradient that is known before it. So heads and loss go there
 * and back first, over what the last step left, and there once more for the value. */
static int gradient_of_mean(sb_step *s, int64_t number, const sb_step_source *source, double *loss)
{
    int rc;
    if (sb_step_heads(s, number, source, loss) != 0 || sb_step_scale_gradient(s) != 0)
        return -1;
    for (int i = 0; i < s->chunk_count; i++)
        if ((rc = bring(s, source, i)) != 0 || (rc = forward_others(s, &s->chunks[i])) != 0 ||
            (rc = forward(s, source, i, i + 1 < s->chunk_count ? i + 1 : -1)) != 0 ||
            (rc = keep_rows(s, &s->chunks[i])) != 0 || (rc = backward(s, i)) != 0)
            return rc;
    return sb_step_upload_ahead(s, source) != 0 ? -1 : sb_step_heads_loss(s, number, source, loss);
}

/* Two passes, heads and loss between them. */
static int gradient_of_batch(sb_step *s, int64_t number, const sb_step_source *source, double *loss)
{
    const bool alone = heads_alone(s, number);
    int last = s->chunk_count - 1, rc;
    for (int i = 0; i <= last; i++) {
        if ((rc = bring(s, source, i)) != 0)
            return rc;
        if (forward_others(s, &s->chunks[i]) != 0)
            return -1;
        if ((rc = forward(s, source, i, i < last ? i + 1 : last > 0 && !alone ? 0 : -1)) != 0)
            return rc;
        if (keep_rows(s, &s->chunks[i]) != 0)
            return -1;
    }
    if (sb_step_heads(s, number, source, loss) != 0)
        return -1;
    if (alone) /* the backbone's gradient stays 0, and nobody would read it */
        return sb_step_upload_ahead(s, source);
    if (sb_step_scale_gradient(s) != 0 || (s->shares && forward_again(s, last) != 0) ||
        backward(s, last) != 0)
        return -1;
    for (int i = 0; i < last; i++)
        if ((rc = bring(s, source, i)) != 0 ||
            (rc = s->backbone.teacher.places ? sb_step_teach(s, &s->chunks[i]) : 0) != 0 ||
            (rc = forward(s, source, i, i + 1 < last ? i + 1 : -1)) != 0 || (rc = backward(s, i)) != 0)
            return rc;
    return sb_step_upload_ahead(s, source);
}

int sb_step_gradient(sb_step *s, int64_t number, int part, const sb_step_source *source, double *loss)
{
    s->batch_number = number * s->config->trainer.accumulate + part;
    if (s->ahead != s->batch_number)
        sb_step_forget_upload(s);
    s->ahead = -1; /* what is uploaded from now on is of this batch, until it ends */
    if (sb_step_order(s, SB_GROUP_STEP) != 0 || (part == 0 && begin_step(s) != 0))
        return -1;
    return is_mean(s) ? gradient_of_mean(s, number, source, loss)
                      : gradient_of_batch(s, number, source, loss);
}

bool sb_step_regroups(const sb_step *s)
{
    return sb_encoder_norm_of(s->config) == SB_ENCODER_BATCH && s->config->trainer.replicas > 1;
}

int sb_step_regrouped(sb_step *s, int64_t number, const sb_step_source *source, double *loss)
{
    const int last = s->chunk_count - 1;
    sb_step_forget_upload(s);
    s->batch_number = number * s->config->trainer.accumulate;
    if (sb_step_order(s, SB_GROUP_AGAIN) != 0)
        return -1;
    for (int i = 0, rc; i <= last; i++) {
        const sb_chunk *k = &s->chunks[i];
        if ((rc = bring(s, source, i)) != 0)
            return rc;
        if (forward_others(s, k) != 0)
            return -1;
        if ((rc = forward(s, source, i, i < last ? i + 1 : -1)) != 0)
            return rc;
        if (sb_step_scatter(s, k, false) != 0)
            return -1;
    }
    return sb_step_heads_loss(s, number, source, loss);
}

/* To a source without views, where the samples lie. */
static int given_places(void *context, sb_square *places)
{
    const sb_step *s = context;
    memcpy(places, s->embedded->places, (size_t)s->config->trainer.batch * sizeof *places);
    return 0;
}

/* And the image of each sample. */
static int given_images(void *context, int32_t *index)
{
    const sb_step *s = context;
    memcpy(index, s->embedded->images, (size_t)s->config->trainer.batch * sizeof *index);
    return 0;
}

/* And what columns say of them. */
static int given_guide(void *context, int guide, float *said)
{
    const sb_step *s = context;
    const size_t batch = (size_t)s->config->trainer.batch;
    memcpy(said, s->embedded->guides + (size_t)guide * batch, batch * sizeof *said);
    return 0;
}

int sb_step_loss(sb_step *s, int64_t number, const sb_step_embedded *batch, double *loss, float *gradient)
{
    sb_device *d = s->device;
    const sb_step_rows *features = &s->given_rows[SB_ROW_FEATURES];
    const size_t bytes = (size_t)s->rows * features->width * sizeof(float),
                 weights = s->store.floats[SB_ENTRY_WEIGHT] * sizeof(float);
    const sb_step_source source = { .context = s,
                                    .places = batch->places ? given_places : NULL,
                                    .images = batch->images ? given_images : NULL,
                                    .guide = batch->guides ? given_guide : NULL };
    s->embedded = batch;
    s->batch_number = number;
    if ((weights > 0 && d->zero(d, s->section.gradient, weights) != 0) || copy_statistics(s, false, 0) != 0 ||
        d->copy(d, SB_STREAM_COMPUTE, features->rows, batch->embeddings, bytes, SB_TO_DEVICE) != 0 ||
        (s->target_heads &&
         d->copy(d, SB_STREAM_COMPUTE, features->target, batch->target ? batch->target : batch->embeddings,
                 bytes, SB_TO_DEVICE) != 0) ||
        sb_step_heads(s, number, &source, loss) != 0 ||
        d->copy(d, SB_STREAM_COMPUTE, gradient, features->drows, bytes, SB_TO_HOST) != 0 ||
        sb_step_follow(s, number, 1) != 0)
        return -1;
    return d->wait(d, SB_STREAM_COMPUTE);
}

double sb_step_guide_loss(const sb_step *s, int guide) { return (double)s->guide_loss[guide]; }

int sb_step_commit(sb_step *s, int64_t number, double lr)
{
    const bool alone = sb_schedule_heads_alone(&s->config->continuing, number);
    const int skipped = sb_step_unscale(s, heads_alone(s, number));
    if (skipped != 0)
        return skipped;
    if (sb_step_measure_gradient(s) != 0 || (!alone && sb_step_adapter_gradients(s) != 0) ||
        sb_step_update(s, number, lr) != 0 || (!alone && sb_step_merge_adapters(s) != 0) ||
        copy_statistics(s, true, alone ? s->backbone.floats[SB_ENTRY_STATISTIC] : 0) != 0 ||
        sb_step_follow(s, number, lr) != 0)
        return -1;
    return pack(s);
}

const float *sb_step_embeddings(const sb_step *s, int view, int *width)
{
    const bool together = s->config->projector.views == SB_VIEWS_TOGETHER;
    const int output = s->method.embedding_outputs[together ? 0 : view];
    const float *rows = sb_plan_output(s->heads, output);
    *width = sb_plan_output_shape(s->heads, output).c;
    return together ? rows + (size_t)view * (size_t)s->config->trainer.batch * (size_t)*width : rows;
}
