/* gallery.h: what an evaluation looks at: held-out tiles, a clean view of each, and distorted views of it;
 * and clean views of labelled tiles of the training part, for what learns from labels. Beside it, a sample of
 * that part, for what is compared across the two.
 *
 * The clean view is the whole tile, resized. The distortion is fixed, the same for every recipe and every
 * run: crop 0.2 to 1 of the area, flip, jitter 0.4 / 0.4 / 0.4 / 0.1 with probability 0.5, grey 0.2, blur
 * 0.5, from stream (EVALUATE, tile, view) of seed 0. */
#ifndef SB_EVALUATOR_GALLERY_H
#define SB_EVALUATOR_GALLERY_H

#include <stdint.h>

#include "kernels/device.h"
#include "loader/index/index.h"
#include "trainer/configuration.h"

typedef struct {
    int tiles;     /* T */
    int distorted; /* D: distorted views of each tile */
    int side, channels;
    sb_tile *tile;  /* [T] */
    uint8_t *clean; /* [T, side, side, channels] */
    uint8_t
        *view;  /* [T, D, side, side, channels] behind clean, so that clean points at all T (1 + D) views */
    int learnt; /* P: of the training part; 0 where the data set has no labels */
    sb_tile *learnt_tile; /* [P]: of the grid, spread evenly over the labelled images */
    uint8_t *learnt_view; /* [P, side, side, channels] */
} sb_gallery;

/* Tiles of the training part, labelled or not, spread evenly over all images, and a clean view of each. */
typedef struct {
    int tiles;
    int64_t of; /* that there are */
    sb_tile *tile;
    uint8_t *view; /* [tiles, side, side, channels] */
} sb_gallery_sample;

/* Decodes the tiles and makes their views. Tiles that cannot be decoded are left out with a note; fewer than
 * 2 held-out ones is an error. of: another gallery, whose held-out tiles it takes; NULL: the index's. */
int sb_gallery_create(sb_gallery *out, sb_device *device, const sb_index *index, const sb_settings *config,
                      const sb_gallery *of);
void sb_gallery_free(sb_gallery *gallery);

/* At most `most` tiles, in views like the gallery's. Those that cannot be decoded are left out without a
 * note: the held-out ones of their images had one. */
int sb_gallery_take_sample(sb_gallery_sample *out, const sb_gallery *gallery, sb_device *device,
                           const sb_index *index, const sb_settings *config, int most);
void sb_gallery_free_sample(sb_gallery_sample *sample);

#endif
