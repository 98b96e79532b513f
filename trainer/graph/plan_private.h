/* plan_private.h: how a plan is stored, for nodes.c (which says what is run), plan.c (which lays it out) and
 * run.c (which runs it). */
#ifndef SB_TRAINER_PLAN_PRIVATE_H
#define SB_TRAINER_PLAN_PRIVATE_H

#include "trainer/graph/plan.h"

/* INCOMING: the gradient that the caller gives at an output is copied from dy to dx[0]. */
typedef enum { SB_TURN_FORWARD, SB_TURN_AGAIN, SB_TURN_BACKWARD, SB_TURN_INCOMING } sb_turn_kind;

/* Where something lies: a buffer of the arena, or what the feed brings. */
typedef enum { SB_AT_NOWHERE, SB_AT_BUFFER, SB_AT_LEAF, SB_AT_DLEAF, SB_AT_DOUTPUT } sb_at_kind;
typedef struct {
    sb_at_kind kind;
    int index;
} sb_at;

typedef struct {
    sb_turn_kind kind;
    int node;
    sb_at x[SB_INPUTS_MAX], y, aux, dy, dx[SB_INPUTS_MAX];
    bool add[SB_INPUTS_MAX];
    sb_at scratch; /* lives in this turn alone */
} sb_turn;

typedef struct {
    size_t bytes, offset;
    int first, last; /* turns */
    bool kept;       /* read behind the last turn */
    int over; /* the buffer whose place it takes, which lives on as long as this one; -1: it has its own */
} sb_buffer;

/* A node in this plan. */
typedef struct {
    bool again;     /* its output is made again instead of kept */
    sb_call call;   /* shapes, how, what the device prepared */
    size_t scratch; /* bytes that a turn of it works in, as its kernel promised */
    size_t packed;  /* the same, of its weights in the device's form; and where they lie */
    size_t packed_at;
    /* While turns are added: where the newest ones lie. Afterwards: the last ones. */
    sb_at value, aux, gradient;
} sb_planned;

/* All addresses with which a plan is run: of a kind of run, all that the device is given follows from these.
 */
typedef struct {
    char *arena, *packed;
    float *running;
    sb_section section;
    sb_feed feed; /* but for its section */
} sb_addresses;

typedef enum { SB_RUN_FORWARD, SB_RUN_INFER, SB_RUN_BACKWARD, SB_RUN_PACK, SB_RUN_RUNNING } sb_run_kind;
typedef struct {
    sb_run_kind kind;
    sb_addresses with;
    sb_recording *recording;
} sb_recorded_run;

#define SB_RUNS_MAX 16 /* that are recorded: those of a step's chunk are fewer */

struct sb_plan {
    sb_graph graph; /* what is run: of the graph that is planned, what its outputs need; and conversions */
    sb_device *device;
    bool training;
    sb_planned *nodes; /* [graph.count] */
    int node_room;
    sb_turn *turns;
    int turn_count, turn_room, backward_from; /* the first turn of the way back */
    sb_buffer *buffers;
    int buffer_count, buffer_room;
    sb_at pack_scratch; /* for what brings weights into the device's own form, between two runs */
    size_t arena_bytes, kept_bytes, packed_bytes;
    char *arena, *packed;
    bool ran[SB_RUN_RUNNING + 1]; /* by kind: the device has seen its operations */
    bool by_call;                 /* recording failed: each operation is launched by itself */
    sb_recorded_run runs[SB_RUNS_MAX];
    int run_count;
};

/* Fills in the graph that is run and its nodes: shapes, layouts, what is made again. */
int sb_plan_nodes(sb_plan *plan, const sb_graph *graph, const sb_shape *leaves, const bool *again);

#endif
