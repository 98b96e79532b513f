/* test_counts.c: the counts of a step (tests/bench/counts.h) agree with what the CUDA device does on the
 * emulated GPU. Three things can be compared: the bytes that are transferred, the calls of cuDNN and cuBLAS,
 * and, as nearly as the model of a GPU's times says them (model.h), the launches of our own kernels. Bytes
 * within the device's memory are not checked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "augment/viewer.h"
#include "kernels/cuda/device.h"
#include "proto/error.h"
#include "tests/bench/counts.h"
#include "tests/emulated/emulation.h"
#include "trainer/step/step.h"

#define KEYS_MAX 10
#define SMALL 4 /* keys of every case */
#define SIDE 32
#define TILE 64
/* What the launches of our own may be off; seen: 0.032 for a ResNet, 0.16 for a ViT, with its biases. */
#define RESNET_OFF 0.05
#define KERNELS_OFF 0.2

/* The demo and, on top of it, what asks for other operations. */
static const char *const plans[][KEYS_MAX] = {
    { "trainer.precision=f32" },
    { "trainer.precision=bf16" },
    { "trainer.precision=f32", "trainer.chunk=3", "encoder.stem=small", "optimiser.name=lars",
      "method.name=simclr", "projector.layers=3", "projector.last=bias" },
    { "trainer.precision=bf16", "trainer.chunk=3", "encoder.name=resnet50", "optimiser.name=sgd",
      "data.channels=1" },
    { "trainer.precision=f32", "encoder.name=convnext_atto" },
    { "trainer.precision=f32", "encoder.name=convnextv2_atto" },
    { "trainer.precision=bf16", "encoder.name=vit_tiny", "encoder.registers=1" },
    { "trainer.precision=bf16", "trainer.recompute=blocks" },
    { "trainer.precision=bf16", "trainer.chunk=2", "trainer.recompute=norms" },
    { "trainer.precision=bf16", "encoder.name=resnet50", "trainer.recompute=wide" },
};

static uint8_t pixels[TILE * TILE * 3];

static int fetch(void *context, int view, int sample, const uint8_t **out)
{
    (void)context;
    *out = pixels + 64 * (size_t)view + sample;
    return 0;
}

static sb_settings configure(const char *const keys[KEYS_MAX])
{
    const char *assignments[SMALL + KEYS_MAX] = { "data.path=none", "data.tile=64", "data.view=32",
                                                  "trainer.batch=4" };
    sb_settings settings;
    int count = SMALL;
    for (int i = 0; i < KEYS_MAX && keys[i]; i++)
        assignments[count++] = keys[i];
    if (sb_settings_of(&settings, "recipes/demo.yaml", assignments, count) != 0)
        fail_msg("%s", sb_error());
    return settings;
}

static emulation_counts since(const emulation_counts *before)
{
    emulation_counts n = emulation_given;
    n.kernels -= before->kernels;
    n.libraries -= before->libraries;
    n.fills -= before->fills;
    n.uploads -= before->uploads;
    n.downloads -= before->downloads;
    n.uploaded -= before->uploaded;
    n.downloaded -= before->downloaded;
    return n;
}

