/* Weights to start from: what is taken, resized and left, its report, and what is refused. */
#include <limits.h>
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

#include "kernels/share/half.h"
#include "kernels/staging.h"
#include "proto/error.h"
#include "proto/rundir.h"
#include "tests/folder.h"
#include "trainer/init.h"
#include "trainer/safetensors.h"

static const char *in_folder(char *path, const char *name)
{
    assert_int_equal(sb_rundir_path(path, folder, "%s", name), 0);
    return path;
}

/* ---- a network ----------------------------------------------------------------------------------------- */

#define OUT 2

typedef struct {
    sb_device *device;
    sb_store store;
    sb_section section;
    sb_checkpoint_view view;
} network;

static void add(network *n, const char *name, sb_entry_kind kind, const sb_extent *extent, bool stem)
{
    const int entry = sb_store_add(&n->store, name, kind, extent);
    assert_true(entry >= 0);
    n->store.entries[entry].stem = stem;
}

/* Filters over `channels` of `side` x `side` pixels, a norm, filters over features, and a head; and, where
 * grid is no 0, a table of positions, with tokens of a class and of two registers in front or none. */
static void make_with(network *n, int channels, int side, bool staged, int grid, bool tokens)
{
    *n = (network){ 0 };
    assert_int_equal(sb_device_cpu(&n->device, 1), 0);
    n->device->host_memory = !staged;
    sb_store_init(&n->store, n->device);
    add(n, "conv1.weight", SB_ENTRY_WEIGHT, &(sb_extent){ .dims = 4, .side = { OUT, channels, side, side } },
        true);
    add(n, "bn1", SB_ENTRY_STATISTIC, &(sb_extent){ .dims = 2, .side = { 2, OUT } }, false);
    add(n, "conv2.weight", SB_ENTRY_WEIGHT, &(sb_extent){ .dims = 4, .side = { 3, OUT, 1, 1 } }, false);
    add(n, "projector.0.weight", SB_ENTRY_WEIGHT, &(sb_extent){ .dims = 2, .side = { 4, 3 } }, false);
    if (grid > 0) {
        add(n, "pos_embed", SB_ENTRY_WEIGHT,
            &(sb_extent){ .dims = 3, .side = { 1, (tokens ? 3 : 0) + (int64_t)grid * grid, 2 } }, false);
        n->store.entries[n->store.count - 1].grid = grid;
    }
    if (tokens) {
        add(n, "cls_token", SB_ENTRY_WEIGHT, &(sb_extent){ .dims = 3, .side = { 1, 1, 2 } }, false);
        add(n, "reg_token", SB_ENTRY_WEIGHT, &(sb_extent){ .dims = 3, .side = { 1, 2, 2 } }, false);
    }
    assert_int_equal(sb_section_create(&n->section, &n->store, NULL, false, 1, NULL), 0);
    n->view = (sb_checkpoint_view){
        .store = &n->store,
        .parts = { { "", SB_ENTRY_WEIGHT, n->section.weight, n->store.floats[SB_ENTRY_WEIGHT] },
                   { "", SB_ENTRY_STATISTIC, n->section.statistic, n->store.floats[SB_ENTRY_STATISTIC] } },
        .part_count = 2,
        .config_text = ""
    };
    for (size_t i = 0; i < n->store.floats[SB_ENTRY_WEIGHT]; i++)
        n->section.weight[i] = -1;
    for (size_t i = 0; i < n->store.floats[SB_ENTRY_STATISTIC]; i++)
        n->section.statistic[i] = -1;
}

static void make(network *n, int channels, int side, bool staged)
{
    make_with(n, channels, side, staged, 0, false);
}

static void drop(network *n)
{
    sb_section_free(&n->section, &n->store);
    sb_store_free(&n->store);
    sb_device_close(&n->device);
}

/* ---- a file -------------------------------------------------------------------------------------------- */

typedef struct {
    sb_tensor tensors[8];
    int count;
} contents;

