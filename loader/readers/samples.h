/* samples.h: what the samples of an image mean, and how they become those that are trained on. Private to
 * loader/readers. */
#ifndef SB_LOADER_READERS_SAMPLES_H
#define SB_LOADER_READERS_SAMPLES_H

#include <vips/vips.h>

/* Upright, 8-bit, `channels` bands; transparency becomes white. An image that is all that stays what it is.
 * Takes *image and gives what became of it; -1 with libvips' error: the image cannot be used, and *image
 * stays to be freed. */
int sb_samples_normalise(VipsImage **image, int channels);

#endif
