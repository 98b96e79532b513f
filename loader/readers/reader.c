/* reader.c: what both ways to read an image share. See reader.h. */
#include "loader/readers/reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/readers/samples.h"
#include "proto/error.h"

int sb_reader_fail(const char *path)
{
    char text[512];
    snprintf(text, sizeof text, "%s", vips_error_buffer());
    vips_error_clear();
    g_strchomp(text);
    sb_text_clean(text);
    sb_fail("%s: %s", path, text[0] ? text : "cannot be decoded");
    return 1;
}

VipsImage *sb_reader_open(const sb_samples_keys *samples, const char *path, const uint8_t *data, size_t bytes)
{
    VipsImage *image = NULL;
    const char *loader = vips_foreign_find_load_buffer(data, bytes); /* NULL: it says why */
    if (loader)
        image = vips_image_new_from_buffer(data, bytes, "", "access", VIPS_ACCESS_SEQUENTIAL, "fail_on",
                                           sb_samples_fail_on(samples, loader), NULL);
    if (!image)
        sb_reader_fail(path);
    return image;
}

VipsImage *sb_reader_open_tiff(const sb_samples_keys *samples, sb_source *s, VipsAccess access)
{
    VipsSource *source = sb_source_for_vips(s);
    VipsImage *image = NULL;
    if (!source || vips_tiffload_source(source, &image, "access", access, "fail_on",
                                        sb_samples_fail_on(samples, "Tiff"), NULL) != 0)
        sb_reader_fail(s->path);
    if (source)
        g_object_unref(source);
    return image;
}

const char *sb_reader_loader(VipsImage *image)
{
    const char *name = "";
    if (vips_image_get_string(image, VIPS_META_LOADER, &name) != 0)
        vips_error_clear();
    return name;
}

int sb_reader_normalise(const sb_samples_keys *samples, const sb_decode_source *s, sb_source *from,
                        VipsImage **image)
{
    if (sb_samples_normalise(image, samples, from, NULL) != 0) {
        sb_reader_fail(s->path);
        return 1;
    }
    if ((*image)->Xsize == s->width && (*image)->Ysize == s->height)
        return 0;
    sb_fail("%s: %d x %d pixels, %d x %d when it was indexed: the file has changed", s->path, (*image)->Xsize,
            (*image)->Ysize, s->width, s->height);
    return 1;
}

int sb_reader_look(sb_decoder *d, const sb_decode_source *s, sb_source *from, sb_levels *levels)
{
    uint8_t *file = NULL;
    VipsImage *image = NULL;
    int64_t at;
    int rc = 0;
    if (sb_pages_tiff(from)) {
        rc = sb_pages_find(&d->chains, from, s->page, &at);
        if (rc == 0) {
            sb_pages_show(from, at);
            image = sb_reader_open_tiff(&d->samples, from,
                                        s->random_access ? VIPS_ACCESS_RANDOM : VIPS_ACCESS_SEQUENTIAL);
        }
    } else if ((rc = sb_source_whole(from, &file)) == 0) {
        image = sb_reader_open(&d->samples, s->path, file, (size_t)s->bytes);
    }
    if (rc == 0 && !image)
        rc = 1;
    if (rc == 0 && sb_samples_look(&image, &d->samples, from, s->random_access, levels) != 0)
        rc = sb_reader_fail(s->path);
    if (image)
        g_object_unref(image);
    free(file);
    return rc;
}
