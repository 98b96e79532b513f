/* step.c: see step.h. */
#include "trainer/step/step.h"

#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/memory.h"
#include "trainer/encoder.h"
#include "trainer/method.h"
#include "trainer/step/private.h"

/* ---- creation ------------------------------------------------------------------------------------------ */

/* The encoder's graph, and the one of heads and loss. */
static int build(sb_step *s)
{
    const sb_settings *c = s->config;
    sb_type type = c->trainer.precision == SB_PRECISION_BF16 && s->device->bf16 ? SB_BF16 : SB_F32;
    if (sb_graph_create(&s->encoder, &s->store) != 0 || sb_graph_create(&s->method, &s->store) != 0)
        return -1;
    sb_t features = sb_encoder_build(s->encoder, c, type);
    if (features < 0)
        return sb_context("the encoder");
    s->width = sb_shape_of(s->encoder, features).c;
    memcpy(s->backbone, s->store.floats, sizeof s->backbone);
    if (sb_method_build(s->method, c, s->width) != 0)
        return sb_context("method %s", c->method->name);
    return 0;
}

static int plan_heads(sb_step *s)
{
    int batch = s->config->trainer.batch;
    const sb_shape leaves[] = { [SB_LEAF_FEATURES] = { s->rows, 1, 1, s->width, SB_F32 },
                                [SB_LEAF_SKIP] = { batch, 1, 1, batch, SB_U8 } };
    const sb_plan_options options = { .training = true };
    return sb_plan_create(&s->heads, s->method, leaves, &options) != 0 ? sb_context("heads and loss") : 0;
}

static int set_one(sb_step *s)
{
    const float one = 1;
    if (s->device->copy(s->device, SB_STREAM_COMPUTE, s->one, &one, sizeof one, SB_TO_DEVICE) != 0)
        return -1;
    return s->device->wait(s->device, SB_STREAM_COMPUTE);
}

int sb_step_create(sb_step **out, sb_device *device, const sb_settings *config)
{
    sb_step *s = sb_zeroed(1, sizeof *s, "a step");
    if (!s)
        return -1;
    *s = (sb_step){ .device = device, .config = config, .rows = config->trainer.batch * config->view_count };
    s->inputs = sb_zeroed((size_t)s->rows, sizeof *s->inputs, "the views of a batch");
    s->chunks = sb_zeroed((size_t)s->rows, sizeof *s->chunks, "the chunks of a batch");
    sb_store_init(&s->store, device);
    int rc = s->inputs && s->chunks ? 0 : -1;
    if (rc == 0 &&
        (build(s) != 0 || sb_section_create(&s->section, &s->store, true, config->common.seed) != 0 ||
         sb_step_make_update(s) != 0 || sb_step_lay_out(s, config->trainer.chunk) != 0 ||
         plan_heads(s) != 0 || sb_step_take_memory(s) != 0 || set_one(s) != 0 ||
         sb_step_weights_changed(s) != 0))
        rc = -1;
    if (rc != 0) {
        sb_step_destroy(&s);
        return -1;
    }
    *out = s;
    return 0;
}

void sb_step_destroy(sb_step **step)
{
    sb_step *s = *step;
    if (!s)
        return;
    sb_step_free_memory(s);
    sb_step_drop_plans(s);
    sb_plan_destroy(&s->heads);
    sb_step_free_update(s);
    sb_section_free(&s->section, &s->store);
    sb_graph_destroy(&s->encoder);
    sb_graph_destroy(&s->method);
    sb_store_free(&s->store);
    free(s->chunks);
    free(s->inputs);
    free(s);
    *step = NULL;
}

void sb_step_measure(const sb_step *s, sb_step_budget *out) { *out = s->budget; }

const sb_store *sb_step_store(const sb_step *s) { return &s->store; }

const sb_section *sb_step_section(const sb_step *s) { return &s->section; }

float *sb_step_state(const sb_step *s, int *state_arrays)
{
    *state_arrays = s->state_arrays;
    return s->state;
}

const size_t *sb_step_backbone(const sb_step *s) { return s->backbone; }

int sb_step_weights_changed(sb_step *s)
{
    for (int i = 0; i < s->plan_count; i++)
        if (sb_plan_pack(s->plans[i].plan, &s->section) != 0)
            return -1;
    return sb_plan_pack(s->heads, &s->section);
}

/* ---- gradient ------------------------------------------------------------------------------------------ */

/* What the encoder is given for a chunk: its pixels, and the gradient at its features. */
static sb_feed feed_of(const sb_step *s, const sb_chunk *k)
{
    return (sb_feed){ .section = &s->section, .leaf = { k->pixels }, .doutput = { s->chunk_dfeatures } };
}

