/* collapse.c: see collapse.h. */
#include "trainer/collapse.h"

#include "trainer/spread.h"

int sb_collapse_measure(float *rows, int count, int width, double *deviation, double *rank)
{
    sb_spread_unit(rows, (size_t)count, width);
    *deviation = sb_spread_deviation(rows, count, width);
    *rank = sb_spread_rank(rows, count, width);
    return *rank < 0 ? -1 : 0;
}

bool sb_collapse_look(sb_collapse *c, double deviation)
{
    c->low = deviation < SB_COLLAPSE_DEVIATION ? c->low + 1 : 0;
    return c->low == SB_COLLAPSE_LOOKS;
}
