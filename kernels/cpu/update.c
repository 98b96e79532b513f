/* update.c: the optimisers' steps on the CPU. An array is one thread's; a coded state is in f32 for a block
 * at a time. Norms (LARS) are summed in f64 in index order. */
#include <math.h>

#include "kernels/cpu/cpu.h"
#include "kernels/op/update.h"
#include "kernels/share/codes.h"
#include "kernels/share/optimiser.h"

/* What is the same for all values of an array. */
typedef struct {
    bool adamw;
    float lr, momentum, decay, scale;
    sb_adamw_values adamw_values;
} rule;

/* What codes stand for. */
typedef struct {
    float plain[SB_CODES], with_sign[SB_CODES];
} code_table;

/* A step over `count` weights with their state in f32; s: AdamW's alone. */
static void step(const rule *r, size_t count, float *w, float *m, float *s, const float *g)
{
    if (r->adamw) {
        const sb_adamw_values values = r->adamw_values;
#pragma omp simd
        for (size_t i = 0; i < count; i++)
            sb_adamw_element(&w[i], &m[i], &s[i], g[i], &values);
    } else {
        const float lr = r->lr, momentum = r->momentum, decay = r->decay, scale = r->scale;
#pragma omp simd
        for (size_t i = 0; i < count; i++)
            sb_momentum_element(&w[i], &m[i], g[i], lr, momentum, decay, scale);
    }
}

static float largest(size_t count, const float *values)
{
    uint32_t most = 0;
    for (size_t i = 0; i < count; i++) {
        const uint32_t bits = sb_magnitude_bits(values[i]);
        most = bits > most ? bits : most;
    }
    return sb_magnitude_from(most);
}

static void read_codes(size_t count, const uint8_t *codes, float most, const float table[SB_CODES],
                       float *values)
{
    for (size_t i = 0; i < count; i++)
        values[i] = table[codes[i]] * most;
}

/* Shares of the largest magnitude, in place of the values. Returns that. */
static float make_shares(size_t count, float *values)
{
    const float most = largest(count, values);
    for (size_t i = 0; i < count && most != 0; i++)
        values[i] /= most;
    return most;
}

static void coded_step(const rule *r, const sb_update_array *a, const code_table *t)
{
    float m[SB_CODES_BLOCK], s[SB_CODES_BLOCK];
    for (size_t begin = 0, block = 0; begin < a->count; begin += SB_CODES_BLOCK, block++) {
        const size_t left = a->count - begin, count = left < SB_CODES_BLOCK ? left : SB_CODES_BLOCK;
        uint8_t *m_codes = a->codes[0] + begin, *s_codes = r->adamw ? a->codes[1] + begin : NULL;
        read_codes(count, m_codes, a->maxima[0][block], t->with_sign, m);
        if (r->adamw)
            read_codes(count, s_codes, a->maxima[1][block], t->plain, s);
        step(r, count, a->weight + begin, m, s, a->gradient + begin);
        a->maxima[0][block] = make_shares(count, m);
#pragma omp simd
        for (size_t i = 0; i < count; i++)
            m_codes[i] = (uint8_t)sb_signed_code(m[i]);
        if (!r->adamw)
            continue;
        a->maxima[1][block] = make_shares(count, s);
#pragma omp simd
        for (size_t i = 0; i < count; i++)
            s_codes[i] = (uint8_t)sb_unsigned_code(s[i]);
    }
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

static rule rule_of(const sb_update_array *a, const sb_update_values *v)
{
    const float lr = sb_update_lr(a, v->lr, v->steady_lr), decay = a->decayed ? v->weight_decay : 0;
    if (v->rule == SB_UPDATE_ADAMW)
        return (rule){ .adamw = true,
                       .adamw_values = sb_adamw_at(sb_adamw_of(v->beta1, v->beta2, v->epsilon, lr,
                                                               (double)(v->step - a->frozen_until)),
                                                   lr, decay, a->rate) };
    return (rule){ .lr = lr * a->rate,
                   .momentum = v->momentum,
                   .decay = decay,
                   .scale = v->rule == SB_UPDATE_LARS && a->decayed ? lars_trust(a, v) : 1 };
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_update_how *how = call->how;
    const sb_update_values *v = &how->values;
    code_table table;
    for (int c = 0; c < SB_CODES; c++) {
        table.plain[c] = sb_unsigned_value(c);
        table.with_sign[c] = sb_signed_value(c);
    }
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < how->count; i++) {
        const sb_update_array *a = &how->arrays[i];
        if (v->step <= a->frozen_until)
            continue;
        const rule r = rule_of(a, v);
        if (a->coded)
            coded_step(&r, a, &table);
        else
            step(&r, a->count, a->weight, a->state, a->state + a->state_stride, a->gradient);
    }
    return 0;
}

const sb_kernel sb_cpu_update = { .forward = forward };
