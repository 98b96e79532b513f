/* logdet.c: see logdet.h. */
#include "kernels/op/logdet.h"

#include <math.h>

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_logdet_how *h = how;
    const size_t rows = sb_shape_rows(xs);
    if (sb_shape_check_f32("logdet", xs) != 0)
        return -1;
    if (h->samples < 1 || rows % (size_t)h->samples != 0)
        return sb_fail("logdet of %zu rows in views of %d: rows must be a multiple of a view's", rows,
                       h->samples);
    if (h->samples > SB_LOGDET_SIDE_MAX && xs->c > SB_LOGDET_SIDE_MAX)
        return sb_fail("logdet of [%d, %d]: one side must be at most %d", h->samples, xs->c,
                       SB_LOGDET_SIDE_MAX);
    if (!(h->scale > 0 && h->scale < INFINITY))
        return sb_fail("logdet with scale %g", (double)h->scale);
    *y = (sb_shape){ (int)(rows / (size_t)h->samples), 1, 1, 1, SB_F32 };
    return 0;
}

static unsigned keeps(const void *how, const sb_shape *xs) { return (void)how, (void)xs, SB_KEEPS_AUX; }

static sb_shape aux(const void *how, const sb_shape *xs) { return (void)how, xs[0]; }

/* A Gram matrix, its factor, two systems for each column of the longer side. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    double values = (double)sb_shape_elements(xs), n = ((const sb_logdet_how *)how)->samples, d = xs->c,
           least = n < d ? n : d;
    return (sb_cost){ .bytes = sizeof(float) * 2 * values,
                      .operations = backward ? values
                                             : values * least * (1 + 2) + least * least * least / 3 };
}

const sb_op sb_op_logdet = {
    .name = "logdet", .inputs = 1, .shape = shape, .keeps = keeps, .aux = aux, .cost = cost
};
