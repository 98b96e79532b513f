/* map.c: see map.h. */
#include "kernels/op/map.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    (void)how;
    *y = *xs;
    return sb_shape_check_f32("map", xs);
}

static unsigned keeps(const void *how, const sb_shape *xs)
{
    (void)xs;
    const sb_map_function f = ((const sb_map_how *)how)->function;
    return f == SB_MAP_ROOT || f == SB_MAP_INVERSE || f == SB_MAP_EXP ? SB_KEEPS_Y : SB_KEEPS_X(0);
}

/* Forward x, y; backward x or y, dy, dx. A root, an exponential or a cosine counts as one operation. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    (void)how;
    double values = (double)sb_shape_elements(xs);
    return (sb_cost){ .bytes = sizeof(float) * values * (backward ? 3 : 2),
                      .operations = (backward ? 2 : 1) * values };
}

const sb_op sb_op_map = { .name = "map", .inputs = 1, .shape = shape, .keeps = keeps, .cost = cost };
