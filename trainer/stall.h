/* stall.h: whether a run learns nothing: its steps change no weight to speak of, or what they changed has
 * changed nothing.
 *
 * A step is still if it was skipped (f16), or its gradient is shorter than SB_STALL_GRADIENT of the mean over
 * the run's first steps, of which half of SB_STALL_FIRST were not skipped by then. SB_STALL_STILL still steps
 * in a row are a stall.
 *
 * The first steps are a twentieth of the run, at least SB_STALL_FIRST. When a third of it is done, and at
 * least SB_STALL_STEPS steps, as many last steps are held against the first: where neither the mean loss nor
 * the mean length of the gradient differs by SB_STALL_ERRORS standard errors, nothing was learnt. A shorter
 * run is not looked at so. A loss that stops to fall later is no stall: with most methods features go on to
 * change, and some losses rise in good runs. */
#ifndef SB_TRAINER_STALL_H
#define SB_TRAINER_STALL_H

#include <stdbool.h>
#include <stdint.h>

#define SB_STALL_GRADIENT 1e-4
#define SB_STALL_STILL 100
#define SB_STALL_FIRST 50
#define SB_STALL_STEPS 200
#define SB_STALL_ERRORS 3.0

/* Of some values: how many, their mean, and the sum of squared distances to it. */
typedef struct {
    int64_t count;
    double mean, squares;
} sb_stall_mean;

typedef struct {
    struct {
        sb_stall_mean loss, gradient;
    } first, last;
    int still;
} sb_stall;

typedef enum { SB_STALL_NONE, SB_STALL_NO_GRADIENT, SB_STALL_NO_CHANGE } sb_stall_found;

/* Takes step `step` (from 1) of `steps`; gradient: its length, NAN of one that was skipped. What this step
 * makes it; each is said once, no gradient again when one that lasted is over. */
sb_stall_found sb_stall_look(sb_stall *stall, int64_t step, int64_t steps, double loss, double gradient);

#endif
