/* attention.cu: attention on a GPU (kernels/op/attention.h), tile by tile, never the whole matrix.
 *
 * A block of SIDE x SIDE threads has MANY queries of a head of an image and walks its keys; backward a block
 * has MANY keys and walks the queries for dk and dv, and another MANY queries and the keys for dq, so that no
 * two blocks add to one value. Tiles lie in shared memory; thread (x, y) has the rows y, y + SIDE, ... of a
 * product and its columns x, x + SIDE, ... */
#include "kernels/cuda/launch.h"
#include "kernels/op/attention.h"

#define SIDE 16
#define MANY 32
#define EACH (MANY / SIDE)
#define SIZE SB_ATTENTION_SIZE_MAX
#define WIDE (SIZE / SIDE) /* columns of a head that a thread has */
#define ROW (SIZE + 1)     /* of a tile in shared memory: one more against bank conflicts */

#define Q SB_ATTENTION_Q
#define K SB_ATTENTION_K
#define V SB_ATTENTION_V

/* What all threads of a block are about: MANY rows of a part, from `first` on, of a head of an image. */
typedef struct {
    int image, head, first;
} place;

static __host__ __device__ inline unsigned tiles_of(const sb_attention *s, sb_attention_part part)
{
    return (unsigned)(sb_attention_rows(s, part) + MANY - 1) / MANY;
}

static __device__ inline place my_place(const sb_attention *s, sb_attention_part part)
{
    const unsigned tiles = tiles_of(s, part), heads = (unsigned)s->heads;
    place p;
    p.image = (int)(blockIdx.x / tiles / heads);
    p.head = (int)(blockIdx.x / tiles % heads);
    p.first = (int)(blockIdx.x % tiles) * MANY;
    return p;
}

/* `rows` places of a part of an image from `first` on, zeros behind the last one, as a tile. x: its input. */
static __device__ inline void load_x(const sb_attention *s, const void *x, sb_attention_part part,
                                     const place *p, int first, int rows, float scale, float *tile)
{
    const int all = sb_attention_rows(s, part);
    for (int i = (int)(threadIdx.y * SIDE + threadIdx.x); i < rows * SIZE; i += SIDE * SIDE) {
        const int r = i / SIZE, c = i % SIZE;
        tile[r * ROW + c] = first + r < all && c < s->size
                                ? scale * load(x, s->type,
                                               sb_attention_x(s, part,
                                                              sb_attention_row(s, part, p->image, first + r),
                                                              p->head) +
                                                   (size_t)c)
                                : 0;
    }
}

/* The same of y or dy. */
static __device__ inline void load_y(const sb_attention *s, const void *y, const place *p, int first,
                                     int rows, float *tile)
{
    for (int i = (int)(threadIdx.y * SIDE + threadIdx.x); i < rows * SIZE; i += SIDE * SIDE) {
        const int r = i / SIZE, c = i % SIZE;
        tile[r * ROW + c] =
            first + r < s->queries && c < s->size
                ? load(y, s->type,
                       sb_attention_y(s, sb_attention_row(s, Q, p->image, first + r), p->head) + (size_t)c)
                : 0;
    }
}

static __device__ inline float dot(const float *a, const float *b, int size)
{
    float sum = 0;
    for (int c = 0; c < size; c++)
        sum = fmaf(a[c], b[c], sum);
    return sum;
}

/* Over the SIDE threads of one y, the same in each. */
static __device__ inline float side_max(float value)
{
    for (int distance = SIDE / 2; distance > 0; distance /= 2)
        value = fmaxf(value, __shfl_xor_sync(0xFFFFFFFFu, value, distance));
    return value;
}
static __device__ inline float side_sum(float value)
{
    for (int distance = SIDE / 2; distance > 0; distance /= 2)
        value += __shfl_xor_sync(0xFFFFFFFFu, value, distance);
    return value;
}

/* sum[i][j] of rows y + SIDE i and columns x + SIDE j += <weights[.][row], tile[.][column]>, over `count`
 * rows of a tile; weights lie at `step` from one of them to the next, those of neighbouring rows at `across`.
 */
template <int ROWS>
static __device__ inline void add_product(const float *weights, int step, int across, const float *tile,
                                          int count, float sum[ROWS][WIDE])
{
    for (int k = 0; k < count; k++)
        for (int i = 0; i < ROWS; i++) {
            const float weight = weights[k * step + ((int)threadIdx.y + SIDE * i) * across];
            for (int j = 0; j < WIDE; j++)
                sum[i][j] = fmaf(weight, tile[k * ROW + (int)threadIdx.x + SIDE * j], sum[i][j]);
        }
}

