/* whole.c: images that are decoded whole, into the cache, before one of their tiles is delivered. Pixels come
 * from libvips, those of JPEG files from libjpeg. A file of one image is read at once; of a TIFF only
 * the page, since there may be thousands. */
#include <stdlib.h>
#include <string.h>

#include "loader/readers/jpeg.h"
#include "loader/readers/pixels.h"
#include "loader/readers/reader.h"
#include "loader/readers/warnings.h"
#include "proto/error.h"
#include "proto/memory.h"

/* An image of pixels that were decoded, and what `opened` says of their colours. NULL: libvips' error. */
static VipsImage *image_like(VipsImage *opened, const uint8_t *pixels)
{
    const void *profile;
    size_t bytes = (size_t)opened->Xsize * (size_t)opened->Ysize * (size_t)opened->Bands;
    VipsImage *image = vips_image_new_from_memory(pixels, bytes, opened->Xsize, opened->Ysize, opened->Bands,
                                                  VIPS_FORMAT_UCHAR);
    if (!image)
        return NULL;
    image->Type = opened->Type;
    if (vips_image_get_typeof(opened, VIPS_META_ICC_NAME) &&
        vips_image_get_blob(opened, VIPS_META_ICC_NAME, &profile, &bytes) == 0)
        vips_image_set_blob_copy(image, VIPS_META_ICC_NAME, profile, bytes);
    return image;
}

/* The pixels of an opened image, which it frees, into `pixels`, not turned: s has its sides as they are
 * stored. file: where the whole file is in memory, else NULL. spare: as much memory as `pixels`, or NULL. 0;
 * 1; -1. */
static int decode_stored(const sb_samples_keys *samples, const sb_decode_source *s, VipsImage *opened,
                         sb_source *from, const uint8_t *file, uint8_t *spare, uint8_t *pixels)
{
    VipsImage *image = opened;
    g_object_ref(image);
    int rc = sb_reader_normalise(samples, s, from, &image), direct = 1;
    uint8_t *raw = pixels, *own = NULL; /* of a JPEG file that is not yet what is trained on */
    const bool jpeg = file && opened->Bands <= 3 && strncmp(sb_reader_loader(opened), "jpeg", 4) == 0,
               plain = image == opened;
    sb_warnings_forget();
    if (!plain)
        raw = opened->Bands <= samples->channels ? spare : NULL;
    if (rc == 0 && jpeg && !raw) {
        raw = own = sb_grown(NULL, (size_t)s->width * (size_t)s->height, (size_t)opened->Bands,
                             "an image's pixels");
        rc = raw ? 0 : SB_DECODE_FAULT;
    }
    if (rc == 0 && jpeg)
        direct = sb_jpeg_pixels(file, (size_t)s->bytes, s->width, s->height, opened->Bands, raw);
    if (direct < 0 && samples->warnings == SB_WARNINGS_REFUSE) {
        sb_context("%s", s->path);
        rc = 1;
    }
    if (rc == 0 && direct == 0 && !plain) {
        g_object_unref(image);
        image = image_like(opened, raw);
        rc = image ? sb_reader_normalise(samples, s, from, &image) : sb_reader_fail(s->path);
    }
    if (rc == 0 && !(direct == 0 && plain) && sb_pixels_write(image, pixels) != 0)
        rc = sb_reader_fail(s->path);
    if (rc == 0 && !file && sb_warnings_check(samples, s->path) != 0)
        rc = 1;
    g_object_unref(opened);
    if (image)
        g_object_unref(image);
    free(own);
    return rc;
}

/* Turns the pixels of s, as they are stored, upright. 0; 1. */
static int turn(const sb_decode_source *s, int orientation, int channels, const uint8_t *stored,
                uint8_t *pixels)
{
    VipsImage *image = vips_image_new_from_memory(stored,
                                                  (size_t)s->width * (size_t)s->height * (size_t)channels,
                                                  s->width, s->height, channels, VIPS_FORMAT_UCHAR),
              *turned = NULL;
    if (image)
        vips_image_set_int(image, VIPS_META_ORIENTATION, orientation);
    const int rc = !image || vips_autorot(image, &turned, NULL) != 0 || sb_pixels_write(turned, pixels) != 0
                       ? sb_reader_fail(s->path)
                       : 0;
    if (turned)
        g_object_unref(turned);
    if (image)
        g_object_unref(image);
    return rc;
}

