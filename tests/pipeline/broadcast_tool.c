/* Looks into a trainer's broadcasts without saying hello to it.
 *
 *     broadcast_tool PID      "EMBEDDINGS WEIGHTS": how many records of each it has written */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/broadcast.h"
#include "proto/error.h"
#include "tests/pipeline/segments.h"

int main(int argc, char **argv)
{
    const sb_segment_kind kinds[] = { SB_SEGMENT_EMBEDDINGS, SB_SEGMENT_WEIGHTS };
    int pid = argc == 2 ? (int)strtol(argv[1], NULL, 10) : 0;
    for (int i = 0; i < 2; i++) {
        sb_broadcast b;
        sb_segment_ticket ticket;
        if (find_segment(&ticket, pid, kinds[i]) != 0 || sb_broadcast_join(&b, kinds[i], &ticket) != 0) {
            fprintf(stderr, "broadcast_tool: %s\n", sb_error());
            return 1;
        }
        printf("%" PRIu64 "%c", sb_broadcast_next(&b), i == 0 ? ' ' : '\n');
        sb_broadcast_close(&b);
    }
    return 0;
}
