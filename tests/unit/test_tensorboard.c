/* What TensorBoard is given: records and their checksums (evaluator/events.h), which of a log's values become
 * points (scalars.h), and the projector's files (projector.h). TensorBoard's own reader takes them in
 * tests/pipeline/tensorboard.sh. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

#include "evaluator/events.h"
#include "evaluator/projector.h"
#include "evaluator/scalars.h"
#include "proto/error.h"
#include "proto/rundir.h"
#include "tests/folder.h"

/* RFC 3720, B.4, and the check value of every catalogue of checksums. */
static void test_checksum(void **state)
{
    (void)state;
    uint8_t bytes[32] = { 0 };
    assert_int_equal(sb_events_crc32c("", 0), 0);
    assert_int_equal(sb_events_crc32c("123456789", 9), 0xE3069283);
    assert_int_equal(sb_events_crc32c(bytes, sizeof bytes), 0x8A9136AA);
    memset(bytes, 0xFF, sizeof bytes);
    assert_int_equal(sb_events_crc32c(bytes, sizeof bytes), 0x62A8AB43);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(sb_events_crc32c(bytes, sizeof bytes), 0x46DD794E);
}

static uint32_t read_u32(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* What TensorBoard's readers do with a checksum before they compare it. */
static uint32_t unmasked(uint32_t value)
{
    const uint32_t turned = value - 0xA282EAD8u;
    return turned >> 17 | turned << 15;
}

/* A record at the front of [at, end), whose event is these bytes; what follows it. */
static const uint8_t *assert_record(const uint8_t *at, const uint8_t *end, const void *event, size_t bytes)
{
    assert_true(end - at >= 16);
    assert_int_equal(read_u32(at), bytes);
    assert_int_equal(read_u32(at + 4), 0);
    assert_int_equal(unmasked(read_u32(at + 8)), sb_events_crc32c(at, 8));
    assert_true((size_t)(end - at) >= 16 + bytes);
    assert_memory_equal(at + 12, event, bytes);
    assert_int_equal(unmasked(read_u32(at + 12 + bytes)), sb_events_crc32c(event, bytes));
    return at + 16 + bytes;
}

#define TIME "\x09\0\0\0\0\0\0\xF8\x3F" /* field 1: 1.5 */

static void test_records(void **state)
{
    (void)state;
    char *bytes = NULL;
    size_t count = 0;
    uint8_t jpeg[] = { 0xFF, 0xD8 };
    const sb_events_picture picture = { jpeg, sizeof jpeg, 300, 2 };
    FILE *f = open_memstream(&bytes, &count);
    assert_non_null(f);
    assert_int_equal(sb_events_start(f, 1.5), 0);
    assert_int_equal(sb_events_scalar(f, 1.5, 300, "a", 0.5F), 0);
    assert_int_equal(sb_events_scalar(f, 1.5, 0, "b", 0), 0); /* 0 is a value */
    assert_int_equal(sb_events_image(f, 1.5, 7, "c", &picture), 0);
    assert_int_equal(fclose(f), 0);
    const uint8_t *at = (const uint8_t *)bytes, *end = at + count;
    at = assert_record(at, end,
                       TIME "\x1A\x0D"
                            "brain.Event:2",
                       24);
    at = assert_record(at, end, TIME "\x3A\x02\x08\x01", 13);
    at = assert_record(at, end,
                       TIME "\x10\xAC\x02\x2A\x0A\x0A\x08\x0A\x01"
                            "a\x15\0\0\0\x3F",
                       24);
    at = assert_record(at, end,
                       TIME "\x2A\x0A\x0A\x08\x0A\x01"
                            "b\x15\0\0\0\0",
                       21);
    at = assert_record(at, end,
                       TIME "\x10\x07\x2A\x12\x0A\x10\x0A\x01"
                            "c\x22\x0B\x08\x02\x10\xAC\x02\x18\x03\x22\x02\xFF\xD8",
                       31);
    assert_ptr_equal(at, end);
    free(bytes);
}

/* The series of this name. */
static const sb_scalar *series(const sb_scalars *s, const char *name)
{
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->series[i].name, name) == 0)
            return &s->series[i];
    fail_msg("there is no series %s", name);
    return NULL;
}

static void add_line(sb_scalars *s, const char *line)
{
    json_t *o = json_loads(line, 0, NULL);
    assert_non_null(o);
    sb_scalars_add_object(s, "g", json_integer_value(json_object_get(o, "step")), o);
    json_decref(o);
}

