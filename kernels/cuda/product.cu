/* product.cu: products of two matrices on a GPU; they are cuBLAS'. */
#include "kernels/cuda/blas.h"
#include "kernels/op/product.h"

static int forward(sb_device *device, const sb_call *c)
{
    const sb_product_how *how = (const sb_product_how *)c->how;
    int n = (int)sb_shape_rows(&c->xs[0]), d = c->xs[0].c, m = (int)sb_shape_rows(&c->xs[1]);
    const float *a = (const float *)c->x[0], *b = (const float *)c->x[1];
    float *y = (float *)c->y;
    return how->form == SB_PRODUCT_ROWS
               ? sb_cuda_sgemm(device, true, false, d, c->xs[1].c, n, how->scale, a, b, 0, y)
               : sb_cuda_sgemm(device, false, true, n, m, d, how->scale, a, b, 0, y);
}

/* Over rows da = scale b dy', db = scale a dy; over columns da = scale dy b, db = scale dy' a. */
static int backward(sb_device *device, const sb_call *c)
{
    const sb_product_how *how = (const sb_product_how *)c->how;
    bool over_rows = how->form == SB_PRODUCT_ROWS;
    int n = (int)sb_shape_rows(&c->xs[0]), d = c->xs[0].c, m = (int)sb_shape_rows(&c->xs[1]), e = c->xs[1].c;
    const float *a = (const float *)c->x[0], *b = (const float *)c->x[1], *dy = (const float *)c->dy;
    float *da = (float *)c->dx[0], *db = (float *)c->dx[1], scale = how->scale, held_a = c->add[0],
          held_b = c->add[1];
    if (db && (over_rows ? sb_cuda_sgemm(device, false, false, n, e, d, scale, a, dy, held_b, db)
                         : sb_cuda_sgemm(device, true, false, m, d, n, scale, dy, a, held_b, db)) != 0)
        return -1;
    if (!da)
        return 0;
    return over_rows ? sb_cuda_sgemm(device, false, true, n, d, e, scale, b, dy, held_a, da)
                     : sb_cuda_sgemm(device, false, false, n, d, m, scale, dy, b, held_a, da);
}

extern "C" const sb_kernel sb_cuda_product = { .forward = forward, .backward = backward };