/* As decode_stored, upright. What is read from the top to the bottom cannot be turned on the way. */
static int decode(const sb_samples_keys *samples, const sb_decode_source *s, VipsImage *opened,
                  sb_source *from, const uint8_t *file, uint8_t *pixels)
{
    const int orientation = vips_image_get_orientation(opened);
    if (orientation <= 1)
        return decode_stored(samples, s, opened, from, file, NULL, pixels);
    sb_decode_source as_stored = *s;
    if (orientation >= 5) {
        as_stored.width = s->height;
        as_stored.height = s->width;
    }
    VipsImage *unturned = NULL;
    uint8_t *stored = sb_grown(NULL, (size_t)s->width * (size_t)s->height, (size_t)samples->channels,
                               "an image's pixels, to be turned");
    int rc = stored ? 0 : SB_DECODE_FAULT;
    if (rc == 0 && vips_copy(opened, &unturned, NULL) != 0)
        rc = sb_reader_fail(s->path);
    g_object_unref(opened);
    if (rc == 0) {
        vips_autorot_remove_angle(unturned);
        rc = decode_stored(samples, &as_stored, unturned, from, file, pixels, stored);
    }
    if (rc == 0)
        rc = turn(&as_stored, orientation, samples->channels, stored, pixels);
    free(stored);
    return rc;
}

static int read_page(sb_decoder *d, const sb_decode_source *s, sb_source *from, uint8_t *pixels)
{
    int64_t at;
    const int rc = sb_pages_find(&d->chains, from, s->page, &at);
    if (rc != 0)
        return rc;
    sb_pages_show(from, at);
    VipsImage *image = sb_reader_open_tiff(&d->samples, from, VIPS_ACCESS_SEQUENTIAL);
    return image ? decode(&d->samples, s, image, from, NULL, pixels) : 1;
}

static int decode_file(const sb_samples_keys *samples, const sb_decode_source *s, sb_source *from,
                       const uint8_t *file, uint8_t *pixels)
{
    VipsImage *image = sb_reader_open(samples, s->path, file, (size_t)s->bytes);
    return image ? decode(samples, s, image, from, file, pixels) : 1;
}

static int read_file(const sb_decoder *d, const sb_decode_source *s, sb_source *from, uint8_t *pixels)
{
    uint8_t *file;
    int rc = sb_source_whole(from, &file);
    if (rc != 0)
        return rc;
    rc = decode_file(&d->samples, s, from, file, pixels);
    if (rc == 1 && sb_jpeg_sound(file, (size_t)s->bytes)) { /* its warnings are of those that never matter */
        sb_samples_keys lenient = d->samples;
        lenient.warnings = SB_WARNINGS_ACCEPT;
        rc = decode_file(&lenient, s, from, file, pixels);
    }
    free(file);
    return rc;
}

/* Decodes the image into the cache. A verdict. */
static int read_image(sb_decoder *d, const sb_decode_source *s, const sb_cached **out)
{
    const size_t size = (size_t)s->width * (size_t)s->height * (size_t)d->samples.channels;
    sb_cached image = { .path = (char *)s->path, .page = s->page, .width = s->width, .height = s->height };
    sb_source from;
    if (size > d->cache.most) {
        sb_fail("%s: %d x %d pixels do not fit %zu MiB (loader.cache_mb)", s->path, s->width, s->height,
                d->cache.most >> 20);
        return SB_DECODE_IMAGE;
    }
    int rc = sb_source_open(&from, s->path, s->bytes, &d->reading);
    if (rc != 0)
        return rc;
    sb_cache_make_room(&d->cache, size);
    image.pixels = sb_cache_take(&d->cache, size, &image.bytes);
    rc = !image.pixels          ? SB_DECODE_FAULT
         : sb_pages_tiff(&from) ? read_page(d, s, &from, image.pixels)
                                : read_file(d, s, &from, image.pixels);
    if (rc != SB_DECODE_FAULT)
        rc = sb_source_verdict(&from, rc);
    sb_source_close(&from);
    if (rc != 0) {
        free(image.pixels);
        return rc;
    }
    *out = sb_cache_keep(&d->cache, &image);
    return *out ? SB_DECODE_OK : SB_DECODE_FAULT;
}

int sb_whole_tile(sb_decoder *d, const sb_decode_source *s, int left, int top, int side, uint8_t *out)
{
    const sb_cached *image = sb_cache_find(&d->cache, s->path, s->page);
    const int rc = image ? SB_DECODE_OK : read_image(d, s, &image);
    if (rc == 0)
        sb_pixels_tile(image->pixels, image->width, image->height, d->samples.channels, left, top, side, out);
    return rc;
}
