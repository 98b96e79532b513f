/* segment.h: shared memory without a name.
 *
 * DESIGN. The creator does shm_open(random name, O_EXCL), shm_unlink at once, reserves every byte (fallocate:
 * a full /dev/shm is an error here, not a SIGBUS later), pre-faults it, and keeps the descriptor open; a
 * joiner opens /proc/PID/fd/N, which its welcome message told it (same user only). Where /dev/shm is too
 * small, memfd_create, sealed against resizing, takes its place with a note. Whatever dies, the kernel frees
 * the memory with the last mapping: nothing is left behind. A segment begins with one page of header (magic,
 * version, random 64-bit id, kind, size); the payload follows. */
#ifndef SB_PROTO_SEGMENT_H
#define SB_PROTO_SEGMENT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SB_SEGMENT_HEADER 4096 /* bytes before the payload */

typedef enum {
    SB_SEGMENT_TILES = 1,
    SB_SEGMENT_VIEWS = 2,
    SB_SEGMENT_EMBEDDINGS = 3,
    SB_SEGMENT_WEIGHTS = 4
} sb_segment_kind;

/* What a joiner is told; travels in a welcome message. */
typedef struct {
    uint32_t kind;  /* sb_segment_kind */
    uint64_t id;    /* random, never 0 */
    int32_t pid;    /* the creator */
    int32_t fd;     /* the creator's descriptor */
    uint64_t bytes; /* header and payload */
} sb_segment_ticket;

typedef struct {
    sb_segment_ticket ticket;
    void *payload; /* page-aligned; ticket.bytes - SB_SEGMENT_HEADER long */
    void *mapping; /* the whole segment */
    int fd;        /* creator: the descriptor; joiner: -1 */
} sb_segment;

/* Creates a zeroed segment with `payload` bytes behind the header. The error names needed and available
 * bytes. */
int sb_segment_create(sb_segment *out, sb_segment_kind kind, size_t payload);

/* Maps another process's segment, read-write or read-only, and validates header and size against the ticket
 * and `kind`. Where it fails because that process dies, the process is gone afterwards. */
int sb_segment_join(sb_segment *out, sb_segment_kind kind, const sb_segment_ticket *ticket, int writable);

/* Unmaps and closes; tolerates a zeroed struct and zeroes it. */
void sb_segment_close(sb_segment *segment);

#endif
