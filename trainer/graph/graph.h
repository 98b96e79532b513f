/* graph.h: a computation as a list of nodes over tensors. Encoders, heads and losses are built with the same
 * functions.
 *
 * DESIGN. A leaf is what comes from outside (pixels, features); a node is an operation (kernels/op.h) on
 * tensors before it. A graph is built once, for leaves of nominal shapes, whose channels decide the sides of
 * its weights; a plan (plan.h) takes it for other numbers of rows and other sizes. Nodes run in the order in
 * which they were added. A tensor may be read by any number of nodes. Outputs are the tensors that are asked
 * for; a node that no output needs is never run.
 *
 *     sb_t h = sb_conv(g, x, "conv1", .out = 64, .kernel = 7, .stride = 2, .pad = 3);
 *     h = sb_batchnorm(g, h, SB_NONE, "bn1", .relu = true);
 *
 * A builder returns its tensor, or SB_FAILED. A builder that is given SB_FAILED returns it, too, so only the
 * last result has to be looked at. */
#ifndef SB_TRAINER_GRAPH_H
#define SB_TRAINER_GRAPH_H

#include "trainer/graph/store.h"

#define SB_NODES_MAX 1024
#define SB_LEAVES_MAX 32
#define SB_OUTPUTS_MAX 32
#define SB_HOW_MAX 96 /* bytes of an operation's `how` */

typedef int sb_t;
enum { SB_FAILED = -1, SB_NONE = -2, SB_STOPPED = 1 << 24 }; /* SB_NONE: an optional input that is left out */

/* A leaf, or the node that makes a tensor: tensor t is node t, and t + SB_STOPPED the same without a
 * gradient. */
typedef struct {
    bool leaf;
    sb_op_id op;
    sb_t x[SB_INPUTS_MAX];       /* SB_NONE: left out */
    bool stopped[SB_INPUTS_MAX]; /* no gradient goes back to x[i] */
    int w[SB_WEIGHTS_MAX];       /* entries of the store; -1: none */
    sb_shape nominal;            /* of what it makes */
    bool gradient; /* a leaf: its gradient is wanted. A node: it depends on a weight or on such a leaf */
    bool block;    /* a block's output: what a scope ended with (sb_leave) */
    char name[SB_ENTRY_NAME]; /* for errors */
    _Alignas(16) unsigned char how[SB_HOW_MAX];
} sb_node;

typedef struct {
    sb_store *store;
    sb_node *nodes; /* [SB_NODES_MAX] */
    int count;
    sb_t leaves[SB_LEAVES_MAX], outputs[SB_OUTPUTS_MAX];
    bool given_gradient[SB_OUTPUTS_MAX]; /* the caller gives a gradient at this output */
    int leaf_count, output_count;
    char scope[SB_ENTRY_NAME]; /* stands before names: "layer1.0." */
} sb_graph;

int sb_graph_create(sb_graph **out, sb_store *store);
void sb_graph_destroy(sb_graph **graph);

/* What comes from outside; its index among the leaves is the order of these calls. */
sb_t sb_leaf(sb_graph *graph, const char *name, sb_shape nominal, bool gradient);

/* Makes t an output: its value stays until the next forward pass. given_gradient: the caller
 * gives the gradient at it before the way back. Returns t. */
sb_t sb_output(sb_graph *graph, sb_t t, bool given_gradient);

/* The same tensor, through which no gradient goes back. */
sb_t sb_stop(sb_t t);

/* Names of weights begin with "SCOPE." from here to sb_leave, which returns t. Scopes do not nest. */
void sb_scope(sb_graph *graph, const char *format, ...) __attribute__((format(printf, 2, 3)));
sb_t sb_leave(sb_graph *graph, sb_t t);

/* Any operation. name: of its weights ("conv1": conv1.weight; "" in a scope: SCOPE.weight, elsewhere weight),
 * and for errors. without: a bit for each weight that is left out. */
sb_t sb_apply(sb_graph *graph, sb_op_id op, const sb_t x[SB_INPUTS_MAX], const char *name, unsigned without,
              const void *how, size_t how_bytes);

/* Weight k of the node that makes t, to set what its entry says (store.h); NULL: there is none, or t is
 * SB_FAILED. */
sb_entry *sb_weight_of(sb_graph *graph, sb_t t, int k);

/* The shape of node or leaf t where the leaves have these shapes [leaf_count]. 0; -1. */
int sb_graph_shape(const sb_graph *graph, const sb_shape *leaves, sb_t t, sb_shape *out);

/* The nominal shape of a tensor (its channels hold for every plan); zeros after a failure. */
static inline sb_shape sb_shape_of(const sb_graph *graph, sb_t t)
{
    const sb_shape none = { 0 };
    return t < 0 ? none : graph->nodes[t % SB_STOPPED].nominal;
}

#endif