static const void *look(void *context, const sb_tensor *t, size_t at, size_t bytes)
{
    (void)context, (void)bytes;
    return (const char *)t->data + at;
}

static void put(contents *c, const char *name, sb_tensor_type type, size_t bytes, const void *data, int dims,
                const int64_t *shape)
{
    sb_tensor *t = &c->tensors[c->count++];
    *t = (sb_tensor){ .type = type, .bytes = bytes, .dims = dims, .data = data };
    snprintf(t->name, sizeof t->name, "%s", name);
    memcpy(t->shape, shape, (size_t)dims * sizeof *shape);
}

#define PUT(c, name, type, data, ...)                                                     \
    put(c, name, type, sizeof(data), data, (int)(sizeof((int64_t[]){ __VA_ARGS__ }) / 8), \
        (int64_t[]){ __VA_ARGS__ })

static int take_with(network *n, const contents *c, const char *const *metadata, const size_t *whole,
                     char **report)
{
    char path[PATH_MAX];
    in_folder(path, "file.safetensors");
    assert_int_equal(sb_safetensors_write(path, c->tensors, c->count, metadata, look, NULL), 0);
    return sb_init_take(&n->view, path, whole, false, report);
}

static int take(network *n, const contents *c, const size_t *whole, char **report)
{
    return take_with(n, c, NULL, whole, report);
}

/* ---- tests --------------------------------------------------------------------------------------------- */

static const float stem3[OUT * 3 * 4] = { 1, 2, 3, 4, 10, 20, 30, 40, 100, 200, 300, 400,
                                          5, 6, 7, 8, 50, 60, 70, 80, 500, 600, 700, 800 },
                                   means[OUT] = { 0.5f, 0.25f }, variances[OUT] = { 2, 4 };
static const int64_t batches[1] = { 7 };

/* All that a file of a grown-up network has, behind a prefix, in every type of number; on a device with
 * memory of its own, too. */
static void test_taken(void **state)
{
    (void)state;
    static const uint16_t half[6] = { 0x3C00, 0xC000, 0x3555, 0x0001, 0x7BFF, 0x8000 }; /* f16 */
    static const float of_half[6] = { 1, -2, 0.333251953125f, 5.9604644775390625e-8f, 65504, -0.0f };
    const uint16_t brain[2] = { sb_to_bf16(2), sb_to_bf16(4) };
    static const double wide[2] = { 0.5, 0.25 };
    static const float fc[10] = { 0 };
    for (int staged = 0; staged < 2; staged++) {
        network n;
        contents c = { 0 };
        char *report;
        make(&n, 3, 2, staged);
        PUT(&c, "module.conv1.weight", SB_TENSOR_F32, stem3, OUT, 3, 2, 2);
        PUT(&c, "module.bn1.running_mean", SB_TENSOR_F64, wide, OUT);
        PUT(&c, "module.bn1.running_var", SB_TENSOR_BF16, brain, OUT);
        PUT(&c, "module.bn1.num_batches_tracked", SB_TENSOR_I64, batches, 1);
        PUT(&c, "module.conv2.weight", SB_TENSOR_F16, half, 3, OUT, 1, 1);
        PUT(&c, "module.fc.weight", SB_TENSOR_F32, fc, 5, 2);
        PUT(&c, "conv2.weight", SB_TENSOR_F32, fc, 10); /* not behind the prefix of most */
        if (take(&n, &c, (const size_t[]){ 24 + 6, 4, 0 }, &report) != 0)
            fail_msg("%s", sb_error());
        assert_memory_equal(n.section.weight, stem3, sizeof stem3);
        assert_memory_equal(n.section.weight + 24, of_half, sizeof of_half);
        assert_memory_equal(n.section.statistic, means, sizeof means);
        assert_memory_equal(n.section.statistic + OUT, variances, sizeof variances);
        for (int i = 0; i < 12; i++)
            assert_true(n.section.weight[24 + 6 + i] == -1);
        assert_string_equal(
            report, "4 tensors taken; 0 resized; 0 of another type or shape, and left as initialised; "
                    "1 new: not in the file, and left as initialised (projector.0.weight); "
                    "2 left over in the file (conv2.weight, module.fc.weight)");
        free(report);
        drop(&n);
    }
}

