/* Drives the training step (trainer/step/step.h) with states and pixels from outside, for
 * tests/oracle/step.py, and with a small encoder for tests/oracle/method_step.py (method_step_tool.c).
 * Arguments: a recipe, or none, and KEY=VALUEs. A teacher's weights are taken from its file.
 *
 * It writes what it has, a line each, and an empty line:
 *     parameter NAME SIDE...      in the order of the flat arrays
 *     statistic NAME CHANNELS     means, then variances
 *     kept NAME ROWS WIDTH        what the method keeps from step to step
 *     state ARRAYS                of the optimiser, each as long as the parameters
 *     target PARAMETERS STATISTICS    floats of the target network: the first of each array
 *     memory WEIGHTS ACTIVATIONS BATCH    in bytes (sb_step_budget)
 * Then for each step it
 *     reads   i64 number, f64 learning rate, f32 parameters, statistics, state, kept, target's parameters and
 *             statistics,
 * for each of its batches (trainer.accumulate)
 *     reads   u8 pixels [views, batch, size, size, channels], each view in its size,
 *     writes  f64 loss, f32 gradient so far, f32 embeddings [views, batch, width], i32 count, i32 [count] the
 * views in the order they were fetched, as view * batch + sample, and reads   f32 gradient, to go on with,
 *     writes  f32 parameters, statistics, state, kept, target's parameters and statistics, i64 allocations of
 * the step, by our own code (linked with
 *             --wrap=malloc and so on). */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "trainer/step/step.h"
#include "trainer/teacher.h"

static int64_t allocations;

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);

