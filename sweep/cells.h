/* cells.h: the cells of a sweep, run one after the other or several at once.
 *
 * The sweep's directory has
 *
 *     grid, recipe.yaml    the axes, an argument a line, and the recipe as it was at the start
 *     folder               where that was: what relative paths in them mean, wherever the sweep goes on from
 *     NUMBER-VALUES/       a run directory for each cell
 *     log/CELL.log         what the cell's commands said
 *     table.csv, table.md, table.png, lock
 *
 * A cell is `./run train`, or `./run resume` of what was begun, then `./run evaluate`. What is done is read
 * from the run directories alone, so that a sweep goes on after any kill. */
#ifndef SB_SWEEP_CELLS_H
#define SB_SWEEP_CELLS_H

#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

#include "sweep/grid.h"

typedef enum {
    SB_CELL_WAITS,
    SB_CELL_TRAINS,
    SB_CELL_IS_EVALUATED,
    SB_CELL_DONE,
    SB_CELL_FAILED
} sb_cell_state;

typedef struct {
    char name[SB_CELL_NAME_MAX], dir[PATH_MAX], log[PATH_MAX];
    sb_cell_state state;
    char reason[512]; /* why it failed, in one line */
    int64_t steps;
    double views; /* that are left to train on, or as much work: what the time depends on */
    pid_t pid;    /* of its command */
    long said;    /* bytes of the log before its command */
    uint64_t began;
} sb_cell;

typedef struct {
    const char *dir, *run; /* run: the script, whole */
    sb_grid grid;
    char recipe[PATH_MAX]; /* the sweep's copy */
    sb_cell *cell;         /* [grid.cells] */
} sb_sweep;

/* Opens the sweep of `dir` (a whole path), and begins it where there is none. The process then works in the
 * folder in which the sweep began. recipe: a file; NULL: go on with the grid that is there. run: the script
 * that runs a cell's commands, a whole path. Another grid or another recipe than the directory's is refused.
 * Every key and value of every cell is checked before anything is written. */
int sb_sweep_open(sb_sweep *out, const char *dir, const char *run, const char *recipe,
                  const char *const *arguments, int count);
void sb_sweep_close(sb_sweep *sweep);

/* Runs what is not done, `jobs` at once; prints a line as each cell ends and, on a terminal, how far the
 * cells are. 0: none is left; 1: it was asked to stop (proto/process.h), and each cell that ran has ended as
 * `./run stop` ends it; -1. A cell that fails is no error. */
int sb_sweep_run(sb_sweep *sweep, int jobs);

#endif
