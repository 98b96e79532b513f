/* pixels.c: see pixels.h. */
#include "loader/readers/pixels.h"

#include <string.h>

#define STRIP 16 /* rows that are decoded at once: they stay in the second cache */

/* Strip by strip from the top and in this thread: libvips' own sinks hand every strip to another. */
int sb_pixels_write(VipsImage *image, uint8_t *pixels)
{
    size_t bytes = (size_t)image->Xsize * (size_t)image->Ysize * (size_t)image->Bands;
    VipsImage *target = vips_image_new_from_memory(pixels, bytes, image->Xsize, image->Ysize, image->Bands,
                                                   VIPS_FORMAT_UCHAR);
    VipsRegion *from = vips_region_new(image), *to = target ? vips_region_new(target) : NULL;
    int rc = from && to ? 0 : -1;
    for (int top = 0; rc == 0 && top < image->Ysize; top += STRIP) {
        VipsRect strip = { 0, top, image->Xsize, image->Ysize - top < STRIP ? image->Ysize - top : STRIP };
        if (vips_region_image(to, &strip) != 0 ||
            vips_region_prepare_to(from, to, &strip, strip.left, strip.top) != 0)
            rc = -1;
    }
    if (to)
        g_object_unref(to);
    if (from)
        g_object_unref(from);
    if (target)
        g_object_unref(target);
    return rc;
}

/* Mirrors an index into 0 .. size - 1, as often as needed. */
static int mirror(int i, int size)
{
    int period = 2 * size;
    i %= period;
    return i < size ? i : period - 1 - i;
}

void sb_pixels_tile(const uint8_t *area, int width, int height, int channels, int left, int top, int side,
                    uint8_t *out)
{
    size_t c = (size_t)channels, pitch = (size_t)width * c;
    int across = width - left < side ? width - left : side, down = height - top < side ? height - top : side;
    for (int y = 0; y < side; y++) {
        const uint8_t *from = area + (size_t)(top + mirror(y, down)) * pitch + (size_t)left * c;
        uint8_t *to = out + (size_t)y * (size_t)side * c;
        memcpy(to, from, (size_t)across * c);
        for (int x = across; x < side; x++)
            memcpy(to + (size_t)x * c, from + (size_t)mirror(x, across) * c, c);
    }
}
