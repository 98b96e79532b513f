/* update.c: the optimisers' steps on the CPU. An array is one thread's. Norms (LARS) are summed in f64 in
 * index order. */
#include <math.h>

#include "kernels/cpu/cpu.h"
#include "kernels/op/update.h"
#include "kernels/share/optimiser.h"

static void momentum_step(const sb_update_array *a, float lr, float momentum, float decay, float scale)
{
    float *w = a->weight, *m = a->state;
    const float *g = a->gradient;
#pragma omp simd
    for (size_t i = 0; i < a->count; i++)
        sb_momentum_element(&w[i], &m[i], g[i], lr, momentum, decay, scale);
}

static float lars_trust(const sb_update_array *a, const sb_update_values *v)
{
    double weight = 0, update = 0;
    for (size_t i = 0; i < a->count; i++) {
        double u = (double)a->gradient[i] + (double)v->weight_decay * a->weight[i];
        weight += (double)a->weight[i] * a->weight[i];
        update += u * u;
    }
    return weight > 0 && update > 0 ? (float)(v->trust * sqrt(weight) / sqrt(update)) : 1.0f;
}

static void adamw_step(const sb_update_array *a, const sb_update_values *v)
{
    float *w = a->weight, *m = a->state, *s = a->state + a->state_stride;
    const float *g = a->gradient;
    const float lr = sb_update_lr(a, v->lr, v->steady_lr);
    sb_adamw_values values = sb_adamw_at(
        sb_adamw_of(v->beta1, v->beta2, v->epsilon, lr, (double)(v->step - a->frozen_until)), lr,
        a->decayed ? v->weight_decay : 0, a->rate);
#pragma omp simd
    for (size_t i = 0; i < a->count; i++)
        sb_adamw_element(&w[i], &m[i], &s[i], g[i], &values);
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_update_how *how = call->how;
    const sb_update_values *v = &how->values;
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < how->count; i++) {
        const sb_update_array *a = &how->arrays[i];
        if (v->step <= a->frozen_until)
            continue;
        if (v->rule == SB_UPDATE_ADAMW)
            adamw_step(a, v);
        else
            momentum_step(a, sb_update_lr(a, v->lr, v->steady_lr) * a->rate, v->momentum,
                          a->decayed ? v->weight_decay : 0,
                          v->rule == SB_UPDATE_LARS && a->decayed ? lars_trust(a, v) : 1);
    }
    return 0;
}

const sb_kernel sb_cpu_update = { .forward = forward };
