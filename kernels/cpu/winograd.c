/* winograd.c: see winograd.h.
 *
 * The outputs are divided into tiles of 4 x 4, which read 6 x 6 places of the input. A tile's places, and the
 * nine weights, are transformed to 36 points each, in which a convolution is a product of matrices, one for
 * each point: [tiles, in] by [in, out]; and the outputs are transformed back. The gradient of the weights is
 * the same with the adjoint transforms. Tiles are worked on by strips, so that what is between the transforms
 * stays in the caches. */
#include "kernels/cpu/winograd.h"

#include <omp.h>
#include <string.h>
#if defined __AVX__
#include <immintrin.h>
#endif

#define OUT ((size_t)4) /* outputs of a tile along a side */
#define IN ((size_t)6)  /* places that they read */
#define POINTS (IN * IN)
#define SIDE ((size_t)3) /* of a filter */
#define TAPS (SIDE * SIDE)

/* Transforms take a GROUP of channels at once, which are neighbours in rows and in blocks. Products keep ROWS
 * x 2 registers of sums; those of a weight's gradient, whose rows are channels, DOWN x 2. */
#if defined __AVX512F__
#define GROUP ((size_t)8)
#define LANES ((size_t)16)
#define ROWS 12
#define DOWN 8
#elif defined __AVX__
#define GROUP ((size_t)8)
#define LANES ((size_t)8)
#define ROWS 6
#define DOWN 4
#else
#define GROUP ((size_t)4)
#define LANES ((size_t)4)
#define ROWS 6
#define DOWN 4
#endif
#define PANEL (2 * LANES)
typedef float group __attribute__((vector_size(GROUP * sizeof(float))));
typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));

static inline lanes load_lanes(const float *from)
{
    lanes value;
    memcpy(&value, from, sizeof value);
    return value;
}

static inline lanes in_all(float value)
{
#if defined __AVX512F__
    return (lanes)_mm512_set1_ps(value);
#elif defined __AVX__
    return (lanes)_mm256_set1_ps(value);
#else
    return value - (lanes){ 0 };
#endif
}

static inline lanes multiply_add(lanes a, lanes b, lanes c)
{
#if defined __AVX512F__
    return (lanes)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined __FMA__
    return (lanes)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}

/* A strip has at most STRIP_TILES tiles; STRIP_MOST where weights are more than 128 x 128, so that each that
 * is read serves more of them. */
#define STRIP_TILES ((size_t)24)
#define STRIP_MOST ((size_t)48)
#define APART ((size_t)16)      /* floats between rows, and between points, so that no step is a power of 2 */
#define BLOCK ((size_t)5 << 19) /* floats of the weights' points at a time: some 10 MiB */

static size_t up(size_t count, size_t by) { return (count + by - 1) / by * by; }

/* How a call is divided. Weights are transformed for as many of the outputs at once as `block` says, a
 * multiple of PANEL; their gradients for as many of the inputs. */
typedef struct {
    size_t down, across; /* tiles of an image */
    size_t tiles, strip; /* in all; of a strip, a multiple of ROWS */
    size_t block;
} division;

/* s: x or y. whole, cut: channels of the side that is whole in a block, and of the other one. */
static division divide(const sb_shape *s, size_t whole, size_t cut, int threads)
{
    division d = { .down = up((size_t)s->h, OUT) / OUT, .across = up((size_t)s->w, OUT) / OUT };
    const size_t most = whole * cut > (size_t)128 * 128 ? STRIP_MOST : STRIP_TILES, padded = up(cut, PANEL);
    d.tiles = (size_t)s->n * d.down * d.across;
    const size_t strips = up((d.tiles + most - 1) / most, (size_t)threads);
    d.strip = up((d.tiles + strips - 1) / strips, ROWS);
    const size_t blocks = (POINTS * whole * padded + BLOCK - 1) / BLOCK;
    d.block = up((padded + blocks - 1) / blocks, PANEL);
    return d;
}

/* Of a strip's rows of so many channels. */
static size_t pitch_of(size_t channels) { return up(channels, 32) + APART; }

/* From a point to the next one: of a strip, and of weights. */
static size_t strip_step(const division *d, size_t channels) { return d->strip * pitch_of(channels) + APART; }
static size_t weights_step(const division *d, size_t whole) { return whole * d->block + APART; }

/* Channels from `first` on. */
typedef struct {
    size_t first, count;
} range;

/* ---- transforms of one dimension ----------------------------------------------------------------------- */

