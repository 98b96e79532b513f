/* unpick.cu: cells in their map again on a GPU. A thread has one value of the map; the token's gradient is a
 * sum over hidden rows (tiles.h). */
#include "kernels/cuda/tiles.h"
#include "kernels/op/unpick.h"

static __global__ void unpick_clear(size_t cells, int32_t *which)
{
    if (global_thread() < cells)
        which[global_thread()] = -1;
}

static __global__ void unpick_find(sb_unpick s, const int32_t *index, int32_t *which)
{
    const size_t at = global_thread(), given = (size_t)s.given;
    if (at < (size_t)s.images * given)
        which[at / given * (size_t)s.cells + (size_t)index[at]] = (int32_t)(at % given);
}

static __global__ void unpick_forward(sb_unpick s, size_t count, const int32_t *which, const float *token,
                                      const void *x, void *y)
{
    const size_t at = global_thread(), width = (size_t)s.width, c = at % width;
    if (at >= count)
        return;
    const int64_t from = sb_unpick_row(&s, which, at / width);
    store(y, s.type, at, from >= 0 ? load(x, s.type, (size_t)from * width + c) : token ? token[c] : 0);
}

static __global__ void unpick_backward(sb_unpick s, size_t count, const int32_t *which, const void *dy,
                                       void *dx, bool add)
{
    const size_t at = global_thread(), width = (size_t)s.width;
    if (at >= count)
        return;
    const int64_t to = sb_unpick_row(&s, which, at / width);
    if (to >= 0)
        give(dx, s.type, (size_t)to * width + at % width, load(dy, s.type, at), add);
}

static __global__ void unpick_hidden(sb_unpick s, size_t rows, const int32_t *which, const void *dy,
                                     double *sums)
{
    tile_part p = my_part(rows, s.width);
    double sum = 0;
    for (size_t r = p.begin; r < p.end; r += LANES)
        if (sb_unpick_row(&s, which, r) < 0)
            sum += load(dy, s.type, r * (size_t)s.width + (size_t)p.channel);
    write_tile_sum(&p, s.width, sum, sums);
}

static int find(sb_device *device, const sb_unpick *s, const sb_call *c)
{
    int32_t *which = (int32_t *)c->scratch;
    const size_t cells = (size_t)s->images * (size_t)s->cells;
    LAUNCH(unpick_clear, blocks_for(cells), THREADS, 0, sb_cuda_compute(device), cells, which);
    if (sb_cuda_launched("unpick_clear") != 0)
        return -1;
    LAUNCH(unpick_find, blocks_for(sb_shape_rows(&c->xs[1])), THREADS, 0, sb_cuda_compute(device), *s,
           (const int32_t *)c->x[1], which);
    return sb_cuda_launched("unpick_find");
}

static int forward(sb_device *device, const sb_call *c)
{
    const sb_unpick s = sb_unpick_of(c);
    const size_t count = sb_shape_elements(&c->ys);
    if (find(device, &s, c) != 0)
        return -1;
    LAUNCH(unpick_forward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), s, count,
           (const int32_t *)c->scratch, c->w[0], c->x[0], c->y);
    return sb_cuda_launched("unpick_forward");
}

/* Behind the cells' numbers. */
static double *sums_of(const sb_unpick *s, void *scratch)
{
    return (double *)((char *)scratch + (sb_unpick_scratch(s) + 7) / 8 * 8);
}

static int backward(sb_device *device, const sb_call *c)
{
    const sb_unpick s = sb_unpick_of(c);
    const size_t count = sb_shape_elements(&c->ys);
    if (find(device, &s, c) != 0)
        return -1;
    if (c->dx[0]) {
        LAUNCH(unpick_backward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), s, count,
               (const int32_t *)c->scratch, c->dy, c->dx[0], c->add[0]);
        if (sb_cuda_launched("unpick_backward") != 0)
            return -1;
    }
    if (c->dw[0]) {
        double *sums = sums_of(&s, c->scratch);
        LAUNCH(unpick_hidden, tiles_over(&c->ys), dim3(WARP, LANES), 0, sb_cuda_compute(device), s,
               sb_shape_rows(&c->ys), (const int32_t *)c->scratch, c->dy, sums);
        add_tiles(device, &c->ys, sums, c->dw[0]);
        return sb_cuda_launched("unpick_hidden");
    }
    return 0;
}

static size_t scratch(sb_device *device, const sb_call *c)
{
    (void)device;
    const sb_unpick s = sb_unpick_of(c);
    return (sb_unpick_scratch(&s) + 7) / 8 * 8 +
           (((const sb_unpick_how *)c->how)->token ? tile_sums_bytes(&c->ys) : 0);
}

extern "C" const sb_kernel sb_cuda_unpick = { .scratch = scratch, .forward = forward, .backward = backward };
