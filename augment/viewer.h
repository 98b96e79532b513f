/* viewer.h: makes views of tiles on any device. Tiles are read from host memory and views written to it.
 *
 * On a GPU, uploading a tile, making its views and downloading them have a stream each. Up to SB_VIEWER_DEPTH
 * tiles are under way, so one tile is uploaded while the one before is worked on. Where host memory is the
 * device's, begin makes the views at once. The viewer owns its device memory. */
#ifndef SB_AUGMENT_VIEWER_H
#define SB_AUGMENT_VIEWER_H

#include "augment/keys.h"
#include "kernels/op/view.h"

#define SB_VIEWER_DEPTH SB_MARKS

typedef struct sb_viewer sb_viewer;

/* For tiles of keys->data and up to all of keys->views of one. Keeps the device. Where its memory is not
 * enough the error says what to lower, and it returns SB_DEVICE_FULL. */
int sb_viewer_create(sb_viewer **out, sb_device *device, const sb_augment_keys *keys);

/* Waits for what is under way; tolerates NULL. */
void sb_viewer_destroy(sb_viewer **viewer);

/* Starts the views of one tile; `tile` and out[i] are the viewer's until its end. At most SB_VIEWER_DEPTH
 * begins without an end. */
int sb_viewer_begin(sb_viewer *viewer, const uint8_t *tile, int width, int height,
                    const sb_view_params *params, int count, uint8_t *const *out);

/* Ends the oldest: its views lie in out[i]. */
int sb_viewer_end(sb_viewer *viewer);

/* How many tiles are worth having under way: 1 where begin does all the work. */
int sb_viewer_depth(const sb_viewer *viewer);

#endif
