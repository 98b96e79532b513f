/* keys.h: the keys of a run, and those of training that are no choice's. Data alone: every program links it.
 */
#ifndef SB_TRAINER_KEYS_H
#define SB_TRAINER_KEYS_H

#include "proto/config.h"

typedef enum { SB_ALARM_NOTE, SB_ALARM_STOP } sb_on_alarm;

#define SB_REPLICAS_MAX 32

/* What of the backbone is made again on the way back instead of kept (step/recompute.c). */
typedef enum {
    SB_RECOMPUTE_NONE,
    SB_RECOMPUTE_NORMS,
    SB_RECOMPUTE_WIDE,
    SB_RECOMPUTE_BLOCKS,
    SB_RECOMPUTE_AUTO
} sb_recompute;

/* Of the backbone (precision.h). */
typedef enum {
    SB_PRECISION_AUTO,
    SB_PRECISION_F32,
    SB_PRECISION_TF32,
    SB_PRECISION_BF16,
    SB_PRECISION_F16
} sb_precision;

/* init */
typedef struct {
    char init[PATH_MAX]; /* safetensors to start from; "" none */
} sb_start_keys;

/* continue.*: how a run goes on from the weights of `init` (schedule.h) */
typedef struct {
    bool enabled;
    int64_t heads; /* steps in which the heads learn alone */
    int64_t ramp;  /* steps after these in which the backbone's learning rate rises to `lr` */
    double lr;     /* of the optimiser's, for the backbone */
    int lora;      /* rank of the backbone's adapters; 0: it learns itself (step/lora.c) */
    double lora_alpha;
    double stop; /* what held-out quality may lose before an evaluator says to stop */
} sb_continue_keys;

/* run.* */
typedef struct {
    char dir[PATH_MAX]; /* "" = runs/DATE-RECIPE */
    int loaders;        /* how many at the start */
} sb_run_keys;

/* trainer.* */
typedef struct {
    int batch;      /* samples of a loss */
    int chunk;      /* encoder inputs in the backbone at once (of one size); 0 = all: the plain step */
    int accumulate; /* batches of an optimiser step, each with a loss of its own */
    sb_recompute recompute;
    int replicas;  /* devices whose computation is done, one after the other */
    int64_t steps; /* optimiser steps of the whole run */
    int threads;   /* compute threads; 0 = the cores that may be used. Fixed for the life of a run */
    sb_precision precision;
    int checkpoint_every, checkpoint_keep;
    int look_every; /* steps; 0: never (collapse.h) */
    int leak_every; /* steps; 0: never (leak.h) */
    sb_on_alarm on_alarm;
} sb_trainer_keys;

extern const sb_key_table sb_start_table, sb_continue_table, sb_run_table, sb_trainer_table;

#endif
