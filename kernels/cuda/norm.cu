/* norm.cu: batch and group normalisation on a GPU (kernels/op/norm.h).
 *
 * A block of WARP x LANES threads has WARP channels and a run of rows of a set; its partial sums (of x -
 * shift and its square, f32; the shift is the set's first row) go to scratch, and a second kernel adds the
 * blocks and then the channels of a group in order in f64. Then one pass applies. */
#include "kernels/cuda/launch.h"
#include "kernels/cuda/norm.h"

#define LANES (THREADS / WARP)

/* Rows of a block: at most about MOST_BLOCKS blocks of rows, whatever the shape, so that adding them up stays
 * short. */
#define MOST_BLOCKS 256
#define LEAST_ROWS 64

static __host__ __device__ inline int rows_of_block(const sb_norm *s)
{
    int rows = (int)(((long long)s->sets * s->rows + MOST_BLOCKS - 1) / MOST_BLOCKS);
    return rows > LEAST_ROWS ? rows : LEAST_ROWS;
}

/* Of a set. */
static __host__ __device__ inline int row_blocks(const sb_norm *s)
{
    return (s->rows + rows_of_block(s) - 1) / rows_of_block(s);
}

/* Scratch: partial sums [2][sets, row blocks, channels], then three rows [sets, channels]. */
typedef struct {
    float *first, *second;
    float *row[3];
} work;

extern "C" size_t sb_cuda_norm_scratch(const sb_norm *s)
{
    return (2 * (size_t)row_blocks(s) + 3) * (size_t)s->sets * (size_t)s->channels * sizeof(float);
}

static work lay_out_work(const sb_norm *s, void *memory)
{
    size_t c = (size_t)s->sets * (size_t)s->channels, partial = (size_t)row_blocks(s) * c;
    work w;
    w.first = (float *)memory;
    w.second = w.first + partial;
    for (size_t i = 0; i < 3; i++)
        w.row[i] = w.second + partial + i * c;
    return w;
}

typedef struct {
    int channel, set, begin, end; /* rows, of all sets': begin + lane, + LANES, ... < end */
} span;

static __device__ inline span my_span(const sb_norm *s)
{
    span p;
    int rows = rows_of_block(s), blocks = row_blocks(s);
    p.channel = (int)(blockIdx.y * WARP + threadIdx.x);
    p.set = (int)blockIdx.x / blocks;
    int last = (p.set + 1) * s->rows;
    p.begin = p.set * s->rows + (int)blockIdx.x % blocks * rows;
    p.end = last - p.begin < rows ? last : p.begin + rows;
    if (p.channel >= s->channels)
        p.end = p.begin; /* a thread without a channel adds no rows, but has to reach every barrier */
    return p;
}

/* Of an array [sets, channels]. */
static __device__ inline size_t place(const sb_norm *s, int set, int channel)
{
    return (size_t)set * (size_t)s->channels + (size_t)channel;
}

