/* view.c: views of a tile on the CPU.
 *
 * Crop and resize in two passes of anti-aliased bilinear resampling: for each row of the view, the crop's
 * 8-bit rows are added up with their weights, whole rows at a time; the result is then added up along x. From
 * there on the view lies in planes [c][y][x] of f32, where every colour operation is one loop over pixels.
 * Rounded to 8 bits once, at the write. One thread. */
#include <math.h>
#include <string.h>

#include "kernels/cpu/cpu.h"
#include "kernels/op/view.h"
#include "kernels/share/colour.h"
#include "kernels/share/resample.h"

/* Weights of one axis: output i is the sum over k < count[i] of weight[i taps + k] times input first[i] + k.
 */
typedef struct {
    int *first, *count;
    float *weight;
    int taps;
} axis;

typedef struct {
    axis x, y;
    float *row;                          /* [tile_width * channels] */
    float *planes[SB_VIEW_CHANNELS_MAX]; /* [size * size] each; of channels that are not there the first */
    float *other;                        /* [size * size]: blur, luma */
    float *kernel;                       /* [size]: blur */
} work;

static size_t align(size_t bytes) { return (bytes + 63) / 64 * 64; }

/* Divides the work space at `base` among w's arrays. base NULL: only its size is wanted. Returns the size. */
static size_t lay_out_work(work *w, char *base, const sb_shape *tile, int size)
{
    size_t used = 0, s = (size_t)size;
#define HAND_OUT(pointer, bytes) ((pointer) = (void *)(base ? base + used : NULL), used += align(bytes))
    w->x.taps = sb_resize_taps(tile->w, size);
    w->y.taps = sb_resize_taps(tile->h, size);
    axis *axes[] = { &w->x, &w->y };
    for (int i = 0; i < 2; i++) {
        HAND_OUT(axes[i]->first, s * sizeof(int));
        HAND_OUT(axes[i]->count, s * sizeof(int));
        HAND_OUT(axes[i]->weight, s * (size_t)axes[i]->taps * sizeof(float));
    }
    HAND_OUT(w->row, (size_t)tile->w * (size_t)tile->c * sizeof(float));
    HAND_OUT(w->planes[0], s * s * sizeof(float));
    for (int c = 1; c < SB_VIEW_CHANNELS_MAX; c++)
        if (c < tile->c)
            HAND_OUT(w->planes[c], s * s * sizeof(float));
        else
            w->planes[c] = w->planes[0];
    HAND_OUT(w->other, s * s * sizeof(float));
    HAND_OUT(w->kernel, (s + 4) * sizeof(float));
#undef HAND_OUT
    return used;
}

/* Scratch is for one view: views are made one after another. A smaller view of a tile needs more taps but
 * fewer rows of them: the sum of both bounds covers every size up to max_size. */
static size_t scratch(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_view_how *how = call->how;
    const sb_shape *tile = &call->xs[0];
    work w;
    size_t weights = align((2 * (size_t)(tile->w + tile->h) + 10 * (size_t)how->max_size) * sizeof(float));
    return lay_out_work(&w, NULL, tile, how->max_size) + weights;
}

static void plan_axis(axis *a, int in, int out)
{
    for (int i = 0; i < out; i++)
        a->count[i] = sb_resize_weights(in, out, i, &a->first[i], a->weight + (size_t)i * (size_t)a->taps);
}

/* row[x, c] = sum of the crop's rows for output row y. */
static void blend_rows(const work *w, const uint8_t *crop, size_t pitch, int values, int y)
{
    const float *weight = w->y.weight + (size_t)y * (size_t)w->y.taps;
    float *restrict row = w->row;
    for (int k = 0; k < w->y.count[y]; k++) {
        const uint8_t *restrict from = crop + (size_t)(w->y.first[y] + k) * pitch;
        float f = weight[k];
        if (k == 0) {
#pragma omp simd
            for (int i = 0; i < values; i++)
                row[i] = f * (float)from[i];
        } else {
#pragma omp simd
            for (int i = 0; i < values; i++)
                row[i] += f * (float)from[i];
        }
    }
}

