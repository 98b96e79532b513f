/* match.c: see match.h. */
#include "kernels/op/match.h"

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_shape *a = &xs[0], *b = &xs[1], *v = &xs[2];
    (void)how;
    if (sb_shape_check_f32("match", a) != 0 || sb_shape_check_f32("match", b) != 0 ||
        sb_shape_check_f32("match", v) != 0)
        return -1;
    if (b->n != a->n || b->c != a->c || v->n != b->n || v->h != b->h || v->w != b->w)
        return sb_fail("match of [%d, %d, %d, %d] with [%d, %d, %d, %d], which have [%d, %d, %d, %d]", a->n,
                       a->h, a->w, a->c, b->n, b->h, b->w, b->c, v->n, v->h, v->w, v->c);
    *y = (sb_shape){ a->n, a->h, a->w, v->c, SB_F32 };
    return 0;
}

/* Each input is read once; the products are written and read. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    (void)how;
    (void)backward; /* there is none */
    const double rows = (double)sb_shape_rows(&xs[0]), products = rows * xs[1].h * xs[1].w;
    return (sb_cost){ .bytes = sizeof(float) *
                               ((double)sb_shape_elements(&xs[0]) + (double)sb_shape_elements(&xs[1]) +
                                2 * rows * xs[2].c + 2 * products),
                      .operations = 2 * products * xs[0].c };
}

const sb_op sb_op_match = { .name = "match", .inputs = 3, .shape = shape, .cost = cost };
