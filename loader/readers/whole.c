/* whole.c: images that are decoded whole, into the cache, before one of their tiles is delivered. Pixels come
 * from libvips, those of plain JPEG files from libjpeg. */
#include <stdlib.h>
#include <string.h>

#include "loader/readers/jpeg.h"
#include "loader/readers/pixels.h"
#include "loader/readers/reader.h"
#include "loader/readers/source.h"
#include "proto/error.h"
#include "proto/process.h"

/* The pixels of a file in memory. 0; 1: the image cannot be used; -1: a fault of the process. */
static int decode(sb_decoder *d, const sb_decode_source *s, const uint8_t *file, sb_cached *out)
{
    const size_t size = (size_t)s->width * (size_t)s->height * (size_t)d->channels, bytes = (size_t)s->bytes;
    sb_cache_make_room(&d->cache, size);
    VipsImage *opened = sb_reader_open(s->path, s->page, file, bytes), *image = opened;
    if (image)
        g_object_ref(image);
    int rc = image ? sb_reader_normalise(d, s, &image) : 1;
    if (rc == 0 && !(out->pixels = sb_cache_take(&d->cache, size, &out->bytes)))
        rc = -1;
    const bool plain = rc == 0 && image == opened && strncmp(sb_reader_loader(image), "jpeg", 4) == 0;
    if (rc == 0 && !(plain && sb_jpeg_pixels(file, bytes, s->width, s->height, d->channels, out->pixels)) &&
        sb_pixels_write(image, out->pixels) != 0) {
        sb_reader_fail(s->path);
        rc = 1;
    }
    if (opened)
        g_object_unref(opened);
    if (image)
        g_object_unref(image);
    return rc;
}

/* Decodes the image into the cache. 0; 1; -1. */
static int read_image(sb_decoder *d, const sb_decode_source *s, const sb_cached **out, uint64_t *read_ns,
                      uint64_t *decode_ns)
{
    const uint64_t begin = sb_now();
    uint8_t *file;
    sb_cached image = { .path = (char *)s->path, .page = s->page, .width = s->width, .height = s->height };
    if ((size_t)s->width * (size_t)s->height * (size_t)d->channels > d->cache.most) {
        sb_fail("%s: %d x %d pixels do not fit %zu MiB (loader.cache_mb)", s->path, s->width, s->height,
                d->cache.most >> 20);
        return 1;
    }
    int rc = sb_source_read(s->path, s->bytes, &file);
    const uint64_t middle = sb_now();
    *read_ns += middle - begin;
    if (rc != 0)
        return rc;
    rc = decode(d, s, file, &image);
    free(file);
    *decode_ns += sb_now() - middle;
    if (rc != 0) {
        free(image.pixels);
        return rc;
    }
    *out = sb_cache_keep(&d->cache, &image);
    return *out ? 0 : -1;
}

int sb_whole_tile(sb_decoder *d, const sb_decode_source *s, int left, int top, int side, uint8_t *out,
                  uint64_t *read_ns, uint64_t *decode_ns)
{
    const sb_cached *image = sb_cache_find(&d->cache, s->path, s->page);
    const int rc = image ? 0 : read_image(d, s, &image, read_ns, decode_ns);
    if (rc != 0)
        return rc;
    const uint64_t begin = sb_now();
    sb_pixels_tile(image->pixels, image->width, image->height, d->channels, left, top, side, out);
    *decode_ns += sb_now() - begin;
    return 0;
}
