/* depthwise.cu: convolutions of each channel by itself on a GPU.
 *
 * Forward and data gradient: a thread has N channels (vector.h) of ACROSS places of a row, which read the
 * same weights at the same time. Weight gradient: the threads share the places of dy by shares.h, again for
 * each TAPS places of a row of the kernel; the bias's is bias.h's. */
#include "kernels/cuda/bias.h"
#include "kernels/cuda/shares.h"
#include "kernels/op/depthwise.h"

#define ACROSS 4
#define TAPS 3

static int tap_blocks(int kernel) { return kernel * ((kernel + TAPS - 1) / TAPS); }

/* Of dy: as many blocks as other sums have, all places of the kernel together. */
static shares shares_of_taps(const sb_call *c)
{
    const int kernel = ((const sb_depthwise_how *)c->how)->kernel;
    return shares_within(BLOCKS_MOST / tap_blocks(kernel) + 1, c->ys.type, 1, (int)sb_shape_rows(&c->ys),
                         c->ys.c);
}

/* One gradient after the other. */
static size_t scratch(sb_device *device, const sb_call *c)
{
    (void)device;
    const size_t k = (size_t)((const sb_depthwise_how *)c->how)->kernel, bias = sb_cuda_bias_scratch(&c->ys);
    const shares d = shares_of_taps(c);
    const size_t sums = k * k * partial_sums(&d) * sizeof(float);
    return sums > bias ? sums : bias;
}

static size_t packed(sb_device *device, const sb_call *c)
{
    (void)device;
    const int k = ((const sb_depthwise_how *)c->how)->kernel;
    return (size_t)k * (size_t)k * (size_t)c->ys.c * sizeof(float);
}

/* [c][places] -> [places][c] */
static __global__ void depthwise_pack(int channels, int places, const float *w, float *to)
{
    size_t i = global_thread(), c = (size_t)channels;
    if (i < (size_t)places * c)
        to[i] = w[i % c * (size_t)places + i / c];
}

/* What a thread has of an image: a vector of channels of a strip of a row. */
typedef struct {
    unsigned channel; /* its vector */
    int row, strip;
} strip_spot;

static __device__ inline strip_spot my_strip(image_grid g, unsigned vectors, unsigned strips)
{
    const unsigned i = my_vector(g);
    return { i % vectors, (int)(i / vectors / strips), (int)(i / vectors % strips) };
}

/* This block's image of a tensor: 32 bits count its vectors. */
template <sb_type T, int N>
static __device__ inline vector<T, N> *image_of(const void *x, image_grid g, const sb_shape &s)
{
    return (vector<T, N> *)x + (size_t)my_image(g) * (size_t)s.h * (size_t)s.w * (unsigned)(s.c / N);
}

/* Adds what one place of the kernel does to ACROSS places that see `column`, column + step, ... of a row of x
 * through it. x: an image, whose row begins at vector `row`, that of this channel. */
template <sb_type T, int N>
static __device__ inline void add_taps(const vector<T, N> *x, unsigned row, int column, int step, int width,
                                       unsigned vectors, const float *w, size_t at, float sum[ACROSS][N])
{
    vector<T, N> xs[ACROSS] = {};
    float weight[N];
    read_tensor<N>(w, at, weight);
    UNROLLED
    for (int j = 0; j < ACROSS; j++)
        if (column + j * step >= 0 && column + j * step < width)
            xs[j] = x[row + (unsigned)(column + j * step) * vectors];
    UNROLLED
    for (int j = 0; j < ACROSS; j++)
        UNROLLED
    for (int k = 0; k < N; k++)
        sum[j][k] = fmaf(value_of<T, N>(xs[j], k), weight[k], sum[j][k]);
}

template <sb_type T, int N>
static __global__ void __launch_bounds__(THREADS, 4)
    depthwise_forward(sb_depthwise_how how, sb_shape xs, sb_shape ys, image_grid g, int strips,
                      const void *__restrict__ x, const float *__restrict__ w, const float *__restrict__ bias,
                      void *__restrict__ y)
{
    if (my_vector(g) >= g.vectors)
        return;
    const unsigned vectors = (unsigned)ys.c / N;
    const strip_spot o = my_strip(g, vectors, (unsigned)strips);
    const int first = o.strip * ACROSS;
    const vector<T, N> *image = image_of<T, N>(x, g, xs);
    float sum[ACROSS][N];
    UNROLLED
    for (int j = 0; j < ACROSS; j++)
        read_weights<N>(bias, (int)o.channel * N, 0, sum[j]);
    ROLLED
    for (int a = 0, i = o.row * how.stride - how.pad; a < how.kernel; a++, i++) {
        if (i < 0 || i >= xs.h)
            continue;
        const unsigned row = (unsigned)(i * xs.w) * vectors + o.channel;
        ROLLED
        for (int b = 0; b < how.kernel; b++)
            add_taps<T, N>(image, row, first * how.stride - how.pad + b, how.stride, xs.w, vectors, w,
                           (unsigned)(a * how.kernel + b) * vectors + o.channel, sum);
    }
    vector<T, N> *to = image_of<T, N>(y, g, ys) + (unsigned)(o.row * ys.w + first) * vectors + o.channel;
    UNROLLED
    for (int j = 0; j < ACROSS; j++)
        if (first + j < ys.w)
            put<T, N>(to, (unsigned)j * vectors, vector_of<T, N>(sum[j]));
}

