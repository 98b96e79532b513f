/* rundir.h: the run directory, where everything about a run lies.
 *
 *     config.yaml              the whole configuration, every key
 *     index.bin, index.csv     the data set as it was at the start (loader/index/index.h)
 *     index.png                some of its images, as a network gets them (loader/index/picture.h)
 *     quarantine.jsonl         files, and tiles, that could not be used, and why
 *     given.safetensors        with `init`: the network as it was given, before the first step
 *     metrics.jsonl            one object a step        evaluation.jsonl  one object an evaluation
 *     status.json              now (renamed into place once a second)
 *     alarms.jsonl             what went wrong (trainer/alarm.h)
 *     findings.json, .npy      what the last evaluation found of single tiles, and their features
 *     report.html              what all of these say, to people
 *     tensorboard/             the same, to TensorBoard
 *     checkpoints/             step-N.safetensors and best.safetensors; held-PID.safetensors while an
 *                              evaluation of it goes on; left/, which `resume --best` fills
 *     backbone.safetensors     what the run was for
 *     features/, lists/        features of the data set's tiles, and what was found with them
 *     log/PROGRAM.log          what programs said
 *     ipc/                     sockets, 0700 (request.h says whether the run is alive)
 *     lock, pictures *.png
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

/* Whether a run lies there: it has a config.yaml. */
int sb_rundir_check(const char *dir);

/* Steps that have a checkpoint file, sound or not, newest first; *out malloc'ed. Returns how many, or -1. */
int sb_rundir_checkpoints(const char *dir, int64_t **out);

/* Makes a directory that nobody else has, and what leads to it. 1: made; 0: something of this name is there
 * already; -1. */
int sb_rundir_new(const char *dir);

/* Creates the directory, where it is not there, with checkpoints/, log/ and ipc/ (0700). One with a run in it
 * (config.yaml), or with weights that a run left, is an error. */
int sb_rundir_create(const char *dir);

/* Makes it a run by its config.yaml. Of several who create the same directory one is the first; for the
 * others it is an error. */
int sb_rundir_take(const char *dir, const char *config);

/* Takes DIR/lock_name exclusively for the life of the process. Who holds it is given some seconds, since one
 * that was killed holds it until it is dead; then the error names the holder's pid. Returns the descriptor
 * (close-on-exec). */
int sb_rundir_lock(const char *dir, const char *lock_name);

/* Replaces `path` by the given bytes, atomically and durably. */
int sb_file_replace(const char *path, const void *data, size_t bytes);

/* Creates `path` with the given bytes, as whole and as durable. 1: created; 0: something is there already,
 * and stays; -1. */
int sb_file_create(const char *path, const void *data, size_t bytes);

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