/* Adds up two sums over the lanes of each channel, in order, and writes the block's partial sums. */
static __device__ inline void write_partial(const sb_norm *s, const span *p, float first, float second,
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

static __device__ inline void fold(const sb_norm *s, work w, int set, int channel, double *first,
                                   double *second)
{
    const int blocks = row_blocks(s);
    *first = *second = 0;
    for (int b = set * blocks; b < (set + 1) * blocks; b++) {
        size_t at = (size_t)b * (size_t)s->channels + (size_t)channel;
        *first += w.first[at];
        *second += w.second[at];
    }
}

/* Where the mean of a channel's group lies in statistics [sets, 2, groups]; the variance is `groups` behind.
 */
static __device__ inline const float *mean_of(const sb_norm *s, const float *statistics, int set, int channel)
{
    int group = channel / (s->channels / s->groups);
    return statistics + (size_t)set * 2 * (size_t)s->groups + (size_t)group;
}

/* What normalising with these statistics does to a channel: x scale + offset. The same bits forward and
 * backward. gamma and beta [channels] may be NULL. */
typedef struct {
    float scale, offset;
} affine;

static __device__ inline affine affine_of(const sb_norm *s, const span *p, const float *gamma,
                                          const float *beta, const float *statistics)
{
    const float *mean = mean_of(s, statistics, p->set, p->channel);
    affine a;
    a.scale = (gamma ? gamma[p->channel] : 1.0f) / sqrtf(mean[s->groups] + s->epsilon);
    a.offset = (beta ? beta[p->channel] : 0.0f) - *mean * a.scale;
    return a;
}

/* ---- forward ------------------------------------------------------------------------------------------- */

static __device__ inline float shift_of(const sb_norm *s, const void *x, int set, int channel)
{
    return load(x, s->type, (size_t)set * (size_t)s->rows * (size_t)s->channels + (size_t)channel);
}

static __global__ void forward_sums(sb_norm s, const void *x, work w)
{
    span p = my_span(&s);
    float shift = p.begin < p.end ? shift_of(&s, x, p.set, p.channel) : 0, sum = 0, square = 0;
    for (int r = p.begin + (int)threadIdx.y; r < p.end; r += LANES) {
        float d = load(x, s.type, (size_t)r * (size_t)s.channels + (size_t)p.channel) - shift;
        sum += d;
        square += d * d;
    }
    write_partial(&s, &p, sum, square, w);
}

/* A group's mean, and its variance: the channels', and how far their means are apart. */
static __global__ void forward_fold(sb_norm s, const void *x, float *statistics, work w)
{
    int t = (int)global_thread(), size = s.channels / s.groups;
    if (t >= s.sets * s.groups)
        return;
    int set = t / s.groups, group = t % s.groups, begin = group * size, end = begin + size;
    double mean = 0, total = 0, sum, square;
    for (int c = begin; c < end; c++) {
        fold(&s, w, set, c, &sum, &square);
        mean += shift_of(&s, x, set, c) + sum / s.rows;
    }
    mean /= size;
    for (int c = begin; c < end; c++) {
        if (size > 1)
            fold(&s, w, set, c, &sum, &square);
        double m = sum / s.rows, apart = shift_of(&s, x, set, c) + m - mean;
        total += square / s.rows - m * m + apart * apart;
    }
    float *to = statistics + (size_t)set * 2 * (size_t)s.groups + (size_t)group;
    to[0] = (float)mean;
    to[s.groups] = (float)(total <= 0 ? 0 : total / size); /* NaN stays, here and below */
}

/* y = relu?(x scale + offset + residual?) */
static __global__ void forward_apply(sb_norm s, const void *x, const void *residual, const float *gamma,
                                     const float *beta, const float *statistics, void *y)
{
    span p = my_span(&s);
    if (p.begin == p.end)
        return;
    affine a = affine_of(&s, &p, gamma, beta, statistics);
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
static __device__ inline float masked(const sb_norm *s, float x, affine a, const void *y, const void *dy,
                                      size_t at)
{
    float g = load(dy, s->type, at);
    if (!s->relu)
        return g;
    float out = s->residual ? load(y, s->type, at) : x * a.scale + a.offset;
    return out <= 0 ? 0 : g;
}

/* Sums of g and of g xhat. g is the residual's gradient. */
static __global__ void backward_sums(sb_norm s, const void *x, const void *y, const void *dy,
                                     const float *gamma, const float *beta, const float *statistics,
                                     void *dresidual, bool add, work w)
{
    span p = my_span(&s);
    affine a = {};
    float centre = 0, inverse = 0, sum = 0, product = 0;
    if (p.begin < p.end) {
        const float *mean = mean_of(&s, statistics, p.set, p.channel);
        centre = *mean;
        inverse = 1.0f / sqrtf(mean[s.groups] + s.epsilon);
        a = affine_of(&s, &p, gamma, beta, statistics);
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

/* dgamma and dbeta of a channel: over all sets. */
static __global__ void backward_weights(sb_norm s, float *dgamma, float *dbeta, work w)
{
    int c = (int)global_thread();
    if (c >= s.channels)
        return;
    double sum = 0, product = 0;
    for (int set = 0; set < s.sets; set++) {
        double more, more_product;
        fold(&s, w, set, c, &more, &more_product);
        sum += more;
        product += more_product;
    }
    if (dgamma)
        dgamma[c] += (float)product;
    if (dbeta)
        dbeta[c] += (float)sum;
}

/* dx = inverse (gamma g - mean(gamma g) - xhat mean(gamma g xhat)), with means over the group, = g row[0] + x
 * row[1] + row[2] */
static __global__ void backward_fold(sb_norm s, const float *gamma, const float *statistics, work w)
{
    int t = (int)global_thread(), size = s.channels / s.groups;
    if (t >= s.sets * s.groups)
        return;
    int set = t / s.groups, begin = t % s.groups * size, end = begin + size;
    double sum = 0, product = 0, count = (double)s.rows * size;
    for (int c = begin; c < end; c++) {
        double more, more_product, factor = gamma ? gamma[c] : 1.0f;
        fold(&s, w, set, c, &more, &more_product);
        sum += factor * more;
        product += factor * more_product;
    }
    const float *mean = mean_of(&s, statistics, set, begin);
    double inverse = 1.0f / sqrtf(mean[s.groups] + s.epsilon), along = inverse * inverse * product / count;
    for (int c = begin; c < end; c++) {
        size_t at = place(&s, set, c);
        w.row[0][at] = (float)((gamma ? gamma[c] : 1.0f) * inverse);
        w.row[1][at] = (float)-along;
        w.row[2][at] = (float)(along * *mean - inverse * sum / count);
    }
}

/* kept: g, where the first pass wrote it alone, as the residual's gradient; NULL: it is computed again. */
static __global__ void backward_apply(sb_norm s, const void *x, const void *y, const void *dy,
                                      const float *gamma, const float *beta, const float *statistics,
                                      const void *kept, void *dx, bool add, work w)
{
    span p = my_span(&s);
    if (p.begin == p.end)
        return;
    affine a = affine_of(&s, &p, gamma, beta, statistics);
    size_t mine = place(&s, p.set, p.channel);
    float from_g = w.row[0][mine], from_x = w.row[1][mine], constant = w.row[2][mine];
    for (int r = p.begin + (int)threadIdx.y; r < p.end; r += LANES) {
        size_t at = (size_t)r * (size_t)s.channels + (size_t)p.channel;
        float value = load(x, s.type, at);
        float g = kept ? load(kept, s.type, at) : masked(&s, value, a, y, dy, at);
        give(dx, s.type, at, g * from_g + value * from_x + constant, add);
    }
}

/* Of given statistics: y tells what the ReLU let through. */
static __global__ void backward_given(sb_norm s, const void *y, const void *dy, const float *gamma,
                                      const float *statistics, void *dresidual, bool add_residual, void *dx,
                                      bool add)
{
    span p = my_span(&s);
    if (p.begin == p.end)
        return;
    float scale = affine_of(&s, &p, gamma, NULL, statistics).scale;
    for (int r = p.begin + (int)threadIdx.y; r < p.end; r += LANES) {
        size_t at = (size_t)r * (size_t)s.channels + (size_t)p.channel;
        float g = s.relu && load(y, s.type, at) <= 0 ? 0 : load(dy, s.type, at);
        if (dresidual)
            give(dresidual, s.type, at, g, add_residual);
        if (dx)
            give(dx, s.type, at, g * scale, add);
    }
}

/* ---- host ---------------------------------------------------------------------------------------------- */

static dim3 tiles_of(const sb_norm *s)
{
    return dim3((unsigned)(s->sets * row_blocks(s)), (unsigned)((s->channels + WARP - 1) / WARP));
}

extern "C" int sb_cuda_norm_forward(sb_device *device, const sb_norm *s, const sb_call *c, const float *given)
{
    cudaStream_t stream = sb_cuda_compute(device);
    work w = lay_out_work(s, c->scratch);
    dim3 block(WARP, LANES);
    if (!given) {
        float *statistics = (float *)c->aux;
        LAUNCH(forward_sums, tiles_of(s), block, 0, stream, *s, c->x[0], w);
        LAUNCH(forward_fold, blocks_for((size_t)s->sets * (size_t)s->groups), THREADS, 0, stream, *s, c->x[0],
               statistics, w);
        given = statistics;
    }
    LAUNCH(forward_apply, tiles_of(s), block, 0, stream, *s, c->x[0], c->x[1], c->w[0], c->w[1], given, c->y);
    return sb_cuda_launched("norm_forward");
}

extern "C" int sb_cuda_norm_backward(sb_device *device, const sb_norm *s, const sb_call *c)
{
    cudaStream_t stream = sb_cuda_compute(device);
    work w = lay_out_work(s, c->scratch);
    dim3 block(WARP, LANES);
    const float *statistics = (const float *)c->aux;
    LAUNCH(backward_sums, tiles_of(s), block, 0, stream, *s, c->x[0], c->y, c->dy, c->w[0], c->w[1],
           statistics, c->dx[1], c->add[1], w);
    if (c->dw[0] || c->dw[1]) {
        LAUNCH(backward_weights, blocks_for((size_t)s->channels), THREADS, 0, stream, *s, c->dw[0], c->dw[1],
               w);
    }
    if (c->dx[0]) {
        LAUNCH(backward_fold, blocks_for((size_t)s->sets * (size_t)s->groups), THREADS, 0, stream, *s,
               c->w[0], statistics, w);
        LAUNCH(backward_apply, tiles_of(s), block, 0, stream, *s, c->x[0], c->y, c->dy, c->w[0], c->w[1],
               statistics, c->add[1] ? NULL : c->dx[1], c->dx[0], c->add[0], w);
    }
    return sb_cuda_launched("norm_backward");
}

extern "C" int sb_cuda_norm_backward_given(sb_device *device, const sb_norm *s, const sb_call *c,
                                           const float *given)
{
    dim3 block(WARP, LANES);
    LAUNCH(backward_given, tiles_of(s), block, 0, sb_cuda_compute(device), *s, c->y, c->dy, c->w[0], given,
           c->dx[1], c->add[1], c->dx[0], c->add[0]);
    return sb_cuda_launched("norm_backward_given");
}
