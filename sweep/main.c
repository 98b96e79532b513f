/* main.c of sb_sweep: runs every cell of a grid, and makes one table of what they found. */
#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"   /* sb_plural */
#include "proto/path.h"    /* sb_path_whole */
#include "proto/process.h" /* sb_stop_install */
#include "proto/program.h" /* sb_program_* */
#include "sweep/cells.h"   /* sb_sweep_* */
#include "sweep/table.h"   /* sb_table_write */

#define EXIT_STOPPED 130 /* as ./run stop ends a run */

typedef struct {
    const char *recipe, *dir, *run;
    char **axes;
    int axes_count, jobs;
} arguments;

static error_t parse(int key, char *argument, struct argp_state *state)
{
    arguments *a = state->input;
    switch (key) {
    case 'r': a->recipe = argument; break;
    case 'o': a->dir = argument; break;
    case 'u': a->run = argument; break;
    case 'j': {
        char *end;
        errno = 0;
        long jobs = strtol(argument, &end, 10);
        if (errno || *end || end == argument || jobs < 1 || jobs > 256)
            return sb_program_wrong("--jobs %s: a whole number from 1 to 256 was expected", argument);
        a->jobs = (int)jobs;
        break;
    }
    case ARGP_KEY_ARGS:
        a->axes = state->argv + state->next;
        a->axes_count = state->argc - state->next;
        break;
    case ARGP_KEY_END:
        if (!a->dir)
            return sb_program_wrong("name the sweep's folder with -o DIR");
        if (!a->recipe && a->axes_count > 0)
            return sb_program_wrong("name a recipe for %s", a->axes[0]);
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* An exit status. */
static int sweep(const arguments *a)
{
    sb_sweep s;
    int failed = 0, done = 0;
    char dir[PATH_MAX], run[PATH_MAX];
    if (sb_path_whole(a->dir, dir) != 0 || sb_path_whole(a->run, run) != 0 ||
        sb_sweep_open(&s, dir, run, a->recipe, (const char *const *)a->axes, a->axes_count) != 0)
        return -1;
    for (int c = 0; c < s.grid.cells; c++)
        done += s.cell[c].state == SB_CELL_DONE;
    printf("%d cell%s in %s, %d done\n", s.grid.cells, sb_plural((uint64_t)s.grid.cells), s.dir, done);
    int rc = sb_sweep_run(&s, a->jobs), status = rc < 0 ? -1 : EXIT_SUCCESS;
    if (rc == 1) {
        printf("stopped; go on with: ./run sweep -o %s\n", s.dir);
        status = EXIT_STOPPED;
    } else if (rc == 0 && sb_table_write(&s) != 0) {
        status = -1;
    } else if (rc == 0) {
        for (int c = 0; c < s.grid.cells; c++)
            failed += s.cell[c].state == SB_CELL_FAILED;
        printf("\ndone: %s/table.csv, table.md, table.png\n", s.dir);
        if (failed > 0) {
            printf("%d of %d cell%s failed; the same command tries again\n", failed, s.grid.cells,
                   sb_plural((uint64_t)s.grid.cells));
            status = EXIT_FAILURE;
        }
    }
    sb_sweep_close(&s);
    return status;
}

int main(int argc, char **argv)
{
    const struct argp_option options[] = {
        { "recipe", 'r', "FILE", 0, "the recipe; without: goes on with the sweep in DIR", 0 },
        { "output", 'o', "DIR", 0, "the sweep's folder", 0 },
        { "run", 'u', "SCRIPT", 0, "what runs a cell's commands (./run)", 0 },
        { "jobs", 'j', "N", 0, "cells at once (1); give each its cores with trainer.threads", 0 },
        { 0 },
    };
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "[KEY=VALUE,VALUE... ...]",
        .doc = "Trains and evaluates every combination of the values, and makes a table of it. Used by "
               "./run.\vCommas separate values: a value that contains one cannot be swept, and stands in the "
               "recipe. Keys that change together are joined by colons, and so are their values: "
               "trainer.batch:trainer.steps=16:4000,64:1000; an empty one leaves its key out: "
               "method.name:method.queue=dcl:,swav:960. Exit status: 0, all cells are done; 1, some "
               "failed; 130, stopped.",
    };
    arguments a = { .jobs = 1, .run = "./run" };
    sb_program_begin("sweep");
    sb_program_arguments(&argp, argc, argv, &a);
    return sb_program_end(sb_stop_install() == 0 ? sweep(&a) : -1);
}
