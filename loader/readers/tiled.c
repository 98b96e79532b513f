/* tiled.c: images of which only the region of a tile is decoded, and never the whole. */
#include <stdlib.h>

#include "loader/readers/pixels.h"
#include "loader/readers/reader.h"
#include "loader/readers/warnings.h"
#include "proto/memory.h"

/* All of the tile that lies inside the image straight into `out`, or through a copy where it is to be
 * completed. 0; 2; -1. */
static int decode(const sb_decoder *d, const sb_decode_source *s, VipsImage *image, int left, int top,
                  int side, uint8_t *out)
{
    const int width = s->width - left < side ? s->width - left : side,
              height = s->height - top < side ? s->height - top : side;
    const bool inside = width == side && height == side;
    const size_t size = (size_t)width * (size_t)height * (size_t)d->samples.channels;
    VipsImage *region = NULL;
    uint8_t *pixels = inside ? out : sb_grown(NULL, size, 1, "a tile's pixels");
    if (!pixels)
        return SB_DECODE_FAULT;
    int rc = 0;
    sb_warnings_forget();
    if (vips_extract_area(image, &region, left, top, width, height, NULL) != 0 ||
        sb_pixels_write(region, pixels) != 0) {
        sb_reader_fail(s->path);
        rc = SB_DECODE_TILE;
    } else if (sb_warnings_check(&d->samples, s->path) != 0) {
        rc = SB_DECODE_TILE;
    }
    if (rc == 0 && !inside)
        sb_pixels_tile(pixels, width, height, d->samples.channels, 0, 0, side, out);
    if (!inside)
        free(pixels);
    if (region)
        g_object_unref(region);
    return rc;
}

int sb_tiled_tile(sb_decoder *d, const sb_decode_source *s, int left, int top, int side, uint8_t *out)
{
    VipsImage *image = NULL;
    sb_source from;
    int64_t at;
    int rc = sb_source_open(&from, s->path, s->bytes, &d->reading);
    if (rc != 0)
        return rc;
    rc = sb_pages_find(&d->chains, &from, s->page, &at);
    if (rc == 0) {
        sb_pages_show(&from, at);
        image = sb_reader_open_tiff(&d->samples, &from, VIPS_ACCESS_RANDOM);
        rc = image ? sb_reader_normalise(&d->samples, s, &from, &image) : SB_DECODE_IMAGE;
    }
    if (rc == 0)
        rc = decode(d, s, image, left, top, side, out);
    if (image)
        g_object_unref(image);
    if (rc != SB_DECODE_FAULT)
        rc = sb_source_verdict(&from, rc);
    sb_source_close(&from);
    return rc;
}
