/* layout.c: see layout.h. */
#include "proto/layout.h"

#include <string.h>

#define TILE_BYTES ((size_t)256 << 20)
#define TILES_LEAST 8

/* The class of a size, put in order where there is none yet. */
static sb_layout_class *class_of(sb_layout *l, int size)
{
    int at = 0;
    while (at < l->class_count && l->classes[at].size < size)
        at++;
    sb_layout_class *k = &l->classes[at];
    if (at < l->class_count && k->size == size)
        return k;
    memmove(k + 1, k, (size_t)(l->class_count - at) * sizeof *k);
    l->class_count++;
    *k = (sb_layout_class){ .size = size };
    return k;
}

void sb_layout_make(sb_layout *l, const int *sizes, int view_count, int batch, int chunk, int channels)
{
    *l = (sb_layout){ .view_count = view_count };
    for (int v = 0; v < view_count; v++) {
        sb_layout_class *k = class_of(l, sizes[v]);
        k->views[k->count++] = v;
    }
    for (int c = 0; c < l->class_count; c++) {
        sb_layout_class *k = &l->classes[c];
        uint32_t held = (uint32_t)batch * (uint32_t)k->count, ahead = 2 * (uint32_t)chunk;
        k->slots = held + (chunk == 0 || ahead > held ? held : ahead);
        k->bytes = (size_t)k->size * (size_t)k->size * (size_t)channels;
        for (int n = 0; n < k->count; n++) {
            l->view[k->views[n]].class = c;
            l->view[k->views[n]].number = n;
        }
    }
}

uint64_t sb_layout_first(const sb_layout *l, int class, uint64_t sample)
{
    return sample * (uint64_t)l->classes[class].count;
}

sb_spot sb_layout_spot(const sb_layout *l, int view, uint64_t sample)
{
    const int class = l->view[view].class;
    const uint32_t slots = l->classes[class].slots;
    uint64_t element = sb_layout_first(l, class, sample) + (uint64_t)l->view[view].number;
    return (sb_spot){ .class = class,
                      .slot = (uint32_t)(element % slots),
                      .generation = (uint32_t)(element / slots) };
}

uint32_t sb_layout_tiles(int asked, int batch, size_t bytes)
{
    const size_t fit = TILE_BYTES / bytes, two = 2 * (size_t)batch, most = two < fit ? two : fit,
                 chosen = most > TILES_LEAST ? most : TILES_LEAST;
    return (uint32_t)(asked > 0 ? (size_t)asked : chosen) + SB_TILE_SPARES;
}
