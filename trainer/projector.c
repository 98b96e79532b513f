/* projector.c: see projector.h. All f32: the head is small beside the backbone. */
#include "trainer/projector.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/error.h"

#define LAYERS_MAX 8
#define EPSILON 1e-5f
#define MOMENTUM 0.1f

typedef struct {
    int in, out;
    int weight, bias;           /* parameters; bias -1: none */
    int gamma, beta, statistic; /* -1: no norm; beta -1: no shift */
    bool relu;
    float *linear, *y; /* [rows, out]: before and after the norm (the same where there is none) */
} layer;

struct sb_projector {
    sb_parameters *parameters;
    sb_device *device;
    int rows, layer_count;
    layer layers[LAYERS_MAX];
    int widest;
    float *gradient[2]; /* [rows, widest] */
    float *statistics;  /* [statistic_floats] of the last forward */
    void *scratch;
};

static sb_norm_shape norm_shape(const sb_projector *p, const layer *l)
{
    return (sb_norm_shape){ .rows = p->rows, .channels = l->out, .type = SB_F32, .relu = l->relu, .epsilon = EPSILON };
}

/* Names count as torch.nn.Sequential's: linear, norm, ReLU each take a number. */
static int add_layer(sb_projector *p, const sb_config *config, int in, bool last, int *number)
{
    char name[64];
    layer *l = &p->layers[p->layer_count++];
    int hidden = config->projector.hidden > 0 ? config->projector.hidden : p->layers[0].in;
    bool norm = !last || config->projector.last_norm;
    *l = (layer){ .in = in, .out = last ? config->projector.out : hidden, .bias = -1, .gamma = -1, .beta = -1, .statistic = -1,
                  .relu = !last };
    int64_t shape[2] = { l->out, l->in };
    snprintf(name, sizeof name, "projector.%d.weight", *number);
    l->weight = sb_parameters_add(p->parameters, name, SB_PARAM_LINEAR, 2, shape);
    if (!norm) {
        snprintf(name, sizeof name, "projector.%d.bias", *number);
        l->bias = sb_parameters_add(p->parameters, name, SB_PARAM_BIAS, 1, shape);
        return l->weight < 0 || l->bias < 0 ? -1 : 0;
    }
    int at = *number + 1;
    snprintf(name, sizeof name, "projector.%d.weight", at);
    l->gamma = sb_parameters_add(p->parameters, name, SB_PARAM_GAMMA, 1, shape);
    if (!last) {
        snprintf(name, sizeof name, "projector.%d.bias", at);
        l->beta = sb_parameters_add(p->parameters, name, SB_PARAM_BETA, 1, shape);
    }
    snprintf(name, sizeof name, "projector.%d", at);
    l->statistic = sb_parameters_add_statistic(p->parameters, name, l->out);
    *number += 3;
    return l->weight < 0 || l->gamma < 0 || (!last && l->beta < 0) || l->statistic < 0 ? -1 : 0;
}

int sb_projector_create(sb_projector **out, sb_parameters *parameters, const sb_config *config, int in, int rows)
{
    if (config->projector.layers < 1 || config->projector.layers > LAYERS_MAX)
        return sb_fail("projector.layers = %d: must be 1 to %d", config->projector.layers, LAYERS_MAX);
    sb_projector *p = calloc(1, sizeof *p);
    if (!p)
        return sb_fail("out of memory");
    *p = (sb_projector){ .parameters = parameters, .device = parameters->device, .rows = rows, .widest = in };
    p->layers[0].in = in;
    int number = 0;
    for (int i = 0; i < config->projector.layers; i++) {
        if (add_layer(p, config, in, i == config->projector.layers - 1, &number) != 0) {
            free(p);
            return -1;
        }
        in = p->layers[i].out;
        p->widest = in > p->widest ? in : p->widest;
    }
    *out = p;
    return 0;
}

void sb_projector_destroy(sb_projector **projector)
{
    free(*projector);
    *projector = NULL;
}

/* Walks the memory: sizes it where base is NULL, hands it out otherwise. */
static size_t lay_out(sb_projector *p, char *base)
{
    size_t used = 0, scratch = 0, rows = (size_t)p->rows;
#define TAKE(pointer, bytes) ((pointer) = (void *)(base ? base + used : NULL), used += ((bytes) + 63) / 64 * 64)
    for (int i = 0; i < p->layer_count; i++) {
        layer *l = &p->layers[i];
        sb_norm_shape shape = norm_shape(p, l);
        size_t need = p->device->norm_scratch(p->device, &shape);
        scratch = need > scratch ? need : scratch;
        TAKE(l->linear, rows * (size_t)l->out * sizeof(float));
        if (l->gamma >= 0)
            TAKE(l->y, rows * (size_t)l->out * sizeof(float));
        else
            l->y = l->linear;
    }
    for (int i = 0; i < 2; i++)
        TAKE(p->gradient[i], rows * (size_t)p->widest * sizeof(float));
    TAKE(p->statistics, p->parameters->statistic_floats * sizeof(float));
    TAKE(p->scratch, scratch);
#undef TAKE
    return used;
}

