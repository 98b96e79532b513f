/* norm.cu: batch normalisation of [rows, channels], with residual addition and ReLU in the same pass over memory.
 *
 * A block of WARP x LANES threads has WARP channels and a run of rows; its partial sums (of x - shift and its square, f32; the shift is
 * the first row) go to scratch, and a second kernel adds the blocks of a channel in order in f64. Then one pass applies. */
#include "kernels/cuda/launch.h"

#define LANES (THREADS / WARP)

/* Rows of a block: at most about MOST_BLOCKS blocks of rows, whatever the shape, so that adding them up stays short. */
#define MOST_BLOCKS 256
#define LEAST_ROWS 64

static __host__ __device__ inline int rows_of_block(const sb_norm_shape *s)
{
    int rows = (s->rows + MOST_BLOCKS - 1) / MOST_BLOCKS;
    return rows > LEAST_ROWS ? rows : LEAST_ROWS;
}

static __host__ __device__ inline int row_blocks(const sb_norm_shape *s)
{
    return (s->rows + rows_of_block(s) - 1) / rows_of_block(s);
}

/* Scratch: partial sums [2][row blocks, channels], then three rows [channels]. */
typedef struct {
    float *first, *second;
    float *row[3];
} work;

static work carve(const sb_norm_shape *s, void *scratch)
{
    size_t c = (size_t)s->channels, partial = (size_t)row_blocks(s) * c;
    work w;
    w.first = (float *)scratch;
    w.second = w.first + partial;
    for (size_t i = 0; i < 3; i++)
        w.row[i] = w.second + partial + i * c;
    return w;
}

size_t sb_cuda_norm_scratch(sb_device *device, const sb_norm_shape *s)
{
    (void)device;
    return (2 * (size_t)row_blocks(s) + 3) * (size_t)s->channels * sizeof(float);
}

typedef struct {
    int channel, begin, end; /* rows begin + lane, + LANES, ... < end */
} place;

static __device__ inline place my_place(const sb_norm_shape *s)
{
    place p;
    int rows = rows_of_block(s);
    p.channel = (int)(blockIdx.y * WARP + threadIdx.x);
    p.begin = (int)blockIdx.x * rows;
    p.end = p.begin + rows < s->rows ? p.begin + rows : s->rows;
    if (p.channel >= s->channels)
        p.end = p.begin; /* no rows for it, but it comes to the barriers */
    return p;
}

/* Adds up two sums over the lanes of each channel, in order, and writes the block's partial sums. */
static __device__ inline void write_partial(const sb_norm_shape *s, const place *p, float first, float second, work w)
{
    __shared__ float a[LANES][WARP], b[LANES][WARP];
    a[threadIdx.y][threadIdx.x] = first;
    b[threadIdx.y][threadIdx.x] = second;
    __syncthreads();
    if (threadIdx.y != 0 || p->channel >= s->channels)
        return;
    for (int l = 1; l < LANES; l++) {
        first += a[l][threadIdx.x];
        second += b[l][threadIdx.x];
    }
    size_t at = (size_t)blockIdx.x * (size_t)s->channels + (size_t)p->channel;
    w.first[at] = first;
    w.second[at] = second;
}

static __device__ inline void fold(const sb_norm_shape *s, work w, int channel, double *first, double *second)
{
    *first = *second = 0;
    for (int b = 0; b < row_blocks(s); b++) {
        size_t at = (size_t)b * (size_t)s->channels + (size_t)channel;
        *first += w.first[at];
        *second += w.second[at];
    }
}

/* ---- forward ---------------------------------------------------------------------------------------------------------------------------- */

static __global__ void forward_sums(sb_norm_shape s, const void *x, work w)
{
    place p = my_place(&s);
    float shift = p.begin < p.end ? load(x, s.type, (size_t)p.channel) : 0, sum = 0, square = 0;
    for (int r = p.begin + (int)threadIdx.y; r < p.end; r += LANES) {
        float d = load(x, s.type, (size_t)r * (size_t)s.channels + (size_t)p.channel) - shift;
        sum += d;
        square += d * d;
    }
    write_partial(&s, &p, sum, square, w);
}

/* What normalising does to a channel: x scale + offset. The same bits forward and backward. */
typedef struct {
    float scale, offset;
} affine;

static __device__ inline affine affine_of(const sb_norm_shape *s, int c, const float *gamma, const float *beta, float mean, float variance)
{
    affine a;
    a.scale = (gamma ? gamma[c] : 1.0f) / sqrtf(variance + s->epsilon);
    a.offset = (beta ? beta[c] : 0.0f) - mean * a.scale;
    return a;
}