/* Places to points, points to outputs, and weights to points; then the adjoints of the last two. */
static inline void to_points(const group d[IN], group t[IN])
{
    const group a = d[4] - 4 * d[2], b = d[3] - 4 * d[1], c = d[4] - d[2], e = 2 * (d[3] - d[1]);
    t[0] = 4 * d[0] - 5 * d[2] + d[4];
    t[1] = a + b;
    t[2] = a - b;
    t[3] = c + e;
    t[4] = c - e;
    t[5] = 4 * d[1] - 5 * d[3] + d[5];
}
static inline void to_outputs(const group m[IN], group y[OUT])
{
    const group a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], e = m[3] - m[4];
    y[0] = m[0] + a + c;
    y[1] = b + 2 * e;
    y[2] = a + 4 * c;
    y[3] = b + 8 * e + m[5];
}
static inline void weights_to_points(const group g[SIDE], group u[IN])
{
    const group a = (g[0] + g[2]) * (-1.0f / 6), b = g[1] * (1.0f / 6),
                c = g[0] * (1.0f / 24) + g[2] * (1.0f / 6), e = g[1] * (1.0f / 12);
    u[0] = g[0] * 0.25f;
    u[1] = a - b;
    u[2] = a + b;
    u[3] = c + e;
    u[4] = c - e;
    u[5] = g[2];
}
static inline void outputs_to_points(const group y[OUT], group z[IN])
{
    const group a = y[0] + y[2], b = y[1] + y[3], c = y[0] + 4 * y[2], e = 2 * y[1] + 8 * y[3];
    z[0] = y[0];
    z[1] = a + b;
    z[2] = a - b;
    z[3] = c + e;
    z[4] = c - e;
    z[5] = y[3];
}
static inline void points_to_weights(const group s[IN], group g[SIDE])
{
    const group a = s[1] + s[2], b = s[2] - s[1], c = s[3] + s[4], e = s[3] - s[4];
    g[0] = s[0] * 0.25f - a * (1.0f / 6) + c * (1.0f / 24);
    g[1] = b * (1.0f / 6) + e * (1.0f / 12);
    g[2] = (c - a) * (1.0f / 6) + s[5];
}

static inline group load(const float *from)
{
    group value;
    memcpy(&value, from, sizeof value);
    return value;
}
static inline void store(float *to, group value) { memcpy(to, &value, sizeof value); }

/* Activations, from element `at` on, of f32 or bf16. With cpu.h's loops over rows, of eight values here, a
 * step took a tenth longer. */
typedef uint32_t words __attribute__((vector_size(GROUP * sizeof(uint32_t))));
typedef uint16_t halves __attribute__((vector_size(GROUP * sizeof(uint16_t))));
static inline group load_values(const void *x, sb_type type, size_t at)
{
    if (type == SB_F32)
        return load((const float *)x + at);
    halves bits;
    memcpy(&bits, (const uint16_t *)x + at, sizeof bits);
    return (group)(__builtin_convertvector(bits, words) << 16);
}
static inline void store_values(void *y, sb_type type, size_t at, group value)
{
    if (type == SB_F32) {
        store((float *)y + at, value);
        return;
    }
    const words bits = (words)value, nan = (words)((bits & 0x7fffffff) > 0x7f800000),
                rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16, kept = (bits >> 16) | 0x40;
    const halves to = __builtin_convertvector((nan & kept) | (~nan & rounded), halves);
    memcpy((uint16_t *)y + at, &to, sizeof to);
}

/* Both ways of a square: [from][from] to [to][to], each of `apart` floats from one group to the next. The
 * transform and the sides are constants where it is inlined. */
typedef void transform(const group *from, group *to);
static inline __attribute__((always_inline)) void both_ways(transform *one, size_t from, size_t to,
                                                            const float *square, size_t apart, float *out,
                                                            size_t out_apart)
{
    group half[POINTS], column[IN], line[IN];
    for (size_t j = 0; j < from; j++) {
        for (size_t i = 0; i < from; i++)
            column[i] = load(square + (i * from + j) * apart);
        one(column, line);
        for (size_t i = 0; i < to; i++)
            half[i * from + j] = line[i];
    }
    for (size_t i = 0; i < to; i++) {
        one(half + i * from, line);
        for (size_t j = 0; j < to; j++)
            store(out + (i * to + j) * out_apart, line[j]);
    }
}

/* ---- tiles --------------------------------------------------------------------------------------------- */

/* A tile: its first output, in an image. */
typedef struct {
    size_t image;
    int top, left;
} tile;

static tile tile_of(const division *d, size_t number)
{
    const size_t of_image = d->down * d->across, at = number % of_image;
    return (tile){ number / of_image, (int)(at / d->across * OUT), (int)(at % d->across * OUT) };
}

