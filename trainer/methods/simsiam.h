/* simsiam.h: the loss that SimSiam and FastSiam share (simsiam.c). */
#ifndef SB_TRAINER_SIMSIAM_H
#define SB_TRAINER_SIMSIAM_H

#include "trainer/method.h"

typedef struct {
    int hidden;
    enum { SB_PREDICTOR_STEADY, SB_PREDICTOR_SCHEDULED } predictor_rate;
} sb_simsiam_keys;

/* The rows of either method's table. */
#define SB_KEYS_SIMSIAM                                                                                     \
    SB_KEY_INT(sb_simsiam_keys, hidden, "512", 1, 65536, "width of the predictor's hidden layer"),          \
        SB_KEY_CHOICE(sb_simsiam_keys, predictor_rate, "steady", "steady|scheduled",                        \
                      "steady: the predictor learns at the peak of the schedule throughout; scheduled: as " \
                      "all else")

/* The loss over all views, of which there are two or more. */
sb_t sb_simsiam_build(sb_method *method);

/* Projector and optimiser as in the paper; ends with NULL. */
extern const char *const sb_simsiam_defaults[];

#endif
