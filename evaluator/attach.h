/* attach.h: how an evaluator follows a live run: it reads what the trainer broadcasts and writes nothing. So
 * it may be stopped or killed at any moment, and the trainer does not notice. */
#ifndef SB_EVALUATOR_ATTACH_H
#define SB_EVALUATOR_ATTACH_H

#include <stdbool.h>

#include "evaluator/report.h"
#include "trainer/publish.h"

typedef struct {
    sb_broadcast embeddings, weights;
    int trainer; /* pidfd */
    const char *config_text;
    uint64_t next_embedding, next_snapshot; /* records up to here were looked at */
    sb_snapshot_head *snapshot;             /* one record, weights behind it */
    sb_embedding_head **record; /* [embeddings.count] pointers to records, in order of their steps */
    char *record_memory;        /* their place */
    float *vectors;             /* [embeddings.count, width] */
} sb_attachment;

/* Asks the run's trainer for its broadcasts. It asks again for as long as `run_dir` has a supervisor, which
 * starts a killed trainer again, and the run's status says that it trains; not of a trainer that is stopped,
 * or hangs. config_text (sb_settings_of_run; kept): what its snapshots must say. 1: attached; 0: no trainer
 * answers, and none will; -1. */
int sb_attach(sb_attachment *out, const char *run_dir, const char *config_text);
void sb_detach(sb_attachment *attachment);

/* True once the trainer's process is gone. */
bool sb_attachment_ended(const sb_attachment *attachment);

/* The newest weights, if there are any that this attachment has not given yet: 1 and pointers that hold until
 * the next call; 0; -1. */
int sb_attachment_weights(sb_attachment *attachment, const sb_snapshot_head **head, const float **weight,
                          const float **running);

/* Measures the embeddings that came since the last call, or since this evaluator attached: of these, the
 * newest that the ring still holds. A single one is left to the next call: `count` is then 0. The trainer
 * sends none before an evaluator has attached. */
int sb_attachment_measure(sb_attachment *attachment, sb_stream_measures *out);

#endif
