/* update.c: the optimisers' steps over a table of parameters. Norms (LARS) are summed in f64 in index order. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/cpu.h"
#include "kernels/optimiser.h"
#include "proto/error.h"

struct sb_update {
    int count;
    sb_parameter parameters[];
};

int sb_cpu_update_create(sb_device *device, const sb_parameter *parameters, int count, sb_update **out)
{
    (void)device;
    sb_update *u = malloc(sizeof *u + (size_t)count * sizeof *parameters);
    if (!u)
        return sb_fail("out of memory");
    u->count = count;
    memcpy(u->parameters, parameters, (size_t)count * sizeof *parameters);
    *out = u;
    return 0;
}

void sb_cpu_update_destroy(sb_device *device, sb_update *update)
{
    (void)device;
    free(update);
}

static void momentum_step(const sb_parameter *p, float lr, float momentum, float decay, float scale)
{
    float *w = p->weight, *m = p->state;
    const float *g = p->gradient;
#pragma omp simd
    for (size_t i = 0; i < p->count; i++)
        sb_momentum_element(&w[i], &m[i], g[i], lr, momentum, decay, scale);
}

static float lars_trust(const sb_parameter *p, const sb_update_values *v)
{
    double weight = 0, update = 0;
    for (size_t i = 0; i < p->count; i++) {
        double u = (double)p->gradient[i] + (double)v->weight_decay * p->weight[i];
        weight += (double)p->weight[i] * p->weight[i];
        update += u * u;
    }
    return weight > 0 && update > 0 ? (float)(v->trust * sqrt(weight) / sqrt(update)) : 1.0f;
}

static void adamw_step(const sb_parameter *p, const sb_update_values *v)
{
    float *w = p->weight, *m = p->state, *s = p->state + p->state_stride;
    const float *g = p->gradient;
    sb_adamw_values values = sb_adamw_of(v->beta1, v->beta2, v->epsilon, v->lr, p->decayed ? v->weight_decay : 0, (double)v->step);
#pragma omp simd
    for (size_t i = 0; i < p->count; i++)
        sb_adamw_element(&w[i], &m[i], &s[i], g[i], &values);
}

int sb_cpu_update_run(sb_device *device, sb_update *u, const sb_update_values *v)
{
    (void)device;
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < u->count; i++) {
        const sb_parameter *p = &u->parameters[i];
        if (v->rule == SB_UPDATE_ADAMW)
            adamw_step(p, v);
        else
            momentum_step(p, v->lr, v->momentum, p->decayed ? v->weight_decay : 0,
                          v->rule == SB_UPDATE_LARS && p->decayed ? lars_trust(p, v) : 1);
    }
    return 0;
}
