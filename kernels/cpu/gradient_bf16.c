/* gradient_bf16.c: see gradient_bf16.h.
 *
 * A weight's gradient is a sum over the places of dy. For one row of a kernel, a place of dy meets kernel x
 * in values of x that lie side by side, its columns: one product of matrices for each row of the kernel,
 * [out, places] by [places, columns]. The processor multiplies pairs: both sides are packed so that two
 * places that are neighbours in a row lie side by side; an odd one has zeros beside it. Columns are cut to
 * vectors of LANES, outputs to groups of OUTPUTS; a tile of gradients, OUTPUTS by up to VECTORS vectors,
 * stays in registers while the places of a strip go by. Strips are whole rows of dy. */
#include "kernels/cpu/gradient_bf16.h"

#include <string.h>

#include "kernels/cpu/cpu.h"

#if defined __AVX512BF16__ && defined __AVX512BW__ && defined __AVX512VL__
#include <immintrin.h>

#define LANES ((size_t)16)
#define OUTPUTS ((size_t)8)
#define VECTORS ((size_t)3)
#define TILE (OUTPUTS * VECTORS * LANES) /* floats */
#define STRIP ((size_t)512)              /* pairs of places, about */

static size_t up(size_t count, size_t by) { return (count + by - 1) / by; }

typedef struct {
    size_t kernel, stride, pad, in, out;
    size_t images, high, wide, down, across; /* of x; of dy */
    size_t columns, vectors, bundles;        /* bundles: of up to VECTORS vectors */
    size_t groups;                           /* of outputs */
    size_t pairs;                            /* of a row of dy */
    size_t rows, strips;                     /* rows of dy in a strip */
    size_t x_rows;                           /* from the first to the last that a strip reads, at most */
    size_t along, beside;                    /* parts of the bundles, and of the groups */
    size_t most_vectors, most_groups;        /* of a part */
} division;

/* Where part i of `parts` begins. */
static size_t begin_of(size_t count, size_t parts, size_t i) { return count * i / parts; }

/* Into as many parts as there are threads, or fewer: those of which the largest has least to multiply. Each
 * packs all of the side that is not divided, which of two as good is the smaller one. */
static void divide_parts(size_t threads, division *d)
{
    const size_t most = threads < d->bundles ? threads : d->bundles;
    size_t least = SIZE_MAX;
    for (size_t along = 1; along <= most; along++) {
        const size_t beside = threads / along < d->groups ? threads / along : d->groups,
                     tiles = up(d->bundles, along) * up(d->groups, beside);
        if (tiles < least || (tiles == least && d->columns >= d->out)) {
            least = tiles;
            d->along = along;
            d->beside = beside;
        }
    }
}

/* A strip: rows of dy, and the rows of x that they read, counted through all images. */
typedef struct {
    size_t first, rows, x_first, x_rows;
} strip;

/* The row of x, counted within its image, that a row of the kernel meets; it may lie outside. */
static ptrdiff_t row_met(const division *d, size_t row, size_t kernel_row)
{
    return (ptrdiff_t)(row % d->down * d->stride + kernel_row) - (ptrdiff_t)d->pad;
}

static strip strip_of(const division *d, size_t number)
{
    strip s = { .first = number * d->rows };
    const size_t all = d->images * d->down, left = all - s.first;
    s.rows = left < d->rows ? left : d->rows;
    const size_t last = s.first + s.rows - 1;
    ptrdiff_t top = row_met(d, s.first, 0), bottom = row_met(d, last, d->kernel - 1);
    const ptrdiff_t high = (ptrdiff_t)d->high;
    top = top < 0 ? 0 : top >= high ? high - 1 : top;
    bottom = bottom < 0 ? 0 : bottom >= high ? high - 1 : bottom;
    s.x_first = s.first / d->down * d->high + (size_t)top;
    s.x_rows = last / d->down * d->high + (size_t)bottom + 1 - s.x_first;
    return s;
}

/* A kernel of one place has no neighbours: all places of a small image are one row. */
static division divide(int threads, const sb_conv_how *how, const sb_shape *x, const sb_shape *y)
{
    const size_t places = (size_t)x->h * (size_t)x->w;
    const bool flat = how->kernel == 1 && how->stride == 1 && how->pad == 0 && places <= 2 * STRIP;
    division d = { .kernel = (size_t)how->kernel,
                   .stride = (size_t)how->stride,
                   .pad = (size_t)how->pad,
                   .in = (size_t)x->c,
                   .out = (size_t)y->c,
                   .images = (size_t)x->n,
                   .high = flat ? 1 : (size_t)x->h,
                   .wide = flat ? places : (size_t)x->w,
                   .down = flat ? 1 : (size_t)y->h,
                   .across = flat ? places : (size_t)y->w };
    d.columns = d.kernel * d.in;
    d.vectors = up(d.columns, LANES);
    d.bundles = up(d.vectors, VECTORS);
    d.groups = up(d.out, OUTPUTS);
    d.pairs = up(d.across, 2);
    const size_t all = d.images * d.down;
    d.strips = up(all, up(STRIP, d.pairs));
    d.rows = up(all, d.strips);
    d.strips = up(all, d.rows);
    for (size_t i = 0; i < d.strips; i++) {
        const size_t x_rows = strip_of(&d, i).x_rows;
        d.x_rows = x_rows > d.x_rows ? x_rows : d.x_rows;
    }
    divide_parts((size_t)threads, &d);
    d.most_vectors = up(d.bundles, d.along) * VECTORS;
    d.most_groups = up(d.groups, d.beside);
    return d;
}

