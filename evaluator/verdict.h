/* verdict.h: what a run's own numbers say of it, in one word and one sentence. docs/report.md has the rules,
 * as people read them; they know no method by name. */
#ifndef SB_EVALUATOR_VERDICT_H
#define SB_EVALUATOR_VERDICT_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "trainer/collapse.h"

/* What it is judged by. */
typedef struct {
    int64_t steps;      /* that the run is to have; 0: its configuration does not say */
    const double *loss; /* [count], of its steps so far */
    size_t count;
    double look[SB_COLLAPSE_LOOKS]; /* the last deviations of the embeddings, the newest last */
    int looks;                      /* how many of them there are */
    const json_t *evaluation;       /* the last line of evaluation.jsonl; NULL: there is none */
} sb_verdict_facts;

typedef struct {
    const char *word; /* early, collapsed, worse, learning, unclear, stalled */
    char sentence[512];
} sb_verdict;

sb_verdict sb_verdict_of(const sb_verdict_facts *facts);

/* The rules in words, the first that holds; NULL behind the last. */
extern const char *const sb_verdict_rules[];

#endif
