/* events.h: TensorBoard's event files: records, each an Event (event.proto) in a frame with checksums, one
 * file for each of the runs that TensorBoard shows.
 *
 * A file is written whole, under a new name, and never added to: what it says may be less than what the one
 * before said. A TensorBoard that is open takes files in the order of their names, does not notice that one
 * was replaced, and without its data server (--load_fast=false) stays for ever at one that was removed. So
 * the name counts up, the new file begins with what tells a reader to forget all before it, and the last ones
 * before it stay for a while, empty. */
#ifndef SB_EVALUATOR_EVENTS_H
#define SB_EVALUATOR_EVENTS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Of a folder's files that are empty the last ones stay. */
#define SB_EVENTS_EMPTY 8

/* A picture as it lies in a file, JPEG or PNG. */
typedef struct {
    void *bytes; /* the caller's */
    size_t count;
    int width, height; /* pixels */
} sb_events_picture;

/* Each appends a record to `out`; -1: it could not. time: seconds since 1970, of every record of a file. */

/* What a file begins with. */
int sb_events_start(FILE *out, double time);

/* tag: UTF-8. */
int sb_events_scalar(FILE *out, double time, int64_t step, const char *tag, float value);
int sb_events_image(FILE *out, double time, int64_t step, const char *tag, const sb_events_picture *picture);

/* Puts such records into a folder, which is there, as its newest file. */
int sb_events_replace(const char *folder, const void *bytes, size_t count);

/* CRC-32C (Castagnoli), by which records are checked: 0xE3069283 of "123456789". */
uint32_t sb_events_crc32c(const void *bytes, size_t count);

#endif
