/* network.h: a network as a list of nodes over tensors, planned for one shape and run forward and backward on a device.
 *
 * DESIGN. An encoder file (encoders/NAME.c) adds nodes; nodes are stored in the order they were added, which is the order they run in.
 * Parameters have torchvision's names and live in one flat table (sb_parameters) that the network does not own: several plans (a
 * chunk of 32 views of 224, a chunk of 8 of 96, an evaluator's batch of 1) share one table. Planning walks the list, knows
 * every size and every tensor's life, and lays all activations and gradients into one arena; nothing is allocated afterwards. A tensor may
 * have two consumers (a residual branch): their gradients are added by the producer's backward (device.h: dy_more). */
#ifndef SB_TRAINER_NETWORK_H
#define SB_TRAINER_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/device.h"
#include "proto/config.h"

/* ---- parameters ---------------------------------------------------------------------------------------------------------- */

typedef enum { SB_PARAM_CONV, SB_PARAM_LINEAR, SB_PARAM_BIAS, SB_PARAM_GAMMA, SB_PARAM_BETA } sb_param_kind;

typedef struct {
    char name[128]; /* "layer1.0.conv1.weight", "projector.0.weight" */
    sb_param_kind kind;
    int dims;
    int64_t shape[4];
    size_t offset, count; /* floats in the flat arrays */
} sb_param;

/* Batch norm's running statistics: not parameters, not optimised. */
typedef struct {
    char name[120]; /* "bn1": running_mean and running_var follow */
    int channels;
    size_t offset; /* floats in the flat statistics array: mean [channels], variance [channels] */
} sb_statistic;

typedef struct {
    sb_device *device;
    sb_param *params;
    int param_count;
    sb_statistic *statistics;
    int statistic_count;
    size_t floats, statistic_floats;
    /* Device memory, [floats] each; gradient and statistics zeroed; NULL before sb_parameters_allocate. */
    float *weight, *gradient;
    float *running; /* [statistic_floats] */
} sb_parameters;

void sb_parameters_init(sb_parameters *parameters, sb_device *device);
int sb_parameters_add(sb_parameters *parameters, const char *name, sb_param_kind kind, int dims, const int64_t *shape); /* index, or -1 */
int sb_parameters_add_statistic(sb_parameters *parameters, const char *name, int channels);                             /* index, or -1 */
/* Allocates weight (and gradient if `training`) and initialises from `seed`: convolutions Kaiming normal (fan-out, ReLU; torchvision),
 * linear Kaiming normal (fan-in), gamma 1, beta and bias 0; running mean 0, variance 1. Parameter i draws from stream (WEIGHTS, i). */
int sb_parameters_allocate(sb_parameters *parameters, bool training, uint64_t seed);
void sb_parameters_free(sb_parameters *parameters);

/* ---- description ---------------------------------------------------------------------------------------------------------- */

typedef struct sb_network sb_network;

/* A network for inputs of `channels` channels. Nodes add their parameters to `parameters` (indices are shared by all plans). */
int sb_network_create(sb_network **out, sb_parameters *parameters, int channels);
void sb_network_destroy(sb_network **network);

/* Nodes; tensor 0 is the input. Each returns its output tensor, or -1. `name` is the parameter's prefix ("layer1.0.conv1"). */
int sb_network_conv(sb_network *network, int x, int out, int kernel, int stride, int pad, const char *name);
int sb_network_norm(sb_network *network, int x, int residual /* -1: none */, bool relu, const char *name);
int sb_network_maxpool(sb_network *network, int x);
int sb_network_avgpool(sb_network *network, int x); /* last: features f32 [n, width] */
int sb_network_width(const sb_network *network);    /* channels of the last tensor */

/* Adds the configured encoder's nodes (encoders/resnet.c). */
int sb_encoder_build(sb_network *network, const sb_config *config);

/* ---- plan ----------------------------------------------------------------------------------------------------------------- */

typedef struct sb_plan sb_plan;

/* Plans for n inputs of side x side. training: keeps activations for backward. Weights are packed by sb_plan_pack. The arena is not
 * taken yet: sb_plan_bytes says how much it needs, so that several plans may share one (used one after the other). */
int sb_plan_create(sb_plan **out, sb_network *network, int n, int side, sb_type type, bool training);
void sb_plan_destroy(sb_plan **plan);
size_t sb_plan_bytes(const sb_plan *plan);         /* arena: activations, gradients, scratch */
size_t sb_plan_packed_bytes(const sb_plan *plan);  /* packed weights: its own, must persist between pack and use */
int sb_plan_bind(sb_plan *plan, void *arena, void *packed);
int sb_plan_pack(sb_plan *plan); /* after every change of the weights */

/* pixels: device memory, 8-bit [n, side, side, channels]. features: f32 [n, width]. The statistics of every norm of this
 * pass go to `batch_statistics` [statistic_floats] (device, laid out like parameters->running) if not NULL. */
int sb_plan_forward(sb_plan *plan, const uint8_t *pixels, float *features, float *batch_statistics);
/* As evaluation: running statistics, nothing kept. */
int sb_plan_infer(sb_plan *plan, const uint8_t *pixels, float *features);
/* After sb_plan_forward of the same pixels: adds to parameters->gradient. */
int sb_plan_backward(sb_plan *plan, const float *dfeatures);

/* running [statistic_floats] <- batch statistics of one pass with n inputs of side x side (momentum 0.1; the unbiased variance needs
 * the row counts). */
int sb_plan_update_running(sb_plan *plan, const float *batch_statistics, float *running);

#endif
