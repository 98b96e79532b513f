/* restarts.h: whether a program that died is started again, and when. Arithmetic alone. */
#ifndef SB_SUPERVISOR_RESTARTS_H
#define SB_SUPERVISOR_RESTARTS_H

#include <stdint.h>

#define SB_RESTARTS_MAX 5 /* deaths without any progress that end a run */

/* Zeros: it never died. */
typedef struct {
    int deaths; /* since there was progress */
    int64_t progress;
    double pause_s;
} sb_restarts;

/* It died. progress: how far the run is, in anything that grows. Seconds until it is started again: 0.2, and
 * twice as long with each death without progress, at most 5; -1: no more. */
double sb_restarts_died(sb_restarts *r, int64_t progress);

#endif
