/* samples.c: see samples.h. */
#include "loader/readers/samples.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <tiffio.h>

/* Takes ownership of *image and gives what the operation made of it; `status` is the operation's. */
#define STEP(image, call)         \
    do {                          \
        VipsImage *next = NULL;   \
        if ((call) != 0)          \
            return -1;            \
        g_object_unref(*(image)); \
        *(image) = next;          \
    } while (0)

static int refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int refuse(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vips_verror("samples", format, arguments);
    va_end(arguments);
    return -1;
}

/* ---- what a TIFF says of its samples, which libvips does not tell ----------------------------------------- */

typedef struct {
    int colours; /* samples of a pixel that are colour; 0: nothing is known */
    int alpha;   /* which sample is alpha, from 0; -1: none */
    bool planes; /* grey, and several samples that lie in planes: libvips 8.14 reads every row but a strip's
                    first from a wrong place */
} meaning;

/* The page that the source shows. Where libvips reads on is kept. NULL: it cannot be opened. */
static TIFF *open_tiff(sb_source *from, int64_t *at)
{
    *at = from->at;
    return sb_source_for_tiff(from, "rm");
}

static void close_tiff(TIFF *file, sb_source *from, int64_t at)
{
    if (file)
        TIFFClose(file);
    from->at = at;
    vips_error_clear(); /* libvips takes libtiff's messages */
}

static meaning meaning_of_tiff(sb_source *from)
{
    int64_t at;
    meaning is = { .alpha = -1 };
    TIFF *file = open_tiff(from, &at);
    if (file) {
        uint16_t samples = 1, extra_count = 0, *extra = NULL;
        TIFFGetFieldDefaulted(file, TIFFTAG_SAMPLESPERPIXEL, &samples);
        TIFFGetFieldDefaulted(file, TIFFTAG_EXTRASAMPLES, &extra_count, &extra);
        uint16_t photometric = PHOTOMETRIC_MINISBLACK, planes = PLANARCONFIG_CONTIG;
        TIFFGetField(file, TIFFTAG_PHOTOMETRIC, &photometric);
        TIFFGetField(file, TIFFTAG_PLANARCONFIG, &planes);
        const bool three = photometric == PHOTOMETRIC_RGB || photometric == PHOTOMETRIC_YCBCR ||
                           photometric == PHOTOMETRIC_CIELAB || photometric == PHOTOMETRIC_ICCLAB ||
                           photometric == PHOTOMETRIC_LOGLUV;
        uint16_t inks = INKSET_CMYK;
        TIFFGetField(file, TIFFTAG_INKSET, &inks);
        is.colours = photometric != PHOTOMETRIC_SEPARATED ? (three ? 3 : 1) : inks == INKSET_CMYK ? 4 : 0;
        is.planes = planes == PLANARCONFIG_SEPARATE && samples > 1 && photometric <= PHOTOMETRIC_MINISBLACK;
        for (int i = 0; extra_count <= samples && i < extra_count && is.alpha < 0; i++)
            if (extra[i] == EXTRASAMPLE_ASSOCALPHA || extra[i] == EXTRASAMPLE_UNASSALPHA)
                is.alpha = samples - extra_count + i;
    }
    close_tiff(file, from, at);
    return is;
}

/* The largest value that its samples are said to have; 0: nothing is said. */
static double most_of_tiff(sb_source *from)
{
    int64_t at;
    double most = 0;
    TIFF *file = open_tiff(from, &at);
    if (file && TIFFGetField(file, TIFFTAG_SMAXSAMPLEVALUE, &most) != 1)
        most = 0;
    close_tiff(file, from, at);
    return most;
}

static bool is_tiff(VipsImage *image)
{
    const char *loader = "";
    if (vips_image_get_string(image, VIPS_META_LOADER, &loader) != 0)
        vips_error_clear();
    return strncmp(loader, "tiff", 4) == 0;
}

