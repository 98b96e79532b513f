/* patch_error.c: errors of predicted patches on the CPU. A patch is one thread's work; sums are f64's, over
 * the values and then the patches of an image in their order. */
#include "kernels/op/patch_error.h"

#include "kernels/cpu/cpu.h"

typedef struct {
    sb_patch_error s;
    sb_input_line line;
    const uint8_t *pixels;
    const int32_t *cells;
} patches;

static patches patches_of(const sb_call *call)
{
    return (patches){ sb_patch_error_of(call),
                      sb_input_line_of(&((const sb_patch_error_how *)call->how)->input, call->xs[1].c),
                      call->x[1], call->x[2] };
}

/* Value i of a patch, as the encoder gets it. */
static inline float value_of(const patches *p, size_t patch, int i)
{
    const int k = i % p->s.channels;
    return (float)p->pixels[sb_patch_error_pixel(&p->s, patch, p->cells[patch], i)] * p->line.scale[k] +
           p->line.offset[k];
}

/* A patch's error; what stands in aux goes to mean and factor. */
static double error_of(const patches *p, const void *x, size_t patch, float *mean, float *factor)
{
    const int values = p->s.values;
    double sum = 0, squares = 0, error = 0;
    for (int i = 0; i < values; i++)
        sum += (double)value_of(p, patch, i);
    *mean = (float)(sum / values);
    for (int i = 0; i < values; i++) {
        const double off = (double)(value_of(p, patch, i) - *mean);
        squares += off * off;
    }
    *factor = sb_patch_error_factor(&p->s, squares);
    for (int i = 0; i < values; i++) {
        const float off = sb_cpu_load(x, p->s.type, patch * (size_t)values + (size_t)i) -
                          (value_of(p, patch, i) - *mean) * *factor;
        error += (double)off * (double)off;
    }
    return error / values;
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const patches p = patches_of(call);
    const size_t count = (size_t)p.s.images * (size_t)p.s.cells;
    double *errors = call->scratch;
    float *aux = call->aux, *y = call->y;
#pragma omp parallel for schedule(static)
    for (size_t patch = 0; patch < count; patch++) {
        float mean, factor;
        errors[patch] = error_of(&p, call->x[0], patch, &mean, &factor);
        if (aux) {
            aux[2 * patch] = mean;
            aux[2 * patch + 1] = factor;
        }
    }
    for (int n = 0; n < p.s.images; n++) {
        double sum = 0;
        for (int k = 0; k < p.s.cells; k++)
            sum += errors[n * p.s.cells + k];
        y[n] = (float)(sum / p.s.cells);
    }
    return 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    const patches p = patches_of(call);
    const size_t count = (size_t)p.s.images * (size_t)p.s.cells;
    const float *aux = call->aux, *dy = call->dy, share = 2 / ((float)p.s.values * (float)p.s.cells);
#pragma omp parallel for schedule(static)
    for (size_t patch = 0; patch < count; patch++)
        for (int i = 0; i < p.s.values; i++) {
            const size_t at = patch * (size_t)p.s.values + (size_t)i;
            const float off = sb_cpu_load(call->x[0], p.s.type, at) -
                              (value_of(&p, patch, i) - aux[2 * patch]) * aux[2 * patch + 1];
            const float dx = share * dy[patch / (size_t)p.s.cells] * off;
            sb_cpu_store(call->dx[0], p.s.type, at,
                         call->add[0] ? sb_cpu_load(call->dx[0], p.s.type, at) + dx : dx);
        }
    return 0;
}

static size_t scratch(sb_device *device, const sb_call *call)
{
    return (void)device, sb_shape_rows(&call->xs[0]) * sizeof(double);
}

const sb_kernel sb_cpu_patch_error = { .scratch = scratch, .forward = forward, .backward = backward };
