/* winograd.c: see winograd.h.
 *
 * The outputs are divided into tiles of 4 x 4, which read 6 x 6 places of the input. A tile's places, and the
 * nine weights, are transformed to 36 points each, in which a convolution is a product of matrices, one for
 * each point: [tiles, in] by [in, out]; and the outputs are transformed back. The gradient of the weights is
 * the same with the adjoint transforms. Tiles are worked on by strips, so that what is between the transforms
 * stays in the caches.
 *
 * A tile that ends outside of the image needs fewer points along that side: five for three outputs, since the
 * sixth is of the fourth output alone; four for two, by a transform of the input of its own. The others are
 * not computed: of a strip, each point has the tiles that need it. */
#include "kernels/cpu/winograd.h"

#include <omp.h>
#include <string.h>

#include "kernels/cpu/cpu.h"
#if defined __AVX__
#include <immintrin.h>
#endif

#define OUT ((size_t)4) /* outputs of a tile along a side */
#define IN ((size_t)6)  /* places that they read */
#define POINTS (IN * IN)
#define FEWEST ((size_t)4) /* points along a side, of one or two outputs */
#define SIDE ((size_t)3)   /* of a filter */
#define TAPS (SIDE * SIDE)

/* Transforms take a GROUP of channels at once. Products keep ROWS x 2 registers of sums; those of a weight's
 * gradient, whose rows are channels, DOWN x 2. */
#if defined __AVX512F__
#define GROUP ((size_t)16)
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
#define EIGHT ((size_t)8) /* channels come in eights, which are neighbours in rows and in blocks */
#define MORE (GROUP > EIGHT ? GROUP - EIGHT : 0) /* channels of a group behind its first eight */
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

/* Tiles of a strip, at most, in ROWS: more of them where weights are more than 128 x 128, so that each that
 * is read serves more tiles. STRIP_TILES is the most there are: a byte counts them (strip_rows). */
#define STRIP_TILES ((size_t)48)
#define STRIP ((size_t)24 / ROWS)
#define STRIP_MOST (STRIP_TILES / ROWS)
#define APART ((size_t)16)      /* floats between rows, and between points, so that no step is a power of 2 */
#define BLOCK ((size_t)5 << 19) /* floats of the weights' points at a time: some 10 MiB */

static size_t up(size_t count, size_t by) { return (count + by - 1) / by * by; }

/* How a call is divided. Weights are transformed for as many of the outputs at once as `block` says, a
 * multiple of PANEL; their gradients for as many of the inputs. */
typedef struct {
    size_t down, across; /* tiles of an image */
    size_t high, wide;   /* its sides, in places */
    size_t tiles, units; /* of all images; by ROWS, the last one may be cut */
    size_t strips, most; /* most: tiles of the largest strip, a multiple of ROWS */
    size_t block;
} division;

/* s: x or y. whole, cut: channels of the side that is whole in a block, and of the other one. */
static division divide(const sb_shape *s, size_t whole, size_t cut, int threads)
{
    division d = { .down = up((size_t)s->h, OUT) / OUT,
                   .across = up((size_t)s->w, OUT) / OUT,
                   .high = (size_t)s->h,
                   .wide = (size_t)s->w };
    const size_t most = whole * cut > (size_t)128 * 128 ? STRIP_MOST : STRIP, padded = up(cut, PANEL);
    d.tiles = (size_t)s->n * d.down * d.across;
    d.units = up(d.tiles, ROWS) / ROWS;
    d.strips = up((d.units + most - 1) / most, (size_t)threads);
    d.strips = d.strips < d.units ? d.strips : d.units;
    d.most = up(d.units, d.strips) / d.strips * ROWS;
    const size_t blocks = (POINTS * whole * padded + BLOCK - 1) / BLOCK;
    d.block = up((padded + blocks - 1) / blocks, PANEL);
    return d;
}

/* Where a strip begins. Strips are as equal as units allow. */
static size_t strip_begin(const division *d, size_t number)
{
    const size_t tile = d->units * number / d->strips * ROWS;
    return tile < d->tiles ? tile : d->tiles;
}

/* Of a strip's rows of so many channels. */
static size_t pitch_of(size_t channels) { return up(channels, 32) + APART; }

/* From a point to the next one: of a strip, and of weights. */
static size_t strip_step(const division *d, size_t channels) { return d->most * pitch_of(channels) + APART; }
static size_t weights_step(const division *d, size_t whole) { return whole * d->block + APART; }

