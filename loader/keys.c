/* keys.c: see keys.h. */
#include "loader/keys.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"

static const sb_key data_keys[] = {
    SB_KEY_TEXT(sb_data_keys, path, "", "folder of images, or CSV manifest", .apart = true, .path = true),
    SB_KEY_TEXT(sb_data_keys, exclude, "",
                "patterns of files and folders that are left out: *_mask.png, thumbs"),
    SB_KEY_INT(sb_data_keys, tile, "1024", 16, 16384, "side of a tile, in pixels of the image"),
    SB_KEY_INT(sb_data_keys, view, "128", 16, 1024, "side of a view that names no size"),
    SB_KEY_INT(sb_data_keys, window, "16", 1, 1 << 20, "images whose tiles are mixed with one another"),
    SB_KEY_INT(sb_data_keys, channels, "3", 1, SB_CHANNELS_MAX,
               "3: colour, 1: grey; others: samples as stored"),
    SB_KEY_TEXT(sb_data_keys, bands, "",
                "which samples of a pixel, as 4,1,2 (from 1); as stored, no profile, no alpha"),
    SB_KEY_TEXT(sb_data_keys, range, "auto",
                "what becomes black and white of samples that are not 8 bits: auto, full, A..B, percentile"),
    SB_KEY_CHOICE(sb_data_keys, warnings, "refuse", "refuse|accept", "of the decoder that may matter"),
    SB_KEY_CHOICE(sb_data_keys, place, "random", "random|grid", "where tiles lie"),
    SB_KEY_INT(sb_data_keys, tiles_per_image, "1", 1, 1 << 20,
               "multiplies the tiles of an image in an epoch"),
    SB_KEY_BOOL(sb_data_keys, untrusted, "false", "allow image formats that libvips marks untrusted"),
    SB_KEY_REAL(sb_data_keys, max_bad, "0.1", 0, 1, "share of the images that may be unusable",
                .apart = true),
};

static const sb_key guide_keys[] = {
    { .name = "COLUMN",
      .initial = "0",
      .least = -1000,
      .most = 1000,
      .kind = SB_KIND_REAL,
      .meaning = "of a manifest's column that the features are to tell (+) or not to tell (-); 0: none" },
};

static const sb_key loader_keys[] = {
    SB_KEY_INT(sb_loader_keys, cache_mb, "auto", 0, 1 << 20,
               "MiB of decoded images in each loader; auto, and 0: a window's, or what the memory allows",
               .apart = true, .automatic = true),
    SB_KEY_REAL(
        sb_loader_keys, timeout, "60", 0.1, 86400,
        "seconds without progress until a loader is killed; waiting for a busy processor does not count",
        .apart = true),
    SB_KEY_INT(sb_loader_keys, slots, "0", 0, 65536, "tiles decoded ahead; 0: chosen", .apart = true),
};

const sb_key_table sb_data_table = SB_KEY_TABLE("data", NULL, sb_data_keys, data_keys),
                   sb_guide_table = { .section = "guide",
                                      .keys = guide_keys,
                                      .count = 1,
                                      .bytes = sizeof(double),
                                      .open = true },
                   sb_loader_table = SB_KEY_TABLE("loader", NULL, sb_loader_keys, loader_keys);

static int read_guides(const sb_config *config, sb_data_keys *data)
{
    static const char *const places[] = { "path", "left", "top", "split" };
    for (;;) {
        const char *column;
        double weight;
        int found = sb_config_fill_open(config, &sb_guide_table, data->guide_count, &column, &weight);
        if (found <= 0)
            return found;
        if (data->guide_count == SB_GUIDES_MAX || strlen(column) >= SB_GUIDE_COLUMN)
            return sb_fail("guide.%s: there may be %d columns, of names below %d bytes", column,
                           SB_GUIDES_MAX, SB_GUIDE_COLUMN);
        for (size_t i = 0; i < sizeof places / sizeof *places; i++)
            if (strcmp(column, places[i]) == 0)
                return sb_fail("guide.%s: the column says where a tile is, and cannot guide", column);
        sb_guide_key *g = &data->guides[data->guide_count++];
        snprintf(g->column, sizeof g->column, "%s", column);
        g->weight = weight;
    }
}

