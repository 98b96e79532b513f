/* Keys, ranges, messages, choices and what they bring, and the text that reads back to the same
 * configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/error.h"
#include "trainer/configuration.h"

static void write_text(char *path, const char *text)
{
    static const char template[] = "/tmp/smallbatch-config-XXXXXX";
    memcpy(path, template, sizeof template);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

/* Reads a recipe and an assignment (NULL: none) on top of data.path, and fills the settings. */
static int read_both(sb_settings *out, sb_config *config, const char *text, const char *assignment)
{
    char path[64];
    write_text(path, text);
    sb_config_init(config);
    int rc = sb_config_read(config, path);
    unlink(path);
    if (rc == 0 && assignment)
        rc = sb_config_set(config, assignment);
    if (rc == 0)
        rc = sb_config_suggest(config, "default", "data.path=/tmp");
    return rc != 0 ? -1 : sb_settings_read(out, config);
}

static int read_text(sb_settings *out, const char *text, const char *assignment)
{
    sb_config config;
    int rc = read_both(out, &config, text, assignment);
    sb_config_free(&config);
    return rc;
}

static void test_round_trip(void **state)
{
    (void)state;
    static sb_settings a, b;
    sb_config config;
    assert_int_equal(read_both(&a, &config,
                               "data: { path: \"/it's a folder: #1\" }\noptimiser: { lr: 0.1 }\n"
                               "method: { name: simclr }\ntrainer: { steps: 123456789012 }\n"
                               "guide: { \"plate's side\": -0.5, year: +1 }\n"
                               "views:\n  - { count: 2, size: 64 96@0.1 128@0.33333333333333331 }\n",
                               "views.1.blur=0.3"),
                     0);
    char *text = sb_config_text(&config, sb_tables, false);
    sb_config_free(&config);
    assert_non_null(text);
    assert_int_equal(read_both(&b, &config, text, NULL), 0);
    char *again = sb_config_text(&config, sb_tables, false);
    sb_config_free(&config);
    assert_string_equal(text, again);
    assert_true(b.views[1].blur == 0.3 && b.optimiser.lr == 0.1 && b.trainer.steps == 123456789012);
    assert_non_null(strstr(text, "size: 64 96@0.1 128@0.33333333333333331\n"));
    assert_true(b.views[1].size.count == 3 && b.views[1].size.from[2] == 1 / 3. && b.views[1].side == 128);
    assert_string_equal(b.data.path, "/it's a folder: #1");
    assert_string_equal(b.method->name, "simclr");
    assert_int_equal(b.data.guide_count, 2);
    assert_string_equal(b.data.guides[0].column, "plate's side");
    assert_string_equal(b.data.guides[1].column, "year");
    assert_true(b.data.guides[0].weight == -0.5 && b.data.guides[1].weight == 1);
    free(text);
    free(again);
}

/* Of a column that is named twice the later weight counts, in the first one's place; 0 leaves it out. */
static void test_columns_that_guide(void **state)
{
    (void)state;
    static sb_settings s;
    const char *recipe = "guide: { plate: 1, year: 2 }\n";
    assert_int_equal(read_text(&s, recipe, "guide.plate=-3"), 0);
    assert_int_equal(s.data.guide_count, 2);
    assert_string_equal(s.data.guides[0].column, "plate");
    assert_int_equal(s.guide_count, 2);
    assert_true(s.guides[0].weight == -3 && s.guides[1].weight == 2);
    assert_int_equal(read_text(&s, recipe, "guide.plate=0"), 0);
    assert_int_equal(s.data.guide_count, 2);
    assert_int_equal(s.guide_count, 1);
    assert_true(s.guides[0].weight == 2);
    assert_int_equal(read_text(&s, recipe, "guide.="), -1);
    assert_int_equal(read_text(&s, recipe, "guide.path=1"), -1);
    assert_int_equal(read_text(&s, recipe, "guide.plate=2000"), -1);
}

