/* update.c: the optimisers' steps, over three arrays at once, the last of which may have its state in codes.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/op/update.h"
#include "kernels/share/codes.h"
#include "tests/kernels/cases.h"

#define TABLE 3

typedef struct {
    sb_update_values values;
    size_t counts[TABLE];
    float rate[TABLE];
    bool steady[TABLE];
    int64_t frozen_until[TABLE];
    bool coded; /* the last */
    size_t
        into[3]; /* weights, gradients and states begin so many floats into their memory; not where coded */
} parameters;

/* Of array i of the table: weight, gradient and state are arrays 3 i, 3 i + 1 and 3 i + 2. The first is not
 * decayed; the second starts at 0. Behind them codes and maxima of the last one's state, array by array. */
enum { WEIGHT, GRADIENT, STATE, EACH, CODES = TABLE * EACH, MAXIMA };

static const parameters *of(const sb_trial *t) { return t->parameters; }

static bool adamw(const sb_trial *t) { return of(t)->values.rule == SB_UPDATE_ADAMW; }

static bool coded(const sb_trial *t, int i) { return of(t)->coded && i == TABLE - 1; }

static int states(const sb_trial *t) { return adamw(t) ? 2 : 1; }

/* Any codes but that of -0, which none is made of. */
static void prepare_codes(sb_trial *t, size_t count)
{
    const bool first = of(t)->values.step == 1;
    for (int k = 0; k < states(t); k++) {
        sb_array *codes = sb_array_add(t, "codes", SB_ARRAY_U8, SB_ARRAY_UPDATED, count),
                 *maxima = sb_array_add(t, "maxima", SB_ARRAY_F32, SB_ARRAY_UPDATED, sb_codes_blocks(count));
        sb_fill_uniform(t, maxima, 0, first ? 0 : 0.1);
        sb_fill_uniform(t, codes, 0, first ? 0 : 255);
        for (size_t i = 0; i < count; i++)
            codes->value[i] = codes->value[i] == 128 ? 127 : codes->value[i];
    }
}

static void prepare(sb_trial *t)
{
    t->work.kind = SB_KIND_WEIGHTS;
    for (int i = 0; i < TABLE; i++) {
        size_t count = of(t)->counts[i];
        const size_t *into = of(t)->into;
        sb_fill_normal(t, sb_array_add(t, "weight", SB_ARRAY_F32, SB_ARRAY_UPDATED, count + into[WEIGHT]), 0,
                       i == 1 ? 0 : 1);
        sb_fill_normal(t, sb_array_add(t, "gradient", SB_ARRAY_F32, SB_ARRAY_GIVEN, count + into[GRADIENT]),
                       0, 0.1);
        sb_array *state = sb_array_add(t, "state", SB_ARRAY_F32, SB_ARRAY_UPDATED,
                                       coded(t, i) ? 0 : (size_t)states(t) * count + into[STATE]);
        sb_fill_normal(t, state, 0, 0.1);
        for (size_t k = count + into[STATE]; k < state->count; k++) /* squares */
            state->value[k] = fabs(state->value[k]);
        for (size_t k = 0; k < state->count && of(t)->values.step == 1; k++)
            state->value[k] = 0;
    }
    if (of(t)->coded)
        prepare_codes(t, of(t)->counts[TABLE - 1]);
}

typedef struct {
    sb_update_array arrays[TABLE];
    sb_update_how how;
    sb_call call;
} planned;

/* Where one of an array's three begins. */
static float *floats(const sb_trial *t, int i, int which)
{
    float *memory = sb_memory(t, EACH * i + which);
    return memory ? memory + of(t)->into[which] : NULL;
}

/* Here and not in `open`, when the arrays have no addresses yet. The values are set after the table is
 * packed.
 */
static int before(sb_trial *t, sb_device *device)
{
    const sb_kernel *kernel = device->kernels[SB_OP_UPDATE];
    planned *p = calloc(1, sizeof *p);
    if (!p)
        abort();
    for (int i = 0; i < TABLE; i++)
        p->arrays[i] = (sb_update_array){ .weight = floats(t, i, WEIGHT),
                                          .gradient = floats(t, i, GRADIENT),
                                          .state = floats(t, i, STATE),
                                          .state_stride = of(t)->counts[i],
                                          .count = of(t)->counts[i],
                                          .decayed = i > 0,
                                          .rate = of(t)->rate[i],
                                          .steady = of(t)->steady[i],
                                          .frozen_until = of(t)->frozen_until[i],
                                          .coded = coded(t, i) };
    for (int k = 0; of(t)->coded && k < states(t); k++) {
        p->arrays[TABLE - 1].codes[k] = sb_memory(t, CODES + 2 * k);
        p->arrays[TABLE - 1].maxima[k] = sb_memory(t, MAXIMA + 2 * k);
    }
    p->how = (sb_update_how){ .arrays = p->arrays, .count = TABLE };
    p->call.how = &p->how;
    t->plan = p;
    if (kernel->packed && (device->alloc(device, kernel->packed(device, &p->call), &p->call.packed) != 0 ||
                           kernel->pack(device, &p->call) != 0))
        return -1;
    p->how.values = of(t)->values;
    return 0;
}