/* Rows of dy that lie side by side, and the rows of x that they meet, in pairs from the strip's first. */
typedef struct {
    size_t x, dy, pairs;
} run;

/* What a part works in. The sums are those of all parts: [kernel, bundles, groups] tiles. */
typedef struct {
    size_t bundle, bundles, group, groups; /* the first, and how many */
    float *sums;
    uint16_t *x;  /* [vectors of its bundles, x_rows, pairs, LANES, 2] */
    uint16_t *dy; /* [its groups, rows, pairs, OUTPUTS, 2] */
    run *runs;    /* [rows] */
} part;

#define ALIGN ((size_t)64)
static size_t aligned(size_t bytes) { return up(bytes, ALIGN) * ALIGN; }

/* From a vector to the next one, and from a group of outputs to the next one: no power of two. */
static size_t x_step(const division *d) { return (d->x_rows * d->pairs + 1) * LANES * 2; }
static size_t dy_step(const division *d) { return (d->rows * d->pairs * OUTPUTS + LANES) * 2; }

static size_t x_bytes(const division *d) { return aligned(d->most_vectors * x_step(d) * sizeof(uint16_t)); }
static size_t dy_bytes(const division *d) { return aligned(d->most_groups * dy_step(d) * sizeof(uint16_t)); }
static size_t part_bytes(const division *d)
{
    return x_bytes(d) + dy_bytes(d) + aligned(d->rows * sizeof(run));
}
static size_t sum_bytes(const division *d)
{
    return d->kernel * d->bundles * d->groups * TILE * sizeof(float);
}

size_t sb_gradient_bf16_scratch(int threads, const sb_conv_how *how, const sb_shape *x, const sb_shape *y)
{
    const division d = divide(threads, how, x, y);
    return sum_bytes(&d) + d.along * d.beside * part_bytes(&d);
}

static part part_of(const division *d, size_t number, void *scratch)
{
    const size_t along = number % d->along, beside = number / d->along,
                 bundle = begin_of(d->bundles, d->along, along),
                 group = begin_of(d->groups, d->beside, beside);
    char *at = (char *)scratch + sum_bytes(d) + number * part_bytes(d);
    return (part){ .bundle = bundle,
                   .bundles = begin_of(d->bundles, d->along, along + 1) - bundle,
                   .group = group,
                   .groups = begin_of(d->groups, d->beside, beside + 1) - group,
                   .sums = scratch,
                   .x = (void *)at,
                   .dy = (void *)(at + x_bytes(d)),
                   .runs = (void *)(at + x_bytes(d) + dy_bytes(d)) };
}

/* The first vector of a bundle. */
static size_t vector_of(const division *d, size_t bundle) { return begin_of(d->vectors, d->bundles, bundle); }

/* Whether a row of x is: where the stride is larger than the kernel, some are not. */
static bool is_read(const division *d, size_t x_row)
{
    return (x_row % d->high + d->pad) % d->stride < d->kernel;
}

/* Two places' values beside each other, LANES of each. */
static inline __m512i interleaved(__m256i first, __m256i second)
{
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23,
                                           7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order, _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1));
}

/* LANES values of a row from `at` on: 0 for those not wanted, and where the row has not begun or has ended.
 */
static __m256i within(const uint16_t *row, ptrdiff_t at, ptrdiff_t end, __mmask16 wanted)
{
    if (at < 0)
        wanted &= at <= -(ptrdiff_t)LANES ? 0 : (__mmask16)(0xffff << -at);
    if (at + (ptrdiff_t)LANES > end)
        wanted &= at >= end ? 0 : (__mmask16)((1 << (end - at)) - 1);
    return _mm256_maskz_loadu_epi16(wanted, row + at);
}

