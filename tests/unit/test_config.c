/* Keys, ranges, messages, and the text that reads back to the same configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/config.h"
#include "proto/error.h"

static void write_text(char *path, const char *text)
{
    static const char template[] = "/tmp/smallbatch-config-XXXXXX";
    memcpy(path, template, sizeof template);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static int read_text(sb_config *config, const char *text)
{
    char path[64];
    write_text(path, text);
    sb_config_defaults(config);
    int rc = sb_config_read(config, path);
    unlink(path);
    return rc;
}

static void test_round_trip(void **state)
{
    (void)state;
    sb_config a, b;
    char path[64];
    sb_config_defaults(&a);
    assert_int_equal(sb_config_set(&a, "data.path=it's a folder: #1"), 0);
    assert_int_equal(sb_config_set(&a, "optimiser.lr=0.1"), 0);
    assert_int_equal(sb_config_set(&a, "views.1.blur=0.3"), 0);
    assert_int_equal(sb_config_set(&a, "method.name=simclr"), 0);
    assert_int_equal(sb_config_set(&a, "trainer.steps=123456789012"), 0);
    char *text = sb_config_text(&a);
    assert_non_null(text);
    write_text(path, text);
    sb_config_defaults(&b);
    assert_int_equal(sb_config_read(&b, path), 0);
    unlink(path);
    char *again = sb_config_text(&b);
    assert_string_equal(text, again);
    assert_true(b.views[1].blur == 0.3 && b.optimiser.lr == 0.1 && b.trainer.steps == 123456789012);
    assert_string_equal(b.data.path, "it's a folder: #1");
    free(text);
    free(again);
}

static void test_bad_text_is_refused(void **state)
{
    (void)state;
    const struct {
        const char *text, *part; /* of the message */
    } cases[] = {
        { "trainer:\n  bach: 3\n", ":2: there is no key trainer.bach; the nearest is trainer.batch" },
        { "trainer:\n  batch: 0\n", ":2: trainer.batch = 0: must be a whole number from 1 to 65536" },
        { "trainer:\n  batch: 3.5\n", "trainer.batch = 3.5" },
        { "trainer:\n  batch: 99999999999999999999\n", "trainer.batch" },
        { "trainer:\n  batch: \n", "trainer.batch" },
        { "trainer:\n  batch: [1]\n", "a single value belongs here" },
        { "trainer: 3\n", "there is no key trainer" },
        { "- 1\n- 2\n", "keys and values belong here" },
        { "seed: 1\nseed: 2\n", ":2: seed stands here twice" },
        { "method: { name: simcrl }\n", "must be one of simclr|dcl" },
        { "optimiser: { lr: nan }\n", "optimiser.lr = nan" },
        { "optimiser: { lr: 1e999 }\n", "optimiser.lr" },
        { "optimiser: { lr: 0.1x }\n", "optimiser.lr = 0.1x" },
        { "seed: -1\n", "seed = -1" },
        { "data: { untrusted: maybe }\n", "must be true or false" },
        { "views: 2\n", "views is a list" },
        { "views: []\n", "views is a list" },
        { "views:\n  - 3\n", "a view is a mapping" },
        { "views:\n  - { blurr: 1 }\n", "the nearest is views.0.blur" },
        { "views:\n  - { blur: 1.5 }\n", "views.0.blur = 1.5: must be a number from 0 to 1" },
        { "views:\n  - { count: 17 }\n", "count = 17" },
        { "views:\n  - { blur: 1, blur: 0 }\n", "blur stands here twice" },
        { "data: {\n", "not YAML" },
        { "\tdata: 1\n", "not YAML" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sb_config config;
        assert_int_equal(read_text(&config, cases[i].text), -1);
        if (!strstr(sb_error(), cases[i].part))
            fail_msg("for %s: %s", cases[i].text, sb_error());
    }
}

static void test_bad_assignments_are_refused(void **state)
{
    (void)state;
    const char *cases[] = { "trainer.batch",  "=3",        "trainer.batch=",  "views.2.blur=1",
                            "views.x.blur=1", "views.0=1", "trainer.chunk=-1" };
    sb_config config;
    sb_config_defaults(&config);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(sb_config_set(&config, cases[i]), -1);
        assert_non_null(strstr(sb_error(), "command line"));
    }
}

