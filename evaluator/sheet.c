/* sheet.c: see sheet.h. */
#include "evaluator/sheet.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <vips/vips.h>

#include "proto/error.h"
#include "proto/memory.h"
#include "proto/rundir.h"

#define FRAME SB_SHEET_FRAME
#define QUALITY 80 /* of a JPEG */

const uint8_t sb_sheet_green[3] = { 30, 160, 60 }, sb_sheet_red[3] = { 200, 50, 40 },
              sb_sheet_blue[3] = { 31, 78, 156 }, sb_sheet_grey[3] = { 200, 200, 200 };

int sb_sheet_create(sb_sheet *s, int columns, int rows, int cell)
{
    int pitch = cell + 2 * FRAME;
    *s = (sb_sheet){
        .columns = columns, .rows = rows, .cell = cell, .width = columns * pitch, .height = rows * pitch
    };
    size_t bytes = (size_t)s->width * (size_t)s->height * 3;
    s->pixels = sb_zeroed(bytes, 1, "a picture's pixels");
    if (!s->pixels)
        return -1;
    memset(s->pixels, 255, bytes);
    return 0;
}

void sb_sheet_frame(sb_sheet *s, int column, int row, const uint8_t colour[3])
{
    int pitch = s->cell + 2 * FRAME;
    for (int y = row * pitch; y < (row + 1) * pitch; y++)
        for (int x = column * pitch; x < (column + 1) * pitch; x++)
            memcpy(s->pixels + ((size_t)y * (size_t)s->width + (size_t)x) * 3, colour, 3);
}

void sb_sheet_put(sb_sheet *s, int column, int row, const uint8_t *view, int side, int channels)
{
    int pitch = s->cell + 2 * FRAME, skip = (side + s->cell - 1) / s->cell, shown = side / skip;
    for (int y = 0; y < shown; y++) {
        for (int x = 0; x < shown; x++) {
            const uint8_t *from = view +
                                  ((size_t)(y * skip) * (size_t)side + (size_t)(x * skip)) * (size_t)channels;
            uint8_t *to = s->pixels + ((size_t)(row * pitch + FRAME + y) * (size_t)s->width +
                                       (size_t)(column * pitch + FRAME + x)) *
                                          3;
            for (int c = 0; c < 3; c++)
                to[c] = from[channels >= 3 ? c : 0];
        }
    }
}

/* NULL: it failed. */
static VipsImage *image_of(const sb_sheet *s)
{
    return vips_image_new_from_memory(s->pixels, (size_t)s->width * (size_t)s->height * 3, s->width,
                                      s->height, 3, VIPS_FORMAT_UCHAR);
}

int sb_sheet_save(const sb_sheet *s, const char *run_dir, const char *name)
{
    char path[PATH_MAX];
    void *png = NULL;
    size_t bytes = 0;
    if (sb_rundir_path(path, run_dir, "%s.png", name) != 0)
        return -1;
    VipsImage *image = image_of(s);
    int rc = !image || vips_pngsave_buffer(image, &png, &bytes, NULL) != 0
                 ? sb_fail("%s: %s", path, vips_error_buffer())
                 : sb_file_replace(path, png, bytes);
    vips_error_clear();
    g_free(png);
    if (image)
        g_object_unref(image);
    return rc;
}

/* Takes the image, which may be NULL. */
static char *base64(VipsImage *image, const char *name)
{
    void *jpeg = NULL;
    size_t bytes = 0;
    gchar *text = NULL;
    if (!image || vips_jpegsave_buffer(image, &jpeg, &bytes, "Q", QUALITY, "strip", TRUE, NULL) != 0)
        sb_fail("%s: %s", name, vips_error_buffer());
    else
        text = g_base64_encode(jpeg, bytes);
    vips_error_clear();
    g_free(jpeg);
    if (image)
        g_object_unref(image);
    return text; /* of malloc, since GLib 2.46 */
}

char *sb_sheet_base64(const sb_sheet *s) { return base64(image_of(s), "a picture"); }

/* By PNG's loader alone, whatever else the file may be. */
char *sb_sheet_base64_of(const char *path, int most)
{
    VipsImage *png = NULL, *image = NULL;
    if (vips_pngload(path, &png, NULL) != 0 ||
        vips_thumbnail_image(png, &image, most, "size", VIPS_SIZE_DOWN, "height", 4 * most, NULL) != 0)
        image = NULL;
    if (png)
        g_object_unref(png);
    return base64(image, path);
}

int sb_sheet_size_of(const void *jpeg, size_t bytes, int *width, int *height)
{
    VipsImage *image = NULL;
    const int rc = vips_jpegload_buffer((void *)(uintptr_t)jpeg, bytes, &image, NULL) != 0
                       ? sb_fail("a picture: %s", vips_error_buffer())
                       : 0;
    vips_error_clear();
    if (rc != 0)
        return -1;
    *width = vips_image_get_width(image);
    *height = vips_image_get_height(image);
    g_object_unref(image);
    return 0;
}

const char *sb_sheet_library(void)
{
    static char name[64];
    snprintf(name, sizeof name, "libvips %d.%d.%d", vips_version(0), vips_version(1), vips_version(2));
    return name;
}