/* Each input gathers from the outputs that it is in. A thread's lie a stride apart: they are in outputs side
 * by side through the same place of the kernel. */
template <sb_type T, int N>
static __global__ void __launch_bounds__(THREADS, 4)
    depthwise_data(sb_depthwise_how how, sb_shape xs, sb_shape ys, image_grid g, int strips, const void *dy,
                   const float *w, void *dx, bool add)
{
    if (my_vector(g) >= g.vectors)
        return;
    const unsigned vectors = (unsigned)xs.c / N;
    const strip_spot p = my_strip(g, vectors, (unsigned)strips);
    const int first = p.strip / how.stride * (how.stride * ACROSS) + p.strip % how.stride,
              row = p.row + how.pad, column = first + how.pad;
    const vector<T, N> *image = image_of<T, N>(dy, g, ys);
    float sum[ACROSS][N] = {};
    ROLLED
    for (int a = row % how.stride, i = row / how.stride; a < how.kernel; a += how.stride, i--) {
        if (i < 0 || i >= ys.h)
            continue;
        const unsigned from = (unsigned)(i * ys.w) * vectors + p.channel;
        ROLLED
        for (int b = column % how.stride, j = column / how.stride; b < how.kernel; b += how.stride, j--)
            add_taps<T, N>(image, from, j, 1, ys.w, vectors, w,
                           (unsigned)(a * how.kernel + b) * vectors + p.channel, sum);
    }
    vector<T, N> *to = image_of<T, N>(dx, g, xs) + (unsigned)(p.row * xs.w + first) * vectors + p.channel,
                 held[ACROSS] = {};
    UNROLLED
    for (int j = 0; j < ACROSS; j++)
        if (add && first + j * how.stride < xs.w)
            held[j] = to[(unsigned)(j * how.stride) * vectors];
    UNROLLED
    for (int j = 0; j < ACROSS; j++)
        if (first + j * how.stride < xs.w)
            give_values<T, N>(to, (unsigned)(j * how.stride) * vectors, sum[j], add, held[j]);
}

/* TAPS places of kernel row blockIdx.y / chunks from (blockIdx.y % chunks) TAPS on. partial: [places of the
 * kernel][runs][c]. */
template <sb_type T, int N>
static __global__ void __launch_bounds__(THREADS, 4)
    depthwise_weights(sb_depthwise_how how, sb_shape xs, sb_shape ys, shares d, const void *__restrict__ x,
                      const void *__restrict__ dy, float *__restrict__ partial)
{
    span p = my_span<N>(&d);
    const int chunks = (how.kernel + TAPS - 1) / TAPS, a = (int)blockIdx.y / chunks,
              first = (int)blockIdx.y % chunks * TAPS;
    float sum[TAPS][N] = {};
    ROLLED
    for (; p.row < p.end; p.row += d.lanes) {
        const size_t at = vector_at(&d, &p, p.row);
        const int i = p.row / ys.w % ys.h * how.stride - how.pad + a,
                  column = p.row % ys.w * how.stride - how.pad + first;
        const size_t row = ((size_t)(p.row / ys.w / ys.h) * (size_t)xs.h + (size_t)i) * (size_t)xs.w;
        if (i < 0 || i >= xs.h)
            continue;
        const vector<T, N> dys = fetch<T, N>(dy, at);
        vector<T, N> seen[TAPS] = {};
        UNROLLED
        for (int t = 0; t < TAPS; t++)
            if (column + t >= 0 && column + t < xs.w)
                seen[t] = fetch<T, N>(x, (row + (size_t)(column + t)) * (size_t)d.vectors + (size_t)p.column);
        UNROLLED
        for (int t = 0; t < TAPS; t++)
            UNROLLED
        for (int k = 0; k < N; k++)
            sum[t][k] = fmaf(value_of<T, N>(dys, k), value_of<T, N>(seen[t], k), sum[t][k]);
    }
    const size_t one = (size_t)d.runs * (size_t)d.channels;
    UNROLLED
    for (int t = 0; t < TAPS; t++)
        if (first + t < how.kernel)
            write_partial<N>(&d, sum[t], partial + (size_t)(a * how.kernel + first + t) * one);
}

