/* Files that somebody may have edited, or a crash damaged: configuration, index, manifest, safetensors,
 * status, logs, quarantine. */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <sys/wait.h>
#include <vips/vips.h>

#include "evaluator/pictures.h"
#include "evaluator/report.h"
#include "loader/index/index.h"
#include "loader/quarantine.h"
#include "proto/rundir.h"
#include "trainer/configuration.h"
#include "trainer/safetensors.h"
#include "trainer/status.h"

static char folder[] = "/tmp/smallbatch-fuzz-XXXXXX";

static void write_file(const char *name, const void *data, size_t bytes)
{
    char path[PATH_MAX];
    assert_int_equal(sb_rundir_path(path, folder, "%s", name), 0);
    unlink(path); /* a file that is cut and written again goes to the disk at once: ext4 takes it for a
                     replacement */
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, bytes), bytes);
    close(fd);
}

static fuzz_seed read_file(const char *path)
{
    char *data;
    size_t bytes;
    if (sb_file_read(path, FUZZ_MAX, &data, &bytes) != 0)
        fail_msg("%s", sb_error());
    return (fuzz_seed){ data, bytes };
}

static fuzz_seed seed_of(const char *text) { return (fuzz_seed){ text, strlen(text) }; }

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    const char *names[] = { "index.bin",     "index.csv",        "manifest.csv",     "status.json",
                            "metrics.jsonl", "evaluation.jsonl", "quarantine.jsonl", "image.png",
                            "other.png",     "seed.safetensors" };
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (sb_rundir_path(path, folder, "%s", names[i]) == 0)
            unlink(path);
    return rmdir(folder);
}

/* ---- configuration ------------------------------------------------------------------------------------- */

/* What is accepted prints as text that reads back to the same text. */
static bool read_config(const uint8_t *data, size_t bytes)
{
    static sb_settings settings;
    sb_config config;
    char path[64], *text[2];
    int fd = fuzz_file(data, bytes, path, sizeof path), sizes[SB_VIEWS_MAX];
    sb_config_init(&config);
    bool accepted = sb_config_read(&config, path) == 0 && sb_settings_read(&settings, &config) == 0;
    close(fd);
    if (!accepted) {
        sb_config_free(&config);
        return false;
    }
    assert_in_range(settings.view_count, 1, SB_VIEWS_MAX);
    assert_in_range(sb_view_sizes(settings.views, settings.view_count, sizes), 1, SB_VIEWS_MAX);
    const int64_t steps = settings.trainer.steps;
    for (int64_t step = 0, until; step < steps; step = until) {
        until = sb_view_sides_at(settings.views, settings.view_count, step, steps);
        assert_in_range(until, step + 1, steps);
    }
    for (int i = 0; i < 2; i++) {
        text[i] = sb_config_text(&config, sb_tables, false);
        sb_config_free(&config);
        assert_non_null(text[i]);
        fd = fuzz_file(text[i], strlen(text[i]), path, sizeof path);
        if (sb_config_read(&config, path) != 0 || sb_settings_read(&settings, &config) != 0)
            fail_msg("%s: %s", sb_error(), text[i]);
        close(fd);
    }
    sb_config_free(&config);
    assert_string_equal(text[0], text[1]);
    free(text[0]);
    free(text[1]);
    return true;
}

static void test_configurations(void **state)
{
    (void)state;
    sb_config config;
    sb_config_init(&config);
    assert_int_equal(sb_config_set(&config, "data.path=/tmp"), 0);
    char *all = sb_config_text(&config, sb_tables, false);
    sb_config_free(&config);
    const fuzz_seed seeds[] = {
        seed_of(all),
        seed_of("data: { path: '/tmp', tile: 96 }\nviews:\n  - { count: 2, size: 64, blur: 0.5 }\n"
                "optimiser: { name: lars, lr: 1e-3 }\nmethod: { name: simclr, temperature: 0.5 } # words\n"),
        seed_of("data: { path: '/tmp' }\nviews:\n  - { size: 64 96@0.25 128@0.5 }\n  - { size: 32, blur: 0.5 "
                "}\n")
    };
    fuzz(seeds, 3, 6000, read_config);
    free(all);
}

/* ---- index and manifest -------------------------------------------------------------------------------- */

static bool use_index(sb_index *x)
{
    sb_tile *tiles = NULL;
    int count = sb_index_test_tiles(x, 1000, &tiles);
    assert_in_range(count, 0, 1000);
    for (int i = 0; i < count; i++)
        assert_true(tiles[i].image < x->count);
    free(tiles);
    sb_index_free(x);
    return true;
}

