/* test_blocks.c: plans for a device that wants tensors in blocks of channels (tests/graph/blocks.h).
 *
 * A conversion regroups the sum of a tensor's gradients: those of the readers in one layout are added up
 * before they are converted. So results are compared, to the byte, with those of the plain CPU on a graph
 * that has a copy (a reorder from rows to rows) wherever a conversion is expected. The values on the way
 * forth are those of the graph itself on the plain CPU, to the byte, and the gradients within rounding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/op/reorder.h"
#include "proto/error.h"
#include "tests/graph/blocks.h"
#include "tests/graph/net.h"
#include "trainer/graph/build.h"

#define THREADS 1 /* graphs too small to share */
#define GRAPHS 200
#define REGROUPED 1e-5 /* |a - b| / |b| of gradients */
#define LAYOUTS 3

static sb_device *blocks, *plain;

static sb_t copy_of(sb_graph *g, sb_t t)
{
    return sb_apply(g, SB_OP_REORDER, (const sb_t[SB_INPUTS_MAX]){ t, SB_NONE, SB_NONE }, "copy", 0,
                    &(sb_reorder_how){ 0 }, sizeof(sb_reorder_how));
}

/* ---- the graph with copies ----------------------------------------------------------------------------- */

/* A tensor of the graph that is copied: the layout in which it is made, and what it is read from in each. */
typedef struct {
    bool used;
    int block;
    sb_t made, in[LAYOUTS];
} tensor;

static net_builder copied;         /* the graph of it */
static int original[SB_NODES_MAX]; /* the node of it that a node makes or copies */

static sb_t read_in(sb_graph *g, tensor *t, int block)
{
    if (block == t->block)
        return t->made;
    sb_t *in = &t->in[block / 8];
    if (*in < 0) {
        *in = copy_of(g, t->made);
        original[*in] = original[t->made];
    }
    return *in;
}

static void mark_used(const sb_graph *g, tensor *tensors)
{
    for (int k = 0; k < g->output_count; k++)
        tensors[g->outputs[k]].used = true;
    for (int i = g->count - 1; i >= 0; i--)
        for (int k = 0; k < SB_INPUTS_MAX && tensors[i].used && !g->nodes[i].leaf; k++)
            if (g->nodes[i].x[k] >= 0)
                tensors[g->nodes[i].x[k]].used = true;
}

static void copy_node(sb_graph *g, const sb_graph *from, tensor *tensors, int i)
{
    const sb_node *n = &from->nodes[i];
    tensor *t = &tensors[i];
    sb_t x[SB_INPUTS_MAX] = { SB_NONE, SB_NONE, SB_NONE };
    unsigned without = 0;
    int comes = tensors[n->x[0]].block;
    for (int k = 0; k < SB_INPUTS_MAX; k++) {
        without |= n->w[k] < 0 ? 1u << k : 0;
        if (n->x[k] < 0)
            continue;
        tensor *input = &tensors[n->x[k]];
        x[k] = t->used ? read_in(g, input, blocks_wished(n->op, k, comes)) : input->made;
        x[k] = n->stopped[k] ? sb_stop(x[k]) : x[k];
    }
    t->block = blocks_wished(n->op, SB_INPUTS_MAX, comes);
    t->made = sb_apply(g, n->op, x, n->name, without, n->how, sizeof n->how);
    net_good(t->made < 0 ? -1 : 0);
    original[t->made] = i;
}

/* A builder: the graph that `copied` builds, with copies. */
static sb_t with_copies(sb_graph *g, sb_t x, sb_random *random)
{
    static tensor tensors[SB_NODES_MAX];
    sb_store store;
    sb_graph *from;
    sb_store_init(&store, plain);
    net_good(sb_graph_create(&from, &store));
    sb_t leaf = sb_leaf(from, "x", sb_shape_of(g, x), true), out = SB_FAILED;
    net_good(sb_output(from, copied(from, leaf, random), true) < 0 ? -1 : 0);
    for (int i = 0; i < from->count; i++)
        tensors[i] = (tensor){ .in = { -1, -1, -1 } };
    mark_used(from, tensors);
    tensors[leaf].made = x;
    original[x] = leaf;
    for (int i = 1; i < from->count; i++)
        copy_node(g, from, tensors, i);
    for (int k = 0; k < from->output_count; k++) {
        out = read_in(g, &tensors[from->outputs[k]], 0);
        if (k + 1 < from->output_count)
            net_good(sb_output(g, out, from->given_gradient[k]) < 0 ? -1 : 0);
    }
    sb_graph_destroy(&from);
    sb_store_free(&store);
    return out;
}

