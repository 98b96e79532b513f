/* depthwise.c: convolutions of each channel by itself on the CPU.
 *
 * A task is a strip of rows of an image in BUNDLE registers of channels. It copies what it reads into
 * buffers in the caches, one a register, as f32 and with the zeros around the image, column u of the padded
 * image at [u mod stride][u / stride]: behind that, every product is of neighbouring vectors, whatever the
 * type, the stride and the edge.
 * TILE outputs, or TAPS places of the kernel, are summed in registers. Forward and data gradients are summed
 * in an order of their own; weight gradients by task, those of a thread in their order, then by thread. */
#include "kernels/op/depthwise.h"

#include <omp.h>
#include <string.h>

#include "kernels/cpu/cpu.h"

/* Channels that are worked on at once: a register. The sums of a channel do not depend on it. */
#if defined __AVX512F__
#define LANES 16
#elif defined __AVX__
#define LANES 8
#else
#define LANES 4
#endif
typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));

#define BUNDLE (32 / LANES)    /* registers of channels that a task copies at once */
#define TILE 8                 /* outputs of a row */
#define TAPS 9                 /* of a kernel: 3 x 3 is done at once, 5 x 5 in three, 7 x 7 in six */
#define STRIP_BYTES (48 << 10) /* of a buffer, about */

/* How a call is divided. Rows and columns of x are counted from the padded image's first. */
typedef struct {
    sb_shape x, y;
    int kernel, stride, pad, groups; /* of LANES channels */
    int rows, strips;                /* of y in a strip; of dx, stride times as many */
    int x_rows, x_pitch;             /* of the buffer of x: [x_rows][stride][x_pitch] */
    int y_before, y_left;            /* rows and columns of dy that a gradient reads before its own */
    int y_rows, y_pitch;             /* of the buffer of dy: [y_rows][y_pitch] */
} geometry;

static int up(int count, int by) { return (count + by - 1) / by; }

static geometry geometry_of(const sb_call *call)
{
    const sb_depthwise_how *how = call->how;
    geometry g = { .x = call->xs[0],
                   .y = call->ys,
                   .kernel = how->kernel,
                   .stride = how->stride,
                   .pad = how->pad,
                   .groups = up(call->xs[0].c, LANES) };
    const int k = g.kernel, s = g.stride, most = up(g.x.h, s) > g.y.h ? up(g.x.h, s) : g.y.h;
    g.x_pitch = up(g.y.w, TILE) * TILE + (k - 1) / s;
    g.y_left = g.y_before = (k - 1 - g.pad) / s;
    g.y_pitch = g.y_left + up(up(g.x.w, s), TILE) * TILE + (s - 1 + g.pad) / s;
    if (g.y_pitch < g.y_left + g.y.w)
        g.y_pitch = g.y_left + g.y.w;
    const int fit = (STRIP_BYTES / (int)sizeof(lanes) / (s * g.x_pitch) - (k - 1)) / s;
    g.strips = up(most, fit < 1 ? 1 : fit);
    g.rows = up(most, g.strips);
    g.strips = up(most, g.rows);
    g.x_rows = (g.rows - 1) * s + k;
    g.y_rows = g.y_before + g.rows + (s - 1 + g.pad) / s;
    return g;
}

static size_t places(const geometry *g) { return (size_t)g->kernel * (size_t)g->kernel; }

/* The gradient of a weight in LANES channels, the bias's last. */
static size_t sums(const geometry *g) { return places(g) + 1; }

/* What a thread works in: the two buffers, and its sums of weight gradients. In units of `lanes`. */
static size_t x_buffer(const geometry *g)
{
    return (size_t)g->x_rows * (size_t)g->stride * (size_t)g->x_pitch;
}
static size_t y_buffer(const geometry *g) { return (size_t)g->y_rows * (size_t)g->y_pitch; }
static size_t of_thread(const geometry *g)
{
    return BUNDLE * (x_buffer(g) + y_buffer(g)) + (size_t)g->groups * sums(g);
}

