/* tokens.cu: tokens with their positions on a GPU (kernels/op/tokens.h). A thread has one value; images, and
 * the places of an axis, are added in their order. */
#include "kernels/cuda/launch.h"
#include "kernels/op/tokens.h"

/* The matrices of both axes: a thread has a row. */
static __global__ void tokens_matrices(sb_tokens s, float *rows, float *columns)
{
    const int i = (int)global_thread();
    if (i < s.h)
        sb_cubic_row(s.grid, s.h, i, rows + (size_t)i * (size_t)s.grid);
    else if (i < s.h + s.w)
        sb_cubic_row(s.grid, s.w, i - s.h, columns + (size_t)(i - s.h) * (size_t)s.grid);
}

/* An axis of a table: to[outer, m, inner] = sum over k of matrix(m, k) from[outer, k, inner], or added to it.
 * transposed: the matrix lies as [k, m]. */
typedef struct {
    int outer, from, to, inner;
    bool transposed, add;
} axis;

static __global__ void tokens_resize(axis a, const float *matrix, const float *from, float *to)
{
    const size_t at = global_thread(), inner = (size_t)a.inner, outer = at / inner / (size_t)a.to;
    const int m = (int)(at / inner % (size_t)a.to);
    if (outer >= (size_t)a.outer)
        return;
    float sum = a.add ? to[at] : 0;
    for (int k = 0; k < a.from; k++)
        sum = fmaf(matrix[a.transposed ? k * a.to + m : m * a.from + k],
                   from[(outer * (size_t)a.from + (size_t)k) * inner + at % inner], sum);
    to[at] = sum;
}

/* The class token and the registers, which lie in front of the places: NULL where there are none. */
static __global__ void tokens_forward(sb_tokens s, size_t count, const void *x, const float *class_token,
                                      const float *registers, const float *positions, const float *table,
                                      void *y)
{
    const size_t at = global_thread(), width = (size_t)s.width, places = (size_t)s.h * (size_t)s.w,
                 prefix = (size_t)s.prefix, t = at / width % (prefix + places), c = at % width,
                 n = at / width / (prefix + places);
    if (at >= count)
        return;
    float value;
    if (t >= prefix)
        value = load(x, s.type, (n * places + t - prefix) * width + c) + table[(t - prefix) * width + c];
    else if (s.class_token && t == 0)
        value = class_token[c] + positions[c];
    else
        value = registers[(t - s.class_token) * width + c] + positions[t * width + c];
    store(y, s.type, at, value);
}

/* dy, added over the images, [prefix + h w, c]; and dx on the way. */
static __global__ void tokens_sum(sb_tokens s, const void *dy, float *whole, void *dx, bool add)
{
    const size_t at = global_thread(), width = (size_t)s.width, places = (size_t)s.h * (size_t)s.w,
                 prefix = (size_t)s.prefix * width, all = prefix + places * width;
    if (at >= all)
        return;
    float sum = 0;
    for (size_t n = 0; n < (size_t)s.images; n++) {
        const float value = load(dy, s.type, n * all + at);
        sum += value;
        if (dx && at >= prefix)
            give(dx, s.type, n * places * width + at - prefix, value, add);
    }
    whole[at] = sum;
}

static __global__ void tokens_add(size_t count, const float *from, float *to)
{
    const size_t at = global_thread();
    if (at < count)
        to[at] += from[at];
}

static int add_to(sb_device *device, float *to, const float *from, size_t count)
{
    if (!to || count == 0)
        return 0;
    LAUNCH(tokens_add, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, from, to);
    return sb_cuda_launched("tokens_add");
}

static int find_matrices(sb_device *device, const sb_tokens *s, const sb_tokens_work *w)
{
    LAUNCH(tokens_matrices, blocks_for((size_t)s->h + (size_t)s->w), THREADS, 0, sb_cuda_compute(device), *s,
           w->rows, w->columns);
    return sb_cuda_launched("tokens_matrices");
}

static int resize(sb_device *device, const axis *a, const float *matrix, const float *from, float *to)
{
    LAUNCH(tokens_resize, blocks_for((size_t)a->outer * (size_t)a->to * (size_t)a->inner), THREADS, 0,
           sb_cuda_compute(device), *a, matrix, from, to);
    return sb_cuda_launched("tokens_resize");
}

static int forward(sb_device *device, const sb_call *c)
{
    const sb_tokens s = sb_tokens_of(c);
    const sb_tokens_work w = sb_tokens_lay_out(&s, c->scratch);
    const float *positions = c->w[SB_TOKENS_POSITIONS],
                *table = positions + (size_t)s.prefix * (size_t)s.width;
    const axis rows = { 1, s.grid, s.h, s.grid * s.width, false, false },
               columns = { s.h, s.grid, s.w, s.width, false, false };
    const size_t count = sb_shape_elements(&c->ys);
    if (s.resized &&
        (find_matrices(device, &s, &w) != 0 || resize(device, &rows, w.rows, table, w.half) != 0 ||
         resize(device, &columns, w.columns, w.half, w.whole) != 0))
        return -1;
    LAUNCH(tokens_forward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), s, count, c->x[0],
           c->w[SB_TOKENS_CLASS], c->w[SB_TOKENS_REGISTERS], positions,
           s.resized ? (const float *)w.whole : table, c->y);
    return sb_cuda_launched("tokens_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    const sb_tokens s = sb_tokens_of(c);
    const sb_tokens_work w = sb_tokens_lay_out(&s, c->scratch);
    const size_t width = (size_t)s.width, prefix = (size_t)s.prefix * width,
                 all = prefix + (size_t)s.h * (size_t)s.w * width, grid = (size_t)s.grid;
    const axis columns = { s.h, s.w, s.grid, s.width, true, false },
               rows = { 1, s.h, s.grid, s.grid * s.width, true, true };
    float *positions = c->dw[SB_TOKENS_POSITIONS];
    LAUNCH(tokens_sum, blocks_for(all), THREADS, 0, sb_cuda_compute(device), s, c->dy, w.whole, c->dx[0],
           c->add[0]);
    if (sb_cuda_launched("tokens_sum") != 0 || add_to(device, c->dw[SB_TOKENS_CLASS], w.whole, width) != 0 ||
        add_to(device, c->dw[SB_TOKENS_REGISTERS], w.whole + (s.class_token ? width : 0),
               (size_t)s.registers * width) != 0 ||
        add_to(device, positions, w.whole, prefix) != 0)
        return -1;
    if (!positions)
        return 0;
    if (!s.resized)
        return add_to(device, positions + prefix, w.whole + prefix, grid * grid * width);
    return find_matrices(device, &s, &w) != 0 ||
                   resize(device, &columns, w.columns, w.whole + prefix, w.half) != 0 ||
                   resize(device, &rows, w.rows, w.half, positions + prefix) != 0
               ? -1
               : 0;
}

static size_t scratch(sb_device *device, const sb_call *c)
{
    (void)device;
    const sb_tokens s = sb_tokens_of(c);
    return sb_tokens_scratch(&s) * sizeof(float);
}

extern "C" const sb_kernel sb_cuda_tokens = { .scratch = scratch, .forward = forward, .backward = backward };
