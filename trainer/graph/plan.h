/* plan.h: a graph laid out in memory for one set of shapes on one device, and run there.
 *
 * DESIGN. A plan is a list of turns: a node goes FORWARD, AGAIN (its output is made once more, for the way
 * back) or BACKWARD. A buffer (a value, what backward needs beside it, a gradient) lives from the first turn
 * that touches it to the last; buffers that live at the same time get different places in one arena. So
 * recomputation is a matter of inserting turns. Several plans may share an arena if they are used one after
 * the other; nothing is allocated when a plan runs. The way back needs what the way forth left, so nothing
 * may run in the arena between the two.
 *
 * A gradient has one buffer, whatever the number of readers: the first on the way back writes it and the
 * others add to it. That first one goes in place, where the operation allows it (op.h, `over`): it takes the
 * buffer of a tensor that its turn reads for the last time, so that a norm's way back needs none of its own.
 *
 * What a run gives the device follows from the plan and from the addresses that it runs with, and numbers
 * that change are leaves. So a device that can record (device.h) does that when a kind of run comes a second
 * time, and is given the recording where a run comes again with the same addresses: one launch for all
 * operations.
 *
 * Leaves, outputs and the gradients at both lie in rows. In between the device chooses how each node wants
 * its inputs and makes its output (op.h, `layout`). Where a tensor comes in another layout than a node wants,
 * the plan puts a conversion (the operation `reorder`) in front of the first node that wants it so; the later
 * ones share it. It is a node as any: on the way back it converts what its readers' gradients add up to, and
 * adds that to the tensor's, which lies as the tensor was made. So a device's choice of layouts may change
 * the order in which more than two gradients are added, and nothing else. */
#ifndef SB_TRAINER_PLAN_H
#define SB_TRAINER_PLAN_H

#include "trainer/graph/graph.h"

typedef struct sb_plan sb_plan;

typedef struct {
    bool training;     /* there is a way back */
    const bool *again; /* [graph->count]: nodes whose output is made again instead of kept; NULL: none */
} sb_plan_options;

/* Device memory of a plan, in bytes. kept: the beginning of the arena, which holds the outputs after a run,
 * so that the rest may be another's until the next. packed: weights in the device's own form: the plan's
 * alone, kept between sb_plan_pack and use. */
typedef struct {
    size_t arena, kept, packed;
} sb_plan_bytes;

/* What a plan for leaves of these shapes [leaf_count] takes: arithmetic, which creates nothing on the device
 * and takes some 0.3 ms for a ResNet-50. What kernels work in is a bound (op.h), so a plan may not touch all
 * that it takes. */
int sb_plan_size(sb_plan_bytes *out, const sb_graph *graph, const sb_shape *leaves,
                 const sb_plan_options *options);

/* Lays it out, as sb_plan_size does, and makes what the device prepares for each node (primitives). */
int sb_plan_create(sb_plan **out, const sb_graph *graph, const sb_shape *leaves,
                   const sb_plan_options *options);
void sb_plan_destroy(sb_plan **plan);

size_t sb_plan_arena_bytes(const sb_plan *plan);
size_t sb_plan_kept_bytes(const sb_plan *plan);
size_t sb_plan_packed_bytes(const sb_plan *plan);
int sb_plan_turns(const sb_plan *plan);

/* Shows each call of a way forth (or back) in its order: its shapes and `how`; no memory is bound. For
 * counting. */
typedef void (*sb_plan_visitor)(void *context, sb_op_id op, const sb_call *call, bool backward);
void sb_plan_visit(const sb_plan *plan, bool backward, sb_plan_visitor visit, void *context);
sb_shape sb_plan_output_shape(const sb_plan *plan, int output);

/* Gives the plan its memory, aligned to 256 bytes. */
void sb_plan_bind(sb_plan *plan, void *arena, void *packed);

/* What a run is given beside the arena; device memory. */
typedef struct {
    const sb_section *section;
    const void *leaf[SB_LEAVES_MAX];
    void *dleaf[SB_LEAVES_MAX];          /* backward: where a leaf's gradient goes, if the graph wants it;
                                            it stays as it was where no output with a gradient depends on the leaf */
    const void *doutput[SB_OUTPUTS_MAX]; /* backward: the gradient at each output that is given one */
} sb_feed;

int sb_plan_pack(sb_plan *plan, const sb_section *section); /* after every change of the weights */
int sb_plan_forward(sb_plan *plan, const sb_feed *feed);    /* norms take the statistics of this batch */
int sb_plan_infer(sb_plan *plan,
                  const sb_feed *feed); /* norms take the section's statistics: no way back from here */
int sb_plan_backward(sb_plan *plan, const sb_feed *feed); /* adds to the section's gradient */

/* The value of an output after a way forth: inside the arena, until the next. */
void *sb_plan_output(const sb_plan *plan, int output);

/* What the norms gathered in the last way forth: into `batch` ([statistic floats], laid out as in a section).
 */
int sb_plan_statistics(sb_plan *plan, float *batch);

/* Updates the running statistics with what the norms gathered in the last way forth. `running` is laid out as
 * in a section. */
int sb_plan_update_running(sb_plan *plan, float *running);

#endif
