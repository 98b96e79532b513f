/* series.c: see series.h. */
#include "supervisor/series.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

void sb_series_clear(sb_series *s)
{
    memset(s, 0, sizeof *s);
    s->span = 1;
    s->step = -1;
}

static void halve(sb_series *s)
{
    for (int i = 0; i < SB_SERIES_POINTS; i++) {
        const int pair = 2 * i;
        const bool there = pair < SB_SERIES_POINTS;
        s->sum[i] = there ? s->sum[pair] + s->sum[pair + 1] : 0;
        s->count[i] = there ? s->count[pair] + s->count[pair + 1] : 0;
    }
    s->span *= 2;
    s->first /= 2;
    s->end = (s->end + 1) / 2;
}

void sb_series_add(sb_series *s, int64_t step, double value)
{
    if (step < 0)
        return;
    s->step = step;
    s->last = value;
    if (!isfinite(value))
        return;
    while (step / s->span >= SB_SERIES_POINTS)
        halve(s);
    const int i = (int)(step / s->span);
    if (s->end == 0 || i < s->first)
        s->first = i;
    if (i >= s->end)
        s->end = i + 1;
    s->sum[i] += value;
    s->count[i]++;
}
