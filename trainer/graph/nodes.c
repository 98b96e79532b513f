/* nodes.c: what a plan runs: of a graph's nodes those that its outputs need, in their order, each in the
 * layouts in which the device wants to be called; and where a tensor comes in another layout, in front of the
 * first node that wants it so, a node that converts it, for all of them (plan.h). A conversion is an
 * operation as any: its value, its gradient and its making again follow from that. */
#include <stdlib.h>
#include <string.h>

#include "kernels/op/reorder.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "trainer/graph/plan_private.h"

#define LAYOUTS 3 /* rows, blocks of 8 and of 16, at block / 8 */

/* A tensor of the graph among the plan's nodes. */
typedef struct {
    bool used;       /* an output needs it */
    int made;        /* the node that makes it */
    int in[LAYOUTS]; /* the node from which it is read in each layout; -1: nobody reads it so */
} tensor;

/* A node comes after what it reads. */
static void mark_used(const sb_graph *g, tensor *tensors)
{
    for (int k = 0; k < g->output_count; k++)
        tensors[g->outputs[k]].used = true;
    for (int i = g->count - 1; i >= 0; i--)
        for (int k = 0; k < SB_INPUTS_MAX && tensors[i].used && !g->nodes[i].leaf; k++)
            if (g->nodes[i].x[k] >= 0)
                tensors[g->nodes[i].x[k]].used = true;
}

static int make_room(sb_plan *p, int room)
{
    sb_node *nodes = sb_grown(p->graph.nodes, (size_t)room, sizeof *nodes, "the nodes of a plan");
    p->graph.nodes = nodes ? nodes : p->graph.nodes;
    sb_planned *planned = sb_grown(p->nodes, (size_t)room, sizeof *planned, "the nodes of a plan");
    p->nodes = planned ? planned : p->nodes;
    p->node_room = room;
    return nodes && planned ? 0 : -1;
}

/* Its call's `how` is set when all nodes are there. */
static int add_node(sb_plan *p, const sb_node *node, const sb_call *call, bool again)
{
    int i = p->graph.count;
    if (i == p->node_room && make_room(p, 2 * i) != 0)
        return -1;
    p->graph.nodes[i] = *node;
    p->nodes[i] = (sb_planned){ .again = again, .call = *call };
    p->graph.count++;
    return i;
}

/* Adds the node that makes the tensor. */
static int add_made(sb_plan *p, tensor *t, const sb_node *node, const sb_call *call, bool again)
{
    t->made = add_node(p, node, call, again);
    for (int l = 0; l < LAYOUTS; l++)
        t->in[l] = l == call->ys.block / 8 ? t->made : -1;
    return t->made < 0 ? -1 : 0;
}

/* A node that converts the tensor, as it is made, to this layout. What is made again is converted again. */
static int add_conversion(sb_plan *p, int made, int block)
{
    const sb_reorder_how how = { block };
    sb_node node = { .op = SB_OP_REORDER,
                     .x = { made, SB_NONE, SB_NONE },
                     .w = { -1, -1, -1 },
                     .gradient = p->graph.nodes[made].gradient };
    sb_call call = { .xs = { p->nodes[made].call.ys }, .gradient = { p->training && node.gradient } };
    memcpy(node.name, p->graph.nodes[made].name, sizeof node.name);
    memcpy(node.how, &how, sizeof how);
    if (sb_op_reorder.shape(&how, call.xs, &call.ys) != 0)
        return -1;
    return add_node(p, &node, &call, p->nodes[made].again);
}

/* The node from which the tensor is read in this layout. -1: there is none, and says why. */
static int read_in(sb_plan *p, tensor *t, int block)
{
    int *at = &t->in[block / 8];
    if (*at < 0)
        *at = add_conversion(p, t->made, block);
    return *at;
}

