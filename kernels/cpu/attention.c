/* attention.c: attention on the CPU (kernels/op/attention.h), tile by tile, never the whole matrix.
 *
 * A thread takes ROWS queries of a head of an image and walks the keys KEYS at a time; a tile of logits is
 * one product of matrices, and so is what it gives to y. The running maximum keeps every exponent at or below
 * zero. On the way back a thread takes a run of keys of a head of an image and walks the queries: dk and dv
 * are whole behind each tile of keys, dq is added up. Where heads and images are fewer than threads want, a
 * head's keys are shared out in several runs, whose dq are added in their order. So sums depend on shapes and
 * on the number of threads alone. */
#include "kernels/op/attention.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/exponential.h"
#include "proto/error.h"

#define ROWS 64
#define KEYS 256
#define SIZE SB_ATTENTION_SIZE_MAX
#define LANES 16 /* a sum of so many partial sums: a fixed order that vectorises */
#define RUNS_A_THREAD 4

#define Q SB_ATTENTION_Q
#define K SB_ATTENTION_K
#define V SB_ATTENTION_V

/* What a thread works in: tiles of x, y and their gradients, and of all pairs. */
typedef struct {
    float q[ROWS * SIZE], y[ROWS * SIZE], k[KEYS * SIZE], v[KEYS * SIZE], dk[KEYS * SIZE], dv[KEYS * SIZE],
        p[ROWS * KEYS], e[ROWS * KEYS];
} work;

static int least(int a, int b) { return a < b ? a : b; }
static size_t row_at(int row, int width) { return (size_t)row * (size_t)width; }

/* exp(x) for x <= 0; below -87, exp(-87), which is nothing beside exp(0). */
static inline float exponential(float x) { return sb_cpu_exponential(x < -87.0f ? -87.0f : x); }

/* x[i] = exp(x[i] - most), and their sum. */
static float exponentials(float *x, int count, float most)
{
    float lanes[LANES] = { 0 }, sum = 0;
    int c = 0;
#pragma omp simd
    for (int i = 0; i < count; i++)
        x[i] = exponential(x[i] - most);
    for (; c + LANES <= count; c += LANES)
#pragma omp simd
        for (int l = 0; l < LANES; l++)
            lanes[l] += x[c + l];
    for (; c < count; c++)
        lanes[c % LANES] += x[c];
    for (int l = 0; l < LANES; l++)
        sum += lanes[l];
    return sum;
}

/* Rows of x or y, of one head, at `scale` times their values, [rows, size]. */
static void load_rows(const void *from, sb_type type, size_t at, size_t step, int rows, int size, float scale,
                      float *to)
{
    for (int r = 0; r < rows; r++, at += step, to += size) {
        sb_cpu_load_row(from, type, at, size, to);
        if (scale != 1)
            for (int c = 0; c < size; c++)
                to[c] *= scale;
    }
}

/* Rows of a part of an image, from `first` on. */
static void load_x(const sb_call *call, const sb_attention *s, sb_attention_part part, int image, int first,
                   int head, int rows, float scale, float *to)
{
    const int from = sb_attention_input(s, part);
    load_rows(call->x[from], s->type, sb_attention_x(s, part, sb_attention_row(s, part, image, first), head),
              (size_t)call->xs[from].c, rows, s->size, scale, to);
}

static float scale_of(const sb_attention *s) { return 1 / sqrtf((float)s->size); }

/* ---- forward ------------------------------------------------------------------------------------------- */

/* A tile of logits becomes exponentials less the row's maximum so far, and what was summed before is brought
 * to that maximum. */
static void soften(float *p, int columns, int size, float *most, double *sum, float *y)
{
    float now = *most;
#pragma omp simd reduction(max : now)
    for (int c = 0; c < columns; c++)
        now = p[c] > now ? p[c] : now;
    const float base = now == -INFINITY ? 0 : now, earlier = *most == -INFINITY ? 0 : expf(*most - base);
    *sum = *sum * (double)earlier + (double)exponentials(p, columns, base);
    *most = now;
    if (earlier != 1)
        for (int c = 0; c < size; c++)
            y[c] *= earlier;
}

