/* leak.h: whether a network tells images by the statistics of the views that share a norm with them, instead
 * of by what is to be seen in them ("the leak" of batch norm: He et al. 2020, section 3.3, who shuffle views
 * over devices against it).
 *
 * As replicas (trainer.replicas) all views of a sample are in one group. Every trainer.leak_every steps the
 * loss is computed again with the later views in other groups. The two losses are the same in the mean,
 * unless the network leans on the groups: then the second is higher. A batch in chunks needs no look: its
 * later views are permuted in every step. SB_LEAK_LOOKS looks in which it is higher by SB_LEAK_ERRORS
 * standard errors of their mean, and by SB_LEAK_SHARE of the loss's size, are a leak. */
#ifndef SB_TRAINER_LEAK_H
#define SB_TRAINER_LEAK_H

#include <stdbool.h>

#define SB_LEAK_LOOKS 8
#define SB_LEAK_ERRORS 4.0
#define SB_LEAK_SHARE 0.02

typedef struct {
    double gaps[SB_LEAK_LOOKS], losses[SB_LEAK_LOOKS]; /* of the last looks, in a ring */
    int looks;                                         /* so far */
    double gap, loss;                                  /* their means */
    bool leaks;
} sb_leak;

/* Takes a look: the loss of a step, and by how much it is higher with other groups; numbers. Whether this
 * look makes it a leak, which it does once. */
bool sb_leak_look(sb_leak *leak, double loss, double gap);

#endif
