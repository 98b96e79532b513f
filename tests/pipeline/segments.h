/* segments.h: finds a shared memory segment of another process among its descriptors, for tools that join a
 * run without saying hello to it. Include it once. */
#ifndef SB_TESTS_PIPELINE_SEGMENTS_H
#define SB_TESTS_PIPELINE_SEGMENTS_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "proto/error.h"
#include "proto/segment.h"

#define SEGMENT_DESCRIPTORS 256 /* a process of a run has fewer */

/* The ticket of the process's first segment of that kind; -1: it has none. */
static int find_segment(sb_segment_ticket *out, int pid, sb_segment_kind kind)
{
    for (int fd = 0; fd < SEGMENT_DESCRIPTORS; fd++) {
        char path[64];
        struct {
            uint64_t magic;
            uint32_t version, kind;
            uint64_t id, bytes;
        } head = { 0 };
        snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
        int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        bool whole = file >= 0 && pread(file, &head, sizeof head, 0) == sizeof head;
        if (file >= 0)
            close(file);
        *out = (sb_segment_ticket){ .kind = kind, .id = head.id, .pid = pid, .fd = fd, .bytes = head.bytes };
        sb_segment segment;
        if (whole && head.kind == kind && sb_segment_join(&segment, kind, out, 0) == 0) {
            sb_segment_close(&segment);
            return 0;
        }
    }
    return sb_fail("process %d has no segment of kind %d", pid, (int)kind);
}

#endif
