/* jpeg.h: JPEG files, decoded by libjpeg straight into memory. libvips uses the same library but copies every
 * row twice more, which for a baseline file takes a third of the time, and ends where the last row does:
 * bytes that a damaged scan left over are not seen. Limits: grey and RGB of 8 bits, as stored; CMYK is left
 * to libvips. */
#ifndef SB_LOADER_READERS_JPEG_H
#define SB_LOADER_READERS_JPEG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Warnings that never matter: an unknown version of JFIF; bytes between the segments before the first scan;
 * zeros between a scan and the marker behind it. Anything else between scan and marker may be what a damaged
 * scan did not use.
 *
 * Decodes `bytes` of a file at `data` into `pixels` [height, width, channels], channels 1 for a grey and 3
 * for a colour file. 0; 1: libvips is to try, since the file is not of this size and kind, or cannot be
 * decoded; -1: decoding gave a warning that may matter (sb_error). `pixels` then holds anything. */
int sb_jpeg_pixels(const uint8_t *data, size_t bytes, int width, int height, int channels, uint8_t *pixels);

/* A JPEG file of any kind that decodes with such warnings alone, or none? Needs twice the memory of its
 * pixels. */
bool sb_jpeg_sound(const uint8_t *data, size_t bytes);

#endif
