/* maxpool.cu: max pooling on a GPU. A thread has N channels (vector.h) of a place of y, and on the way back
 * of one of x. */
#include "kernels/cuda/vector.h"
#include "kernels/op/maxpool.h"

#define WINDOW 9
#define WINDOWS 4 /* at most, that one input lies in */

/* A thread's place in an image. */
typedef struct {
    int row, column;
    unsigned channel; /* its vector */
} spot;

static __device__ inline spot spot_of(unsigned i, unsigned vectors, int width)
{
    spot s;
    s.channel = i % vectors;
    s.column = (int)(i / vectors % (unsigned)width);
    s.row = (int)(i / vectors / (unsigned)width);
    return s;
}

/* The vector of [h, w, vectors]. */
static __device__ inline size_t vector_at(int row, int column, unsigned channel, int width, unsigned vectors)
{
    return ((size_t)row * (size_t)width + (size_t)column) * vectors + channel;
}

template <sb_type T, int N>
static __global__ void __launch_bounds__(THREADS, 4)
    maxpool_forward(sb_shape xs, sb_shape ys, image_grid g, const void *__restrict__ x, void *__restrict__ y,
                    void *__restrict__ places)
{
    const unsigned i = my_vector(g), vectors = (unsigned)xs.c / N;
    if (i >= g.vectors)
        return;
    const spot o = spot_of(i, vectors, ys.w);
    const size_t image = (size_t)my_image(g), from = image * (size_t)xs.h * (size_t)xs.w * vectors,
                 to = image * g.vectors + i;
    vector<T, N> seen[WINDOW] = {};
    UNROLLED
    for (int k = 0; k < WINDOW; k++) {
        const int row = 2 * o.row - 1 + k / 3, column = 2 * o.column - 1 + k % 3;
        if (row >= 0 && row < xs.h && column >= 0 && column < xs.w)
            seen[k] = fetch<T, N>(x, from + vector_at(row, column, o.channel, xs.w, vectors));
    }
    float best[N];
    unsigned where[N];
    UNROLLED
    for (int c = 0; c < N; c++) {
        best[c] = -INFINITY;
        where[c] = 0;
    }
    UNROLLED
    for (int k = 0; k < WINDOW; k++) {
        const int row = 2 * o.row - 1 + k / 3, column = 2 * o.column - 1 + k % 3;
        const bool inside = row >= 0 && row < xs.h && column >= 0 && column < xs.w;
        UNROLLED
        for (int c = 0; c < N; c++) {
            const float value = value_of<T, N>(seen[k], c);
            const bool wins = inside && (value > best[c] || isnan(value));
            best[c] = wins ? value : best[c];
            where[c] = wins ? (unsigned)k : where[c];
        }
    }
    put<T, N>(y, to, vector_of<T, N>(best));
    ((byte_vector<N> *)places)[to] = bytes_of<N>(where);
}

/* Each input gathers from the at most four windows it lies in. */
template <sb_type T, int N>
static __global__ void __launch_bounds__(THREADS, 4)
    maxpool_backward(sb_shape xs, sb_shape ys, image_grid g, const void *__restrict__ places,
                     const void *__restrict__ dy, void *__restrict__ dx, bool add)
{
    const unsigned i = my_vector(g), vectors = (unsigned)xs.c / N;
    if (i >= g.vectors)
        return;
    const spot p = spot_of(i, vectors, xs.w);
    const size_t image = (size_t)my_image(g), from = image * (size_t)ys.h * (size_t)ys.w * vectors,
                 to = image * g.vectors + i;
    vector<T, N> dys[WINDOWS] = {}, held = {};
    byte_vector<N> chosen[WINDOWS] = {};
    bool inside[WINDOWS];
    UNROLLED
    for (int k = 0; k < WINDOWS; k++) {
        const int row = p.row / 2 + k / 2, column = p.column / 2 + k % 2;
        inside[k] = row <= (p.row + 1) / 2 && row < ys.h && column <= (p.column + 1) / 2 && column < ys.w;
        if (inside[k]) {
            const size_t at = from + vector_at(row, column, p.channel, ys.w, vectors);
            dys[k] = fetch<T, N>(dy, at);
            chosen[k] = ((const byte_vector<N> *)places)[at];
        }
    }
    if (add)
        held = fetch<T, N>(dx, to);
    float sum[N] = {};
    UNROLLED
    for (int k = 0; k < WINDOWS; k++) {
        const int mine = 3 * (p.row - 2 * (p.row / 2 + k / 2) + 1) +
                         (p.column - 2 * (p.column / 2 + k % 2) + 1);
        UNROLLED
        for (int c = 0; c < N; c++)
            if (inside[k] && byte_of<N>(chosen[k], c) == (unsigned)mine)
                sum[c] += value_of<T, N>(dys[k], c);
    }
    give_values<T, N>(dx, to, sum, add, held);
}

static int forward(sb_device *device, const sb_call *c)
{
    const sb_shape *xs = &c->xs[0], *ys = &c->ys;
    image_grid g;
    if (image_grid_of("maxpool", ys->n, vectors_of_image(ys), &g) != 0)
        return -1;
    with_vectors(xs->type, xs->c, [&]<sb_type T, int N>() {
        LAUNCH((maxpool_forward<T, N>), (unsigned)ys->n * g.blocks, THREADS, 0, sb_cuda_compute(device), *xs,
               *ys, g, c->x[0], c->y, c->aux);
    });
    return sb_cuda_launched("maxpool_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    const sb_shape *xs = &c->xs[0], *ys = &c->ys;
    image_grid g;
    if (image_grid_of("maxpool", xs->n, vectors_of_image(xs), &g) != 0)
        return -1;
    with_vectors(xs->type, xs->c, [&]<sb_type T, int N>() {
        LAUNCH((maxpool_backward<T, N>), (unsigned)xs->n * g.blocks, THREADS, 0, sb_cuda_compute(device), *xs,
               *ys, g, (const void *)c->aux, c->dy, c->dx[0], c->add[0]);
    });
    return sb_cuda_launched("maxpool_backward");
}

extern "C" const sb_kernel sb_cuda_maxpool = { .forward = forward, .backward = backward };