/* Other formats say what they have by the number of their samples: alpha comes last. */
static meaning meaning_of(VipsImage *image, sb_source *from)
{
    const VipsInterpretation type = vips_image_get_interpretation(image);
    const bool certain = image->Coding != VIPS_CODING_NONE || image->Bands == 1 ||
                         (image->Bands == 3 && type != VIPS_INTERPRETATION_B_W &&
                          type != VIPS_INTERPRETATION_GREY16 && type != VIPS_INTERPRETATION_MULTIBAND);
    if (!certain && is_tiff(image))
        return meaning_of_tiff(from);
    const bool grey = type == VIPS_INTERPRETATION_B_W || type == VIPS_INTERPRETATION_GREY16 ||
                      image->Bands == 1;
    const int colours = grey ? 1 : type == VIPS_INTERPRETATION_CMYK ? 4 : 3;
    if (type == VIPS_INTERPRETATION_MULTIBAND && image->Bands > 1)
        return (meaning){ .alpha = -1 };
    return (meaning){ colours,
                      image->Coding == VIPS_CODING_NONE && image->Bands == colours + 1 ? colours : -1 };
}

/* ---- which samples ---------------------------------------------------------------------------------------- */

/* The samples whose numbers, from 0, these are, in their order. */
static int take_bands(VipsImage **image, const int *bands, int count)
{
    VipsImage *each[SB_CHANNELS_MAX + 1] = { NULL }, *next = NULL;
    bool all = (*image)->Bands == count;
    int rc = 0;
    for (int i = 0; i < count; i++)
        all = all && bands[i] == i;
    if (all)
        return 0;
    for (int i = 0; rc == 0 && i < count; i++)
        rc = vips_extract_band(*image, &each[i], bands[i], NULL);
    if (rc == 0)
        rc = vips_bandjoin(each, &next, count, NULL);
    for (int i = 0; i < count; i++)
        if (each[i])
            g_object_unref(each[i]);
    if (rc != 0)
        return -1;
    g_object_unref(*image);
    *image = next;
    return 0;
}

/* Those that the keys name. */
static int choose_bands(VipsImage **image, const sb_samples_keys *keys)
{
    int bands[SB_CHANNELS_MAX];
    const int has = (*image)->Bands;
    if ((*image)->Coding != VIPS_CODING_NONE)
        return refuse("packed samples cannot be chosen by data.bands");
    if (keys->band_count == 0 && has != keys->channels)
        return refuse("%d samples in a pixel, data.channels = %d: data.bands chooses among them", has,
                      keys->channels);
    for (int i = 0; i < keys->channels; i++) {
        bands[i] = keys->band_count > 0 ? keys->bands[i] - 1 : i;
        if (bands[i] >= has)
            return refuse("data.bands names sample %d: a pixel has %d", bands[i] + 1, has);
    }
    return take_bands(image, bands, keys->channels);
}

/* Colour, and alpha behind it. */
static int choose_colour(VipsImage **image, meaning is, int *left_out)
{
    const int has = (*image)->Bands, unknown = has - is.colours - (is.alpha >= 0);
    if (is.colours == 0 || (is.colours == 1 && unknown > 0))
        return refuse("%d samples in a pixel make no grey or colour image: which to take is said by "
                      "data.bands (and data.channels)",
                      has);
    if (has < is.colours)
        return refuse("%d bands make no grey or colour image", has);
    *left_out = (*image)->Coding == VIPS_CODING_NONE ? unknown : 0;
    int bands[SB_CHANNELS_MAX];
    for (int i = 0; i < is.colours; i++)
        bands[i] = i;
    bands[is.colours] = is.alpha;
    return *left_out > 0 || is.alpha >= 0 ? take_bands(image, bands, is.colours + (is.alpha >= 0)) : 0;
}

/* ---- profiles ----------------------------------------------------------------------------------------------- */

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

/* ---- range ------------------------------------------------------------------------------------------------ */

/* Whether the samples are defined: linear light, Lab, inks. */
static bool is_defined(VipsImage *image)
{
    switch (vips_image_get_interpretation(image)) {
    case VIPS_INTERPRETATION_B_W:
    case VIPS_INTERPRETATION_GREY16:
    case VIPS_INTERPRETATION_sRGB:
    case VIPS_INTERPRETATION_RGB:
    case VIPS_INTERPRETATION_RGB16:
    case VIPS_INTERPRETATION_scRGB:
    case VIPS_INTERPRETATION_MULTIBAND: return image->Coding != VIPS_CODING_NONE;
    default: return true;
    }
}

