/* view.h: draws the parameters of a view. The one place where chance meets a view: devices only receive what
 * is drawn here. */
#ifndef SB_AUGMENT_VIEW_H
#define SB_AUGMENT_VIEW_H

#include "augment/keys.h"
#include "kernels/op/view.h"
#include "proto/random.h"

/* Draws from `random` (its place in the stream moves on by a number of draws that may depend on what was
 * drawn). The crop is torchvision's RandomResizedCrop.get_params (ten tries, then the central crop of the
 * nearest ratio); jitter factors are uniform in [max(0, 1 - s), 1 + s], hue in [-h, h] turns. */
void sb_view_draw(const sb_view_keys *keys, int tile_width, int tile_height, sb_random *random,
                  sb_view_params *out);

/* View `view` of the sample at (epoch, position), as the recipe has it: what a run trains on. */
void sb_view_of_sample(const sb_augment_keys *keys, uint32_t epoch, uint32_t position, int view,
                       int tile_width, int tile_height, sb_view_params *out);

/* The whole tile, resized: the clean view. */
void sb_view_clean(int tile_width, int tile_height, int size, sb_view_params *out);

#endif
