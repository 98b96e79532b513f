/* parameters.c: the flat table of parameters and statistics (network.h). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/random.h"
#include "trainer/network.h"

#define PARAMS_MAX 4096

void sb_parameters_init(sb_parameters *p, sb_device *device)
{
    *p = (sb_parameters){ .device = device };
}

int sb_parameters_add(sb_parameters *p, const char *name, sb_param_kind kind, int dims, const int64_t *shape)
{
    if (p->weight || p->param_count == PARAMS_MAX)
        return sb_fail("parameter %s comes too late, or there are more than %d", name, PARAMS_MAX);
    sb_param *grown = realloc(p->params, (size_t)(p->param_count + 1) * sizeof *grown);
    if (!grown)
        return sb_fail("out of memory");
    p->params = grown;
    sb_param *q = &grown[p->param_count];
    *q = (sb_param){ .kind = kind, .dims = dims, .offset = p->floats, .count = 1 };
    if (snprintf(q->name, sizeof q->name, "%s", name) >= (int)sizeof q->name)
        return sb_fail("parameter name %s is too long", name);
    for (int d = 0; d < dims; d++) {
        q->shape[d] = shape[d];
        q->count *= (size_t)shape[d];
    }
    p->floats += q->count;
    return p->param_count++;
}

int sb_parameters_add_statistic(sb_parameters *p, const char *name, int channels)
{
    sb_statistic *grown = realloc(p->statistics, (size_t)(p->statistic_count + 1) * sizeof *grown);
    if (!grown)
        return sb_fail("out of memory");
    p->statistics = grown;
    sb_statistic *q = &grown[p->statistic_count];
    *q = (sb_statistic){ .channels = channels, .offset = p->statistic_floats };
    if (snprintf(q->name, sizeof q->name, "%s", name) >= (int)sizeof q->name)
        return sb_fail("statistic name %s is too long", name);
    p->statistic_floats += 2 * (size_t)channels;
    return p->statistic_count++;
}

/* A pair of normal numbers (Box and Muller 1958). */
static void normal_pair(sb_random *random, double out[2])
{
    double u = ((double)sb_random_u32(random) + 1) / 4294967296.0, v = (double)sb_random_u32(random) / 4294967296.0;
    double radius = sqrt(-2 * log(u));
    out[0] = radius * cos(2 * M_PI * v);
    out[1] = radius * sin(2 * M_PI * v);
}

static void fill_normal(float *out, size_t count, double deviation, uint64_t seed, int index)
{
    sb_random random;
    sb_random_init(&random, seed, SB_RANDOM_WEIGHTS, (uint32_t)index, 0, 0);
    double pair[2] = { 0 };
    for (size_t i = 0; i < count; i++) {
        if (i % 2 == 0)
            normal_pair(&random, pair);
        out[i] = (float)(deviation * pair[i % 2]);
    }
}

static void initialise(const sb_parameters *p, uint64_t seed, float *weight)
{
    for (int i = 0; i < p->param_count; i++) {
        const sb_param *q = &p->params[i];
        float *at = weight + q->offset;
        if (q->kind == SB_PARAM_CONV) /* He et al. 2015, fan-out, as torchvision's ResNet */
            fill_normal(at, q->count, sqrt(2.0 / (double)(q->shape[0] * q->shape[2] * q->shape[3])), seed, i);
        else if (q->kind == SB_PARAM_LINEAR) /* He et al. 2015, fan-in: keeps the scale of what passes through */
            fill_normal(at, q->count, sqrt(2.0 / (double)q->shape[1]), seed, i);
        else
            for (size_t k = 0; k < q->count; k++)
                at[k] = q->kind == SB_PARAM_GAMMA ? 1.0f : 0.0f;
    }
}

static int allocate_zeroed(sb_device *device, size_t floats, float **out)
{
    void *memory;
    if (device->alloc(device, floats * sizeof(float), &memory) != 0)
        return -1;
    *out = memory;
    return device->zero(device, memory, floats * sizeof(float));
}

int sb_parameters_allocate(sb_parameters *p, bool training, uint64_t seed)
{
    sb_device *device = p->device;
    if (allocate_zeroed(device, p->floats, &p->weight) != 0 || allocate_zeroed(device, p->statistic_floats, &p->running) != 0 ||
        (training && allocate_zeroed(device, p->floats, &p->gradient) != 0))
        return -1;
    float *host = calloc(p->floats + p->statistic_floats, sizeof *host);
    if (!host)
        return sb_fail("out of memory");
    initialise(p, seed, host);
    float *running = host + p->floats;
    for (int i = 0; i < p->statistic_count; i++)
        for (int c = 0; c < p->statistics[i].channels; c++)
            running[p->statistics[i].offset + (size_t)p->statistics[i].channels + (size_t)c] = 1;
    int rc = device->copy(device, SB_STREAM_COMPUTE, p->weight, host, p->floats * sizeof(float), SB_TO_DEVICE);
    if (rc == 0)
        rc = device->copy(device, SB_STREAM_COMPUTE, p->running, running, p->statistic_floats * sizeof(float), SB_TO_DEVICE);
    if (rc == 0)
        rc = device->wait(device, SB_STREAM_COMPUTE);
    free(host);
    return rc;
}

void sb_parameters_free(sb_parameters *p)
{
    float *memory[] = { p->weight, p->gradient, p->running };
    for (int i = 0; i < 3; i++)
        if (memory[i])
            p->device->release(p->device, memory[i]);
    free(p->params);
    free(p->statistics);
    *p = (sb_parameters){ 0 };
}
