/* tokens.c: tokens with their positions on the CPU (kernels/op/tokens.h). Images are added in their order. */
#include "kernels/op/tokens.h"

#include <string.h>

#include "kernels/cpu/cpu.h"

#define PIECE 256 /* of a row, on a thread's stack */

static int least(int a, int b) { return a < b ? a : b; }

/* An axis of a table: to[outer, m, inner] = sum over k of matrix(m, k) from[outer, k, inner], or added to it.
 * transposed: the matrix lies as [k, m]. */
typedef struct {
    int outer, from, to, inner;
    const float *matrix;
    bool transposed, add;
} axis;

static void resize(const axis *a, const float *from, float *to)
{
    const size_t inner = (size_t)a->inner;
#pragma omp parallel for collapse(2) schedule(static)
    for (int o = 0; o < a->outer; o++)
        for (int m = 0; m < a->to; m++) {
            float *row = to + ((size_t)o * (size_t)a->to + (size_t)m) * inner;
            if (!a->add)
                memset(row, 0, inner * sizeof *row);
            for (int k = 0; k < a->from; k++) {
                const float weight = a->transposed ? a->matrix[k * a->to + m] : a->matrix[m * a->from + k];
                const float *in = from + ((size_t)o * (size_t)a->from + (size_t)k) * inner;
                if (weight == 0)
                    continue;
#pragma omp simd
                for (size_t c = 0; c < inner; c++)
                    row[c] += weight * in[c];
            }
        }
}

static void find_matrices(const sb_tokens *s, const sb_tokens_work *w)
{
    for (int i = 0; i < s->h; i++)
        sb_cubic_row(s->grid, s->h, i, w->rows + i * s->grid);
    for (int i = 0; i < s->w; i++)
        sb_cubic_row(s->grid, s->w, i, w->columns + i * s->grid);
}

/* What is added to each token but x: [prefix + h w, c], to w->whole. */
static void find_whole(const sb_tokens *s, const sb_call *call, const sb_tokens_work *w)
{
    const size_t width = (size_t)s->width, prefix = (size_t)s->prefix * width;
    const float *positions = call->w[SB_TOKENS_POSITIONS], *table = positions + prefix;
    for (size_t i = 0; i < prefix; i++) {
        const bool of_class = s->class_token && i < width;
        const float *token = call->w[of_class ? SB_TOKENS_CLASS : SB_TOKENS_REGISTERS];
        w->whole[i] = positions[i] + token[of_class ? i : i - (s->class_token ? width : 0)];
    }
    if (s->resized) {
        find_matrices(s, w);
        resize(&(axis){ 1, s->grid, s->h, s->grid * s->width, w->rows, false, false }, table, w->half);
        resize(&(axis){ s->h, s->grid, s->w, s->width, w->columns, false, false }, w->half,
               w->whole + prefix);
    } else {
        memcpy(w->whole + prefix, table, (size_t)s->grid * (size_t)s->grid * width * sizeof *table);
    }
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_tokens s = sb_tokens_of(call);
    const sb_tokens_work w = sb_tokens_lay_out(&s, call->scratch);
    const int tokens = s.prefix + s.h * s.w;
    find_whole(&s, call, &w);
#pragma omp parallel for collapse(2) schedule(static)
    for (int n = 0; n < s.images; n++)
        for (int t = 0; t < tokens; t++)
            for (int first = 0; first < s.width; first += PIECE) {
                const int count = least(PIECE, s.width - first);
                const float *added = w.whole + (size_t)t * (size_t)s.width + first;
                float row[PIECE] = { 0 };
                if (t >= s.prefix)
                    sb_cpu_load_row(call->x[0], s.type,
                                    ((size_t)n * (size_t)(s.h * s.w) + (size_t)(t - s.prefix)) *
                                            (size_t)s.width +
                                        (size_t)first,
                                    count, row);
#pragma omp simd
                for (int c = 0; c < count; c++)
                    row[c] += added[c];
                sb_cpu_store_row(call->y, s.type,
                                 ((size_t)n * (size_t)tokens + (size_t)t) * (size_t)s.width + (size_t)first,
                                 count, row);
            }
    return 0;
}

/* dy, added over the images, [prefix + h w, c]; and dx on the way. */
static void sum_images(const sb_tokens *s, const sb_call *call, float *whole)
{
    const int tokens = s->prefix + s->h * s->w;
#pragma omp parallel for schedule(static)
    for (int t = 0; t < tokens; t++)
        for (int first = 0; first < s->width; first += PIECE) {
            const int count = least(PIECE, s->width - first);
            float sum[PIECE] = { 0 }, row[PIECE];
            for (int n = 0; n < s->images; n++) {
                sb_cpu_load_row(call->dy, s->type,
                                ((size_t)n * (size_t)tokens + (size_t)t) * (size_t)s->width + (size_t)first,
                                count, row);
#pragma omp simd
                for (int c = 0; c < count; c++)
                    sum[c] += row[c];
                if (t >= s->prefix && call->dx[0])
                    sb_cpu_give_row(call->dx[0], s->type,
                                    ((size_t)n * (size_t)(s->h * s->w) + (size_t)(t - s->prefix)) *
                                            (size_t)s->width +
                                        (size_t)first,
                                    count, row, call->add[0]);
            }
            memcpy(whole + (size_t)t * (size_t)s->width + first, sum, (size_t)count * sizeof *sum);
        }
}

static void add_to(float *to, const float *from, size_t count)
{
    for (size_t i = 0; to && i < count; i++)
        to[i] += from[i];
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_tokens s = sb_tokens_of(call);
    const sb_tokens_work w = sb_tokens_lay_out(&s, call->scratch);
    const size_t width = (size_t)s.width, prefix = (size_t)s.prefix * width;
    float *positions = call->dw[SB_TOKENS_POSITIONS];
    sum_images(&s, call, w.whole);
    add_to(call->dw[SB_TOKENS_CLASS], w.whole, width);
    add_to(call->dw[SB_TOKENS_REGISTERS], w.whole + (s.class_token ? width : 0), (size_t)s.registers * width);
    add_to(positions, w.whole, prefix);
    if (positions && s.resized) {
        find_matrices(&s, &w);
        resize(&(axis){ s.h, s.w, s.grid, s.width, w.columns, true, false }, w.whole + prefix, w.half);
        resize(&(axis){ 1, s.h, s.grid, s.grid * s.width, w.rows, true, true }, w.half, positions + prefix);
    } else if (positions) {
        add_to(positions + prefix, w.whole + prefix, (size_t)s.grid * (size_t)s.grid * width);
    }
    return 0;
}

static size_t scratch(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_tokens s = sb_tokens_of(call);
    return sb_tokens_scratch(&s) * sizeof(float);
}

const sb_kernel sb_cpu_tokens = { .scratch = scratch, .forward = forward, .backward = backward };
