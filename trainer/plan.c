/* plan.c: lays a network out in memory for one shape, and runs it (network.h).
 *
 * Time. Node i runs forward at time i and backward at time 2 N - 1 - i. Every buffer has a first and last time; buffers whose times overlap get
 * different places in the arena (largest first, lowest free place). Kept for backward: the input of every convolution and norm, the output of
 * a norm with ReLU, the places of a max pool's maxima. A gradient lives from its consumer's backward to its producer's. */
#include <stdlib.h>

#include "proto/error.h"
#include "trainer/graph.h"

#define ALIGN 256 /* bytes; what a GPU aligns an allocation to, and cuDNN may count on */
#define BUFFERS_MAX (5 * SB_NODES_MAX)

/* ImageNet's mean and deviation, as every torchvision model expects; grey: those of its luminance. */
static const float mean_colour[3] = { 0.485f, 0.456f, 0.406f }, std_colour[3] = { 0.229f, 0.224f, 0.225f };
static const float mean_grey[1] = { 0.449f }, std_grey[1] = { 0.226f };

typedef struct {
    int h, w, c;
    int buffer;      /* its values */
    int gradient[2]; /* one for each consumer; -1 none */
    int gradients;   /* how many are given out */
} tensor;

typedef struct {
    size_t bytes, offset;
    int first, last; /* times */
} buffer;

typedef struct {
    sb_conv *conv;
    size_t packed;         /* offset */
    int argmax;            /* buffer */
    int x_gradient, residual_gradient; /* buffers this node's backward writes; -1 none */
} planned_node;

struct sb_plan {
    sb_network *network;
    sb_device *device;
    int n, side;
    sb_type type;
    bool training;
    tensor tensors[SB_NODES_MAX + 1];
    planned_node nodes[SB_NODES_MAX];
    buffer buffers[BUFFERS_MAX];
    int buffer_count;
    size_t arena_bytes, scratch_offset, statistics_offset, packed_bytes;
    char *arena, *packed;
};

static size_t align(size_t bytes) { return (bytes + ALIGN - 1) / ALIGN * ALIGN; }

/* ---- planning -------------------------------------------------------------------------------------------------------------------- */

static int add_buffer(sb_plan *p, size_t bytes, int first)
{
    p->buffers[p->buffer_count] = (buffer){ .bytes = align(bytes), .first = first, .last = first };
    return p->buffer_count++;
}

static void use(sb_plan *p, int number, int time)
{
    buffer *b = &p->buffers[number];
    b->first = time < b->first ? time : b->first;
    b->last = time > b->last ? time : b->last;
}

static size_t elements(const sb_plan *p, int t)
{
    return (size_t)p->n * (size_t)p->tensors[t].h * (size_t)p->tensors[t].w * (size_t)p->tensors[t].c;
}

static sb_norm_shape norm_shape(const sb_plan *p, int i)
{
    const sb_node *node = &p->network->nodes[i];
    const tensor *t = &p->tensors[i + 1];
    return (sb_norm_shape){ .rows = p->n * t->h * t->w, .channels = t->c, .type = p->type, .residual = node->residual >= 0,
                            .relu = node->relu, .epsilon = SB_NORM_EPSILON };
}

static sb_pool_shape pool_shape(const sb_plan *p, int i)
{
    const tensor *x = &p->tensors[p->network->nodes[i].x];
    return (sb_pool_shape){ .n = p->n, .h = x->h, .w = x->w, .c = x->c, .type = p->type };
}

static int shape_tensor(sb_plan *p, int i)
{
    const sb_node *node = &p->network->nodes[i];
    const tensor *x = &p->tensors[node->x];
    tensor *y = &p->tensors[i + 1];
    *y = (tensor){ .h = x->h, .w = x->w, .c = node->channels, .buffer = -1, .gradient = { -1, -1 } };
    if (node->kind == SB_NODE_CONV) {
        y->h = (x->h + 2 * node->pad - node->kernel) / node->stride + 1;
        y->w = (x->w + 2 * node->pad - node->kernel) / node->stride + 1;
    } else if (node->kind == SB_NODE_MAXPOOL) {
        y->h = (x->h - 1) / 2 + 1;
        y->w = (x->w - 1) / 2 + 1;
    } else if (node->kind == SB_NODE_AVGPOOL) {
        y->h = y->w = 1;
    }
    const tensor *r = node->residual >= 0 ? &p->tensors[node->residual] : NULL;
    if (y->h < 1 || y->w < 1 || (r && (r->h != y->h || r->w != y->w)))
        return sb_fail("views of %d pixels are too small for this encoder, or its branches do not fit", p->side);
    return 0;
}

