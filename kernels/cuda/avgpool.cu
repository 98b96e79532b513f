/* avgpool.cu: global average pooling on a GPU. */
#include "kernels/cuda/launch.h"
#include "kernels/op/avgpool.h"

#define LANES (THREADS / WARP)

/* A block has WARP channels of one image; its lanes share the places, and are added in order in f64. x [n,
 * places, c], y [n, c]. */
static __global__ void avgpool_forward(int places, int first, int count, int c, sb_type type, const void *x,
                                       float *y)
{
    __shared__ double part[LANES][WARP];
    int n = (int)blockIdx.x, channel = (int)(blockIdx.y * WARP + threadIdx.x);
    double sum = 0;
    for (int p = first + (int)threadIdx.y; p < first + count && channel < c; p += LANES)
        sum += load(x, type, ((size_t)n * (size_t)places + (size_t)p) * (size_t)c + (size_t)channel);
    part[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y != 0 || channel >= c)
        return;
    for (int l = 1; l < LANES; l++)
        sum += part[l][threadIdx.x];
    y[(size_t)n * (size_t)c + (size_t)channel] = (float)(sum / count);
}

/* dx [count / (places c), places, c], dy [.., c]. */
static __global__ void avgpool_backward(size_t count, int places, int first, int last, int c, float share,
                                        sb_type type, const float *dy, void *dx, bool add)
{
    size_t to = global_thread();
    if (to >= count)
        return;
    const size_t channel = to % (size_t)c, row = to / (size_t)c, n = row / (size_t)places,
                 p = row % (size_t)places;
    const bool in_mean = p >= (size_t)first && p <= (size_t)last;
    give(dx, type, to, in_mean ? dy[n * (size_t)c + channel] * share : 0, add);
}

static int forward(sb_device *device, const sb_call *c)
{
    const sb_shape *x = &c->xs[0];
    const sb_avgpool_how *how = (const sb_avgpool_how *)c->how;
    dim3 grid((unsigned)x->n, (unsigned)((x->c + WARP - 1) / WARP));
    LAUNCH(avgpool_forward, grid, dim3(WARP, LANES), 0, sb_cuda_compute(device), x->h * x->w, how->first,
           sb_avgpool_count(how, x), x->c, x->type, c->x[0], (float *)c->y);
    return sb_cuda_launched("avgpool_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    const sb_shape *x = &c->xs[0];
    size_t count = sb_shape_elements(x);
    const sb_avgpool_how *how = (const sb_avgpool_how *)c->how;
    const int in_mean = sb_avgpool_count(how, x);
    const float share = (float)(1.0 / in_mean);
    LAUNCH(avgpool_backward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, x->h * x->w,
           how->first, how->first + in_mean - 1, x->c, share, x->type, (const float *)c->dy, c->dx[0],
           c->add[0]);
    return sb_cuda_launched("avgpool_backward");
}

extern "C" const sb_kernel sb_cuda_avgpool = { .forward = forward, .backward = backward };
