/* cross_entropy.cu: targets against softmaxes on a GPU. A row is one block's, its sums in f64. */
#include "kernels/cuda/launch.h"
#include "kernels/op/cross_entropy.h"

static __global__ void cross_entropy_forward(int columns, float temperature, const float *x, const float *q,
                                             float *y, float *aux)
{
    __shared__ double parts[3][THREADS / WARP];
    __shared__ float mosts[THREADS / WARP];
    size_t at = (size_t)blockIdx.x * (size_t)columns;
    float most = -INFINITY;
    for (int c = (int)threadIdx.x; c < columns; c += THREADS)
        most = fmaxf(most, x[at + (size_t)c]);
    most = block_max(most, mosts);
    double sum = 0, target = 0, along = 0;
    for (int c = (int)threadIdx.x; c < columns; c += THREADS) {
        double logit = ((double)x[at + (size_t)c] - most) / temperature, weight = q[at + (size_t)c];
        sum += exp(logit);
        target += weight;
        along += weight * logit;
    }
    sum = block_sum(sum, parts[0]);
    target = block_sum(target, parts[1]);
    along = block_sum(along, parts[2]);
    if (threadIdx.x != 0)
        return;
    aux[2 * blockIdx.x] = most;
    aux[2 * blockIdx.x + 1] = (float)log(sum);
    y[blockIdx.x] = (float)(target * log(sum) - along);
}

static __global__ void cross_entropy_backward(int columns, float temperature, const float *x, const float *q,
                                              const float *aux, const float *dy, float *dx, bool add)
{
    __shared__ double parts[THREADS / WARP];
    size_t at = (size_t)blockIdx.x * (size_t)columns;
    float most = aux[2 * blockIdx.x], log_sum = aux[2 * blockIdx.x + 1], scale = dy[blockIdx.x] / temperature;
    double target = 0;
    for (int c = (int)threadIdx.x; c < columns; c += THREADS)
        target += q[at + (size_t)c];
    target = block_sum(target, parts);
    for (int c = (int)threadIdx.x; c < columns; c += THREADS) {
        size_t i = at + (size_t)c;
        float p = expf((x[i] - most) / temperature - log_sum);
        give(dx, SB_F32, i, scale * (p * (float)target - q[i]), add);
    }
}

static float temperature_of(const sb_call *c) { return ((const sb_cross_entropy_how *)c->how)->temperature; }

static int forward(sb_device *device, const sb_call *c)
{
    LAUNCH(cross_entropy_forward, (unsigned)sb_shape_rows(&c->xs[0]), THREADS, 0, sb_cuda_compute(device),
           c->xs[0].c, temperature_of(c), (const float *)c->x[0], (const float *)c->x[1], (float *)c->y,
           (float *)c->aux);
    return sb_cuda_launched("cross_entropy_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    LAUNCH(cross_entropy_backward, (unsigned)sb_shape_rows(&c->xs[0]), THREADS, 0, sb_cuda_compute(device),
           c->xs[0].c, temperature_of(c), (const float *)c->x[0], (const float *)c->x[1],
           (const float *)c->aux, (const float *)c->dy, (float *)c->dx[0], c->add[0]);
    return sb_cuda_launched("cross_entropy_backward");
}

extern "C" const sb_kernel sb_cuda_cross_entropy = { .forward = forward, .backward = backward };
