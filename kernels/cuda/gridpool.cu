/* gridpool.cu: averages over the cells of a grid on a GPU. A thread has N channels (vector.h) of a cell, and
 * on the way back of a place. Sums are exact to about twice the digits of f32, as they would be in f64, which
 * most GPUs compute at a 64th of the speed: each is a pair of numbers, the rounded sum and what rounding
 * lost. */
#include "kernels/cuda/vector.h"
#include "kernels/op/gridpool.h"

typedef struct {
    float sum, lost;
} pair;

/* Knuth's two-sum: what rounding loses is itself a number in f32. */
static __device__ inline void add_to(pair *p, float value)
{
    const float sum = p->sum + value, part = sum - p->sum;
    p->lost += (p->sum - (sum - part)) + (value - part);
    p->sum = sum;
}

/* value / divisor as such a pair; what is not finite stays as it is. */
static __device__ inline pair quotient(pair value, float divisor)
{
    pair q;
    q.sum = value.sum / divisor;
    q.lost = (fmaf(-q.sum, divisor, value.sum) + value.lost) / divisor;
    return q;
}

static __device__ inline float rounded(pair p) { return isfinite(p.sum) ? p.sum + p.lost : p.sum; }

/* Of an image: its cells, or its places with those in front. */
static size_t vectors_of(const sb_gridpool *s, sb_type type, int rows)
{
    return (size_t)rows * (size_t)(s->channels / values_at_once(type, s->channels));
}

/* y [images, grid, grid, channels]. */
template <sb_type T, int N>
static __global__ void __launch_bounds__(THREADS, 4)
    gridpool_forward(image_grid g, sb_gridpool s, const void *__restrict__ x, float *__restrict__ y)
{
    const unsigned i = my_vector(g), vectors = (unsigned)s.channels / N, cell = i / vectors,
                   channel = i % vectors;
    if (i >= g.vectors)
        return;
    const int image = (int)my_image(g), row = (int)(cell / (unsigned)s.grid),
              column = (int)(cell % (unsigned)s.grid), height = sb_gridpool_length(row, s.side, s.grid),
              width = sb_gridpool_length(column, s.side, s.grid),
              top = sb_gridpool_begin(row, s.side, s.grid), left = sb_gridpool_begin(column, s.side, s.grid);
    pair sum[N] = {};
    for (int down = 0; down < height; down++)
        for (int along = 0; along < width; along++) {
            const size_t from = sb_gridpool_row(&s, image, top + down, left + along) * vectors + channel;
            const vector<T, N> values = fetch<T, N>(x, from);
            UNROLLED
            for (int k = 0; k < N; k++)
                add_to(&sum[k], value_of<T, N>(values, k));
        }
    float mean[N];
    UNROLLED
    for (int k = 0; k < N; k++)
        mean[k] = rounded(quotient(sum[k], (float)(height * width)));
    write_tensor<N>(y, (size_t)image * g.vectors + i, mean);
}

/* dx [images, rows, channels]. */
template <sb_type T, int N>
static __global__ void __launch_bounds__(THREADS, 4)
    gridpool_backward(image_grid g, sb_gridpool s, const float *__restrict__ dy, void *__restrict__ dx,
                      bool add)
{
    const unsigned i = my_vector(g), vectors = (unsigned)s.channels / N, channel = i % vectors;
    if (i >= g.vectors)
        return;
    const int image = (int)my_image(g), place = (int)(i / vectors) - s.first;
    const size_t to = (size_t)image * g.vectors + i;
    vector<T, N> held = {};
    if (add)
        held = fetch<T, N>(dx, to);
    pair sum[N] = {};
    if (place >= 0) {
        const int y = place / s.side, x = place % s.side, bottom = sb_gridpool_end(y, s.grid, s.side),
                  right = sb_gridpool_end(x, s.grid, s.side);
        for (int row = sb_gridpool_begin(y, s.grid, s.side); row < bottom; row++) {
            const int height = sb_gridpool_length(row, s.side, s.grid);
            for (int column = sb_gridpool_begin(x, s.grid, s.side); column < right; column++) {
                const size_t cell = (size_t)((image * s.grid + row) * s.grid + column);
                const float places = (float)(height * sb_gridpool_length(column, s.side, s.grid));
                float value[N];
                read_tensor<N>(dy, cell * vectors + channel, value);
                UNROLLED
                for (int k = 0; k < N; k++) {
                    const pair whole = { value[k], 0 }, share = quotient(whole, places);
                    add_to(&sum[k], share.sum);
                    sum[k].lost += share.lost;
                }
            }
        }
    }
    float value[N];
    UNROLLED
    for (int k = 0; k < N; k++)
        value[k] = rounded(sum[k]);
    give_values<T, N>(dx, to, value, add, held);
}

static sb_gridpool call_of(const sb_call *c)
{
    return sb_gridpool_of((const sb_gridpool_how *)c->how, &c->xs[0]);
}

static int forward(sb_device *device, const sb_call *c)
{
    const sb_gridpool s = call_of(c);
    const sb_type type = c->xs[0].type;
    image_grid g;
    if (image_grid_of("gridpool", s.images, vectors_of(&s, type, s.grid * s.grid), &g) != 0)
        return -1;
    with_vectors(type, s.channels, [&]<sb_type T, int N>() {
        LAUNCH((gridpool_forward<T, N>), (unsigned)s.images * g.blocks, THREADS, 0, sb_cuda_compute(device),
               g, s, c->x[0], (float *)c->y);
    });
    return sb_cuda_launched("gridpool_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    const sb_gridpool s = call_of(c);
    const sb_type type = c->xs[0].type;
    image_grid g;
    if (image_grid_of("gridpool", s.images, vectors_of(&s, type, s.first + s.side * s.side), &g) != 0)
        return -1;
    with_vectors(type, s.channels, [&]<sb_type T, int N>() {
        LAUNCH((gridpool_backward<T, N>), (unsigned)s.images * g.blocks, THREADS, 0, sb_cuda_compute(device),
               g, s, (const float *)c->dy, c->dx[0], c->add[0]);
    });
    return sb_cuda_launched("gridpool_backward");
}

extern "C" const sb_kernel sb_cuda_gridpool = { .forward = forward, .backward = backward };
