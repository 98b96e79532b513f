/* plot.h: the results of a whole sweep, as its table and its plot take them, and the plot: each measure that
 * is a share against the axis of numbers (trainer.batch if it is one, else the first), a line for each
 * combination of the other axes, with the interval of the seeds as bars. Drawn by gnuplot. */
#ifndef SB_SWEEP_PLOT_H
#define SB_SWEEP_PLOT_H

#include <math.h>
#include <stdbool.h>

#include "sweep/cells.h"
#include "sweep/results.h"
#include "sweep/statistics.h"

typedef struct {
    const sb_sweep *sweep;
    sb_result *of_cell; /* [cells]; a cell that is not done has no rows */
    int rows, named_by; /* of the evaluations; the cell whose rows name them */
    bool has[SB_METRICS];
    double *values; /* [seeds], for a moment */
} sb_results;

/* Where the data set lacks what a measure needs, the log has none. */
static inline bool sb_result_has(const sb_result *r, int row, int metric)
{
    return row < r->rows && !isnan(r->value[row][metric]);
}

/* table.c. Over the seeds, of the setting whose cell of the first seed is `first`; against: less the same of
 * another setting (its first cell), seed by seed; -1: as it is. */
sb_interval sb_results_interval(const sb_results *r, int first, int row, int metric, int against);

/* table.c. True if a row is the same in all cells of a seed; and its interval over the seeds then. */
bool sb_results_common(const sb_results *r, int row);
sb_interval sb_results_common_interval(const sb_results *r, int row, int metric);

int sb_plot_sweep(const sb_results *results);

#endif
