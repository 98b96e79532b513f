/* grid.h: the grid of a sweep: which keys take which values, and the cells that follow.
 *
 * An axis is `KEY=V1,V2,...`. Keys that change together are one axis, joined by colons, and so are their
 * values: `trainer.batch:trainer.steps=16:4000,64:1000`; an empty value among them leaves its key out:
 * `method.name:method.queue=dcl:,swav:960`. Commas separate values, so no value can contain one.
 * A cell takes one value of each axis; the last axis changes fastest. A key with one value is an axis of one,
 * which no cell's name and no table shows. */
#ifndef SB_SWEEP_GRID_H
#define SB_SWEEP_GRID_H

#include <stdbool.h>

#define SB_CELLS_MAX 100000
#define SB_CELL_NAME_MAX 128

typedef struct {
    char *name;   /* "trainer.batch" or "trainer.batch:trainer.steps" */
    char **value; /* [values] "16" or "16:4000" */
    int keys, values;
} sb_axis;

typedef struct {
    sb_axis *axis; /* [axes] */
    int axes, cells;
    int seed; /* which axis is the seed; -1: none */
} sb_grid;

/* Reads the axes from arguments. Refuses what is no KEY=VALUES, an empty value, one that is there twice, a
 * key of two axes, as many keys as there are not values, and run.dir, which the sweep chooses. */
int sb_grid_read(sb_grid *out, const char *const *arguments, int count);
void sb_grid_free(sb_grid *grid);

/* Which value of `axis` a cell takes. */
int sb_grid_value(const sb_grid *grid, int cell, int axis);

/* The cell's "key=value"s, malloc'ed each and as a list, that ends with NULL; sb_grid_assignments_free frees
 * it. */
char **sb_grid_assignments(const sb_grid *grid, int cell);
void sb_grid_assignments_free(char **assignments);

/* "07-dcl-16-1", the name of the cell's run directory: its number, and the values of the axes that have
 * several. out: SB_CELL_NAME_MAX bytes. */
void sb_grid_name(const sb_grid *grid, int cell, char *out);

/* The cell that differs from `cell` in the value of `axis` alone. */
int sb_grid_other(const sb_grid *grid, int cell, int axis, int value);

/* True if the cell is the first of those that differ in the seed alone. */
bool sb_grid_first_seed(const sb_grid *grid, int cell);
int sb_grid_seeds(const sb_grid *grid);

#endif
