/* batchnorm.cu: batch normalisation on a GPU.
 *
 * A block of WARP x LANES threads has WARP channels and a run of rows; its partial sums (of x - shift and its
 * square, f32; the shift is the first row) go to scratch, and a second kernel adds the blocks of a channel in
 * order in f64. Then one pass applies. */
#include "kernels/cuda/launch.h"
#include "kernels/op/batchnorm.h"

#define LANES (THREADS / WARP)

/* Rows of a block: at most about MOST_BLOCKS blocks of rows, whatever the shape, so that adding them up stays
 * short. */
#define MOST_BLOCKS 256
#define LEAST_ROWS 64

static __host__ __device__ inline int rows_of_block(const sb_batchnorm *s)
{
    int rows = (s->rows + MOST_BLOCKS - 1) / MOST_BLOCKS;
    return rows > LEAST_ROWS ? rows : LEAST_ROWS;
}

static __host__ __device__ inline int row_blocks(const sb_batchnorm *s)
{
    return (s->rows + rows_of_block(s) - 1) / rows_of_block(s);
}

/* Scratch: partial sums [2][row blocks, channels], then three rows [channels]. */
typedef struct {
    float *first, *second;
    float *row[3];
} work;

static size_t scratch(sb_device *device, const sb_call *call)
{
    (void)device;
    sb_batchnorm s = sb_batchnorm_of(call);
    return (2 * (size_t)row_blocks(&s) + 3) * (size_t)s.channels * sizeof(float);
}

static work lay_out_work(const sb_batchnorm *s, void *memory)
{
    size_t c = (size_t)s->channels, partial = (size_t)row_blocks(s) * c;
    work w;
    w.first = (float *)memory;
    w.second = w.first + partial;
    for (size_t i = 0; i < 3; i++)
        w.row[i] = w.second + partial + i * c;
    return w;
}

typedef struct {
    int channel, begin, end; /* rows begin + lane, + LANES, ... < end */
} span;

static __device__ inline span my_span(const sb_batchnorm *s)
{
    span p;
    int rows = rows_of_block(s);
    p.channel = (int)(blockIdx.y * WARP + threadIdx.x);
    p.begin = (int)blockIdx.x * rows;
    p.end = p.begin + rows < s->rows ? p.begin + rows : s->rows;
    if (p.channel >= s->channels)
        p.end = p.begin; /* a thread without a channel adds no rows, but has to reach every barrier */
    return p;
}

/* Adds up two sums over the lanes of each channel, in order, and writes the block's partial sums. */
static __device__ inline void write_partial(const sb_batchnorm *s, const span *p, float first, float second,
                                            work w)
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

static __device__ inline void fold(const sb_batchnorm *s, work w, int channel, double *first, double *second)
{
    *first = *second = 0;
    for (int b = 0; b < row_blocks(s); b++) {
        size_t at = (size_t)b * (size_t)s->channels + (size_t)channel;
        *first += w.first[at];
        *second += w.second[at];
    }
}

/* What normalising with statistics [2, channels] does to a channel: x scale + offset. The same bits forward
 * and backward. gamma and beta [channels] may be NULL. */
typedef struct {
    float scale, offset;
} affine;

static __device__ inline affine affine_of(const sb_batchnorm *s, int c, const float *gamma, const float *beta,
                                          const float *statistics)
{
    float mean = statistics[c], variance = statistics[s->channels + c];
    affine a;
    a.scale = (gamma ? gamma[c] : 1.0f) / sqrtf(variance + s->epsilon);
    a.offset = (beta ? beta[c] : 0.0f) - mean * a.scale;
    return a;
}

/* ---- forward ------------------------------------------------------------------------------------------- */

static __global__ void forward_sums(sb_batchnorm s, const void *x, work w)
{
    span p = my_span(&s);
    float shift = p.begin < p.end ? load(x, s.type, (size_t)p.channel) : 0, sum = 0, square = 0;
    for (int r = p.begin + (int)threadIdx.y; r < p.end; r += LANES) {
        float d = load(x, s.type, (size_t)r * (size_t)s.channels + (size_t)p.channel) - shift;
        sum += d;
        square += d * d;
    }
    write_partial(&s, &p, sum, square, w);
}

/* The batch's statistics [2, channels]. */
static __global__ void forward_fold(sb_batchnorm s, const void *x, float *statistics, work w)
{
    int c = (int)global_thread();
    if (c >= s.channels)
        return;
    double sum, square;
    fold(&s, w, c, &sum, &square);
    double m = sum / s.rows, v = square / s.rows - m * m;
    statistics[c] = (float)(load(x, s.type, (size_t)c) + m);
    statistics[s.channels + c] = (float)(v <= 0 ? 0 : v); /* NaN stays, here and below */
}

/* y = relu?(x scale + offset + residual?) */
static __global__ void forward_apply(sb_batchnorm s, const void *x, const void *residual, const float *gamma,
                                     const float *beta, const float *statistics, void *y)
{
    span p = my_span(&s);
    if (p.begin == p.end)
        return;
    affine a = affine_of(&s, p.channel, gamma, beta, statistics);
    for (int r = p.begin + (int)threadIdx.y; r < p.end; r += LANES) {
        size_t at = (size_t)r * (size_t)s.channels + (size_t)p.channel;
        float value = load(x, s.type, at) * a.scale + a.offset;
        if (s.residual)
            value += load(residual, s.type, at);
        store(y, s.type, at, s.relu && value <= 0 ? 0 : value);
    }
}

/* ---- backward ------------------------------------------------------------------------------------------ */

/* g, the gradient that reaches the normalised value: dy where the ReLU let it through, which y tells, or,
 * where there was no residual, x. */
