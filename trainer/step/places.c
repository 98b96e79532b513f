/* places.c: where the samples of a batch lie (kernels/share/overlap.h), in a step: a loss over pairs of them
 * is given it where some overlap. Behind the batch's stand those of a bank, which are zeros: without a side,
 * they overlap nothing. */
#include "trainer/overlap.h"
#include "trainer/step/private.h"

int sb_step_ask_places(sb_step *s, const sb_step_source *source)
{
    s->overlapping = false;
    for (int k = 0; k < s->loss->leaf_count && source->places; k++) {
        if (s->method.given[k].kind != SB_GIVEN_PLACES)
            continue;
        sb_square *places = (sb_square *)(void *)(s->given_host + s->given_offset[k]);
        if (source->places(source->context, places) != 0)
            return -1;
        s->overlapping = sb_any_overlap(places, s->method.batch, s->places_sorted);
    }
    return 0;
}
