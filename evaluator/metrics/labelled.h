/* labelled.h: what a probe learns from and is asked, and what is right. */
#ifndef SB_EVALUATOR_LABELLED_H
#define SB_EVALUATOR_LABELLED_H

#include "evaluator/metrics/classifier.h"
#include "evaluator/metrics/metrics.h"
#include "proto/random.h"

/* The training part and the held-out labelled tiles as the probe takes them: standardised by mean
 * and deviation over the training part, with a column of ones; labels renumbered to the classes that the
 * training part has, UINT32_MAX of a held-out tile of another class. 1; 0: there are no two classes to learn,
 * or no held-out tile has a label; -1. */
typedef struct {
    sb_classified learnt, held;
    const uint32_t *learnt_group;       /* [learnt.rows] */
    uint32_t *held_group, *held_number; /* [held.rows]: group; class, numbered among the held-out tiles' */
    int held_classes;
    double *tally; /* [2, held_classes], to count in */
    float *x;      /* the memory of what stands above */
    uint32_t *facts;
} sb_labelled;
int sb_labelled_create(sb_labelled *out, const sb_features *features);
void sb_labelled_free(sb_labelled *labelled);
/* Of each held-out tile how many classes score higher than its own (equal ones: in their order), into
 * above[held.rows]; all, where the training part lacks its class. */
void sb_labelled_above(const sb_labelled *labelled, const float *scores, int *above);
/* The mean over the classes of the held-out tiles of the share that is right (above 0). times[held.rows]: how
 * often each tile counts; NULL: once. */
double sb_labelled_balanced(const sb_labelled *labelled, const int *above, const int *times);
/* What guessing gives. Reads no features. */
double sb_labelled_chance(const sb_features *features);
/* Distinct numbers of id[rows], ascending, into out[rows]; returns how many. */
int sb_labelled_distinct(const uint32_t *id, int rows, uint32_t *out);
/* What is drawn for a probe: a stream for each pair of numbers. */
sb_random sb_labelled_draws(uint32_t a, uint32_t b);

#endif