void *__wrap_malloc(size_t bytes)
{
    allocations++;
    return __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    allocations++;
    return __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    allocations++;
    return __real_realloc(old, bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    allocations++;
    return __real_aligned_alloc(alignment, bytes);
}

typedef struct {
    sb_settings config;
    sb_device *device;
    sb_step *step;
    size_t state_floats, view_bytes[SB_VIEWS_MAX], pixel_bytes;
    uint8_t *first[SB_VIEWS_MAX]; /* pixels of each view's first sample */
    float *host;                  /* room for the largest array */
    uint8_t *pixels;
    int32_t *order, fetched;
} tool;

static int fetch(void *context, int view, int sample, const uint8_t **pixels)
{
    tool *t = context;
    int number = view * t->config.trainer.batch + sample;
    t->order[t->fetched++] = number;
    *pixels = t->first[view] + (size_t)sample * t->view_bytes[view];
    return 0;
}

static bool get(void *to, size_t bytes) { return fread(to, 1, bytes, stdin) == bytes; }

static bool put(const void *from, size_t bytes) { return fwrite(from, 1, bytes, stdout) == bytes; }

static bool get_floats(tool *t, float *to, size_t count)
{
    return get(t->host, count * sizeof(float)) &&
           t->device->copy(t->device, SB_STREAM_COMPUTE, to, t->host, count * sizeof(float), SB_TO_DEVICE) ==
               0 &&
           t->device->wait(t->device, SB_STREAM_COMPUTE) == 0;
}

static bool put_floats(tool *t, const float *from, size_t count)
{
    return t->device->copy(t->device, SB_STREAM_COMPUTE, t->host, from, count * sizeof(float), SB_TO_HOST) ==
               0 &&
           t->device->wait(t->device, SB_STREAM_COMPUTE) == 0 && put(t->host, count * sizeof(float));
}

/* All that a step begins from and leaves behind. */
typedef struct {
    float *memory;
    size_t floats;
} array;

static int list_arrays(const tool *t, array out[6])
{
    const sb_section *section = sb_step_section(t->step), *target = sb_step_target(t->step);
    int arrays;
    const array all[] = { { section->weight, section->floats[SB_ENTRY_WEIGHT] },
                          { section->statistic, section->floats[SB_ENTRY_STATISTIC] },
                          { sb_step_state(t->step, &arrays), t->state_floats },
                          { section->state, section->floats[SB_ENTRY_STATE] },
                          { target->weight, target->floats[SB_ENTRY_WEIGHT] },
                          { target->statistic, target->floats[SB_ENTRY_STATISTIC] } };
    int count = 0;
    for (int i = 0; i < 6; i++)
        if (all[i].floats > 0)
            out[count++] = all[i];
    return count;
}

static bool get_arrays(tool *t)
{
    array arrays[6];
    int count = list_arrays(t, arrays);
    for (int i = 0; i < count; i++)
        if (!get_floats(t, arrays[i].memory, arrays[i].floats))
            return false;
    return true;
}

static bool put_arrays(tool *t)
{
    array arrays[6];
    int count = list_arrays(t, arrays);
    for (int i = 0; i < count; i++)
        if (!put_floats(t, arrays[i].memory, arrays[i].floats))
            return false;
    return true;
}

static void introduce(const tool *t, int arrays)
{
    const sb_store *store = sb_step_store(t->step);
    sb_step_budget budget;
    sb_step_measure(t->step, &budget);
    for (int i = 0; i < store->count; i++) {
        const sb_entry *e = &store->entries[i];
        if (e->kind == SB_ENTRY_STATISTIC) {
            printf("statistic %s %d\n", e->name, (int)e->extent.side[1]);
            continue;
        }
        if (e->kind == SB_ENTRY_STATE) {
            printf("kept %s %d %d\n", e->name, (int)e->extent.side[0], (int)e->extent.side[1]);
            continue;
        }
        printf("parameter %s", e->name);
        for (int d = 0; d < e->extent.dims; d++)
            printf(" %d", (int)e->extent.side[d]);
        printf("\n");
    }
    printf("state %d\ntarget %zu %zu\nmemory %zu %zu %zu\n\n", arrays,
           sb_step_target(t->step)->floats[SB_ENTRY_WEIGHT],
           sb_step_target(t->step)->floats[SB_ENTRY_STATISTIC], budget.weights, budget.activations,
           budget.batch);
    fflush(stdout);
}

static size_t weight_floats(const tool *t) { return sb_step_store(t->step)->floats[SB_ENTRY_WEIGHT]; }
static size_t statistic_floats(const tool *t) { return sb_step_store(t->step)->floats[SB_ENTRY_STATISTIC]; }

static int take_teacher(const tool *t)
{
    char mark[SB_TEACHER_MARK], *report = NULL;
    if (t->config.method->teacher != SB_TEACHER_FILE)
        return 0;
    const sb_checkpoint_view view = sb_step_teacher(t->step);
    const int rc = sb_teacher_take(&view, &t->config, &report, mark);
    free(report);
    return rc;
}

static int setup(tool *t, int argc, char **argv)
{
    static char path[] = "data.path=."; /* one that is there, in place of the program's name */
    const char *recipe = argc > 1 && !strchr(argv[1], '=') ? argv[1] : NULL;
    argv[recipe ? 1 : 0] = path;
    if (sb_settings_of(&t->config, recipe, (const char *const *)argv + (recipe ? 1 : 0),
                       argc - (recipe ? 1 : 0)) != 0 ||
        sb_device_cpu(&t->device, t->config.trainer.threads) != 0 ||
        sb_step_create(&t->step, t->device, &t->config) != 0 || take_teacher(t) != 0)
        return -1;
    int arrays, width, batch = t->config.trainer.batch, rows = t->config.view_count * batch;
    sb_step_state(t->step, &arrays);
    sb_step_embeddings(t->step, 0, &width);
    t->state_floats = (size_t)arrays * weight_floats(t);
    for (int v = 0; v < t->config.view_count; v++) {
        size_t side = (size_t)t->config.views[v].side;
        t->view_bytes[v] = side * side * (size_t)t->config.data.channels;
        t->pixel_bytes += (size_t)batch * t->view_bytes[v];
    }
    size_t embeddings = (size_t)rows * (size_t)width,
           most = statistic_floats(t) > embeddings ? statistic_floats(t) : embeddings;
    most = t->state_floats > most ? t->state_floats : most;
    const size_t kept = sb_step_section(t->step)->floats[SB_ENTRY_STATE];
    most = kept > most ? kept : most;
    t->host = malloc(most * sizeof(float));
    t->pixels = malloc(t->pixel_bytes);
    t->order = malloc(2 * (size_t)rows * sizeof *t->order);
    if (!t->host || !t->pixels || !t->order)
        return sb_fail("out of memory");
    uint8_t *next = t->pixels;
    for (int v = 0; v < t->config.view_count; v++) {
        t->first[v] = next;
        next += (size_t)batch * t->view_bytes[v];
    }
    introduce(t, arrays);
    return 0;
}

/* One batch of a step. */
static int gradient(tool *t, int64_t number, int part, int64_t *taken)
{
    const sb_step_source source = { .context = t, .fetch = fetch };
    const int64_t before = allocations;
    int width;
    double loss;
    t->fetched = 0;
    if (!get(t->pixels, t->pixel_bytes) || sb_step_gradient(t->step, number, part, &source, &loss) != 0)
        return -1;
    *taken += allocations - before;
    if (!put(&loss, sizeof loss) || !put_floats(t, sb_step_section(t->step)->gradient, weight_floats(t)))
        return -1;
    for (int v = 0; v < t->config.view_count; v++) {
        const float *embeddings = sb_step_embeddings(t->step, v, &width);
        if (!put_floats(t, embeddings, (size_t)t->config.trainer.batch * (size_t)width))
            return -1;
    }
    return put(&t->fetched, sizeof t->fetched) && put(t->order, (size_t)t->fetched * sizeof *t->order) &&
                   fflush(stdout) == 0
               ? 0
               : -1;
}

/* 1: done, 0: no more input, -1: failed. */
static int step(tool *t)
{
    int64_t number, taken = 0;
    double lr;
    if (!get(&number, sizeof number))
        return 0;
    if (!get(&lr, sizeof lr) || !get_arrays(t) || sb_step_weights_changed(t->step) != 0)
        return -1;
    for (int part = 0; part < t->config.trainer.accumulate; part++)
        if (gradient(t, number, part, &taken) != 0)
            return -1;
    if (!get_floats(t, sb_step_section(t->step)->gradient, weight_floats(t)))
        return -1;
    const int64_t before = allocations;
    if (sb_step_commit(t->step, number, lr) != 0)
        return -1;
    taken += allocations - before;
    return put_arrays(t) && put(&taken, sizeof taken) && fflush(stdout) == 0 ? 1 : -1;
}

int main(int argc, char **argv)
{
    static tool t;
    int rc = setup(&t, argc, argv);
    for (int more = rc == 0; more > 0;)
        rc = more = step(&t);
    if (rc < 0)
        fprintf(stderr, "step_tool: %s\n", sb_error());
    sb_step_destroy(&t.step);
    sb_device_close(&t.device);
    free(t.host);
    free(t.pixels);
    free(t.order);
    return rc < 0;
}