/* ---- comparisons --------------------------------------------------------------------------------------- */

/* What a net computed. */
typedef struct {
    net net;
    net_point point;
} run;

static void compute(run *r, sb_device *device, net_builder build, sb_shape x, uint64_t seed,
                    const bool *again)
{
    bool mask[SB_NODES_MAX] = { false };
    net_build(&r->net, device, build, x, seed);
    for (int i = 0; i < r->net.graph->count; i++)
        mask[i] = again[build == with_copies ? original[i] : i];
    net_plan(&r->net, mask);
    memset(r->net.arena, 0xFF, sb_plan_arena_bytes(r->net.plan)); /* NaN; host memory */
    r->point = net_point_of(&r->net, seed);
    net_differentiate(&r->net, &r->point);
}

static void forget(run *r)
{
    net_point_free(&r->point);
    net_tear_down(&r->net);
}

static void check_outputs(const run *a, const run *b)
{
    assert_int_equal(a->net.graph->output_count, b->net.graph->output_count);
    for (int k = 0; k < a->net.graph->output_count; k++) {
        sb_shape y = sb_plan_output_shape(a->net.plan, k), z = sb_plan_output_shape(b->net.plan, k);
        assert_memory_equal(&y, &z, sizeof y);
        assert_memory_equal(sb_plan_output(a->net.plan, k), sb_plan_output(b->net.plan, k),
                            sb_shape_bytes(&y));
    }
}

static void count_reorders(void *counted, sb_op_id op, const sb_call *call, bool backward)
{
    (void)call, (void)backward;
    *(int *)counted += op == SB_OP_REORDER;
}

static int reorders(const net *n, bool back)
{
    int count = 0;
    sb_plan_visit(n->plan, back, count_reorders, &count);
    return count;
}

/* What is promised for the plan is arithmetic, and kept. */
static void check_promise(const net *n, const bool *again)
{
    long planned = blocks_planned;
    sb_plan_bytes most;
    net_good(sb_plan_size(&most, n->graph, &n->x, &(sb_plan_options){ .training = true, .again = again }));
    assert_int_equal(blocks_planned, planned);
    assert_true(sb_plan_arena_bytes(n->plan) <= most.arena && sb_plan_packed_bytes(n->plan) <= most.packed);
}

/* Returns how many conversions there were. again: 0: nothing is made again. */
static int compare(net_builder build, sb_shape x, uint64_t seed, uint64_t again)
{
    static run a, b, c;
    bool mask[SB_NODES_MAX] = { false };
    net_build(&a.net, plain, build, x, seed);
    net_draw_again(&a.net, again, mask);
    mask[0] = false; /* x, which the mask of a plan does not mean: but the copies of it have its bit */
    net_tear_down(&a.net);
    copied = build;
    compute(&a, plain, build, x, seed, mask);
    compute(&b, plain, with_copies, x, seed, mask);
    compute(&c, blocks, build, x, seed, mask);
    size_t x_count = a.point.x, weights = a.point.weights;
    check_outputs(&c, &a);
    check_outputs(&c, &b);
    assert_memory_equal(c.point.gradient, b.point.gradient, (x_count + weights) * sizeof(float));
    double off = net_distance(c.point.gradient, a.point.gradient, x_count),
           off_weights = net_distance(c.point.gradient + x_count, a.point.gradient + x_count, weights);
    if (!(off < REGROUPED && off_weights < REGROUPED))
        fail_msg("graph %d: the gradients differ by %.1e at x, %.1e at the weights", (int)seed, off,
                 off_weights);
    int count = reorders(&c.net, false) + reorders(&c.net, true);
    assert_int_equal(sb_plan_turns(c.net.plan), sb_plan_turns(b.net.plan));
    assert_int_equal(count, reorders(&b.net, false) + reorders(&b.net, true));
    if (count == 0)
        assert_memory_equal(c.point.gradient, a.point.gradient, (x_count + weights) * sizeof(float));
    check_promise(&c.net, mask);
    forget(&a);
    forget(&b);
    forget(&c);
    return count;
}

/* ---- graphs -------------------------------------------------------------------------------------------- */

/* Everything wishes the same. */
static void wish_all(int block)
{
    for (int op = 0; op < SB_OPS; op++)
        blocks_wishes[op] = (blocks_wish){ { block, block, block }, block };
    blocks_wishes[SB_OP_REORDER] = (blocks_wish){ { 0 }, 0 };
}

