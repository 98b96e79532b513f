/* unusable.h: what of the data cannot be used: an image for good, a tile of one, or an image for now.
 *
 * For good. An image that a decoder calls bad, or on which decoders crashed or hung three times, stands in
 * quarantine.jsonl and stays out, over restarts, too. More of them than data.max_bad end the run.
 *
 * A tile. Where tiles are decoded one by one, only the tile is out; but it counts against its file: the first
 * three are written down, and if these failed before any tile of the file was decoded, the file is out.
 *
 * For now. A file that could not be read (it is not there, its disk fails) says nothing of what is in it: it
 * is never written down. It is waited for for a second, then left out and tried again, when the order draws
 * it, after a pause that grows to a minute. While more files are away than data.max_bad allows to be bad,
 * they are waited for instead.
 *
 * What becomes of determinism: a sample is drawn again (order.h, attempt) until its tile can be used. Whether
 * an image or a tile is bad for good follows from the files alone, so that the weights do, too, whenever it
 * was found. Two things do not: whether a file was away for more than a second when a sample of it was due,
 * and, of a file of which some tiles are bad and others are not, whether the first three that were tried are
 * bad. */
#ifndef SB_AUGMENT_UNUSABLE_H
#define SB_AUGMENT_UNUSABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "augment/keys.h"
#include "loader/index/index.h"

typedef struct sb_unusable sb_unusable;

/* Reads quarantine.jsonl. -1, too, if more is out than data.max_bad allows. Keeps the pointers. */
int sb_unusable_create(sb_unusable **out, const char *run_dir, const sb_index *index,
                       const sb_augment_keys *keys);
void sb_unusable_destroy(sb_unusable **unusable);

typedef enum {
    SB_TILE_USABLE,
    SB_TILE_OUT,       /* another takes its place */
    SB_TILE_WAITED_FOR /* its file is away, and none takes its place yet */
} sb_tile_state;
sb_tile_state sb_unusable_tile_state(const sb_unusable *unusable, const sb_tile *tile, uint64_t now_ns);

/* What was found of a tile: its image, or it alone, cannot be used; its file cannot be read now; it was
 * decoded. A decoder crashed or hung on it, and `how`: 1 if it cannot be used any more. -1: the run cannot go
 * on. */
int sb_unusable_image(sb_unusable *unusable, const sb_tile *tile, const char *reason);
int sb_unusable_tile(sb_unusable *unusable, const sb_tile *tile, const char *reason);
int sb_unusable_away(sb_unusable *unusable, const sb_tile *tile, const char *reason, uint64_t now_ns);
void sb_unusable_decoded(sb_unusable *unusable, const sb_tile *tile);
int sb_unusable_fault(sb_unusable *unusable, const sb_tile *tile, const char *how);

/* Is told, turn by turn, whether nothing is left to do but to wait for what is away. -1: it was so for five
 * times loader.timeout. */
int sb_unusable_look(sb_unusable *unusable, bool waits, uint64_t now_ns);

/* Images out for good, and away now. */
uint32_t sb_unusable_quarantined(const sb_unusable *unusable);
uint32_t sb_unusable_away_count(const sb_unusable *unusable);

#endif
