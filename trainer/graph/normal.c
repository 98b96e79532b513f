/* normal.c: see normal.h. */
#include "trainer/graph/normal.h"

#include <math.h>

static void pair_of(sb_random *random, double out[2])
{
    double u = ((double)sb_random_u32(random) + 1) / 4294967296.0,
           v = (double)sb_random_u32(random) / 4294967296.0;
    double radius = sqrt(-2 * log(u));
    out[0] = radius * cos(2 * M_PI * v);
    out[1] = radius * sin(2 * M_PI * v);
}

void sb_normals(sb_random *random, double deviation, float *out, size_t count)
{
    double pair[2] = { 0 };
    for (size_t i = 0; i < count; i++) {
        if (i % 2 == 0)
            pair_of(random, pair);
        out[i] = (float)(deviation * pair[i % 2]);
    }
}
