/* spike.c: see spike.h. */
#include "trainer/spike.h"

#include <math.h>
#include <stdlib.h>

#define LOSSES (SB_SPIKE_WINDOW + SB_SPIKE_LATEST)
#define NORMAL 1.4826 /* a normal distribution's deviation, over the median of distances */

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of values[SB_SPIKE_WINDOW], which are put in order. */
static double median(double *values)
{
    qsort(values, SB_SPIKE_WINDOW, sizeof *values, ascending);
    return (values[SB_SPIKE_WINDOW / 2 - 1] + values[SB_SPIKE_WINDOW / 2]) / 2;
}

bool sb_spike_look(sb_spike *s, double loss)
{
    double window[SB_SPIKE_WINDOW];
    int high = 0;
    s->losses[s->steps++ % LOSSES] = loss;
    if (s->steps < LOSSES)
        return false;
    for (int i = 0; i < SB_SPIKE_WINDOW; i++)
        window[i] = s->losses[(s->steps + i) % LOSSES];
    s->usual = median(window);
    for (int i = 0; i < SB_SPIKE_WINDOW; i++)
        window[i] = fabs(window[i] - s->usual);
    s->bound = s->usual +
               fmax(SB_SPIKE_DEVIATIONS * NORMAL * median(window), SB_SPIKE_SHARE * fabs(s->usual));
    for (int i = SB_SPIKE_WINDOW; i < LOSSES; i++)
        high += s->losses[(s->steps + i) % LOSSES] > s->bound;
    const bool begins = high >= SB_SPIKE_HIGH && !s->lasts;
    s->lasts = high > 0 && (s->lasts || begins);
    return begins;
}