/* A fourth of the operations wishes rows, a fourth takes what comes, the others something of each tensor. */
static void wish_anything(uint64_t seed)
{
    static const int layouts[] = { 0, 8, 16, BLOCKS_AS_FIRST };
    sb_random random;
    sb_random_init(&random, seed, SB_RANDOM_WEIGHTS, 6, 0, 0);
    for (int op = 0; op < SB_OPS; op++) {
        blocks_wish *w = &blocks_wishes[op];
        uint32_t kind = sb_random_below(&random, 4);
        for (int k = 0; k < SB_INPUTS_MAX; k++)
            w->x[k] = kind == 0 ? 0 : kind == 1 ? BLOCKS_AS_FIRST : layouts[sb_random_below(&random, 4)];
        w->y = kind == 0 ? 0 : kind == 1 ? BLOCKS_AS_FIRST : layouts[sb_random_below(&random, 4)];
    }
}

/* As an encoder with a head: what backward reads of it is inputs, outputs, and what is kept beside them. */
static sb_t encoder(sb_graph *g, sb_t x, sb_random *random)
{
    (void)random;
    sb_t t = sb_conv(g, x, "conv1", .out = 19, .kernel = 3, .stride = 2, .pad = 1);
    t = sb_maxpool(g, sb_batchnorm(g, t, SB_NONE, "bn1", .relu = true));
    sb_t h = sb_conv(g, t, "conv2", .out = 19, .kernel = 3, .stride = 1, .pad = 1);
    t = sb_avgpool(g, sb_batchnorm(g, h, t, "bn2", .relu = true));
    t = sb_unit_rows(g, sb_linear(g, t, "fc", .out = 10, .bias = true));
    sb_t pairs = sb_product(g, t, sb_stop(t), .form = SB_PRODUCT_COLUMNS, .scale = 3);
    return sb_combine(g, graph_finish(g, pairs), sb_mean(g, sb_row_dot(g, t, t)), .alpha = 1, .beta = 2);
}

/* Outputs: one that is read on, with a gradient; one without; the loss. */
static sb_t outputs(sb_graph *g, sb_t x, sb_random *random)
{
    (void)random;
    sb_t t = sb_output(g, sb_conv(g, x, "a", .out = 9, .kernel = 3, .stride = 1, .pad = 1), true);
    sb_t u = sb_output(g, sb_batchnorm(g, t, t, "norm", .relu = true), false);
    sb_output(g, sb_softplus(g, u), true); /* not read on */
    return graph_finish(g, sb_avgpool(g, sb_combine(g, t, u, .alpha = 1, .beta = 2)));
}

static void test_graphs(void **state)
{
    (void)state;
    static const struct {
        net_builder build;
        sb_shape x;
    } graphs[] = {
        { graph_three_readers, { 3, 5, 5, 4, SB_F32 } }, { graph_read_twice, { 2, 5, 5, 4, SB_F32 } },
        { graph_chain, { 5, 1, 1, 8, SB_F32 } },         { graph_unread, { 5, 1, 1, 8, SB_F32 } },
        { graph_stopped, { 3, 1, 1, 4, SB_F32 } },       { graph_standardised, { 9, 1, 1, 6, SB_F32 } },
        { encoder, { 4, 13, 11, 3, SB_F32 } },           { outputs, { 3, 4, 5, 3, SB_F32 } }
    };
    for (size_t i = 0; i < sizeof graphs / sizeof *graphs; i++)
        for (uint64_t seed = 1; seed <= 24; seed++) {
            wish_anything(seed);
            compare(graphs[i].build, graphs[i].x, seed, seed % 2 ? seed : 0);
        }
}

static void test_random(void **state)
{
    (void)state;
    int converted = 0;
    for (uint64_t seed = 1; seed <= GRAPHS; seed++) {
        wish_anything(seed);
        converted += compare(graph_anything, (sb_shape){ 3, 6, 6, 3, SB_F32 }, seed, 0) > 0;
        compare(graph_anything, (sb_shape){ 3, 6, 6, 3, SB_F32 }, seed, seed);
    }
    assert_true(converted > GRAPHS * 3 / 4);
}

/* ---- how many conversions there are -------------------------------------------------------------------- */

