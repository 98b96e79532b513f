/* step.c: see step.h. */
#include "trainer/step.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/random.h"
#include "trainer/method.h"
#include "trainer/projector.h"

#define PLANS_MAX (2 * SB_VIEWS_MAX) /* for each size: whole chunks, and the rest */

typedef struct {
    sb_plan *plan;
    int side, n;
    void *packed;
} planned;

/* Inputs start .. start + n of a size: a piece of `inputs`. */
typedef struct {
    planned *plan;
    int start, n;
} chunk;

typedef struct {
    int view, sample;
} input;

struct sb_step {
    sb_device *device;
    const sb_config *config;
    const sb_method *method;
    sb_parameters parameters;
    sb_network *network;
    sb_projector *projector;
    planned plans[PLANS_MAX];
    int plan_count;
    chunk *chunks;
    int chunk_count;
    input *inputs; /* [rows]: in the order they go through the backbone */
    int rows;      /* views * batch */
    int width, out;
    sb_update *update;
    float *state;
    int state_arrays;
    sb_step_budget budget;

    /* Device memory. */
    void *arena, *projector_memory;
    uint8_t *pixels[2], *skip;          /* pixels: a chunk is uploaded while the one before computes */
    unsigned uploads;                   /* so far: which of the two is next */
    bool uploaded;                      /* the chunk that comes next has been */
    float *features, *dfeatures;        /* [rows, width]: row view * batch + sample */
    float *chunk_features;              /* [largest chunk, width] */
    float *statistics, *running;        /* [statistic_floats]: of the last pass; running statistics as they are after the step */
    float *embeddings, *dembeddings;    /* [rows, out]; embeddings inside projector_memory */
    float *method_scratch;
    uint8_t *skip_host;                 /* [batch, batch] */
    uint32_t *permutation;              /* [batch] */
};

static const sb_method *method_of(const sb_config *config)
{
    return config->method == SB_METHOD_SIMCLR ? &sb_method_simclr : &sb_method_dcl;
}

static sb_method_shape method_shape(const sb_step *s)
{
    return (sb_method_shape){ .device = s->device, .samples = s->config->trainer.batch, .views = s->config->view_count,
                              .width = s->out, .temperature = (float)s->config->temperature };
}

/* ---- create -------------------------------------------------------------------------------------------------------------------- */

static int take(sb_step *s, size_t bytes, void **out, size_t *account)
{
    *account += bytes;
    int rc = s->device->alloc(s->device, bytes ? bytes : 1, out);
    if (rc == SB_DEVICE_FULL)
        sb_context("memory for a step; lower trainer.chunk or trainer.batch");
    return rc;
}

static planned *plan_for(sb_step *s, int side, int n)
{
    for (int i = 0; i < s->plan_count; i++)
        if (s->plans[i].side == side && s->plans[i].n == n)
            return &s->plans[i];
    planned *p = &s->plans[s->plan_count];
    sb_type type = s->config->trainer.precision == SB_PRECISION_BF16 && s->device->bf16 ? SB_BF16 : SB_F32;
    if (sb_plan_create(&p->plan, s->network, n, side, type, true) != 0) {
        sb_context("planning a chunk of %d views of %d x %d", n, side, side);
        return NULL;
    }
    p->side = side;
    p->n = n;
    s->plan_count++;
    return p;
}

static void drop_plans(sb_step *s)
{
    for (int i = 0; i < s->plan_count; i++) {
        sb_plan_destroy(&s->plans[i].plan);
        if (s->plans[i].packed)
            s->device->release(s->device, s->plans[i].packed);
        s->plans[i].packed = NULL;
    }
    s->plan_count = 0;
}

/* The chunks of a batch: sizes ascending, then views, then samples. chunk_most: inputs of one; 0: no bound. In place of those before. */
static int lay_out(sb_step *s, int chunk_most)
{
    const sb_config *config = s->config;
    int sizes[SB_VIEWS_MAX], size_count = sb_config_view_sizes(config, sizes), batch = config->trainer.batch, start = 0;
    drop_plans(s);
    s->chunk_count = 0;
    for (int c = 0; c < size_count; c++) {
        int rows = 0;
        for (int v = 0; v < config->view_count; v++)
            if (config->views[v].size == sizes[c])
                for (int i = 0; i < batch; i++)
                    s->inputs[start + rows++] = (input){ .view = v, .sample = i };
        int most = chunk_most > 0 && chunk_most < rows ? chunk_most : rows;
        for (int done = 0; done < rows; done += most) {
            int n = rows - done < most ? rows - done : most;
            planned *p = plan_for(s, sizes[c], n);
            if (!p)
                return -1;
            s->chunks[s->chunk_count++] = (chunk){ .plan = p, .start = start + done, .n = n };
        }
        start += rows;
    }
    return 0;
}