/* What a line lacks, or has no number for, gives no point. */
static void test_missing(void **state)
{
    (void)state;
    sb_scalars s = { 0 };
    add_line(&s, "{\"step\": 1, \"loss\": 2.5, \"skipped\": false, \"guides\": {\"x\": 1}}");
    add_line(&s, "{\"step\": 2, \"loss\": null, \"skipped\": true}");
    add_line(&s, "{\"step\": 3, \"loss\": \"4\", \"a\\tb\": 1}");
    add_line(&s, "{\"step\": 4, \"loss\": 1e300}");
    add_line(&s, "{\"step\": 5, \"loss\": 1}");
    sb_scalars_add(&s, "g/loss", 6, (double)NAN);
    sb_scalars_add(&s, "g/loss", 7, -(double)INFINITY);
    sb_scalars_add_object(&s, "g", 8, NULL);
    assert_false(s.failed);
    assert_int_equal(s.count, 3);
    const sb_scalar *loss = series(&s, "g/loss"), *skipped = series(&s, "g/skipped");
    assert_int_equal(loss->count, 2);
    assert_int_equal(loss->point[1].step, 5);
    assert_float_equal(loss->point[0].value, 2.5, 0);
    assert_int_equal(skipped->count, 2);
    assert_float_equal(skipped->point[1].value, 1, 0);
    assert_int_equal(series(&s, "g/a b")->count, 1);
    sb_scalars_free(&s);
    assert_int_equal(s.count, 0);
}

/* Two evaluations of one step, and one that came late. */
static void test_order(void **state)
{
    (void)state;
    sb_scalars s = { 0 };
    const int64_t steps[] = { 10, 30, 20, 30, 5 }, sorted[] = { 5, 10, 20, 30 };
    const double values[] = { 4, 0, 2, 3 };
    for (int i = 0; i < 5; i++)
        sb_scalars_add(&s, "a", steps[i], i);
    const sb_scalar *a = series(&s, "a");
    assert_int_equal(a->count, 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(a->point[i].step, sorted[i]);
        assert_float_equal(a->point[i].value, values[i], 0);
    }
    sb_scalars_free(&s);
}

/* Long series keep their mean and their end, short ones all. */
static void test_thinned(void **state)
{
    (void)state;
    sb_scalars s = { 0 };
    for (int i = 1; i <= 100 * SB_SCALAR_POINTS; i++)
        sb_scalars_add(&s, "long", i, i);
    for (int i = 1; i <= SB_SCALAR_POINTS; i++)
        sb_scalars_add(&s, "short", i, i);
    for (int i = 1; i <= SB_SCALAR_POINTS + 1; i++)
        sb_scalars_add(&s, "one more", i, i);
    for (size_t i = 0; i < s.count; i++) {
        sb_scalar_thin(&s.series[i]);
        assert_int_equal(s.series[i].count, SB_SCALAR_POINTS);
    }
    for (int i = 0; i < SB_SCALAR_POINTS; i++) {
        assert_int_equal(series(&s, "long")->point[i].step, 100 * (i + 1));
        assert_float_equal(series(&s, "long")->point[i].value, 100 * i + 50.5, 1e-6);
        assert_int_equal(series(&s, "short")->point[i].step, i + 1);
        assert_float_equal(series(&s, "short")->point[i].value, i + 1, 0);
    }
    assert_int_equal(series(&s, "one more")->point[SB_SCALAR_POINTS - 1].step, SB_SCALAR_POINTS + 1);
    sb_scalars_free(&s);
}

static size_t size_of(const char *name)
{
    char path[PATH_MAX], *text;
    size_t bytes;
    assert_int_equal(sb_rundir_path(path, folder, "%s", name), 0);
    assert_int_equal(sb_file_read(path, 1000, &text, &bytes), 0);
    free(text);
    return bytes;
}

static bool is_there(const char *name)
{
    char path[PATH_MAX];
    assert_int_equal(sb_rundir_path(path, folder, "%s", name), 0);
    return access(path, F_OK) == 0;
}

/* One file has events; the last ones before it are empty, and those long before it are gone. What is not one
 * of them stays. */