/* [side][side] places of a group of channels, from `before` above and left of the tile on; zeros beside the
 * image. */
static inline void read_places(const sb_shape *s, const void *x, const tile *t, size_t channel, int before,
                               size_t side, float *d)
{
    const size_t step = s->block > 0 ? (size_t)s->block : (size_t)s->c,
                 first = sb_shape_at(s, t->image * (size_t)s->h * (size_t)s->w, channel);
    const group none = { 0 };
    for (size_t i = 0; i < side; i++) {
        const int y = t->top - before + (int)i;
        for (size_t j = 0; j < side; j++) {
            const int at = t->left - before + (int)j;
            const bool inside = y >= 0 && y < s->h && at >= 0 && at < s->w;
            store(d + (i * side + j) * GROUP,
                  inside ? load_values(x, s->type, first + ((size_t)y * (size_t)s->w + (size_t)at) * step)
                         : none);
        }
    }
}

/* A tile's places as 36 points of each channel. */
static void tile_to_points(const sb_shape *s, range channels, const void *x, const tile *t, float *to,
                           size_t apart)
{
    for (size_t c = 0; c < channels.count; c += GROUP) {
        float d[POINTS * GROUP];
        read_places(s, x, t, channels.first + c, 1, IN, d);
        both_ways(to_points, IN, IN, d, GROUP, to + c, apart);
    }
}

/* The same of a tile's gradients at its outputs, and zeros behind them up to a whole panel. */
static void gradients_to_points(const sb_shape *s, const void *dy, const tile *t, float *to, size_t apart)
{
    size_t c = 0;
    for (; c < (size_t)s->c; c += GROUP) {
        float d[OUT * OUT * GROUP];
        read_places(s, dy, t, c, 0, OUT, d);
        both_ways(outputs_to_points, OUT, IN, d, GROUP, to + c, apart);
    }
    for (; c < up((size_t)s->c, PANEL); c += GROUP)
        for (size_t p = 0; p < POINTS; p++)
            store(to + p * apart + c, (group){ 0 });
}

/* 36 points of each channel to a tile's outputs, those of the image. */
static void points_to_tile(const sb_shape *s, range channels, const float *from, size_t apart,
                           const float *bias, const tile *t, void *y, bool add)
{
    const size_t step = s->block > 0 ? (size_t)s->block : (size_t)s->c;
    for (size_t c = 0; c < channels.count; c += GROUP) {
        float outputs[OUT * OUT * GROUP];
        const group b = bias ? load(bias + channels.first + c) : (group){ 0 };
        const size_t first = sb_shape_at(s, t->image * (size_t)s->h * (size_t)s->w, channels.first + c);
        both_ways(to_outputs, IN, OUT, from + c, apart, outputs, GROUP);
        for (size_t i = 0; i < OUT && t->top + (int)i < s->h; i++)
            for (size_t j = 0; j < OUT && t->left + (int)j < s->w; j++) {
                const size_t at = first + (((size_t)t->top + i) * (size_t)s->w + (size_t)t->left + j) * step;
                const group value = load(outputs + (i * OUT + j) * GROUP);
                store_values(y, s->type, at, add ? load_values(y, s->type, at) + value : value + b);
            }
    }
}

/* ---- products ------------------------------------------------------------------------------------------ */

