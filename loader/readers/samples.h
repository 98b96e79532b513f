/* samples.h: what the samples of an image mean, and how they become those that are trained on. Private to
 * loader/readers.
 *
 * Colour: grey or RGB through its profile, and alpha onto white. Alpha is what the file declares: TIFF's
 * ExtraSamples 1 and 2, the alpha of PNG, WebP and the like. Samples of which a TIFF says nothing are left
 * out beside RGB; beside grey they are refused, since then nobody knows which are the picture. data.bands,
 * and a number of channels other than 1 and 3, take samples as they are stored.
 *
 * Range: 8 bits stay; 16 bits keep the upper 8, or are spread from data.range; everything else needs
 * data.range, except floats that are linear light (scRGB) and Lab, which are defined. Not a number becomes
 * black. */
#ifndef SB_LOADER_READERS_SAMPLES_H
#define SB_LOADER_READERS_SAMPLES_H

#include <stdbool.h>
#include <vips/vips.h>

#include "loader/keys.h"
#include "loader/readers/levels.h"
#include "loader/readers/source.h"

/* Upright, 8-bit, keys->channels bands; transparency becomes white. An image that is all that stays what it
 * is. Takes *image, which was opened from `from` (of a TIFF, which shows
 * its page), and gives what became of it; -1 with libvips' error: the
 * image cannot be used, and *image stays to be freed. *left_out, unless NULL: how many samples of a pixel
 * are not used, of which the file does not say what they are. */
int sb_samples_normalise(VipsImage **image, const sb_samples_keys *keys, sb_source *from, int *left_out);

/* Whether the samples are of more than 8 bits each, or floats, so that their range is a question. */
bool sb_samples_wide(const VipsImage *image);

/* Takes samples of the image, as it was opened, into *levels, whose `values` are the caller's: those that
 * would become channels, but for alpha. From a few places where any can be read (random_access), else from
 * rows and columns of all of it. -1 with libvips' error. Takes *image as sb_samples_normalise does. */
int sb_samples_look(VipsImage **image, const sb_samples_keys *keys, sb_source *from, bool random_access,
                    sb_levels *levels);

/* Which of its reader's warnings fail an image; `loader` is libvips' name of the reader's class. */
VipsFailOn sb_samples_fail_on(const sb_samples_keys *keys, const char *loader);

/* Is what libtiff says in a warning of the pixels, and not of tags? */
bool sb_samples_warning_matters(const char *message);

#endif
