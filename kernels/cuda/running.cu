/* running.cu: running statistics on a GPU. */
#include "kernels/cuda/launch.h"
#include "kernels/op/running.h"

/* batch, running: mean [channels], then variance [channels]. */
static __global__ void update(int channels, float momentum, float unbiased, const float *batch,
                              float *running)
{
    int c = (int)global_thread();
    if (c >= channels)
        return;
    const float *variance = batch + channels;
    float *running_variance = running + channels;
    running[c] = (1 - momentum) * running[c] + momentum * batch[c];
    running_variance[c] = (1 - momentum) * running_variance[c] + momentum * variance[c] * unbiased;
}

static int forward(sb_device *device, const sb_call *c)
{
    const sb_running_how *how = (const sb_running_how *)c->how;
    int channels = c->xs[0].c;
    LAUNCH(update, blocks_for((size_t)channels), THREADS, 0, sb_cuda_compute(device), channels, how->momentum,
           sb_running_unbiased(how), (const float *)c->x[0], (float *)c->y);
    return sb_cuda_launched("running");
}

extern "C" const sb_kernel sb_cuda_running = { .forward = forward };
