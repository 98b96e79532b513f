/* curves.c: curves of a run, drawn by gnuplot. See pictures.h. */
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "evaluator/pictures.h"
#include "proto/gnuplot.h"
#include "proto/jsonl.h"
#include "proto/rundir.h"

/* A row of numbers; none where one is missing. */
static void put_row(FILE *plot, const json_t *const *numbers, int count)
{
    for (int i = 0; i < count; i++)
        if (!json_is_number(numbers[i]))
            return;
    for (int i = 0; i < count; i++)
        fprintf(plot, "%.9g%c", json_number_value(numbers[i]), i + 1 < count ? ' ' : '\n');
}

static void put_metrics(void *plot, const json_t *o)
{
    const json_t *numbers[] = { json_object_get(o, "step"), json_object_get(o, "loss"),
                                json_object_get(o, "images_per_second") };
    put_row(plot, numbers, 3);
}

static void put_given(void *plot, const json_t *o)
{
    const json_t *value = json_object_get(json_object_get(json_object_get(o, "rows"), "given"),
                                          "view_retrieval");
    if (json_is_number(value))
        fprintf(plot, "given = %.9g\n", json_number_value(value));
}

static void put_evaluation(void *plot, const json_t *o)
{
    const char *const names[] = { "trained", "untrained", "pixels", "colour", "chance" };
    const json_t *numbers[6] = { json_object_get(o, "step") }, *rows = json_object_get(o, "rows");
    for (int i = 0; i < 5; i++)
        numbers[1 + i] = json_object_get(json_object_get(rows, names[i]), "view_retrieval");
    put_row(plot, numbers, 6);
}

int sb_curves_data(FILE *plot, const char *run_dir)
{
    fprintf(plot, "$steps << EOD\n");
    if (sb_jsonl_read(run_dir, "metrics.jsonl", put_metrics, plot) != 0)
        return -1;
    fprintf(plot, "EOD\n$evaluations << EOD\n");
    if (sb_jsonl_read(run_dir, "evaluation.jsonl", put_evaluation, plot) != 0)
        return -1;
    fprintf(plot, "EOD\ngiven = -1\n");
    return sb_jsonl_read(run_dir, "evaluation.jsonl", put_given, plot);
}

/* One picture of three plots; what needs no training is a level, not a curve. */
static int draw(FILE *plot, const char *run_dir)
{
    if (sb_curves_data(plot, run_dir) != 0)
        return -1;
    fprintf(
        plot,
        "set multiplot layout 3,1\n"
        "set grid\nstats $steps using 1 name 'S' nooutput\nset xrange [0:S_max]\nset key outside right\nset "
        "xlabel 'step'\n"
        "set ylabel 'loss'\nplot $steps using 1:2 with lines lc 'grey' title 'each step', "
        "'' using 1:2 smooth bezier lw 2 lc rgb '#1f4e9c' title 'smoothed'\n"
        "set ylabel 'view retrieval, %%'\nset yrange [0:100]\n"
        "stats $evaluations using (100 * $3) name 'U' nooutput\nstats $evaluations using (100 * $4) name 'P' "
        "nooutput\n"
        "stats $evaluations using (100 * $5) name 'C' nooutput\nstats $evaluations using (100 * $6) name 'G' "
        "nooutput\n"
        "plot $evaluations using 1:(100 * $2) with linespoints pt 7 lw 2 lc rgb '#1f4e9c' title 'trained', "
        "U_mean with lines dt 1 lc rgb '#c0392b' title 'untrained', P_mean with lines dt 2 lc rgb '#7f8c8d' "
        "title '16 x 16 pixels', "
        "C_mean with lines dt 3 lc rgb '#b7950b' title 'colour', G_mean with lines dt 4 lc 'black' title "
        "'chance', (given < 0 ? NaN : 100 * given) with lines dt 1 lc rgb '#27ae60' title (given < 0 ? '' : "
        "'as given')\n"
        "set ylabel 'images/s'\nset yrange [0:*]\nplot $steps using 1:3 with lines title 'throughput'\n"
        "unset multiplot\n");
    return 0;
}

int sb_picture_curves(const char *run_dir)
{
    char path[PATH_MAX], metrics[PATH_MAX];
    struct stat info;
    sb_gnuplot plot;
    if (sb_rundir_path(path, run_dir, "pictures/curves.png") != 0 ||
        sb_rundir_path(metrics, run_dir, "metrics.jsonl") != 0)
        return -1;
    if (stat(metrics, &info) != 0 || info.st_size == 0)
        return 0; /* no step yet, nothing to draw */
    int rc = sb_gnuplot_begin(&plot, path, 900, 1050);
    if (rc != 1)
        return rc;
    rc = draw(plot.commands, run_dir);
    return sb_gnuplot_end(&plot) != 0 ? -1 : rc;
}