/* The filters that a network of so many channels and so large a side makes of others, beside a norm that
 * fits. */
static float *resize(network *n, int channels, int side, const float *old, size_t bytes, int64_t old_channels,
                     int64_t old_side)
{
    contents c = { 0 };
    char *report;
    make(n, channels, side, true);
    put(&c, "conv1.weight", SB_TENSOR_F32, bytes, old, 4,
        (int64_t[]){ OUT, old_channels, old_side, old_side });
    PUT(&c, "bn1.running_mean", SB_TENSOR_F32, means, OUT);
    if (take(n, &c, NULL, &report) != 0)
        fail_msg("%s", sb_error());
    assert_non_null(strstr(report, "1 tensor taken; 1 resized (conv1.weight: f32 [2, "));
    assert_true(!strstr(report, "over channels") == (old_channels <= channels));
    assert_true(!strstr(report, "by channels") == (old_channels > 1 || channels == 1));
    assert_true(!strstr(report, "the further channels 0") == (old_channels != 3 || channels <= 3));
    assert_true(!strstr(report, "over areas") == (old_channels != channels && side == 2 && old_side == 2));
    free(report);
    return n->section.weight;
}

static void same(const float *got, const float *wanted, int count)
{
    for (int i = 0; i < count; i++)
        if (!(fabsf(got[i] - wanted[i]) <= 1e-6f * fabsf(wanted[i])))
            fail_msg("value %d is %.9g, wanted %.9g", i, (double)got[i], (double)wanted[i]);
}

static void test_resized(void **state)
{
    (void)state;
    network n;
    static const float summed[] = { 111, 222, 333, 444, 555, 666, 777, 888 };
    same(resize(&n, 1, 2, stem3, sizeof stem3, 3, 2), summed, 8);
    drop(&n);
    static const float shared[] = { 37,  74,  111, 148, 37,  74,  111, 148, 37,  74,  111, 148,
                                    185, 222, 259, 296, 185, 222, 259, 296, 185, 222, 259, 296 };
    same(resize(&n, 3, 2, summed, sizeof summed, 1, 2), shared, 24);
    drop(&n);
    /* A picture of three channels keeps its response. */
    const float *five = resize(&n, 5, 2, stem3, sizeof stem3, 3, 2);
    for (int i = 0; i < OUT * 5 * 4; i++) {
        const int filter = i / 20, channel = i / 4 % 5;
        assert_true(five[i] == (channel < 3 ? stem3[(filter * 3 + channel) * 4 + i % 4] : 0));
    }
    drop(&n);
    /* 2 into 3: a place of three lies under two thirds of one, or under a third of each. */
    static const float grown[] = { 444,  666,  888,  888,  1110, 1332, 1332, 1554, 1776,
                                   2220, 2442, 2664, 2664, 2886, 3108, 3108, 3330, 3552 };
    float ninth[18];
    for (int i = 0; i < 18; i++)
        ninth[i] = grown[i] / 9;
    same(resize(&n, 1, 3, summed, sizeof summed, 1, 2), ninth, 18);
    drop(&n);
    /* 4 into 2 adds four by four, of the sum over the channels. */
    float large[OUT * 3 * 16], quarter[OUT * 4];
    for (int i = 0; i < OUT * 3 * 16; i++) {
        const int filter = i / 48;
        large[i] = (float)(i % 16 + filter);
    }
    for (int i = 0; i < OUT * 4; i++) {
        const int filter = i / 4, row = i / 2 % 2;
        quarter[i] = 3 * (float)(10 + 8 * (i % 2) + 32 * row + 4 * filter);
    }
    same(resize(&n, 1, 2, large, sizeof large, 3, 4), quarter, OUT * 4);
    drop(&n);
    /* 7 into 3, as a picture that is resampled asks for it: on one that is made of 3 x 3 areas of 7 x 7 small
     * pixels, 3 of which make a pixel of the 7 x 7 grid, both filters answer alike. */
    float seven[OUT * 49];
    for (int i = 0; i < OUT * 49; i++)
        seven[i] = sinf((float)i);
    const float *three = resize(&n, 1, 3, seven, sizeof seven, 1, 7);
    for (int o = 0; o < OUT; o++)
        for (int area = 0; area < 9; area++) {
            double fine = 0; /* each of the 21 x 21 has a ninth of its place's value */
            for (int y = 7 * (area / 3); y < 7 * (area / 3) + 7; y++)
                for (int x = 7 * (area % 3); x < 7 * (area % 3) + 7; x++)
                    fine += (double)seven[o * 49 + y / 3 * 7 + x / 3] / 9;
            assert_true(fabs((double)three[o * 9 + area] - fine) < 1e-6);
        }
    drop(&n);
}

