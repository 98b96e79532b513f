/* Runs an encoder's convolutions, linear layers and attention alone, in all their directions, on data of no
 * meaning: a step cannot be faster than they are. Arguments: VIEWS, and KEY=VALUE of the configuration.
 * Serves as worker.h says. */
#include <stdlib.h>

#include "proto/error.h"
#include "tests/bench/counts.h"
#include "tests/bench/worker.h"
#include "trainer/configuration.h"
#include "trainer/encoder.h"
#include "trainer/precision.h"

typedef struct {
    sb_op_id op;
    sb_call call;
    void *memory[8]; /* of its own */
    int count;
} layer;

typedef struct {
    sb_settings config;
    sb_device *device;
    sb_store store;
    sb_graph *encoder;
    layer *layers;
    int count;
    void *scratch;
} bench;

static int take(bench *b, layer *l, size_t bytes, void *out)
{
    void **memory = &l->memory[l->count];
    if (b->device->alloc(b->device, bytes ? bytes : 1, memory) != 0 ||
        b->device->zero(b->device, *memory, bytes) != 0)
        return -1;
    l->count++;
    memcpy(out, memory, sizeof *memory);
    return 0;
}

/* The call of a node with an input of this shape. */
static int add(bench *b, const sb_node *n, const sb_shape *x, size_t *scratch)
{
    const sb_op *op = sb_ops[n->op];
    const sb_kernel *k = b->device->kernels[n->op];
    layer *l = &b->layers[b->count++];
    sb_call *c = &l->call;
    sb_extent w[SB_WEIGHTS_MAX] = { 0 };
    l->op = n->op;
    *c = (sb_call){ .how = n->how, .xs = { *x }, .gradient = { b->encoder->nodes[n->x[0]].gradient } };
    if (op->shape(c->how, c->xs, &c->ys) != 0 || (k->plan && k->plan(b->device, c) != 0) ||
        take(b, l, sb_shape_bytes(x), &c->x[0]) != 0 || take(b, l, sb_shape_bytes(&c->ys), &c->y) != 0 ||
        (c->gradient[0] && take(b, l, sb_shape_bytes(x), &c->dx[0]) != 0) ||
        (k->packed && take(b, l, k->packed(b->device, c), &c->packed) != 0))
        return -1;
    c->dy = c->y;
    if (op->aux) {
        const sb_shape aux = op->aux(c->how, c->xs);
        if (take(b, l, sb_shape_bytes(&aux), &c->aux) != 0)
            return -1;
    }
    if (op->weights)
        op->weights(c->how, c->xs, w);
    float *floats = NULL; /* weights and gradients in one: nobody looks at them */
    for (int i = 0; i < SB_WEIGHTS_MAX; i++)
        if (w[i].dims > 0) {
            if (take(b, l, sb_extent_count(&w[i]) * sizeof *floats, &floats) != 0)
                return -1;
            c->w[i] = c->dw[i] = floats;
        }
    const size_t need = sb_scratch(b->device, n->op, c);
    *scratch = need > *scratch ? need : *scratch;
    return k->pack ? k->pack(b->device, c) : 0;
}

static int prepare(bench *b, int views)
{
    sb_store_init(&b->store, b->device);
    const sb_type type = sb_precision_type(sb_precision_on(b->device, b->config.trainer.precision));
    if (sb_graph_create(&b->encoder, &b->store) != 0 || sb_encoder_build(b->encoder, &b->config, type) < 0)
        return -1;
    const sb_graph *g = b->encoder;
    sb_shape *ys = calloc((size_t)g->count, sizeof *ys);
    b->layers = calloc((size_t)g->count, sizeof *b->layers);
    int rc = ys && b->layers ? 0 : sb_fail("out of memory");
    size_t scratch = 1;
    for (int i = 0; i < g->count && rc == 0; i++) {
        const sb_node *n = &g->nodes[i];
        sb_shape xs[SB_INPUTS_MAX] = { 0 };
        for (int k = 0; k < SB_INPUTS_MAX && !n->leaf; k++)
            if (n->x[k] >= 0)
                xs[k] = ys[n->x[k]];
        ys[i] = n->nominal;
        ys[i].n = views;
        ys[i].h = ys[i].w = b->config.data.view;
        if (!n->leaf)
            rc = sb_op_shape(n->op, n->how, xs, &ys[i]);
        if (rc == 0 && !n->leaf && sb_counts_product(n->op))
            rc = add(b, n, &xs[0], &scratch);
    }
    free(ys);
    if (rc != 0 || b->device->alloc(b->device, scratch, &b->scratch) != 0)
        return -1;
    for (int i = 0; i < b->count; i++)
        b->layers[i].call.scratch = b->scratch;
    return 0;
}

static int all_layers(void *context)
{
    bench *b = context;
    for (int i = 0; i < b->count; i++) {
        const layer *l = &b->layers[i];
        if (sb_forward(b->device, l->op, &l->call) != 0 || sb_backward(b->device, l->op, &l->call) != 0)
            return -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static bench b;
    static char path[] = "data.path=/"; /* one that is there, in place of VIEWS */
    const int views = argc > 1 ? atoi(argv[1]) : 0;
    if (views < 1)
        return 2;
    argv[1] = path;
    if (sb_settings_of(&b.config, NULL, (const char *const *)argv + 1, argc - 1) != 0 ||
        sb_device_cpu(&b.device, b.config.trainer.threads) != 0 || prepare(&b, views) != 0) {
        fprintf(stderr, "%s\n", sb_error());
        return 1;
    }
    int rc = bench_serve(all_layers, &b, 0);
    for (int i = 0; i < b.count; i++) {
        layer *l = &b.layers[i];
        for (int k = 0; k < l->count; k++)
            b.device->release(b.device, l->memory[k]);
        if (l->call.planned)
            b.device->kernels[l->op]->unplan(b.device, l->call.planned);
    }
    b.device->release(b.device, b.scratch);
    free(b.layers);
    sb_graph_destroy(&b.encoder);
    sb_store_free(&b.store);
    sb_device_close(&b.device);
    return rc;
}