/* conv makes t in blocks of 8, and one reader of t wants those, two rows, one blocks of 16. */
static sb_t small(sb_graph *g, sb_t x, sb_random *random)
{
    (void)random;
    sb_t t = sb_conv(g, x, "conv", .out = 11, .kernel = 1, .stride = 1); /* x to 8 */
    sb_t a = sb_batchnorm(g, t, SB_NONE, "norm", .relu = false);
    sb_t b = sb_softplus(g, t);                          /* t to rows */
    sb_t c = sb_combine(g, a, t, .alpha = 1, .beta = 2); /* a to rows; t is there */
    sb_t d = sb_avgpool(g, t);                           /* t to 16 */
    return sb_combine(g, sb_combine(g, sb_mean(g, b), sb_mean(g, c), .alpha = 1, .beta = 1), sb_mean(g, d),
                      .alpha = 1, .beta = 1);
}

static void check_count(net_builder build, int again, int forth, int back)
{
    const sb_shape x = { 3, 5, 5, 3, SB_F32 };
    bool mask[SB_NODES_MAX] = { false };
    net n;
    if (again >= 0)
        mask[again] = true;
    net_build(&n, blocks, build, x, 1);
    net_plan(&n, mask);
    assert_int_equal(reorders(&n, false), forth);
    assert_int_equal(reorders(&n, true), back);
    net_tear_down(&n);
}

static void test_counts(void **state)
{
    (void)state;
    wish_all(0);
    check_count(small, -1, 0, 0);
    wish_all(BLOCKS_AS_FIRST);
    check_count(small, -1, 0, 0);
    wish_all(8); /* of x and of the loss alone */
    check_count(small, -1, 2, 2);
    wish_all(0);
    blocks_wishes[SB_OP_CONV] = blocks_wishes[SB_OP_BATCHNORM] = (blocks_wish){ { 8, 8 }, 8 };
    blocks_wishes[SB_OP_AVGPOOL] = (blocks_wish){ { 16 }, 0 };
    check_count(small, -1, 4, 4);
    compare(small, (sb_shape){ 3, 5, 5, 3, SB_F32 }, 1, 0);
    /* Made again, t is converted again for softplus, which reads it once more, and for no other. */
    check_count(small, 1, 4, 5);
}

/* ---- what is refused ----------------------------------------------------------------------------------- */

static sb_t conv_alone(sb_graph *g, sb_t x, sb_random *random)
{
    (void)random;
    return sb_conv(g, x, "conv", .out = 8, .kernel = 1, .stride = 1);
}

static void check_refused(sb_shape nominal, sb_shape x, const char *what)
{
    net n;
    sb_plan_bytes bytes;
    net_build(&n, blocks, conv_alone, nominal, 1);
    assert_int_equal(sb_plan_size(&bytes, n.graph, &x, &(sb_plan_options){ 0 }), -1);
    if (!strstr(sb_error(), what))
        fail_msg("%s", sb_error());
    net_tear_down(&n);
}

static void test_refused(void **state)
{
    (void)state;
    const sb_shape x = { 3, 5, 5, 3, SB_F32 };
    sb_shape in_blocks = x;
    in_blocks.block = 8;
    wish_all(0);
    check_refused(x, in_blocks, "x: in blocks of 8 channels");
    blocks_wishes[SB_OP_CONV] = (blocks_wish){ { 0 }, 24 };
    check_refused(x, x, "conv: conv in blocks of 0, 0 and 0 channels to 24");
    /* In a graph tensors lie in rows. */
    net n;
    net_build(&n, blocks, conv_alone, x, 1);
    sb_t t = sb_apply(n.graph, SB_OP_REORDER, (const sb_t[SB_INPUTS_MAX]){ 1, SB_NONE, SB_NONE }, "to blocks",
                      0, &(sb_reorder_how){ 8 }, sizeof(sb_reorder_how));
    assert_int_equal(sb_softplus(n.graph, t), SB_FAILED);
    assert_non_null(strstr(sb_error(), "softplus of a tensor in blocks of 8 channels: it takes rows"));
    net_tear_down(&n);
}

int main(void)
{
    if (rows_device(&plain, THREADS) != 0 || blocks_device(&blocks, THREADS) != 0) {
        fprintf(stderr, "%s\n", sb_error());
        return 1;
    }
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_counts), cmocka_unit_test(test_graphs),
                                        cmocka_unit_test(test_random), cmocka_unit_test(test_refused) };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sb_device_close(&plain);
    sb_device_close(&blocks);
    return failed;
}
