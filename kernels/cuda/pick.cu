/* pick.cu: rows of each image by number on a GPU. A thread has one value. */
#include "kernels/cuda/launch.h"
#include "kernels/op/pick.h"

/* Where value `at` of y lies in x. */
static __device__ inline size_t place_of(const sb_pick *s, const int32_t *index, size_t at)
{
    const size_t width = (size_t)s->width, rows = (size_t)s->rows, row = at / width;
    return sb_pick_row(s, index, (int)(row / rows), (int)(row % rows)) * width + at % width;
}

static __global__ void pick_forward(sb_pick s, size_t count, const int32_t *index, const void *x, void *y)
{
    const size_t at = global_thread();
    if (at < count)
        store(y, s.type, at, load(x, s.type, place_of(&s, index, at)));
}

static __global__ void pick_backward(sb_pick s, size_t count, const int32_t *index, const void *dy, void *dx,
                                     bool add)
{
    const size_t at = global_thread();
    if (at < count)
        give(dx, s.type, place_of(&s, index, at), load(dy, s.type, at), add);
}

static int forward(sb_device *device, const sb_call *c)
{
    const size_t count = sb_shape_elements(&c->ys);
    LAUNCH(pick_forward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), sb_pick_of(c), count,
           (const int32_t *)c->x[1], c->x[0], c->y);
    return sb_cuda_launched("pick_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    const size_t count = sb_shape_elements(&c->ys);
    if (!c->add[0] && device->zero(device, c->dx[0], sb_shape_bytes(&c->xs[0])) != 0)
        return -1;
    LAUNCH(pick_backward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), sb_pick_of(c), count,
           (const int32_t *)c->x[1], c->dy, c->dx[0], c->add[0]);
    return sb_cuda_launched("pick_backward");
}

extern "C" const sb_kernel sb_cuda_pick = { .forward = forward, .backward = backward };
