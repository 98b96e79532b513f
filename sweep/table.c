/* table.c: see table.h. */
#include "sweep/table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/memory.h"
#include "proto/rundir.h"
#include "sweep/plot.h"

/* ---- what the rows are ------------------------------------------------------------------------------------ */

static int read_results(sb_results *r, const sb_sweep *s)
{
    *r = (sb_results){ .sweep = s };
    r->of_cell = sb_zeroed((size_t)s->grid.cells, sizeof *r->of_cell, "the results of a sweep");
    r->values = sb_zeroed((size_t)sb_grid_seeds(&s->grid), sizeof *r->values, "the values of the seeds");
    int rc = r->of_cell && r->values ? 0 : -1;
    for (int c = 0; rc == 0 && c < s->grid.cells; c++) {
        if (s->cell[c].state != SB_CELL_DONE)
            continue;
        if (sb_result_read(s->cell[c].dir, s->cell[c].steps, &r->of_cell[c]) < 0)
            rc = -1;
        for (int k = 0; k < SB_METRICS; k++)
            r->has[k] |= sb_result_has(&r->of_cell[c], 0, k);
        if (r->of_cell[c].rows > r->rows) {
            r->rows = r->of_cell[c].rows;
            r->named_by = c;
        }
    }
    return rc;
}

static void free_results(sb_results *r)
{
    free(r->of_cell);
    free(r->values);
}

sb_interval sb_results_interval(const sb_results *r, int first, int row, int metric, int against)
{
    const sb_grid *g = &r->sweep->grid;
    int count = 0;
    for (int seed = 0; seed < sb_grid_seeds(g); seed++) {
        const int cell = g->seed < 0 ? first : sb_grid_other(g, first, g->seed, seed);
        const int other = against < 0 ? -1 : g->seed < 0 ? against : sb_grid_other(g, against, g->seed, seed);
        if (!sb_result_has(&r->of_cell[cell], row, metric) ||
            (other >= 0 && !sb_result_has(&r->of_cell[other], row, metric)))
            continue;
        r->values[count++] = r->of_cell[cell].value[row][metric] -
                             (other >= 0 ? r->of_cell[other].value[row][metric] : 0);
    }
    return sb_interval_of(r->values, count);
}

/* A row that needs no training is the same in all cells of a seed, unless the sweep changes what is looked
 * at. */
bool sb_results_common(const sb_results *r, int row)
{
    const sb_grid *g = &r->sweep->grid;
    for (int c = 0; c < g->cells; c++)
        for (int other = 0; other < c; other++) {
            const sb_result *a = &r->of_cell[c], *b = &r->of_cell[other];
            if (row >= a->rows || row >= b->rows ||
                (g->seed >= 0 && sb_grid_value(g, c, g->seed) != sb_grid_value(g, other, g->seed)))
                continue;
            for (int k = 0; k < SB_METRICS; k++)
                if (sb_result_has(a, row, k) != sb_result_has(b, row, k) ||
                    (sb_result_has(a, row, k) && a->value[row][k] != b->value[row][k]))
                    return false;
        }
    return true;
}

/* Any cell of each seed, where all cells of a seed have the same. */
sb_interval sb_results_common_interval(const sb_results *r, int row, int metric)
{
    const sb_grid *g = &r->sweep->grid;
    int count = 0;
    for (int seed = 0; seed < sb_grid_seeds(g); seed++)
        for (int c = 0; c < g->cells; c++)
            if ((g->seed < 0 || sb_grid_value(g, c, g->seed) == seed) &&
                sb_result_has(&r->of_cell[c], row, metric)) {
                r->values[count++] = r->of_cell[c].value[row][metric];
                break;
            }
    return sb_interval_of(r->values, count);
}

/* ---- table.csv -------------------------------------------------------------------------------------------- */

static void put_quoted(FILE *f, const char *text)
{
    if (!strpbrk(text, ",\"\n")) {
        fputs(text, f);
        return;
    }
    fputc('"', f);
    for (; *text; text++)
        fprintf(f, *text == '"' ? "\"\"" : "%c", *text);
    fputc('"', f);
}

