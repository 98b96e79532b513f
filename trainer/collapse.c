/* collapse.c: see collapse.h. */
#include "trainer/collapse.h"

#include "trainer/spread.h"

int sb_collapse_look(sb_collapse *c, float *rows, int count, int width)
{
    sb_spread_unit(rows, (size_t)count, width);
    c->deviation = sb_spread_deviation(rows, count, width);
    c->rank = sb_spread_rank(rows, count, width);
    if (c->rank < 0)
        return -1;
    c->low = c->deviation < SB_COLLAPSE_DEVIATION ? c->low + 1 : 0;
    return c->low == SB_COLLAPSE_LOOKS;
}
