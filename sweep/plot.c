/* plot.c: see plot.h. */
#include "sweep/plot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/gnuplot.h"
#include "proto/rundir.h"

/* The number of a value, or of its first part; NAN if it is none. */
static double number_of(const char *value)
{
    char *end;
    double number = strtod(value, &end);
    return end != value && (*end == '\0' || *end == ':') ? number : NAN;
}

static bool of_numbers(const sb_axis *axis)
{
    for (int v = 0; v < axis->values; v++)
        if (isnan(number_of(axis->value[v])))
            return false;
    return true;
}

/* The axis to draw against: trainer.batch, or else the first of numbers, or else the first; -1: none varies.
 */
static int horizontal(const sb_grid *g)
{
    int best = -1, best_rank = 0;
    for (int a = 0; a < g->axes; a++) {
        if (a == g->seed || g->axis[a].values == 1)
            continue;
        int rank = !of_numbers(&g->axis[a]) ? 1 : strncmp(g->axis[a].name, "trainer.batch", 13) == 0 ? 3 : 2;
        if (rank > best_rank) {
            best = a;
            best_rank = rank;
        }
    }
    return best;
}

/* Where a value stands: at its number, or at its place in the list. */
static double place_of(const sb_axis *axis, int value)
{
    return of_numbers(axis) ? number_of(axis->value[value]) : value;
}

/* Doubling numbers are drawn at equal distances. */
static bool doubling(const sb_axis *axis)
{
    double least = INFINITY, most = -INFINITY;
    for (int v = 0; of_numbers(axis) && v < axis->values; v++) {
        least = fmin(least, place_of(axis, v));
        most = fmax(most, place_of(axis, v));
    }
    return least > 0 && most >= 4 * least;
}

static sb_interval point(const sb_results *r, int x, int line, int value, int metric)
{
    return sb_results_interval(r, x < 0 ? line : sb_grid_other(&r->sweep->grid, line, x, value), 0, metric,
                               -1);
}

static int points_of(const sb_grid *g, int x) { return x < 0 ? 1 : g->axis[x].values; }

/* True if a line begins with this cell, of the first seed at the first value of the axis, and has a point. */
static bool begins_line(const sb_results *r, int x, int cell, int metric)
{
    const sb_grid *g = &r->sweep->grid;
    if (!sb_grid_first_seed(g, cell) || (x >= 0 && sb_grid_value(g, cell, x) != 0))
        return false;
    for (int v = 0; v < points_of(g, x); v++)
        if (point(r, x, cell, v, metric).count > 0)
            return true;
    return false;
}

static void put_points(FILE *f, const sb_results *r, int x, int line, int metric)
{
    const sb_grid *g = &r->sweep->grid;
    fprintf(f, "$line%d_%d << EOD\n", metric, line);
    for (int v = 0; v < points_of(g, x); v++) {
        sb_interval i = point(r, x, line, v, metric);
        double half = i.half < 0 ? 0 : i.half;
        if (i.count > 0)
            fprintf(f, "%.9g %.9g %.9g %.9g\n", x < 0 ? 0 : place_of(&g->axis[x], v), 100 * i.mean,
                    100 * (i.mean - half), 100 * (i.mean + half));
    }
    fprintf(f, "EOD\n");
}

static void put_axis(FILE *f, const sb_axis *axis)
{
    fputs("set xlabel ", f);
    sb_gnuplot_text(f, axis->name);
    fprintf(f, "\n%sset xtics (",
            doubling(axis) ? "set logscale x 2\nset offsets graph 0.1, graph 0.1\n"
                           : "set offsets graph 0.1, graph 0.1\n");
    for (int v = 0; v < axis->values; v++) {
        fputs(v ? ", " : "", f);
        sb_gnuplot_text(f, axis->value[v]);
        fprintf(f, " %.9g", place_of(axis, v));
    }
    fputs(")\n", f);
}

/* The other axes' values. */
static void put_title(FILE *f, const sb_grid *g, int x, int cell)
{
    char title[256] = "";
    size_t at = 0;
    for (int a = 0; a < g->axes && at < sizeof title; a++)
        if (a != x && a != g->seed && g->axis[a].values > 1)
            at += (size_t)snprintf(title + at, sizeof title - at, "%s%s", at ? " " : "",
                                   g->axis[a].value[sb_grid_value(g, cell, a)]);
    sb_gnuplot_text(f, at ? title : "trained");
}

static void put_panel(FILE *f, const sb_results *r, int x, int metric)
{
    const sb_grid *g = &r->sweep->grid;
    int colour = 1;
    for (int c = 0; c < g->cells; c++)
        if (begins_line(r, x, c, metric))
            put_points(f, r, x, c, metric);
    fprintf(f, "set ylabel ");
    char label[64];
    snprintf(label, sizeof label, "%s, %%", sb_metrics[metric]->title);
    sb_gnuplot_text(f, label);
    fputs("\nplot ", f);
    for (int c = 0; c < g->cells; c++)
        if (begins_line(r, x, c, metric)) {
            fprintf(f, "%s$line%d_%d using 1:2:3:4 with yerrorlines lw 2 pt 7 lc %d title ",
                    colour > 1 ? ", " : "", metric, c, colour);
            put_title(f, g, x, c);
            colour++;
        }
    for (int row = 1; row < r->rows; row++) {
        sb_interval i = sb_results_common_interval(r, row, metric);
        if (i.count == 0 || !sb_results_common(r, row))
            continue;
        fprintf(f, ", %.9g with lines lc 'black' dt %d title ", 100 * i.mean, row + 1);
        sb_gnuplot_text(f, r->of_cell[r->named_by].name[row]);
    }
    fputc('\n', f);
}

static bool has_panel(const sb_results *r, int metric)
{
    return r->has[metric] && sb_metrics[metric]->share && sb_metrics[metric]->place != SB_BOUND;
}

static void put_plot(FILE *f, const sb_results *r, int panels)
{
    const sb_grid *g = &r->sweep->grid;
    const int x = horizontal(g);
    fprintf(f, "set multiplot layout %d,1 title ", panels);
    sb_gnuplot_text(f,
                    sb_grid_seeds(g) > 1 ? "mean over the seeds, 95 % t interval" : "one seed, no interval");
    fputs("\nset grid\nset key outside right\n", f);
    if (x >= 0)
        put_axis(f, &g->axis[x]);
    else
        fputs("set xtics (\"\" 0)\nset xrange [-1:1]\n", f);
    for (int k = 0; k < SB_METRICS; k++)
        if (has_panel(r, k))
            put_panel(f, r, x, k);
    fputs("unset multiplot\n", f);
}

int sb_plot_sweep(const sb_results *r)
{
    char path[PATH_MAX];
    int panels = 0;
    sb_gnuplot plot;
    for (int k = 0; k < SB_METRICS; k++)
        panels += has_panel(r, k);
    if (panels == 0)
        return 0;
    if (sb_rundir_path(path, r->sweep->dir, "table.png") != 0)
        return -1;
    const int rc = sb_gnuplot_begin(&plot, path, 900, 60 + 350 * panels);
    if (rc != 1)
        return rc;
    put_plot(plot.commands, r, panels);
    return sb_gnuplot_end(&plot);
}
