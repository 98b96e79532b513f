/* depthwise.cu: convolutions of each channel by itself on a GPU.
 *
 * Forward and data gradient: a thread has a value, neighbouring threads neighbouring channels. Weight
 * gradient: a block has WARP channels, a run of places of dy, and up to TAPS places of a row of the kernel;
 * its threads share the places, its partial sums go to scratch, and a second kernel adds the blocks in order
 * in f64. */
#include "kernels/cuda/spot.h"
#include "kernels/op/depthwise.h"

#define LANES (THREADS / WARP)
#define TAPS 8

/* Places of dy of a block: at most about MOST_BLOCKS blocks of them. */
#define MOST_BLOCKS 256
#define LEAST_PLACES 64

static __host__ __device__ inline int places_of_block(const sb_shape *y)
{
    size_t places = (sb_shape_rows(y) + MOST_BLOCKS - 1) / MOST_BLOCKS;
    return places > LEAST_PLACES ? (int)places : LEAST_PLACES;
}

static __host__ __device__ inline int place_blocks(const sb_shape *y)
{
    return (int)((sb_shape_rows(y) + (size_t)places_of_block(y) - 1) / (size_t)places_of_block(y));
}

static size_t scratch(sb_device *device, const sb_call *c)
{
    (void)device;
    const int k = ((const sb_depthwise_how *)c->how)->kernel;
    return (size_t)place_blocks(&c->ys) * ((size_t)k * (size_t)k + 1) * (size_t)c->ys.c * sizeof(float);
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

static __global__ void depthwise_forward(sb_depthwise_how how, sb_shape xs, sb_shape ys, const void *x,
                                         const float *w, const float *bias, void *y)
{
    size_t to = global_thread();
    if (to >= sb_shape_elements(&ys))
        return;
    spot o = spot_of(to, ys);
    float sum = bias ? bias[o.channel] : 0;
    for (int a = 0; a < how.kernel; a++) {
        int row = o.row * how.stride - how.pad + a;
        if (row < 0 || row >= xs.h)
            continue;
        for (int b = 0; b < how.kernel; b++) {
            int column = o.column * how.stride - how.pad + b;
            if (column >= 0 && column < xs.w)
                sum += load(x, xs.type, index_of(o.n, row, column, o.channel, xs)) *
                       w[(size_t)(a * how.kernel + b) * (size_t)xs.c + (size_t)o.channel];
        }
    }
    store(y, ys.type, to, sum);
}

/* Each input gathers from the outputs that it is in. */
static __global__ void depthwise_data(sb_depthwise_how how, sb_shape xs, sb_shape ys, const void *dy,
                                      const float *w, void *dx, bool add)
{
    size_t to = global_thread();
    if (to >= sb_shape_elements(&xs))
        return;
    spot p = spot_of(to, xs);
    float sum = 0;
    for (int a = (p.row + how.pad) % how.stride; a < how.kernel; a += how.stride) {
        int i = (p.row + how.pad - a) / how.stride;
        if (p.row + how.pad < a || i >= ys.h)
            continue;
        for (int b = (p.column + how.pad) % how.stride; b < how.kernel; b += how.stride) {
            int j = (p.column + how.pad - b) / how.stride;
            if (p.column + how.pad >= b && j < ys.w)
                sum += load(dy, ys.type, index_of(p.n, i, j, p.channel, ys)) *
                       w[(size_t)(a * how.kernel + b) * (size_t)xs.c + (size_t)p.channel];
        }
    }
    give(dx, xs.type, to, sum, add);
}

/* TAPS places of kernel row blockIdx.z / chunks from (blockIdx.z % chunks) TAPS on. The block of the kernel's
 * first places sums the bias's gradient, too. */
static __global__ void depthwise_weights(sb_depthwise_how how, sb_shape xs, sb_shape ys, const void *x,
                                         const void *dy, float *partial)
{
    __shared__ float part[LANES][WARP];
    const int channel = (int)(blockIdx.y * WARP + threadIdx.x), lane = (int)threadIdx.y,
              chunks = (how.kernel + TAPS - 1) / TAPS, a = (int)blockIdx.z / chunks,
              first = (int)blockIdx.z % chunks * TAPS;
    const size_t rows = sb_shape_rows(&ys), begin = (size_t)blockIdx.x * (size_t)places_of_block(&ys);
    size_t end = begin + (size_t)places_of_block(&ys);
    end = channel >= ys.c ? begin : end < rows ? end : rows; /* it has to reach every barrier */
    float sum[TAPS + 1] = { 0 };
    for (size_t r = begin + (size_t)lane; r < end; r += LANES) {
        const size_t at = r * (size_t)ys.c + (size_t)channel;
        const spot o = spot_of(at, ys);
        const float g = load(dy, ys.type, at);
        const int row = o.row * how.stride - how.pad + a;
        sum[TAPS] += g;
        if (row < 0 || row >= xs.h)
            continue;
        for (int t = 0; t < TAPS; t++) {
            const int b = first + t, column = o.column * how.stride - how.pad + b;
            if (b < how.kernel && column >= 0 && column < xs.w)
                sum[t] += g * load(x, xs.type, index_of(o.n, row, column, channel, xs));
        }
    }
    for (int t = 0; t <= TAPS; t++) {
        const bool is_bias = t == TAPS;
        part[lane][threadIdx.x] = sum[t];
        __syncthreads();
        if (lane == 0 && channel < ys.c && (is_bias ? blockIdx.z == 0 : first + t < how.kernel)) {
            float all = 0;
            for (int l = 0; l < LANES; l++)
                all += part[l][threadIdx.x];
            const size_t places = (size_t)how.kernel * (size_t)how.kernel,
                         place = is_bias ? places : (size_t)(a * how.kernel + first + t);
            partial[((size_t)blockIdx.x * (places + 1) + place) * (size_t)ys.c + (size_t)channel] = all;
        }
        __syncthreads();
    }
}

/* dw: [c][places]. */
static __global__ void depthwise_fold(int blocks, int channels, int places, const float *partial, float *dw,
                                      float *dbias)
{
    const size_t t = global_thread(), c = (size_t)channels, place = t / c, channel = t % c,
                 all = (size_t)places + 1;
    if (place >= all)
        return;
    double sum = 0;
    for (int b = 0; b < blocks; b++)
        sum += partial[((size_t)b * all + place) * c + channel];
    if (place < (size_t)places && dw)
        dw[channel * (size_t)places + place] += (float)sum;
    else if (place == (size_t)places && dbias)
        dbias[channel] += (float)sum;
}

static int pack(sb_device *device, const sb_call *c)
{
    const int k = ((const sb_depthwise_how *)c->how)->kernel;
    LAUNCH(depthwise_pack, blocks_for((size_t)k * (size_t)k * (size_t)c->ys.c), THREADS, 0,
           sb_cuda_compute(device), c->ys.c, k * k, c->w[0], (float *)c->packed);
    return sb_cuda_launched("depthwise_pack");
}

static int forward(sb_device *device, const sb_call *c)
{
    LAUNCH(depthwise_forward, blocks_for(sb_shape_elements(&c->ys)), THREADS, 0, sb_cuda_compute(device),
           *(const sb_depthwise_how *)c->how, c->xs[0], c->ys, c->x[0], (const float *)c->packed, c->w[1],
           c->y);
    return sb_cuda_launched("depthwise_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    const sb_depthwise_how how = *(const sb_depthwise_how *)c->how;
    const int k = how.kernel, blocks = place_blocks(&c->ys), channels = c->ys.c;
    float *partial = (float *)c->scratch;
    if (c->dw[0] || c->dw[1]) {
        const dim3 grid((unsigned)blocks, (unsigned)((channels + WARP - 1) / WARP),
                        (unsigned)(k * ((k + TAPS - 1) / TAPS)));
        LAUNCH(depthwise_weights, grid, dim3(WARP, LANES), 0, sb_cuda_compute(device), how, c->xs[0], c->ys,
               c->x[0], c->dy, partial);
        LAUNCH(depthwise_fold, blocks_for(((size_t)k * (size_t)k + 1) * (size_t)channels), THREADS, 0,
               sb_cuda_compute(device), blocks, channels, k * k, partial, c->dw[0], c->dw[1]);
    }
    if (c->dx[0]) {
        LAUNCH(depthwise_data, blocks_for(sb_shape_elements(&c->xs[0])), THREADS, 0, sb_cuda_compute(device),
               how, c->xs[0], c->ys, c->dy, (const float *)c->packed, c->dx[0], c->add[0]);
    }
    return sb_cuda_launched("depthwise_backward");
}

extern "C" const sb_kernel sb_cuda_depthwise = {
    .scratch = scratch, .packed = packed, .pack = pack, .forward = forward, .backward = backward
};
