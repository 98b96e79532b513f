/* reorder.c: from one layout to another on the CPU. */
#include "kernels/op/reorder.h"

#include "kernels/cpu/cpu.h"

#define RUN 8 /* channels that lie side by side in every layout */

/* Where the next run of a row lies, if the one that ends in front of channel k lies at `at`. */
static size_t next_run(const sb_shape *s, size_t k, size_t at)
{
    size_t block = (size_t)s->block, places = (size_t)s->h * (size_t)s->w;
    return at + RUN + (block > 0 && k % block == 0 ? (places - 1) * block : 0);
}

/* to = from, or to += from, row by row. What lies behind the channels of `to` becomes zeros, or stays so. */
static void move(const sb_shape *from, const void *x, const sb_shape *to, void *y, bool add)
{
    size_t rows = sb_shape_rows(to), channels = (size_t)to->c, all = sb_shape_channels(to);
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < rows; r++) {
        size_t in = sb_shape_at(from, r, 0), out = sb_shape_at(to, r, 0);
        for (size_t k = 0; k < all; k += RUN) {
            size_t count = k >= channels ? 0 : channels - k < RUN ? channels - k : RUN;
            float run[RUN] = { 0 };
            sb_cpu_load_row(x, to->type, in, (int)count, run);
            sb_cpu_give_row(y, to->type, out, all - k < RUN ? (int)(all - k) : RUN, run, add);
            in = next_run(from, k + RUN, in);
            out = next_run(to, k + RUN, out);
        }
    }
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    move(&call->xs[0], call->x[0], &call->ys, call->y, false);
    return 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    move(&call->ys, call->dy, &call->xs[0], call->dx[0], call->add[0]);
    return 0;
}

const sb_kernel sb_cpu_reorder = { .forward = forward, .backward = backward };
