/* normal.h: normal numbers from a random stream (Box and Muller 1958), for initial weights and for what a
 * method draws. */
#ifndef SB_TRAINER_NORMAL_H
#define SB_TRAINER_NORMAL_H

#include <stddef.h>

#include "proto/random.h"

/* out [count]: of mean 0 and this standard deviation. */
void sb_normals(sb_random *random, double deviation, float *out, size_t count);

#endif