static int plan_node(sb_plan *p, int i, size_t *scratch)
{
    const sb_node *node = &p->network->nodes[i];
    planned_node *q = &p->nodes[i];
    *q = (planned_node){ .argmax = -1, .x_gradient = -1, .residual_gradient = -1 };
    if (shape_tensor(p, i) != 0)
        return -1;
    tensor *x = &p->tensors[node->x], *y = &p->tensors[i + 1];
    int forward = i, backward = 2 * p->network->node_count - 1 - i;
    use(p, x->buffer, forward);
    if (node->residual >= 0)
        use(p, p->tensors[node->residual].buffer, forward);
    if (node->kind != SB_NODE_AVGPOOL)
        y->buffer = add_buffer(p, elements(p, i + 1) * sb_type_bytes(p->type), forward);
    if (node->kind == SB_NODE_CONV) {
        sb_conv_shape shape = { .n = p->n, .h = x->h, .w = x->w, .in = x->c, .out = y->c, .kernel = node->kernel,
                                .stride = node->stride, .pad = node->pad, .type = p->type, .data_gradient = node->x != 0 };
        if (p->device->conv_create(p->device, &shape, &q->conv) != 0)
            return -1;
        q->packed = p->packed_bytes;
        p->packed_bytes += align(p->device->conv_packed(q->conv));
        size_t need = p->device->conv_scratch(q->conv);
        *scratch = need > *scratch ? need : *scratch;
    } else if (node->kind == SB_NODE_NORM) {
        sb_norm_shape shape = norm_shape(p, i);
        size_t need = p->device->norm_scratch(p->device, &shape);
        *scratch = need > *scratch ? need : *scratch;
    } else if (node->kind == SB_NODE_MAXPOOL) {
        q->argmax = add_buffer(p, elements(p, i + 1), forward);
    }
    if (!p->training)
        return 0;
    if (node->kind == SB_NODE_CONV || node->kind == SB_NODE_NORM)
        use(p, x->buffer, backward);
    if (node->kind == SB_NODE_NORM && node->relu && node->residual >= 0)
        use(p, y->buffer, backward);
    if (q->argmax >= 0)
        use(p, q->argmax, backward);
    return 0;
}

/* Gradient buffers: made by the consumer's backward, used by the producer's. */
static void plan_gradients(sb_plan *p)
{
    int count = p->network->node_count;
    for (int i = count - 1; i >= 0; i--) {
        const sb_node *node = &p->network->nodes[i];
        int inputs[2] = { node->x, node->residual }, *to[2] = { &p->nodes[i].x_gradient, &p->nodes[i].residual_gradient };
        for (int k = 0; k < 2; k++) {
            if (inputs[k] <= 0)
                continue;
            tensor *t = &p->tensors[inputs[k]];
            *to[k] = add_buffer(p, elements(p, inputs[k]) * sb_type_bytes(p->type), 2 * count - 1 - i);
            use(p, *to[k], 2 * count - 1 - (inputs[k] - 1));
            t->gradient[t->gradients++] = *to[k];
        }
    }
}

static const buffer *sorting; /* qsort has no context; planning is single-threaded */

static int larger(const void *a, const void *b)
{
    size_t x = sorting[*(const int *)a].bytes, y = sorting[*(const int *)b].bytes;
    return x != y ? (x < y) - (x > y) : *(const int *)a - *(const int *)b;
}

/* Largest first, each at the lowest place where nothing that lives at the same time lies. */
static int place_buffers(sb_plan *p)
{
    int *order = malloc((size_t)p->buffer_count * sizeof *order);
    if (!order)
        return sb_fail("out of memory");
    for (int i = 0; i < p->buffer_count; i++)
        order[i] = i;
    sorting = p->buffers;
    qsort(order, (size_t)p->buffer_count, sizeof *order, larger);
    for (int i = 0; i < p->buffer_count; i++) {
        buffer *b = &p->buffers[order[i]];
        b->offset = 0;
        for (bool moved = true; moved;) {
            moved = false;
            for (int j = 0; j < i; j++) {
                const buffer *o = &p->buffers[order[j]];
                if (o->first <= b->last && b->first <= o->last && o->offset < b->offset + b->bytes && b->offset < o->offset + o->bytes) {
                    b->offset = o->offset + o->bytes;
                    moved = true;
                }
            }
        }
        if (b->offset + b->bytes > p->arena_bytes)
            p->arena_bytes = b->offset + b->bytes;
    }
    free(order);
    return 0;
}

