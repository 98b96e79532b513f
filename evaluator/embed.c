/* embed.c: see embed.h. */
#include "evaluator/embed.h"

#include <csv.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "augment/view.h"
#include "evaluator/encoder.h"
#include "loader/readers/decoder.h"
#include "loader/index/index.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "proto/outfile.h"
#include "proto/process.h"
#include "proto/program.h"
#include "proto/rundir.h"
#include "trainer/npy.h"

#define BATCH 32 /* tiles that are encoded at once */
#define NOTE_NS 10000000000ull
#define HEAD "path,page,left,top,side,label\n" /* of the list of tiles: by it a list of ours is known */

typedef struct {
    sb_outfile npy_output, csv_output;
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
    sb_new_file npy, csv; /* begun: */
    bool npy_begun, csv_begun;
    FILE *list; /* writes to `csv` */
    uint64_t begun, noted;
} embed;

/* Written again when the number of rows is known. */
static int write_header(embed *e, bool again)
{
    char header[SB_NPY_HEADER];
    const sb_npy array = { .dims = 2, .side = { (int64_t)e->rows, sb_encoder_width(e->encoder) } };
    if (sb_npy_header(header, &array) != 0)
        return -1;
    return again ? sb_new_file_rewrite(&e->npy, 0, header, sizeof header)
                 : sb_new_file_write(&e->npy, header, sizeof header);
}

