/* centre.h: the mean of each column taken off, in groups of rows: y = x - mean, f32 [groups samples, columns]
 * of rows = n h w. Row r belongs to group r / samples (a view, a sub-batch). Means are f64's, so equal rows
 * become 0. backward: dx = dy - mean of dy over the group: what is computed is the same. */
#ifndef SB_KERNELS_OP_CENTRE_H
#define SB_KERNELS_OP_CENTRE_H

#include "kernels/op.h"

typedef struct {
    int samples; /* rows of a group */
} sb_centre_how;

#endif