/* The whole range of a format; that of floats is 0 to 1. */
static void full_range(VipsBandFormat format, double *low, double *high)
{
    *low = 0;
    *high = 1;
    switch (format) {
    case VIPS_FORMAT_UCHAR: *high = UINT8_MAX; break;
    case VIPS_FORMAT_CHAR: *low = INT8_MIN, *high = INT8_MAX; break;
    case VIPS_FORMAT_USHORT: *high = UINT16_MAX; break;
    case VIPS_FORMAT_SHORT: *low = INT16_MIN, *high = INT16_MAX; break;
    case VIPS_FORMAT_UINT: *high = UINT32_MAX; break;
    case VIPS_FORMAT_INT: *low = INT32_MIN, *high = INT32_MAX; break;
    default: break;
    }
}

/* Black where a float is not a number. */
static int blacken(VipsImage **image, double black)
{
    VipsImage *is_number = NULL, *blank = NULL, *next = NULL;
    int rc = vips_equal(*image, *image, &is_number, NULL);
    if (rc == 0 && !(blank = vips_image_new_from_image1(*image, black)))
        rc = -1;
    if (rc == 0)
        rc = vips_ifthenelse(is_number, *image, blank, &next, NULL);
    if (blank)
        g_object_unref(blank);
    if (is_number)
        g_object_unref(is_number);
    if (rc != 0)
        return -1;
    g_object_unref(*image);
    *image = next;
    return 0;
}

/* low becomes 0 and high 65535; what is beyond is cut off. */
static int spread(VipsImage **image, double low, double high)
{
    const double scale = UINT16_MAX / (high - low);
    if (vips_band_format_isfloat((*image)->BandFmt) && blacken(image, low) != 0)
        return -1;
    STEP(image, vips_cast_double(*image, &next, NULL));
    STEP(image, vips_linear1(*image, &next, scale, 0.5 - low * scale, NULL));
    STEP(image, vips_cast_ushort(*image, &next, NULL));
    return 0;
}

/* The colours by the range, and alpha, which is the last, by its format's. */
static int spread_beside_alpha(VipsImage **image, double low, double high)
{
    const int colours = (*image)->Bands - 1;
    VipsImage *parts[2] = { NULL }, *next = NULL;
    double none, all;
    full_range((*image)->BandFmt, &none, &all);
    int rc = vips_extract_band(*image, &parts[0], 0, "n", colours, NULL);
    if (rc == 0)
        rc = vips_extract_band(*image, &parts[1], colours, NULL);
    if (rc == 0)
        rc = spread(&parts[0], low, high);
    if (rc == 0)
        rc = spread(&parts[1], 0, all);
    if (rc == 0)
        rc = vips_bandjoin(parts, &next, 2, NULL);
    for (int i = 0; i < 2; i++)
        if (parts[i])
            g_object_unref(parts[i]);
    if (rc != 0)
        return -1;
    g_object_unref(*image);
    *image = next;
    return 0;
}

/* Samples that are neither 8 bits nor defined become 16 bits in which 0 is black and 65535 white. stored:
 * they are wanted as they are, and floats are no linear light. */
static int to_16_bits(VipsImage **image, const sb_samples_keys *keys, bool stored)
{
    const VipsBandFormat format = (*image)->BandFmt;
    const VipsInterpretation type = vips_image_get_interpretation(*image);
    const bool floats = !vips_band_format_isint(format), light = type == VIPS_INTERPRETATION_scRGB && floats;
    double low = keys->low, high = keys->high;
    if (format == VIPS_FORMAT_UCHAR || (!stored && is_defined(*image)))
        return 0;
    if (vips_band_format_iscomplex(format))
        return refuse("%s samples are neither grey nor colour",
                      vips_enum_nick(VIPS_TYPE_BAND_FORMAT, format));
    if (keys->range != SB_RANGE_GIVEN) {
        if (format == VIPS_FORMAT_USHORT || (light && !stored))
            return 0;
        if (keys->range == SB_RANGE_PERCENTILE)
            return refuse("data.range=percentile: nothing was found while indexing: data.range=A..B says it");
        if (keys->range == SB_RANGE_AUTO || floats)
            return refuse(
                "%s samples have no known range: data.range=A..B says what is black and what is white, "
                "data.range=percentile finds it",
                vips_enum_nick(VIPS_TYPE_BAND_FORMAT, format));
        full_range(format, &low, &high);
    }
    const bool grey = (*image)->Bands < 3;
    if (stored || (*image)->Bands % 2 == 1 ? spread(image, low, high) : spread_beside_alpha(image, low, high))
        return -1;
    STEP(image, vips_copy(*image, &next, "interpretation",
                          grey ? VIPS_INTERPRETATION_GREY16 : VIPS_INTERPRETATION_RGB16, NULL));
    return 0;
}

