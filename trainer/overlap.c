/* overlap.c: see overlap.h. */
#include "trainer/overlap.h"

#include <stdlib.h>
#include <string.h>

/* By image, and within one from left to right. */
static int by_left(const void *a, const void *b)
{
    const sb_square *x = a, *y = b;
    return x->image != y->image ? (x->image > y->image) - (x->image < y->image)
                                : (x->left > y->left) - (x->left < y->left);
}

bool sb_any_overlap(const sb_square *places, int count, sb_square *sorted)
{
    memcpy(sorted, places, (size_t)count * sizeof *sorted);
    qsort(sorted, (size_t)count, sizeof *sorted, by_left);
    for (int i = 0; i < count; i++) {
        const int64_t end = (int64_t)sorted[i].left + sorted[i].side;
        for (int k = i + 1; k < count && sorted[k].image == sorted[i].image && sorted[k].left < end; k++)
            if (sb_overlap(&sorted[i], &sorted[k]))
                return true;
    }
    return false;
}