static int make_update(sb_step *s)
{
    sb_parameters *p = &s->parameters;
    s->state_arrays = s->config->optimiser.name == SB_OPTIMISER_ADAMW ? 2 : 1;
    void *memory;
    if (take(s, (size_t)s->state_arrays * p->floats * sizeof(float), &memory, &s->budget.weights) != 0 ||
        s->device->zero(s->device, memory, (size_t)s->state_arrays * p->floats * sizeof(float)) != 0)
        return -1;
    s->state = memory;
    sb_parameter *table = calloc((size_t)p->param_count, sizeof *table);
    if (!table)
        return sb_fail("out of memory");
    for (int i = 0; i < p->param_count; i++) {
        const sb_param *q = &p->params[i];
        table[i] = (sb_parameter){ .weight = p->weight + q->offset, .gradient = p->gradient + q->offset,
                                   .state = s->state + q->offset, .state_stride = p->floats, .count = q->count,
                                   .decayed = q->kind == SB_PARAM_CONV || q->kind == SB_PARAM_LINEAR };
    }
    int rc = s->device->update_create(s->device, table, p->param_count, &s->update);
    free(table);
    return rc;
}

/* ---- memory --------------------------------------------------------------------------------------------------------------------- */

typedef struct {
    size_t bytes;
    void *to; /* the pointer that is to be set */
    size_t *account;
} want;

enum { WANTS_MAX = 12 + PLANS_MAX };

