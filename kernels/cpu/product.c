/* product.c: products of two matrices on the CPU; they are oneDNN's. */
#include "kernels/cpu/cpu.h"
#include "kernels/op/product.h"

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_product_how *how = call->how;
    int n = (int)sb_shape_rows(&call->xs[0]), d = call->xs[0].c, m = (int)sb_shape_rows(&call->xs[1]);
    return how->form == SB_PRODUCT_ROWS
               ? sb_cpu_sgemm(true, false, d, call->xs[1].c, n, how->scale, call->x[0], call->x[1], 0,
                              call->y)
               : sb_cpu_sgemm(false, true, n, m, d, how->scale, call->x[0], call->x[1], 0, call->y);
}

/* Over rows da = scale b dy', db = scale a dy; over columns da = scale dy b, db = scale dy' a. */
static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_product_how *how = call->how;
    bool over_rows = how->form == SB_PRODUCT_ROWS;
    int n = (int)sb_shape_rows(&call->xs[0]), d = call->xs[0].c, m = (int)sb_shape_rows(&call->xs[1]),
        e = call->xs[1].c;
    const float *a = call->x[0], *b = call->x[1], *dy = call->dy;
    float *da = call->dx[0], *db = call->dx[1], scale = how->scale, held_a = call->add[0],
          held_b = call->add[1];
    if (db && (over_rows ? sb_cpu_sgemm(false, false, n, e, d, scale, a, dy, held_b, db)
                         : sb_cpu_sgemm(true, false, m, d, n, scale, dy, a, held_b, db)) != 0)
        return -1;
    if (!da)
        return 0;
    return over_rows ? sb_cpu_sgemm(false, true, n, d, e, scale, b, dy, held_a, da)
                     : sb_cpu_sgemm(false, false, n, d, m, scale, dy, b, held_a, da);
}

const sb_kernel sb_cpu_product = { .forward = forward, .backward = backward };
