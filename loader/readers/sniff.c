/* sniff.c: see sniff.h. */
#include "loader/readers/sniff.h"

#include <string.h>
#include <vips/vips.h>

#include "loader/readers/source.h"

#define HEAD 4096
#define READERS "VipsForeignLoad" /* begins the names of readers */

/* The names that libvips gives its readers: "VipsForeignLoadJpegBuffer". */
static const struct {
    const char *part, *name;
    sb_sniffed kind;
} formats[] = {
    { "Jpeg", "JPEG", SB_SNIFF_IMAGE },
    { "Png", "PNG", SB_SNIFF_IMAGE },
    { "Tiff", "TIFF", SB_SNIFF_IMAGE },
    { "Webp", "WebP", SB_SNIFF_IMAGE },
    { "gif", "GIF", SB_SNIFF_IMAGE },
    { "Heif", "HEIF or AVIF", SB_SNIFF_IMAGE },
    { "Jp2k", "JPEG 2000", SB_SNIFF_IMAGE },
    { "Jxl", "JPEG XL", SB_SNIFF_IMAGE },
    { "Svg", "SVG", SB_SNIFF_DOCUMENT },
    { "Pdf", "PDF", SB_SNIFF_DOCUMENT },
    { "Ppm", "PPM", SB_SNIFF_IMAGE },
    { "OpenSlide", "a slide", SB_SNIFF_IMAGE },
    { "Openexr", "OpenEXR", SB_SNIFF_IMAGE },
    { "Fits", "FITS", SB_SNIFF_IMAGE },
    { "Rad", "Radiance", SB_SNIFF_IMAGE },
    { "Vips", "VIPS", SB_SNIFF_IMAGE },
    { "Magick", "a format of ImageMagick", SB_SNIFF_IMAGE },
};

/* What libvips calls the reader of an open file; NULL: it has none, or, with newer libvips (8.16 does), a
 * blocked one. */
static const char *find_open(sb_source *s)
{
    char head[HEAD];
    VipsSource *source = sb_source_for_vips(s);
    const char *reader = source ? vips_foreign_find_load_source(source) : NULL;
    const int64_t bytes = reader ? 0 : sb_source_read(s, 0, head, sizeof head);
    if (bytes > 0) /* some are known by their first bytes alone */
        reader = vips_foreign_find_load_buffer(head, (size_t)bytes);
    if (source)
        g_object_unref(source);
    vips_error_clear();
    return reader;
}

/* The same, of those that are blocked, too. */
static const char *find_reader(sb_source *s, bool untrusted)
{
    const char *reader = find_open(s);
    if (!reader && !untrusted) {
        vips_block_untrusted_set(false);
        reader = find_open(s);
        vips_block_untrusted_set(true);
    }
    return reader;
}

sb_sniffed sb_sniff(const char *path, bool untrusted, const char **format, bool *trusted)
{
    sb_reading ignored = { 0 };
    sb_source source;
    *format = "";
    *trusted = true;
    if (sb_source_open(&source, path, 0, &ignored) != 0) /* a pipe is not waited for */
        return SB_SNIFF_NONE;
    const char *reader = find_reader(&source, untrusted);
    const int failed = source.failed;
    sb_source_close(&source);
    if (!reader)
        return failed == 0 ? SB_SNIFF_NONE : SB_SNIFF_IMAGE;
    VipsOperationClass *class = g_type_class_ref(g_type_from_name(reader));
    *trusted = !(class->flags & VIPS_OPERATION_UNTRUSTED);
    g_type_class_unref(class);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strstr(reader + strlen(READERS), formats[i].part)) {
            *format = formats[i].name;
            return formats[i].kind;
        }
    *format = reader;
    return SB_SNIFF_IMAGE;
}
