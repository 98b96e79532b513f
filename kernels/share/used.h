/* used.h: how many of a queue's rows, or of the columns that they make, count in this step: a number that is
 * read on the device (an f32 value, since it is a leaf of a graph). */
#ifndef SB_KERNELS_SHARE_USED_H
#define SB_KERNELS_SHARE_USED_H

#include "kernels/share/share.h"

/* *used, of at most `most`: a value below 0 is 0, and one above `most` is `most`; `none` where used is NULL.
 */
SB_SHARED int sb_used(const float *used, int most, int none)
{
    if (!used)
        return none;
    if (!(*used > 0))
        return 0;
    return *used < (float)most ? (int)*used : most;
}

#endif
