/* resume.h: with which configuration a run goes on.
 *
 * A run keeps every key that its result depends on as it was in the step that was finished last: the newest
 * checkpoint has its configuration, and what config.yaml says now, edited or not, is compared with that. Keys
 * on which the result does not depend (key.h) may change, and so may trainer.steps, upwards of the steps that
 * are done. Before the first step all may change but what index.bin was made with. config.yaml is replaced
 * whole, so a run that is killed in between has its old configuration or its new one. */
#ifndef SB_TRAINER_RESUME_H
#define SB_TRAINER_RESUME_H

#include "trainer/configuration.h"

typedef enum {
    SB_RESUME_APPLIED,
    SB_RESUME_STRETCHED, /* so is all that follows from a share of the run, from the next step on */
    SB_RESUME_RESULT,    /* refused from here on: the result depends on it */
    SB_RESUME_INDEXED,   /* index.bin was made with it */
    SB_RESUME_GIVEN,     /* the weights of init were taken at the start */
    SB_RESUME_PLACE      /* a run is where its directory is */
} sb_resume_verdict;

/* Whether a key may change. begun: there is a checkpoint, or given.safetensors; indexed: there is index.bin.
 */
sb_resume_verdict sb_resume_judge(const sb_config_change *change, bool begun, bool indexed);

/* Refuses a configuration with which the run cannot go on from where it is. *step: that many are done. */
int sb_resume_check(const char *run_dir, int64_t *step);

/* ./run resume: applies KEY=VALUEs to config.yaml and says what changed, or names what cannot change and
 * leaves the run as it is. The data have to be there: all of the files where data.path changes, else some. 0;
 * FINISHED: nothing is left to do but to write what a run ends with, and that is written; -1. best: the run
 * goes back to its best checkpoint, and those after it are set aside. */
enum { SB_RESUME_FINISHED = 6 };
int sb_resume(const char *run_dir, bool best, char *const *assignments, int count);

#endif
