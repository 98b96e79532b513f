/* momentum.c: see momentum.h. */
#include "trainer/momentum.h"

#include <math.h>

double sb_momentum_at(const sb_momentum_keys *keys, int samples, int64_t step, int64_t steps)
{
    const double first = pow(keys->momentum, (double)samples / keys->batch);
    if (keys->schedule == SB_MOMENTUM_CONSTANT)
        return first;
    return 1 - (1 - first) * (1 + cos(M_PI * (double)step / (double)steps)) / 2;
}
