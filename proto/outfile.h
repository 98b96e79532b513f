/* outfile.h: may this file be written? Asked before anything is computed, so that a mistake in a name costs
 * neither time nor a file of the user's:
 *
 *   - it can be written at all: its folder is there and may be changed;
 *   - it is none of the files that are read, under whatever name and through whatever link;
 *   - one whose name the user did not give, but which follows from another, is not there yet or is of this
 *     tool.
 *
 * A file whose name the user did give is replaced. */
#ifndef SB_PROTO_OUTFILE_H
#define SB_PROTO_OUTFILE_H

#include <stdbool.h>
#include <sys/types.h>

/* What lies under the name of an output. */
typedef struct {
    const char *path; /* the caller's */
    bool there, regular;
    dev_t device;
    ino_t inode;
} sb_outfile;

sb_outfile sb_outfile_look(const char *path);

/* -1 where sb_new_file_begin (rundir.h) would fail: the folder is missing or may not be changed, or the name
 * is of something that is no file. */
int sb_outfile_check(const sb_outfile *output);

/* -1 if `input`, which need not be there, is the same file. */
int sb_outfile_check_input(const sb_outfile *output, const char *input);

/* -1 if it is one of the files that the programs of a run keep in its directory. */
int sb_outfile_check_run(const sb_outfile *output, const char *run_dir);

/* -1 if a directory that is to become a run's holds what has the name of one of these files, or of the
 * backbone, without being a run (config.yaml): it is the user's. */
int sb_outfile_check_run_dir(const char *dir);

/* -1 if it is there and does not begin with `head`. `what` says what it would be if it did: "a list of tiles
 * that embed wrote". */
int sb_outfile_check_ours(const sb_outfile *output, const char *head, const char *what);

/* -1 if a name cannot be written to, or made where it is not there yet: a file that lines are added to, or a
 * folder. */
int sb_outfile_check_kept(const char *path);

#endif