/* Asks the device for the layouts of a call, whose inputs come in blocks of `came`. */
static int ask_layouts(sb_plan *p, sb_op_id op, const int came[SB_INPUTS_MAX], sb_call *c)
{
    if (!p->device->kernels[op]->layout)
        return 0;
    for (int k = 0; k < SB_INPUTS_MAX; k++)
        c->xs[k].block = came[k];
    p->device->kernels[op]->layout(p->device, c);
    bool known = sb_block_known(c->ys.block);
    for (int k = 0; k < SB_INPUTS_MAX; k++)
        known = known && sb_block_known(c->xs[k].block);
    return known ? 0
                 : sb_fail("%s in blocks of %d, %d and %d channels to %d: there are 8, 16 and, for rows, 0",
                           sb_ops[op]->name, c->xs[0].block, c->xs[1].block, c->xs[2].block, c->ys.block);
}

static int add_operation(sb_plan *p, const sb_graph *g, tensor *tensors, int i, bool again)
{
    sb_node node = g->nodes[i];
    sb_call call = { .how = g->nodes[i].how };
    int came[SB_INPUTS_MAX] = { 0 };
    for (int k = 0; k < SB_INPUTS_MAX; k++) {
        if (node.x[k] < 0)
            continue;
        call.xs[k] = p->nodes[tensors[node.x[k]].made].call.ys;
        call.gradient[k] = p->training && g->nodes[node.x[k]].gradient && !node.stopped[k];
        came[k] = call.xs[k].block;
        call.xs[k].block = 0;
    }
    if (sb_op_shape(node.op, node.how, call.xs, &call.ys) != 0 || ask_layouts(p, node.op, came, &call) != 0)
        return -1;
    for (int k = 0; k < SB_INPUTS_MAX; k++) {
        if (node.x[k] < 0)
            continue;
        node.x[k] = read_in(p, &tensors[node.x[k]], call.xs[k].block);
        if (node.x[k] < 0)
            return -1;
    }
    return add_made(p, &tensors[i], &node, &call, again);
}

static int add_leaf(sb_plan *p, const sb_node *leaf, const sb_shape *shape, tensor *t)
{
    if (shape->c != leaf->nominal.c || shape->type != leaf->nominal.type)
        return sb_fail("%s: %d channels of %s, in a graph that was built for %d of %s", leaf->name, shape->c,
                       sb_type_name(shape->type), leaf->nominal.c, sb_type_name(leaf->nominal.type));
    if (shape->block != 0)
        return sb_fail("%s: in blocks of %d channels: what comes from outside lies in rows", leaf->name,
                       shape->block);
    return add_made(p, t, leaf, &(sb_call){ .ys = *shape }, false);
}

int sb_plan_nodes(sb_plan *p, const sb_graph *g, const sb_shape *leaves, const bool *again)
{
    tensor *tensors = sb_zeroed((size_t)g->count, sizeof *tensors, "the tensors of a plan");
    p->graph = *g;
    p->graph.nodes = NULL;
    p->graph.count = 0;
    int rc = tensors && make_room(p, g->count) == 0 ? 0 : -1, leaf = 0;
    if (rc == 0)
        mark_used(g, tensors);
    for (int i = 0; i < g->count && rc == 0; i++) {
        if (g->nodes[i].leaf) {
            rc = add_leaf(p, &g->nodes[i], &leaves[leaf], &tensors[i]);
            p->graph.leaves[leaf++] = tensors[i].made;
        } else if (tensors[i].used && add_operation(p, g, tensors, i, again && again[i]) != 0) {
            rc = sb_context("%s", g->nodes[i].name);
        }
    }
    for (int k = 0; k < g->output_count && rc == 0; k++) { /* read by the caller, in rows */
        p->graph.outputs[k] = read_in(p, &tensors[g->outputs[k]], 0);
        if (p->graph.outputs[k] < 0)
            rc = sb_context("%s", g->nodes[g->outputs[k]].name);
    }
    for (int i = 0; i < p->graph.count; i++) /* which lie where they stay from now on */
        p->nodes[i].call.how = p->graph.nodes[i].how;
    free(tensors);
    return rc;
}
