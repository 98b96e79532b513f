/* unpick.cu: cells in their map again on a GPU. The threads share the map by shares.h, an image being a set;
 * scratch says of each of its cells which one of x it is. */
#include "kernels/cuda/shares.h"
#include "kernels/op/unpick.h"

#define AT_ONCE 2 /* rows that a thread fetches before it uses the first */

static __global__ void unpick_clear(size_t cells, int32_t *which)
{
    if (global_thread() < cells)
        which[global_thread()] = -1;
}

static __global__ void unpick_find(sb_unpick s, const int32_t *index, int32_t *which)
{
    const size_t at = global_thread(), given = (size_t)s.given;
    if (at < (size_t)s.images * given)
        which[at / given * (size_t)s.cells + (size_t)index[at]] = (int32_t)(at % given);
}

/* The vector of x that a row of y is for a thread; -1: it is hidden, or none of the thread's. */
static __device__ inline int64_t vector_of_row(const shares *d, const sb_unpick *s, const span *p, int row,
                                               const int32_t *which)
{
    if (row >= p->end)
        return -1;
    const int64_t from = sb_unpick_row(s, which, p->set, row - p->set * d->rows);
    return from < 0 ? -1 : from * d->vectors + p->column;
}

template <sb_type T, int N>
static __global__ void __launch_bounds__(THREADS, 4)
    unpick_forward(shares d, sb_unpick s, const int32_t *__restrict__ which, const float *__restrict__ token,
                   const void *__restrict__ x, void *__restrict__ y)
{
    span p = my_span<N>(&d);
    if (p.row >= p.end)
        return;
    float value[N];
    read_weights<N>(token, p.channel, 0, value);
    const vector<T, N> hidden = vector_of<T, N>(value);
    ROLLED
    for (; p.row < p.end; p.row += AT_ONCE * d.lanes) {
        int64_t from[AT_ONCE];
        vector<T, N> rows[AT_ONCE];
        UNROLLED
        for (int i = 0; i < AT_ONCE; i++)
            from[i] = vector_of_row(&d, &s, &p, p.row + i * d.lanes, which);
        UNROLLED
        for (int i = 0; i < AT_ONCE; i++)
            rows[i] = from[i] >= 0 ? fetch<T, N>(x, (size_t)from[i]) : hidden;
        next_rows<AT_ONCE>(&d, &p, [&](int i, size_t at) { put<T, N>(y, at, rows[i]); });
    }
}

/* dx may be NULL. sums: of the hidden rows of dy, to be the token's gradient; NULL: not wanted. */
template <sb_type T, int N>
static __global__ void __launch_bounds__(THREADS, 4)
    unpick_backward(shares d, sb_unpick s, const int32_t *__restrict__ which, const void *__restrict__ dy,
                    void *__restrict__ dx, bool add, float *__restrict__ sums)
{
    span p = my_span<N>(&d);
    float sum[N] = {};
    ROLLED
    for (; p.row < p.end; p.row += d.lanes) {
        const size_t at = vector_at(&d, &p, p.row);
        const int64_t to = vector_of_row(&d, &s, &p, p.row, which);
        const vector<T, N> dys = fetch<T, N>(dy, at);
        vector<T, N> held = {};
        if (dx && add && to >= 0)
            held = fetch<T, N>(dx, (size_t)to);
        float value[N];
        UNROLLED
        for (int k = 0; k < N; k++) {
            value[k] = value_of<T, N>(dys, k);
            sum[k] += to < 0 ? value[k] : 0;
        }
        if (dx && to >= 0)
            give_values<T, N>(dx, (size_t)to, value, add, held);
    }
    if (sums)
        write_partial<N>(&d, sum, sums);
}

static int find(sb_device *device, const sb_unpick *s, const sb_call *c)
{
    int32_t *which = (int32_t *)c->scratch;
    const size_t cells = (size_t)s->images * (size_t)s->cells;
    LAUNCH(unpick_clear, blocks_for(cells), THREADS, 0, sb_cuda_compute(device), cells, which);
    if (sb_cuda_launched("unpick_clear") != 0)
        return -1;
    LAUNCH(unpick_find, blocks_for(sb_shape_rows(&c->xs[1])), THREADS, 0, sb_cuda_compute(device), *s,
           (const int32_t *)c->x[1], which);
    return sb_cuda_launched("unpick_find");
}

static int forward(sb_device *device, const sb_call *c)
{
    const sb_unpick s = sb_unpick_of(c);
    const shares d = shares_of_images(&c->ys);
    if (find(device, &s, c) != 0)
        return -1;
    with_vectors(s.type, s.width, [&]<sb_type T, int N>() {
        LAUNCH((unpick_forward<T, N>), blocks_of(&d), THREADS, 0, sb_cuda_compute(device), d, s,
               (const int32_t *)c->scratch, c->w[0], c->x[0], c->y);
    });
    return sb_cuda_launched("unpick_forward");
}

/* Behind the cells' numbers. */
static float *sums_of(const sb_unpick *s, void *scratch)
{
    return (float *)((char *)scratch + sb_unpick_scratch(s));
}

static int backward(sb_device *device, const sb_call *c)
{
    const sb_unpick s = sb_unpick_of(c);
    const shares d = shares_of_images(&c->ys);
    float *sums = c->dw[0] ? sums_of(&s, c->scratch) : NULL;
    if (find(device, &s, c) != 0)
        return -1;
    with_vectors(s.type, s.width, [&]<sb_type T, int N>() {
        LAUNCH((unpick_backward<T, N>), blocks_of(&d), THREADS, 0, sb_cuda_compute(device), d, s,
               (const int32_t *)c->scratch, c->dy, c->dx[0], c->add[0], sums);
    });
    add_runs(device, &d, sums, NULL, c->dw[0], NULL);
    return sb_cuda_launched("unpick_backward");
}

static size_t scratch(sb_device *device, const sb_call *c)
{
    (void)device;
    const sb_unpick s = sb_unpick_of(c);
    const shares d = shares_of_images(&c->ys);
    return sb_unpick_scratch(&s) +
           (((const sb_unpick_how *)c->how)->token ? partial_sums(&d) * sizeof(float) : 0);
}

extern "C" const sb_kernel sb_cuda_unpick = { .scratch = scratch, .forward = forward, .backward = backward };
