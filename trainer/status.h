/* status.h: how far a run is: status.json (now) and metrics.jsonl (one object a step). */
#ifndef SB_TRAINER_STATUS_H
#define SB_TRAINER_STATUS_H

#include <jansson.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

#include "loader/keys.h"
#include "trainer/alarm.h"

typedef struct {
    int64_t step, steps;
    double loss, images_per_second, eta_s;
    double waited;                /* share of the trainer's time spent waiting for views */
    char bottleneck[16];          /* the slowest stage: read, decode, augment, train */
    int loaders, loaders_most;    /* now; for how many the memory was planned to do, 0: unknown */
    uint32_t quarantined, away;   /* images: out for good; that cannot be read now */
    double read, decode, augment; /* stages before the trainer: seconds of work in a second, over all loaders,
                                     since augment began to feed this trainer */
    /* The queues: decoded tiles that wait for augment, views that wait for the trainer, and for how many
     * there is room, beside those that these have in hand (0: unknown). */
    uint32_t tiles_ready, tiles, views_ready, views;
    char device[192];    /* what the trainer computes on (kernels/device.h); "": unknown */
    char phase[32];      /* training, finished, stopped, failed */
    char reason[512];    /* of a failure, or the alarm that stopped it; "": none is known */
    sb_alarm_past alarm; /* the last one, which alarms.jsonl has */
} sb_status;

/* Renames status.json into place. Not synced: it is written every second and only says how things stand. */
int sb_status_write(const char *run_dir, const sb_status *status);

/* With the last alarm. */
int sb_status_read(const char *run_dir, sb_status *status);

/* How a run that has ended goes on, the end of a sentence: "go on from step 50 with: ./run resume RUN". */
void sb_status_way_on(const char *run_dir, char *out, size_t bytes);

/* "step 120/240  loss 1.2340  85.1 images/s  ETA 0:42  waited 3 %  slowest: train". Without an ETA where it
 * does not train; the last alarm, if there was one, behind the steps: what is last is left out of a narrow
 * window. */
int sb_status_line(const sb_status *status, char *out, size_t bytes);

/* A line of metrics.jsonl: the step, and what collapse.h and leak.h saw where they looked in this step. */
typedef struct {
    int64_t step;
    uint32_t epoch;
    double loss, lr, images_per_second, waited;
    bool continued; /* from given weights: the backbone's learning rate is another */
    double backbone_lr;
    double gradient_norm;
    double scale; /* of f16's gradients, after the step; 0: there is none */
    bool skipped; /* for gradients that were not finite */
    bool looked;
    double deviation, rank;
    double leak;     /* leak.h: how much higher the loss is with other groups; NAN: no look in this step */
    int guide_count; /* of columns that guide */
    const char *guides[SB_GUIDES_MAX];
    double guide_losses[SB_GUIDES_MAX]; /* of the step's last batch */
} sb_step_metrics;
int sb_metrics_append(const char *run_dir, const sb_step_metrics *metrics);

/* Such a line read back: what says how the step went, without guides. What it lacks is NAN, 0 or false. */
sb_step_metrics sb_metrics_of(const json_t *line);

/* Drops lines from a log of objects with a "step": those later than `step`, and a last one that was cut off
 * when its writer died. */
int sb_log_truncate(const char *run_dir, const char *name, int64_t step);

#endif