static __device__ inline void write_affine(work w, int c, affine a)
{
    w.row[0][c] = a.scale;
    w.row[1][c] = a.offset;
}

static __global__ void forward_fold(sb_norm_shape s, const void *x, const float *gamma, const float *beta, float *mean,
                                    float *variance, work w)
{
    int c = (int)global_thread();
    if (c >= s.channels)
        return;
    double sum, square;
    fold(&s, w, c, &sum, &square);
    double m = sum / s.rows, v = square / s.rows - m * m;
    mean[c] = (float)(load(x, s.type, (size_t)c) + m);
    variance[c] = (float)(v > 0 ? v : 0);
    write_affine(w, c, affine_of(&s, c, gamma, beta, mean[c], variance[c]));
}

static __global__ void given_scale(sb_norm_shape s, const float *gamma, const float *beta, const float *mean, const float *variance,
                                   work w)
{
    int c = (int)global_thread();
    if (c < s.channels)
        write_affine(w, c, affine_of(&s, c, gamma, beta, mean[c], variance[c]));
}

/* y = relu?(x scale + offset + residual?) */
static __global__ void apply(sb_norm_shape s, const void *x, const void *residual, void *y, work w)
{
    place p = my_place(&s);
    if (p.begin == p.end)
        return;
    float scale = w.row[0][p.channel], offset = w.row[1][p.channel];
    for (int r = p.begin + (int)threadIdx.y; r < p.end; r += LANES) {
        size_t at = (size_t)r * (size_t)s.channels + (size_t)p.channel;
        float value = load(x, s.type, at) * scale + offset;
        if (s.residual)
            value += load(residual, s.type, at);
        store(y, s.type, at, s.relu && !(value > 0) ? 0 : value);
    }
}

/* ---- backward --------------------------------------------------------------------------------------------------------------------------- */

/* The gradient that reaches the normalised value: (dy + dy_more) where the ReLU let it through, which y tells, or, where there was no
 * residual, x. */
static __device__ inline float masked(const sb_norm_shape *s, float x, affine a, const void *y, const void *dy, const void *dy_more, size_t at)
{
    float g = load(dy, s->type, at);
    if (dy_more)
        g += load(dy_more, s->type, at);
    if (!s->relu)
        return g;
    float out = s->residual ? load(y, s->type, at) : x * a.scale + a.offset;
    return out > 0 ? g : 0;
}

/* Sums of g and of g xhat. Where there is a residual, g is its gradient and is kept for the second pass. */
static __global__ void backward_sums(sb_norm_shape s, const void *x, const void *y, const void *dy, const void *dy_more,
                                     const float *gamma, const float *beta, const float *mean, const float *variance, void *dresidual,
                                     work w)
{
    place p = my_place(&s);
    affine a = {};
    float centre = 0, inverse = 0, sum = 0, product = 0;
    if (p.begin < p.end) {
        centre = mean[p.channel];
        inverse = 1.0f / sqrtf(variance[p.channel] + s.epsilon);
        a = affine_of(&s, p.channel, gamma, beta, centre, variance[p.channel]);
    }
    for (int r = p.begin + (int)threadIdx.y; r < p.end; r += LANES) {
        size_t at = (size_t)r * (size_t)s.channels + (size_t)p.channel;
        float value = load(x, s.type, at), g = masked(&s, value, a, y, dy, dy_more, at);
        sum += g;
        product += g * ((value - centre) * inverse);
        if (s.residual)
            store(dresidual, s.type, at, g);
    }
    write_partial(&s, &p, sum, product, w);
}

/* dx = gamma inverse (g - mean(g) - xhat mean(g xhat)) = g row[0] + x row[1] + row[2] */
static __global__ void backward_fold(sb_norm_shape s, const float *gamma, const float *mean, const float *variance, float *dgamma,
                                     float *dbeta, bool accumulate, work w)
{
    int c = (int)global_thread();
    if (c >= s.channels)
        return;
    double sum, product;
    fold(&s, w, c, &sum, &product);
    if (dgamma)
        dgamma[c] = (accumulate ? dgamma[c] : 0) + (float)product;
    if (dbeta)
        dbeta[c] = (accumulate ? dbeta[c] : 0) + (float)sum;
    float inverse = 1.0f / sqrtf(variance[c] + s.epsilon);
    double scale = (gamma ? gamma[c] : 1.0f) * (double)inverse, slope = scale * inverse * product / s.rows;
    w.row[0][c] = (float)scale;
    w.row[1][c] = (float)-slope;
    w.row[2][c] = (float)(slope * mean[c] - scale * sum / s.rows);
}