/* A table of 2 x 2 places of two numbers behind one token's, in a network without tokens and with a grid of 3
 * x 3: 1 more on each place's right and 10 more below, by the cubic's shares of 2 in 3. */
static void test_positions(void **state)
{
    (void)state;
    static const float old[5 * 2] = { 7, 8, 0, 5, 1, 5, 10, 5, 11, 5 }, class_token[2] = { 1, 2 };
    /* The centres 1/3, 1 and 5/3 of an axis of [0.5, 1.5]: distances 1/6 and 7/6, and 1/2 twice. */
    const double near = 1.5 / 216 - 2.5 / 36 + 1, d = 7.0 / 6,
                 far = -0.5 * d * d * d + 2.5 * d * d - 4 * d + 2, share = far / (near + far),
                 at[3] = { share, 0.5, 1 - share };
    network n;
    contents c = { 0 };
    char *report;
    make_with(&n, 1, 2, true, 3, false);
    const sb_entry *table = &n.store.entries[n.store.count - 1];
    PUT(&c, "pos_embed", SB_TENSOR_F32, old, 1, 5, 2);
    PUT(&c, "cls_token", SB_TENSOR_F32, class_token, 1, 1, 2);
    PUT(&c, "bn1.running_mean", SB_TENSOR_F32, means, OUT);
    if (take(&n, &c, NULL, &report) != 0)
        fail_msg("%s", sb_error());
    if (!strstr(report, "1 resized (pos_embed: f32 [1, 5, 2] to f32 [1, 9, 2], bicubic, without the class "
                        "token's)"))
        fail_msg("%s", report);
    free(report);
    for (int i = 0; i < 9; i++) {
        const float *got = n.section.weight + table->offset + 2 * (size_t)i;
        assert_true(fabs((double)got[0] - 10 * at[i / 3] - at[i % 3]) < 1e-5);
        assert_true(fabsf(got[1] - 5) < 1e-5f);
    }
    drop(&n);
}

/* Positions of tokens that the file has, and of those that it has not. first: the file's first row of its
 * grid. */
