/* series.h: a value against steps, thinned: of a run of any length so many points as a window may show. A
 * point is the mean over its steps; where they become too many, two become one. */
#ifndef SB_SUPERVISOR_SERIES_H
#define SB_SUPERVISOR_SERIES_H

#include <stdint.h>

#define SB_SERIES_POINTS 1024

typedef struct {
    int64_t span;   /* steps of a point: the n-th has those from n span on */
    int first, end; /* points that may have values: first .. end - 1 */
    double sum[SB_SERIES_POINTS];
    int64_t count[SB_SERIES_POINTS]; /* values of a point; 0: it has none */
    int64_t step;                    /* of the last value; -1: there was none */
    double last;                     /* value; not finite where it was no number */
} sb_series;

void sb_series_clear(sb_series *series);

/* Steps may come in any order and more than once. What is not finite is the last value, and no point. */
void sb_series_add(sb_series *series, int64_t step, double value);

#endif