/* All device memory that the chunks as they are laid out need beside the weights. Returns the bytes, and fills the list. */
static size_t list_wants(sb_step *s, want list[WANTS_MAX], int *count)
{
    int batch = s->config->trainer.batch, largest = 0;
    size_t arena = 0, pixels = 0, rows = (size_t)s->rows, width = (size_t)s->width, out = (size_t)s->out, total = 0;
    *count = 0;
    for (int i = 0; i < s->plan_count; i++) {
        planned *p = &s->plans[i];
        size_t bytes = sb_plan_bytes(p->plan);
        size_t views = (size_t)p->n * (size_t)p->side * (size_t)p->side * (size_t)s->config->data.channels;
        arena = bytes > arena ? bytes : arena;
        pixels = views > pixels ? views : pixels;
        largest = p->n > largest ? p->n : largest;
        list[(*count)++] = (want){ sb_plan_packed_bytes(p->plan), &p->packed, &s->budget.packed };
    }
    sb_method_shape shape = method_shape(s);
    const want others[] = {
        { arena, &s->arena, &s->budget.activations },
        { pixels, &s->pixels[0], &s->budget.activations },
        { pixels, &s->pixels[1], &s->budget.activations },
        { (size_t)largest * width * sizeof(float), &s->chunk_features, &s->budget.activations },
        { rows * width * sizeof(float), &s->features, &s->budget.batch },
        { rows * width * sizeof(float), &s->dfeatures, &s->budget.batch },
        { rows * out * sizeof(float), &s->dembeddings, &s->budget.batch },
        { sb_projector_bytes(s->projector), &s->projector_memory, &s->budget.batch },
        { s->method->scratch(&shape) * sizeof(float), &s->method_scratch, &s->budget.batch },
        { (size_t)batch * (size_t)batch, &s->skip, &s->budget.batch },
        { s->parameters.statistic_floats * sizeof(float), &s->statistics, &s->budget.weights },
        { s->parameters.statistic_floats * sizeof(float), &s->running, &s->budget.weights },
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        list[(*count)++] = others[i];
    for (int i = 0; i < *count; i++)
        total += list[i].bytes;
    return total;
}

/* Whether chunks of this size would fit. -1. */
static int chunk_fits(sb_step *s, int chunk_most, size_t available)
{
    want list[WANTS_MAX];
    int count;
    return lay_out(s, chunk_most) != 0 ? -1 : list_wants(s, list, &count) <= available;
}

/* The largest chunk below `fails`, which does not fit, that does; 0: none. A chunk that divides the batch has no rest to be planned for, so
 * it may fit where smaller ones do not. */
static int largest_chunk(sb_step *s, int fails, size_t available)
{
    int fits = 0, known = fails, batch = s->config->trainer.batch, fine;
    while (known - fits > 1) {
        int middle = fits + (known - fits) / 2;
        fine = chunk_fits(s, middle, available);
        if (fine < 0)
            return -1;
        if (fine)
            fits = middle;
        else
            known = middle;
    }
    for (int most = fails - 1; most > known; most--) {
        if (s->rows % most != 0 && batch % most != 0)
            continue;
        fine = chunk_fits(s, most, available);
        if (fine != 0)
            return fine < 0 ? -1 : most;
    }
    return fits;
}

/* `needed` bytes are not there: names the largest chunk that would fit. */
static int fail_memory(sb_step *s, size_t needed, size_t available)
{
    int wanted = 1;
    for (int i = 0; i < s->chunk_count; i++)
        wanted = s->chunks[i].n > wanted ? s->chunks[i].n : wanted;
    int fits = largest_chunk(s, wanted, available);
    if (fits < 0)
        return -1;
    char advice[128];
    if (fits > 0)
        snprintf(advice, sizeof advice, "trainer.chunk=%d would fit, and gives the gradient of the whole batch", fits);
    else
        snprintf(advice, sizeof advice, "no trainer.chunk would fit: lower trainer.batch or the views' sizes");
    return sb_fail("trainer.batch = %d with %d views in the backbone at once needs %zu MiB of memory, and %zu are free beside a reserve: %s",
                   s->config->trainer.batch, wanted, needed >> 20, available >> 20, advice);
}

static int take_memory(sb_step *s)
{
    int batch = s->config->trainer.batch, count;
    want list[WANTS_MAX];
    size_t needed = list_wants(s, list, &count), available;
    if (s->device->available(s->device, &available) != 0)
        return -1;
    if (needed > available)
        return fail_memory(s, needed, available);
    for (int i = 0; i < count; i++) {
        void *memory;
        if (take(s, list[i].bytes, &memory, list[i].account) != 0)
            return -1;
        memcpy(list[i].to, &memory, sizeof memory);
    }
    s->budget.weights += (2 * s->parameters.floats + s->parameters.statistic_floats) * sizeof(float);
    s->budget.chunks = s->chunk_count;
    for (int i = 0; i < s->plan_count; i++)
        if (sb_plan_bind(s->plans[i].plan, s->arena, s->plans[i].packed) != 0)
            return -1;
    s->skip_host = calloc((size_t)batch, (size_t)batch);
    s->permutation = calloc((size_t)batch, sizeof *s->permutation);
    if (!s->skip_host || !s->permutation)
        return sb_fail("out of memory");
    return sb_projector_bind(s->projector, s->projector_memory);
}

int sb_step_create(sb_step **out, sb_device *device, const sb_config *config)
{
    const sb_method *method = method_of(config);
    char place[SB_PLACE_MAX];
    if (config->view_count != 2)
        return sb_fail("%s: views: method %s compares two views of a sample, not %d", sb_config_place(config, "views", place), method->name,
                       config->view_count);
    if (config->trainer.batch < method->min_samples)
        return sb_fail("%s: trainer.batch = %d: method %s needs at least %d", sb_config_place(config, "trainer.batch", place), config->trainer.batch,
                       method->name, method->min_samples);
    sb_step *s = calloc(1, sizeof *s);
    if (!s)
        return sb_fail("out of memory");
    *s = (sb_step){ .device = device, .config = config, .method = method, .rows = config->trainer.batch * config->view_count,
                    .out = config->projector.out };
    s->inputs = calloc((size_t)s->rows, sizeof *s->inputs);
    s->chunks = calloc((size_t)s->rows, sizeof *s->chunks);
    sb_parameters_init(&s->parameters, device);
    int rc = s->inputs && s->chunks ? 0 : sb_fail("out of memory");
    if (rc == 0)
        rc = sb_network_create(&s->network, &s->parameters, config->data.channels);
    if (rc == 0)
        rc = sb_encoder_build(s->network, config);
    if (rc == 0) {
        s->width = sb_network_width(s->network);
        rc = sb_projector_create(&s->projector, &s->parameters, config, s->width, s->rows);
    }
    if (rc == 0 && (sb_parameters_allocate(&s->parameters, true, config->seed) != 0 || make_update(s) != 0 || lay_out(s, config->trainer.chunk) != 0 ||
                    take_memory(s) != 0 || sb_step_weights_changed(s) != 0))
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
    void *memory[] = { s->state, s->arena, s->pixels[0], s->pixels[1], s->chunk_features, s->features, s->dfeatures, s->dembeddings,
                       s->projector_memory, s->method_scratch, s->skip, s->statistics, s->running };
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        if (memory[i])
            s->device->release(s->device, memory[i]);
    drop_plans(s);
    if (s->update)
        s->device->update_destroy(s->device, s->update);
    sb_projector_destroy(&s->projector);
    sb_network_destroy(&s->network);
    sb_parameters_free(&s->parameters);
    free(s->chunks);
    free(s->inputs);
    free(s->skip_host);
    free(s->permutation);
    free(s);
    *step = NULL;
}

void sb_step_measure(const sb_step *s, sb_step_budget *out) { *out = s->budget; }

sb_parameters *sb_step_parameters(sb_step *s) { return &s->parameters; }

float *sb_step_state(sb_step *s, int *state_arrays)
{
    *state_arrays = s->state_arrays;
    return s->state;
}

int sb_step_weights_changed(sb_step *s)
{
    for (int i = 0; i < s->plan_count; i++)
        if (sb_plan_pack(s->plans[i].plan) != 0)
            return -1;
    return 0;
}

/* ---- gradient -------------------------------------------------------------------------------------------------------------------- */

/* Which samples go where: view 0 in order, every other view permuted, by (seed, step, view). */
static void permute(sb_step *s, int64_t number)
{
    int batch = s->config->trainer.batch;
    if (s->chunk_count == 1)
        return;
    for (int first = 0; first < s->rows; first += batch) {
        int view = s->inputs[first].view;
        if (view == 0)
            continue;
        sb_random random;
        sb_random_init(&random, s->config->seed, SB_RANDOM_CHUNKS, (uint32_t)number, (uint32_t)(number >> 32), (uint32_t)view);
        for (int i = 0; i < batch; i++) {
            uint32_t j = sb_random_below(&random, (uint32_t)i + 1);
            s->permutation[i] = s->permutation[j];
            s->permutation[j] = (uint32_t)i;
        }
        for (int i = 0; i < batch; i++)
            s->inputs[first + i].sample = (int)s->permutation[i];
    }
}

static size_t row_of(const sb_step *s, const input *in)
{
    return (size_t)in->view * (size_t)s->config->trainer.batch + (size_t)in->sample;
}

/* Into the buffer that the chunk before is not in. */
static int upload(sb_step *s, const sb_step_source *source, int number)
{
    const chunk *k = &s->chunks[number];
    size_t bytes = (size_t)k->plan->side * (size_t)k->plan->side * (size_t)s->config->data.channels;
    uint8_t *to = s->pixels[s->uploads++ % 2];
    for (int i = 0; i < k->n; i++) {
        const input *in = &s->inputs[k->start + i];
        const uint8_t *pixels;
        int rc = source->fetch(source->context, in->view, in->sample, &pixels);
        if (rc != 0)
            return rc;
        if (s->device->copy(s->device, SB_STREAM_UPLOAD, to + (size_t)i * bytes, pixels, bytes, SB_TO_DEVICE) != 0)
            return -1;
    }
    s->uploaded = true;
    return 0;
}

/* Chunk `number`, which the call before may have uploaded, and the upload of chunk `next` (-1: none), which runs beside it: it has to wait only
 * for what was computed before, and that was the last to read the other buffer. */
static int forward(sb_step *s, const sb_step_source *source, int number, int next)
{
    const chunk *k = &s->chunks[number];
    sb_device *d = s->device;
    int rc = s->uploaded ? 0 : upload(s, source, number);
    if (rc != 0)
        return rc;
    const uint8_t *pixels = s->pixels[(s->uploads - 1) % 2];
    if (d->order(d, SB_STREAM_COMPUTE, SB_STREAM_UPLOAD) != 0 || d->order(d, SB_STREAM_UPLOAD, SB_STREAM_COMPUTE) != 0 ||
        sb_plan_forward(k->plan->plan, pixels, s->chunk_features, s->statistics) != 0)
        return -1;
    s->uploaded = false;
    return next < 0 ? 0 : upload(s, source, next);
}

/* Rows of a chunk between its own order and the batch's. */
static int move_rows(sb_step *s, const chunk *k, float *batch_rows, bool to_batch)
{
    size_t width = (size_t)s->width;
    for (int i = 0; i < k->n; i++) {
        float *mine = s->chunk_features + (size_t)i * width, *theirs = batch_rows + row_of(s, &s->inputs[k->start + i]) * width;
        if (s->device->copy(s->device, SB_STREAM_COMPUTE, to_batch ? theirs : mine, to_batch ? mine : theirs,
                            width * sizeof(float), SB_ON_DEVICE) != 0)
            return -1;
    }
    return 0;
}

static int backward(sb_step *s, int number)
{
    const chunk *k = &s->chunks[number];
    return move_rows(s, k, s->dfeatures, false) != 0 ? -1 : sb_plan_backward(k->plan->plan, s->chunk_features);
}

static int heads(sb_step *s, const sb_step_source *source, double *loss)
{
    int batch = s->config->trainer.batch;
    if (sb_projector_forward(s->projector, s->features, &s->embeddings, s->statistics) != 0 ||
        sb_projector_update_running(s->projector, s->statistics, s->running) != 0)
        return -1;
    int skipping = source->skip ? source->skip(source->context, s->skip_host) : 0;
    if (skipping < 0 || (skipping > 0 && s->device->copy(s->device, SB_STREAM_COMPUTE, s->skip, s->skip_host,
                                                         (size_t)batch * (size_t)batch, SB_TO_DEVICE) != 0))
        return -1;
    sb_method_shape shape = method_shape(s);
    if (s->method->loss(&shape, s->embeddings, skipping ? s->skip : NULL, s->dembeddings, loss, s->method_scratch) != 0)
        return -1;
    return sb_projector_backward(s->projector, s->features, s->dembeddings, s->dfeatures);
}

int sb_step_gradient(sb_step *s, int64_t number, const sb_step_source *source, double *loss)
{
    sb_parameters *p = &s->parameters;
    s->uploaded = false; /* what a call that failed left */
    permute(s, number);
    if (s->device->zero(s->device, p->gradient, p->floats * sizeof(float)) != 0 ||
        s->device->copy(s->device, SB_STREAM_COMPUTE, s->running, p->running, p->statistic_floats * sizeof(float), SB_ON_DEVICE) != 0)
        return -1;
    int last = s->chunk_count - 1, rc;
    for (int i = 0; i <= last; i++)
        if ((rc = forward(s, source, i, i < last ? i + 1 : last > 0 ? 0 : -1)) != 0 || (rc = move_rows(s, &s->chunks[i], s->features, true)) != 0 ||
            (rc = sb_plan_update_running(s->chunks[i].plan->plan, s->statistics, s->running)) != 0)
            return rc;
    if (heads(s, source, loss) != 0 || backward(s, last) != 0)
        return -1;
    for (int i = 0; i < last; i++)
        if ((rc = forward(s, source, i, i + 1 < last ? i + 1 : -1)) != 0 || (rc = backward(s, i)) != 0)
            return rc;
    return 0;
}

int sb_step_commit(sb_step *s, int64_t number, double lr)
{
    const sb_config *c = s->config;
    sb_update_values values = {
        .rule = c->optimiser.name == SB_OPTIMISER_SGD ? SB_UPDATE_SGD :
                c->optimiser.name == SB_OPTIMISER_LARS ? SB_UPDATE_LARS : SB_UPDATE_ADAMW,
        .lr = (float)lr,
        .momentum = (float)c->optimiser.momentum,
        .weight_decay = (float)c->optimiser.weight_decay,
        .trust = (float)c->optimiser.trust,
        .beta1 = c->optimiser.beta1,
        .beta2 = c->optimiser.beta2,
        .epsilon = (float)c->optimiser.epsilon,
        .step = number + 1,
    };
    const sb_parameters *p = &s->parameters;
    if (s->device->update_run(s->device, s->update, &values) != 0 ||
        s->device->copy(s->device, SB_STREAM_COMPUTE, p->running, s->running, p->statistic_floats * sizeof(float), SB_ON_DEVICE) != 0)
        return -1;
    return sb_step_weights_changed(s);
}

const float *sb_step_embeddings(const sb_step *s, int *width)
{
    *width = s->out;
    return s->embeddings;
}
