/* embed.c: see embed.h. */
#include "evaluator/embed.h"

#include <csv.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "augment/view.h"
#include "evaluator/encoder.h"
#include "loader/decode.h"
#include "loader/index.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "proto/process.h"
#include "proto/rundir.h"
#include "trainer/npy.h"

#define BATCH 32 /* tiles that are encoded at once */
#define NOTE_NS 10000000000ull

typedef struct {
    sb_settings config;
    sb_index index;
    sb_device *device;
    sb_encoder *encoder;
    sb_decoder *decoder;
    int tile, side;
    void *scratch;
    uint8_t *pixels, *views; /* a decoded tile; [BATCH, side, side, channels] */
    float *features;         /* [BATCH, width] */
    int waiting;             /* views that are not encoded yet */
    uint64_t rows, left_out;
    uint32_t
        unusable; /* sb_image.file of the last image that cannot be decoded: its other tiles are not tried */
    FILE *npy, *csv;
    uint64_t begun, noted;
} embed;

/* Written again when the number of rows is known. */
static int write_header(embed *e)
{
    char header[SB_NPY_HEADER];
    const sb_npy array = { .dims = 2, .side = { (int64_t)e->rows, sb_encoder_width(e->encoder) } };
    if (sb_npy_header(header, &array) != 0)
        return -1;
    return fseek(e->npy, 0, SEEK_SET) == 0 && fwrite(header, sizeof header, 1, e->npy) == 1
               ? 0
               : sb_fail_errno("writing features");
}

static int encode(embed *e)
{
    if (e->waiting == 0)
        return 0;
    size_t floats = (size_t)e->waiting * (size_t)sb_encoder_width(e->encoder);
    if (sb_encoder_features(e->encoder, e->views, e->waiting, e->features) != 0)
        return -1;
    if (fwrite(e->features, sizeof *e->features, floats, e->npy) != floats)
        return sb_fail_errno("writing features");
    e->waiting = 0;
    if (sb_now() - e->noted >= NOTE_NS) {
        e->noted = sb_now();
        sb_note("%" PRIu64 " tiles, %.1f a second", e->rows,
                (double)e->rows * 1e9 / (double)(e->noted - e->begun));
    }
    return 0;
}

static int add(embed *e, const sb_image *image, int left, int top)
{
    const sb_decode_source source = sb_index_source(image);
    uint64_t read_ns = 0, decode_ns = 0;
    bool known = image->file == e->unusable;
    int rc = known
                 ? 1
                 : sb_decoder_tile(e->decoder, &source, left, top, e->tile, e->pixels, &read_ns, &decode_ns);
    if (rc > 0) {
        e->left_out++;
        if (!known)
            sb_note("left out: %s", sb_error());
        if (rc == 1)
            e->unusable = image->file;
        return 0;
    }
    sb_view_params params;
    sb_view_clean(e->tile, e->tile, e->side, &params);
    uint8_t *out = e->views +
                   (size_t)e->waiting * (size_t)e->side * (size_t)e->side * (size_t)e->config.data.channels;
    const sb_view_how how = { .params = &params, .count = 1, .out = &out, .max_size = e->side };
    sb_shape tile = sb_view_tile(e->tile, e->tile, e->config.data.channels);
    if (rc < 0 || sb_view(e->device, &how, tile, e->pixels, e->scratch) != 0)
        return -1;
    const char *label = image->label == UINT32_MAX ? "" : e->index.labels[image->label];
    if (csv_fwrite(e->csv, image->path, strlen(image->path)) != 0 ||
        fprintf(e->csv, ",%d,%d,%d,%d,", image->page, left, top, e->tile) < 0 ||
        csv_fwrite(e->csv, label, strlen(label)) != 0 || fputc('\n', e->csv) == EOF)
        return sb_fail_errno("writing the list of tiles");
    e->rows++;
    e->waiting++;
    return e->waiting == BATCH ? encode(e) : 0;
}

static int add_image(embed *e, const sb_image *image)
{
    if (image->placed)
        return add(e, image, image->left, image->top);
    int columns = image->width / e->tile, rows = image->height / e->tile;
    for (int y = 0; y < (rows ? rows : 1); y++)
        for (int x = 0; x < (columns ? columns : 1); x++)
            if (add(e, image, x * e->tile, y * e->tile) != 0)
                return -1;
    return 0;
}

/* The run's settings, with other data and the command line's. */
static int read_keys(sb_settings *out, const char *run_dir, const char *data, char *const *assignments,
                     int count)
{
    sb_config config;
    int rc = sb_config_read_run(&config, run_dir);
    if (rc == 0)
        rc = sb_config_settle(&config, "data.path", data);
    for (int i = 0; rc == 0 && i < count; i++)
        rc = sb_config_set(&config, assignments[i]);
    if (rc == 0)
        rc = sb_settings_read(out, &config);
    for (int i = 0; rc == 0 && i < out->data.guide_count; i++) /* other data need not have the columns */
        out->data.guides[i].weight = 0;
    sb_config_free(&config);
    return rc;
}

