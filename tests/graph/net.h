/* net.h: a graph with its weights, its plan and its memory on a device, for checks of what it computes; and
 * graphs to check. Each has one leaf, x, and a loss, which is its last output. What fails fails the running
 * test of cmocka's. */
#ifndef SB_TESTS_GRAPH_NET_H
#define SB_TESTS_GRAPH_NET_H

#include "proto/random.h"
#include "trainer/graph/plan.h"

typedef sb_t (*net_builder)(sb_graph *g, sb_t x, sb_random *random); /* returns the loss */

typedef struct {
    sb_device *device;
    sb_store store;
    sb_graph *graph;
    sb_section section;
    sb_plan *plan;
    sb_shape x;
    uint64_t seed;
    void *arena, *packed, *leaf, *gradient;
    void *incoming; /* the gradients at the outputs: 1 at the loss, drawn at others */
} net;

/* The graph alone; what is made again, a bit for each of its nodes, drawn from `again` (0: nothing is);
 * weights, plan and memory for it. All three at once. */
void net_build(net *n, sb_device *on, net_builder build, sb_shape x, uint64_t seed);
void net_draw_again(const net *n, uint64_t again, bool *mask);
void net_plan(net *n, const bool *again);
void net_set_up(net *n, sb_device *on, net_builder build, sb_shape x, uint64_t seed, uint64_t again);
void net_tear_down(net *n);

void net_good(int rc);
void net_allocate(net *n, size_t bytes, void **out);
void net_put(net *n, void *to, const float *from, size_t count);
void net_fetch(net *n, const void *from, float *to, size_t count);
sb_feed net_feed(const net *n);

/* x, weights, and both gradients, one behind the other. */
typedef struct {
    size_t x, weights;
    float *value, *gradient;
} net_point;

/* x drawn from `seed`, the weights as they are. */
net_point net_point_of(net *n, uint64_t seed);
void net_point_free(net_point *p);
void net_move_to(net *n, const net_point *p, const float *value);

/* The loss where the net is; and, at p, with the gradients there. */
double net_loss(net *n);
double net_differentiate(net *n, net_point *p);

/* |a - b| / |b|. */
double net_distance(const float *a, const float *b, size_t count);

/* A smooth scalar of any f32 rows. */
sb_t graph_finish(sb_graph *g, sb_t t);

sb_t graph_three_readers(sb_graph *g, sb_t x, sb_random *random);
sb_t graph_read_twice(sb_graph *g, sb_t x, sb_random *random); /* as both inputs of a node */
sb_t graph_chain(sb_graph *g, sb_t x, sb_random *random);      /* of 300 nodes */
sb_t graph_unread(sb_graph *g, sb_t x, sb_random *random);     /* "nobody" is a node that nothing reads */

/* Through sb_stop no gradient goes: the loss of t and of a stopped copy. */
sb_t graph_stopped(sb_graph *g, sb_t x, sb_random *random);

/* The correlation of standardised columns with each other, behind a norm that gathers. */
#define GRAPH_NORMED 8
sb_t graph_standardised(sb_graph *g, sb_t x, sb_random *random);

/* Norms one behind the other, and one with a residual behind another; with `relu`, what the last one makes is
 * an output, too. */
sb_t graph_norms(sb_graph *g, sb_t x, sb_random *random);
sb_t graph_residual(sb_graph *g, sb_t x, sb_random *random);
sb_t graph_residual_relu(sb_graph *g, sb_t x, sb_random *random);

/* Convolutions, norms with and without a residual and without weights, and sums over tensors of one shape,
 * each of any that came before. */
sb_t graph_anything(sb_graph *g, sb_t x, sb_random *random);

#endif