static void a_step(void **state)
{
    const sb_settings config = configure(*state);
    sb_counts counted;
    sb_device *device = NULL;
    sb_step *step = NULL;
    double loss;
    const sb_step_source source = { .fetch = fetch };
    assert_int_equal(sb_counts_step(&config, NULL, 0, &counted), 0);
    if (sb_device_cuda(&device) != 0 || sb_step_create(&step, device, &config) != 0)
        fail_msg("%s", sb_error());
    device->record = NULL; /* each call counts by itself */
    emulation_counts before = emulation_given;
    if (sb_step_gradient(step, 0, 0, &source, &loss) != 0 || sb_step_commit(step, 0, 0.1) != 0)
        fail_msg("%s", sb_error());
    emulation_counts given = since(&before);
    const size_t pieces = (sb_step_store(step)->floats[SB_ENTRY_WEIGHT] + 4095) / 4096;
    sb_step_destroy(&step);
    sb_device_close(&device);

    const sb_tally all = sb_counts_sum(&counted);
    print_message(
        "%ld kernels (%.0f counted), %ld calls of libraries, %ld fills and copies, %ld uploads of %zu "
        "bytes, %ld downloads of %zu bytes\n",
        given.kernels, all.kernels, given.libraries, given.fills, given.uploads, given.uploaded,
        given.downloads, given.downloaded);
    assert_int_equal(given.libraries, (long)all.libraries);
    const double off = strncmp(config.encoder->name, "resnet", 6) == 0 ? RESNET_OFF : KERNELS_OFF;
    assert_true(fabs(all.kernels - (double)given.kernels) < off * (double)given.kernels);
    assert_int_equal(given.uploaded, (size_t)(counted.pixels + counted.index + counted.numbers));
    assert_int_equal(given.downloads, 2); /* the loss, and the squares of the gradient */
    assert_int_equal(given.downloaded, (1 + pieces) * sizeof(float));
}

/* Of a whole tile, all blurred. */
static void views_of_a_tile(void **state)
{
    static uint8_t made[2][SIDE * SIDE * 3];
    uint8_t *const out[] = { made[0], made[1] };
    const sb_view_params view = { .width = TILE, .height = TILE, .size = SIDE, .blur = 1, .solarise = 2 },
                         views[] = { view, view };
    const sb_settings config = configure(*state);
    sb_augment_keys keys = { .data = config.data, .view_count = config.view_count };
    memcpy(keys.views, config.views, sizeof keys.views);
    sb_counts counted;
    sb_device *device = NULL;
    sb_viewer *viewer = NULL;
    assert_int_equal(sb_counts_step(&config, NULL, 0, &counted), 0);
    if (sb_device_cuda(&device) != 0 || sb_viewer_create(&viewer, device, &keys) != 0)
        fail_msg("%s", sb_error());
    emulation_counts before = emulation_given;
    for (int i = 0; i < config.trainer.batch; i++)
        if (sb_viewer_begin(viewer, pixels, TILE, TILE, views, 2, out) != 0 || sb_viewer_end(viewer) != 0)
            fail_msg("%s", sb_error());
    emulation_counts given = since(&before);
    sb_viewer_destroy(&viewer);
    sb_device_close(&device);
    assert_int_equal(counted.forward[SB_OP_VIEW].calls, config.trainer.batch);
    assert_true(given.kernels > 0);
    assert_int_equal(given.libraries + given.fills, 0);
    assert_int_equal(given.uploaded, (size_t)counted.tiles);
    assert_int_equal(given.downloaded, (size_t)counted.views);
}

int main(void)
{
    unsetenv("XDG_CACHE_HOME"); /* with no place to keep a choice, plans are not timed */
    unsetenv("HOME");
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * 7919 % 251);
    const struct CMUnitTest tests[] = {
        { "the demo, f32", a_step, NULL, NULL, (void *)plans[0] },
        { "the demo, bf16", a_step, NULL, NULL, (void *)plans[1] },
        { "chunks, small stem, LARS, SimCLR, a projector of three layers", a_step, NULL, NULL,
          (void *)plans[2] },
        { "ResNet-50, chunks, SGD, grey", a_step, NULL, NULL, (void *)plans[3] },
        { "ConvNeXt", a_step, NULL, NULL, (void *)plans[4] },
        { "ConvNeXt V2", a_step, NULL, NULL, (void *)plans[5] },
        { "ViT, bf16", a_step, NULL, NULL, (void *)plans[6] },
        { "blocks made again", a_step, NULL, NULL, (void *)plans[7] },
        { "norms made again, chunks", a_step, NULL, NULL, (void *)plans[8] },
        { "what is widened made again", a_step, NULL, NULL, (void *)plans[9] },
        { "views of a tile", views_of_a_tile, NULL, NULL, (void *)plans[0] },
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
