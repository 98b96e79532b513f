/* avgpool.cu: global average pooling on a GPU. A thread has N channels (vector.h). */
#include "kernels/cuda/vector.h"
#include "kernels/op/avgpool.h"

#define WIDE 8 /* vectors of an image's row that a block has: 128 bytes where they are whole */
#define LANES (THREADS / WIDE)
#define AT_ONCE 4 /* rows that a thread fetches before it uses the first */

/* A block has WIDE vectors of an image's channels; its lanes share the places, and are added in order. x [n,
 * places, c], y [n, c]. */
template <sb_type T, int N>
static __global__ void __launch_bounds__(THREADS, 4)
    avgpool_forward(int places, int first, int count, int c, int tiles, const void *__restrict__ x,
                    float *__restrict__ y)
{
    __shared__ float part[LANES][WIDE * N];
    const int n = (int)blockIdx.x / tiles, vectors = c / N, lane = (int)threadIdx.x / WIDE,
              column = (int)blockIdx.x % tiles * WIDE + (int)threadIdx.x % WIDE;
    const size_t begin = ((size_t)n * (size_t)places + (size_t)first) * (size_t)vectors + (size_t)column;
    float sum[N] = {};
    ROLLED
    for (int p = lane; p < count && column < vectors; p += AT_ONCE * LANES) {
        vector<T, N> rows[AT_ONCE] = {}; /* zeros, where there is none */
        UNROLLED
        for (int i = 0; i < AT_ONCE; i++)
            if (p + i * LANES < count)
                rows[i] = fetch<T, N>(x, begin + (size_t)(p + i * LANES) * (size_t)vectors);
        UNROLLED
        for (int i = 0; i < AT_ONCE; i++)
            UNROLLED
        for (int k = 0; k < N; k++)
            sum[k] += value_of<T, N>(rows[i], k);
    }
    UNROLLED
    for (int k = 0; k < N; k++)
        part[lane][(int)threadIdx.x % WIDE * N + k] = sum[k];
    __syncthreads();
    const int t = (int)threadIdx.x, channel = (int)blockIdx.x % tiles * WIDE * N + t;
    if (t >= WIDE * N || channel >= c)
        return;
    float all = part[0][t];
    for (int l = 1; l < LANES; l++)
        all += part[l][t];
    y[(size_t)n * (size_t)c + (size_t)channel] = all / (float)count;
}

/* dx [n, places, c], dy [n, c]. */
template <sb_type T, int N>
static __global__ void avgpool_backward(image_grid g, int first, int last, int c, float share,
                                        const float *__restrict__ dy, void *__restrict__ dx, bool add)
{
    const unsigned i = my_vector(g), vectors = (unsigned)c / N;
    if (i >= g.vectors)
        return;
    const size_t to = (size_t)my_image(g) * g.vectors + i;
    const int place = (int)(i / vectors);
    float value[N];
    vector<T, N> held = {};
    read_tensor<N>(dy, (size_t)my_image(g) * vectors + i % vectors, value);
    if (add)
        held = fetch<T, N>(dx, to);
    UNROLLED
    for (int k = 0; k < N; k++)
        value[k] = place >= first && place <= last ? value[k] * share : 0;
    give_values<T, N>(dx, to, value, add, held);
}

static int forward(sb_device *device, const sb_call *c)
{
    const sb_shape *x = &c->xs[0];
    const sb_avgpool_how *how = (const sb_avgpool_how *)c->how;
    with_vectors(x->type, x->c, [&]<sb_type T, int N>() {
        const int tiles = (x->c / N + WIDE - 1) / WIDE;
        LAUNCH((avgpool_forward<T, N>), (unsigned)x->n * (unsigned)tiles, THREADS, 0, sb_cuda_compute(device),
               x->h * x->w, how->first, sb_avgpool_count(how, x), x->c, tiles, c->x[0], (float *)c->y);
    });
    return sb_cuda_launched("avgpool_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    const sb_shape *x = &c->xs[0];
    const sb_avgpool_how *how = (const sb_avgpool_how *)c->how;
    const int in_mean = sb_avgpool_count(how, x);
    const float share = (float)(1.0 / in_mean);
    image_grid g;
    if (image_grid_of("avgpool", x->n, vectors_of_image(x), &g) != 0)
        return -1;
    with_vectors(x->type, x->c, [&]<sb_type T, int N>() {
        LAUNCH((avgpool_backward<T, N>), (unsigned)x->n * g.blocks, THREADS, 0, sb_cuda_compute(device), g,
               how->first, how->first + in_mean - 1, x->c, share, (const float *)c->dy, c->dx[0], c->add[0]);
    });
    return sb_cuda_launched("avgpool_backward");
}

extern "C" const sb_kernel sb_cuda_avgpool = { .forward = forward, .backward = backward };
