/* alarm.h: an alarm: what of a run went wrong at which step, and what to do about it. RUN/alarms.jsonl has a
 * line for each: {"step", "alarm", "values", "what", "do"}. The rules: docs/alarms.md. */
#ifndef SB_TRAINER_ALARM_H
#define SB_TRAINER_ALARM_H

#include <stdint.h>

#define SB_ALARM_VALUES 4
#define SB_EXIT_ALARM \
    8 /* of the trainer, the evaluator and the supervisor of a run that an alarm has stopped */

typedef struct {
    const char *name; /* "collapse" */
    int64_t step;     /* after which it was raised */
    struct {
        const char *name;
        double value;
    } values[SB_ALARM_VALUES]; /* that it was raised by; a name of NULL ends them */
    char what[256];            /* was seen, in words */
    const char *advice;
} sb_alarm;

/* Appends its line to RUN/alarms.jsonl, and notes it. */
int sb_alarm_raise(const char *run_dir, const sb_alarm *alarm);

/* The last alarm of a run. */
typedef struct {
    char name[32]; /* "": there was none */
    int64_t step;
    char what[256];
} sb_alarm_past;
int sb_alarm_last(const char *run_dir, sb_alarm_past *out);

#endif
