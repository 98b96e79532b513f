/* graph.h: how a network is stored. Private to network.c (description) and plan.c (execution). */
#ifndef SB_TRAINER_GRAPH_H
#define SB_TRAINER_GRAPH_H

#include "trainer/network.h"

#define SB_NODES_MAX 512
#define SB_NORM_EPSILON 1e-5f
#define SB_NORM_MOMENTUM 0.1f

typedef enum { SB_NODE_CONV, SB_NODE_NORM, SB_NODE_MAXPOOL, SB_NODE_AVGPOOL } sb_node_kind;

/* Node i makes tensor i + 1; tensor 0 is the input. */
typedef struct {
    sb_node_kind kind;
    int x, residual; /* tensors; residual -1: none */
    int channels;    /* of what it makes */
    int kernel, stride, pad;
    bool relu;
    int weight, gamma, beta, statistic; /* indices in the parameter table */
} sb_node;

struct sb_network {
    sb_parameters *parameters;
    int channels; /* of the input */
    sb_node nodes[SB_NODES_MAX];
    int node_count;
    int consumers[SB_NODES_MAX + 1]; /* of each tensor: at most two */
};

#endif
