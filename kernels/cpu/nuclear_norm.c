/* nuclear_norm.c: the sum of singular values on the CPU. A pair is one thread's, and its sums have a fixed
 * order, so no result depends on the number of threads. */
#include "kernels/op/nuclear_norm.h"

#include "kernels/cpu/cpu.h"

#define PARTS 8 /* sums that run side by side */

typedef struct {
    double *vectors, *turns, *lengths; /* as the scratch is laid out */
} work;

static size_t scratch(sb_device *device, const sb_call *call)
{
    (void)device;
    sb_nuclear_norm s = sb_nuclear_norm_of(call);
    return sb_nuclear_norm_scratch(&s);
}

static work lay_out_work(const sb_nuclear_norm *s, void *memory)
{
    work w = { .vectors = memory };
    w.turns = w.vectors + (size_t)s->count * (size_t)s->length;
    w.lengths = w.turns + (size_t)s->count * (size_t)s->count;
    return w;
}

static double dot(const double *a, const double *b, size_t length)
{
    double part[PARTS] = { 0 }, sum = 0;
    size_t i = 0;
    for (; i + PARTS <= length; i += PARTS)
        for (size_t k = 0; k < PARTS; k++)
            part[k] += a[i + k] * b[i + k];
    for (; i < length; i++)
        sum += a[i] * b[i];
    for (size_t k = 0; k < PARTS; k++)
        sum += part[k];
    return sum;
}

static void turn(double *a, double *b, size_t length, double cosine, double sine)
{
#pragma omp simd
    for (size_t i = 0; i < length; i++) {
        double x = a[i], y = b[i];
        a[i] = cosine * x - sine * y;
        b[i] = sine * x + cosine * y;
    }
}

/* Every pair once. Whether one was turned. */
static bool sweep(const sb_nuclear_norm *s, const work *w)
{
    size_t length = (size_t)s->length, count = (size_t)s->count;
    bool turned = false;
    for (int round = 0; round < sb_nuclear_rounds(s->count); round++) {
#pragma omp parallel for schedule(static) reduction(|| : turned)
        for (int p = 0; p < sb_nuclear_pairs(s->count); p++) {
            int i, j;
            double cosine, sine;
            if (!sb_nuclear_pair(s->count, round, p, &i, &j))
                continue;
            double *a = w->vectors + (size_t)i * length, *b = w->vectors + (size_t)j * length;
            if (!sb_nuclear_turn(dot(a, a, length), dot(b, b, length), dot(a, b, length), &cosine, &sine))
                continue;
            turn(a, b, length, cosine, sine);
            turn(w->turns + (size_t)i * count, w->turns + (size_t)j * count, count, cosine, sine);
            turned = true;
        }
    }
    return turned;
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    sb_nuclear_norm s = sb_nuclear_norm_of(call);
    work w = lay_out_work(&s, call->scratch);
    size_t count = (size_t)s.count, length = (size_t)s.length;
    const float *x = call->x[0];
    double sum = 0, most = 0;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < length; j++)
            w.vectors[i * length + j] = x[i * s.across + j * s.along];
        for (size_t j = 0; j < count; j++)
            w.turns[i * count + j] = i == j;
    }
    for (int n = 0; n < SB_NUCLEAR_SWEEPS && sweep(&s, &w); n++)
        ;
    for (size_t i = 0; i < count; i++) {
        w.lengths[i] = sqrt(dot(w.vectors + i * length, w.vectors + i * length, length));
        most = w.lengths[i] > most ? w.lengths[i] : most;
    }
    for (size_t i = 0; i < count; i++) {
        w.lengths[i] = w.lengths[i] <= SB_NUCLEAR_LEAST * most ? 0 : w.lengths[i];
        sum += w.lengths[i];
    }
    *(float *)call->y = (float)sum;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < length; j++) {
            double value = 0;
            for (size_t k = 0; k < count; k++)
                if (w.lengths[k] != 0)
                    value += w.turns[k * count + i] * w.vectors[k * length + j] / w.lengths[k];
            ((float *)call->aux)[i * s.across + j * s.along] = (float)value;
        }
    return 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    size_t count = sb_shape_elements(&call->xs[0]);
    const float dy = *(const float *)call->dy, *direction = call->aux;
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++)
        sb_cpu_give(call->dx[0], i, dy * direction[i], call->add[0]);
    return 0;
}

const sb_kernel sb_cpu_nuclear_norm = { .scratch = scratch, .forward = forward, .backward = backward };
