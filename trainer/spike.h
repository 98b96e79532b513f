/* spike.h: whether the loss has jumped up and stays there, as it does where training comes apart.
 *
 * A step is high if its loss lies above the median of the SB_SPIKE_WINDOW steps before the latest
 * SB_SPIKE_LATEST by more than SB_SPIKE_DEVIATIONS of their deviations (by the median of distances, which a
 * few wild steps do not move), and by more than SB_SPIKE_SHARE of the median. SB_SPIKE_HIGH high steps among
 * the latest are a spike: one odd batch is none. A loss that rises at an even pace makes none either: what it
 * rises in the window is its deviation. Until the window is full nothing is said. */
#ifndef SB_TRAINER_SPIKE_H
#define SB_TRAINER_SPIKE_H

#include <stdbool.h>

#define SB_SPIKE_WINDOW 50
#define SB_SPIKE_LATEST 5
#define SB_SPIKE_HIGH 3
#define SB_SPIKE_DEVIATIONS 6.0
#define SB_SPIKE_SHARE 0.02

typedef struct {
    double losses[SB_SPIKE_WINDOW + SB_SPIKE_LATEST]; /* of the last steps, in a ring */
    long steps;                                       /* so far */
    double usual, bound;                              /* the median, and what is high, at the last step */
    bool lasts;                                       /* a spike was said, and is not over */
} sb_spike;

/* Takes a step's loss, a number. Whether it makes it a spike, which is so once until one is over. */
bool sb_spike_look(sb_spike *spike, double loss);

#endif
