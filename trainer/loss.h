/* loss.h: a method's loss and its gradient for embeddings from files (./run loss), for whoever compares them
 * with code of their own. It runs what training runs behind the projector (step/step.h). */
#ifndef SB_TRAINER_LOSS_H
#define SB_TRAINER_LOSS_H

#include <stdint.h>

typedef struct {
    char **arguments; /* the method; a file for each view, FILE.npy; KEY=VALUEs */
    int argument_count;
    char **targets; /* a file for each view: the target network's embeddings; none: the views' */
    int target_count;
    const char *arrays; /* folder with arrays of the method's own; NULL: as they begin, from `seed` */
    const char *guides; /* folder with COLUMN.npy for each key guide.COLUMN: f32 [N], NAN: nothing is said.
                           Whole numbers from 0 are classes. NULL: classes 0 and 1 in turn */
    const char *places; /* i32 [N, 4]: image, left, top and side of the tile that each sample is of. Those
                           that overlap are no negatives of each other. NULL: none overlap */
    const char *images; /* i32 [N]: which image each sample is of, for methods that keep something for each;
                           NULL: each of one of its own. There are 2 N, or as many as are numbered */
    const char *out;    /* folder for what comes out */
    int64_t step;       /* of trainer.steps */
} sb_loss_request;

/* Prints "loss VALUE". Refuses to replace a file that it reads. Writes into the folder `out`:
 *     gradient.V.npy      f32 [N, d], at the embeddings of view V
 *     arrays/NAME.npy     what the method has of its own (predictor, prototypes, queues), as the loss saw it
 *     gradients/NAME.npy  at each of these that is learnt
 *     after/NAME.npy      as a step leaves them behind, without the optimiser's part: queues, averages
 * `arrays` may name such a folder: a file replaces an array, in its shape. */
int sb_loss(const sb_loss_request *request);

#endif