static void resize(const work *w, const uint8_t *tile, int tile_width, int channels, const sb_view_params *p)
{
    int size = p->size;
    size_t pitch = (size_t)tile_width * (size_t)channels;
    const uint8_t *crop = tile + (size_t)p->top * pitch + (size_t)p->left * (size_t)channels;
    for (int y = 0; y < size; y++) {
        blend_rows(w, crop, pitch, p->width * channels, y);
        for (int x = 0; x < size; x++) {
            const float *weight = w->x.weight + (size_t)x * (size_t)w->x.taps,
                        *from = w->row + (size_t)w->x.first[x] * (size_t)channels;
            float sum[SB_VIEW_CHANNELS_MAX] = { 0 };
            for (int k = 0; k < w->x.count[x]; k++)
                for (int c = 0; c < channels; c++)
                    sum[c] += weight[k] * from[k * channels + c];
            size_t to = (size_t)y * (size_t)size + (size_t)(p->flip ? size - 1 - x : x);
            for (int c = 0; c < channels; c++)
                w->planes[c][to] = sum[c] * (1.0f / 255.0f);
        }
    }
}

/* ---- colour -------------------------------------------------------------------------------------------- */

static void brightness(const work *w, int colours, size_t count, float factor)
{
    for (int c = 0; c < colours; c++)
#pragma omp simd
        for (size_t i = 0; i < count; i++)
            w->planes[c][i] = sb_clamp01(w->planes[c][i] * factor);
}

/* The luma's mean is summed in f64 in index order, by 16 lanes. */
static void contrast(const work *w, int colours, size_t count, float factor)
{
    const float *r = w->planes[0], *g = w->planes[1], *b = w->planes[2];
    double lanes[16] = { 0 }, sum = 0;
    size_t i = 0;
    for (; i + 16 <= count; i += 16)
#pragma omp simd
        for (int l = 0; l < 16; l++)
            lanes[l] += colours == 3 ? sb_luma(r[i + (size_t)l], g[i + (size_t)l], b[i + (size_t)l])
                                     : r[i + (size_t)l];
    for (int l = 0; l < 16; l++)
        sum += lanes[l];
    for (; i < count; i++)
        sum += colours == 3 ? sb_luma(r[i], g[i], b[i]) : r[i];
    float mean = (float)(sum / (double)count);
    for (int c = 0; c < colours; c++)
#pragma omp simd
        for (size_t k = 0; k < count; k++)
            w->planes[c][k] = sb_blend(w->planes[c][k], mean, factor);
}

static void saturation(const work *w, size_t count, float factor)
{
    float *r = w->planes[0], *g = w->planes[1], *b = w->planes[2];
#pragma omp simd
    for (size_t i = 0; i < count; i++) {
        float luma = sb_luma(r[i], g[i], b[i]);
        r[i] = sb_blend(r[i], luma, factor);
        g[i] = sb_blend(g[i], luma, factor);
        b[i] = sb_blend(b[i], luma, factor);
    }
}

static void hue(const work *w, size_t count, float turn)
{
    float *restrict r = w->planes[0], *restrict g = w->planes[1], *restrict b = w->planes[2];
#pragma omp simd
    for (size_t i = 0; i < count; i++) {
        sb_rgb turned = sb_turn_hue(r[i], g[i], b[i], turn);
        r[i] = turned.r;
        g[i] = turned.g;
        b[i] = turned.b;
    }
}

static void grey(const work *w, size_t count)
{
    float *r = w->planes[0], *g = w->planes[1], *b = w->planes[2];
#pragma omp simd
    for (size_t i = 0; i < count; i++)
        r[i] = g[i] = b[i] = sb_luma(r[i], g[i], b[i]);
}