static void take_tokens(const float *old, int64_t rows, bool class_token, bool registers, int first,
                        const char *rule)
{
    static const float token[2 * 2] = { 1, 2, 3, 4 };
    network n;
    contents c = { 0 };
    char *report;
    make_with(&n, 1, 2, true, 2, true);
    const sb_entry *table = &n.store.entries[n.store.count - 3];
    put(&c, "pos_embed", SB_TENSOR_F32, (size_t)rows * 2 * sizeof *old, old, 3, (int64_t[]){ 1, rows, 2 });
    PUT(&c, "bn1.running_mean", SB_TENSOR_F32, means, OUT);
    if (class_token)
        put(&c, "cls_token", SB_TENSOR_F32, 2 * sizeof *token, token, 3, (int64_t[]){ 1, 1, 2 });
    if (registers)
        PUT(&c, "reg_token", SB_TENSOR_F32, token, 1, 2, 2);
    if (take(&n, &c, NULL, &report) != 0)
        fail_msg("%s", sb_error());
    if (!strstr(report, rule))
        fail_msg("%s", report);
    free(report);
    const float *got = n.section.weight + table->offset;
    const bool has[3] = { class_token && first > 0, registers && first > 0, registers && first > 0 };
    for (size_t row = 0, is = 0; row < 3; row++) {
        for (size_t i = 0; i < 2; i++)
            assert_true(got[2 * row + i] == (has[row]     ? old[2 * is + i]
                                             : first == 0 ? 0 /* the file has the tokens, without positions */
                                                          : -1));
        is += has[row];
    }
    if (rows - first == 4) /* of one size: the grid stays as it is */
        same(got + 6, old + 2 * (size_t)first, 4 * 2);
    drop(&n);
}

static void test_tokens(void **state)
{
    (void)state;
    static const float old[9 * 2] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14 };
    take_tokens(old, 7, true, true, 3, "4 tensors taken; 0 resized;");
    take_tokens(old, 5, true, false, 1, "[1, 5, 2] to f32 [1, 7, 2], bicubic, those of new tokens as init");
    take_tokens(old, 6, false, true, 2, "[1, 6, 2] to f32 [1, 7, 2], bicubic, those of new tokens as init");
    take_tokens(old, 9, true, true, 0, "[1, 9, 2] to f32 [1, 7, 2], bicubic, and 0 for tokens");
}

/* Whether the report says that a network which makes its filters standard computes something else with these,
 * in a file with this configuration (NULL: of somebody else's). */
static bool says_changed(const float filters[6], const char *config)
{
    network n;
    contents c = { 0 };
    char *report;
    const char *const metadata[] = { "smallbatch.config", config, NULL };
    make(&n, 1, 2, true);
    n.store.entries[2].extent.standardised = true;
    put(&c, "conv2.weight", SB_TENSOR_F32, 6 * sizeof *filters, filters, 4, (int64_t[]){ 3, OUT, 1, 1 });
    if (take_with(&n, &c, config ? metadata : NULL, NULL, &report) != 0)
        fail_msg("%s", sb_error());
    const bool says = strstr(report, "the filters of 1 tensor are not standardised in the file") != NULL;
    free(report);
    drop(&n);
    return says;
}

static void test_standard(void **state)
{
    (void)state;
    static const float standard[6] = { -1, 1, 1, -1, 1, -1 }, other[6] = { 1, 2, 3, 4, 5, 6 };
    assert_false(says_changed(standard, NULL));
    assert_true(says_changed(other, NULL));
    assert_true(says_changed(other, "encoder:\n  norm: batch\n"));
    assert_true(says_changed(other, "encoder:\n  norm: group\n  standardise: false\n"));
    assert_false(says_changed(other, "encoder:\n  norm: group\n  standardise: true\n"));
    assert_false(says_changed(other, "encoder:\n  norm: group\n")); /* from before there was a choice */
}

static void refused(network *n, const contents *c, const size_t *whole, const char *error)
{
    char *report;
    assert_int_equal(take(n, c, whole, &report), -1);
    if (!strstr(sb_error(), error))
        fail_msg("%s", sb_error());
    assert_null(report);
    for (size_t i = 0; i < n->store.floats[SB_ENTRY_WEIGHT]; i++)
        assert_true(n->section.weight[i] == -1);
    for (size_t i = 0; i < n->store.floats[SB_ENTRY_STATISTIC]; i++)
        assert_true(n->section.statistic[i] == -1);
}

