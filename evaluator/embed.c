/* embed.c: see embed.h. */
#include "evaluator/embed.h"

#include <csv.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "evaluator/walk.h"
#include "proto/error.h"
#include "proto/outfile.h"
#include "proto/program.h"
#include "proto/rundir.h"
#include "trainer/npy.h"

#define HEAD "path,page,left,top,side,label\n" /* of the list of tiles: by it a list of ours is known */

typedef struct {
    sb_outfile npy_output, csv_output;
    sb_settings config;
    sb_index index;
    sb_walk walk;
    uint64_t rows;
    sb_new_file npy, csv; /* begun: */
    bool npy_begun, csv_begun;
    FILE *list; /* writes to `csv` */
} embed;

/* Written again when the number of rows is known. */
static int write_header(embed *e, bool again)
{
    char header[SB_NPY_HEADER];
    const sb_npy array = { .dims = 2, .side = { (int64_t)e->rows, sb_encoder_width(e->walk.encoder) } };
    if (sb_npy_header(header, &array) != 0)
        return -1;
    return again ? sb_new_file_rewrite(&e->npy, 0, header, sizeof header)
                 : sb_new_file_write(&e->npy, header, sizeof header);
}

/* sb_walk_taker */
static int take(void *context, const sb_tile *tile, int tiles, const float *features)
{
    embed *e = context;
    const size_t floats = (size_t)tiles * (size_t)sb_encoder_width(e->walk.encoder);
    if (sb_new_file_write(&e->npy, features, floats * sizeof *features) != 0)
        return -1;
    for (int t = 0; t < tiles; t++) {
        const sb_image *image = &e->index.images[tile[t].image];
        const char *label = image->label == UINT32_MAX ? "" : e->index.labels[image->label];
        char path[PATH_MAX];
        sb_index_path_of(&e->index, image, path);
        if (csv_fwrite(e->list, path, strlen(path)) != 0 ||
            fprintf(e->list, ",%d,%d,%d,%d,", image->page, tile[t].left, tile[t].top, e->walk.tile) < 0 ||
            csv_fwrite(e->list, label, strlen(label)) != 0 || fputc('\n', e->list) == EOF)
            return sb_fail_errno("writing the list of tiles");
    }
    e->rows += (uint64_t)tiles;
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

static int write_all(embed *e)
{
    if (write_header(e, false) != 0)
        return -1;
    if (fputs(HEAD, e->list) == EOF)
        return sb_fail_errno("writing the list of tiles");
    return sb_walk_all(&e->walk, take, e) != 0 ? -1 : write_header(e, true);
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

int sb_embed(const char *run_dir, bool best, const char *data, char *const *assignments, int assignment_count,
             int threads, const char *output)
{
    char csv[PATH_MAX];
    size_t length = strlen(output),
           stem = length > 4 && strcmp(output + length - 4, ".npy") == 0 ? length - 4 : length;
    if (snprintf(csv, sizeof csv, "%.*s.csv", (int)stem, output) >= (int)sizeof csv)
        return sb_fail("%s: the path is too long", output);
    embed e = { .npy_output = sb_outfile_look(output), .csv_output = sb_outfile_look(csv) };
    int rc = open_files(&e, run_dir, data, assignments, assignment_count);
    if (rc == 0)
        rc = sb_walk_create(&e.walk, run_dir, best, &e.config, &e.index, threads);
    if (rc == 0 && write_all(&e) != 0)
        rc = sb_context("%s", output);
    if (close_files(&e, rc == 0) != 0)
        rc = -1;
    if (rc == 0) {
        printf("%s: %" PRIu64 " x %d features, tiles in %s\n", output, e.rows,
               sb_encoder_width(e.walk.encoder), csv);
        if (e.walk.left_out)
            printf("%" PRIu64 " tile%s left out\n", e.walk.left_out, sb_plural(e.walk.left_out));
    }
    sb_walk_free(&e.walk);
    sb_index_free(&e.index);
    return rc;
}