static void solarise(const work *w, int colours, size_t count, float threshold)
{
    for (int c = 0; c < colours; c++)
#pragma omp simd
        for (size_t i = 0; i < count; i++)
            w->planes[c][i] = w->planes[c][i] >= threshold ? 1.0f - w->planes[c][i] : w->planes[c][i];
}

/* ---- blur ---------------------------------------------------------------------------------------------- */

/* Edges are reflected. Along y whole rows, along x shifted ones. */
static void blur(const work *w, int channels, int size, float sigma)
{
    int width = sb_blur_width(size), half = width / 2;
    sb_blur_weights(width, sigma, w->kernel);
    size_t s = (size_t)size;
    for (int c = 0; c < channels; c++) {
        float *plane = w->planes[c];
        for (int y = 0; y < size; y++) {
            float *restrict to = w->other + (size_t)y * s;
            memset(to, 0, s * sizeof *to);
            for (int k = 0; k < width; k++) {
                const float *restrict from = plane + (size_t)sb_reflect(y + k - half, size) * s;
                float f = w->kernel[k];
#pragma omp simd
                for (int x = 0; x < size; x++)
                    to[x] += f * from[x];
            }
        }
        for (int y = 0; y < size; y++) {
            const float *restrict from = w->other + (size_t)y * s;
            float *restrict to = plane + (size_t)y * s;
            memset(to, 0, s * sizeof *to);
            for (int k = 0; k < width; k++) {
                float f = w->kernel[k];
                int shift = k - half, begin = shift < 0 ? -shift : 0, end = shift > 0 ? size - shift : size;
                for (int x = 0; x < begin && x < size; x++)
                    to[x] += f * from[sb_reflect(x + shift, size)];
#pragma omp simd
                for (int x = begin; x < end; x++)
                    to[x] += f * from[x + shift];
                for (int x = end > begin ? end : begin; x < size; x++)
                    to[x] += f * from[sb_reflect(x + shift, size)];
            }
        }
    }
}

/* ---- the view ------------------------------------------------------------------------------------------ */

static void write_out(const work *w, int channels, size_t count, uint8_t *out)
{
    for (int c = 0; c < channels; c++)
        for (size_t i = 0; i < count; i++)
            out[i * (size_t)channels + (size_t)c] = (uint8_t)(sb_clamp01(w->planes[c][i]) * 255.0f + 0.5f);
}

static void one_view(const work *w, const uint8_t *tile, int tile_width, int channels,
                     const sb_view_params *p, uint8_t *out)
{
    const int colours = sb_view_colours(channels);
    size_t count = (size_t)p->size * (size_t)p->size;
    resize(w, tile, tile_width, channels, p);
    for (int k = 0; p->jitter && colours > 0 && k < 4; k++) {
        switch (p->order[k]) {
        case 0: brightness(w, colours, count, p->brightness); break;
        case 1: contrast(w, colours, count, p->contrast); break;
        case 2:
            if (colours == 3)
                saturation(w, count, p->saturation);
            break;
        default:
            if (colours == 3)
                hue(w, count, p->hue);
            break;
        }
    }
    if (p->grey && colours == 3)
        grey(w, count);
    if (p->blur > 0)
        blur(w, channels, p->size, p->blur);
    if (p->solarise < 2)
        solarise(w, colours, count, p->solarise);
    write_out(w, channels, count, out);
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_view_how *how = call->how;
    const sb_shape *tile = &call->xs[0];
    if (sb_view_check(how, tile) != 0)
        return -1;
    for (int i = 0; i < how->count; i++) {
        const sb_view_params *p = &how->params[i];
        work w;
        lay_out_work(&w, call->scratch, tile, p->size);
        plan_axis(&w.x, p->width, p->size);
        plan_axis(&w.y, p->height, p->size);
        one_view(&w, call->x[0], tile->w, tile->c, p, how->out[i]);
    }
    return 0;
}

const sb_kernel sb_cpu_view = { .scratch = scratch, .forward = forward };