static int call(sb_trial *t, sb_device *device)
{
    const planned *p = t->plan;
    return sb_forward(device, SB_OP_UPDATE, &p->call);
}

static void close_update(sb_trial *t, sb_device *device)
{
    planned *p = t->plan;
    if (p && p->call.packed)
        device->release(device, p->call.packed);
    free(p);
}

/* The values as array i has them. */
static sb_update_values values_of(const parameters *p, int i)
{
    sb_update_values v = p->values;
    v.lr = (p->steady[i] ? v.steady_lr : v.lr) * p->rate[i];
    v.step -= p->frozen_until[i];
    return v;
}

/* An array's step in place. */
static void make_step(const sb_update_values *v, bool decayed, size_t count, double *w, const double *g,
                      double *state)
{
    double decay = decayed ? v->weight_decay : 0, trust = 1;
    if (v->rule == SB_UPDATE_ADAMW) {
        double first = 1 - pow(v->beta1, (double)v->step), second = 1 - pow(v->beta2, (double)v->step),
               *m = state, *s = state + count;
        for (size_t i = 0; i < count; i++) {
            m[i] = v->beta1 * m[i] + (1 - v->beta1) * g[i];
            s[i] = v->beta2 * s[i] + (1 - v->beta2) * g[i] * g[i];
            w[i] -= v->lr * decay * w[i];
            w[i] -= v->lr * (m[i] / first) / (sqrt(s[i] / second) + v->epsilon);
        }
        return;
    }
    if (v->rule == SB_UPDATE_LARS && decayed) {
        double weight = 0, update = 0;
        for (size_t i = 0; i < count; i++) {
            weight += w[i] * w[i];
            update += pow(g[i] + decay * w[i], 2);
        }
        trust = weight > 0 && update > 0 ? v->trust * sqrt(weight / update) : 1;
    }
    for (size_t i = 0; i < count; i++) {
        state[i] = v->momentum * state[i] + trust * (g[i] + decay * w[i]);
        w[i] -= v->lr * state[i];
    }
}

/* Few roundings of each term; LARS's trust ratio adds those of its two sums, relatively. */
static void bound(sb_array *weight, const sb_array *gradient, sb_array *state, const sb_update_values *v,
                  bool decayed)
{
    size_t count = weight->count;
    double decay = decayed ? v->weight_decay : 0, trust = 1, growth = sb_growth(4);
    if (v->rule == SB_UPDATE_LARS && decayed) {
        double w = 0, u = 0;
        for (size_t k = 0; k < count; k++) {
            w += pow(weight->value[k], 2);
            u += pow(gradient->value[k] + decay * weight->value[k], 2);
        }
        trust = w > 0 && u > 0 ? v->trust * sqrt(w / u) : 1;
        growth = sb_growth((double)count);
    }
    for (size_t k = 0; k < count; k++) {
        double w = fabs(weight->value[k]), g = fabs(gradient->value[k]), m = fabs(state->value[k]);
        if (v->rule != SB_UPDATE_ADAMW) {
            double magnitude = v->momentum * m + trust * (g + decay * w);
            state->bound[k] = growth * SB_UNIT_F32 * magnitude;
            weight->bound[k] = SB_UNIT_F32 * w + v->lr * (state->bound[k] + SB_UNIT_F32 * magnitude);
            continue;
        }
        /* The step is lr m / first / (sqrt(s / second) + epsilon): wrong by what m is, and relatively by half
         * of what s is. */
        double first = 1 - pow(v->beta1, (double)v->step), second = 1 - pow(v->beta2, (double)v->step);
        double magnitude = v->beta1 * m + (1 - v->beta1) * g,
               root = sqrt(state->wanted[count + k] / second) + v->epsilon;
        state->bound[k] = growth * SB_UNIT_F32 * magnitude;
        state->bound[count + k] = growth * SB_UNIT_F32 * state->wanted[count + k];
        weight->bound[k] = growth * SB_UNIT_F32 * (w + 3 * v->lr * magnitude / first / root);
    }
}

