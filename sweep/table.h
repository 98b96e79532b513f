/* table.h: the results of a sweep, in its directory:
 *
 * table.csv   a line for each row of each cell's evaluation: the trained network, and beside it what needs no
 *             training; a line for a cell that failed, with the reason
 * table.md    over the seeds, mean and 95 % interval of each setting; and each setting's difference from the
 *             first one's, taken seed by seed
 * table.png   the measures that are shares, against the axis of numbers
 *
 * The files depend on the results alone: not on when, how often or in how many pieces the sweep ran. */
#ifndef SB_SWEEP_TABLE_H
#define SB_SWEEP_TABLE_H

#include "sweep/cells.h"

/* Writes the three, and prints the table. */
int sb_table_write(const sb_sweep *sweep);

#endif
