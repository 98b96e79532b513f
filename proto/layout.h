/* layout.h: where view v of sample i lies. Augment writes it there and the trainer reads it there.
 *
 * DESIGN. Samples are numbered over the whole run. All views of one size are a class, and each class has a
 * ring of its own, sizes ascending. The views of a class are numbered too: the n-th view of a class with c
 * views, of sample i, is element i c + n of that ring, and an element's slot and generation follow from the
 * ring's length alone (ring.h). A batch's slots are held until its step is committed, so a ring has room for
 * a batch and for what augment makes ahead of it meanwhile: two chunks, at most another batch. */
#ifndef SB_PROTO_LAYOUT_H
#define SB_PROTO_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "proto/config.h" /* SB_VIEWS_MAX */

typedef struct {
    int size;                /* pixels of a side */
    int count;               /* views of this size in a sample */
    int views[SB_VIEWS_MAX]; /* which: the n-th is views[n] */
    uint32_t slots;          /* of the ring */
    size_t bytes;            /* of a view */
} sb_layout_class;

typedef struct {
    int view_count, class_count;
    sb_layout_class classes[SB_VIEWS_MAX];
    struct {
        int class, number; /* the class, and which of its views */
    } view[SB_VIEWS_MAX];
} sb_layout;

/* The layout of view_count views of these sizes, of `batch` samples of which at most `chunk` views of a size
 * (0: no bound) are worked on at once. */
void sb_layout_make(sb_layout *out, const int *sizes, int view_count, int batch, int chunk, int channels);

/* Slot `slot` of the ring of class `class`, at this generation. */
typedef struct {
    int class;
    uint32_t slot, generation;
} sb_spot;
sb_spot sb_layout_spot(const sb_layout *layout, int view, uint64_t sample);

/* The first element of a sample in the ring of a class. A ring begins with this element of its first
 * sample. */
uint64_t sb_layout_first(const sb_layout *layout, int class, uint64_t sample);

/* Slots of the ring of tiles, whose bytes are those of one: `asked`, or, where that is 0, two batches of them
 * as far as 256 MiB go, at least 8; and the spare ones, which replace those of a process that cannot be
 * killed. */
#define SB_TILE_SPARES 4
uint32_t sb_layout_tiles(int asked, int batch, size_t bytes);

#endif
