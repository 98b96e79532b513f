/* pool.cu: max pooling (3 x 3, stride 2, pad 1) and global average pooling of NHWC activations. */
#include "kernels/cuda/launch.h"

typedef struct {
    int n, row, column, channel;
} spot;

/* Element i of [n, h, w, c]. */
static __device__ inline spot spot_of(size_t i, int h, int w, int c)
{
    spot s;
    s.channel = (int)(i % (size_t)c);
    i /= (size_t)c;
    s.column = (int)(i % (size_t)w);
    i /= (size_t)w;
    s.row = (int)(i % (size_t)h);
    s.n = (int)(i / (size_t)h);
    return s;
}

static __device__ inline size_t index_of(int n, int row, int column, int channel, int h, int w, int c)
{
    return (((size_t)n * (size_t)h + (size_t)row) * (size_t)w + (size_t)column) * (size_t)c + (size_t)channel;
}

static __global__ void maxpool_forward(sb_pool_shape s, size_t count, const void *x, void *y, uint8_t *argmax)
{
    size_t to = global_thread();
    if (to >= count)
        return;
    spot o = spot_of(to, sb_maxpool_side(s.h), sb_maxpool_side(s.w), s.c);
    float best = -INFINITY;
    int where = 0;
    for (int a = 0; a < 3; a++) {
        int row = 2 * o.row - 1 + a;
        for (int b = 0; b < 3; b++) {
            int column = 2 * o.column - 1 + b;
            if (row < 0 || row >= s.h || column < 0 || column >= s.w)
                continue;
            float value = load(x, s.type, index_of(o.n, row, column, o.channel, s.h, s.w, s.c));
            if (value > best) {
                best = value;
                where = 3 * a + b;
            }
        }
    }
    store(y, s.type, to, best);
    argmax[to] = (uint8_t)where;
}

/* Each input gathers from the at most four windows it lies in. */
static __global__ void maxpool_backward(sb_pool_shape s, size_t count, const uint8_t *argmax, const void *dy, const void *dy_more,
                                        void *dx)
{
    size_t to = global_thread();
    if (to >= count)
        return;
    int oh = sb_maxpool_side(s.h), ow = sb_maxpool_side(s.w);
    spot p = spot_of(to, s.h, s.w, s.c);
    float sum = 0;
    for (int i = p.row / 2; i <= (p.row + 1) / 2 && i < oh; i++)
        for (int j = p.column / 2; j <= (p.column + 1) / 2 && j < ow; j++) {
            size_t from = index_of(p.n, i, j, p.channel, oh, ow, s.c);
            if (argmax[from] == 3 * (p.row - 2 * i + 1) + (p.column - 2 * j + 1))
                sum += load(dy, s.type, from) + (dy_more ? load(dy_more, s.type, from) : 0);
        }
    store(dx, s.type, to, sum);
}

#define LANES (THREADS / WARP)

/* A block has WARP channels of one image; its lanes share the places, and are added in order in f64. */
static __global__ void avgpool_forward(sb_pool_shape s, const void *x, float *y)
{
    __shared__ double part[LANES][WARP];
    int n = (int)blockIdx.x, channel = (int)(blockIdx.y * WARP + threadIdx.x), places = s.h * s.w;
    double sum = 0;
    for (int p = (int)threadIdx.y; p < places && channel < s.c; p += LANES)
        sum += load(x, s.type, ((size_t)n * (size_t)places + (size_t)p) * (size_t)s.c + (size_t)channel);
    part[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y != 0 || channel >= s.c)
        return;
    for (int l = 1; l < LANES; l++)
        sum += part[l][threadIdx.x];
    y[(size_t)n * (size_t)s.c + (size_t)channel] = (float)(sum / places);
}

static __global__ void avgpool_backward(sb_pool_shape s, size_t count, float share, const float *dy, void *dx)
{
    size_t to = global_thread();
    if (to >= count)
        return;
    spot p = spot_of(to, s.h, s.w, s.c);
    store(dx, s.type, to, dy[(size_t)p.n * (size_t)s.c + (size_t)p.channel] * share);
}

/* ---- host ------------------------------------------------------------------------------------------------------------------------------- */

static size_t elements(const sb_pool_shape *s, int h, int w) { return (size_t)s->n * (size_t)h * (size_t)w * (size_t)s->c; }

int sb_cuda_maxpool_forward(sb_device *device, const sb_pool_shape *s, const void *x, void *y, uint8_t *argmax)
{
    size_t count = elements(s, sb_maxpool_side(s->h), sb_maxpool_side(s->w));
    LAUNCH(maxpool_forward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), *s, count, x, y, argmax);
    return sb_cuda_launched("maxpool_forward");
}

int sb_cuda_maxpool_backward(sb_device *device, const sb_pool_shape *s, const uint8_t *argmax, const void *dy, const void *dy_more,
                             void *dx)
{
    size_t count = elements(s, s->h, s->w);
    LAUNCH(maxpool_backward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), *s, count, argmax, dy, dy_more, dx);
    return sb_cuda_launched("maxpool_backward");
}

int sb_cuda_avgpool_forward(sb_device *device, const sb_pool_shape *s, const void *x, float *y)
{
    dim3 grid((unsigned)s->n, (unsigned)((s->c + WARP - 1) / WARP));
    LAUNCH(avgpool_forward, grid, dim3(WARP, LANES), 0, sb_cuda_compute(device), *s, x, y);
    return sb_cuda_launched("avgpool_forward");
}

int sb_cuda_avgpool_backward(sb_device *device, const sb_pool_shape *s, const float *dy, void *dx)
{
    size_t count = elements(s, s->h, s->w);
    float share = (float)(1.0 / ((double)s->h * s->w));
    LAUNCH(avgpool_backward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), *s, count, share, dy, dx);
    return sb_cuda_launched("avgpool_backward");
}