static void test_finish_checks_what_no_key_shows(void **state)
{
    (void)state;
    sb_config config;
    sb_config_defaults(&config);
    assert_int_equal(sb_config_finish(&config), -1); /* no data.path */
    assert_non_null(strstr(sb_error(), "data.path"));
    assert_int_equal(sb_config_set(&config, "data.path=/tmp"), 0);
    assert_int_equal(sb_config_set(&config, "trainer.chunk=33"), 0); /* of 2 x 16 */
    assert_int_equal(sb_config_finish(&config), -1);
    assert_non_null(strstr(sb_error(), "trainer.chunk"));
    assert_int_equal(sb_config_set(&config, "trainer.chunk=32"), 0);
    assert_int_equal(sb_config_finish(&config), 0);
    assert_int_equal(config.views[0].size, 128);
    assert_true(config.trainer.threads >= 1);
}

/* What two keys do not allow together names both, and where each was set; a default is not to blame. */
static void test_places(void **state)
{
    (void)state;
    const struct {
        const char *text, *assignment;
        const char *message; /* with @ for the file */
    } cases[] = {
        { "trainer:\n  chunk: 33\n", NULL,
          "@:2: trainer.chunk = 33: a batch has only 32 views, 2 of each sample of trainer.batch = 16 "
          "(default)" },
        { "seed: 3\ntrainer:\n  chunk: 9\n  batch: 8\n", "trainer.batch=4",
          "@:3: trainer.chunk = 9: a batch has only 8 views, 2 of each sample of trainer.batch = 4 (command "
          "line)" },
        { "trainer: { batch: 4 }\n", "trainer.chunk=9",
          "command line: trainer.chunk = 9: a batch has only 8 views, 2 of each sample of trainer.batch = 4 "
          "(@:1)" },
        { "views:\n  - {}\n  - crop_max: 0.1\n", NULL,
          "@:3: views.1.crop_max = 0.1: must not be below views.1.crop_min = 0.2 (default)" },
        { "views:\n  - crop_min: 0.5\n    crop_max: 0.4\n  - {}\n", NULL,
          "@:2: views.0.crop_min = 0.5: must not be above views.0.crop_max = 0.4 (@:3)" },
        { "views:\n  - count: 2\n    ratio_min: 3\n", "views.0.ratio_max=4",
          "@:3: views.1.ratio_min = 3: must not be above views.1.ratio_max = 1.33333 (default)" },
        { "seed: 1\n", "views.1.blur_min=9",
          "command line: views.1.blur_min = 9: must not be above views.1.blur_max = 2 (default)" },
        { "data:\n\n  channels: 2\n", NULL, "@:3: data.channels = 2: must be 3 (colour) or 1 (grey)" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static sb_config config;
        char path[64], expected[512];
        size_t used = 0;
        write_text(path, cases[i].text);
        sb_config_defaults(&config);
        assert_int_equal(sb_config_read(&config, path), 0);
        unlink(path);
        assert_int_equal(sb_config_set(&config, "data.path=/tmp"), 0);
        if (cases[i].assignment)
            assert_int_equal(sb_config_set(&config, cases[i].assignment), 0);
        for (const char *c = cases[i].message; *c; c++)
            used += (size_t)snprintf(expected + used, sizeof expected - used, *c == '@' ? "%s" : "%.1s",
                                     *c == '@' ? path : c);
        assert_int_equal(sb_config_finish(&config), -1);
        assert_string_equal(sb_error(), expected);
    }
}

static void test_view_sizes(void **state)
{
    (void)state;
    sb_config config;
    assert_int_equal(
        read_text(&config, "views:\n  - {size: 224, count: 2}\n  - {size: 96, count: 3}\n  - {size: 160}\n"),
        0);
    int sizes[SB_VIEWS_MAX];
    assert_int_equal(config.view_count, 6);
    assert_int_equal(sb_config_view_sizes(&config, sizes), 3);
    assert_true(sizes[0] == 96 && sizes[1] == 160 && sizes[2] == 224);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_bad_text_is_refused),
        cmocka_unit_test(test_bad_assignments_are_refused),
        cmocka_unit_test(test_finish_checks_what_no_key_shows),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_view_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