static size_t scratch(sb_device *device, const sb_call *call)
{
    const geometry g = geometry_of(call);
    return (size_t)device->threads * of_thread(&g) * sizeof(lanes);
}

static size_t packed(sb_device *device, const sb_call *call)
{
    (void)device;
    const geometry g = geometry_of(call);
    return (size_t)g.groups * places(&g) * sizeof(lanes);
}

/* [groups][kernel][kernel][LANES], zeros behind the last channel. */
static int pack(sb_device *device, const sb_call *call)
{
    (void)device;
    const geometry g = geometry_of(call);
    const size_t c = (size_t)g.x.c;
    float *to = call->packed;
    for (size_t group = 0; group < (size_t)g.groups; group++)
        for (size_t place = 0; place < places(&g); place++)
            for (size_t l = 0; l < LANES; l++, to++)
                *to = group * LANES + l < c ? call->w[0][(group * LANES + l) * places(&g) + place] : 0;
    return 0;
}

/* ---- rows to buffers and back -------------------------------------------------------------------------- */

/* `count` of LANES channels, of which the others are zeros; `type` is a constant where it is inlined. */
static inline lanes load(const void *x, sb_type type, size_t at, int count)
{
    lanes value = { 0 };
    if (type == SB_F32 && count == LANES)
        memcpy(&value, (const float *)x + at, sizeof value);
    else if (count == LANES)
        for (int l = 0; l < LANES; l++)
            value[l] = sb_cpu_load(x, type, at + (size_t)l);
    else
        for (int l = 0; l < count; l++)
            value[l] = sb_cpu_load(x, type, at + (size_t)l);
    return value;
}

static inline void give(void *y, sb_type type, size_t at, int count, lanes value, bool add)
{
    if (add)
        value += load(y, type, at, count);
    if (type == SB_F32 && count == LANES) {
        memcpy((float *)y + at, &value, sizeof value);
        return;
    }
    float row[LANES];
    memcpy(row, &value, sizeof value);
    if (count == LANES)
        sb_cpu_store_row(y, type, at, LANES, row);
    else
        sb_cpu_store_row(y, type, at, count, row);
}

/* A column of a row in the channels of up to BUNDLE groups, from the place of the first on. */
static inline void copy_column(const void *x, sb_type type, size_t at, int full, int rest, size_t apart,
                               lanes *to)
{
    if (full == BUNDLE) {
        for (int q = 0; q < BUNDLE; q++)
            to[(size_t)q * apart] = load(x, type, at + (size_t)q * LANES, LANES);
        return;
    }
    for (int q = 0; q < full; q++)
        to[(size_t)q * apart] = load(x, type, at + (size_t)q * LANES, LANES);
    if (rest > 0)
        to[(size_t)full * apart] = load(x, type, at + (size_t)full * LANES, rest);
}

static inline void clear_column(int groups, size_t apart, lanes *to)
{
    for (int q = 0; q < groups; q++)
        to[(size_t)q * apart] = (lanes){ 0 };
}

/* A row of an image from its column `first` on, in phases of `stride` and `pitch` columns, zeros where there
 * are none; each group's `apart` behind the one before. */
static inline void copy_row(const sb_shape *s, const void *x, sb_type type, int n, int row, int first,
                            int stride, int pitch, int channel, size_t apart, lanes *to)
{
    const bool outside = row < 0 || row >= s->h;
    const int left = s->c - channel, all = outside ? 0 : s->w;
    const int full = left / LANES < BUNDLE ? left / LANES : BUNDLE, rest = full < BUNDLE ? left % LANES : 0;
    const int groups = full + (rest > 0);
    for (int phase = 0; phase < stride; phase++, to += pitch) {
        int i = 0, column = first + phase;
        for (; i < pitch && (column < 0 || all == 0); i++, column += stride)
            clear_column(groups, apart, to + i);
        const size_t c = (size_t)s->c, step = (size_t)stride * c;
        size_t at = all == 0
                        ? 0
                        : (((size_t)n * (size_t)s->h + (size_t)row) * (size_t)s->w + (size_t)column) * c +
                              (size_t)channel;
        for (; i < pitch && column < all; i++, column += stride, at += step)
            copy_column(x, type, at, full, rest, apart, to + i);
        for (; i < pitch; i++)
            clear_column(groups, apart, to + i);
    }
}

