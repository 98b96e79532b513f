/* pick.c: see pick.h. */
#include "kernels/op/pick.h"

#include "proto/error.h"

int sb_pick_check_index(const char *operation, const sb_shape *index, int images)
{
    if (index->type == SB_I32 && index->n == images && index->h == 1 && index->w > 0 && index->c == 1)
        return 0;
    return sb_fail("%s by an index of %s [%d, %d, %d, %d], not of i32 [%d, 1, k, 1]", operation,
                   sb_type_name(index->type), index->n, index->h, index->w, index->c, images);
}

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_pick_how *h = how;
    const int prefix = h->prefix, side = h->side > 1 ? h->side : 1;
    if (sb_shape_check_real("pick", xs) != 0 || sb_pick_check_index("pick", &xs[1], xs->n) != 0)
        return -1;
    if (side > 1 && (prefix != 0 || xs->h % side != 0 || xs->w % side != 0))
        return sb_fail("pick of cells of %d x %d from %d x %d places behind %d", side, side, xs->h, xs->w,
                       prefix);
    if (prefix < 0 || xs[1].w > xs->h * xs->w / (side * side) - prefix)
        return sb_fail("pick of %d of %d places or cells behind %d", xs[1].w,
                       xs->h * xs->w / (side * side) - prefix, prefix);
    *y = (sb_shape){ xs->n, side, prefix + xs[1].w * side, xs->c, xs->type };
    return 0;
}

static unsigned keeps(const void *how, const sb_shape *xs) { return (void)how, (void)xs, SB_KEEPS_X(1); }

/* Forward the rows taken, read and written; backward dy and the whole of dx. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    const sb_pick_how *h = how;
    const double row = (double)sb_type_bytes(xs->type) * xs->c, places = h->side > 1 ? h->side * h->side : 1,
                 taken = (double)xs->n * (h->prefix + xs[1].w * places);
    return (sb_cost){ .bytes = (double)sb_shape_bytes(&xs[1]) +
                               (backward ? row * taken + (double)sb_shape_bytes(xs) : 2 * row * taken) };
}

const sb_op sb_op_pick = { .name = "pick", .inputs = 2, .shape = shape, .keeps = keeps, .cost = cost };