/* A row of x: for each pair of places of dy, the part's columns that both meet. */
static void pack_x(const division *d, const part *p, const uint16_t *row, uint16_t *to)
{
    const size_t first = vector_of(d, p->bundle), behind = vector_of(d, p->bundle + p->bundles),
                 step = x_step(d), full = d->columns / LANES < behind ? d->columns / LANES : behind;
    const ptrdiff_t end = (ptrdiff_t)(d->wide * d->in), place = (ptrdiff_t)(d->stride * d->in);
    ptrdiff_t at = -(ptrdiff_t)(d->pad * d->in);
    for (size_t i = 0; i < d->pairs; i++, at += 2 * place, to += 2 * LANES) {
        const bool both = 2 * i + 1 < d->across;
        const bool inside = at >= 0 && both && at + place + (ptrdiff_t)(behind * LANES) <= end;
        size_t v = first;
        for (; inside && v < full; v++) {
            const uint16_t *from = row + at + v * LANES;
            _mm512_storeu_si512(to + (v - first) * step,
                                interleaved(_mm256_loadu_si256((const void *)from),
                                            _mm256_loadu_si256((const void *)(from + place))));
        }
        for (; v < behind; v++) {
            const size_t left = d->columns - v * LANES;
            const __mmask16 all = left >= LANES ? 0xffff : (__mmask16)((1 << left) - 1);
            const ptrdiff_t from = at + (ptrdiff_t)(v * LANES);
            _mm512_storeu_si512(
                to + (v - first) * step,
                interleaved(within(row, from, end, all), within(row, from + place, end, both ? all : 0)));
        }
    }
}

/* A row of dy: the part's outputs of each pair of places. */
static void pack_dy(const division *d, const part *p, const uint16_t *row, uint16_t *to)
{
    const size_t last = d->out - (d->groups - 1) * OUTPUTS, step = dy_step(d);
    for (size_t i = 0; i < d->pairs; i++, row += 2 * d->out, to += 2 * OUTPUTS) {
        const bool both = 2 * i + 1 < d->across;
        for (size_t g = 0; g < p->groups; g++) {
            const __mmask8 all = p->group + g + 1 < d->groups ? 0xff : (__mmask8)((1 << last) - 1);
            const uint16_t *place = row + (p->group + g) * OUTPUTS;
            const __m128i first = _mm_maskz_loadu_epi16(all, place),
                          second = _mm_maskz_loadu_epi16(both ? all : 0, place + d->out);
            _mm_storeu_si128((void *)(to + g * step), _mm_unpacklo_epi16(first, second));
            _mm_storeu_si128((void *)(to + g * step + OUTPUTS), _mm_unpackhi_epi16(first, second));
        }
    }
}

/* Rows that a row of the kernel meets within the image; those that follow each other on both sides are one
 * run. Returns their number. */
static size_t find_runs(const division *d, const strip *s, size_t kernel_row, run *runs)
{
    size_t count = 0;
    for (size_t r = 0; r < s->rows; r++) {
        const size_t row = s->first + r;
        const ptrdiff_t met = row_met(d, row, kernel_row);
        if (met < 0 || met >= (ptrdiff_t)d->high)
            continue;
        const run one = { .x = (row / d->down * d->high + (size_t)met - s->x_first) * d->pairs,
                          .dy = r * d->pairs,
                          .pairs = d->pairs };
        run *before = count > 0 ? &runs[count - 1] : NULL;
        if (before && before->x + before->pairs == one.x && before->dy + before->pairs == one.dy)
            before->pairs += one.pairs;
        else
            runs[count++] = one;
    }
    return count;
}

/* Adds the products of the runs to a tile, which begins with 0 if `anew`. vectors: a constant where it is
 * inlined. */
INLINE void multiply(const run *runs, size_t count, const uint16_t *x, size_t step, const uint16_t *dy,
                     float *tile, bool anew, size_t vectors)
{
    __m512 sum[OUTPUTS][VECTORS];
    for (size_t o = 0; o < OUTPUTS; o++)
        for (size_t v = 0; v < vectors; v++)
            sum[o][v] = anew ? _mm512_setzero_ps() : _mm512_load_ps(tile + (o * VECTORS + v) * LANES);
    for (size_t r = 0; r < count; r++) {
        const uint16_t *columns = x + runs[r].x * LANES * 2, *outputs = dy + runs[r].dy * OUTPUTS * 2;
        for (size_t p = 0; p < runs[r].pairs; p++, columns += 2 * LANES, outputs += 2 * OUTPUTS) {
            __m512i column[VECTORS];
            for (size_t v = 0; v < vectors; v++)
                column[v] = _mm512_loadu_si512(columns + v * step);
            for (size_t o = 0; o < OUTPUTS; o++) {
                int32_t both;
                memcpy(&both, outputs + 2 * o, sizeof both);
                const __m512i output = _mm512_set1_epi32(both);
                for (size_t v = 0; v < vectors; v++)
                    sum[o][v] = _mm512_dpbf16_ps(sum[o][v], (__m512bh)column[v], (__m512bh)output);
            }
        }
    }
    for (size_t o = 0; o < OUTPUTS; o++)
        for (size_t v = 0; v < vectors; v++)
            _mm512_store_ps(tile + (o * VECTORS + v) * LANES, sum[o][v]);
}

