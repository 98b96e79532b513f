/* state.c: see state.h. */
#include "trainer/graph/state.h"

#include <stdlib.h>

#include "kernels/share/codes.h"
#include "proto/memory.h"

bool sb_state_has(const sb_entry *e) { return e->kind == SB_ENTRY_WEIGHT && !e->fixed; }

bool sb_state_coded(const sb_state_layout *l, const sb_entry *e)
{
    return l->coded && e->extent.decayed && e->count >= SB_STATE_CODED_LEAST;
}

int sb_state_layout_make(sb_state_layout *out, const sb_store *store, bool coded)
{
    *out = (sb_state_layout){ .coded = coded };
    out->at = sb_zeroed((size_t)store->count, sizeof *out->at, "the layout of the optimiser's state");
    if (!out->at)
        return -1;
    for (int i = 0; i < store->count; i++) {
        const sb_entry *e = &store->entries[i];
        out->at[i] = out->floats;
        if (sb_state_has(e))
            out->floats += sb_state_coded(out, e) ? sb_codes_blocks(e->count) + (e->count + 3) / 4 : e->count;
    }
    return 0;
}

void sb_state_layout_free(sb_state_layout *l)
{
    free(l->at);
    *l = (sb_state_layout){ 0 };
}

uint8_t *sb_state_codes(const sb_state_layout *l, const sb_store *store, int i, float *array)
{
    return (uint8_t *)(array + l->at[i] + sb_codes_blocks(store->entries[i].count));
}
