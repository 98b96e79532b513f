/* gnuplot.h: a picture that gnuplot draws, as a process that is written to. */
#ifndef SB_PROTO_GNUPLOT_H
#define SB_PROTO_GNUPLOT_H

#include <limits.h>
#include <stdio.h>

typedef struct {
    FILE *commands; /* for the caller to write to */
    char path[PATH_MAX], part[PATH_MAX];
} sb_gnuplot;

/* Begins a PNG. What stood under `path` stays there until the end. A begin that returned 0 needs an end. */
int sb_gnuplot_begin(sb_gnuplot *out, const char *path, int width, int height);

/* A string, in quotes. */
void sb_gnuplot_text(FILE *commands, const char *text);

/* Ends it and puts the picture in its place. Without gnuplot, or if it fails: a note, and no picture. */
int sb_gnuplot_end(sb_gnuplot *plot);

#endif
