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
#include "proto/error.h"
#include "proto/rundir.h"

/* Calls line(context, object) for every sound line of a log; a log that is not there has none. */
static int each_line(const char *run_dir, const char *name, void (*line)(FILE *plot, json_t *object), FILE *plot)
{
    char path[PATH_MAX], *text;
    size_t bytes;
    if (sb_rundir_path(path, run_dir, "%s", name) != 0)
        return -1;
    if (access(path, F_OK) != 0)
        return 0;
    if (sb_file_read(path, 1u << 30, &text, &bytes) != 0)
        return -1;
    for (char *begin = text, *end; (end = strchr(begin, '\n')); begin = end + 1) {
        json_t *object = json_loadb(begin, (size_t)(end - begin), 0, NULL);
        if (json_is_object(object))
            line(plot, object);
        json_decref(object);
    }
    free(text);
    return 0;
}

static double number(json_t *object, const char *key) { return json_number_value(json_object_get(object, key)); }

static void metrics_line(FILE *plot, json_t *o)
{
    fprintf(plot, "%.0f %g %g\n", number(o, "step"), number(o, "loss"), number(o, "images_per_second"));
}

static void evaluation_line(FILE *plot, json_t *o)
{
    json_t *rows = json_object_get(o, "rows"), *trained = json_object_get(rows, "trained");
    fprintf(plot, "%.0f %g %g %g %g %g\n", number(o, "step"), 100 * number(trained, "view_retrieval"),
            100 * number(json_object_get(rows, "untrained"), "view_retrieval"),
            100 * number(json_object_get(rows, "pixels"), "view_retrieval"),
            100 * number(json_object_get(rows, "colour"), "view_retrieval"), 100 * number(json_object_get(rows, "chance"), "view_retrieval"));
}

/* The data as gnuplot's inline blocks, then one picture of three plots; what needs no training is a level, not a curve. The output's name
 * goes into a quoted string. */
static int draw(FILE *plot, const char *run_dir, const char *part)
{
    fprintf(plot, "$steps << EOD\n");
    if (each_line(run_dir, "metrics.jsonl", metrics_line, plot) != 0)
        return -1;
    fprintf(plot, "EOD\n$evaluations << EOD\n");
    if (each_line(run_dir, "evaluation.jsonl", evaluation_line, plot) != 0)
        return -1;
    fprintf(plot, "EOD\n"
                  "set terminal pngcairo size 900,1050 noenhanced\n"
                  "set output \"");
    for (const char *c = part; *c; c++)
        fprintf(plot, strchr("\"\\", *c) ? "\\%c" : "%c", *c);
    fprintf(plot, "\"\n"
                  "set multiplot layout 3,1\n"
                  "set grid\nstats $steps using 1 name 'S' nooutput\nset xrange [0:S_max]\nset key outside right\nset xlabel 'step'\n"
                  "set ylabel 'loss'\nplot $steps using 1:2 with lines lc 'grey' title 'each step', "
                  "'' using 1:2 smooth bezier lw 2 lc rgb '#1f4e9c' title 'smoothed'\n"
                  "set ylabel 'view retrieval, %%'\nset yrange [0:100]\n"
                  "stats $evaluations using 3 name 'U' nooutput\nstats $evaluations using 4 name 'P' nooutput\n"
                  "stats $evaluations using 5 name 'C' nooutput\nstats $evaluations using 6 name 'G' nooutput\n"
                  "plot $evaluations using 1:2 with linespoints pt 7 lw 2 lc rgb '#1f4e9c' title 'trained', "
                  "U_mean with lines dt 1 lc rgb '#c0392b' title 'untrained', P_mean with lines dt 2 lc rgb '#7f8c8d' title '16 x 16 pixels', "
                  "C_mean with lines dt 3 lc rgb '#b7950b' title 'colour', G_mean with lines dt 4 lc 'black' title 'chance'\n"
                  "set ylabel 'images/s'\nset yrange [0:*]\nplot $steps using 1:3 with lines title 'throughput'\n"
                  "unset multiplot\n");
    return ferror(plot) ? sb_fail_errno("writing to gnuplot") : 0;
}

int sb_picture_curves(const char *run_dir)
{
    char path[PATH_MAX], part[PATH_MAX], metrics[PATH_MAX];
    struct stat info;
    if (sb_rundir_path(path, run_dir, "pictures/curves.png") != 0 || sb_rundir_path(part, run_dir, "pictures/curves.part.png") != 0)
        return -1;
    if (sb_rundir_path(metrics, run_dir, "metrics.jsonl") != 0)
        return -1;
    if (stat(metrics, &info) != 0 || info.st_size == 0)
        return 0; /* no step yet, nothing to draw */
    FILE *plot = popen("gnuplot 2>&1", "we");
    if (!plot)
        return sb_fail_errno("starting gnuplot");
    int rc = draw(plot, run_dir, part), status = pclose(plot);
    if (rc != 0)
        return -1;
    if (status != 0) {
        sb_note("no curves: gnuplot ended with status %d (package gnuplot-nox)", status);
        return 0;
    }
    return rename(part, path) != 0 ? sb_fail_errno("renaming %s", part) : 0;
}
