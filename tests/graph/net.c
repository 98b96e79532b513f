/* net.c: see net.h. */
#include "tests/graph/net.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/error.h"
#include "proto/memory.h"
#include "trainer/graph/build.h"

void net_good(int rc)
{
    if (rc != 0)
        fail_msg("%s", sb_error());
}

void net_allocate(net *n, size_t bytes, void **out)
{
    net_good(n->device->alloc(n->device, bytes ? bytes : 1, out));
}

void net_put(net *n, void *to, const float *from, size_t count)
{
    net_good(n->device->copy(n->device, SB_STREAM_COMPUTE, to, from, count * sizeof *from, SB_TO_DEVICE));
    net_good(n->device->wait(n->device, SB_STREAM_COMPUTE));
}

void net_fetch(net *n, const void *from, float *to, size_t count)
{
    net_good(n->device->copy(n->device, SB_STREAM_COMPUTE, to, from, count * sizeof *to, SB_TO_HOST));
    net_good(n->device->wait(n->device, SB_STREAM_COMPUTE));
}

void net_build(net *n, sb_device *on, net_builder build, sb_shape x, uint64_t seed)
{
    sb_random random;
    *n = (net){ .device = on, .x = x, .seed = seed };
    sb_store_init(&n->store, on);
    net_good(sb_graph_create(&n->graph, &n->store));
    sb_random_init(&random, seed, SB_RANDOM_WEIGHTS, 1, 0, 0);
    sb_t leaf = sb_leaf(n->graph, "x", x, true);
    if (sb_output(n->graph, build(n->graph, leaf, &random), true) < 0)
        fail_msg("%s", sb_error());
}

void net_draw_again(const net *n, uint64_t again, bool *mask)
{
    sb_random random;
    sb_random_init(&random, again, SB_RANDOM_WEIGHTS, 2, 0, 0);
    for (int i = 0; i < n->graph->count; i++)
        mask[i] = again && sb_random_below(&random, 2);
}

/* Where in `incoming` the gradient at an output lies; behind the last one: how many floats there are. */
static size_t incoming_at(const net *n, int output)
{
    size_t at = 0;
    for (int k = 0; k < output; k++) {
        sb_shape y = sb_plan_output_shape(n->plan, k);
        at += (sb_shape_elements(&y) + 63) / 64 * 64; /* 256 bytes */
    }
    return at;
}

void net_plan(net *n, const bool *again)
{
    const sb_plan_options options = { .training = true, .again = again };
    int outputs = n->graph->output_count;
    sb_random random;
    net_good(sb_section_create(&n->section, &n->store, NULL, true, n->seed, NULL));
    net_good(sb_plan_create(&n->plan, n->graph, &n->x, &options));
    net_allocate(n, sb_plan_arena_bytes(n->plan), &n->arena);
    net_allocate(n, sb_plan_packed_bytes(n->plan), &n->packed);
    net_allocate(n, sb_shape_bytes(&n->x), &n->leaf);
    net_allocate(n, sb_shape_bytes(&n->x), &n->gradient);
    sb_plan_bind(n->plan, n->arena, n->packed);
    size_t count = incoming_at(n, outputs);
    float *incoming = sb_zeroed(count, sizeof *incoming, "the gradients at the outputs");
    assert_non_null(incoming);
    sb_random_init(&random, n->seed, SB_RANDOM_WEIGHTS, 5, 0, 0);
    for (size_t i = 0; i < count; i++)
        incoming[i] = 2 * sb_random_uniform(&random) - 1;
    incoming[incoming_at(n, outputs - 1)] = 1;
    net_allocate(n, count * sizeof *incoming, &n->incoming);
    net_put(n, n->incoming, incoming, count);
    free(incoming);
}

void net_set_up(net *n, sb_device *on, net_builder build, sb_shape x, uint64_t seed, uint64_t again)
{
    bool mask[SB_NODES_MAX];
    net_build(n, on, build, x, seed);
    net_draw_again(n, again, mask);
    net_plan(n, mask);
}

