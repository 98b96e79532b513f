/* main.c of sb_loader: decodes tiles for a run (serve), and shows or freezes the index of a data set, or
 * looks at what a run gave up (index). */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/index/index.h"   /* sb_index_* */
#include "loader/index/picture.h" /* sb_index_picture */
#include "loader/quarantine.h"    /* sb_quarantine_* */
#include "loader/recheck.h"       /* sb_recheck */
#include "loader/serve.h"         /* sb_serve */
#include "proto/error.h"          /* sb_fail */
#include "proto/outfile.h"        /* sb_outfile_* */
#include "proto/program.h"        /* sb_program_* */
#include "proto/rundir.h"         /* sb_rundir_* */

typedef struct {
    const char *command, *path;
    bool freeze, decode, recheck;
    const char *picture; /* NULL: none */
    char **assignments;
    int assignment_count;
} arguments;

/* ---- index --------------------------------------------------------------------------------------------- */

static void print_row(const sb_index *x, const sb_image *m)
{
    char path[PATH_MAX];
    printf("  %6d x %-6d  %4" PRIu32 " tile%s%s  %s", m->width, m->height, m->tiles,
           m->tiles == 1 ? " " : "s", /* in a column */
           m->train.width == 0 ? ", held out"
           : m->test.width > 0 ? ", a strip held out"
                               : "",
           sb_index_path_of(x, m, path));
    if (m->page > 0)
        printf(", page %d", m->page);
    if (m->placed)
        printf(" at (%d, %d)", m->left, m->top);
    printf("\n");
}

static void print_report(const sb_index *x, const sb_data_keys *data, int test_tiles)
{
    uint32_t trained = 0, held = 0, whole_held = 0, random_access = 0, placed = 0;
    for (uint32_t i = 0; i < x->count; i++) {
        trained += x->images[i].tiles > 0;
        held += x->images[i].test.width > 0;
        whole_held += x->images[i].train.width == 0;
        random_access += x->images[i].random_access;
        placed += x->images[i].placed;
    }
    printf("%s\n", data->path);
    printf("  images        %" PRIu32 " (%" PRIu32 " decode tile by tile, the others whole)\n", x->count,
           random_access);
    printf("  labels        %" PRIu32 "\n", x->label_count);
    const uint64_t samples = x->samples * (uint64_t)data->tiles_per_image;
    printf("  trained on    %" PRIu32 " image%s, %" PRIu64 " tile%s of %d x %d an epoch, placed %s\n",
           trained, sb_plural(trained), samples, sb_plural(samples), x->tile, x->tile,
           placed > 0                       ? "by the manifest"
           : data->place == SB_PLACE_RANDOM ? "at random"
                                            : "on a grid");
    printf("  held out      %d tile%s of %" PRIu32 " image%s (%" PRIu32 " of them whole)\n", test_tiles,
           sb_plural((uint64_t)test_tiles), held, sb_plural(held), whole_held);
    if (test_tiles < SB_HELD_LEAST && sb_index_fail_held(test_tiles, x->tile) != 0)
        printf("note: %s\n", sb_error());
    for (uint32_t i = 0; i < x->count; i++)
        print_row(x, &x->images[i]);
    for (uint32_t i = 0; i < x->remark_count; i++)
        printf("note: %s\n", x->remarks[i]);
    if (x->skipped_count > 0)
        printf("not used: %" PRIu32 " file%s\n", x->skipped_count, sb_plural(x->skipped_count));
    for (uint32_t i = 0; i < x->skipped_count; i++)
        printf("  %s\n", x->skipped[i].reason);
    if (x->passed_count > 0)
        printf("passed over, as not meant to be images:\n");
    for (uint32_t i = 0; i < x->passed_count; i++)
        printf("  %6" PRIu32 " %-8s  %s (%s)\n", x->passed[i].count,
               x->passed[i].suffix[0] ? x->passed[i].suffix : "(none)", x->passed[i].reason,
               x->passed[i].first);
    if (x->twins > 0)
        printf("the same content twice: %" PRIu32
               " files, %s and %s for one; they stay in one part of the data\n",
               x->twins, x->twin_first, x->twin_other);
}

