/* blocks.h: a device for tests that wants tensors in blocks of channels: the CPU, whose kernels it calls in
 * rows. Each operation is told what to wish; what it is called with must be what it wished, and zeros must
 * stand behind the channels (op.h): anything else fails the running test of cmocka's. What it computes is the
 * CPU's to the byte. */
#ifndef SB_TESTS_GRAPH_BLOCKS_H
#define SB_TESTS_GRAPH_BLOCKS_H

#include "kernels/op.h"

/* In place of a block: as the first input; of the first input itself: as it comes. */
#define BLOCKS_AS_FIRST (-1)

typedef struct {
    int x[SB_INPUTS_MAX], y;
} blocks_wish;

extern blocks_wish blocks_wishes[SB_OPS]; /* of all devices of this kind; zeros: rows */
extern long blocks_planned;               /* calls of the kernels' `plan` so far */

/* The block that the operation wishes for input k, or for its output (k = SB_INPUTS_MAX), where its first
 * input comes in blocks of `comes`. */
int blocks_wished(sb_op_id op, int k, int comes);

int blocks_device(sb_device **out, int threads);

/* The CPU, which would like blocks for some, in rows alone: what the other is compared with. */
int rows_device(sb_device **out, int threads);

#endif