static bool read_index(const uint8_t *data, size_t bytes)
{
    sb_index x;
    static const sb_data_keys keys = { .path = "photos", .tile = 64 };
    write_file("index.bin", data, bytes);
    if (sb_index_open(&x, folder, &keys) != 0) /* without the sum over all that sb_index_read asks first */
        return false;
    if (sb_index_check(&x) == 0)
        return use_index(&x);
    sb_index_free(&x);
    return false;
}

static int scan_manifest(sb_index *out)
{
    static sb_data_keys data = { .tile = 64, .channels = 3, .samples = { .channels = 3 } };
    const sb_loader_keys keys = { .timeout = 60 };
    assert_int_equal(sb_rundir_path(data.path, folder, "manifest.csv"), 0);
    return sb_index_scan(out, &data, &keys, false);
}

static bool read_manifest(const uint8_t *data, size_t bytes)
{
    sb_index x;
    write_file("manifest.csv", data, bytes);
    return scan_manifest(&x) == 0 && use_index(&x);
}

/* Regions that reach past what an int holds, and more tiles than anybody could list. */
static void test_hostile_indexes(void **state)
{
    (void)state;
    static const char names[] = "a.png\0../a.png\0"; /* the last byte is not the index's any more */
    const int huge = INT_MAX / 4;
    const struct {
        sb_image row;
        bool accepted;
    } cases[] = {
        { { .width = 400, .height = 300, .left = 380, .top = 10, .placed = 1, .test = { 380, 10, 64, 64 } },
          true },
        { { .width = 400,
            .height = 300,
            .left = 380,
            .top = 10,
            .placed = 1,
            .test = { INT_MAX, 10, 64, 64 } },
          false },
        { { .width = 400, .height = 300, .train = { 337, 0, 64, 64 }, .tiles = 1 }, false },
        { { .width = 400, .height = 300, .train = { 336, 0, 64, 64 }, .tiles = 2 }, false },
        { { .width = huge, .height = huge, .random_access = 1, .test = { 0, 0, huge, huge } }, true },
        { { .width = huge, .height = huge + 1, .random_access = 1, .test = { 0, 0, huge, huge } }, false },
        { { .name = 6, .width = 400, .height = 300, .test = { 0, 0, 400, 300 } }, false },
        { { .name = 15, .width = 400, .height = 300, .test = { 0, 0, 400, 300 } }, false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[PATH_MAX];
        sb_image row = cases[i].row;
        row.label = UINT32_MAX;
        memset(row.value, 0xff, sizeof row.value);
        const sb_index index = { .images = &row,
                                 .count = 1,
                                 .names = names,
                                 .name_bytes = sizeof names - 1,
                                 .tile = 64,
                                 .root = path };
        assert_int_equal(sb_index_write(&index, folder), 0);
        assert_int_equal(sb_rundir_path(path, folder, "index.bin"), 0);
        const fuzz_seed written = read_file(path);
        if (fuzz_one(read_index, written.data, written.bytes) != cases[i].accepted)
            fail_msg("case %zu: %s", i, sb_error());
        free((void *)written.data);
    }
}

/* In a process of its own: libvips leaves threads behind, and the scan forks, which a process with one thread
 * alone may do. Returns 0, or 1. */
static int make_images(void)
{
    char paths[2][PATH_MAX];
    VipsImage *black, *white;
    return VIPS_INIT("test_files") != 0 || sb_rundir_path(paths[0], folder, "image.png") != 0 ||
           sb_rundir_path(paths[1], folder, "other.png") != 0 ||
           vips_black(&black, 400, 300, "bands", 3, NULL) != 0 || vips_pngsave(black, paths[0], NULL) != 0 ||
           vips_invert(black, &white, NULL) != 0 || vips_pngsave(white, paths[1], NULL) != 0;
}

/* Also the index that each manifest gives is a seed. */
static void test_manifests(void **state)
{
    (void)state;
    char path[PATH_MAX];
    int status;
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(make_images());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    const fuzz_seed manifests[] = {
        seed_of("path,label,group,split\nimage.png,a cat,1,train\nother.png,\"a \"\"dog\"\"\",2,train\n"),
        seed_of("path,left,top,split\nimage.png,0,0,train\nimage.png,64,10,train\nimage.png,300,236,test\n"),
    };
    fuzz(manifests, 2, 300, read_manifest);
    fuzz_seed indexes[2];
    for (int i = 0; i < 2; i++) {
        sb_index x;
        write_file("manifest.csv", manifests[i].data, manifests[i].bytes);
        assert_int_equal(scan_manifest(&x), 0);
        assert_int_equal(sb_index_write(&x, folder), 0);
        sb_index_free(&x);
        assert_int_equal(sb_rundir_path(path, folder, "index.bin"), 0);
        indexes[i] = read_file(path);
    }
    fuzz(indexes, 2, 5000, read_index);
    for (int i = 0; i < 2; i++)
        free((void *)indexes[i].data);
}

/* ---- safetensors --------------------------------------------------------------------------------------- */

/* Every byte of every tensor can be read, and nothing else is a tensor. */
static bool read_tensors(const uint8_t *data, size_t bytes)
{
    sb_safetensors file;
    char path[64];
    int fd = fuzz_file(data, bytes, path, sizeof path);
    int rc = sb_safetensors_open(&file, path);
    close(fd);
    if (rc != 0)
        return false;
    uint8_t read[FUZZ_MAX];
    size_t all = 0;
    for (int i = 0; i < file.count; i++) {
        assert_in_range(file.tensors[i].bytes, 0, sizeof read);
        assert_int_equal(sb_safetensors_read(&file, &file.tensors[i], 0, read, file.tensors[i].bytes), 0);
        assert_int_equal(sb_safetensors_read(&file, &file.tensors[i], 1, read, file.tensors[i].bytes), -1);
        all += file.tensors[i].bytes;
        assert_non_null(sb_safetensors_find(&file, file.tensors[i].name));
    }
    assert_true(all < bytes);
    sb_safetensors_metadata(&file, "step");
    sb_safetensors_close(&file);
    return true;
}

static const void *look(void *context, const sb_tensor *tensor, size_t at, size_t bytes)
{
    (void)context;
    (void)bytes;
    return (const char *)tensor->data + at;
}

static void test_safetensors(void **state)
{
    (void)state;
    const float weight[6] = { 1, 2, 3, 4, 5, 6 };
    const int64_t counter = 7;
    const uint8_t byte = 200;
    const sb_tensor tensors[] = {
        { .name = "conv1.weight",
          .type = SB_TENSOR_F32,
          .dims = 2,
          .shape = { 2, 3 },
          .data = weight,
          .bytes = sizeof weight },
        { .name = "bn1.num_batches_tracked",
          .type = SB_TENSOR_I64,
          .data = &counter,
          .bytes = sizeof counter },
        { .name = "flag", .type = SB_TENSOR_U8, .dims = 1, .shape = { 1 }, .data = &byte, .bytes = 1 },
    };
    const char *const metadata[] = { "step", "12", NULL };
    char path[PATH_MAX];
    assert_int_equal(sb_rundir_path(path, folder, "seed.safetensors"), 0);
    assert_int_equal(sb_safetensors_write(path, tensors, 3, metadata, look, NULL), 0);
    /* As other programs write it: no checksum, so that damage to the data is not what is found. */
    char foreign[128] = { 0 };
    int head = snprintf(
        foreign + 8, sizeof foreign - 8,
        "{\"w\":{\"dtype\":\"F16\",\"shape\":[2,1],\"data_offsets\":[0,4]},\"__metadata__\":{}}");
    foreign[0] = (char)head;
    const fuzz_seed seeds[] = { read_file(path), { foreign, (size_t)(8 + head + 4) } };
    fuzz(seeds, 2, 30000, read_tensors);
    free((void *)seeds[0].data);
}

/* ---- status and logs ----------------------------------------------------------------------------------- */

/* What goes to the screen is one line of text. */
static bool read_status(const uint8_t *data, size_t bytes)
{
    sb_status s;
    char line[256];
    write_file("status.json", data, bytes);
    if (sb_status_read(folder, &s) != 0 || sb_status_line(&s, line, sizeof line) != 0)
        return false;
    assert_true(s.step >= 0 && s.step <= s.steps && s.loaders >= 0);
    assert_true(s.tiles_ready <= s.tiles && s.views_ready <= s.views);
    assert_int_equal(sb_text_clean(line), 0);
    return true;
}

/* What is kept of a log are whole lines of it, in order. */
static bool truncate_log(const uint8_t *data, size_t bytes)
{
    write_file("metrics.jsonl", data, bytes);
    if (sb_log_truncate(folder, "metrics.jsonl", 2) != 0)
        return false;
    char path[PATH_MAX];
    assert_int_equal(sb_rundir_path(path, folder, "metrics.jsonl"), 0);
    fuzz_seed kept = read_file(path);
    const uint8_t *at = data;
    for (const char *line = kept.data; line < (const char *)kept.data + kept.bytes;) {
        const char *end = memchr(line, '\n', (size_t)((const char *)kept.data + kept.bytes - line));
        assert_non_null(end);
        const uint8_t *found = memmem(at, (size_t)(data + bytes - at), line, (size_t)(end + 1 - line));
        assert_non_null(found);
        at = found + (end + 1 - line);
        line = end + 1;
    }
    bool something = kept.bytes > 0;
    free((void *)kept.data);
    return something || sb_fail("nothing is left") == 0;
}

/* Reads "A B ...\n" of `count` finite numbers at *text. */
static bool is_row(char **text, int count)
{
    for (int i = 0; i < count; i++) {
        char *end;
        if (!isfinite(strtod(*text, &end)) || end == *text || *end != (i + 1 < count ? ' ' : '\n'))
            return false;
        *text = end + 1;
    }
    return true;
}

/* The blocks hold rows of numbers and nothing else, whatever stands in the logs: it is a program that gnuplot
 * runs. */
static bool read_curves(void)
{
    char *text = NULL, *at;
    size_t bytes = 0;
    int rows = 0;
    FILE *plot = open_memstream(&text, &bytes);
    assert_non_null(plot);
    int rc = sb_curves_data(plot, folder);
    fclose(plot);
    at = text;
    const struct {
        const char *head;
        int columns;
    } blocks[] = { { "$steps << EOD\n", 3 }, { "$evaluations << EOD\n", 6 } };
    for (int i = 0; rc == 0 && i < 2; i++) {
        assert_memory_equal(at, blocks[i].head, strlen(blocks[i].head));
        for (at += strlen(blocks[i].head); strncmp(at, "EOD\n", 4) != 0; rows++)
            assert_true(is_row(&at, blocks[i].columns));
        at += 4;
    }
    while (rc == 0 && at < text + bytes) {
        assert_memory_equal(at, "given = ", 8);
        at += 8;
        assert_true(is_row(&at, 1));
    }
    assert_true(rc != 0 || at == text + bytes);
    free(text);
    return rc == 0 && (rows > 0 || sb_fail("no rows") == 0);
}

static bool read_metrics(const uint8_t *data, size_t bytes)
{
    write_file("metrics.jsonl", data, bytes);
    return read_curves();
}

static bool read_evaluations(const uint8_t *data, size_t bytes)
{
    write_file("evaluation.jsonl", data, bytes);
    return read_curves();
}

static void count_line(void *context, const char *path, int page, const sb_tile *tile)
{
    assert_true(strlen(path) < FUZZ_MAX && page >= 0 && (!tile || (tile->left >= 0 && tile->top >= 0)));
    ++*(int *)context;
}

/* A line that is appended to whatever is there can be read. */
static bool read_quarantine(const uint8_t *data, size_t bytes)
{
    int images = 0, after = 0;
    write_file("quarantine.jsonl", data, bytes);
    if (sb_quarantine_read(folder, count_line, &images) != 0)
        return false;
    assert_int_equal(sb_quarantine_append(folder, "late.jpg", 3, NULL, "cannot be used"), 0);
    assert_int_equal(sb_quarantine_read(folder, count_line, &after), 0);
    assert_in_range(after - images, 1, 2); /* two: the last line was sound and only lacked its end */
    return images > 0 || sb_fail("no images") == 0;
}

static void test_quarantine(void **state)
{
    (void)state;
    char path[PATH_MAX];
    const sb_tile tile = { .image = 1, .left = 64, .top = 128 };
    assert_int_equal(
        sb_quarantine_append(folder, "a \"b\".jpg", 0, NULL, "VipsJpeg: Premature end of input file"), 0);
    assert_int_equal(sb_quarantine_append(folder, "c.tif", 2, &tile, "cannot be decoded"), 0);
    assert_int_equal(sb_quarantine_append(folder, "d\xE9.tif", 1, NULL, "the decoder failed on it 3 times"),
                     0);
    assert_int_equal(sb_rundir_path(path, folder, "quarantine.jsonl"), 0);
    fuzz_seed seed = read_file(path);
    fuzz(&seed, 1, 5000, read_quarantine);
    free((void *)seed.data);
}

/* Zeros in the middle, as a power failure leaves them, and a line that a full disk has cut, cost what they
 * hit and nothing else. */
static void test_holes_in_logs(void **state)
{
    (void)state;
    static const char holed[] =
        "{\"path\":\"a\",\"page\":0}\n\0\0\0\0\0\n{\"path\":\"b\",\"page\":0}\n{\"path\":\"c\",\"pa";
    int images = 0;
    write_file("quarantine.jsonl", holed, sizeof holed - 1);
    assert_int_equal(sb_quarantine_append(folder, "d", 0, NULL, "cannot be used"), 0);
    assert_int_equal(sb_quarantine_read(folder, count_line, &images), 0);
    assert_int_equal(images, 3);
    static const char steps[] = "{\"step\":1}\n\0\0\0{\"step\":2}\n{\"step\":2}\n{\"step\":3}\n{\"st";
    char path[PATH_MAX];
    write_file("metrics.jsonl", steps, sizeof steps - 1);
    assert_int_equal(sb_log_truncate(folder, "metrics.jsonl", 2), 0);
    assert_int_equal(sb_rundir_path(path, folder, "metrics.jsonl"), 0);
    fuzz_seed kept = read_file(path);
    assert_string_equal(kept.data, "{\"step\":1}\n{\"step\":2}\n");
    free((void *)kept.data);
}

static void test_status_and_logs(void **state)
{
    (void)state;
    const sb_status status = { .step = 3,
                               .steps = 10,
                               .loss = 1.5,
                               .images_per_second = 20,
                               .eta_s = 5,
                               .waited = 0.1,
                               .loaders = 2,
                               .tiles_ready = 3,
                               .tiles = 8,
                               .views_ready = 5,
                               .views = 32,
                               .bottleneck = "decode",
                               .phase = "training" };
    char path[PATH_MAX];
    assert_int_equal(sb_status_write(folder, &status), 0);
    assert_int_equal(sb_rundir_path(path, folder, "status.json"), 0);
    fuzz_seed seed = read_file(path);
    const fuzz_seed both[] = {
        seed, seed_of("{\"phase\":\"\\u001b[2J\",\"step\":3,\"steps\":10,\"loss\":1.5,\"images_per_second\":"
                      "20.0,\"eta_s\":5.0,"
                      "\"waited\":0.1,\"bottleneck\":\"\\n\\u001b]0;\",\"loaders\":2,\"quarantined\":1}\n")
    };
    fuzz(both, 2, 5000, read_status);
    free((void *)seed.data);
    for (int64_t step = 1; step <= 3; step++)
        assert_int_equal(
            sb_metrics_append(
                folder,
                &(sb_step_metrics){ .step = step, .loss = 1.5, .lr = 0.1, .looked = step % 2, .leak = NAN }),
            0);
    assert_int_equal(sb_rundir_path(path, folder, "metrics.jsonl"), 0);
    assert_int_equal(
        sb_file_append_line(path,
                            "{\"step\":2,\"loss\":\"EOD\\nset output '/tmp/x'\",\"images_per_second\":null}"),
        0);
    seed = read_file(path);
    fuzz(&seed, 1, 5000, read_metrics);
    fuzz(&seed, 1, 200, truncate_log); /* each is synced to the disk */
    free((void *)seed.data);
    sb_report report = { .step = 2,
                         .source = "snapshot",
                         .tiles = 27,
                         .views = 8,
                         .size = 128,
                         .stream = { .count = 5, .rank = 3.5 } };
    for (int row = 0; row < SB_ROWS; row++)
        report.row[row] = (sb_measures){ { [SB_METRIC_VIEW_RETRIEVAL] = 0.1 * (row + 1),
                                           [SB_METRIC_GROUP_RETRIEVAL] = SB_LACKS,
                                           [SB_METRIC_KNN_TOP1] = SB_LACKS,
                                           [SB_METRIC_KNN_TOP5] = SB_LACKS,
                                           [SB_METRIC_RANK] = 2.5 } };
    for (; report.step <= 4; report.step += 2)
        assert_int_equal(sb_report_append(&report, folder), 0);
    write_file("metrics.jsonl", "", 0);
    assert_int_equal(sb_rundir_path(path, folder, "evaluation.jsonl"), 0);
    seed = read_file(path);
    fuzz(&seed, 1, 3000, read_evaluations);
    free((void *)seed.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_configurations),  cmocka_unit_test(test_manifests),
        cmocka_unit_test(test_hostile_indexes), cmocka_unit_test(test_safetensors),
        cmocka_unit_test(test_status_and_logs), cmocka_unit_test(test_quarantine),
        cmocka_unit_test(test_holes_in_logs),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
