/* record.h: what a run has written of itself, as one JSON object: the one place where the report reads a
 * run's files. Whatever of them is not there yet is left out, and what cannot be read is named in `notes`.
 *
 *     name, path        the run directory's own name, and its whole path: commands with it work anywhere
 *     live              a supervisor answers
 *     saved             the step of the newest checkpoint, from which it can go on
 *     verdict           { word, sentence } (verdict.h)
 *     status            of status.json
 *     settings[]        [key, value] of config.yaml
 *     alarms[]          { step, alarm, what, do } of alarms.jsonl: the last SB_RECORD_ALARMS
 *     steps             { step[], loss[], rate[], waited[], lr[], norm[], deviation[], rank[] } of
 *                       metrics.jsonl: means of as many steps as make SB_RECORD_POINTS of all; null: none
 *     count             steps of metrics.jsonl
 *     evaluations[]     of evaluation.jsonl: SB_RECORD_EVALUATIONS, spread evenly, the last one always
 *     quarantine[]      of quarantine.jsonl: the first SB_RECORD_QUARANTINED; quarantined: all there are
 *     findings          of findings.json (findings.h)
 *     index, contact    index.png and pictures/contact.png as JPEG in base64
 *     notes[]           what could not be read, and why
 *
 * Texts of strangers (name, settings, quarantine, status, alarms) are clean (sb_text_clean). What the
 * evaluator wrote itself (evaluations, findings) is passed on as it is. */
#ifndef SB_EVALUATOR_RECORD_H
#define SB_EVALUATOR_RECORD_H

#include <jansson.h>
#include <stdbool.h>

#define SB_RECORD_POINTS 600
#define SB_RECORD_EVALUATIONS 100
#define SB_RECORD_QUARANTINED 100
#define SB_RECORD_ALARMS 20

/* pictures: findings, index and contact are wanted. NULL: run_dir is no run, or there is no memory. */
json_t *sb_record_read(const char *run_dir, bool pictures);

#endif