/* Chunk `number`, which the call before may have uploaded, and the upload of chunk `next` (-1: none), which
 * runs beside it: it has to wait only for what was computed before, and that was the last to read the other
 * buffer. */
static int forward(sb_step *s, const sb_step_source *source, int number, int next)
{
    const sb_chunk *k = &s->chunks[number];
    sb_device *d = s->device;
    int rc = s->uploaded ? 0 : sb_step_upload(s, source, number);
    if (rc != 0)
        return rc;
    const sb_feed feed = feed_of(s, k);
    if (d->order(d, SB_STREAM_COMPUTE, SB_STREAM_UPLOAD) != 0 ||
        d->order(d, SB_STREAM_UPLOAD, SB_STREAM_COMPUTE) != 0 || sb_plan_forward(k->plan->plan, &feed) != 0)
        return -1;
    s->uploaded = false;
    return next < 0 ? 0 : sb_step_upload(s, source, next);
}

static int backward(sb_step *s, int number)
{
    const sb_chunk *k = &s->chunks[number];
    const sb_feed feed = feed_of(s, k);
    if (sb_step_gather(s, k, s->dfeatures, s->chunk_dfeatures) != 0)
        return -1;
    return sb_plan_backward(k->plan->plan, &feed);
}

/* Heads and loss over the whole batch, there and back. */
static int heads(sb_step *s, const sb_step_source *source, double *loss)
{
    size_t pairs = (size_t)s->config->trainer.batch * (size_t)s->config->trainer.batch;
    sb_device *d = s->device;
    int skipping = source->skip ? source->skip(source->context, s->skip_host) : 0;
    if (skipping < 0 ||
        (skipping > 0 && d->copy(d, SB_STREAM_COMPUTE, s->skip, s->skip_host, pairs, SB_TO_DEVICE) != 0))
        return -1;
    const sb_feed feed = {
        .section = &s->section,
        .leaf = { [SB_LEAF_FEATURES] = s->features, [SB_LEAF_SKIP] = skipping ? s->skip : NULL },
        .dleaf = { [SB_LEAF_FEATURES] = s->dfeatures },
        .doutput = { [SB_OUTPUT_LOSS] = s->one }
    };
    float value;
    if (sb_plan_forward(s->heads, &feed) != 0 || sb_plan_update_running(s->heads, s->running) != 0 ||
        d->copy(d, SB_STREAM_COMPUTE, &value, sb_plan_output(s->heads, SB_OUTPUT_LOSS), sizeof value,
                SB_TO_HOST) != 0 ||
        sb_plan_backward(s->heads, &feed) != 0 || d->wait(d, SB_STREAM_COMPUTE) != 0)
        return -1;
    *loss = (double)value;
    return 0;
}

int sb_step_gradient(sb_step *s, int64_t number, const sb_step_source *source, double *loss)
{
    const size_t *floats = s->store.floats;
    s->uploaded = false; /* what a call that failed left */
    sb_step_permute(s, number);
    if (s->device->zero(s->device, s->section.gradient, floats[SB_ENTRY_WEIGHT] * sizeof(float)) != 0 ||
        s->device->copy(s->device, SB_STREAM_COMPUTE, s->running, s->section.statistic,
                        floats[SB_ENTRY_STATISTIC] * sizeof(float), SB_ON_DEVICE) != 0)
        return -1;
    int last = s->chunk_count - 1, rc;
    for (int i = 0; i <= last; i++) {
        sb_plan *plan = s->chunks[i].plan->plan;
        if ((rc = forward(s, source, i, i < last ? i + 1 : last > 0 ? 0 : -1)) != 0)
            return rc;
        if (sb_step_scatter(s, &s->chunks[i], sb_plan_output(plan, 0), s->features) != 0 ||
            sb_plan_update_running(plan, s->running) != 0)
            return -1;
    }
    if (heads(s, source, loss) != 0 || backward(s, last) != 0)
        return -1;
    for (int i = 0; i < last; i++)
        if ((rc = forward(s, source, i, i + 1 < last ? i + 1 : -1)) != 0 || (rc = backward(s, i)) != 0)
            return rc;
    return 0;
}

int sb_step_commit(sb_step *s, int64_t number, double lr)
{
    if (sb_step_update(s, number, lr) != 0 ||
        s->device->copy(s->device, SB_STREAM_COMPUTE, s->section.statistic, s->running,
                        s->store.floats[SB_ENTRY_STATISTIC] * sizeof(float), SB_ON_DEVICE) != 0)
        return -1;
    return sb_step_weights_changed(s);
}

const float *sb_step_embeddings(const sb_step *s, int *width)
{
    *width = sb_plan_output_shape(s->heads, SB_OUTPUT_EMBEDDINGS).c;
    return sb_plan_output(s->heads, SB_OUTPUT_EMBEDDINGS);
}
