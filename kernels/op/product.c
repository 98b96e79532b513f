/* product.c: see product.h. */
#include "kernels/op/product.h"

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_product_how *h = how;
    const sb_shape *a = &xs[0], *b = &xs[1];
    if (sb_shape_check_f32("product", a) != 0 || sb_shape_check_f32("product", b) != 0)
        return -1;
    size_t n = sb_shape_rows(a), m = sb_shape_rows(b);
    if (h->form == SB_PRODUCT_ROWS ? n != m : a->c != b->c)
        return sb_fail("product of [%zu, %d] and [%zu, %d]: the two must have as many %s", n, a->c, m, b->c,
                       h->form == SB_PRODUCT_ROWS ? "rows" : "columns");
    *y = h->form == SB_PRODUCT_ROWS ? (sb_shape){ a->c, 1, 1, b->c, SB_F32 }
                                    : (sb_shape){ a->n, a->h, a->w, (int)m, SB_F32 };
    return 0;
}

static unsigned keeps(const void *how, const sb_shape *xs)
{
    return (void)how, (void)xs, SB_KEEPS_X(0) | SB_KEEPS_X(1);
}

/* Backward: dy, both inputs, both gradients. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    const sb_product_how *h = how;
    double a = (double)sb_shape_elements(&xs[0]), b = (double)sb_shape_elements(&xs[1]);
    double other = h->form == SB_PRODUCT_ROWS ? xs[1].c : (double)sb_shape_rows(&xs[1]);
    double y = other * (h->form == SB_PRODUCT_ROWS ? xs[0].c : (double)sb_shape_rows(&xs[0]));
    return (sb_cost){ .bytes = sizeof(float) * ((backward ? 2 : 1) * (a + b) + y),
                      .operations = (backward ? 4 : 2) * a * other };
}

const sb_op sb_op_product = { .name = "product", .inputs = 2, .shape = shape, .keeps = keeps, .cost = cost };