static void put_csv_line(FILE *f, const sb_results *r, int cell, int row)
{
    const sb_grid *g = &r->sweep->grid;
    const sb_cell *c = &r->sweep->cell[cell];
    const sb_result *result = &r->of_cell[cell];
    put_quoted(f, c->name);
    for (int a = 0; a < g->axes; a++) {
        fputc(',', f);
        put_quoted(f, g->axis[a].value[sb_grid_value(g, cell, a)]);
    }
    fprintf(f, ",%s",
            c->state != SB_CELL_DONE ? c->state == SB_CELL_FAILED ? "failed" : "not done"
                                     : result->name[row]);
    for (int k = 0; k < SB_METRICS; k++) {
        if (sb_result_has(result, row, k))
            fprintf(f, ",%.9g", result->value[row][k]);
        else
            fputc(',', f);
    }
    fputc(',', f);
    put_quoted(f, c->reason);
    fputc('\n', f);
}

static void put_csv(FILE *f, const sb_results *r)
{
    const sb_grid *g = &r->sweep->grid;
    fputs("cell", f);
    for (int a = 0; a < g->axes; a++) {
        fputc(',', f);
        put_quoted(f, g->axis[a].name);
    }
    fputs(",row", f);
    for (int k = 0; k < SB_METRICS; k++)
        fprintf(f, ",%s", sb_metrics[k]->key);
    fputs(",reason\n", f);
    for (int c = 0; c < g->cells; c++)
        for (int row = 0; row == 0 || row < r->of_cell[c].rows; row++)
            put_csv_line(f, r, c, row);
}

/* ---- table.md --------------------------------------------------------------------------------------------- */

static bool shown(const sb_grid *g, int axis) { return g->axis[axis].values > 1 && axis != g->seed; }

static void put_interval(FILE *f, const sb_interval *i, const sb_metric *metric, bool sign)
{
    const double scale = metric->share ? 100 : 1;
    const int digits = metric->share ? 1 : 3;
    if (i->count == 0)
        fputs(" |", f);
    else if (i->half < 0)
        fprintf(f, sign ? " %+.*f |" : " %.*f |", digits, scale * i->mean);
    else
        fprintf(f, sign ? " %+.*f ± %.*f |" : " %.*f ± %.*f |", digits, scale * i->mean, digits,
                scale * i->half);
}

static void put_head(FILE *f, const sb_results *r, const char *first)
{
    const sb_grid *g = &r->sweep->grid;
    int columns = 1;
    fprintf(f, "| %s |", first);
    for (int a = 0; a < g->axes; a++)
        if (shown(g, a)) {
            fprintf(f, " %s |", g->axis[a].name);
            columns++;
        }
    fputs(" seeds |", f);
    for (int k = 0; k < SB_METRICS; k++)
        if (r->has[k]) {
            fprintf(f, " %s%s |", sb_metrics[k]->title, sb_metrics[k]->share ? ", %" : "");
            columns++;
        }
    fputs("\n|", f);
    for (int c = 0; c <= columns; c++)
        fputs("---|", f);
    fputc('\n', f);
}

/* cell: whose settings are shown; -1: no setting matters. */
static void put_settings(FILE *f, const sb_results *r, int cell)
{
    const sb_grid *g = &r->sweep->grid;
    for (int a = 0; a < g->axes; a++)
        if (shown(g, a))
            fprintf(f, " %s |", cell < 0 ? "any" : g->axis[a].value[sb_grid_value(g, cell, a)]);
}

/* The row of a setting, whose first cell is given; -1: of all settings. */
static void put_setting(FILE *f, const sb_results *r, int first, int row, int against)
{
    bool counted = false;
    fprintf(f, "| %s |", r->of_cell[r->named_by].name[row]);
    put_settings(f, r, first);
    for (int k = 0; k < SB_METRICS; k++) {
        if (!r->has[k])
            continue;
        sb_interval i = first < 0 ? sb_results_common_interval(r, row, k)
                                  : sb_results_interval(r, first, row, k, against);
        if (!counted)
            fprintf(f, " %d |", i.count);
        counted = true;
        put_interval(f, &i, sb_metrics[k], against >= 0);
    }
    fputc('\n', f);
}