static void test_refused(void **state)
{
    (void)state;
    network n;
    static const float eight[8] = { 0 };
    const size_t backbone[] = { 8 + 6, 4, 0 };
    contents none = { 0 }, some = { 0 };
    make(&n, 1, 2, false);
    PUT(&none, "bn2.running_mean", SB_TENSOR_F32, means, OUT);
    refused(&n, &none, NULL, "none of its 1 tensors has a name and shape of this encoder");
    PUT(&some, "conv1.weight", SB_TENSOR_F32, eight, OUT, 1, 2, 2);
    PUT(&some, "bn1.running_mean", SB_TENSOR_F32, means, OUT);
    PUT(&some, "bn1.running_var", SB_TENSOR_F32, variances, OUT);
    PUT(&some, "conv2.weight", SB_TENSOR_F32, eight, 4, OUT, 1, 1); /* no stem: a stranger's filters */
    refused(&n, &some, backbone, "of tensor conv2.weight f32 [3, 2, 1, 1] the file has f32 [4, 2, 1, 1]");
    some.count--;
    refused(&n, &some, backbone, "of tensor conv2.weight f32 [3, 2, 1, 1] the file has none");
    drop(&n);
    make(&n, 2, 2, false); /* 1 channel into 2 is a rule, 3 into 2 is not */
    contents three = { 0 };
    PUT(&three, "conv1.weight", SB_TENSOR_F32, stem3, OUT, 3, 2, 2);
    PUT(&three, "bn1.running_mean", SB_TENSOR_F32, means, OUT);
    refused(&n, &three, (const size_t[]){ 16, 0, 0 },
            "conv1.weight f32 [2, 2, 2, 2] the file has f32 [2, 3, 2, 2]");
    drop(&n);
}

/* What people download: PyTorch's zip and its older pickle, under any name; and safetensors under a wrong
 * one. */
static void test_pickles(void **state)
{
    (void)state;
    const struct {
        const char *name, *begin, *made;
        size_t bytes;
    } cases[] = { { "resnet18.pth", "PK\3\4\0\0\10\10\0\0\0\0", "resnet18.safetensors", 12 },
                  { "moco.pth.tar", "\x80\2\x8a\nl\xfc\x9c\x46\xf9 j\xa8P", "moco.safetensors", 14 },
                  { "weights", "PK\3\4\0\0\10\10\0\0\0\0", "weights.safetensors", 12 },
                  { "a 'b'.pt", "\x80\2\x8a\nl\xfc\x9c\x46\xf9 j\xa8P", "a '\\''b'\\''.safetensors", 14 },
                  { "short.pt", "no", "short.safetensors", 2 },
                  { "cut.safetensors", "\x80\2\0\0\0\0\0\0{}", NULL, 10 },
                  { "nothing", "", NULL, 0 } };
    network n;
    make(&n, 1, 2, false);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[PATH_MAX], save[2 * PATH_MAX], *report;
        in_folder(path, cases[i].name);
        assert_int_equal(sb_file_replace(path, cases[i].begin, cases[i].bytes), 0);
        assert_int_equal(sb_init_take(&n.view, path, NULL, false, &report), -1);
        snprintf(save, sizeof save, " '%s/%s'", folder, cases[i].made ? cases[i].made : "");
        if ((strstr(sb_error(), "torch.load(") != NULL) != (cases[i].made != NULL) ||
            (cases[i].made && !strstr(sb_error(), save)))
            fail_msg("%s: %s", cases[i].name, sb_error());
    }
    char path[PATH_MAX], *report;
    assert_int_equal(sb_init_take(&n.view, in_folder(path, "nowhere.pth"), NULL, false, &report), -1);
    assert_non_null(strstr(sb_error(), "No such file"));
    contents c = { 0 };
    PUT(&c, "bn1.running_mean", SB_TENSOR_F32, means, OUT);
    assert_int_equal(
        sb_safetensors_write(in_folder(path, "misnamed.pth"), c.tensors, c.count, NULL, look, NULL), 0);
    assert_int_equal(sb_init_take(&n.view, path, NULL, false, &report), 0);
    free(report);
    drop(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken),   cmocka_unit_test(test_resized),  cmocka_unit_test(test_positions),
        cmocka_unit_test(test_tokens),  cmocka_unit_test(test_standard), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_pickles),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