void net_tear_down(net *n)
{
    void *memory[] = { n->arena, n->packed, n->leaf, n->gradient, n->incoming };
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        n->device->release(n->device, memory[i]);
    sb_plan_destroy(&n->plan);
    sb_section_free(&n->section, &n->store);
    sb_graph_destroy(&n->graph);
    sb_store_free(&n->store);
}

sb_feed net_feed(const net *n)
{
    sb_feed feed = { .section = &n->section, .leaf = { n->leaf }, .dleaf = { n->gradient } };
    for (int k = 0; k < n->graph->output_count; k++)
        feed.doutput[k] = (float *)n->incoming + incoming_at(n, k);
    return feed;
}

double net_loss(net *n)
{
    const sb_feed feed = net_feed(n);
    float loss;
    net_good(sb_plan_pack(n->plan, &n->section));
    net_good(sb_plan_forward(n->plan, &feed));
    net_fetch(n, sb_plan_output(n->plan, n->graph->output_count - 1), &loss, 1);
    return (double)loss;
}

net_point net_point_of(net *n, uint64_t seed)
{
    net_point p = { .x = sb_shape_elements(&n->x), .weights = n->store.floats[SB_ENTRY_WEIGHT] };
    sb_random random;
    p.value = calloc(p.x + p.weights, sizeof *p.value);
    p.gradient = calloc(p.x + p.weights, sizeof *p.gradient);
    assert_true(p.value && p.gradient);
    sb_random_init(&random, seed, SB_RANDOM_WEIGHTS, 3, 0, 0);
    for (size_t i = 0; i < p.x; i++)
        p.value[i] = 2 * sb_random_uniform(&random) - 1;
    net_fetch(n, n->section.weight, p.value + p.x, p.weights);
    return p;
}

void net_move_to(net *n, const net_point *p, const float *value)
{
    net_put(n, n->leaf, value, p->x);
    net_put(n, n->section.weight, value + p->x, p->weights);
}

double net_differentiate(net *n, net_point *p)
{
    const sb_feed feed = net_feed(n);
    net_move_to(n, p, p->value);
    net_good(n->device->zero(n->device, n->section.gradient, p->weights * sizeof(float)));
    double loss = net_loss(n);
    net_good(sb_plan_backward(n->plan, &feed));
    net_fetch(n, n->gradient, p->gradient, p->x);
    net_fetch(n, n->section.gradient, p->gradient + p->x, p->weights);
    return loss;
}

void net_point_free(net_point *p)
{
    free(p->value);
    free(p->gradient);
}

double net_distance(const float *a, const float *b, size_t count)
{
    double difference = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        size += (double)b[i] * b[i];
    }
    return sqrt(difference / (size + 1e-20));
}

/* ---- graphs -------------------------------------------------------------------------------------------- */

sb_t graph_finish(sb_graph *g, sb_t t) { return sb_mean(g, sb_softplus(g, t)); }

sb_t graph_three_readers(sb_graph *g, sb_t x, sb_random *random)
{
    (void)random;
    sb_t t = sb_conv(g, x, "stem", .out = 8, .kernel = 3, .stride = 1, .pad = 1);
    sb_t a = sb_conv(g, t, "a", .out = 8, .kernel = 3, .stride = 1, .pad = 1),
         b = sb_conv(g, t, "b", .out = 8, .kernel = 1, .stride = 1);
    sb_t sum = sb_batchnorm(g, a, t, "norm", .relu = false);
    return graph_finish(g, sb_avgpool(g, sb_combine(g, sum, b, .alpha = 1, .beta = 0.5f)));
}

sb_t graph_read_twice(sb_graph *g, sb_t x, sb_random *random)
{
    (void)random;
    sb_t t = sb_conv(g, x, "a", .out = 8, .kernel = 3, .stride = 1, .pad = 1);
    t = sb_batchnorm(g, t, t, "norm", .relu = false);
    sb_t sum = sb_residual(g, t, t, "added", .scaled = true, .initial = 0.5f);
    t = sb_avgpool(g,
                   sb_combine(g, sb_combine(g, sum, sum, .alpha = 1, .beta = 2), t, .alpha = 1, .beta = 1));
    return sb_combine(g, graph_finish(g, t), sb_mean(g, sb_row_dot(g, t, t)), .alpha = 1, .beta = 0.1f);
}

