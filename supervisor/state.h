/* state.h: what a run does, or how it ended, in a sentence: what its supervisor answers, or else what
 * status.json says. Only looks. */
#ifndef SB_SUPERVISOR_STATE_H
#define SB_SUPERVISOR_STATE_H

#include <stdbool.h>

#include "trainer/status.h"

typedef enum {
    SB_STATE_LIVES,
    SB_STATE_MUTE, /* has a supervisor, which does not answer */
    SB_STATE_NEW,  /* has not trained yet */
    SB_STATE_FINISHED,
    SB_STATE_STOPPED,
    SB_STATE_ALARMED, /* stopped by an alarm */
    SB_STATE_FAILED,
    SB_STATE_KILLED, /* ended without a word */
    SB_STATE_GONE    /* there is no such run any more */
} sb_state_kind;

typedef struct {
    sb_state_kind kind;
    char text[2048];  /* "training, since 12:31:08"; "failed, 12:40:11: trainer cannot go on: ..." */
    char remark[128]; /* of one that lives: "no step for 70 s"; "": there is none */
    bool known;       /* status.json was read: */
    char unread[512]; /* why it was not */
    sb_status status;
} sb_state;

/* Waits for a supervisor's answer at most timeout_ms. */
void sb_state_look(const char *run_dir, int timeout_ms, sb_state *out);

#endif
