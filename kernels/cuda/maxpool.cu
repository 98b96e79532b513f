/* maxpool.cu: max pooling on a GPU. */
#include "kernels/cuda/spot.h"
#include "kernels/op/maxpool.h"

static __global__ void maxpool_forward(sb_shape xs, sb_shape ys, const void *x, void *y, uint8_t *places)
{
    size_t to = global_thread();
    if (to >= sb_shape_elements(&ys))
        return;
    spot o = spot_of(to, ys);
    float best = -INFINITY;
    int where = 0;
    for (int a = 0; a < 3; a++) {
        int row = 2 * o.row - 1 + a;
        for (int b = 0; b < 3; b++) {
            int column = 2 * o.column - 1 + b;
            if (row < 0 || row >= xs.h || column < 0 || column >= xs.w)
                continue;
            float value = load(x, xs.type, index_of(o.n, row, column, o.channel, xs));
            if (value > best || isnan(value)) {
                best = value;
                where = 3 * a + b;
            }
        }
    }
    store(y, ys.type, to, best);
    places[to] = (uint8_t)where;
}

/* Each input gathers from the at most four windows it lies in. */
static __global__ void maxpool_backward(sb_shape xs, sb_shape ys, const uint8_t *places, const void *dy,
                                        void *dx, bool add)
{
    size_t to = global_thread();
    if (to >= sb_shape_elements(&xs))
        return;
    spot p = spot_of(to, xs);
    float sum = 0;
    for (int i = p.row / 2; i <= (p.row + 1) / 2 && i < ys.h; i++)
        for (int j = p.column / 2; j <= (p.column + 1) / 2 && j < ys.w; j++) {
            size_t from = index_of(p.n, i, j, p.channel, ys);
            if (places[from] == 3 * (p.row - 2 * i + 1) + (p.column - 2 * j + 1))
                sum += load(dy, ys.type, from);
        }
    give(dx, xs.type, to, sum, add);
}

static int forward(sb_device *device, const sb_call *c)
{
    LAUNCH(maxpool_forward, blocks_for(sb_shape_elements(&c->ys)), THREADS, 0, sb_cuda_compute(device),
           c->xs[0], c->ys, c->x[0], c->y, (uint8_t *)c->aux);
    return sb_cuda_launched("maxpool_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    LAUNCH(maxpool_backward, blocks_for(sb_shape_elements(&c->xs[0])), THREADS, 0, sb_cuda_compute(device),
           c->xs[0], c->ys, (const uint8_t *)c->aux, c->dy, c->dx[0], c->add[0]);
    return sb_cuda_launched("maxpool_backward");
}

extern "C" const sb_kernel sb_cuda_maxpool = { .forward = forward, .backward = backward };