/* The rows of a product as those of a part's gradient. */
static __device__ inline void give_x(const sb_attention *s, void *dx, sb_attention_part part, const place *p,
                                     const float sum[EACH][WIDE], float scale, bool add)
{
    for (int i = 0; i < EACH; i++)
        for (int j = 0; j < WIDE; j++) {
            const int r = p->first + (int)threadIdx.y + SIDE * i, c = (int)threadIdx.x + SIDE * j;
            if (r < sb_attention_rows(s, part) && c < s->size)
                give(dx, s->type,
                     sb_attention_x(s, part, sb_attention_row(s, part, p->image, r), p->head) + (size_t)c,
                     scale * sum[i][j], add);
        }
}

static __device__ inline float scale_of(const sb_attention *s) { return 1 / sqrtf((float)s->size); }

/* Four blocks a multiprocessor. */
static __global__ void __launch_bounds__(THREADS, 4)
    attention_forward(sb_attention s, const void *of_q, const void *of_kv, void *y, float *lse)
{
    __shared__ float q[MANY * ROW], kv[MANY * ROW], p[MANY * (MANY + 1)];
    const place here = my_place(&s, Q);
    float sum[EACH][WIDE] = {}, most[EACH], total[EACH];
    for (int i = 0; i < EACH; i++) {
        most[i] = -INFINITY;
        total[i] = 0;
    }
    load_x(&s, of_q, Q, &here, here.first, MANY, scale_of(&s), q);
    for (int key = 0; key < s.keys; key += MANY) {
        load_x(&s, of_kv, K, &here, key, MANY, 1, kv);
        __syncthreads(); /* for q, too */
        for (int i = 0; i < EACH; i++) {
            const int r = (int)threadIdx.y + SIDE * i;
            float logit[EACH], now = -INFINITY, part = 0;
            for (int j = 0; j < EACH; j++) {
                const int k = (int)threadIdx.x + SIDE * j;
                logit[j] = key + k < s.keys ? dot(q + r * ROW, kv + k * ROW, s.size) : -INFINITY;
                now = fmaxf(now, logit[j]);
            }
            now = fmaxf(most[i], side_max(now));
            const float base = now == -INFINITY ? 0 : now, earlier = expf(most[i] - base);
            for (int j = 0; j < EACH; j++) {
                const float share = expf(logit[j] - base);
                p[r * (MANY + 1) + (int)threadIdx.x + SIDE * j] = share;
                part += share;
            }
            total[i] = total[i] * earlier + side_sum(part);
            most[i] = now;
            for (int j = 0; j < WIDE; j++)
                sum[i][j] *= earlier;
        }
        __syncthreads();
        load_x(&s, of_kv, V, &here, key, MANY, 1, kv);
        __syncthreads();
        add_product<EACH>(p, 1, MANY + 1, kv, MANY, sum);
        __syncthreads();
    }
    for (int i = 0; i < EACH; i++) {
        const int r = here.first + (int)threadIdx.y + SIDE * i;
        if (r >= s.queries)
            continue;
        const size_t at = sb_attention_row(&s, Q, here.image, r);
        if (lse && threadIdx.x == 0)
            lse[at * (size_t)s.heads + (size_t)here.head] = most[i] + logf(total[i]);
        for (int j = 0; j < WIDE; j++) {
            const int c = (int)threadIdx.x + SIDE * j;
            if (c < s.size)
                store(y, s.type, sb_attention_y(&s, at, here.head) + (size_t)c, sum[i][j] / total[i]);
        }
    }
}

/* along[row][head] = <dy, y>: a warp each. */
static __global__ void attention_along(sb_attention s, const void *y, const void *dy, float *along)
{
    const size_t at = global_thread() / WARP;
    if (at >= (size_t)s.images * (size_t)s.queries * (size_t)s.heads)
        return;
    double sum = 0;
    for (int c = (int)(threadIdx.x % WARP); c < s.size; c += WARP) {
        const size_t i = at * (size_t)s.size + (size_t)c;
        sum += (double)load(dy, s.type, i) * (double)load(y, s.type, i);
    }
    sum = warp_sum(sum);
    if (threadIdx.x % WARP == 0)
        along[at] = (float)sum;
}

/* p and e of one pair; zeros outside. */
typedef struct {
    float p, e;
} pair;

static __device__ inline pair pair_of(const sb_attention *s, const place *here, int query, int key,
                                      const float *q, const float *k, const float *dy, const float *v,
                                      const float *lse, const float *along)
{
    pair out = { 0, 0 };
    if (query >= s->queries || key >= s->keys)
        return out;
    const size_t at = sb_attention_row(s, Q, here->image, query) * (size_t)s->heads + (size_t)here->head;
    out.p = expf(dot(q, k, s->size) - lse[at]);
    out.e = out.p * (dot(dy, v, s->size) - along[at]);
    return out;
}

