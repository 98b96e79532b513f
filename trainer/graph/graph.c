/* graph.c: see graph.h. */
#include "trainer/graph/graph.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/memory.h"

int sb_graph_create(sb_graph **out, sb_store *store)
{
    sb_graph *g = sb_zeroed(1, sizeof *g, "a graph");
    if (g)
        g->nodes = sb_zeroed(SB_NODES_MAX, sizeof *g->nodes, "the nodes of a graph");
    if (!g || !g->nodes) {
        free(g);
        return -1;
    }
    g->store = store;
    *out = g;
    return 0;
}

void sb_graph_destroy(sb_graph **graph)
{
    if (*graph)
        free((*graph)->nodes);
    free(*graph);
    *graph = NULL;
}

static sb_t add(sb_graph *g, const sb_node *node)
{
    if (g->count == SB_NODES_MAX)
        return sb_fail("%s: a graph has at most %d nodes", node->name, SB_NODES_MAX);
    g->nodes[g->count] = *node;
    return g->count++;
}

static int name_in_scope(const sb_graph *g, char out[SB_ENTRY_NAME], const char *name)
{
    return snprintf(out, SB_ENTRY_NAME, "%s%s", g->scope, name) < SB_ENTRY_NAME
               ? 0
               : sb_fail("the name %s%s is too long", g->scope, name);
}

sb_t sb_leaf(sb_graph *g, const char *name, sb_shape nominal, bool gradient)
{
    sb_node node = { .leaf = true, .nominal = nominal, .gradient = gradient };
    if (g->leaf_count == SB_LEAVES_MAX)
        return sb_fail("%s: a graph has at most %d leaves", name, SB_LEAVES_MAX);
    if (name_in_scope(g, node.name, name) != 0)
        return SB_FAILED;
    sb_t t = add(g, &node);
    if (t >= 0)
        g->leaves[g->leaf_count++] = t;
    return t;
}

sb_t sb_output(sb_graph *g, sb_t t, bool given_gradient)
{
    if (t == SB_FAILED)
        return SB_FAILED;
    if (t < 0 || t >= g->count || g->nodes[t].leaf)
        return sb_fail("tensor %d is no node's, so it is no output", t);
    if (g->output_count == SB_OUTPUTS_MAX)
        return sb_fail("a graph has at most %d outputs", SB_OUTPUTS_MAX);
    for (int k = 0; k < g->output_count; k++)
        if (g->outputs[k] == t)
            return sb_fail("%s is an output already", g->nodes[t].name);
    g->given_gradient[g->output_count] = given_gradient;
    g->outputs[g->output_count++] = t;
    return t;
}

sb_t sb_stop(sb_t t) { return t < 0 || t >= SB_STOPPED ? t : t + SB_STOPPED; }

void sb_scope(sb_graph *g, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int used = vsnprintf(g->scope, sizeof g->scope - 1, format, arguments);
    va_end(arguments);
    /* One that was cut still fills its room, so that no name fits behind it: name_in_scope says so. */
    size_t length = used > 0 && (size_t)used < sizeof g->scope - 1 ? (size_t)used : sizeof g->scope - 2;
    g->scope[length] = '.';
    g->scope[length + 1] = '\0';
}

sb_t sb_leave(sb_graph *g, sb_t t)
{
    g->scope[0] = '\0';
    if (t >= 0 && t < g->count)
        g->nodes[t].block = true;
    return t;
}

sb_entry *sb_weight_of(sb_graph *g, sb_t t, int k)
{
    const sb_node *n = t < 0 ? NULL : &g->nodes[t % SB_STOPPED];
    return !n || n->leaf || n->w[k] < 0 ? NULL : &g->store->entries[n->w[k]];
}