static __device__ inline float masked(const sb_batchnorm *s, float x, affine a, const void *y, const void *dy,
                                      size_t at)
{
    float g = load(dy, s->type, at);
    if (!s->relu)
        return g;
    float out = s->residual ? load(y, s->type, at) : x * a.scale + a.offset;
    return out <= 0 ? 0 : g;
}

/* Sums of g and of g xhat. g is the residual's gradient. */
static __global__ void backward_sums(sb_batchnorm s, const void *x, const void *y, const void *dy,
                                     const float *gamma, const float *beta, const float *statistics,
                                     void *dresidual, bool add, work w)
{
    span p = my_span(&s);
    affine a = {};
    float centre = 0, inverse = 0, sum = 0, product = 0;
    if (p.begin < p.end) {
        centre = statistics[p.channel];
        inverse = 1.0f / sqrtf(statistics[s.channels + p.channel] + s.epsilon);
        a = affine_of(&s, p.channel, gamma, beta, statistics);
    }
    for (int r = p.begin + (int)threadIdx.y; r < p.end; r += LANES) {
        size_t at = (size_t)r * (size_t)s.channels + (size_t)p.channel;
        float value = load(x, s.type, at), g = masked(&s, value, a, y, dy, at);
        sum += g;
        product += g * ((value - centre) * inverse);
        if (dresidual)
            give(dresidual, s.type, at, g, add);
    }
    write_partial(&s, &p, sum, product, w);
}

/* dx = gamma inverse (g - mean(g) - xhat mean(g xhat)) = g row[0] + x row[1] + row[2] */
static __global__ void backward_fold(sb_batchnorm s, const float *gamma, const float *statistics,
                                     float *dgamma, float *dbeta, work w)
{
    int c = (int)global_thread();
    if (c >= s.channels)
        return;
    double sum, product;
    fold(&s, w, c, &sum, &product);
    if (dgamma)
        dgamma[c] += (float)product;
    if (dbeta)
        dbeta[c] += (float)sum;
    float inverse = 1.0f / sqrtf(statistics[s.channels + c] + s.epsilon);
    double scale = (gamma ? gamma[c] : 1.0f) * (double)inverse, slope = scale * inverse * product / s.rows;
    w.row[0][c] = (float)scale;
    w.row[1][c] = (float)-slope;
    w.row[2][c] = (float)(slope * statistics[c] - scale * sum / s.rows);
}

/* kept: g, where the first pass wrote it alone, as the residual's gradient; NULL: it is computed again. */
static __global__ void backward_apply(sb_batchnorm s, const void *x, const void *y, const void *dy,
                                      const float *gamma, const float *beta, const float *statistics,
                                      const void *kept, void *dx, bool add, work w)
{
    span p = my_span(&s);
    if (p.begin == p.end)
        return;
    affine a = affine_of(&s, p.channel, gamma, beta, statistics);
    float from_g = w.row[0][p.channel], from_x = w.row[1][p.channel], constant = w.row[2][p.channel];
    for (int r = p.begin + (int)threadIdx.y; r < p.end; r += LANES) {
        size_t at = (size_t)r * (size_t)s.channels + (size_t)p.channel;
        float value = load(x, s.type, at);
        float g = kept ? load(kept, s.type, at) : masked(&s, value, a, y, dy, at);
        give(dx, s.type, at, g * from_g + value * from_x + constant, add);
    }
}

/* ---- host ---------------------------------------------------------------------------------------------- */

static dim3 tiles_of(const sb_batchnorm *s)
{
    return dim3((unsigned)row_blocks(s), (unsigned)((s->channels + WARP - 1) / WARP));
}

static int forward(sb_device *device, const sb_call *c)
{
    cudaStream_t stream = sb_cuda_compute(device);
    sb_batchnorm s = sb_batchnorm_of(c);
    work w = lay_out_work(&s, c->scratch);
    dim3 block(WARP, LANES);
    const float *statistics = c->w[2];
    if (!statistics) {
        float *batch = (float *)c->aux;
        LAUNCH(forward_sums, tiles_of(&s), block, 0, stream, s, c->x[0], w);
        LAUNCH(forward_fold, blocks_for((size_t)s.channels), THREADS, 0, stream, s, c->x[0], batch, w);
        statistics = batch;
    }
    LAUNCH(forward_apply, tiles_of(&s), block, 0, stream, s, c->x[0], c->x[1], c->w[0], c->w[1], statistics,
           c->y);
    return sb_cuda_launched("batchnorm_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    cudaStream_t stream = sb_cuda_compute(device);
    sb_batchnorm s = sb_batchnorm_of(c);
    work w = lay_out_work(&s, c->scratch);
    dim3 block(WARP, LANES);
    const float *statistics = (const float *)c->aux;
    LAUNCH(backward_sums, tiles_of(&s), block, 0, stream, s, c->x[0], c->y, c->dy, c->w[0], c->w[1],
           statistics, c->dx[1], c->add[1], w);
    LAUNCH(backward_fold, blocks_for((size_t)s.channels), THREADS, 0, stream, s, c->w[0], statistics,
           c->dw[0], c->dw[1], w);
    if (c->dx[0]) {
        LAUNCH(backward_apply, tiles_of(&s), block, 0, stream, s, c->x[0], c->y, c->dy, c->w[0], c->w[1],
               statistics, c->add[1] ? NULL : c->dx[1], c->dx[0], c->add[0], w);
    }
    return sb_cuda_launched("batchnorm_backward");
}

extern "C" const sb_kernel sb_cuda_batchnorm = { .scratch = scratch,
                                                 .forward = forward,
                                                 .backward = backward };
