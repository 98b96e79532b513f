/* overview.h: what is to be seen of a run at one glance, gathered from its directory and from what its
 * supervisor answers. Nothing of the run is changed.
 *
 * It takes as much memory for a long run as for a short one, and a look reads what has come since the last
 * one, at most some MiB of it: a log that is longer is caught up with look by look. What is read was written
 * by others: texts are cleaned (sb_text_clean), lines that are no objects passed over, values that are no
 * numbers left out.
 *
 * Messages are the notes in log/ (log.h), as on the run's own screen. Their order is that in which they were
 * found: of those that were there at the first look each program's stand together, the trainer's last. */
#ifndef SB_SUPERVISOR_OVERVIEW_H
#define SB_SUPERVISOR_OVERVIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "supervisor/series.h"
#include "supervisor/state.h"

#define SB_OVERVIEW_MESSAGES 64
#define SB_OVERVIEW_MESSAGE 512

typedef struct {
    const char *run_dir; /* the caller's */
    sb_state state;
    sb_series loss, rate; /* of metrics.jsonl; rate: images a second */
    /* Of evaluation.jsonl, the measure that tells most, in per cent: of the trained network, in the
     * evaluations with the tiles and views of the last one; of the other rows, the last. */
    struct {
        char name[64]; /* "": there was no evaluation */
        int64_t tiles, views, size;
        sb_series trained;
        double untrained, given; /* NAN: there is no such row */
    } measure;
    int64_t alarms; /* lines of alarms.jsonl; the last one: state.status.alarm */
    int64_t messages;
    char message[SB_OVERVIEW_MESSAGES][SB_OVERVIEW_MESSAGE]; /* number n at n % SB_OVERVIEW_MESSAGES */
    char trouble[512];                                       /* what cannot be read; "": nothing */
} sb_overview;

/* A whole struct of its own: what was read so far, and what was found. */
typedef struct sb_gatherer sb_gatherer;

/* run_dir is kept. */
int sb_gatherer_create(sb_gatherer **out, const char *run_dir);
void sb_gatherer_destroy(sb_gatherer **gatherer);

/* Looks again. `more`: there is more to read already. The overview is the gatherer's, until the next look. */
const sb_overview *sb_gatherer_look(sb_gatherer *gatherer, bool *more);

#endif