void sb_range_text(double low, double high, char *out)
{
    snprintf(out, SB_RANGE_TEXT, "%.10g..%.10g", low, high);
}

/* All of a text of `length` bytes is a number. */
static bool number(const char *text, size_t length, double *out)
{
    char copy[SB_RANGE_TEXT], *end;
    if (length == 0 || length >= sizeof copy)
        return false;
    snprintf(copy, sizeof copy, "%.*s", (int)length, text);
    *out = strtod(copy, &end);
    return *end == '\0' && isfinite(*out);
}

bool sb_range_take(const char *text, sb_samples_keys *out)
{
    static const char *const names[] = {
        [SB_RANGE_AUTO] = "auto", [SB_RANGE_FULL] = "full", [SB_RANGE_PERCENTILE] = "percentile"
    };
    for (int i = 0; i <= SB_RANGE_PERCENTILE; i++)
        if (names[i] && strcmp(text, names[i]) == 0) {
            out->range = (sb_range)i;
            return true;
        }
    const char *middle = strstr(text, "..");
    out->range = SB_RANGE_GIVEN;
    return middle && number(text, (size_t)(middle - text), &out->low) &&
           number(middle + 2, strlen(middle + 2), &out->high) && out->low < out->high;
}

static int read_range(const sb_config *config, const char *text, sb_samples_keys *out)
{
    return sb_range_take(text, out)
               ? 0
               : sb_fail("%s: data.range = %s: must be auto, full, percentile, or A..B with A below B, as "
                         "0..4095",
                         sb_config_place(config, "data.range"), text);
}

static int read_bands(const sb_config *config, const char *text, sb_samples_keys *out)
{
    const char *place = sb_config_place(config, "data.bands");
    for (const char *at = text; *at; at += *at == ',') {
        char *end;
        const long band = strtol(at, &end, 10);
        if (end == at || band < 1 || band > UINT16_MAX || (*end && (*end != ',' || !end[1])))
            return sb_fail("%s: data.bands = %s: numbers of samples are expected, from 1, as 4,1,2", place,
                           text);
        if (out->band_count == SB_CHANNELS_MAX)
            return sb_fail("%s: data.bands = %s: more than %d samples", place, text, SB_CHANNELS_MAX);
        out->bands[out->band_count++] = (int)band;
        at = end;
    }
    return out->band_count == 0 || out->band_count == out->channels
               ? 0
               : sb_fail("%s: data.bands = %s: as many samples as data.channels = %d (%s) are expected",
                         place, text, out->channels, sb_config_place(config, "data.channels"));
}

int sb_loader_keys_read(const sb_config *config, sb_data_keys *data, sb_loader_keys *loader)
{
    if (sb_config_fill(config, &sb_data_table, data) != 0 ||
        sb_config_fill(config, &sb_loader_table, loader) != 0 || read_guides(config, data) != 0)
        return -1;
    if (data->path[0] == '\0')
        return sb_fail(
            "data.path is not set: name a folder of images or a CSV manifest, as data.path=photos");
    char whole[PATH_MAX];
    if (realpath(data->path, whole))
        memcpy(data->path, whole, sizeof whole);
    data->samples = (sb_samples_keys){ .channels = data->channels, .warnings = data->warnings };
    return read_range(config, data->range, &data->samples) != 0 ||
                   read_bands(config, data->bands, &data->samples) != 0
               ? -1
               : 0;
}

int sb_loader_keys_of_run(const char *run_dir, sb_data_keys *data, sb_loader_keys *loader)
{
    sb_config config;
    int rc = sb_config_read_run(&config, run_dir);
    if (rc == 0)
        rc = sb_loader_keys_read(&config, data, loader);
    sb_config_free(&config);
    return rc;
}