/* What a code stands for, as codes.h says it in words. */
static double code_value(int code, bool with_sign)
{
    const int magnitude = with_sign ? code % 128 : code;
    if (magnitude == 0)
        return 0;
    const int ends = (int)floor(log2(magnitude)), steps = 1 << ends;
    const double value = pow(10, ends - (with_sign ? 6 : 7)) * (0.1 + 0.9 * (magnitude - steps + 1) / steps);
    return with_sign && code > 128 ? -value : value;
}

/* The nearest code to x, 0 .. 1 of either sign; wrong: how far from it a device's x may be. Another code is
 * allowed only where two are as near. */
static void want_code(double x, double wrong, bool with_sign, double *wanted, double *bound)
{
    int below = with_sign ? 127 : 255;
    const double size = fabs(x);
    while (below > 0 && code_value(below, with_sign) > size)
        below--;
    const double low = code_value(below, with_sign),
                 middle = below < (with_sign ? 127 : 255) ? (low + code_value(below + 1, with_sign)) / 2 : 2;
    int code = size < middle ? below : below + 1;
    if (!with_sign && code == 0 && x > 0)
        code = 1;
    *wanted = with_sign && code > 0 && x < 0 ? 128 + code : code;
    *bound = fabs(size - middle) <= wrong ? 255 : 0;
}

/* The state that the codes stand for, before the step. */
static void read_codes(const sb_trial *t, size_t count, double *state)
{
    for (int k = 0; k < states(t); k++)
        for (size_t i = 0; i < count; i++)
            state[(size_t)k * count + i] = code_value((int)sb_value(t, CODES + 2 * k)[i], k == 0) *
                                           sb_value(t, MAXIMA + 2 * k)[i / SB_CODES_BLOCK];
}

/* The codes of the state after it. */
static void want_codes(sb_trial *t, size_t count, const sb_array *state)
{
    for (int k = 0; k < states(t); k++) {
        sb_array *codes = &t->arrays[CODES + 2 * k], *maxima = &t->arrays[MAXIMA + 2 * k];
        const double *now = state->wanted + (size_t)k * count, *wrong = state->bound + (size_t)k * count;
        for (size_t b = 0; b < maxima->count; b++) {
            const size_t begin = b * SB_CODES_BLOCK,
                         end = begin + SB_CODES_BLOCK < count ? begin + SB_CODES_BLOCK : count;
            double most = 0;
            for (size_t i = begin; i < end; i++) {
                most = fmax(most, fabs(now[i]));
                maxima->bound[b] = fmax(maxima->bound[b], wrong[i]);
            }
            maxima->wanted[b] = most;
            for (size_t i = begin; i < end; i++)
                want_code(now[i] / most, (wrong[i] + 8 * SB_UNIT_F32 * fabs(now[i])) / most, k == 0,
                          &codes->wanted[i], &codes->bound[i]);
        }
    }
}

/* Frozen, with its state: to the bit. */
static void keep(sb_array *a)
{
    for (size_t i = 0; i < a->count; i++)
        a->wanted[i] = a->value[i];
}

/* What the step is given of one of an array's three. */
static sb_array given_of(const sb_trial *t, int i, int which)
{
    sb_array a = t->arrays[EACH * i + which];
    const size_t into = of(t)->into[which];
    a.count = of(t)->counts[i];
    a.value = a.value ? a.value + into : NULL;
    a.wanted = a.wanted ? a.wanted + into : NULL;
    a.bound = a.bound ? a.bound + into : NULL;
    return a;
}

static void reference(sb_trial *t)
{
    for (int i = 0; i < TABLE; i++) {
        const size_t count = of(t)->counts[i], values = (size_t)states(t) * count;
        keep(&t->arrays[EACH * i + WEIGHT]);
        keep(&t->arrays[EACH * i + STATE]);
        if (count == 0)
            continue;
        sb_array shifted[EACH] = { given_of(t, i, WEIGHT), given_of(t, i, GRADIENT), given_of(t, i, STATE) },
                 *weight = &shifted[WEIGHT], *gradient = &shifted[GRADIENT], *state = &shifted[STATE],
                 decoded = { 0 };
        for (int k = 0; coded(t, i) && k < 2 * states(t); k++)
            keep(&t->arrays[CODES + k]);
        sb_update_values v = values_of(of(t), i);
        if (v.step <= 0)
            continue;
        if (coded(t, i)) {
            decoded = (sb_array){ .value = sb_doubles(values),
                                  .wanted = sb_doubles(values),
                                  .bound = sb_doubles(values) };
            read_codes(t, count, decoded.value);
            memcpy(decoded.wanted, decoded.value, values * sizeof(double));
            state = &decoded;
        }
        make_step(&v, i > 0, count, weight->wanted, gradient->value, state->wanted);
        bound(weight, gradient, state, &v, i > 0);
        if (coded(t, i))
            want_codes(t, count, &decoded);
        free(decoded.value);
        free(decoded.wanted);
        free(decoded.bound);
    }
}