#define CHAIN 300

sb_t graph_chain(sb_graph *g, sb_t x, sb_random *random)
{
    sb_t t = x;
    for (int i = 0; i < CHAIN; i++) {
        char name[16];
        snprintf(name, sizeof name, "l%d", i);
        if (i % 30 == 0)
            t = sb_linear(g, t, name, .out = 8, .bias = true);
        else
            t = sb_combine(g, t, SB_NONE, .alpha = sb_random_below(random, 2) ? 1.02f : 0.98f,
                           .constant = 0.01f);
    }
    return graph_finish(g, t);
}

sb_t graph_unread(sb_graph *g, sb_t x, sb_random *random)
{
    (void)random;
    sb_t t = sb_linear(g, x, "a", .out = 8, .bias = true);
    sb_linear(g, t, "nobody", .out = 8, .bias = true);
    return graph_finish(g, t);
}

sb_t graph_stopped(sb_graph *g, sb_t x, sb_random *random)
{
    (void)random;
    sb_t t = sb_linear(g, x, "a", .out = 8, .bias = false);
    return sb_mean(g, sb_row_dot(g, t, sb_stop(t)));
}

sb_t graph_standardised(sb_graph *g, sb_t x, sb_random *random)
{
    (void)random;
    sb_t t = sb_linear(g, x, "a", .out = GRAPH_NORMED, .bias = true);
    t = sb_standardise(g, sb_softplus(g, sb_batchnorm(g, t, SB_NONE, "norm", .relu = false)));
    return graph_finish(g, sb_product(g, t, t, .form = SB_PRODUCT_ROWS, .scale = 0.3f));
}

sb_t graph_norms(sb_graph *g, sb_t x, sb_random *random)
{
    (void)random;
    sb_t t = sb_batchnorm(g, x, SB_NONE, "a", .relu = false);
    t = sb_batchnorm(g, t, SB_NONE, "b", .relu = false);
    t = sb_batchnorm(g, t, SB_NONE, "c", .relu = false);
    return graph_finish(g, sb_avgpool(g, t));
}

static sb_t residual(sb_graph *g, sb_t x, bool relu)
{
    sb_t t = sb_batchnorm(g, x, SB_NONE, "a", .relu = relu);
    return sb_batchnorm(g, sb_batchnorm(g, t, SB_NONE, "b", .relu = relu), t, "c", .relu = relu);
}

sb_t graph_residual(sb_graph *g, sb_t x, sb_random *random)
{
    (void)random;
    return graph_finish(g, sb_avgpool(g, residual(g, x, false)));
}

sb_t graph_residual_relu(sb_graph *g, sb_t x, sb_random *random)
{
    (void)random;
    return graph_finish(g, sb_avgpool(g, sb_output(g, residual(g, x, true), false)));
}

#define RANDOM_NODES 12
#define CHANNELS 11 /* fill no block */

sb_t graph_anything(sb_graph *g, sb_t x, sb_random *random)
{
    sb_t t[RANDOM_NODES + 1];
    char name[16];
    t[0] = sb_conv(g, x, "stem", .out = CHANNELS, .kernel = 3, .stride = 1, .pad = 1);
    for (int i = 1; i <= RANDOM_NODES; i++) {
        sb_t a = t[sb_random_below(random, (uint32_t)i)], b = t[sb_random_below(random, (uint32_t)i)];
        snprintf(name, sizeof name, "n%d", i);
        switch (sb_random_below(random, 5)) {
        case 0: t[i] = sb_conv(g, a, name, .out = CHANNELS, .kernel = 3, .stride = 1, .pad = 1); break;
        case 1: t[i] = sb_batchnorm(g, a, SB_NONE, name, .relu = false); break;
        case 2: t[i] = sb_batchnorm(g, a, b, name, .relu = false); break;
        case 3: t[i] = sb_standardise(g, a); break;
        default: t[i] = sb_combine(g, a, b, .alpha = 0.5f, .beta = 0.5f); break;
        }
    }
    return graph_finish(g, sb_avgpool(g, t[RANDOM_NODES]));
}
