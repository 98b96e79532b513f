/* test_index.c: an index of many rows is opened in time and memory that do not grow with them, and read back
 * as it was. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vips/vips.h>

#include <cmocka.h>

#include "loader/index/index.h"
#include "proto/error.h"
#include "proto/rundir.h"

#define TILE 64

static char folder[] = "/tmp/smallbatch-index-XXXXXX";
static const sb_data_keys keys = { .path = "photos", .tile = TILE };

/* Ten tiles of each image, as a manifest places them. */
static void write_index(uint32_t count)
{
    sb_image *images = calloc(count, sizeof *images);
    char *names = calloc(count, 16), root[] = "photos/";
    assert_true(images && names);
    uint64_t end = 0;
    for (uint32_t i = 0; i < count; i++) {
        sb_image *m = &images[i];
        const bool next = i % 10 == 0;
        *m = (sb_image){ .name = next ? end : m[-1].name,
                         .bytes = 1000,
                         .width = 1000,
                         .height = 1000,
                         .left = 64 * (int)(i % 10) };
        m->label = UINT32_MAX;
        memset(m->value, 0xff, sizeof m->value);
        m->group = m->file = i / 10 * 10;
        m->placed = m->tiles = 1;
        m->train = (sb_region){ m->left, 0, TILE, TILE };
        if (next)
            end += (uint64_t)snprintf(names + end, 16, "%09u.png", i) + 1;
    }
    const sb_index x = { .images = images,
                         .count = count,
                         .names = names,
                         .name_bytes = end,
                         .root = root,
                         .tile = TILE,
                         .samples = count };
    assert_int_equal(sb_index_write(&x, folder), 0);
    free(images);
    free(names);
}

/* Pages of the map that were touched, and bytes that were allocated, while it was opened. */
static void cost(uint32_t count, long *pages, size_t *allocated)
{
    struct rusage before, after;
    sb_index x;
    write_index(count);
    const size_t held = mallinfo2().uordblks;
    getrusage(RUSAGE_SELF, &before);
    assert_int_equal(sb_index_open(&x, folder, &keys), 0);
    getrusage(RUSAGE_SELF, &after);
    *pages = after.ru_minflt + after.ru_majflt - before.ru_minflt - before.ru_majflt;
    *allocated = mallinfo2().uordblks - held;
    assert_int_equal(x.count, count);
    assert_int_equal(sb_index_check_row(&x, count - 1), 0);
    assert_string_equal(sb_index_name(&x, &x.images[0]), "000000000.png");
    sb_index_free(&x);
}

static void test_opening(void **state)
{
    (void)state;
    long few_pages, many_pages;
    size_t few_bytes, many_bytes;
    cost(1000, &few_pages, &few_bytes);
    cost(200000, &many_pages, &many_bytes);
    assert_in_range(many_bytes, 0, few_bytes + 1024);
    assert_in_range(many_pages, 0, few_pages + 8); /* all of it has 7000 */
}

static void test_reading(void **state)
{
    (void)state;
    sb_index x;
    write_index(30000);
    assert_int_equal(sb_index_read(&x, folder, &keys), 0);
    assert_int_equal(x.samples, 30000);
    assert_int_equal(sb_index_find(&x, "000012340.png", 0), 12340);
    assert_int_equal(sb_index_find(&x, "000012341.png", 0), UINT32_MAX);
    char path[PATH_MAX];
    assert_string_equal(sb_index_path_of(&x, &x.images[12349], path), "photos/000012340.png");
    sb_index_free(&x);
}

/* A TIFF is read in parts, also where it is decoded whole. */
static void test_largest(void **state)
{
    (void)state;
    char path[PATH_MAX], strips[PATH_MAX], png[PATH_MAX];
    struct stat info;
    VipsImage *black = NULL;
    sb_index x;
    assert_int_equal(sb_rundir_path(path, folder, "photos") + sb_rundir_path(strips, path, "strips.tif") +
                         sb_rundir_path(png, path, "small.png"),
                     0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(vips_black(&black, 300, 200, "bands", 3, NULL) + vips_tiffsave(black, strips, NULL) +
                         vips_pngsave(black, png, NULL),
                     0);
    g_object_unref(black);
    sb_data_keys data = { .tile = TILE, .channels = 3, .samples.channels = 3 };
    const sb_loader_keys loader = { .timeout = 60 };
    snprintf(data.path, sizeof data.path, "%s", path);
    assert_int_equal(sb_index_scan(&x, &data, &loader, false), 0);
    assert_int_equal(stat(png, &info), 0);
    assert_int_equal(x.count, 2);
    assert_int_equal(x.largest_pixels, 300 * 200);
    assert_int_equal(x.largest_bytes, info.st_size);
    sb_index_free(&x);
    assert_int_equal(unlink(strips) + unlink(png) + rmdir(path), 0);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) && vips_init("test_index") == 0 ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char path[PATH_MAX];
    for (const char *const *name = (const char *const[]){ "index.bin", "index.csv", "", NULL }; *name; name++)
        if (sb_rundir_path(path, folder, "%s", *name) != 0 || remove(path) != 0)
            return -1;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_opening), cmocka_unit_test(test_reading),
                                        cmocka_unit_test(test_largest) };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
