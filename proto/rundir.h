/* rundir.h: the run directory, where everything about a run lies.
 *
 *     config.yaml              the whole configuration, every key
 *     index.csv                the data set as it was at the start (loader/index.h)
 *     quarantine.jsonl         files that could not be used, and why
 *     given.safetensors        with `init`: the network as it was given, before the first step
 *     metrics.jsonl            one object a step        evaluation.jsonl  one object an evaluation
 *     status.json              now (renamed into place once a second)
 *     checkpoints/step-N.safetensors, backbone.safetensors
 *     log/PROGRAM.log, ipc/ (sockets, 0700), lock, pictures *.png
 *
 * Files appear whole: written under a temporary name in the same directory, synced, renamed. */
#ifndef SB_PROTO_RUNDIR_H
#define SB_PROTO_RUNDIR_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "DIR/NAME" into out (PATH_MAX bytes); -1 if too long. */
int sb_rundir_path(char *out, const char *dir, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Creates the directory with checkpoints/, log/ and ipc/ (0700). An existing run directory (config.yaml in
 * it) is an error. */
int sb_rundir_create(const char *dir);

/* Takes DIR/lock_name exclusively for the life of the process. Who holds it is given some seconds, since one
 * that was killed holds it until it is dead; then the error names the holder's pid. Returns the descriptor
 * (close-on-exec). */
int sb_rundir_lock(const char *dir, const char *lock_name);

/* True while the run has a supervisor (./run, which writes its pid into DIR/lock): it starts a trainer again
 * and again until the run ends. */
bool sb_rundir_supervised(const char *dir);

/* Replaces `path` by the given bytes, atomically and durably. */
int sb_file_replace(const char *path, const void *data, size_t bytes);

/* Replaces a file by pieces that come one after another. What stood under `path` stays there until the end.
 * An end with `whole` puts the new file in its place, durably; an end without throws the pieces away, and so
 * does a signal that ends the program (program.h). Every begin that returned 0 needs an end. What is no
 * regular file, a device for instance, is not replaced. */
typedef struct {
    const char *path; /* the caller's */
    char temporary[PATH_MAX];
    int fd, unfinished;
} sb_new_file;
int sb_new_file_begin(sb_new_file *out, const char *path);
int sb_new_file_write(sb_new_file *file, const void *data, size_t bytes);
int sb_new_file_rewrite(sb_new_file *file, size_t at, const void *data,
                        size_t bytes); /* what was written before */
int sb_new_file_end(sb_new_file *file, bool whole);

/* Appends one line (a '\n' is added) in one write; on a line of its own, even if the one before was cut off.
 */
int sb_file_append_line(const char *path, const char *line);

/* Opens a regular file of at most `max` bytes for reading: its descriptor (close-on-exec) and length. */
int sb_file_open(const char *path, size_t max, size_t *bytes);

/* Reads a whole file of at most `max` bytes into malloc'ed memory with a 0 byte behind it; the caller frees.
 */
int sb_file_read(const char *path, size_t max, char **out, size_t *bytes);

#endif