/* RUN/index.png, for people: a run needs none. */
static void draw_run(const sb_index *x, const sb_data_keys *data, double timeout, const char *run_dir)
{
    char path[PATH_MAX];
    if (sb_rundir_path(path, run_dir, "index.png") != 0 || sb_index_picture(x, data, timeout, path) != 0)
        sb_note("%s", sb_error());
}

/* Writes the index, and quarantine.jsonl with the files that are left out from the start; too many of them
 * are an error. */
static int freeze(const sb_index *x, const sb_data_keys *data, double timeout, int test_tiles,
                  const char *run_dir)
{
    double files = x->skipped_count;
    char quarantine[PATH_MAX];
    if (sb_rundir_path(quarantine, run_dir, "quarantine.jsonl") != 0)
        return -1;
    for (uint32_t i = 0; i < x->count; i++)
        files += x->images[i].file == i;
    sb_index_note_left_out(x);
    sb_index_note_remarks(x);
    if (test_tiles < SB_HELD_LEAST && sb_index_fail_held(test_tiles, x->tile) != 0)
        sb_note("nothing can be measured: %s", sb_error());
    if (x->skipped_count > data->max_bad * files)
        return sb_fail("%" PRIu32 " of %.0f images in %s cannot be used, more than data.max_bad = %g allows: "
                       "mend or remove the files, or raise "
                       "data.max_bad",
                       x->skipped_count, files, data->path, data->max_bad);
    if (unlink(quarantine) != 0 && errno != ENOENT) /* of one that was interrupted */
        return sb_fail_errno("removing %s", quarantine);
    for (uint32_t i = 0; i < x->skipped_count; i++)
        if (sb_quarantine_append(run_dir, x->skipped[i].path, x->skipped[i].page, NULL,
                                 x->skipped[i].reason) != 0)
            return -1;
    if (x->range[0] != '\0' && sb_config_settle_run(run_dir, "data.range", x->range) != 0)
        return -1;
    draw_run(x, data, timeout, run_dir); /* before the index: one that was interrupted is made anew */
    return sb_index_write(x, run_dir);
}

/* The keys of the data in `path` with those of the command line: only the loaders' matter here. */
static int read_assignments(const arguments *a, sb_data_keys *data, sb_loader_keys *keys)
{
    static const sb_key_table *const tables[] = { &sb_data_table, &sb_guide_table, &sb_loader_table, NULL };
    sb_config config;
    sb_config_init(&config);
    int rc = 0;
    for (int i = 0; rc == 0 && i < a->assignment_count; i++)
        rc = sb_config_set(&config, a->assignments[i]);
    if (rc == 0)
        rc = sb_config_settle(&config, "data.path", a->path);
    if (rc == 0 && (sb_config_check(&config, tables) != 0 || sb_loader_keys_read(&config, data, keys) != 0))
        rc = -1;
    sb_config_free(&config);
    return rc;
}

static void print_rechecked(void *context, const sb_rechecked *image)
{
    (void)context;
    printf("%s%s", image->back ? "back: " : "stays out: ", image->name);
    if (image->page > 0)
        printf(", page %d", image->page);
    printf("%s%s\n", image->back ? "" : ": ", sb_quarantine_reason(image->name, image->reason));
}

/* The quarantine of a run directory. */
static int recheck(const arguments *a)
{
    sb_data_keys data;
    sb_loader_keys keys;
    return sb_loader_keys_of_run(a->path, &data, &keys) == 0
               ? sb_recheck(a->path, &data, &keys, print_rechecked, NULL)
               : -1;
}

/* Whether the picture may be written: before there is an index, and then whether it would replace one of the
 * images. */
static int check_picture(const arguments *a, const sb_data_keys *data, const sb_index *x)
{
    char path[PATH_MAX];
    const sb_outfile output = sb_outfile_look(a->picture ? a->picture : "");
    if (!a->picture)
        return 0;
    if (sb_outfile_check(&output) != 0 || sb_outfile_check_input(&output, data->path) != 0)
        return -1;
    for (uint32_t i = 0; x && i < x->count; i++)
        if (x->images[i].file == i &&
            sb_outfile_check_input(&output, sb_index_path_of(x, &x->images[i], path)) != 0)
            return -1;
    return 0;
}