/* The part's tiles of a row of the kernel and a bundle. */
static void one_bundle(const division *d, const part *p, size_t kernel_row, size_t bundle, size_t runs,
                       bool anew)
{
    const size_t first = vector_of(d, bundle), vectors = vector_of(d, bundle + 1) - first, step = x_step(d);
    const uint16_t *x = p->x + (first - vector_of(d, p->bundle)) * step;
    float *tile = p->sums + ((kernel_row * d->bundles + bundle) * d->groups + p->group) * TILE;
    for (size_t g = 0; g < p->groups; g++, tile += TILE) {
        const uint16_t *dy = p->dy + g * dy_step(d);
        if (vectors == 3)
            multiply(p->runs, runs, x, step, dy, tile, anew, 3);
        else if (vectors == 2)
            multiply(p->runs, runs, x, step, dy, tile, anew, 2);
        else
            multiply(p->runs, runs, x, step, dy, tile, anew, 1);
    }
}

static void one_strip(const division *d, const part *p, const strip *s, const uint16_t *x, const uint16_t *dy,
                      bool anew)
{
    for (size_t r = 0; r < s->x_rows; r++)
        if (is_read(d, s->x_first + r))
            pack_x(d, p, x + (s->x_first + r) * d->wide * d->in, p->x + r * d->pairs * LANES * 2);
    for (size_t r = 0; r < s->rows; r++)
        pack_dy(d, p, dy + (s->first + r) * d->across * d->out, p->dy + r * d->pairs * OUTPUTS * 2);
    for (size_t k = 0; k < d->kernel; k++) {
        const size_t runs = find_runs(d, s, k, p->runs);
        for (size_t b = 0; b < p->bundles; b++)
            one_bundle(d, p, k, p->bundle + b, runs, anew);
    }
}

/* The gradients at the weights of an output, in their order. */
static void give(const division *d, const float *sums, size_t output, float *dw, bool add)
{
    const size_t area = d->kernel * d->kernel;
    float *mine = dw + output * d->in * area;
    for (size_t row = 0; row < d->kernel; row++)
        for (size_t b = 0; b < d->bundles; b++) {
            const float *from = sums + ((row * d->bundles + b) * d->groups + output / OUTPUTS) * TILE +
                                output % OUTPUTS * VECTORS * LANES;
            const size_t first = vector_of(d, b) * LANES, behind = vector_of(d, b + 1) * LANES,
                         end = behind < d->columns ? behind : d->columns;
            for (size_t j = first, until; j < end; j = until) {
                const size_t column = j / d->in, next = (column + 1) * d->in;
                float *to = mine + (j - column * d->in) * area + row * d->kernel + column;
                until = next < end ? next : end;
                for (; j < until; j++, to += area)
                    *to = add ? *to + from[j - first] : from[j - first];
            }
        }
}

bool sb_cpu_own_bf16(void)
{
    const dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa(), amx = dnnl_cpu_isa_avx512_core_amx,
                         pairs = dnnl_cpu_isa_avx512_core_bf16;
    return (isa & pairs) == pairs && (isa & amx) != amx;
}

void sb_gradient_bf16(int threads, const sb_conv_how *how, const sb_shape *x, const sb_shape *y,
                      const void *from, const void *dy, float *dw, bool add, void *scratch)
{
    const division d = divide(threads, how, x, y);
#pragma omp parallel for schedule(static)
    for (size_t n = 0; n < d.along * d.beside; n++) {
        const part p = part_of(&d, n, scratch);
        for (size_t i = 0; i < d.strips; i++) {
            const strip s = strip_of(&d, i);
            one_strip(&d, &p, &s, from, dy, i == 0);
        }
    }
#pragma omp parallel for schedule(static)
    for (size_t o = 0; o < d.out; o++)
        give(&d, scratch, o, dw, add);
}

#else

bool sb_cpu_own_bf16(void) { return false; }

size_t sb_gradient_bf16_scratch(int threads, const sb_conv_how *how, const sb_shape *x, const sb_shape *y)
{
    return (void)threads, (void)how, (void)x, (void)y, (size_t)0;
}

void sb_gradient_bf16(int threads, const sb_conv_how *how, const sb_shape *x, const sb_shape *y,
                      const void *from, const void *dy, float *dw, bool add, void *scratch)
{
    (void)threads, (void)how, (void)x, (void)y, (void)from, (void)dy, (void)dw, (void)add, (void)scratch;
}

#endif
