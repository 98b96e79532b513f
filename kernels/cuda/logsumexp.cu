/* logsumexp.cu: log-sum-exp of the rows of a matrix on a GPU. A row is one block's, its sum in f64. */
#include "kernels/cuda/launch.h"
#include "kernels/op/logsumexp.h"

static __global__ void logsumexp_forward(sb_logsumexp l, const float *logits, const float *used,
                                         const sb_square *places, float *y, float *aux)
{
    __shared__ double parts[THREADS / WARP];
    __shared__ float mosts[THREADS / WARP];
    size_t r = blockIdx.x;
    const float *x = logits + r * (size_t)l.columns;
    const int count = sb_used(used, l.columns, l.columns);
    float most = -INFINITY;
    for (int c = (int)threadIdx.x; c < count; c += THREADS)
        if (!sb_logsumexp_left_out(&l, places, r, c))
            most = fmaxf(most, x[c]);
    most = block_max(most, mosts);
    const float base = most == -INFINITY ? 0 : most;
    double sum = 0;
    for (int c = (int)threadIdx.x; c < count; c += THREADS)
        if (!sb_logsumexp_left_out(&l, places, r, c))
            sum += exp(((double)x[c] - base) / l.how.temperature);
    sum = block_sum(sum, parts);
    if (threadIdx.x != 0)
        return;
    if (isnan(sum)) /* a largest logit knows nothing of it */
        most = NAN;
    double log_sum = log(sum < 1 ? 1 : sum);
    aux[2 * r] = most;
    aux[2 * r + 1] = (float)log_sum;
    y[r] = most == -INFINITY ? l.how.empty : (float)((double)most / l.how.temperature + log_sum);
}

static __global__ void logsumexp_backward(sb_logsumexp l, const float *logits, const float *used,
                                          const sb_square *places, const float *aux, const float *dy,
                                          float *dlogits, bool add)
{
    size_t r = blockIdx.x;
    const float *x = logits + r * (size_t)l.columns;
    const int count = sb_used(used, l.columns, l.columns);
    float most = aux[2 * r], log_sum = aux[2 * r + 1], scale = dy[r] / l.how.temperature;
    for (int c = (int)threadIdx.x; c < l.columns; c += THREADS) {
        bool left = c < count && most != -INFINITY && !sb_logsumexp_left_out(&l, places, r, c);
        give(dlogits, SB_F32, r * (size_t)l.columns + (size_t)c,
             left ? scale * expf((x[c] - most) / l.how.temperature - log_sum) : 0, add);
    }
}

static int forward(sb_device *device, const sb_call *c)
{
    sb_logsumexp l = sb_logsumexp_of(c);
    LAUNCH(logsumexp_forward, (unsigned)l.rows, THREADS, 0, sb_cuda_compute(device), l,
           (const float *)c->x[0], (const float *)c->x[1], (const sb_square *)c->x[2], (float *)c->y,
           (float *)c->aux);
    return sb_cuda_launched("logsumexp_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    sb_logsumexp l = sb_logsumexp_of(c);
    LAUNCH(logsumexp_backward, (unsigned)l.rows, THREADS, 0, sb_cuda_compute(device), l,
           (const float *)c->x[0], (const float *)c->x[1], (const sb_square *)c->x[2], (const float *)c->aux,
           (const float *)c->dy, (float *)c->dx[0], c->add[0]);
    return sb_cuda_launched("logsumexp_backward");
}

extern "C" const sb_kernel sb_cuda_logsumexp = { .forward = forward, .backward = backward };