static __global__ void __launch_bounds__(THREADS, 4)
    attention_keys(sb_attention s, const void *of_q, const void *of_kv, const void *dy, const float *lse,
                   const float *along, void *dx, bool add)
{
    __shared__ float k[MANY * ROW], v[MANY * ROW], q[SIDE * ROW], dys[SIDE * ROW], p[SIDE * (MANY + 1)],
        e[SIDE * (MANY + 1)];
    const place here = my_place(&s, K);
    float dk[EACH][WIDE] = {}, dv[EACH][WIDE] = {};
    load_x(&s, of_kv, K, &here, here.first, MANY, 1, k);
    load_x(&s, of_kv, V, &here, here.first, MANY, 1, v);
    for (int query = 0; query < s.queries; query += SIDE) {
        load_x(&s, of_q, Q, &here, query, SIDE, scale_of(&s), q);
        load_y(&s, dy, &here, query, SIDE, dys);
        __syncthreads();
        for (int j = 0; j < EACH; j++) {
            const int r = (int)threadIdx.y, c = (int)threadIdx.x + SIDE * j;
            const pair both = pair_of(&s, &here, query + r, here.first + c, q + r * ROW, k + c * ROW,
                                      dys + r * ROW, v + c * ROW, lse, along);
            p[r * (MANY + 1) + c] = both.p;
            e[r * (MANY + 1) + c] = both.e;
        }
        __syncthreads();
        add_product<EACH>(p, MANY + 1, 1, dys, SIDE, dv);
        add_product<EACH>(e, MANY + 1, 1, q, SIDE, dk);
        __syncthreads();
    }
    give_x(&s, dx, K, &here, dk, 1, add);
    give_x(&s, dx, V, &here, dv, 1, add);
}

static __global__ void __launch_bounds__(THREADS, 4)
    attention_queries(sb_attention s, const void *of_q, const void *of_kv, const void *dy, const float *lse,
                      const float *along, void *dx, bool add)
{
    __shared__ float q[MANY * ROW], dys[MANY * ROW], k[SIDE * ROW], v[SIDE * ROW], e[MANY * (SIDE + 1)];
    const place here = my_place(&s, Q);
    float dq[EACH][WIDE] = {};
    load_x(&s, of_q, Q, &here, here.first, MANY, scale_of(&s), q);
    load_y(&s, dy, &here, here.first, MANY, dys);
    for (int key = 0; key < s.keys; key += SIDE) {
        load_x(&s, of_kv, K, &here, key, SIDE, 1, k);
        load_x(&s, of_kv, V, &here, key, SIDE, 1, v);
        __syncthreads();
        for (int i = 0; i < EACH; i++) {
            const int r = (int)threadIdx.y + SIDE * i, c = (int)threadIdx.x;
            e[r * (SIDE + 1) + c] = pair_of(&s, &here, here.first + r, key + c, q + r * ROW, k + c * ROW,
                                            dys + r * ROW, v + c * ROW, lse, along)
                                        .e;
        }
        __syncthreads();
        add_product<EACH>(e, 1, SIDE + 1, k, SIDE, dq);
        __syncthreads();
    }
    give_x(&s, dx, Q, &here, dq, scale_of(&s), add);
}

static unsigned blocks(const sb_attention *s, sb_attention_part part)
{
    return tiles_of(s, part) * (unsigned)(s->images * s->heads);
}

static size_t scratch(sb_device *device, const sb_call *c)
{
    (void)device;
    return c->gradient[0] || c->gradient[1]
               ? sb_shape_rows(&c->xs[0]) * (size_t)((const sb_attention_how *)c->how)->heads * sizeof(float)
               : 0;
}

static int forward(sb_device *device, const sb_call *c)
{
    const sb_attention s = sb_attention_of(c);
    LAUNCH(attention_forward, blocks(&s, Q), dim3(SIDE, SIDE), 0, sb_cuda_compute(device), s, c->x[0],
           c->x[sb_attention_input(&s, K)], c->y, (float *)c->aux);
    return sb_cuda_launched("attention_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    const sb_attention s = sb_attention_of(c);
    const int of_keys = sb_attention_input(&s, K);
    float *along = (float *)c->scratch;
    const size_t rows = sb_shape_rows(&c->xs[0]) * (size_t)s.heads;
    LAUNCH(attention_along, blocks_for(rows * WARP), THREADS, 0, sb_cuda_compute(device), s, c->y, c->dy,
           along);
    if (sb_cuda_launched("attention_along") != 0)
        return -1;
    if (c->dx[of_keys]) {
        LAUNCH(attention_keys, blocks(&s, K), dim3(SIDE, SIDE), 0, sb_cuda_compute(device), s, c->x[0],
               c->x[of_keys], c->dy, (const float *)c->aux, (const float *)along, c->dx[of_keys],
               c->add[of_keys]);
        if (sb_cuda_launched("attention_keys") != 0)
            return -1;
    }
    if (!c->dx[0])
        return 0;
    LAUNCH(attention_queries, blocks(&s, Q), dim3(SIDE, SIDE), 0, sb_cuda_compute(device), s, c->x[0],
           c->x[of_keys], c->dy, (const float *)c->aux, (const float *)along, c->dx[0], c->add[0]);
    return sb_cuda_launched("attention_queries");
}

extern "C" const sb_kernel sb_cuda_attention = { .scratch = scratch,
                                                 .forward = forward,
                                                 .backward = backward };
