/* watch.h: the alarms that steps raise: collapse, leak, spike and stall (their rules are in the files of
 * these names).
 *
 * What they remember follows from metrics.jsonl alone: a run that goes on reads it again up to its step, so
 * that one that was killed raises the same alarms at the same steps as one that was not. Where views change
 * their size the losses before it are forgotten. */
#ifndef SB_TRAINER_WATCH_H
#define SB_TRAINER_WATCH_H

#include "trainer/alarm.h"
#include "trainer/collapse.h"
#include "trainer/configuration.h"
#include "trainer/leak.h"
#include "trainer/spike.h"
#include "trainer/stall.h"
#include "trainer/status.h"

#define SB_WATCH_ALARMS 4

typedef struct {
    const sb_settings *config;
    int64_t until; /* the last step in which views have the sizes of now */
    sb_collapse collapse;
    sb_leak leak;
    sb_spike spike;
    sb_stall stall;
} sb_watch;

/* Takes what RUN/metrics.jsonl has. config: the caller's, which outlives it. */
int sb_watch_begin(sb_watch *out, const sb_settings *config, const char *run_dir);

/* Takes the next step. Returns how many alarms it raises, into alarms[SB_WATCH_ALARMS]. */
int sb_watch_step(sb_watch *watch, const sb_step_metrics *metrics, sb_alarm *alarms);

#endif
