/* leak.c: see leak.h. */
#include "trainer/leak.h"

#include <math.h>

bool sb_leak_look(sb_leak *l, double loss, double gap)
{
    double squares = 0, size = 0;
    l->gaps[l->looks % SB_LEAK_LOOKS] = gap;
    l->losses[l->looks % SB_LEAK_LOOKS] = loss;
    l->looks++;
    const int count = l->looks < SB_LEAK_LOOKS ? l->looks : SB_LEAK_LOOKS;
    l->gap = l->loss = 0;
    for (int i = 0; i < count; i++) {
        l->gap += l->gaps[i] / count;
        l->loss += l->losses[i] / count;
        size += fabs(l->losses[i]) / count;
    }
    for (int i = 0; i < count; i++)
        squares += (l->gaps[i] - l->gap) * (l->gaps[i] - l->gap);
    const double error = sqrt(squares / (SB_LEAK_LOOKS - 1) / SB_LEAK_LOOKS);
    if (l->leaks || count < SB_LEAK_LOOKS || l->gap <= SB_LEAK_ERRORS * error ||
        l->gap <= SB_LEAK_SHARE * size)
        return false;
    l->leaks = true;
    return true;
}