/* sums [count][PANEL] (+)= a [count][depth] b [depth][PANEL]; count is a constant where it is inlined. */
static inline __attribute__((always_inline)) void multiply(int count, const float *a, size_t a_row,
                                                           size_t a_depth, const float *b, size_t b_depth,
                                                           size_t depth, float *sums, size_t sums_row,
                                                           bool add)
{
    lanes sum[12][2] = { 0 };
#pragma GCC unroll 12
    for (int r = 0; r < count; r++) {
        sum[r][0] = add ? load_lanes(sums + (size_t)r * sums_row) : (lanes){ 0 };
        sum[r][1] = add ? load_lanes(sums + (size_t)r * sums_row + LANES) : (lanes){ 0 };
    }
    for (size_t k = 0; k < depth; k++) {
        const lanes first = load_lanes(b + k * b_depth), second = load_lanes(b + k * b_depth + LANES);
#pragma GCC unroll 12
        for (int r = 0; r < count; r++) {
            const lanes left = in_all(a[(size_t)r * a_row + k * a_depth]);
            sum[r][0] = multiply_add(left, first, sum[r][0]);
            sum[r][1] = multiply_add(left, second, sum[r][1]);
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < count; r++) {
        memcpy(sums + (size_t)r * sums_row, &sum[r][0], sizeof(lanes));
        memcpy(sums + (size_t)r * sums_row + LANES, &sum[r][1], sizeof(lanes));
    }
}

/* ---- weights ------------------------------------------------------------------------------------------- */

/* Weights [out, in, 3, 3] as an array of filters: the one from input i to output o begins at
 * w[i i_step + o o_step], and is turned around where a gradient goes back through it. */
typedef struct {
    const float *w;
    size_t in, out, i_step, o_step;
    bool turned;
} filters;

/* Those from one input to a group of outputs, to points. */
static inline void filters_to_points(const filters *f, size_t i, size_t o, float *to, size_t apart)
{
    const float *w = f->w + i * f->i_step + o * f->o_step;
    float g[TAPS * GROUP];
    for (size_t t = 0; t < TAPS; t++)
        for (size_t l = 0; l < GROUP; l++)
            g[t * GROUP + l] = w[l * f->o_step + (f->turned ? TAPS - 1 - t : t)];
    both_ways(weights_to_points, SIDE, IN, g, GROUP, to, apart);
}

/* A block of outputs: [POINTS][panels][in][PANEL], zeros behind the last output. */
static void block_to_points(const filters *f, range block, float *to, size_t apart)
{
#pragma omp parallel for collapse(2) schedule(static)
    for (size_t panel = 0; panel < block.count; panel += PANEL)
        for (size_t i = 0; i < f->in; i++)
            for (size_t o = 0; o < PANEL; o += GROUP) {
                float *at = to + panel * f->in + i * PANEL + o;
                if (panel + o < block.count)
                    filters_to_points(f, i, block.first + panel + o, at, apart);
                else
                    for (size_t p = 0; p < POINTS; p++)
                        store(at + p * apart, (group){ 0 });
            }
}

/* A block of inputs: [POINTS][inputs][pitch of out] to [out, in, 3, 3]. */
static void points_to_block(const float *from, range block, size_t in, size_t out, float *dw)
{
    const size_t pitch = pitch_of(out);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < block.count; i++)
        for (size_t o = 0; o < out; o += GROUP) {
            float taps[TAPS * GROUP];
            both_ways(points_to_weights, IN, SIDE, from + i * pitch + o, block.count * pitch, taps, GROUP);
            for (size_t t = 0; t < TAPS; t++)
                for (size_t l = 0; l < GROUP; l++)
                    dw[((o + l) * in + block.first + i) * TAPS + t] = taps[t * GROUP + l];
        }
}

static range block_of(const division *d, size_t first, size_t count)
{
    return (range){ first, count - first < d->block ? count - first : d->block };
}

/* ---- outputs ------------------------------------------------------------------------------------------- */

/* Of a strip: points of both sides. */
static size_t strip_floats(const division *d, size_t in)
{
    return POINTS * (strip_step(d, in) + strip_step(d, d->block));
}

/* All that a convolution of s, x or dy, takes. */
static size_t outputs_floats(int threads, const sb_shape *s, size_t in, size_t out)
{
    const division d = divide(s, in, out, threads);
    return POINTS * weights_step(&d, in) + (size_t)threads * strip_floats(&d, in);
}

/* A convolution. bias: or NULL. */
typedef struct {
    division divided;
    sb_shape x, y;
    const void *from;
    const float *weights, *bias; /* weights: the points of a block of outputs */
    void *to;
    bool add;
} convolution;

/* A strip: its tiles to points, the products, and back. */
static void run_strip(const convolution *c, range block, size_t begin, float *strip)
{
    const division *d = &c->divided;
    const size_t in = (size_t)c->x.c, in_pitch = pitch_of(in), in_step = strip_step(d, in),
                 out_pitch = pitch_of(d->block), out_step = strip_step(d, d->block),
                 count = d->tiles - begin < d->strip ? d->tiles - begin : d->strip;
    float *left = strip, *sums = strip + POINTS * in_step;
    for (size_t i = 0; i < count; i++) {
        const tile t = tile_of(d, begin + i);
        tile_to_points(&c->x, (range){ 0, in }, c->from, &t, left + i * in_pitch, in_step);
    }
    for (size_t p = 0; p < POINTS; p++)
        for (size_t o = 0; o < block.count; o += PANEL)
            for (size_t i = 0; i < count; i += ROWS)
                multiply(ROWS, left + p * in_step + i * in_pitch, in_pitch, 1,
                         c->weights + p * weights_step(d, in) + o * in, PANEL, in,
                         sums + p * out_step + i * out_pitch + o, out_pitch, false);
    for (size_t i = 0; i < count; i++) {
        const tile t = tile_of(d, begin + i);
        points_to_tile(&c->y, block, sums + i * out_pitch, out_step, c->bias, &t, c->to, c->add);
    }
}