/* The result depends on where nothing lies and on nothing that is only reported. */
static void test_result_text(void **state)
{
    (void)state;
    static sb_settings settings;
    sb_config config;
    assert_int_equal(read_both(&settings, &config, "seed: 3\n", NULL), 0);
    char *text = sb_config_text(&config, sb_tables, true);
    sb_config_free(&config);
    assert_non_null(text);
    const char *const without[] = { "run:",  "dir:",  "loaders:", "loader:",           "evaluate:", "init:",
                                    "cuda:", "path:", "keep:",    "checkpoint_every:", "max_bad:" },
                      *const with[] = {
                          "seed: 3\n",        "device: auto\n", "data:\n  exclude: ''\n  tile: 1024\n",
                          "temperature: 0.1", "momentum: 0.9",  "stem: imagenet\n",
                          "last: norm",       "threads:",       "views:\n  - size: 128\n",
                          "\nmethod:\n",      "\ntrainer:\n",   "warnings:"
                      };
    for (size_t i = 0; i < sizeof without / sizeof *without; i++)
        if (strstr(text, without[i]))
            fail_msg("%s is in %s", without[i], text);
    for (size_t i = 0; i < sizeof with / sizeof *with; i++)
        if (!strstr(text, with[i]))
            fail_msg("%s is not in %s", with[i], text);
    free(text);
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
        static sb_settings settings;
        assert_int_equal(read_text(&settings, cases[i].text, NULL), -1);
        if (!strstr(sb_error(), cases[i].part))
            fail_msg("for %s: %s", cases[i].text, sb_error());
    }
}

static void test_bad_assignments_are_refused(void **state)
{
    (void)state;
    const char *cases[] = { "trainer.batch",  "=3",        "trainer.batch=",   "views.2.blur=1",
                            "views.x.blur=1", "views.0=1", "trainer.chunk=-1", "views=2" };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static sb_settings settings;
        assert_int_equal(read_text(&settings, "seed: 1\n", cases[i]), -1);
        if (!strstr(sb_error(), "command line"))
            fail_msg("for %s: %s", cases[i], sb_error());
    }
}

static void test_what_no_key_shows(void **state)
{
    (void)state;
    static sb_settings settings;
    assert_int_equal(sb_settings_of(&settings, NULL, NULL, 0), -1);
    assert_non_null(strstr(sb_error(), "data.path is not set"));
    assert_int_equal(read_text(&settings, "", "trainer.chunk=33"), -1); /* of 2 x 16 */
    assert_non_null(strstr(sb_error(), "trainer.chunk"));
    assert_int_equal(read_text(&settings, "", "trainer.chunk=32"), 0);
    assert_int_equal(settings.views[0].side, 128);
    assert_true(settings.trainer.threads >= 1);
}

/* message: with @ for the file. */
static void expect_error(const char *text, const char *assignment, const char *message)
{
    static sb_settings settings;
    sb_config config;
    char path[64], expected[512];
    size_t used = 0;
    write_text(path, text);
    sb_config_init(&config);
    int rc = sb_config_read(&config, path);
    unlink(path);
    if (rc == 0)
        rc = sb_config_suggest(&config, "default", "data.path=/tmp");
    if (rc == 0 && assignment)
        rc = sb_config_set(&config, assignment);
    if (rc == 0)
        rc = sb_settings_read(&settings, &config);
    sb_config_free(&config);
    for (const char *c = message; *c; c++)
        used += (size_t)snprintf(expected + used, sizeof expected - used, *c == '@' ? "%s" : "%.1s",
                                 *c == '@' ? path : c);
    assert_int_equal(rc, -1);
    assert_string_equal(sb_error(), expected);
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
        { "trainer:\n  batch: 16\n  replicas: 3\n", NULL,
          "@:3: trainer.replicas = 3 do not share trainer.batch = 16 evenly (@:2)" },
        { "trainer: { replicas: 2, chunk: 8 }\n", NULL,
          "@:1: trainer.replicas = 2 with trainer.chunk: the chunk is a replica's share of the batch, and "
          "the "
          "loss is of the batch" },
        { "method: { bank: 24 }\n", NULL,
          "@:1: method.bank = 24: a multiple of trainer.batch = 16, of at least twice as many, was expected "
          "(default)" },
        { "method: { name: dcl }\n", "trainer.batch=1",
          "command line: trainer.batch = 1: method dcl needs at least 2" },
        { "seed: 1\nviews: [{}, {}, {}]\n", NULL,
          "@:2: views: method dcl compares 2 views of a sample, not 3" },
        { "seed: 1\n", "views.1.blur_min=9",
          "command line: views.1.blur_min = 9: must not be above views.1.blur_max = 2 (default)" },
        { "data:\n\n  bands: 1,2\n", NULL,
          "@:3: data.bands = 1,2: as many samples as data.channels = 3 (default) are expected" },
        { "data:\n  bands: 1,,2\n", NULL,
          "@:2: data.bands = 1,,2: numbers of samples are expected, from 1, as 4,1,2" },
        { "data:\n  bands: 0,1,2\n", NULL,
          "@:2: data.bands = 0,1,2: numbers of samples are expected, from 1, as 4,1,2" },
        { "data:\n  bands: 1,2,\n", NULL,
          "@:2: data.bands = 1,2,: numbers of samples are expected, from 1, as 4,1,2" },
        { "data:\n  bands: 1,2,3,4,5,6,7,8,9\n", NULL,
          "@:2: data.bands = 1,2,3,4,5,6,7,8,9: more than 8 samples" },
        { "data:\n  range: 5..5\n", NULL,
          "@:2: data.range = 5..5: must be auto, full, percentile, or A..B with A below B, as 0..4095" },
        { "data:\n  range: 0..\n", NULL,
          "@:2: data.range = 0..: must be auto, full, percentile, or A..B with A below B, as 0..4095" },
        { "data:\n  range: 1..inf\n", NULL,
          "@:2: data.range = 1..inf: must be auto, full, percentile, or A..B with A below B, as 0..4095" },
        { "data:\n  range: given\n", NULL,
          "@:2: data.range = given: must be auto, full, percentile, or A..B with A below B, as 0..4095" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_error(cases[i].text, cases[i].assignment, cases[i].message);
    }
}