static void test_replaced(void **state)
{
    (void)state;
    const char *const others[] = { "events.out.tfevents.000000099.smallbatch~",
                                   "events.out.tfevents.99.smallbatch", "events.out.tfevents.1764.host.0" };
    for (size_t i = 0; i < 3; i++) {
        char path[PATH_MAX];
        assert_int_equal(sb_rundir_path(path, folder, "%s", others[i]), 0);
        assert_int_equal(sb_file_replace(path, "mine", 4), 0);
    }
    for (int i = 1; i <= SB_EVENTS_EMPTY + 2; i++)
        assert_int_equal(sb_events_replace(folder, "12345", (size_t)(i % 5 + 1)), 0);
    assert_int_equal(SB_EVENTS_EMPTY, 8);
    assert_int_equal(size_of("events.out.tfevents.000000010.smallbatch"), 1);
    assert_int_equal(size_of("events.out.tfevents.000000009.smallbatch"), 0);
    assert_int_equal(size_of("events.out.tfevents.000000002.smallbatch"), 0);
    assert_false(is_there("events.out.tfevents.000000001.smallbatch"));
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(size_of(others[i]), 4);
    assert_int_equal(sb_events_replace("/nonexistent", "1", 1), -1);
}

static void assert_text(const char *name, const char *wanted)
{
    char path[PATH_MAX], *text;
    size_t bytes;
    assert_int_equal(sb_rundir_path(path, folder, "%s", name), 0);
    assert_int_equal(sb_file_read(path, 10000, &text, &bytes), 0);
    assert_string_equal(text, wanted);
    free(text);
}

/* Names in which a cell or a line would end, and findings that do not fit. */
static void test_projector(void **state)
{
    (void)state;
    float value[] = { 1, -0.5F, 0.25F, 0, 1e-7F, 1.0F / 3 };
    sb_npy features = { SB_NPY_F32, 2, { 3, 2 }, 6, value };
    char jpeg[] = "a picture";
    sb_events_picture atlas = { jpeg, 9, 24, 24 };
    json_t *findings = json_loads(
        "{\"held\": 1, \"columns\": 2, \"cell\": 8, \"frame\": 2, \"tiles\": [{\"name\": "
        "\"a\\tb\\r\\nc\\u0001\", \"label\": \"\\n\", \"left\": 1, \"top\": 2, \"page\": 3}, {\"name\": "
        "\"\\u00e4\"}, {\"name\": 7, \"left\": \"x\"}]}",
        0, NULL);
    assert_non_null(findings);
    assert_int_equal(sb_projector_write(folder, findings, &features, &atlas), -1);
    assert_non_null(strstr(sb_error(), "of another evaluation"));
    const uLong sum = crc32_z(0, (const Bytef *)value, sizeof value);
    assert_int_equal(json_object_set_new(findings, "features", json_integer((json_int_t)sum)), 0);
    assert_int_equal(sb_projector_write(folder, findings, &features, &atlas), 0);
    assert_text("metadata.tsv", "name\tlabel\tleft\ttop\tpage\tpart\na b  c \t \t1\t2\t3\theld out\n"
                                "\xC3\xA4\t\t0\t0\t0\ttrain\n\t\t0\t0\t0\ttrain\n");
    assert_text("tiles.tsv", "1\t-0.5\n0.25\t0\n1e-07\t0.333333\n");
    assert_text("sprite.jpg", "a picture");
    assert_text(
        "projector_config.pbtxt",
        "embeddings {\n  tensor_name: \"tiles\"\n  tensor_shape: 3\n  tensor_shape: 2\n"
        "  tensor_path: \"tiles.tsv\"\n  metadata_path: \"metadata.tsv\"\n  sprite {\n"
        "    image_path: \"sprite.jpg\"\n    single_image_dim: 12\n    single_image_dim: 12\n  }\n}\n");
    atlas.height = 23; /* of its two rows one is cut */
    assert_int_equal(sb_projector_write(folder, findings, &features, &atlas), -1);
    assert_non_null(strstr(sb_error(), "atlas"));
    atlas.height = 24;
    features.side[0] = 2;
    assert_int_equal(sb_projector_write(folder, findings, &features, &atlas), -1);
    assert_non_null(strstr(sb_error(), "3 tiles"));
    features.side[0] = 3;
    value[3] = NAN;
    json_object_set_new(findings, "features",
                        json_integer((json_int_t)crc32_z(0, (const Bytef *)value, sizeof value)));
    assert_int_equal(sb_projector_write(folder, findings, &features, &atlas), -1);
    assert_non_null(strstr(sb_error(), "no numbers"));
    assert_text("tiles.tsv", "1\t-0.5\n0.25\t0\n1e-07\t0.333333\n");
    json_decref(findings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checksum),  cmocka_unit_test(test_records), cmocka_unit_test(test_missing),
        cmocka_unit_test(test_order),     cmocka_unit_test(test_thinned), cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_projector),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
