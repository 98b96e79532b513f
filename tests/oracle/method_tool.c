/* method_tool.c: a method's loss and its gradient, for tests/oracle/method.py. Arguments: NAME SAMPLES WIDTH
 * TEMPERATURE SKIP. Reads f32 embeddings [2 samples, width] from standard input, then skip bytes [samples,
 * samples] if SKIP is 1; writes the loss and the gradient, f32. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "trainer/graph/plan.h"
#include "trainer/configuration.h"

typedef struct {
    sb_device *device;
    sb_store store;
    sb_graph *graph;
    sb_plan *plan;
    size_t values, pairs;
    void *arena, *embeddings, *gradient, *skip, *one;
} tool;

/* The method's loss alone, without a projector, over embeddings as a leaf. */
static int build(tool *t, const sb_settings *settings, int width)
{
    int n = settings->trainer.batch;
    const sb_shape leaves[] = { { 2 * n, 1, 1, width, SB_F32 }, { n, 1, 1, n, SB_U8 } }; /* that of sb_skip */
    const sb_plan_options options = { .training = true };
    sb_store_init(&t->store, t->device);
    if (sb_graph_create(&t->graph, &t->store) != 0)
        return -1;
    sb_method m = {
        .graph = t->graph, .config = settings, .keys = settings->method_keys, .samples = n, .views = 2
    };
    m.embeddings[0] = sb_leaf(t->graph, "embeddings", leaves[0], true);
    return sb_output(t->graph, settings->method->build(&m), true) < 0 ||
                   sb_plan_create(&t->plan, t->graph, leaves, &options) != 0
               ? -1
               : 0;
}

static int allocate(tool *t, size_t bytes, const void *from, void **out)
{
    sb_device *d = t->device;
    return d->alloc(d, bytes, out) != 0 ||
                   (from && d->copy(d, SB_STREAM_COMPUTE, *out, from, bytes, SB_TO_DEVICE) != 0)
               ? -1
               : 0;
}

static int run(tool *t, const float *embeddings, const unsigned char *skip, float *loss, float *gradient)
{
    const float one = 1;
    sb_device *d = t->device;
    if (allocate(t, sb_plan_arena_bytes(t->plan), NULL, &t->arena) != 0 ||
        allocate(t, t->values * sizeof(float), embeddings, &t->embeddings) != 0 ||
        allocate(t, t->values * sizeof(float), NULL, &t->gradient) != 0 ||
        allocate(t, t->pairs, skip, &t->skip) != 0 || allocate(t, sizeof one, &one, &t->one) != 0)
        return -1;
    const sb_feed feed = { .leaf = { t->embeddings, skip ? t->skip : NULL },
                           .dleaf = { t->gradient },
                           .doutput = { t->one } };
    sb_plan_bind(t->plan, t->arena, NULL);
    if (sb_plan_forward(t->plan, &feed) != 0 ||
        d->copy(d, SB_STREAM_COMPUTE, loss, sb_plan_output(t->plan, 0), sizeof *loss, SB_TO_HOST) != 0 ||
        sb_plan_backward(t->plan, &feed) != 0 ||
        d->copy(d, SB_STREAM_COMPUTE, gradient, t->gradient, t->values * sizeof(float), SB_TO_HOST) != 0)
        return -1;
    return d->wait(d, SB_STREAM_COMPUTE);
}

int main(int argc, char **argv)
{
    tool t = { 0 };
    sb_settings settings;
    char name[64], temperature[64], samples[64];
    if (argc != 6)
        return 2;
    snprintf(name, sizeof name, "method.name=%s", argv[1]);
    snprintf(samples, sizeof samples, "trainer.batch=%s", argv[2]);
    snprintf(temperature, sizeof temperature, "method.temperature=%s", argv[4]);
    const char *const assignments[] = { "data.path=.", name, samples, temperature };
    int width = atoi(argv[3]), skipping = atoi(argv[5]), rc = sb_settings_of(&settings, NULL, assignments, 4);
    if (rc != 0) {
        fprintf(stderr, "method_tool: %s\n", sb_error());
        return 1;
    }
    t.values = 2 * (size_t)settings.trainer.batch * (size_t)width;
    t.pairs = (size_t)settings.trainer.batch * (size_t)settings.trainer.batch;
    float *embeddings = malloc(t.values * sizeof *embeddings),
          *gradient = malloc(t.values * sizeof *gradient), loss = 0;
    unsigned char *skip = malloc(t.pairs);
    if (!embeddings || !gradient || !skip ||
        fread(embeddings, sizeof *embeddings, t.values, stdin) != t.values ||
        (skipping && fread(skip, 1, t.pairs, stdin) != t.pairs))
        exit(1);
    if (rc == 0 && (sb_device_cpu(&t.device, 2) != 0 || build(&t, &settings, width) != 0 ||
                    run(&t, embeddings, skipping ? skip : NULL, &loss, gradient) != 0))
        rc = -1;
    if (rc != 0)
        fprintf(stderr, "method_tool: %s\n", sb_error());
    else if (fwrite(&loss, sizeof loss, 1, stdout) != 1 ||
             fwrite(gradient, sizeof *gradient, t.values, stdout) != t.values)
        rc = -1;
    void *memory[] = { t.arena, t.embeddings, t.gradient, t.skip, t.one };
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        if (memory[i])
            t.device->release(t.device, memory[i]);
    sb_plan_destroy(&t.plan);
    sb_graph_destroy(&t.graph);
    sb_store_free(&t.store);
    sb_device_close(&t.device);
    free(embeddings);
    free(gradient);
    free(skip);
    return rc != 0;
}