/* Only the keys of what is chosen are known; of another's the error says whose they are. */
static void test_keys_of_choices(void **state)
{
    (void)state;
    const struct {
        const char *text, *assignment, *message;
    } cases[] = {
        { "optimiser: { name: adamw, trust: 0.1 }\n", NULL,
          "@:1: there is no key optimiser.trust with optimiser adamw: it belongs to lars" },
        { "seed: 1\noptimiser: { momentum: 0.1 }\n", "optimiser.name=adamw",
          "@:2: there is no key optimiser.momentum with optimiser adamw: it belongs to sgd, lars" },
        { "optimiser: { name: sgd }\n", "optimiser.beta1=2",
          "command line: there is no key optimiser.beta1 with optimiser sgd: it belongs to adamw" },
        { "optimiser: { name: adamw }\n", "optimiser.beta1=2",
          "command line: optimiser.beta1 = 2: must be a number from 0 to 0.999999" },
        { "optimiser: { trust: 1, name: sdg }\n", NULL,
          "@:1: optimiser.name = sdg: must be one of sgd|lars|adamw" },
        { "optimiser: { name: adamw }\n", "optimiser.beta3=1",
          "command line: there is no key optimiser.beta3; the nearest is optimiser.beta1 (./run help keys "
          "lists all)" },
        { "optimiser: { name: adamw }\n", "optimiser.trusst=1",
          "command line: there is no key optimiser.trusst; the nearest is optimiser.lr (./run help keys "
          "lists "
          "all)" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_error(cases[i].text, cases[i].assignment, cases[i].message);
}

/* A key twice in a file is a mistake; on the command line the later wins, as it does over the file. */
static void test_a_key_set_twice(void **state)
{
    (void)state;
    static sb_settings settings;
    expect_error("trainer: { batch: 4 }\nseed: 1\ntrainer: { batch: 5 }\n", NULL,
                 "@:3: trainer.batch stands here twice");
    expect_error("views: [{}, {}]\nseed: 1\nviews: [{}]\n", NULL, "@:3: views stands here twice");
    expect_error("views: [{count: 2, count: 1}]\n", NULL, "@:1: count stands here twice");
    const char *const assignments[] = { "data.path=/tmp", "trainer.batch=5", "trainer.batch=6" };
    assert_int_equal(sb_settings_of(&settings, "recipes/demo.yaml", assignments, 3), 0);
    assert_int_equal(settings.trainer.batch, 6);
    /* a bad value is one, even where a later one counts */
    const char *const bad[] = { "data.path=/tmp", "trainer.batch=0", "trainer.batch=6" };
    assert_int_equal(sb_settings_of(&settings, "recipes/demo.yaml", bad, 3), -1);
    assert_string_equal(sb_error(),
                        "command line: trainer.batch = 0: must be a whole number from 1 to 65536");
}

/* A suggestion stands over the default and under recipe and command line, and an error names who made it. */
static void test_suggestions(void **state)
{
    (void)state;
    const struct {
        const char *text, *assignment;
        int layers;
        const char *place;
    } cases[] = { { "seed: 1\n", NULL, 3, "method own" },
                  { "projector: { layers: 4 }\n", NULL, 4, NULL },
                  { "seed: 1\n", "projector.layers=5", 5, "command line" },
                  { "projector: { layers: 4 }\n", "projector.layers=5", 5, "command line" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static sb_settings settings;
        sb_config config;
        char path[64];
        write_text(path, cases[i].text);
        sb_config_init(&config);
        assert_int_equal(sb_config_read(&config, path), 0);
        unlink(path);
        if (cases[i].assignment)
            assert_int_equal(sb_config_set(&config, cases[i].assignment), 0);
        assert_int_equal(sb_config_suggest(&config, "method own", "projector.layers=3"), 0);
        assert_int_equal(sb_config_suggest(&config, "default", "data.path=/tmp"), 0);
        assert_int_equal(sb_settings_read(&settings, &config), 0);
        assert_int_equal(settings.projector.layers, cases[i].layers);
        if (cases[i].place)
            assert_string_equal(sb_config_place(&config, "projector.layers"), cases[i].place);
        sb_config_free(&config);
    }
}

/* Whole paths, "~/" and those of the folder that this runs in; texts that are no paths stay. */
static void test_paths(void **state)
{
    (void)state;
    static sb_settings c;
    char here[PATH_MAX], wanted[PATH_MAX + 32];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(setenv("HOME", "/home/somebody", 1), 0);
    assert_int_equal(
        read_text(&c, "data: { path: ~/photos }\ninit: ../given.safetensors\nrun: { dir: out }\n", NULL), 0);
    assert_string_equal(c.data.path, "/home/somebody/photos");
    snprintf(wanted, sizeof wanted, "%s/../given.safetensors", here);
    assert_string_equal(c.start.init, wanted);
    snprintf(wanted, sizeof wanted, "%s/out", here);
    assert_string_equal(c.run.dir, wanted);
    assert_string_equal(c.cuda.plugin, "");
    assert_int_equal(read_text(&c, "data: { path: /a/~/b }\n", "cuda.plugin=~other/x"), 0);
    assert_string_equal(c.data.path, "/a/~/b");
    snprintf(wanted, sizeof wanted, "%s/~other/x", here);
    assert_string_equal(c.cuda.plugin, wanted);
    assert_int_equal(unsetenv("HOME"), 0);
    assert_int_equal(read_text(&c, "data: { path: ~/photos }\n", NULL), -1);
    assert_non_null(strstr(sb_error(), ":1: data.path = ~/photos: HOME names no folder"));
}

static void test_view_sizes(void **state)
{
    (void)state;
    sb_config config;
    char path[64];
    sb_view_keys views[SB_VIEWS_MAX];
    int sizes[SB_VIEWS_MAX];
    write_text(path, "views:\n  - {size: 224, count: 2}\n  - {size: 96, count: 3}\n  - {}\n");
    sb_config_init(&config);
    assert_int_equal(sb_config_read(&config, path), 0);
    unlink(path);
    assert_int_equal(config.view_count, 6);
    assert_int_equal(sb_view_keys_read(&config, 160, views), 0);
    assert_int_equal(sb_view_sizes(views, 6, sizes), 3);
    assert_true(sizes[0] == 96 && sizes[1] == 160 && sizes[2] == 224);
    sb_config_free(&config);
}

/* A size that changes: its text, where it changes, and what is no such size. */
static void test_sizes_that_change(void **state)
{
    (void)state;
    static sb_settings settings;
    sb_view_keys *v = settings.views;
    const char *text =
        "method: { name: swav }\nviews:\n  - { count: 2, size: 256 512@0.6 1024@0.9 }\n  - { size: 96 }\n";
    assert_int_equal(read_text(&settings, text, "trainer.steps=1000"), 0);
    assert_true(v[0].side == 1024 && v[1].side == 1024 && v[2].side == 96);
    const struct {
        int64_t step, steps, until;
        int side;
    } cases[] = { { 0, 1000, 600, 256 },     { 599, 1000, 600, 256 },
                  { 600, 1000, 900, 512 },   { 899, 1000, 900, 512 },
                  { 900, 1000, 1000, 1024 }, { 1000, 1000, 1000, 1024 },
                  { 0, 1, 1, 256 },          { 1, 2, 2, 512 },
                  { 54, 100, 60, 256 },      { 1LL << 40, 1LL << 41, 1319413953331LL, 256 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(sb_view_sides_at(v, 3, cases[i].step, cases[i].steps), cases[i].until);
        assert_true(v[0].side == cases[i].side && v[1].side == cases[i].side && v[2].side == 96);
    }
    assert_true(sb_view_area(v, 3, 0, 10) ==
                6 * 2 * 256. * 256 + 3 * 2 * 512. * 512 + 2 * 1024. * 1024 + 10 * 96. * 96);
    assert_true(sb_view_area(v, 3, 9, 10) == 2 * 1024. * 1024 + 96. * 96);
    const char *bad[][2] = {
        { "256 512", "no @share" },
        { "256@0.1", "the first has a share" },
        { "256 512@0", "between that before it and 1" },
        { "256 512@1", "between that before it and 1" },
        { "256 512@0.5 1024@0.5", "between that before it and 1" },
        { "256 0@0.5", "beyond that range" },
        { "0 256@0.5", "beyond that range" },
        { "256 2048@0.5", "beyond that range" },
        { "256 512@", "no number" },
        { "256 512@x", "no number" },
        { "256 512@0.5x", "stands behind a size" },
        { "256 512@0.5,64", "stands behind a size" },
        { "256 512@nan", "no number" },
        { "256 512@-0.5", "no number" },
        { "256 512@+0.5", "no number" },
        { " 256", "something else than a size" },
        { "15", "beyond that range" },
        { "32 33@0.1 34@0.2 35@0.3 36@0.4 37@0.5 38@0.6 39@0.7 40@0.8", "there are more" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char assignment[128];
        snprintf(assignment, sizeof assignment, "views.2.size=%s", bad[i][0]);
        assert_int_equal(read_text(&settings, text, assignment), -1);
        if (!strstr(sb_error(), "views.2.size = ") || !strstr(sb_error(), "256 512@0.6 1024@0.9") ||
            !strstr(sb_error(), bad[i][1]))
            fail_msg("for %s: %s", bad[i][0], sb_error());
    }
    /* One size twice is no change. */
    sb_view_keys same = { .size = { .count = 3, .sides = { 32, 32, 64 }, .from = { 0, 0.5, 0.7 } } };
    assert_true(sb_view_sides_at(&same, 1, 0, 10) == 7 && sb_view_sides_at(&same, 1, 5, 10) == 7 &&
                same.side == 32);
    assert_true(sb_view_sides_at(&same, 1, 7, 10) == 10 && same.side == 64);
    /* One size in a part of the run, and not in all of it. */
    const char *apart[] = { "views.2.size=256", "views.2.size=1024", "views.2.size=256 512@0.5 1024@0.9",
                            "views.2.size=96 512@0.7", "views.1.size=256 512@0.6" };
    for (size_t i = 0; i < sizeof apart / sizeof *apart; i++) {
        assert_int_equal(read_text(&settings, text, apart[i]), -1);
        if (!strstr(sb_error(), "in a part of the run"))
            fail_msg("for %s: %s", apart[i], sb_error());
    }
    assert_int_equal(read_text(&settings, text, "views.2.size=96 200@0.95"), 0);
    assert_int_equal(settings.views[2].side, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_columns_that_guide),
        cmocka_unit_test(test_bad_text_is_refused),
        cmocka_unit_test(test_bad_assignments_are_refused),
        cmocka_unit_test(test_result_text),
        cmocka_unit_test(test_what_no_key_shows),
        cmocka_unit_test(test_keys_of_choices),
        cmocka_unit_test(test_a_key_set_twice),
        cmocka_unit_test(test_suggestions),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_view_sizes),
        cmocka_unit_test(test_sizes_that_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
