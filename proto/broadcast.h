/* broadcast.h: one writer that overwrites and never waits, any number of readers that only read.
 *
 * DESIGN. Records of one size in a ring; record n lies in place n mod count. Each place has a sequence
 * number: 2n + 1 while record n is being written, 2 (n + 1) once it is complete. A reader copies, looks at
 * the number again, and so knows what it has and what it missed; it maps the segment read-only, so that it
 * cannot disturb anybody. The payload moves in relaxed atomic 64-bit words: the race of a copy with an
 * overwrite is defined, and its result thrown away. A stopped reader costs the writer nothing; if the writer
 * dies within a record, that record stays "not there yet" for ever, so a reader that waits has to watch the
 * writer's process.
 *
 * Limits: one writing thread; 2^20 records; a reader that must not lose anything has to be faster than
 * `count` records. */
#ifndef SB_PROTO_BROADCAST_H
#define SB_PROTO_BROADCAST_H

#include <stddef.h>
#include <stdint.h>

#include "proto/segment.h"

typedef struct {
    sb_segment segment;
    uint32_t count;      /* records that the ring holds */
    size_t record_bytes; /* of a record, as created */
    size_t written;      /* the writer's: bytes of the record that was begun */
} sb_broadcast;

int sb_broadcast_create(sb_broadcast *out, sb_segment_kind kind, uint32_t count, size_t record_bytes);

/* Maps another process's broadcast read-only; its header must agree with the segment's size. */
int sb_broadcast_join(sb_broadcast *out, sb_segment_kind kind, const sb_segment_ticket *ticket);

void sb_broadcast_close(sb_broadcast *broadcast);

/* Writes the next record: `part_count` pieces, one behind the other, together record_bytes at most (what is
 * behind them in the place stays as it was). Only the creator's one writing thread calls it. -1: the parts do
 * not fit, nothing is written. */
typedef struct {
    const void *data;
    size_t bytes;
} sb_broadcast_part;
int sb_broadcast_write(sb_broadcast *broadcast, const sb_broadcast_part *parts, int part_count);

/* Writes a record whose pieces come one after another. Readers see nothing of it before the end. If the end
 * never comes, the record that lay in its place before is lost, and the next begin starts this record anew.
 * add: -1 if the piece does not fit any more. */
void sb_broadcast_begin(sb_broadcast *broadcast);
int sb_broadcast_add(sb_broadcast *broadcast, const void *data, size_t bytes);
void sb_broadcast_end(sb_broadcast *broadcast);

/* The number of the next record to be written (= how many were written). The oldest record that may still be
 * there has this number less `count`. */
uint64_t sb_broadcast_next(const sb_broadcast *broadcast);

/* Copies record `number` into `out` (record_bytes). 1: copied; 0: not there yet; -2: overwritten, lost to
 * this reader; -1: the segment is not sound (sb_error). With anything but 1 the contents of `out` mean
 * nothing. */
int sb_broadcast_read(const sb_broadcast *broadcast, uint64_t number, void *out);

#endif
