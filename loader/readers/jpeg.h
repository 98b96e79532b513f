/* jpeg.h: plain JPEG files, decoded by libjpeg straight into the memory they are kept in. libvips uses the
 * same library but copies every row twice more, which for a baseline file takes a third of the time. Limits:
 * grey and RGB of 8 bits, as stored. Whatever else a file needs (rotation, a profile, CMYK) is left to
 * libvips, and so is every verdict on a file. */
#ifndef SB_LOADER_READERS_JPEG_H
#define SB_LOADER_READERS_JPEG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decodes `bytes` of a file at `data` into `pixels` [height, width, channels], channels 1 for a grey and 3
 * for a colour file. false: the file is not of this size and kind, or decoding it was not free of warnings;
 * `pixels` then holds anything. */
bool sb_jpeg_pixels(const uint8_t *data, size_t bytes, int width, int height, int channels, uint8_t *pixels);

#endif