static int setup(embed *e, const char *run_dir, const char *data, char *const *assignments,
                 int assignment_count, int threads)
{
    int64_t step;
    if (read_keys(&e->config, run_dir, data, assignments, assignment_count) != 0 ||
        sb_index_scan(&e->index, &e->config.data, &e->config.loader) != 0)
        return -1;
    sb_index_note_skipped(&e->index);
    int channels = e->config.data.channels;
    e->tile = e->config.data.tile;
    e->side = e->config.evaluate.size ? e->config.evaluate.size : e->config.data.view;
    sb_shape tile = sb_view_tile(e->tile, e->tile, channels);
    if (sb_device_cpu(&e->device, threads) != 0 ||
        sb_encoder_create(&e->encoder, e->device, &e->config, e->side) != 0 ||
        sb_decoder_create(&e->decoder, channels, sb_index_largest(&e->index, channels),
                          e->config.data.untrusted) != 0 ||
        e->device->alloc(e->device, sb_view_scratch(e->device, tile, 1, e->side), &e->scratch) != 0)
        return -1;
    e->pixels = sb_zeroed((size_t)e->tile * (size_t)e->tile, (size_t)channels, "a tile's pixels");
    e->views = sb_zeroed(BATCH * (size_t)e->side * (size_t)e->side, (size_t)channels, "the views of a batch");
    e->features = sb_zeroed(BATCH * (size_t)sb_encoder_width(e->encoder), sizeof *e->features,
                            "the features of a batch");
    if (!e->pixels || !e->views || !e->features)
        return -1;
    int found = sb_encoder_load(e->encoder, run_dir, &step);
    if (found < 0)
        return -1;
    if (found == 0)
        return sb_fail("%s has no checkpoint yet", run_dir);
    return 0;
}

static int write_all(embed *e)
{
    e->begun = e->noted = sb_now();
    if (write_header(e) != 0 || fputs("path,page,left,top,side,label\n", e->csv) == EOF)
        return sb_fail_errno("writing features");
    for (uint32_t i = 0; i < e->index.count; i++)
        if (add_image(e, &e->index.images[i]) != 0)
            return -1;
    if (encode(e) != 0)
        return -1;
    if (e->rows == 0)
        return sb_fail("none of %" PRIu32 " images can be decoded", e->index.count);
    return write_header(e);
}

static int close_file(FILE **file, const char *path)
{
    int rc = *file && (fflush(*file) != 0 || fsync(fileno(*file)) != 0) ? sb_fail_errno("writing %s", path)
                                                                        : 0;
    if (*file && fclose(*file) != 0 && rc == 0)
        rc = sb_fail_errno("writing %s", path);
    *file = NULL;
    return rc;
}

int sb_embed(const char *run_dir, const char *data, char *const *assignments, int assignment_count,
             int threads, const char *output)
{
    char csv[PATH_MAX], npy_part[PATH_MAX], csv_part[PATH_MAX];
    size_t length = strlen(output),
           stem = length > 4 && strcmp(output + length - 4, ".npy") == 0 ? length - 4 : length;
    if (snprintf(csv, sizeof csv, "%.*s.csv", (int)stem, output) >= (int)sizeof csv ||
        snprintf(npy_part, sizeof npy_part, "%s.part", output) >= (int)sizeof npy_part ||
        snprintf(csv_part, sizeof csv_part, "%s.part", csv) >= (int)sizeof csv_part)
        return sb_fail("%s: the path is too long", output);
    embed e = { .unusable = UINT32_MAX };
    int rc = setup(&e, run_dir, data, assignments, assignment_count, threads);
    if (rc == 0 && (!(e.npy = fopen(npy_part, "we")) || !(e.csv = fopen(csv_part, "we"))))
        rc = sb_fail_errno("creating %s", e.npy ? csv_part : npy_part);
    if (rc == 0 && write_all(&e) != 0)
        rc = sb_context("%s", output);
    if (close_file(&e.npy, npy_part) != 0 || close_file(&e.csv, csv_part) != 0)
        rc = -1;
    if (rc == 0 && (rename(csv_part, csv) != 0 || rename(npy_part, output) != 0))
        rc = sb_fail_errno("renaming to %s", output);
    if (rc == 0) {
        printf("%s: %" PRIu64 " x %d features, tiles in %s\n", output, e.rows, sb_encoder_width(e.encoder),
               csv);
        if (e.left_out)
            printf("%" PRIu64 " tiles were left out\n", e.left_out);
    } else {
        unlink(npy_part);
        unlink(csv_part);
    }
    if (e.scratch)
        e.device->release(e.device, e.scratch);
    free(e.pixels);
    free(e.views);
    free(e.features);
    sb_decoder_destroy(&e.decoder);
    sb_encoder_destroy(&e.encoder);
    sb_device_close(&e.device);
    sb_index_free(&e.index);
    return rc;
}
