/* reorder.cu: from one layout to another on a GPU. */
#include "kernels/op/reorder.h"

#include "kernels/cuda/launch.h"

/* A thread for each element of `to`, in the order of rows: those of a run of channels are neighbours in
 * either layout. */
static __global__ void reorder(size_t count, sb_shape from, const void *x, sb_shape to, void *y, bool add)
{
    size_t i = global_thread();
    if (i >= count)
        return;
    size_t channels = sb_shape_channels(&to), row = i / channels, channel = i % channels;
    give(y, to.type, sb_shape_at(&to, row, channel),
         channel < (size_t)to.c ? load(x, to.type, sb_shape_at(&from, row, channel)) : 0, add);
}

static int move(sb_device *device, const sb_shape *from, const void *x, const sb_shape *to, void *y, bool add)
{
    size_t count = sb_shape_elements(to);
    LAUNCH(reorder, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, *from, x, *to, y, add);
    return sb_cuda_launched("reorder");
}

static int forward(sb_device *device, const sb_call *c)
{
    return move(device, &c->xs[0], c->x[0], &c->ys, c->y, false);
}

static int backward(sb_device *device, const sb_call *c)
{
    return move(device, &c->ys, c->dy, &c->xs[0], c->dx[0], c->add[0]);
}

extern "C" const sb_kernel sb_cuda_reorder = { .forward = forward, .backward = backward };