static int forward_rows(const sb_call *call, const sb_attention *s, int image, int head, int first, work *w)
{
    const size_t row = sb_attention_row(s, Q, image, first);
    const int rows = least(ROWS, s->queries - first), size = s->size;
    float most[ROWS];
    double sum[ROWS];
    load_x(call, s, Q, image, first, head, rows, scale_of(s), w->q);
    memset(w->y, 0, (size_t)rows * (size_t)size * sizeof *w->y);
    for (int r = 0; r < rows; r++) {
        most[r] = -INFINITY;
        sum[r] = 0;
    }
    for (int key = 0; key < s->keys; key += KEYS) {
        const int keys = least(KEYS, s->keys - key);
        load_x(call, s, K, image, key, head, keys, 1, w->k);
        load_x(call, s, V, image, key, head, keys, 1, w->v);
        if (sb_cpu_sgemm(false, true, rows, keys, size, 1, w->q, w->k, 0, w->p) != 0)
            return -1;
        for (int r = 0; r < rows; r++)
            soften(w->p + row_at(r, keys), keys, size, &most[r], &sum[r], w->y + row_at(r, size));
        if (sb_cpu_sgemm(false, false, rows, size, keys, 1, w->p, w->v, 1, w->y) != 0)
            return -1;
    }
    for (int r = 0; r < rows; r++) {
        const size_t at = row + (size_t)r;
        const float share = (float)(1 / sum[r]);
        float *y = w->y + row_at(r, size);
        for (int c = 0; c < size; c++)
            y[c] *= share;
        sb_cpu_store_row(call->y, s->type, sb_attention_y(s, at, head), size, y);
        if (call->aux)
            ((float *)call->aux)[at * (size_t)s->heads + (size_t)head] = (float)(most[r] + log(sum[r]));
    }
    return 0;
}

static int forward(sb_device *device, const sb_call *call)
{
    const sb_attention s = sb_attention_of(call);
    const int tiles = (s.queries + ROWS - 1) / ROWS;
    work *all = call->scratch;
    int failed = 0;
#pragma omp parallel for collapse(3) schedule(static) reduction(| : failed) num_threads(device->threads)
    for (int image = 0; image < s.images; image++)
        for (int head = 0; head < s.heads; head++)
            for (int tile = 0; tile < tiles; tile++)
                failed |= forward_rows(call, &s, image, head, tile * ROWS, &all[omp_get_thread_num()]) != 0;
    return failed ? sb_fail("attention: a product of %d by %d rows failed", s.queries, s.keys) : 0;
}

/* ---- backward ------------------------------------------------------------------------------------------ */

/* In scratch, behind what the threads work in. */
typedef struct {
    int runs, run;   /* of a head's keys: how many, and the keys of one */
    float *along;    /* <dy_i, y_i>, [rows, heads] */
    float *dq;       /* [images, heads, runs][queries, size] */
    size_t dq_count; /* of one run */
} backward_work;

static backward_work plan_backward(const sb_device *device, const sb_attention *s)
{
    const int tiles = (s->keys + KEYS - 1) / KEYS, pairs = s->images * s->heads,
              wanted = (RUNS_A_THREAD * device->threads + pairs - 1) / pairs,
              each = (tiles + wanted - 1) / wanted;
    return (backward_work){ .runs = (tiles + each - 1) / each,
                            .run = each * KEYS,
                            .dq_count = (size_t)s->queries * (size_t)s->size };
}

/* From logits and <dy, v> of a query to p and e. */
static void give_pairs(float *p, float *e, int columns, float lse, float along)
{
#pragma omp simd
    for (int c = 0; c < columns; c++) {
        const float share = exponential(p[c] - lse);
        e[c] = share * (e[c] - along);
        p[c] = share;
    }
}

/* A tile of queries beside a tile of keys, whose k, v, dk and dv are in w. */
static int backward_tile(const sb_call *call, const sb_attention *s, const backward_work *b, int image,
                         int head, int first, int keys, float *dq, work *w)
{
    const int rows = least(ROWS, s->queries - first), size = s->size;
    const size_t at = sb_attention_row(s, Q, image, first), width = (size_t)s->heads * (size_t)size;
    const float *lse = call->aux, beta = first > 0 ? 1 : 0;
    load_x(call, s, Q, image, first, head, rows, scale_of(s), w->q);
    load_rows(call->dy, s->type, sb_attention_y(s, at, head), width, rows, size, 1, w->y);
    if (sb_cpu_sgemm(false, true, rows, keys, size, 1, w->q, w->k, 0, w->p) != 0 ||
        sb_cpu_sgemm(false, true, rows, keys, size, 1, w->y, w->v, 0, w->e) != 0)
        return -1;
    for (int r = 0; r < rows; r++) {
        const size_t i = (at + (size_t)r) * (size_t)s->heads + (size_t)head;
        give_pairs(w->p + row_at(r, keys), w->e + row_at(r, keys), keys, lse[i], b->along[i]);
    }
    return sb_cpu_sgemm(true, false, keys, size, rows, 1, w->p, w->y, beta, w->dv) != 0 ||
                   sb_cpu_sgemm(true, false, keys, size, rows, 1, w->e, w->q, beta, w->dk) != 0 ||
                   sb_cpu_sgemm(false, false, rows, size, keys, 1, w->e, w->k, 1, dq) != 0
               ? -1
               : 0;
}