static __global__ void backward_apply(sb_norm_shape s, const void *x, const void *y, const void *dy, const void *dy_more,
                                      const float *gamma, const float *beta, const float *mean, const float *variance, void *dx,
                                      const void *dresidual, work w)
{
    place p = my_place(&s);
    if (p.begin == p.end)
        return;
    affine a = affine_of(&s, p.channel, gamma, beta, mean[p.channel], variance[p.channel]);
    float from_g = w.row[0][p.channel], from_x = w.row[1][p.channel], constant = w.row[2][p.channel];
    for (int r = p.begin + (int)threadIdx.y; r < p.end; r += LANES) {
        size_t at = (size_t)r * (size_t)s.channels + (size_t)p.channel;
        float value = load(x, s.type, at), g = s.residual ? load(dresidual, s.type, at) : masked(&s, value, a, y, dy, dy_more, at);
        store(dx, s.type, at, g * from_g + value * from_x + constant);
    }
}

static __global__ void running(int channels, float momentum, float unbiased, const float *mean, const float *variance,
                               float *running_mean, float *running_variance)
{
    int c = (int)global_thread();
    if (c >= channels)
        return;
    running_mean[c] = (1 - momentum) * running_mean[c] + momentum * mean[c];
    running_variance[c] = (1 - momentum) * running_variance[c] + momentum * variance[c] * unbiased;
}

/* ---- host ------------------------------------------------------------------------------------------------------------------------------- */

static dim3 tiles_of(const sb_norm_shape *s)
{
    return dim3((unsigned)row_blocks(s), (unsigned)((s->channels + WARP - 1) / WARP));
}

int sb_cuda_norm_forward(sb_device *device, const sb_norm_shape *s, const void *x, const void *residual, const float *gamma,
                         const float *beta, void *y, float *mean, float *variance, void *scratch)
{
    cudaStream_t stream = sb_cuda_compute(device);
    work w = carve(s, scratch);
    dim3 block(WARP, LANES);
    LAUNCH(forward_sums, tiles_of(s), block, 0, stream, *s, x, w);
    LAUNCH(forward_fold, blocks_for((size_t)s->channels), THREADS, 0, stream, *s, x, gamma, beta, mean, variance, w);
    LAUNCH(apply, tiles_of(s), block, 0, stream, *s, x, residual, y, w);
    return sb_cuda_launched("norm_forward");
}

int sb_cuda_norm_apply(sb_device *device, const sb_norm_shape *s, const void *x, const void *residual, const float *gamma,
                       const float *beta, const float *mean, const float *variance, void *y, void *scratch)
{
    cudaStream_t stream = sb_cuda_compute(device);
    work w = carve(s, scratch);
    LAUNCH(given_scale, blocks_for((size_t)s->channels), THREADS, 0, stream, *s, gamma, beta, mean, variance, w);
    LAUNCH(apply, tiles_of(s), dim3(WARP, LANES), 0, stream, *s, x, residual, y, w);
    return sb_cuda_launched("norm_apply");
}

int sb_cuda_norm_backward(sb_device *device, const sb_norm_shape *s, const void *x, const void *y, const void *dy,
                          const void *dy_more, const float *gamma, const float *beta, const float *mean, const float *variance,
                          void *dx, void *dresidual, float *dgamma, float *dbeta, bool accumulate, void *scratch)
{
    cudaStream_t stream = sb_cuda_compute(device);
    work w = carve(s, scratch);
    dim3 block(WARP, LANES);
    LAUNCH(backward_sums, tiles_of(s), block, 0, stream, *s, x, y, dy, dy_more, gamma, beta, mean, variance, dresidual,
           w);
    LAUNCH(backward_fold, blocks_for((size_t)s->channels), THREADS, 0, stream, *s, gamma, mean, variance, dgamma, dbeta, accumulate, w);
    LAUNCH(backward_apply, tiles_of(s), block, 0, stream, *s, x, y, dy, dy_more, gamma, beta, mean, variance, dx, dresidual, w);
    return sb_cuda_launched("norm_backward");
}

int sb_cuda_norm_running(sb_device *device, int channels, int rows, float momentum, const float *mean, const float *variance,
                         float *running_mean, float *running_variance)
{
    float unbiased = rows > 1 ? (float)((double)rows / (rows - 1)) : 1.0f;
    LAUNCH(running, blocks_for((size_t)channels), THREADS, 0, sb_cuda_compute(device), channels, momentum, unbiased, mean, variance,
           running_mean, running_variance);
    return sb_cuda_launched("norm_running");
}