/* Channels from `first` on. */
typedef struct {
    size_t first, count;
} range;

/* ---- transforms of one dimension ----------------------------------------------------------------------- */

/* Places to points, points to outputs, and weights to points; then the adjoints of the last two. The points
 * are 0, 1, -1, 2, -2 and infinity. wanted: how many of the results are used, the first ones; only FEWEST
 * points are made in another way. Where they are enough the fourth place is beside the image, and 0. */
static inline void to_points(const group *d, group *t, size_t wanted)
{
    if (wanted == FEWEST) {
        const group a = 2 * d[1], b = 3 * d[2];
        t[0] = 4 * (d[0] - d[2]) - a;
        t[1] = -3 * a - b;
        t[2] = a - b;
        t[3] = -2 * a;
        return;
    }
    const group a = d[4] - 4 * d[2], b = d[3] - 4 * d[1], c = d[4] - d[2], e = 2 * (d[3] - d[1]);
    t[0] = 4 * d[0] - 5 * d[2] + d[4];
    t[1] = a + b;
    t[2] = a - b;
    t[3] = c + e;
    t[4] = c - e;
    t[5] = 4 * d[1] - 5 * d[3] + d[5];
}
static inline void to_outputs(const group *m, group *y, size_t wanted)
{
    (void)wanted;
    const group a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], e = m[3] - m[4];
    y[0] = m[0] + a + c;
    y[1] = b + 2 * e;
    y[2] = a + 4 * c;
    y[3] = b + 8 * e + m[5];
}
static inline void weights_to_points(const group *g, group *u, size_t wanted)
{
    (void)wanted;
    const group a = (g[0] + g[2]) * (-1.0f / 6), b = g[1] * (1.0f / 6),
                c = g[0] * (1.0f / 24) + g[2] * (1.0f / 6), e = g[1] * (1.0f / 12);
    u[0] = g[0] * 0.25f;
    u[1] = a - b;
    u[2] = a + b;
    u[3] = c + e;
    u[4] = c - e;
    u[5] = g[2];
}
static inline void outputs_to_points(const group *y, group *z, size_t wanted)
{
    (void)wanted;
    const group a = y[0] + y[2], b = y[1] + y[3], c = y[0] + 4 * y[2], e = 2 * y[1] + 8 * y[3];
    z[0] = y[0];
    z[1] = a + b;
    z[2] = a - b;
    z[3] = c + e;
    z[4] = c - e;
    z[5] = y[3];
}
static inline void points_to_weights(const group *s, group *g, size_t wanted)
{
    (void)wanted;
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

/* Activations of f32 or bf16: a group of channels, of which the first eight begin at element `at`, and the
 * others, if a GROUP has more, `others` elements behind it; where that is 0 there are none: they are read as
 * zeros, and not stored. Mostly all are there and are neighbours, which
 * is_whole says. */
static inline bool is_whole(size_t others) { return MORE == 0 || others == EIGHT; }
static __attribute__((noinline)) group load_parts(const void *x, sb_type type, size_t at, size_t others)
{
    float values[GROUP] = { 0 };
    sb_cpu_load_row(x, type, at, GROUP - MORE, values);
    if (others)
        sb_cpu_load_row(x, type, at + others, MORE, values + GROUP - MORE);
    return load(values);
}
static __attribute__((noinline)) void store_parts(void *y, sb_type type, size_t at, size_t others,
                                                  group value)
{
    float values[GROUP];
    store(values, value);
    sb_cpu_store_row(y, type, at, GROUP - MORE, values);
    if (others)
        sb_cpu_store_row(y, type, at + others, MORE, values + GROUP - MORE);
}

/* A whole group. type: a constant where it is inlined. With cpu.h's loops over rows a step took a tenth
 * longer; and with a branch to load_parts among the transforms' loads, some hundredths. */
typedef uint32_t words __attribute__((vector_size(GROUP * sizeof(uint32_t))));
typedef uint16_t halves __attribute__((vector_size(GROUP * sizeof(uint16_t))));
INLINE group load_whole(const void *x, sb_type type, size_t at)
{
    if (type == SB_F32)
        return load((const float *)x + at);
    halves bits;
    memcpy(&bits, (const uint16_t *)x + at, sizeof bits);
    return (group)(__builtin_convertvector(bits, words) << 16);
}
INLINE void store_whole(void *y, sb_type type, size_t at, group value)
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

INLINE group load_values(const void *x, sb_type type, size_t at, size_t others)
{
    return is_whole(others) ? load_whole(x, type, at) : load_parts(x, type, at, others);
}
INLINE void store_values(void *y, sb_type type, size_t at, size_t others, group value)
{
    if (is_whole(others))
        store_whole(y, type, at, value);
    else
        store_parts(y, type, at, others, value);
}

/* `others`, as load_parts takes it, of the group that begins with a channel. */
static size_t others_of(const sb_shape *s, size_t channel)
{
    return MORE == 0 || channel + EIGHT >= (size_t)s->c
               ? 0
               : sb_shape_at(s, 0, channel + EIGHT) - sb_shape_at(s, 0, channel);
}
/* Channels of the group that begins with one. */
static size_t channels_left(size_t channels, size_t channel)
{
    return channels - channel < GROUP ? channels - channel : GROUP;
}

/* Both ways of a square: [from][from], of which `read` gives each, to [down][across], which go to out + at[],
 * as a square of `wide` is numbered. The transform, what reads and from are constants where it is inlined. */
typedef void transform(const group *from, group *to, size_t wanted);
typedef group reader(const void *square, size_t number);
INLINE void both_ways(transform *one, size_t from, reader *read, const void *square, size_t down,
                      size_t across, size_t wide, float *out, const size_t *at)
{
    group half[POINTS], column[IN], line[IN];
    for (size_t j = 0; j < from; j++) {
        for (size_t i = 0; i < from; i++)
            column[i] = read(square, i * from + j);
        one(column, line, down);
        for (size_t i = 0; i < down; i++)
            half[i * from + j] = line[i];
    }
    for (size_t i = 0; i < down; i++) {
        one(half + i * from, line, across);
        for (size_t j = 0; j < across; j++)
            store(out + at[i * wide + j], line[j]);
    }
}

/* Floats of which each is `apart` from the one before it. */
typedef struct {
    const float *first;
    size_t apart;
} floats;
INLINE group read_floats(const void *square, size_t number)
{
    const floats *f = square;
    return load(f->first + number * f->apart);
}
static void place_apart(size_t count, size_t apart, size_t *at)
{
    for (size_t i = 0; i < count; i++)
        at[i] = i * apart;
}

/* ---- tiles --------------------------------------------------------------------------------------------- */

/* A tile: its first output, in an image; and its points along each side. */
typedef struct {
    size_t image;
    int top, left;
    size_t down, across;
} tile;

static size_t points_for(size_t outputs)
{
    return outputs >= OUT ? IN : outputs + 2 > FEWEST ? outputs + 2 : FEWEST;
}

static tile tile_of(const division *d, size_t number)
{
    const size_t of_image = d->down * d->across, at = number % of_image, top = at / d->across * OUT,
                 left = at % d->across * OUT;
    return (tile){ number / of_image, (int)top, (int)left, points_for(d->high - top),
                   points_for(d->wide - left) };
}

static bool has(const tile *t, size_t point) { return point / IN < t->down && point % IN < t->across; }

/* The tiles of a strip: where each stands among those that have a point, and how many have it. */
typedef struct {
    size_t count[POINTS];
    uint8_t row[STRIP_TILES][POINTS];
} strip_rows;

static void find_rows(const division *d, size_t begin, size_t end, strip_rows *s)
{
    memset(s->count, 0, sizeof s->count);
    for (size_t i = begin; i < end; i++) {
        const tile t = tile_of(d, i);
        for (size_t p = 0; p < POINTS; p++) {
            s->row[i - begin][p] = (uint8_t)s->count[p];
            s->count[p] += has(&t, p);
        }
    }
}

/* Floats from the first point of a strip's first tile to each point of a tile. */
static void find_points(const uint8_t row[POINTS], size_t pitch, size_t step, size_t at[POINTS])
{
    for (size_t p = 0; p < POINTS; p++)
        at[p] = p * step + row[p] * pitch;
}

/* A square of a tile, of one group of channels: where each begins. Those that are not there, beside the image
 * or among the points, are read from zeros: bytes from a channel to the next one are 0 for them. */
typedef struct {
    const char *at[POINTS];
    size_t step[POINTS];
    size_t channel, others; /* of the group: elements from the first channel; as load_parts takes it */
    sb_type type;
} places;

static const float zeros[GROUP];

/* before: rows above and columns left of the tile's first output. */
static void find_places(const sb_shape *s, const void *x, const tile *t, int before, size_t side, places *p)
{
    const size_t size = sb_type_bytes(s->type), image = t->image * (size_t)s->h * (size_t)s->w,
                 first = sb_shape_at(s, image, 0), step = s->block > 0 ? (size_t)s->block : (size_t)s->c;
    p->type = s->type;
    for (size_t i = 0; i < side; i++) {
        const int y = t->top - before + (int)i;
        for (size_t j = 0; j < side; j++) {
            const int at = t->left - before + (int)j;
            const bool inside = y >= 0 && y < s->h && at >= 0 && at < s->w;
            p->step[i * side + j] = inside ? size : 0;
            p->at[i * side + j] = inside ? (const char *)x +
                                               (first + ((size_t)y * (size_t)s->w + (size_t)at) * step) * size
                                         : (const char *)zeros;
        }
    }
}

INLINE const char *place_of(const places *p, size_t number)
{
    return p->at[number] + p->channel * p->step[number];
}
INLINE group read_f32(const void *square, size_t number)
{
    return load_whole(place_of(square, number), SB_F32, 0);
}
INLINE group read_bf16(const void *square, size_t number)
{
    return load_whole(place_of(square, number), SB_BF16, 0);
}
static group read_parts(const void *square, size_t number)
{
    const places *p = square;
    return load_parts(place_of(p, number), p->type, 0, p->step[number] ? p->others : EIGHT);
}

/* A square of places as points of each channel, which lie at to + at[]. one, side: constants where it is
 * inlined; with the points of most tiles so, too, it is faster. */
INLINE void places_to_points(transform *one, size_t side, const sb_shape *s, range channels, const void *x,
                             const tile *t, int before, float *to, const size_t *at)
{
    const bool whole = t->down == IN && t->across == IN;
    places p;
    find_places(s, x, t, before, side, &p);
    for (size_t c = 0; c < channels.count; c += GROUP) {
        p.channel = sb_shape_at(s, 0, channels.first + c);
        p.others = others_of(s, channels.first + c);
        if (!is_whole(p.others))
            both_ways(one, side, read_parts, &p, t->down, t->across, IN, to + c, at);
        else if (s->type == SB_F32 && whole)
            both_ways(one, side, read_f32, &p, IN, IN, IN, to + c, at);
        else if (s->type == SB_F32)
            both_ways(one, side, read_f32, &p, t->down, t->across, IN, to + c, at);
        else if (whole)
            both_ways(one, side, read_bf16, &p, IN, IN, IN, to + c, at);
        else
            both_ways(one, side, read_bf16, &p, t->down, t->across, IN, to + c, at);
    }
}

static void tile_to_points(const sb_shape *s, range channels, const void *x, const tile *t, float *to,
                           const size_t *at)
{
    places_to_points(to_points, IN, s, channels, x, t, 1, to, at);
}

/* A tile's gradients at its outputs, and zeros behind them up to a whole panel. */
static void gradients_to_points(const sb_shape *s, const void *dy, const tile *t, float *to, const size_t *at)
{
    const size_t count = (size_t)s->c;
    places_to_points(outputs_to_points, OUT, s, (range){ 0, count }, dy, t, 0, to, at);
    for (size_t c = up(count, GROUP); c < up(count, PANEL); c += GROUP)
        for (size_t p = 0; p < POINTS; p++)
            if (has(t, p))
                store(to + at[p] + c, (group){ 0 });
}

/* Points of each channel, which lie at from + at[], to a tile's outputs, those of the image. type: a constant
 * where it is inlined. */
INLINE void points_to_type(sb_type type, const sb_shape *s, range channels, const float *from,
                           const size_t *at, const float *bias, const tile *t, void *y, bool add)
{
    const size_t step = s->block > 0 ? (size_t)s->block : (size_t)s->c,
                 image = t->image * (size_t)s->h * (size_t)s->w;
    size_t apart[OUT * OUT];
    places p = { 0 };
    place_apart(OUT * OUT, GROUP, apart);
    for (size_t k = 0; k < POINTS; k++) {
        p.at[k] = has(t, k) ? (const char *)(from + at[k]) : (const char *)zeros;
        p.step[k] = has(t, k) ? sizeof *from : 0;
    }
    for (size_t c = 0; c < channels.count; c += GROUP) {
        float outputs[OUT * OUT * GROUP];
        const size_t channel = channels.first + c, first = sb_shape_at(s, image, channel),
                     others = others_of(s, channel);
        const group b = bias ? load_values(bias, SB_F32, channel, others ? EIGHT : 0) : (group){ 0 };
        p.channel = c;
        both_ways(to_outputs, IN, read_f32, &p, OUT, OUT, OUT, outputs, apart);
        for (size_t i = 0; i < OUT && t->top + (int)i < s->h; i++)
            for (size_t j = 0; j < OUT && t->left + (int)j < s->w; j++) {
                const size_t place = ((size_t)t->top + i) * (size_t)s->w + (size_t)t->left + j,
                             to = first + place * step;
                const group value = load(outputs + (i * OUT + j) * GROUP);
                store_values(y, type, to, others, add ? load_values(y, type, to, others) + value : value + b);
            }
    }
}
static void points_to_tile(const sb_shape *s, range channels, const float *from, const size_t *at,
                           const float *bias, const tile *t, void *y, bool add)
{
    if (s->type == SB_F32)
        points_to_type(SB_F32, s, channels, from, at, bias, t, y, add);
    else
        points_to_type(SB_BF16, s, channels, from, at, bias, t, y, add);
}

/* ---- products ------------------------------------------------------------------------------------------ */

/* sums [count][PANEL] (+)= a [count][depth] b [depth][PANEL]; count is a constant where it is inlined. */
INLINE void multiply(int count, const float *a, size_t a_row, size_t a_depth, const float *b, size_t b_depth,
                     size_t depth, float *sums, size_t sums_row, bool add)
{
    lanes sum[12][2] = { 0 };
#pragma GCC unroll 12
    for (int r = 0; r < count; r++) {
        sum[r][0] = add ? load_lanes(sums + (size_t)r * sums_row) : (lanes){ 0 };
        sum[r][1] = add ? load_lanes(sums + (size_t)r * sums_row + LANES) : (lanes){ 0 };
    }
    /* Four rows for each pointer, which the compiler may not take apart: a pointer for each row is more than
     * there are registers, and the loop was a tenth slower. Where rows are neighbours (a_row is 1) one
     * pointer is enough. The last step leads behind the matrices, where nothing is read. */
    const float *rows[3] = { a, a, a };
#pragma GCC unroll 2
    for (int i = 1; i < (count + 3) / 4; i++)
        rows[i] += (size_t)i * 4 * a_row;
    for (size_t k = 0; k < depth; k++, b += b_depth) {
        const lanes first = load_lanes(b), second = load_lanes(b + LANES);
        if (a_row > 1)
            __asm__("" : "+r"(rows[0]), "+r"(rows[1]), "+r"(rows[2]));
#pragma GCC unroll 12
        for (int r = 0; r < count; r++) {
            const lanes left = in_all(rows[r / 4][(size_t)(r % 4) * a_row]);
            sum[r][0] = multiply_add(left, first, sum[r][0]);
            sum[r][1] = multiply_add(left, second, sum[r][1]);
        }
        rows[0] += a_depth;
        rows[1] += a_depth;
        rows[2] += a_depth;
    }
#pragma GCC unroll 12
    for (int r = 0; r < count; r++) {
        memcpy(sums + (size_t)r * sums_row, &sum[r][0], sizeof(lanes));
        memcpy(sums + (size_t)r * sums_row + LANES, &sum[r][1], sizeof(lanes));
    }
}

/* sums [count][PANEL] = a [count][depth] b [depth][PANEL], in ROWS, and the last few in half as many: up to
 * as many rows behind them are written, too. */
static void multiply_rows(size_t count, const float *a, size_t a_row, const float *b, size_t depth,
                          float *sums, size_t sums_row)
{
    size_t i = 0;
    for (; i + ROWS / 2 < count; i += ROWS)
        multiply(ROWS, a + i * a_row, a_row, 1, b, PANEL, depth, sums + i * sums_row, sums_row, false);
    if (i < count)
        multiply(ROWS / 2, a + i * a_row, a_row, 1, b, PANEL, depth, sums + i * sums_row, sums_row, false);
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
static inline void filters_to_points(const filters *f, size_t i, size_t o, float *to, const size_t *at)
{
    const float *w = f->w + i * f->i_step + o * f->o_step;
    const size_t count = channels_left(f->out, o);
    float g[TAPS * GROUP] = { 0 };
    for (size_t t = 0; t < TAPS; t++)
        for (size_t l = 0; l < count; l++)
            g[t * GROUP + l] = w[l * f->o_step + (f->turned ? TAPS - 1 - t : t)];
    both_ways(weights_to_points, SIDE, read_floats, &(floats){ g, GROUP }, IN, IN, IN, to, at);
}

/* A block of outputs: [POINTS][panels][in][PANEL], zeros behind the last output. */
static void block_to_points(const filters *f, range block, float *to, size_t apart)
{
    size_t points[POINTS];
    place_apart(POINTS, apart, points);
#pragma omp parallel for collapse(2) schedule(static)
    for (size_t panel = 0; panel < block.count; panel += PANEL)
        for (size_t i = 0; i < f->in; i++)
            for (size_t o = 0; o < PANEL; o += GROUP) {
                float *at = to + panel * f->in + i * PANEL + o;
                if (panel + o < block.count)
                    filters_to_points(f, i, block.first + panel + o, at, points);
                else
                    for (size_t p = 0; p < POINTS; p++)
                        store(at + p * apart, (group){ 0 });
            }
}

/* A block of inputs, by the threads of a team: [POINTS][inputs][pitch of out] to [out, in, 3, 3], which is
 * written or added to. */
static void points_to_block(const float *from, range block, size_t in, size_t out, float *dw, bool add)
{
    const size_t pitch = pitch_of(out);
    size_t apart[TAPS];
    place_apart(TAPS, GROUP, apart);
#pragma omp for schedule(static)
    for (size_t i = 0; i < block.count; i++)
        for (size_t o = 0; o < out; o += GROUP) {
            const floats points = { from + i * pitch + o, block.count * pitch };
            const size_t count = channels_left(out, o);
            float taps[TAPS * GROUP];
            both_ways(points_to_weights, IN, read_floats, &points, SIDE, SIDE, SIDE, taps, apart);
            for (size_t l = 0; l < count; l++) {
                const size_t at = ((o + l) * in + block.first + i) * TAPS;
                for (size_t t = 0; t < TAPS; t++)
                    sb_cpu_give(dw, at + t, taps[t * GROUP + l], add);
            }
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
static void run_strip(const convolution *c, range block, size_t number, float *strip)
{
    const division *d = &c->divided;
    const size_t in = (size_t)c->x.c, in_pitch = pitch_of(in), in_step = strip_step(d, in),
                 out_pitch = pitch_of(d->block), out_step = strip_step(d, d->block),
                 begin = strip_begin(d, number), count = strip_begin(d, number + 1) - begin;
    float *left = strip, *sums = strip + POINTS * in_step;
    size_t at[POINTS];
    strip_rows s;
    find_rows(d, begin, begin + count, &s);
    for (size_t i = 0; i < count; i++) {
        const tile t = tile_of(d, begin + i);
        find_points(s.row[i], in_pitch, in_step, at);
        tile_to_points(&c->x, (range){ 0, in }, c->from, &t, left, at);
    }
    for (size_t p = 0; p < POINTS; p++)
        for (size_t o = 0; o < block.count; o += PANEL)
            multiply_rows(s.count[p], left + p * in_step, in_pitch,
                          c->weights + p * weights_step(d, in) + o * in, in, sums + p * out_step + o,
                          out_pitch);
    for (size_t i = 0; i < count; i++) {
        const tile t = tile_of(d, begin + i);
        find_points(s.row[i], out_pitch, out_step, at);
        points_to_tile(&c->y, block, sums, at, c->bias, &t, c->to, c->add);
    }
}

static void run(int threads, convolution *c, const filters *f, float *scratch)
{
    c->divided = divide(&c->x, f->in, f->out, threads);
    c->weights = scratch;
    const division *d = &c->divided;
    const size_t step = weights_step(d, f->in);
    for (size_t first = 0; first < f->out; first += d->block) {
        const range block = block_of(d, first, f->out);
        block_to_points(f, block, scratch, step);
#pragma omp parallel num_threads(threads)
        {
            float *own = scratch + POINTS * step + (size_t)omp_get_thread_num() * strip_floats(d, f->in);
#pragma omp for schedule(static)
            for (size_t i = 0; i < d->strips; i++)
                run_strip(c, block, i, own);
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

/* What it works in: sums, and points of both sides for two strips. */
typedef struct {
    division divided;
    size_t in_pitch, in_step, out_pitch, out_step;
    float *sums; /* [POINTS][inputs of a block][out_pitch] */
    float *left[2], *right[2];
} gradient;

static size_t weight_floats(const sb_shape *x, size_t in, size_t out)
{
    const division d = divide(x, out, in, 1);
    return POINTS * (d.block * pitch_of(out) + 2 * (strip_step(&d, d.block) + strip_step(&d, out)));
}

static gradient lay_out_gradient(const sb_shape *x, size_t in, size_t out, float *scratch)
{
    const division d = divide(x, out, in, 1);
    gradient g = { .divided = d,
                   .in_pitch = pitch_of(d.block),
                   .in_step = strip_step(&d, d.block),
                   .out_pitch = pitch_of(out),
                   .out_step = strip_step(&d, out),
                   .sums = scratch };
    float *at = scratch + POINTS * d.block * g.out_pitch;
    for (int i = 0; i < 2; i++) {
        g.left[i] = at;
        g.right[i] = at + POINTS * g.in_step;
        at += POINTS * (g.in_step + g.out_step);
    }
    return g;
}

/* Of a strip, numbered through all blocks: the points, by the threads of a team, which do not wait. */
static void strip_to_points(const gradient *g, const sb_shape *x, const sb_shape *y, const void *from,
                            const void *dy, size_t number, strip_rows *s)
{
    const division *d = &g->divided;
    const range block = block_of(d, number / d->strips * d->block, (size_t)x->c);
    const size_t begin = strip_begin(d, number % d->strips), end = strip_begin(d, number % d->strips + 1);
    size_t at[POINTS];
    find_rows(d, begin, end, s);
#pragma omp for schedule(static) nowait
    for (size_t i = begin; i < end; i++) {
        const tile t = tile_of(d, i);
        find_points(s->row[i - begin], g->in_pitch, g->in_step, at);
        tile_to_points(x, block, from, &t, g->left[number % 2], at);
        find_points(s->row[i - begin], g->out_pitch, g->out_step, at);
        gradients_to_points(y, dy, &t, g->right[number % 2], at);
    }
}

/* Its products, in the same way. */
static void add_strip(const gradient *g, range block, size_t out, size_t number, const strip_rows *s)
{
    const bool first = number % g->divided.strips == 0;
    const float *left = g->left[number % 2], *right = g->right[number % 2];
#pragma omp for collapse(2) schedule(static) nowait
    for (size_t p = 0; p < POINTS; p++)
        for (size_t o = 0; o < out; o += PANEL)
            for (size_t i = 0; i < block.count; i += DOWN)
                multiply(DOWN, left + p * g->in_step + i, 1, g->in_pitch, right + p * g->out_step + o,
                         g->out_pitch, s->count[p], g->sums + (p * block.count + i) * g->out_pitch + o,
                         g->out_pitch, !first);
}

/* While a strip is multiplied, those who have done their part transform the next one: threads wait for each
 * other once a strip. */
void sb_winograd_weight(int threads, const sb_shape *x, const sb_shape *y, const void *from, const void *dy,
                        float *dw, bool add, void *scratch)
{
    const size_t in = (size_t)x->c, out = (size_t)y->c;
    const gradient g = lay_out_gradient(x, in, out, scratch);
    const division *d = &g.divided;
    const size_t all = (in + d->block - 1) / d->block * d->strips;
#pragma omp parallel num_threads(threads)
    {
        strip_rows own[2];
        strip_to_points(&g, x, y, from, dy, 0, &own[0]);
#pragma omp barrier
        for (size_t n = 0; n < all; n++) {
            const range block = block_of(d, n / d->strips * d->block, in);
            add_strip(&g, block, out, n, &own[n % 2]);
            if (n + 1 < all)
                strip_to_points(&g, x, y, from, dy, n + 1, &own[(n + 1) % 2]);
#pragma omp barrier
            if ((n + 1) % d->strips == 0)
                points_to_block(g.sums, block, in, out, dw, add);
        }
    }
}

size_t sb_winograd_scratch(int threads, const sb_shape *x, const sb_shape *y)
{
    const size_t in = (size_t)x->c, out = (size_t)y->c, forward = outputs_floats(threads, x, in, out),
                 data = outputs_floats(threads, x, out, in), weight = weight_floats(x, in, out),
                 most = forward > data ? forward : data;
    return (most > weight ? most : weight) * sizeof(float);
}