static void copy_rows(const sb_shape *s, const void *x, int n, int row, int rows, int first, int stride,
                      int pitch, int channel, size_t apart, lanes *to)
{
    for (int r = row; r < row + rows; r++, to += (size_t)stride * (size_t)pitch)
        if (s->type == SB_F32)
            copy_row(s, x, SB_F32, n, r, first, stride, pitch, channel, apart, to);
        else if (s->type == SB_BF16)
            copy_row(s, x, SB_BF16, n, r, first, stride, pitch, channel, apart, to);
        else
            copy_row(s, x, SB_F16, n, r, first, stride, pitch, channel, apart, to);
}

/* `many` of a tile's outputs to every `step`th column from a place on. */
static inline void give_tile_of(const sb_shape *s, void *y, sb_type type, size_t at, int step, int channel,
                                int many, const lanes *value, bool add)
{
    const int count = s->c - channel < LANES ? s->c - channel : LANES;
    if (count == LANES)
        for (int t = 0; t < many; t++)
            give(y, type, at + (size_t)t * (size_t)step * (size_t)s->c, LANES, value[t], add);
    else
        for (int t = 0; t < many; t++)
            give(y, type, at + (size_t)t * (size_t)step * (size_t)s->c, count, value[t], add);
}

static inline void give_tile(const sb_shape *s, void *y, int n, int row, int column, int step, int channel,
                             int many, const lanes *value, bool add)
{
    const size_t at = (((size_t)n * (size_t)s->h + (size_t)row) * (size_t)s->w + (size_t)column) *
                          (size_t)s->c +
                      (size_t)channel;
    if (s->type == SB_F32)
        give_tile_of(s, y, SB_F32, at, step, channel, many, value, add);
    else if (s->type == SB_BF16)
        give_tile_of(s, y, SB_BF16, at, step, channel, many, value, add);
    else
        give_tile_of(s, y, SB_F16, at, step, channel, many, value, add);
}

static inline void add_products(lanes sum[TILE], const lanes *from, lanes weight)
{
    /* Else gcc keeps from[t + 1] in a register as the next call's from[t], and sums in memory instead. */
    __asm__("" : "+r"(from));
    for (int t = 0; t < TILE; t++)
        sum[t] += from[t] * weight;
}

/* ---- forward ------------------------------------------------------------------------------------------- */

/* Row i of a strip. */
static void forward_row(const geometry *g, const sb_call *call, const lanes *buffer, const lanes *w,
                        lanes bias, int n, int strip, int i, int channel)
{
    const int k = g->kernel, s = g->stride;
    for (int j = 0; j < g->y.w; j += TILE) {
        lanes sum[TILE];
        for (int t = 0; t < TILE; t++)
            sum[t] = bias;
        for (int a = 0; a < k; a++)
            for (int phase = 0; phase < s; phase++) {
                const lanes *from = buffer +
                                    ((size_t)(i * s + a) * (size_t)s + (size_t)phase) * (size_t)g->x_pitch +
                                    j;
                for (int b = phase; b < k; b += s, from++)
                    add_products(sum, from, w[a * k + b]);
            }
        give_tile(&g->y, call->y, n, strip * g->rows + i, j, 1, channel,
                  g->y.w - j < TILE ? g->y.w - j : TILE, sum, false);
    }
}

/* The groups from one on that a task has. */
static int end_of_bundle(const geometry *g, int group)
{
    return group + BUNDLE < g->groups ? group + BUNDLE : g->groups;
}

