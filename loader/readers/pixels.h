/* pixels.h: pixels from where libvips has them to where they are wanted. Private to loader/readers. */
#ifndef SB_LOADER_READERS_PIXELS_H
#define SB_LOADER_READERS_PIXELS_H

#include <stdint.h>
#include <vips/vips.h>

/* Computes the 8-bit image into `pixels` [height, width, bands]. 0, or -1 with libvips' error. */
int sb_pixels_write(VipsImage *image, uint8_t *pixels);

/* Copies the tile [side, side, channels] at (left, top) out of an area [height, width, channels] whose corner
 * is pixel (0, 0); what is beyond the right and lower edge mirrors, again and again, what of the tile is
 * inside. */
void sb_pixels_tile(const uint8_t *area, int width, int height, int channels, int left, int top, int side,
                    uint8_t *out);

#endif