int sb_graph_shape(const sb_graph *g, const sb_shape *leaves, sb_t t, sb_shape *out)
{
    sb_shape *shapes = sb_zeroed((size_t)g->count, sizeof *shapes, "the shapes of a graph");
    int rc = shapes ? 0 : -1, leaf = 0;
    for (int i = 0; i <= t && rc == 0; i++) {
        const sb_node *n = &g->nodes[i];
        sb_shape xs[SB_INPUTS_MAX] = { 0 };
        for (int k = 0; k < SB_INPUTS_MAX && !n->leaf; k++)
            if (n->x[k] >= 0)
                xs[k] = shapes[n->x[k]];
        if (n->leaf)
            shapes[i] = leaves[leaf++];
        else if (sb_op_shape(n->op, n->how, xs, &shapes[i]) != 0)
            rc = sb_context("%s", n->name);
    }
    if (rc == 0)
        *out = shapes[t];
    free(shapes);
    return rc;
}

/* A node without a name of its own: its weights have its scope's before theirs ("layer1.0.gamma"), or none
 * ("pos_embed"). */
static bool name_is_scope(const char *name)
{
    const size_t length = strlen(name);
    return length == 0 || name[length - 1] == '.';
}

/* Finds or adds the entry of each of the node's weights. */
static int add_weights(sb_graph *g, sb_node *node, const sb_shape *xs, unsigned without)
{
    const sb_op *op = sb_ops[node->op];
    sb_extent w[SB_WEIGHTS_MAX] = { 0 };
    if (op->weights)
        op->weights(node->how, xs, w);
    for (int i = 0; i < SB_WEIGHTS_MAX; i++) {
        node->w[i] = -1;
        if (w[i].dims == 0 || without >> i & 1)
            continue;
        char name[SB_ENTRY_NAME];
        const bool gathered = w[i].init == SB_INIT_STATISTIC, scope_alone = name_is_scope(node->name);
        if (snprintf(name, sizeof name, "%s%s%s", node->name, gathered || scope_alone ? "" : ".",
                     gathered ? "" : w[i].name) >= (int)sizeof name)
            return sb_fail("the name %s is too long for a weight", node->name);
        node->w[i] = sb_store_add(g->store, name, gathered ? SB_ENTRY_STATISTIC : SB_ENTRY_WEIGHT, &w[i]);
        if (node->w[i] < 0)
            return -1;
        node->gradient = node->gradient || !gathered;
    }
    return 0;
}

sb_t sb_apply(sb_graph *g, sb_op_id id, const sb_t x[SB_INPUTS_MAX], const char *name, unsigned without,
              const void *how, size_t how_bytes)
{
    const sb_op *op = sb_ops[id];
    sb_node node = { .op = id };
    sb_shape xs[SB_INPUTS_MAX] = { 0 };
    if (!op->shape)
        return sb_fail("%s: %s is no operation of a graph", name, op->name);
    if (how_bytes > SB_HOW_MAX)
        return sb_fail("%s: %s is told %zu bytes of `how`, and %d is the most", name, op->name, how_bytes,
                       SB_HOW_MAX);
    if (how_bytes > 0)
        memcpy(node.how, how, how_bytes);
    for (int i = 0; i < SB_INPUTS_MAX; i++) {
        node.x[i] = i < op->inputs ? x[i] : SB_NONE;
        if (node.x[i] == SB_FAILED)
            return SB_FAILED;
        node.stopped[i] = node.x[i] >= SB_STOPPED;
        node.x[i] -= node.stopped[i] ? SB_STOPPED : 0;
        if (node.x[i] >= g->count || (node.x[i] == SB_NONE && i == 0))
            return sb_fail("%s: there is no tensor %d", name, node.x[i]);
        if (node.x[i] == SB_NONE)
            continue;
        xs[i] = g->nodes[node.x[i]].nominal;
        node.gradient = node.gradient || (g->nodes[node.x[i]].gradient && !node.stopped[i]);
    }
    if (name_in_scope(g, node.name, name) != 0)
        return SB_FAILED;
    if (sb_op_shape(id, node.how, xs, &node.nominal) != 0)
        return sb_context("%s", node.name);
    if (add_weights(g, &node, xs, without) != 0)
        return sb_context("%s", node.name);
    node.gradient = node.gradient && op->keeps;
    return add(g, &node);
}