/* dw: [c][places]. */
static __global__ void depthwise_fold(shares d, int places, const float *partial, float *dw)
{
    const int t = my_column(), place = t / d.channels, channel = t % d.channels;
    const bool mine = place < places;
    const size_t one = (size_t)d.runs * (size_t)d.channels;
    const double sum = fold(&d, partial + (mine ? (size_t)place * one : 0), NULL, mine, 0, channel).first;
    if (mine && threadIdx.y == 0)
        dw[(size_t)channel * (size_t)places + (size_t)place] += (float)sum;
}

static int pack(sb_device *device, const sb_call *c)
{
    const int k = ((const sb_depthwise_how *)c->how)->kernel;
    LAUNCH(depthwise_pack, blocks_for((size_t)k * (size_t)k * (size_t)c->ys.c), THREADS, 0,
           sb_cuda_compute(device), c->ys.c, k * k, c->w[0], (float *)c->packed);
    return sb_cuda_launched("depthwise_pack");
}

/* What threads have of an image: one for each vector of channels of each strip. */
static size_t vectors_of_strips(const sb_shape *s, int strips)
{
    return (size_t)s->h * (size_t)strips * (size_t)(s->c / values_at_once(s->type, s->c));
}

static int forward(sb_device *device, const sb_call *c)
{
    const sb_depthwise_how how = *(const sb_depthwise_how *)c->how;
    const sb_shape *xs = &c->xs[0], *ys = &c->ys;
    const int strips = (ys->w + ACROSS - 1) / ACROSS;
    image_grid g;
    if (image_grid_of("depthwise", ys->n, vectors_of_strips(ys, strips), &g) != 0)
        return -1;
    with_vectors(ys->type, ys->c, [&]<sb_type T, int N>() {
        LAUNCH((depthwise_forward<T, N>), (unsigned)ys->n * g.blocks, THREADS, 0, sb_cuda_compute(device),
               how, *xs, *ys, g, strips, c->x[0], (const float *)c->packed, c->w[1], c->y);
    });
    return sb_cuda_launched("depthwise_forward");
}

static int weight_gradient(sb_device *device, const sb_call *c)
{
    const sb_depthwise_how how = *(const sb_depthwise_how *)c->how;
    const shares d = shares_of_taps(c);
    const int places = how.kernel * how.kernel;
    float *partial = (float *)c->scratch;
    with_vectors(c->ys.type, c->ys.c, [&]<sb_type T, int N>() {
        LAUNCH((depthwise_weights<T, N>), dim3(blocks_of(&d), (unsigned)tap_blocks(how.kernel)), THREADS, 0,
               sb_cuda_compute(device), how, c->xs[0], c->ys, d, c->x[0], c->dy, partial);
    });
    LAUNCH(depthwise_fold, folds_of(places * d.channels), dim3(FOLDED, FOLDERS), 0, sb_cuda_compute(device),
           d, places, partial, c->dw[0]);
    return sb_cuda_launched("depthwise_weights");
}

static int data_gradient(sb_device *device, const sb_call *c)
{
    const sb_depthwise_how how = *(const sb_depthwise_how *)c->how;
    const sb_shape *xs = &c->xs[0], *ys = &c->ys;
    const int strips = ((xs->w + how.stride - 1) / how.stride + ACROSS - 1) / ACROSS * how.stride;
    image_grid g;
    if (image_grid_of("depthwise", xs->n, vectors_of_strips(xs, strips), &g) != 0)
        return -1;
    with_vectors(xs->type, xs->c, [&]<sb_type T, int N>() {
        LAUNCH((depthwise_data<T, N>), (unsigned)xs->n * g.blocks, THREADS, 0, sb_cuda_compute(device), how,
               *xs, *ys, g, strips, c->dy, (const float *)c->packed, c->dx[0], c->add[0]);
    });
    return sb_cuda_launched("depthwise_data");
}

static int backward(sb_device *device, const sb_call *c)
{
    if (c->dw[1] && sb_cuda_bias_back(device, &c->ys, c->dy, c->dw[1], c->scratch) != 0)
        return -1;
    if (c->dw[0] && weight_gradient(device, c) != 0)
        return -1;
    return c->dx[0] ? data_gradient(device, c) : 0;
}

extern "C" const sb_kernel sb_cuda_depthwise = {
    .scratch = scratch, .packed = packed, .pack = pack, .forward = forward, .backward = backward
};
