/* samples.c: see samples.h. */
#include "loader/readers/samples.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* Takes ownership of *image and gives what the operation made of it; `status` is the operation's. */
#define STEP(image, call)         \
    do {                          \
        VipsImage *next = NULL;   \
        if ((call) != 0)          \
            return -1;            \
        g_object_unref(*(image)); \
        *(image) = next;          \
    } while (0)

/* Does following the embedded profile change an RGB or grey image? Tried on a few colours, since most
 * profiles say sRGB, and following one costs as much as decoding. A profile that cannot be followed changes
 * nothing. */
static bool profile_matters(VipsImage *image)
{
    enum { COLOURS = 8, CLOSE = 3 /* levels of 255 */ };
    static const uint8_t patch[COLOURS][3] = { { 0, 0, 0 },     { 255, 255, 255 }, { 128, 128, 128 },
                                               { 200, 40, 40 }, { 40, 200, 40 },   { 40, 40, 200 },
                                               { 64, 64, 64 },  { 230, 180, 60 } };
    const void *profile;
    size_t bytes, size;
    bool grey = image->Bands < 3, matters = false;
    uint8_t values[COLOURS * 3];
    for (int i = 0; i < COLOURS; i++)
        for (int c = 0; c < 3; c++)
            values[grey ? i : 3 * i + c] = patch[i][grey ? 1 : c];
    if (vips_image_get_blob(image, VIPS_META_ICC_NAME, &profile, &bytes) != 0)
        return false;
    VipsImage *small = vips_image_new_from_memory_copy(values, grey ? COLOURS : sizeof values, COLOURS, 1,
                                                       grey ? 1 : 3, VIPS_FORMAT_UCHAR);
    VipsImage *changed = NULL;
    if (small) {
        small->Type = grey ? VIPS_INTERPRETATION_B_W : VIPS_INTERPRETATION_sRGB;
        vips_image_set_blob_copy(small, VIPS_META_ICC_NAME, profile, bytes);
        uint8_t *out = vips_icc_transform(small, &changed, "srgb", "embedded", TRUE, NULL) == 0
                           ? vips_image_write_to_memory(changed, &size)
                           : NULL;
        for (int i = 0; out && changed->Bands == 3 && i < COLOURS * 3; i++)
            matters = matters || abs((int)out[i] - (int)values[grey ? i / 3 : i]) > CLOSE;
        g_free(out);
        g_object_unref(small);
    }
    if (changed)
        g_object_unref(changed);
    vips_error_clear();
    return matters;
}

/* Grey or colour, with alpha or without, in samples whose range is known? Floats are where they are linear
 * light (scRGB) or Lab. */
static int check_samples(const VipsImage *image)
{
    VipsInterpretation type = vips_image_get_interpretation(image);
    bool integer = image->BandFmt == VIPS_FORMAT_UCHAR || image->BandFmt == VIPS_FORMAT_USHORT;
    bool defined = type == VIPS_INTERPRETATION_scRGB || type == VIPS_INTERPRETATION_LAB ||
                   type == VIPS_INTERPRETATION_LABS;
    bool grey = type == VIPS_INTERPRETATION_B_W || type == VIPS_INTERPRETATION_GREY16;
    int colours = grey ? 1 : type == VIPS_INTERPRETATION_CMYK ? 4 : 3;
    if (!integer && !defined)
        vips_error("samples", "%s samples have no known range: convert the image to 8 or 16 bits",
                   vips_enum_nick(VIPS_TYPE_BAND_FORMAT, image->BandFmt));
    else if (image->Bands < colours || image->Bands > colours + 1)
        vips_error("samples", "%d bands make no grey or colour image", image->Bands);
    else
        return 0;
    return -1;
}

int sb_samples_normalise(VipsImage **image, int channels)
{
    if (check_samples(*image) != 0)
        return -1;
    VipsInterpretation wanted = channels == 3 ? VIPS_INTERPRETATION_sRGB : VIPS_INTERPRETATION_B_W;
    if (vips_image_get_orientation(*image) > 1)
        STEP(image, vips_autorot(*image, &next, NULL));
    if (vips_image_get_interpretation(*image) ==
        VIPS_INTERPRETATION_CMYK) /* libvips' own press profile where none is embedded */
        STEP(image,
             vips_icc_transform(*image, &next, "srgb", "embedded", TRUE, "input_profile", "cmyk", NULL));
    else if (vips_image_get_typeof(*image, VIPS_META_ICC_NAME) && profile_matters(*image))
        STEP(image, vips_icc_transform(*image, &next, "srgb", "embedded", TRUE, NULL));
    if (vips_image_get_interpretation(*image) != wanted)
        STEP(image, vips_colourspace(*image, &next, wanted, NULL));
    if (vips_image_hasalpha(*image)) {
        VipsArrayDouble *white = vips_array_double_newv(1, 255.0);
        VipsImage *next = NULL;
        int status = vips_flatten(*image, &next, "background", white, NULL);
        vips_area_unref(VIPS_AREA(white));
        if (status != 0)
            return -1;
        g_object_unref(*image);
        *image = next;
    }
    if ((*image)->BandFmt != VIPS_FORMAT_UCHAR)
        STEP(image, vips_cast_uchar(*image, &next, NULL));
    if ((*image)->Bands > channels)
        STEP(image, vips_extract_band(*image, &next, 0, "n", channels, NULL));
    if ((*image)->Bands < channels) {
        VipsImage *bands[3] = { *image, *image, *image };
        STEP(image, vips_bandjoin(bands, &next, channels, NULL));
    }
    return 0;
}