static void forward_task(const geometry *g, const sb_call *call, lanes *buffer, int n, int strip, int group)
{
    const int first = strip * g->rows, end = end_of_bundle(g, group);
    copy_rows(&g->x, call->x[0], n, first * g->stride - g->pad, g->x_rows, -g->pad, g->stride, g->x_pitch,
              group * LANES, x_buffer(g), buffer);
    for (; group < end; group++, buffer += x_buffer(g)) {
        const lanes *w = (const lanes *)call->packed + (size_t)group * places(g);
        const int channel = group * LANES, count = g->x.c - channel < LANES ? g->x.c - channel : LANES;
        const lanes bias = call->w[1] ? load(call->w[1], SB_F32, (size_t)channel, count) : (lanes){ 0 };
        for (int i = 0; i < g->rows && first + i < g->y.h; i++)
            forward_row(g, call, buffer, w, bias, n, strip, i, channel);
    }
}

static int forward(sb_device *device, const sb_call *call)
{
    const geometry g = geometry_of(call);
#pragma omp parallel for collapse(3) schedule(static) num_threads(device->threads)
    for (int n = 0; n < g.y.n; n++)
        for (int strip = 0; strip < g.strips; strip++)
            for (int group = 0; group < g.groups; group += BUNDLE)
                forward_task(&g, call, (lanes *)call->scratch + (size_t)omp_get_thread_num() * of_thread(&g),
                             n, strip, group);
    return 0;
}

/* ---- backward ------------------------------------------------------------------------------------------ */

/* Row r of a strip of dx. Its column s m + phase meets column m + (phase + pad - b) / s of dy at those places
 * b of the kernel where that is a whole number; rows in the same way. */
static void data_row(const geometry *g, const sb_call *call, const lanes *buffer, const lanes *w, int n,
                     int strip, int r, int channel)
{
    const int k = g->kernel, s = g->stride, last = (r + g->pad) / s, first = (r + g->pad) % s;
    for (int phase = 0; phase < s && phase < g->x.w; phase++) {
        const int last_column = (phase + g->pad) / s, first_column = (phase + g->pad) % s,
                  columns = up(g->x.w - phase, s);
        for (int m = 0; m < columns; m += TILE) {
            const lanes *row = buffer + (size_t)(g->y_before + last) * (size_t)g->y_pitch + g->y_left + m +
                               last_column;
            lanes sum[TILE] = { { 0 } };
            for (int a = first; a < k; a += s, row -= g->y_pitch) {
                const lanes *from = row;
                for (int b = first_column; b < k; b += s, from--)
                    add_products(sum, from, w[a * k + b]);
            }
            give_tile(&g->x, call->dx[0], n, strip * g->rows * s + r, s * m + phase, s, channel,
                      columns - m < TILE ? columns - m : TILE, sum, call->add[0]);
        }
    }
}

/* TAPS places of the kernel from `first` on, over the rows of a strip of dy. */
static void weight_taps(const geometry *g, const lanes *x, const lanes *dy, int rows, int first, lanes *total)
{
    const int k = g->kernel, s = g->stride, all = k * k;
    const size_t row = (size_t)s * (size_t)g->x_pitch;
    size_t at[TAPS];
    lanes sum[TAPS] = { { 0 } };
    for (int t = 0; t < TAPS; t++) { /* those behind the last are computed for nothing */
        const int place = first + t < all ? first + t : first, a = place / k, b = place % k;
        at[t] = (size_t)a * row + (size_t)(b % s) * (size_t)g->x_pitch + (size_t)(b / s);
    }
    for (int i = 0; i < rows; i++) {
        const lanes *here = x + (size_t)i * (size_t)s * row,
                    *its = dy + (size_t)(g->y_before + i) * (size_t)g->y_pitch + g->y_left;
        for (int j = 0; j < g->y.w; j++)
            for (int t = 0; t < TAPS; t++)
                sum[t] += its[j] * here[at[t] + (size_t)j];
    }
    for (int t = 0; t < TAPS && first + t < all; t++)
        total[first + t] += sum[t];
}

