/* gnuplot.h: a picture that gnuplot draws, as a process that is written to. */
#ifndef SB_PROTO_GNUPLOT_H
#define SB_PROTO_GNUPLOT_H

#include <stdio.h>
#include <sys/types.h>

#include "proto/rundir.h"

typedef struct {
    FILE *commands; /* for the caller to write to; NULL: there is no gnuplot */
    sb_new_file picture;
    pid_t pid;
} sb_gnuplot;

/* Begins a PNG. What stood under `path`, the caller's, stays there until the end. 1; 0: there is no gnuplot,
 * which is noted, and nothing to end; -1. A begin that returned 1 needs an end. */
int sb_gnuplot_begin(sb_gnuplot *out, const char *path, int width, int height);

/* A string, in quotes. */
void sb_gnuplot_text(FILE *commands, const char *text);

/* Ends it and puts the picture in its place. If gnuplot failed: a note, and no picture. */
int sb_gnuplot_end(sb_gnuplot *plot);

#endif