/* Samples are taken as they are stored, and are no colour? */
static bool are_stored(const sb_samples_keys *keys)
{
    return keys->band_count > 0 || (keys->channels != 1 && keys->channels != 3);
}

/* ---- all of it -------------------------------------------------------------------------------------------- */

static int to_colour(VipsImage **image, int channels)
{
    const VipsInterpretation wanted = channels == 3 ? VIPS_INTERPRETATION_sRGB : VIPS_INTERPRETATION_B_W;
    if (vips_image_get_interpretation(*image) ==
        VIPS_INTERPRETATION_CMYK) /* libvips' own press profile where none is embedded */
        STEP(image,
             vips_icc_transform(*image, &next, "srgb", "embedded", TRUE, "input_profile", "cmyk", NULL));
    else if (vips_image_get_typeof(*image, VIPS_META_ICC_NAME) && profile_matters(*image))
        STEP(image, vips_icc_transform(*image, &next, "srgb", "embedded", TRUE, NULL));
    if (vips_image_get_interpretation(*image) == VIPS_INTERPRETATION_GREY16 &&
        (*image)->BandFmt ==
            VIPS_FORMAT_USHORT) { /* libvips' way to 8 bits of grey is by colour, and rounds */
        STEP(image, vips_cast(*image, &next, VIPS_FORMAT_UCHAR, "shift", TRUE, NULL));
        STEP(image, vips_copy(*image, &next, "interpretation", VIPS_INTERPRETATION_B_W, NULL));
    }
    if (vips_image_get_interpretation(*image) != wanted)
        STEP(image, vips_colourspace(*image, &next, wanted, NULL));
    if (vips_image_hasalpha(*image)) { /* no other sample is left beside the colour */
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

int sb_samples_normalise(VipsImage **image, const sb_samples_keys *keys, sb_source *from, int *left_out)
{
    const bool stored = are_stored(keys);
    const meaning is = meaning_of(*image, from);
    int unknown = 0;
    if (is.planes)
        return refuse("grey samples in planes, which libvips misreads: save them interleaved");
    if (vips_image_get_orientation(*image) > 1)
        STEP(image, vips_autorot(*image, &next, NULL));
    if ((stored ? choose_bands(image, keys) : choose_colour(image, is, &unknown)) != 0 ||
        to_16_bits(image, keys, stored) != 0)
        return -1;
    if (left_out)
        *left_out = unknown;
    if (!stored)
        return to_colour(image, keys->channels);
    if ((*image)->BandFmt != VIPS_FORMAT_UCHAR)
        STEP(image, vips_cast(*image, &next, VIPS_FORMAT_UCHAR, "shift", TRUE, NULL));
    return 0;
}

/* ---- a look ----------------------------------------------------------------------------------------------- */

bool sb_samples_wide(const VipsImage *image) { return image->BandFmt != VIPS_FORMAT_UCHAR; }

static double value_at(const VipsPel *row, size_t i, VipsBandFormat format)
{
    switch (format) {
    case VIPS_FORMAT_UCHAR: return row[i];
    case VIPS_FORMAT_CHAR: return ((const int8_t *)row)[i];
    case VIPS_FORMAT_USHORT: return ((const uint16_t *)row)[i];
    case VIPS_FORMAT_SHORT: return ((const int16_t *)row)[i];
    case VIPS_FORMAT_UINT: return ((const uint32_t *)row)[i];
    case VIPS_FORMAT_INT: return ((const int32_t *)row)[i];
    case VIPS_FORMAT_FLOAT: return (double)((const float *)row)[i];
    default: return ((const double *)row)[i];
    }
}

/* The pixels of an area at every `step` of both sides. */
static int take_samples(VipsRegion *region, VipsRect area, int step, sb_levels *l)
{
    const VipsImage *image = region->im;
    if (vips_region_prepare(region, &area) != 0)
        return -1;
    for (int y = area.top; y < area.top + area.height; y += step) {
        const VipsPel *row = VIPS_REGION_ADDR(region, area.left, y);
        for (int x = 0; x < area.width; x += step)
            for (int c = 0; c < image->Bands && l->count + l->not_finite < SB_LEVELS_SAMPLES; c++) {
                const double value = value_at(row, (size_t)x * (size_t)image->Bands + (size_t)c,
                                              image->BandFmt);
                if (isfinite(value))
                    l->values[l->count++] = value;
                else
                    l->not_finite++;
            }
    }
    return 0;
}

/* Spots across the image, of so many pixels a side that all of them are taken. */
static int look_at_spots(VipsRegion *region, sb_levels *l)
{
    enum { ACROSS = 3 };
    const VipsImage *image = region->im;
    const int side = (int)sqrt((double)SB_LEVELS_SAMPLES / (ACROSS * ACROSS * image->Bands)),
              width = image->Xsize < side ? image->Xsize : side,
              height = image->Ysize < side ? image->Ysize : side;
    for (int i = 0; i < ACROSS * ACROSS; i++) {
        const VipsRect spot = {
            .left = (int)((int64_t)(image->Xsize - width) * (i % ACROSS + 1) / (ACROSS + 1)),
            .top = (int)((int64_t)(image->Ysize - height) * (i / ACROSS + 1) / (ACROSS + 1)),
            .width = width,
            .height = height
        };
        if (take_samples(region, spot, 1, l) != 0)
            return -1;
    }
    return 0;
}

/* From the top to the bottom, since there is no other way. */
static int look_at_rows(VipsRegion *region, sb_levels *l)
{
    const VipsImage *image = region->im;
    const double all = (double)image->Xsize * image->Ysize * image->Bands;
    const int step = (int)ceil(sqrt(all / SB_LEVELS_SAMPLES));
    for (int top = 0; top < image->Ysize; top += step)
        if (take_samples(region, (VipsRect){ 0, top, image->Xsize, 1 }, step, l) != 0)
            return -1;
    return 0;
}

int sb_samples_look(VipsImage **image, const sb_samples_keys *keys, sb_source *from, bool random_access,
                    sb_levels *l)
{
    const meaning is = meaning_of(*image, from);
    const bool stored = are_stored(keys);
    double *values = l->values;
    int unused;
    *l = (sb_levels){ .values = values, .wide = sb_samples_wide(*image) };
    if ((stored ? choose_bands(image, keys) : choose_colour(image, is, &unused)) != 0)
        return -1;
    if (!stored && (is_defined(*image) || vips_band_format_iscomplex((*image)->BandFmt)))
        return 0; /* nothing is in question */
    if (!stored && (*image)->Bands > is.colours)
        STEP(image, vips_extract_band(*image, &next, 0, "n", is.colours, NULL));
    const VipsBandFormat format = (*image)->BandFmt;
    full_range(format, &l->low, &l->high);
    l->format_high = vips_band_format_isint(format) ? l->high : 0;
    l->light = !stored && keys->range != SB_RANGE_GIVEN && l->format_high == 0 &&
               vips_image_get_interpretation(*image) == VIPS_INTERPRETATION_scRGB;
    if (l->wide && keys->range == SB_RANGE_GIVEN) {
        l->low = keys->low;
        l->high = keys->high;
    }
    l->said = format == VIPS_FORMAT_USHORT && is_tiff(*image) ? most_of_tiff(from) : 0;
    VipsRegion *region = vips_region_new(*image);
    const int rc = !region ? -1 : random_access ? look_at_spots(region, l) : look_at_rows(region, l);
    if (region)
        g_object_unref(region);
    return rc;
}

/* ---- warnings --------------------------------------------------------------------------------------------- */

/* Of TIFF and PNG every warning is of what no pixel needs (tags, chunks, a profile), but for those of the
 * decoders in a TIFF, below. What is missing of the pixels is an error there. */
VipsFailOn sb_samples_fail_on(const sb_samples_keys *keys, const char *loader)
{
    const bool tags = strstr(loader, "Tiff") || strstr(loader, "Png");
    return keys->warnings == SB_WARNINGS_ACCEPT || tags ? VIPS_FAIL_ON_ERROR : VIPS_FAIL_ON_WARNING;
}

bool sb_samples_warning_matters(const char *message)
{
    /* libjpeg's in a TIFF; its fax decoder's; its PackBits decoder's */
    static const char *const words[] = { "Corrupt JPEG", "end of JPEG",          "Inconsistent progression",
                                         "Premature EO", "Line length mismatch", "Discarding",
                                         "Terminating" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strstr(message, words[i]))
            return true;
    return false;
}
