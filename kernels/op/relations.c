/* relations.c: see relations.h. */
#include "kernels/op/relations.h"

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_shape *s = &xs[0], *t = &xs[1];
    const sb_relations_how *h = how;
    if (sb_shape_check_f32("relations", s) != 0 || sb_shape_check_f32("relations", t) != 0)
        return -1;
    if (t->n != s->n || t->h != s->h || t->w != s->w)
        return sb_fail("relations of %d maps of %d x %d to %d of %d x %d", s->n, s->h, s->w, t->n, t->h,
                       t->w);
    if (!(h->temperature > 0))
        return sb_fail("relations at temperature %g", (double)h->temperature);
    *y = (sb_shape){ s->n, s->h, s->w, 1, SB_F32 };
    return 0;
}

static unsigned keeps(const void *how, const sb_shape *xs)
{
    return (void)how, (void)xs, SB_KEEPS_X(0) | SB_KEEPS_X(1) | SB_KEEPS_AUX;
}

static sb_shape aux(const void *how, const sb_shape *xs)
{
    (void)how;
    return (sb_shape){ xs->n, xs->h, xs->w, 2, SB_F32 };
}

/* Both matrices are written and read; on the way back that of G is read by two more products. An exponential
 * is one operation. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    (void)how;
    const double values = (double)sb_shape_elements(&xs[0]), teacher = (double)sb_shape_elements(&xs[1]),
                 rows = (double)sb_shape_rows(&xs[0]), pairs = rows * xs->h * xs->w;
    return (sb_cost){ .bytes = sizeof(float) * ((backward ? 2 : 1) * values + teacher + 3 * rows +
                                                (backward ? 7 : 4) * pairs),
                      .operations = pairs * (2.0 * ((backward ? 3 : 1) * xs[0].c + xs[1].c) + 6) };
}

const sb_op sb_op_relations = {
    .name = "relations", .inputs = 2, .shape = shape, .keeps = keeps, .aux = aux, .cost = cost
};