static int encode(embed *e)
{
    if (e->waiting == 0)
        return 0;
    size_t floats = (size_t)e->waiting * (size_t)sb_encoder_width(e->encoder);
    if (sb_encoder_features(e->encoder, e->views, e->waiting, e->features) != 0 ||
        sb_new_file_write(&e->npy, e->features, floats * sizeof *e->features) != 0)
        return -1;
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
    char path[PATH_MAX];
    const sb_decode_source source = sb_index_source(&e->index, image, path);
    uint64_t read_ns = 0, decode_ns = 0;
    bool known = image->file == e->unusable;
    int rc = known
                 ? 1
                 : sb_decoder_tile(e->decoder, &source, left, top, e->tile, e->pixels, &read_ns, &decode_ns);
    if (rc > 0) {
        e->left_out++;
        if (!known)
            sb_note("left out: %s", sb_error());
        if (rc != SB_DECODE_TILE)
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
    if (csv_fwrite(e->list, path, strlen(path)) != 0 ||
        fprintf(e->list, ",%d,%d,%d,%d,", image->page, left, top, e->tile) < 0 ||
        csv_fwrite(e->list, label, strlen(label)) != 0 || fputc('\n', e->list) == EOF)
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

/* Before the data set is looked through. */
static int check_output(const embed *e, const sb_outfile *o, const char *run_dir)
{
    return sb_outfile_check(o) != 0 || sb_outfile_check_run(o, run_dir) != 0 ||
                   sb_outfile_check_input(o, e->config.data.path) != 0
               ? -1
               : 0;
}

/* Neither output is an image of the data set, nor a file that was meant to be one. */
static int check_images(const embed *e)
{
    const sb_outfile *const outputs[] = { &e->npy_output, &e->csv_output };
    char path[PATH_MAX];
    for (int k = 0; k < 2; k++) {
        for (uint32_t i = 0; i < e->index.count; i++)
            if (e->index.images[i].file == i &&
                sb_outfile_check_input(outputs[k], sb_index_path_of(&e->index, &e->index.images[i], path)) !=
                    0)
                return -1;
        for (uint32_t i = 0; i < e->index.skipped_count; i++)
            if (sb_index_path(&e->index, e->index.skipped[i].path, path) != 0 ||
                sb_outfile_check_input(outputs[k], path) != 0)
                return -1;
    }
    return 0;
}

/* What is read, and where it goes: all that can be wrong with names, before anything is computed. */
static int open_files(embed *e, const char *run_dir, const char *data, char *const *assignments, int count)
{
    if (read_keys(&e->config, run_dir, data, assignments, count) != 0 ||
        check_output(e, &e->npy_output, run_dir) != 0 || check_output(e, &e->csv_output, run_dir) != 0 ||
        sb_outfile_check_ours(&e->csv_output, HEAD, "a list of tiles that embed wrote") != 0 ||
        sb_index_scan(&e->index, &e->config.data, &e->config.loader, false) != 0)
        return -1;
    sb_index_note_left_out(&e->index);
    sb_index_note_remarks(&e->index);
    if (check_images(e) != 0)
        return -1;
    e->npy_begun = sb_new_file_begin(&e->npy, e->npy_output.path) == 0;
    e->csv_begun = e->npy_begun && sb_new_file_begin(&e->csv, e->csv_output.path) == 0;
    if (!e->csv_begun)
        return -1;
    const int fd = dup(e->csv.fd);
    e->list = fd < 0 ? NULL : fdopen(fd, "w");
    return e->list ? 0 : sb_fail_errno("%s", e->csv_output.path);
}

static int setup(embed *e, const char *run_dir, int threads)
{
    int64_t step;
    int channels = e->config.data.channels;
    e->tile = e->config.data.tile;
    e->side = e->config.evaluate.size ? e->config.evaluate.size : e->config.data.view;
    sb_shape tile = sb_view_tile(e->tile, e->tile, channels);
    if (sb_device_cpu(&e->device, threads) != 0 ||
        sb_encoder_create(&e->encoder, e->device, &e->config, e->side) != 0 ||
        sb_decoder_create(&e->decoder, &e->config.data.samples, sb_index_largest(&e->index, channels),
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
    if (write_header(e, false) != 0)
        return -1;
    if (fputs(HEAD, e->list) == EOF)
        return sb_fail_errno("writing the list of tiles");
    for (uint32_t i = 0; i < e->index.count; i++)
        if (add_image(e, &e->index.images[i]) != 0)
            return -1;
    if (encode(e) != 0)
        return -1;
    if (e->rows == 0)
        return sb_fail("none of %" PRIu32 " images can be decoded", e->index.count);
    return write_header(e, true);
}

/* Both files or neither: a signal that comes meanwhile waits. */
static int close_files(embed *e, bool whole)
{
    int rc = whole ? 0 : -1;
    sb_program_hold();
    if (e->list && fclose(e->list) != 0 && rc == 0)
        rc = sb_fail_errno("writing %s", e->csv_output.path);
    if (e->npy_begun && sb_new_file_end(&e->npy, rc == 0) != 0)
        rc = -1;
    if (e->csv_begun && sb_new_file_end(&e->csv, rc == 0) != 0)
        rc = -1;
    sb_program_go_on();
    return rc;
}

int sb_embed(const char *run_dir, const char *data, char *const *assignments, int assignment_count,
             int threads, const char *output)
{
    char csv[PATH_MAX];
    size_t length = strlen(output),
           stem = length > 4 && strcmp(output + length - 4, ".npy") == 0 ? length - 4 : length;
    if (snprintf(csv, sizeof csv, "%.*s.csv", (int)stem, output) >= (int)sizeof csv)
        return sb_fail("%s: the path is too long", output);
    embed e = { .unusable = UINT32_MAX,
                .npy_output = sb_outfile_look(output),
                .csv_output = sb_outfile_look(csv) };
    int rc = open_files(&e, run_dir, data, assignments, assignment_count);
    if (rc == 0)
        rc = setup(&e, run_dir, threads);
    if (rc == 0 && write_all(&e) != 0)
        rc = sb_context("%s", output);
    if (close_files(&e, rc == 0) != 0)
        rc = -1;
    if (rc == 0) {
        printf("%s: %" PRIu64 " x %d features, tiles in %s\n", output, e.rows, sb_encoder_width(e.encoder),
               csv);
        if (e.left_out)
            printf("%" PRIu64 " tiles were left out\n", e.left_out);
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