/* Rows of a part's gradient, where it is wanted. */
static void give_rows(const sb_call *call, const sb_attention *s, sb_attention_part part, int image,
                      int first, int head, int rows, float *from)
{
    const int to = sb_attention_input(s, part);
    const size_t row = sb_attention_row(s, part, image, first);
    for (int r = 0; call->dx[to] && r < rows; r++, from += s->size)
        sb_cpu_give_row(call->dx[to], s->type, sb_attention_x(s, part, row + (size_t)r, head), s->size, from,
                        call->add[to]);
}

static int backward_run(const sb_call *call, const sb_attention *s, const backward_work *b, int image,
                        int head, int run, work *w)
{
    float *dq = b->dq + (size_t)((image * s->heads + head) * b->runs + run) * b->dq_count;
    memset(dq, 0, b->dq_count * sizeof *dq);
    for (int key = run * b->run; key < least((run + 1) * b->run, s->keys); key += KEYS) {
        const int keys = least(KEYS, s->keys - key);
        load_x(call, s, K, image, key, head, keys, 1, w->k);
        load_x(call, s, V, image, key, head, keys, 1, w->v);
        for (int first = 0; first < s->queries; first += ROWS)
            if (backward_tile(call, s, b, image, head, first, keys, dq + row_at(first, s->size), w) != 0)
                return -1;
        give_rows(call, s, K, image, key, head, keys, w->dk);
        give_rows(call, s, V, image, key, head, keys, w->dv);
    }
    return 0;
}

static void find_along(const sb_call *call, const sb_attention *s, float *along)
{
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < (size_t)s->images * (size_t)s->queries; row++)
        for (int head = 0; head < s->heads; head++) {
            float y[SIZE], dy[SIZE], sum = 0;
            sb_cpu_load_row(call->y, s->type, sb_attention_y(s, row, head), s->size, y);
            sb_cpu_load_row(call->dy, s->type, sb_attention_y(s, row, head), s->size, dy);
            for (int c = 0; c < s->size; c++)
                sum += dy[c] * y[c];
            along[row * (size_t)s->heads + (size_t)head] = sum;
        }
}

static void give_queries(const sb_call *call, const sb_attention *s, const backward_work *b)
{
    const float scale = scale_of(s);
#pragma omp parallel for collapse(3) schedule(static)
    for (int image = 0; image < s->images; image++)
        for (int head = 0; head < s->heads; head++)
            for (int i = 0; i < s->queries; i++) {
                float *dq = b->dq + (size_t)((image * s->heads + head) * b->runs) * b->dq_count +
                            (size_t)i * (size_t)s->size;
                for (int run = 1; run < b->runs; run++)
                    for (int c = 0; c < s->size; c++)
                        dq[c] += dq[(size_t)run * b->dq_count + (size_t)c];
                for (int c = 0; c < s->size; c++)
                    dq[c] *= scale;
                give_rows(call, s, Q, image, i, head, 1, dq);
            }
}

static int backward(sb_device *device, const sb_call *call)
{
    const sb_attention s = sb_attention_of(call);
    backward_work b = plan_backward(device, &s);
    work *all = call->scratch;
    int failed = 0;
    b.along = (float *)(all + device->threads);
    b.dq = b.along + (size_t)s.images * (size_t)s.queries * (size_t)s.heads;
    find_along(call, &s, b.along);
#pragma omp parallel for collapse(3) schedule(static) reduction(| : failed) num_threads(device->threads)
    for (int image = 0; image < s.images; image++)
        for (int head = 0; head < s.heads; head++)
            for (int run = 0; run < b.runs; run++)
                failed |= backward_run(call, &s, &b, image, head, run, &all[omp_get_thread_num()]) != 0;
    if (failed)
        return sb_fail("attention: a product of %d by %d rows failed", s.queries, s.keys);
    give_queries(call, &s, &b);
    return 0;
}

static size_t scratch(sb_device *device, const sb_call *call)
{
    const sb_attention s = sb_attention_of(call);
    const backward_work b = plan_backward(device, &s);
    const size_t heads = (size_t)s.images * (size_t)s.heads;
    const bool wanted = call->gradient[0] || call->gradient[1];
    const size_t back = wanted ? heads * ((size_t)s.queries + (size_t)b.runs * b.dq_count) : 0;
    return (size_t)device->threads * sizeof(work) + back * sizeof(float);
}

const sb_kernel sb_cpu_attention = { .scratch = scratch, .forward = forward, .backward = backward };
