/* tiled.c: images of which only the region of a tile is decoded, and never the whole. */
#include <stdlib.h>
#include <unistd.h>

#include "loader/readers/pixels.h"
#include "loader/readers/reader.h"
#include "loader/readers/source.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "proto/process.h"

/* All of the tile that lies inside the image straight into `out`, or through a copy where it is to be
 * completed. 0; 2: this tile cannot be used; -1: a fault of the process. */
static int decode(const sb_decoder *d, const sb_decode_source *s, VipsImage *image, int left, int top,
                  int side, uint8_t *out)
{
    const int width = s->width - left < side ? s->width - left : side,
              height = s->height - top < side ? s->height - top : side;
    const bool inside = width == side && height == side;
    const size_t size = (size_t)width * (size_t)height * (size_t)d->channels;
    VipsImage *region = NULL;
    uint8_t *pixels = inside ? out : sb_grown(NULL, size, 1, "a tile's pixels");
    if (!pixels)
        return -1;
    int rc = 0;
    if (vips_extract_area(image, &region, left, top, width, height, NULL) != 0 ||
        sb_pixels_write(region, pixels) != 0) {
        sb_reader_fail(s->path);
        rc = 2;
    }
    if (rc == 0 && !inside)
        sb_pixels_tile(pixels, width, height, d->channels, 0, 0, side, out);
    if (!inside)
        free(pixels);
    if (region)
        g_object_unref(region);
    return rc;
}

int sb_tiled_tile(sb_decoder *d, const sb_decode_source *s, int left, int top, int side, uint8_t *out,
                  uint64_t *decode_ns)
{
    const uint64_t begin = sb_now();
    VipsImage *image = NULL;
    struct stat info;
    int fd, rc = sb_source_open(s->path, &fd, &info);
    if (rc == 0)
        close(fd);
    if (rc == 0 && info.st_size != s->bytes)
        rc = sb_source_changed(s->path, info.st_size, s->bytes);
    if (rc == 0 && vips_tiffload(s->path, &image, "access", VIPS_ACCESS_RANDOM, "fail_on",
                                 VIPS_FAIL_ON_WARNING, "page", s->page, NULL) != 0) {
        sb_reader_fail(s->path);
        rc = 1;
    }
    if (rc == 0)
        rc = sb_reader_normalise(d, s, &image);
    if (rc == 0)
        rc = decode(d, s, image, left, top, side, out);
    if (image)
        g_object_unref(image);
    *decode_ns += sb_now() - begin;
    return rc;
}
