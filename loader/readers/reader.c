/* reader.c: what both ways to read an image share. See reader.h. */
#include "loader/readers/reader.h"

#include <stdio.h>
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

VipsImage *sb_reader_open(const char *path, const uint8_t *data, size_t bytes)
{
    VipsImage *image = NULL;
    if (vips_foreign_find_load_buffer(data, bytes)) /* which says why not */
        image = vips_image_new_from_buffer(data, bytes, "", "access", VIPS_ACCESS_SEQUENTIAL, "fail_on",
                                           VIPS_FAIL_ON_WARNING, NULL);
    if (!image)
        sb_reader_fail(path);
    return image;
}

VipsImage *sb_reader_open_tiff(sb_source *s, VipsAccess access)
{
    VipsSource *source = sb_source_for_vips(s);
    VipsImage *image = NULL;
    if (!source ||
        vips_tiffload_source(source, &image, "access", access, "fail_on", VIPS_FAIL_ON_WARNING, NULL) != 0)
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

int sb_reader_normalise(const sb_decoder *d, const sb_decode_source *s, VipsImage **image)
{
    if (sb_samples_normalise(image, d->channels) != 0) {
        sb_reader_fail(s->path);
        return 1;
    }
    if ((*image)->Xsize == s->width && (*image)->Ysize == s->height)
        return 0;
    sb_fail("%s: %d x %d pixels, %d x %d when it was indexed: the file has changed", s->path, (*image)->Xsize,
            (*image)->Ysize, s->width, s->height);
    return 1;
}