static void run(int threads, convolution *c, const filters *f, float *scratch)
{
    c->divided = divide(&c->x, f->in, f->out, threads);
    c->weights = scratch;
    const division *d = &c->divided;
    const size_t step = weights_step(d, f->in), count = (d->tiles + d->strip - 1) / d->strip;
    for (size_t first = 0; first < f->out; first += d->block) {
        const range block = block_of(d, first, f->out);
        block_to_points(f, block, scratch, step);
#pragma omp parallel num_threads(threads)
        {
            float *own = scratch + POINTS * step + (size_t)omp_get_thread_num() * strip_floats(d, f->in);
#pragma omp for schedule(static)
            for (size_t i = 0; i < count; i++)
                run_strip(c, block, i * d->strip, own);
        }
    }
}

void sb_winograd_forward(int threads, const sb_shape *x, const sb_shape *y, const void *from, const float *w,
                         const float *bias, void *to, void *scratch)
{
    const size_t in = (size_t)x->c, out = (size_t)y->c;
    const filters f = { .w = w, .in = in, .out = out, .i_step = TAPS, .o_step = in * TAPS };
    run(threads, &(convolution){ .x = *x, .y = *y, .from = from, .bias = bias, .to = to }, &f, scratch);
}

/* A convolution of dy with the filters turned around. */
void sb_winograd_data(int threads, const sb_shape *x, const sb_shape *y, const void *dy, const float *w,
                      void *dx, bool add, void *scratch)
{
    const size_t in = (size_t)x->c, out = (size_t)y->c;
    const filters f = { .w = w, .in = out, .out = in, .i_step = in * TAPS, .o_step = TAPS, .turned = true };
    run(threads, &(convolution){ .x = *y, .y = *x, .from = dy, .to = dx, .add = add }, &f, scratch);
}

/* ---- the weights' gradient ----------------------------------------------------------------------------- */

static size_t weight_floats(const sb_shape *x, size_t in, size_t out)
{
    const division d = divide(x, out, in, 1);
    return POINTS * (d.block * pitch_of(out) + strip_step(&d, d.block) + strip_step(&d, out));
}

void sb_winograd_weight(int threads, const sb_shape *x, const sb_shape *y, const void *from, const void *dy,
                        float *dw, void *scratch)
{
    const size_t in = (size_t)x->c, out = (size_t)y->c;
    const division d = divide(x, out, in, 1);
    const size_t in_pitch = pitch_of(d.block), out_pitch = pitch_of(out), in_step = strip_step(&d, d.block),
                 out_step = strip_step(&d, out), blocks = (in + d.block - 1) / d.block,
                 strips = (d.tiles + d.strip - 1) / d.strip;
    float *sums = scratch, *left = sums + POINTS * d.block * out_pitch, *right = left + POINTS * in_step;
    for (size_t number = 0; number < blocks * strips; number++) {
        const range block = block_of(&d, number / strips * d.block, in);
        const size_t begin = number % strips * d.strip,
                     count = d.tiles - begin < d.strip ? d.tiles - begin : d.strip;
#pragma omp parallel num_threads(threads)
        {
#pragma omp for schedule(static)
            for (size_t i = 0; i < count; i++) {
                const tile t = tile_of(&d, begin + i);
                tile_to_points(x, block, from, &t, left + i * in_pitch, in_step);
                gradients_to_points(y, dy, &t, right + i * out_pitch, out_step);
            }
#pragma omp for collapse(2) schedule(static)
            for (size_t p = 0; p < POINTS; p++)
                for (size_t o = 0; o < out; o += PANEL)
                    for (size_t i = 0; i < block.count; i += DOWN)
                        multiply(DOWN, left + p * in_step + i, 1, in_pitch, right + p * out_step + o,
                                 out_pitch, count, sums + (p * block.count + i) * out_pitch + o, out_pitch,
                                 begin > 0);
        }
        if (begin + count == d.tiles)
            points_to_block(sums, block, in, out, dw);
    }
}

size_t sb_winograd_scratch(int threads, const sb_shape *x, const sb_shape *y)
{
    const size_t in = (size_t)x->c, out = (size_t)y->c, forward = outputs_floats(threads, x, in, out),
                 data = outputs_floats(threads, x, out, in), weight = weight_floats(x, in, out),
                 most = forward > data ? forward : data;
    return (most > weight ? most : weight) * sizeof(float);
}
