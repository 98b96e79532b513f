/* network.c: describes a network, node by node (network.h). */
#include <stdio.h>
#include <stdlib.h>

#include "proto/error.h"
#include "trainer/graph.h"

int sb_network_create(sb_network **out, sb_parameters *parameters, int channels)
{
    sb_network *n = calloc(1, sizeof *n);
    if (!n)
        return sb_fail("out of memory");
    n->parameters = parameters;
    n->channels = channels;
    *out = n;
    return 0;
}

void sb_network_destroy(sb_network **network)
{
    free(*network);
    *network = NULL;
}

static int channels_of(const sb_network *n, int tensor)
{
    return tensor == 0 ? n->channels : n->nodes[tensor - 1].channels;
}

/* Adds the node and returns its tensor. */
static int add(sb_network *n, const sb_node *node)
{
    if (n->node_count == SB_NODES_MAX)
        return sb_fail("a network has at most %d nodes", SB_NODES_MAX);
    int inputs[2] = { node->x, node->residual };
    for (int i = 0; i < 2; i++) {
        if (inputs[i] == -1 && i == 1)
            continue;
        if (inputs[i] < 0 || inputs[i] > n->node_count || ++n->consumers[inputs[i]] > 2)
            return sb_fail("tensor %d does not exist, or has more than two consumers", inputs[i]);
    }
    n->nodes[n->node_count++] = *node;
    return n->node_count;
}

static int name_part(char *out, size_t bytes, const char *name, const char *part)
{
    return snprintf(out, bytes, "%s.%s", name, part) < (int)bytes ? 0 : sb_fail("parameter name %s.%s is too long", name, part);
}

int sb_network_conv(sb_network *n, int x, int out, int kernel, int stride, int pad, const char *name)
{
    char full[128];
    if (x < 0 || name_part(full, sizeof full, name, "weight") != 0)
        return -1;
    int64_t shape[4] = { out, channels_of(n, x), kernel, kernel };
    sb_node node = { .kind = SB_NODE_CONV, .x = x, .residual = -1, .channels = out, .kernel = kernel, .stride = stride, .pad = pad };
    node.weight = sb_parameters_add(n->parameters, full, SB_PARAM_CONV, 4, shape);
    return node.weight < 0 ? -1 : add(n, &node);
}

int sb_network_norm(sb_network *n, int x, int residual, bool relu, const char *name)
{
    char weight[128], bias[128];
    if (x < 0 || name_part(weight, sizeof weight, name, "weight") != 0 || name_part(bias, sizeof bias, name, "bias") != 0)
        return -1;
    int channels = channels_of(n, x);
    if (residual >= 0 && channels_of(n, residual) != channels)
        return sb_fail("%s: %d channels cannot be added to %d", name, channels_of(n, residual), channels);
    int64_t shape[1] = { channels };
    sb_node node = { .kind = SB_NODE_NORM, .x = x, .residual = residual, .channels = channels, .relu = relu };
    node.gamma = sb_parameters_add(n->parameters, weight, SB_PARAM_GAMMA, 1, shape);
    node.beta = sb_parameters_add(n->parameters, bias, SB_PARAM_BETA, 1, shape);
    node.statistic = sb_parameters_add_statistic(n->parameters, name, channels);
    return node.gamma < 0 || node.beta < 0 || node.statistic < 0 ? -1 : add(n, &node);
}

int sb_network_maxpool(sb_network *n, int x)
{
    if (x < 0)
        return -1;
    sb_node node = { .kind = SB_NODE_MAXPOOL, .x = x, .residual = -1, .channels = channels_of(n, x) };
    return add(n, &node);
}

int sb_network_avgpool(sb_network *n, int x)
{
    if (x < 0)
        return -1;
    sb_node node = { .kind = SB_NODE_AVGPOOL, .x = x, .residual = -1, .channels = channels_of(n, x) };
    return add(n, &node);
}

int sb_network_width(const sb_network *n)
{
    return channels_of(n, n->node_count);
}