static lanes bias_sum(const geometry *g, const lanes *dy, int rows)
{
    lanes sum = { 0 };
    for (int i = 0; i < rows; i++) {
        lanes of_row = { 0 };
        for (int j = 0; j < g->y.w; j++)
            of_row += dy[(size_t)(g->y_before + i) * (size_t)g->y_pitch + (size_t)(g->y_left + j)];
        sum += of_row;
    }
    return sum;
}

static void backward_task(const geometry *g, const sb_call *call, lanes *mine, int n, int strip, int group)
{
    const int first = strip * g->rows, end = end_of_bundle(g, group), all = g->y.h - first,
              rows = all < g->rows ? all : g->rows;
    lanes *x = mine, *dy = x + BUNDLE * x_buffer(g), *total = dy + BUNDLE * y_buffer(g);
    copy_rows(&g->y, call->dy, n, first - g->y_before, g->y_rows, -g->y_left, 1, g->y_pitch, group * LANES,
              y_buffer(g), dy);
    if (call->dw[0])
        copy_rows(&g->x, call->x[0], n, first * g->stride - g->pad, g->x_rows, -g->pad, g->stride, g->x_pitch,
                  group * LANES, x_buffer(g), x);
    for (; group < end; group++, x += x_buffer(g), dy += y_buffer(g)) {
        const lanes *w = (const lanes *)call->packed + (size_t)group * places(g);
        lanes *sum = total + (size_t)group * sums(g);
        for (int r = 0; call->dx[0] && r < g->rows * g->stride && first * g->stride + r < g->x.h; r++)
            data_row(g, call, dy, w, n, strip, r, group * LANES);
        for (int place = 0; call->dw[0] && place < (int)places(g); place += TAPS)
            weight_taps(g, x, dy, rows, place, sum);
        if (call->dw[1])
            sum[places(g)] += bias_sum(g, dy, rows);
    }
}

/* Adds the threads' sums to dw, in the threads' order. */
static void give_weights(const geometry *g, const sb_call *call, int threads)
{
    for (int c = 0; c < g->x.c; c++)
        for (size_t place = 0; place < sums(g); place++) {
            const size_t at = BUNDLE * (x_buffer(g) + y_buffer(g)) + (size_t)(c / LANES) * sums(g) + place;
            double sum = 0;
            for (int thread = 0; thread < threads; thread++)
                sum += (double)((const lanes *)call->scratch)[(size_t)thread * of_thread(g) + at][c % LANES];
            if (place == places(g) && call->dw[1])
                call->dw[1][c] += (float)sum;
            else if (place < places(g) && call->dw[0])
                call->dw[0][(size_t)c * places(g) + place] += (float)sum;
        }
}

static int backward(sb_device *device, const sb_call *call)
{
    const geometry g = geometry_of(call);
    lanes *memory = call->scratch;
    for (int thread = 0; thread < device->threads; thread++)
        memset(memory + (size_t)thread * of_thread(&g) + BUNDLE * (x_buffer(&g) + y_buffer(&g)), 0,
               (size_t)g.groups * sums(&g) * sizeof(lanes));
#pragma omp parallel for collapse(3) schedule(static) num_threads(device->threads)
    for (int n = 0; n < g.y.n; n++)
        for (int strip = 0; strip < g.strips; strip++)
            for (int group = 0; group < g.groups; group += BUNDLE)
                backward_task(&g, call, memory + (size_t)omp_get_thread_num() * of_thread(&g), n, strip,
                              group);
    give_weights(&g, call, device->threads);
    return 0;
}

const sb_kernel sb_cpu_depthwise = {
    .scratch = scratch, .packed = packed, .pack = pack, .forward = forward, .backward = backward
};