int sb_plan_create(sb_plan **out, sb_network *network, int n, int side, sb_type type, bool training)
{
    sb_plan *p = calloc(1, sizeof *p);
    if (!p)
        return sb_fail("out of memory");
    *p = (sb_plan){ .network = network, .device = network->parameters->device, .n = n, .side = side, .type = type, .training = training };
    p->tensors[0] = (tensor){ .h = side, .w = side, .c = network->channels, .gradient = { -1, -1 } };
    p->tensors[0].buffer = add_buffer(p, elements(p, 0) * sb_type_bytes(type), 0);
    size_t scratch = 0;
    int rc = 0;
    for (int i = 0; rc == 0 && i < network->node_count; i++)
        rc = plan_node(p, i, &scratch);
    if (rc == 0 && training)
        plan_gradients(p);
    if (rc == 0)
        rc = place_buffers(p);
    p->scratch_offset = p->arena_bytes;
    p->statistics_offset = p->scratch_offset + align(scratch);
    p->arena_bytes = p->statistics_offset + align(network->parameters->statistic_floats * sizeof(float));
    if (rc != 0) {
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
    for (int i = 0; i < p->network->node_count; i++)
        if (p->nodes[i].conv)
            p->device->conv_destroy(p->device, p->nodes[i].conv);
    free(p);
    *plan = NULL;
}

size_t sb_plan_bytes(const sb_plan *p) { return p->arena_bytes; }

size_t sb_plan_packed_bytes(const sb_plan *p) { return p->packed_bytes; }

int sb_plan_bind(sb_plan *p, void *arena, void *packed)
{
    p->arena = arena;
    p->packed = packed;
    return 0;
}

/* ---- running --------------------------------------------------------------------------------------------------------------------- */

static void *at(const sb_plan *p, int number) { return number < 0 ? NULL : p->arena + p->buffers[number].offset; }

static void *scratch_of(const sb_plan *p) { return p->arena + p->scratch_offset; }

static float *statistics_of(const sb_plan *p) { return (float *)(void *)(p->arena + p->statistics_offset); }

int sb_plan_pack(sb_plan *p)
{
    const sb_parameters *parameters = p->network->parameters;
    for (int i = 0; i < p->network->node_count; i++) {
        const sb_node *node = &p->network->nodes[i];
        if (node->kind == SB_NODE_CONV &&
            p->device->conv_pack(p->device, p->nodes[i].conv, parameters->weight + parameters->params[node->weight].offset,
                                 p->packed + p->nodes[i].packed, scratch_of(p)) != 0)
            return -1;
    }
    return 0;
}

/* Norm node i: where its mean lies in an array of statistics; its variance lies `channels` behind. */
static size_t mean_offset(const sb_plan *p, int i)
{
    return p->network->parameters->statistics[p->network->nodes[i].statistic].offset;
}

static const float *weight_of(const sb_plan *p, int param)
{
    return p->network->parameters->weight + p->network->parameters->params[param].offset;
}

static float *gradient_of(const sb_plan *p, int param)
{
    return p->network->parameters->gradient + p->network->parameters->params[param].offset;
}

static int run_norm(sb_plan *p, int i, const float *running)
{
    const sb_node *node = &p->network->nodes[i];
    const tensor *y = &p->tensors[i + 1];
    sb_norm_shape shape = norm_shape(p, i);
    const void *x = at(p, p->tensors[node->x].buffer), *residual = node->residual >= 0 ? at(p, p->tensors[node->residual].buffer) : NULL;
    if (running) {
        const float *mean = running + mean_offset(p, i);
        return p->device->norm_apply(p->device, &shape, x, residual, weight_of(p, node->gamma), weight_of(p, node->beta), mean,
                                     mean + shape.channels, at(p, y->buffer), scratch_of(p));
    }
    float *mean = statistics_of(p) + mean_offset(p, i);
    return p->device->norm_forward(p->device, &shape, x, residual, weight_of(p, node->gamma), weight_of(p, node->beta),
                                   at(p, y->buffer), mean, mean + shape.channels, scratch_of(p));
}

/* running: the statistics to use, or NULL for those of the batch. */
static int run_forward(sb_plan *p, const uint8_t *pixels, float *features, const float *running)
{
    bool colour = p->network->channels == 3;
    if (p->device->input(p->device, p->n, p->side, p->network->channels, pixels, colour ? mean_colour : mean_grey,
                         colour ? std_colour : std_grey, p->type, at(p, p->tensors[0].buffer)) != 0)
        return -1;
    for (int i = 0; i < p->network->node_count; i++) {
        const sb_node *node = &p->network->nodes[i];
        const void *x = at(p, p->tensors[node->x].buffer);
        void *y = at(p, p->tensors[i + 1].buffer);
        sb_pool_shape pool = pool_shape(p, i);
        int rc = 0;
        switch (node->kind) {
        case SB_NODE_CONV:
            rc = p->device->conv_forward(p->device, p->nodes[i].conv, x, p->packed + p->nodes[i].packed, y, scratch_of(p));
            break;
        case SB_NODE_NORM: rc = run_norm(p, i, running); break;
        case SB_NODE_MAXPOOL: rc = p->device->maxpool_forward(p->device, &pool, x, y, at(p, p->nodes[i].argmax)); break;
        case SB_NODE_AVGPOOL: rc = p->device->avgpool_forward(p->device, &pool, x, features); break;
        }
        if (rc != 0)
            return -1;
    }
    return 0;
}

int sb_plan_forward(sb_plan *p, const uint8_t *pixels, float *features, float *batch_statistics)
{
    if (run_forward(p, pixels, features, NULL) != 0)
        return -1;
    if (!batch_statistics)
        return 0;
    return p->device->copy(p->device, SB_STREAM_COMPUTE, batch_statistics, statistics_of(p),
                           p->network->parameters->statistic_floats * sizeof(float), SB_ON_DEVICE);
}

int sb_plan_infer(sb_plan *p, const uint8_t *pixels, float *features)
{
    return run_forward(p, pixels, features, p->network->parameters->running);
}

int sb_plan_backward(sb_plan *p, const float *dfeatures)
{
    for (int i = p->network->node_count - 1; i >= 0; i--) {
        const sb_node *node = &p->network->nodes[i];
        const planned_node *q = &p->nodes[i];
        const tensor *y = &p->tensors[i + 1];
        const void *x = at(p, p->tensors[node->x].buffer), *dy = at(p, y->gradient[0]), *more = at(p, y->gradient[1]);
        void *dx = at(p, q->x_gradient);
        sb_pool_shape pool = pool_shape(p, i);
        sb_norm_shape norm = norm_shape(p, i);
        int rc = 0;
        switch (node->kind) {
        case SB_NODE_CONV:
            rc = p->device->conv_backward_weight(p->device, q->conv, x, dy, gradient_of(p, node->weight), true, scratch_of(p));
            if (rc == 0 && dx)
                rc = p->device->conv_backward_data(p->device, q->conv, dy, p->packed + q->packed, dx, scratch_of(p));
            break;
        case SB_NODE_NORM: {
            const float *mean = statistics_of(p) + mean_offset(p, i);
            rc = p->device->norm_backward(p->device, &norm, x, at(p, y->buffer), dy, more, weight_of(p, node->gamma),
                                          weight_of(p, node->beta), mean,
                                          mean + norm.channels, dx, at(p, q->residual_gradient), gradient_of(p, node->gamma),
                                          gradient_of(p, node->beta), true, scratch_of(p));
            break;
        }
        case SB_NODE_MAXPOOL: rc = p->device->maxpool_backward(p->device, &pool, at(p, q->argmax), dy, more, dx); break;
        case SB_NODE_AVGPOOL: rc = p->device->avgpool_backward(p->device, &pool, dfeatures, dx); break;
        }
        if (rc != 0)
            return -1;
    }
    return 0;
}

int sb_plan_update_running(sb_plan *p, const float *batch_statistics, float *running)
{
    for (int i = 0; i < p->network->node_count; i++) {
        if (p->network->nodes[i].kind != SB_NODE_NORM)
            continue;
        sb_norm_shape shape = norm_shape(p, i);
        const float *mean = batch_statistics + mean_offset(p, i);
        float *running_mean = running + mean_offset(p, i);
        if (p->device->norm_running(p->device, shape.channels, shape.rows, SB_NORM_MOMENTUM, mean, mean + shape.channels, running_mean,
                                    running_mean + shape.channels) != 0)
            return -1;
    }
    return 0;
}