/* The axis whose first value the others are held against; -1: there is none. */
static int compared_axis(const sb_grid *g)
{
    for (int a = 0; a < g->axes; a++)
        if (shown(g, a))
            return a;
    return -1;
}

static void put_differences(FILE *f, const sb_results *r)
{
    const sb_grid *g = &r->sweep->grid;
    const int axis = compared_axis(g);
    if (axis < 0 || r->rows == 0)
        return;
    fprintf(f, "\nDifference from %s = %s with all else equal, seed by seed%s:\n\n", g->axis[axis].name,
            g->axis[axis].value[0], sb_grid_seeds(g) > 1 ? ": mean and 95 % t interval" : "");
    put_head(f, r, "row");
    for (int c = 0; c < g->cells; c++)
        if (sb_grid_first_seed(g, c) && sb_grid_value(g, c, axis) > 0)
            put_setting(f, r, c, 0, sb_grid_other(g, c, axis, 0));
}

static void put_failures(FILE *f, const sb_results *r)
{
    const sb_grid *g = &r->sweep->grid;
    bool any = false;
    for (int c = 0; c < g->cells; c++) {
        const sb_cell *cell = &r->sweep->cell[c];
        if (cell->state == SB_CELL_DONE)
            continue;
        fputs(any ? "" : "\nWithout a result:\n\n", f);
        fprintf(f, "- %s: %s\n", cell->name, cell->state == SB_CELL_FAILED ? cell->reason : "not done yet");
        any = true;
    }
}

static void put_markdown(FILE *f, const sb_results *r)
{
    const sb_grid *g = &r->sweep->grid;
    if (r->rows > 0) {
        fprintf(f, "%d held-out tiles. ", r->of_cell[r->named_by].tiles);
        if (sb_grid_seeds(g) > 1)
            fputs("Mean over the seeds and 95 % t interval of it; \"seeds\" is how many there are.\n\n", f);
        else
            fputs("One seed: there are no intervals, and differences may be chance.\n\n", f);
        put_head(f, r, "row");
    }
    for (int row = 1; row < r->rows; row++) { /* what needs no training */
        if (sb_results_common(r, row)) {
            put_setting(f, r, -1, row, -1);
            continue;
        }
        for (int c = 0; c < g->cells; c++)
            if (sb_grid_first_seed(g, c))
                put_setting(f, r, c, row, -1);
    }
    for (int c = 0; r->rows > 0 && c < g->cells; c++)
        if (sb_grid_first_seed(g, c))
            put_setting(f, r, c, 0, -1);
    put_differences(f, r);
    put_failures(f, r);
}

/* ---- files ------------------------------------------------------------------------------------------------ */

static int write_text(const sb_results *r, const char *name, void (*put)(FILE *, const sb_results *),
                      bool print)
{
    char path[PATH_MAX], *text = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);
    if (!f)
        return sb_fail_errno("open_memstream");
    put(f, r);
    int rc = fclose(f) != 0 ? sb_fail_errno("writing %s", name) : 0;
    if (rc == 0 &&
        (sb_rundir_path(path, r->sweep->dir, "%s", name) != 0 || sb_file_replace(path, text, bytes) != 0))
        rc = -1;
    if (rc == 0 && print)
        fwrite(text, 1, bytes, stdout);
    free(text);
    return rc;
}

int sb_table_write(const sb_sweep *s)
{
    sb_results r;
    int rc = read_results(&r, s);
    if (rc == 0)
        rc = write_text(&r, "table.csv", put_csv, false);
    if (rc == 0)
        rc = write_text(&r, "table.md", put_markdown, true);
    if (rc == 0 && r.rows > 0)
        rc = sb_plot_sweep(&r);
    free_results(&r);
    return rc;
}
