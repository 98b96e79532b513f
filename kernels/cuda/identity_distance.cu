/* identity_distance.cu: how far a matrix is from the identity on a GPU. A row is one warp's work, its sum in
 * f64; one block adds the rows'. */
#include "kernels/cuda/launch.h"
#include "kernels/op/identity_distance.h"

static __global__ void row_sums(int d, sb_identity_distance_how how, const float *x, double *sums)
{
    int r = (int)(global_thread() / WARP);
    if (r >= d) /* a whole warp leaves or stays */
        return;
    double sum = 0;
    for (int c = (int)(threadIdx.x % WARP); c < d; c += WARP) {
        double value = x[(size_t)r * (size_t)d + (size_t)c];
        sum += c == r ? how.on * ((value - 1) * (value - 1)) : how.off * (value * value);
    }
    sum = warp_sum(sum);
    if (threadIdx.x % WARP == 0)
        sums[r] = sum;
}

/* One block. */
static __global__ void add_rows(int d, const double *sums, float *y)
{
    __shared__ double parts[THREADS / WARP];
    double sum = 0;
    for (int r = (int)threadIdx.x; r < d; r += THREADS)
        sum += sums[r];
    sum = block_sum(sum, parts);
    if (threadIdx.x == 0)
        *y = (float)sum;
}

static __global__ void identity_distance_backward(size_t count, size_t d, sb_identity_distance_how how,
                                                  const float *dy, const float *x, float *dx, bool add)
{
    size_t i = global_thread();
    if (i >= count)
        return;
    float twice = 2 * *dy;
    give(dx, SB_F32, i, i / d == i % d ? how.on * twice * (x[i] - 1) : how.off * twice * x[i], add);
}

static sb_identity_distance_how how_of(const sb_call *c) { return *(const sb_identity_distance_how *)c->how; }

/* A sum for each row. */
static size_t scratch(sb_device *device, const sb_call *c)
{
    (void)device;
    return (size_t)c->xs[0].c * sizeof(double);
}

static int forward(sb_device *device, const sb_call *c)
{
    int d = c->xs[0].c;
    LAUNCH(row_sums, blocks_for((size_t)d * WARP), THREADS, 0, sb_cuda_compute(device), d, how_of(c),
           (const float *)c->x[0], (double *)c->scratch);
    LAUNCH(add_rows, 1, THREADS, 0, sb_cuda_compute(device), d, (const double *)c->scratch, (float *)c->y);
    return sb_cuda_launched("identity_distance");
}

static int backward(sb_device *device, const sb_call *c)
{
    size_t count = sb_shape_elements(&c->xs[0]);
    LAUNCH(identity_distance_backward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count,
           (size_t)c->xs[0].c, how_of(c), (const float *)c->dy, (const float *)c->x[0], (float *)c->dx[0],
           c->add[0]);
    return sb_cuda_launched("identity_distance_backward");
}

extern "C" const sb_kernel sb_cuda_identity_distance = { .scratch = scratch,
                                                         .forward = forward,
                                                         .backward = backward };