static const sb_operation update = { .name = "update",
                                     .prepare = prepare,
                                     .before = before,
                                     .call = call,
                                     .close = close_update,
                                     .reference = reference };

void sb_cases_update(void)
{
    const struct {
        const char *name;
        sb_update_values values;
    } rules[] = {
        { "SGD", { SB_UPDATE_SGD, 0.1f, 0.9f, 1e-4f, .step = 5 } },
        { "SGD without momentum", { SB_UPDATE_SGD, 0.1f, 0, 0, .step = 5 } },
        { "LARS", { SB_UPDATE_LARS, 0.3f, 0.9f, 1e-4f, .trust = 0.001f, .step = 5 } },
        { "LARS, first step", { SB_UPDATE_LARS, 4.8f, 0.9f, 1e-6f, .trust = 0.001f, .step = 1 } },
        { "AdamW, first step",
          { SB_UPDATE_ADAMW, 1e-3f, 0, 0.05f, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8f, .step = 1 } },
        { "AdamW",
          { SB_UPDATE_ADAMW, 1e-3f, 0, 0.05f, .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8f, .step = 1000 } },
        { "AdamW, step 100,000",
          { SB_UPDATE_ADAMW, 1e-4f, 0, 0, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8f, .step = 100000 } },
    };
    const size_t sizes[][TABLE] = { { 1, 1, 1 }, { 0, 33, 1 }, { 33, 31, 255 }, { 257, 1, 10007 } };
    const size_t blocks[] = { 1, SB_CODES_BLOCK - 1, SB_CODES_BLOCK, 2 * SB_CODES_BLOCK + 1 };
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++) {
        parameters p = { .values = rules[r].values, .rate = { 1, 1, 1 } };
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            memcpy(p.counts, sizes[i], sizeof p.counts);
            sb_case_add(&update, false, &p, sizeof p, "%s, %zu + %zu + %zu weights", rules[r].name,
                        p.counts[0], p.counts[1], p.counts[2]);
        }
        int64_t step = p.values.step;
        parameters own = { .values = p.values,
                           .counts = { 33, 257, 10007 },
                           .rate = { 0.024f, 1, 3 },
                           .frozen_until = { step - 1, step, 0 } };
        sb_case_add(&update, false, &own, sizeof own, "%s, rates, one array frozen, one just thawed",
                    rules[r].name);
        own.frozen_until[2] = step + 1;
        sb_case_add(&update, false, &own, sizeof own, "%s, rates, two arrays frozen", rules[r].name);
        own.steady[0] = own.steady[2] = true;
        own.frozen_until[2] = 0;
        own.values.steady_lr = 3 * own.values.lr;
        sb_case_add(&update, false, &own, sizeof own, "%s, rates, two arrays steady, one frozen",
                    rules[r].name);
        const size_t alike[] = { 16, 4099, 3 };
        for (size_t into = 1; into < 4; into++) { /* the last: none begins as another does */
            parameters inside = p;
            memcpy(inside.counts, alike, sizeof alike);
            memcpy(inside.into, (size_t[]){ into, into < 3 ? into : 2, into < 3 ? into : 1 },
                   sizeof inside.into);
            sb_case_add(&update, false, &inside, sizeof inside,
                        "%s, arrays that begin %zu, %zu, %zu floats in", rules[r].name, inside.into[0],
                        inside.into[1], inside.into[2]);
        }
        own.coded = true;
        sb_case_add(&update, false, &own, sizeof own, "%s, rates, coded and steady", rules[r].name);
        own.frozen_until[2] = step;
        sb_case_add(&update, false, &own, sizeof own, "%s, rates, coded and frozen", rules[r].name);
        p.coded = true;
        for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
            p.counts[2] = blocks[i];
            sb_case_add(&update, false, &p, sizeof p, "%s, %zu weights coded", rules[r].name, blocks[i]);
        }
        memcpy(p.counts, (size_t[]){ 2048, 1 << 20, 1 << 22 }, sizeof p.counts);
        sb_case_add(&update, true, &p, sizeof p, "%s, five million weights, four of them coded",
                    rules[r].name);
        p.coded = false;
        sb_case_add(&update, true, &p, sizeof p, "%s, five million weights", rules[r].name);
    }
}