size_t sb_projector_bytes(const sb_projector *projector)
{
    sb_projector copy = *projector;
    return lay_out(&copy, NULL);
}

int sb_projector_bind(sb_projector *p, void *memory)
{
    lay_out(p, memory);
    return 0;
}

static float *weight_of(const sb_projector *p, int param)
{
    return param < 0 ? NULL : p->parameters->weight + p->parameters->params[param].offset;
}

static float *gradient_of(const sb_projector *p, int param)
{
    return param < 0 ? NULL : p->parameters->gradient + p->parameters->params[param].offset;
}

static float *mean_of(const sb_projector *p, const layer *l, float *statistics)
{
    return statistics + p->parameters->statistics[l->statistic].offset;
}

int sb_projector_forward(sb_projector *p, const float *x, float **z, float *batch_statistics)
{
    for (int i = 0; i < p->layer_count; i++) {
        layer *l = &p->layers[i];
        if (p->device->matmul(p->device, false, true, p->rows, l->out, l->in, 1, x, weight_of(p, l->weight), 0, l->linear) != 0)
            return -1;
        if (l->bias >= 0 && p->device->bias_add(p->device, p->rows, l->out, weight_of(p, l->bias), l->linear) != 0)
            return -1;
        if (l->gamma >= 0) {
            sb_norm_shape shape = norm_shape(p, l);
            float *mean = mean_of(p, l, p->statistics);
            if (p->device->norm_forward(p->device, &shape, l->linear, NULL, weight_of(p, l->gamma), weight_of(p, l->beta), l->y, mean,
                                        mean + l->out, p->scratch) != 0)
                return -1;
            if (batch_statistics && p->device->copy(p->device, SB_STREAM_COMPUTE, mean_of(p, l, batch_statistics), mean,
                                                    2 * (size_t)l->out * sizeof(float), SB_ON_DEVICE) != 0)
                return -1;
        }
        x = l->y;
    }
    *z = p->layers[p->layer_count - 1].y;
    return 0;
}

int sb_projector_backward(sb_projector *p, const float *x, const float *dz, float *dx)
{
    const float *dy = dz;
    for (int i = p->layer_count - 1; i >= 0; i--) {
        const layer *l = &p->layers[i];
        const float *input = i > 0 ? p->layers[i - 1].y : x;
        if (l->gamma >= 0) {
            sb_norm_shape shape = norm_shape(p, l);
            const float *mean = mean_of(p, l, p->statistics);
            if (p->device->norm_backward(p->device, &shape, l->linear, l->y, dy, NULL, weight_of(p, l->gamma), weight_of(p, l->beta), mean,
                                         mean + l->out, p->gradient[0], NULL, gradient_of(p, l->gamma), gradient_of(p, l->beta), true,
                                         p->scratch) != 0)
                return -1;
            dy = p->gradient[0];
        } else if (p->device->column_sum(p->device, p->rows, l->out, dy, gradient_of(p, l->bias), true) != 0) {
            return -1;
        }
        float *to = i > 0 ? p->gradient[1] : dx;
        if (p->device->matmul(p->device, true, false, l->out, l->in, p->rows, 1, dy, input, 1, gradient_of(p, l->weight)) != 0 ||
            p->device->matmul(p->device, false, false, p->rows, l->in, l->out, 1, dy, weight_of(p, l->weight), 0, to) != 0)
            return -1;
        dy = to;
    }
    return 0;
}

int sb_projector_update_running(sb_projector *p, const float *batch_statistics, float *running)
{
    for (int i = 0; i < p->layer_count; i++) {
        const layer *l = &p->layers[i];
        if (l->gamma < 0)
            continue;
        size_t offset = p->parameters->statistics[l->statistic].offset;
        const float *mean = batch_statistics + offset;
        float *running_mean = running + offset;
        if (p->device->norm_running(p->device, l->out, p->rows, MOMENTUM, mean, mean + l->out, running_mean, running_mean + l->out) != 0)
            return -1;
    }
    return 0;
}
