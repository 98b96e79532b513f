/* projector.c: see projector.h. */
#include "evaluator/projector.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "proto/error.h"
#include "proto/rundir.h"

/* What is to be one of the files: text that is put together, then written as a whole. */
typedef struct {
    FILE *text;
    char *bytes;
    size_t count;
} draft;

static int draft_begin(draft *d)
{
    *d = (draft){ 0 };
    d->text = open_memstream(&d->bytes, &d->count);
    return d->text ? 0 : sb_fail_errno("no memory for the projector's files");
}

static int draft_end(draft *d, const char *folder, const char *name)
{
    char path[PATH_MAX];
    int rc = ferror(d->text) ? -1 : 0;
    if (fclose(d->text) != 0 || rc != 0)
        rc = sb_fail("no memory for the projector's %s", name);
    else
        rc = sb_rundir_path(path, folder, "%s", name) != 0 ? -1 : sb_file_replace(path, d->bytes, d->count);
    free(d->bytes);
    return rc;
}

static int write_features(const char *folder, const sb_npy *features)
{
    draft d;
    const float *value = features->values;
    const size_t width = (size_t)features->side[1];
    for (size_t i = 0; i < features->count; i++)
        if (!isfinite(value[i]))
            return sb_fail("features of tiles are no numbers");
    if (draft_begin(&d) != 0)
        return -1;
    for (size_t i = 0; i < features->count; i++)
        fprintf(d.text, "%.6g%c", (double)value[i], (i + 1) % width ? '\t' : '\n');
    return draft_end(&d, folder, "tiles.tsv");
}

/* A cell: one in which nothing ends a cell or a line, whatever the text is. */
static void put_text(FILE *f, const json_t *text, char end)
{
    char clean[PATH_MAX];
    snprintf(clean, sizeof clean, "%s", json_is_string(text) ? json_string_value(text) : "");
    sb_text_clean(clean);
    fprintf(f, "%s%c", clean, end);
}

static int write_metadata(const char *folder, const json_t *findings)
{
    static const char *const numbers[] = { "left", "top", "page" };
    const size_t held = (size_t)json_integer_value(json_object_get(findings, "held"));
    draft d;
    size_t t;
    json_t *tile;
    if (draft_begin(&d) != 0)
        return -1;
    fputs("name\tlabel\tleft\ttop\tpage\tpart\n", d.text);
    json_array_foreach(json_object_get(findings, "tiles"), t, tile)
    {
        put_text(d.text, json_object_get(tile, "name"), '\t');
        put_text(d.text, json_object_get(tile, "label"), '\t');
        for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
            fprintf(d.text, "%" JSON_INTEGER_FORMAT "\t",
                    json_integer_value(json_object_get(tile, numbers[k])));
        fprintf(d.text, "%s\n", t < held ? "held out" : "train");
    }
    return draft_end(&d, folder, "metadata.tsv");
}

/* The side of a tile's cell in the atlas, its frame included; 0: the atlas is not what is said of it. */
static json_int_t pitch_of(const json_t *findings, const sb_events_picture *atlas)
{
    const json_int_t columns = json_integer_value(json_object_get(findings, "columns")),
                     cell = json_integer_value(json_object_get(findings, "cell")),
                     frame = json_integer_value(json_object_get(findings, "frame")),
                     tiles = (json_int_t)json_array_size(json_object_get(findings, "tiles"));
    if (columns < 1 || cell < 1 || frame < 0 || cell > atlas->width || frame > atlas->width)
        return 0;
    const json_int_t pitch = cell + 2 * frame;
    return columns == atlas->width / pitch && tiles <= columns * (atlas->height / pitch) ? pitch : 0;
}

static int write_config(const char *folder, const sb_npy *features, json_int_t pitch)
{
    draft d;
    if (draft_begin(&d) != 0)
        return -1;
    fprintf(d.text,
            "embeddings {\n"
            "  tensor_name: \"tiles\"\n"
            "  tensor_shape: %lld\n"
            "  tensor_shape: %lld\n"
            "  tensor_path: \"tiles.tsv\"\n"
            "  metadata_path: \"metadata.tsv\"\n"
            "  sprite {\n"
            "    image_path: \"sprite.jpg\"\n"
            "    single_image_dim: %lld\n"
            "    single_image_dim: %lld\n"
            "  }\n"
            "}\n",
            (long long)features->side[0], (long long)features->side[1], (long long)pitch, (long long)pitch);
    return draft_end(&d, folder, "projector_config.pbtxt");
}

int sb_projector_write(const char *folder, const json_t *findings, const sb_npy *features,
                       const sb_events_picture *atlas)
{
    char sprite[PATH_MAX];
    const size_t tiles = json_array_size(json_object_get(findings, "tiles"));
    const json_int_t pitch = pitch_of(findings, atlas);
    if (features->dims != 2 || features->side[1] < 1 || tiles < 1 || (size_t)features->side[0] != tiles)
        return sb_fail("findings.npy has no features for %zu tiles of findings.json", tiles);
    if (json_integer_value(json_object_get(findings, "features")) !=
        (json_int_t)crc32_z(0, features->values, features->count * sizeof(float)))
        return sb_fail("findings.npy is of another evaluation than findings.json");
    if (pitch == 0)
        return sb_fail("findings.json: its atlas has no picture of each tile");
    return write_features(folder, features) != 0 || write_metadata(folder, findings) != 0 ||
                   sb_rundir_path(sprite, folder, "sprite.jpg") != 0 ||
                   sb_file_replace(sprite, atlas->bytes, atlas->count) != 0
               ? -1
               : write_config(folder, features, pitch);
}
