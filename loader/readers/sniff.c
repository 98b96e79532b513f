/* sniff.c: see sniff.h. */
#include "loader/readers/sniff.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vips/vips.h>

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

static bool is_tiff(const char *head)
{
    return memcmp(head, "II*\0", 4) == 0 || memcmp(head, "MM\0*", 4) == 0 || memcmp(head, "II+\0", 4) == 0 ||
           memcmp(head, "MM\0+", 4) == 0;
}

/* What libvips calls the reader of a regular file; NULL: it has none. It is not waited for a pipe. */
static const char *find_reader(const char *path)
{
    char head[HEAD];
    struct stat info;
    const char *reader = NULL;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    VipsSource *source = fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0
                             ? vips_source_new_from_descriptor(fd)
                             : NULL;
    if (source) {
        reader = vips_foreign_find_load_source(source);
        g_object_unref(source);
        const ssize_t bytes = pread(fd, head, sizeof head, 0);
        if (!reader && bytes > 0) /* some are known by their first bytes alone */
            reader = vips_foreign_find_load_buffer(head, (size_t)bytes);
        else if (reader && strstr(reader, "OpenSlide") && bytes > 4 &&
                 is_tiff(head)) /* which is how it is read */
            reader = "VipsForeignLoadTiffSource";
    }
    close(fd);
    vips_error_clear();
    return reader;
}

sb_sniffed sb_sniff(const char *path, const char **format, bool *trusted)
{
    const char *reader = find_reader(path);
    *format = "";
    *trusted = true;
    if (!reader)
        return SB_SNIFF_NONE;
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