static int index_data(const arguments *a)
{
    sb_data_keys data;
    sb_loader_keys keys;
    sb_index x;
    sb_tile *tiles;
    char path[PATH_MAX];
    const bool run = sb_rundir_check(a->path) == 0;
    if ((a->freeze || a->recheck) && !run)
        return -1;
    if (a->recheck)
        return recheck(a);
    if (a->freeze && (sb_rundir_path(path, a->path, "index.bin") != 0 || access(path, F_OK) == 0))
        return sb_fail("%s has its index, which does not change", a->path);
    if ((run ? sb_loader_keys_of_run(a->path, &data, &keys) : read_assignments(a, &data, &keys)) != 0 ||
        check_picture(a, &data, NULL) != 0 || sb_index_scan(&x, &data, &keys, a->decode) != 0)
        return -1;
    int test_tiles = sb_index_test_tiles(&x, INT_MAX / 64, &tiles), rc = 0;
    if (test_tiles < 0)
        rc = -1;
    else if (x.range[0] != '\0' && !sb_range_take(x.range, &data.samples))
        rc = sb_fail("data.range=%s was found, which is no range: data.range=A..B says it", x.range);
    else if (a->freeze)
        rc = freeze(&x, &data, keys.timeout, test_tiles, a->path);
    else
        print_report(&x, &data, test_tiles);
    if (rc == 0 && a->picture)
        rc = check_picture(a, &data, &x) != 0 ? -1 : sb_index_picture(&x, &data, keys.timeout, a->picture);
    free(tiles);
    sb_index_free(&x);
    return rc;
}

enum { KEY_FREEZE = 0x100, KEY_DECODE, KEY_RECHECK };

static error_t parse(int key, char *argument, struct argp_state *state)
{
    arguments *a = state->input;
    switch (key) {
    case KEY_FREEZE: a->freeze = true; break;
    case KEY_DECODE: a->decode = true; break;
    case KEY_RECHECK: a->recheck = true; break;
    case 'o': a->picture = argument; break;
    case ARGP_KEY_ARG:
        if (!a->command) {
            a->command = argument;
        } else if (!a->path) {
            a->path = argument;
        } else if (strcmp(a->command, "index") == 0) {
            a->assignments = &state->argv[state->next - 1];
            a->assignment_count = state->argc - state->next + 1;
            state->next = state->argc;
        } else {
            return sb_program_wrong("%s: one argument too many: %s (--help)", a->command, argument);
        }
        break;
    case ARGP_KEY_END:
        if (!a->path)
            return sb_program_wrong("%s: a folder, a manifest or a run directory was expected (--help)",
                                    a->command ? a->command : "serve or index");
        return sb_program_check_options(state, a->command);
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int main(int argc, char **argv)
{
    const struct argp_option options[] = {
        { "freeze", KEY_FREEZE, NULL, 0,
          "index: write index.bin, index.csv and index.png of the run directory", 0 },
        { "decode", KEY_DECODE, NULL, 0, "index: read every pixel, as training would", 0 },
        { "recheck", KEY_RECHECK, NULL, 0,
          "index: try the files in a run's quarantine again, and take those that are well out of it", 0 },
        { "picture", 'o', "FILE.png", 0, "index: draw it, too, as a page of small pictures", 0 },
        { 0 },
    };
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "serve RUN_DIR\nindex DATA|RUN_DIR [KEY=VALUE...]",
        .doc = "Decodes tiles for a run, or shows what of a data set would be trained on. Started by ./run."
    };
    arguments a = { 0 };
    sb_program_begin("loader");
    sb_program_arguments(&argp, argc, argv, &a);
    int rc = strcmp(a.command, "serve") == 0 ? sb_serve(a.path)
             : strcmp(a.command, "index") == 0
                 ? index_data(&a)
                 : sb_fail("no command `%s`; there are serve and index", a.command);
    return sb_program_end(rc);
}
