/* gridpool.cu: averages over the cells of a grid on a GPU. A thread has a channel of a cell, and on the way
 * back a channel of a place. */
#include "kernels/cuda/launch.h"
#include "kernels/op/gridpool.h"

/* y [count / channels cells, channels]. */
static __global__ void gridpool_forward(size_t count, sb_gridpool s, sb_type type, const void *x, float *y)
{
    const size_t to = global_thread(), c = (size_t)s.channels, grid = (size_t)s.grid;
    if (to >= count)
        return;
    const size_t channel = to % c, cell = to / c;
    const int n = (int)(cell / (grid * grid)), i = (int)(cell / grid % grid), j = (int)(cell % grid),
              height = sb_gridpool_length(i, s.side, s.grid), width = sb_gridpool_length(j, s.side, s.grid),
              top = sb_gridpool_begin(i, s.side, s.grid), left = sb_gridpool_begin(j, s.side, s.grid);
    double sum = 0;
    for (int down = 0; down < height; down++)
        for (int along = 0; along < width; along++)
            sum += load(x, type, sb_gridpool_row(&s, n, top + down, left + along) * c + channel);
    y[to] = (float)(sum / (height * width));
}

/* dx [count / channels rows, channels]. */
static __global__ void gridpool_backward(size_t count, sb_gridpool s, sb_type type, const float *dy, void *dx,
                                         bool add)
{
    const size_t to = global_thread();
    if (to >= count)
        return;
    const int places = s.first + s.side * s.side, channel = (int)(to % (size_t)s.channels),
              row = (int)(to / (size_t)s.channels), n = row / places, place = row % places - s.first;
    double sum = 0;
    if (place >= 0) {
        const int y = place / s.side, x = place % s.side, bottom = sb_gridpool_end(y, s.grid, s.side),
                  right = sb_gridpool_end(x, s.grid, s.side);
        for (int i = sb_gridpool_begin(y, s.grid, s.side); i < bottom; i++) {
            const int height = sb_gridpool_length(i, s.side, s.grid);
            for (int j = sb_gridpool_begin(x, s.grid, s.side); j < right; j++)
                sum += (double)dy[(size_t)((n * s.grid + i) * s.grid + j) * (size_t)s.channels +
                                  (size_t)channel] /
                       (height * sb_gridpool_length(j, s.side, s.grid));
        }
    }
    give(dx, type, to, (float)sum, add);
}

static sb_gridpool call_of(const sb_call *c)
{
    return sb_gridpool_of((const sb_gridpool_how *)c->how, &c->xs[0]);
}

static int forward(sb_device *device, const sb_call *c)
{
    const size_t count = sb_shape_elements(&c->ys);
    LAUNCH(gridpool_forward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, call_of(c),
           c->xs[0].type, c->x[0], (float *)c->y);
    return sb_cuda_launched("gridpool_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    const size_t count = sb_shape_elements(&c->xs[0]);
    LAUNCH(gridpool_backward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, call_of(c),
           c->xs[0].type, (const float *)c->dy, c->dx[0], c->add[0]);
    return sb_cuda_launched("gridpool_backward");
}

extern "C" const sb_kernel sb_cuda_gridpool = { .forward = forward, .backward = backward };
