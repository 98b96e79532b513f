/* budget.c: see budget.h. */
#include "tests/graph/budget.h"

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"
#include "tests/step.h"
#include "trainer/graph/build.h"
#include "trainer/precision.h"
#include "trainer/step/step.h"

#define SIDE 96   /* of a view, at most */
#define FLAT 1.05 /* the most over the least */

static void good(int rc)
{
    if (rc != 0)
        fail_msg("%s", sb_error());
}

static size_t total_of(const sb_step_budget *b) { return b->weights + b->packed + b->activations + b->batch; }

/* ---- as said ------------------------------------------------------------------------------------------- */

/* A backbone that is made at once: those of the recipes are laid out as any graph is (sizes.c), and what
 * heads and loss take does not depend on it. */
static sb_t build(sb_graph *g, const void *keys, const sb_encoder_input *input, sb_encoder_map *map)
{
    (void)keys;
    sb_t t = test_input(g, 32, input->channels, input->type);
    t = sb_conv(g, t, "a", .out = 512, .kernel = 7, .stride = 8, .pad = 3);
    map->map = t = sb_batchnorm(g, t, SB_NONE, "norm", .relu = true);
    return sb_output(g, sb_avgpool(g, t), true);
}

static const sb_encoder_kind small = { .name = "small", .build = build };

static void check(sb_device *device, size_t (*used)(void), const sb_settings *settings, const char *recipe)
{
    sb_step *step = NULL;
    sb_step_budget said, measured;
    good(sb_step_sketch(&step, device, settings));
    good(sb_step_size(step, settings->trainer.chunk, settings->trainer.recompute, &said));
    sb_step_destroy(&step);
    const size_t before = used();
    good(sb_step_create(&step, device, settings));
    const size_t taken = used() - before;
    sb_step_measure(step, &measured);
    sb_step_destroy(&step);
    if (taken != total_of(&said))
        fail_msg("%s: %zu bytes are taken, %zu were said", recipe, taken, total_of(&said));
    assert_int_equal(measured.weights, said.weights);
    assert_int_equal(measured.packed, said.packed);
    assert_int_equal(measured.activations, said.activations);
    assert_int_equal(measured.batch, said.batch);
    assert_int_equal(measured.chunks, said.chunks);
    assert_int_equal(used(), before);
}

void budget_is_taken(sb_device *device, size_t (*used)(void))
{
    static const char *const folders[] = { "recipes/*.yaml", "recipes/methods/*.yaml",
                                           "recipes/cards/*.yaml" };
    static const char *const keys[] = { "data.path=none", "trainer.recompute=norms", "trainer.batch=32" };
    size_t available;
    good(device->available(device, &available)); /* what libraries take is no step's */
    for (size_t f = 0; f < sizeof folders / sizeof *folders; f++) {
        glob_t found;
        assert_int_equal(glob(folders[f], 0, NULL, &found), 0);
        for (size_t i = 0; i < found.gl_pathc; i++) {
            sb_settings settings;
            good(sb_settings_of(&settings, found.gl_pathv[i], keys, 3));
            if (!settings.method->mask) /* which needs an encoder of its own */
                settings.encoder = &small;
            sb_precision has;
            if (sb_precision_settle(device, settings.trainer.precision, &has) != 0)
                settings.trainer.precision = SB_PRECISION_AUTO;
            for (int v = 0; v < settings.view_count; v++) /* no more than any machine has */
                settings.views[v].side = settings.views[v].side > SIDE ? SIDE : settings.views[v].side;
            check(device, used, &settings, found.gl_pathv[i]);
            settings.trainer.chunk = settings.trainer.batch / 5; /* many chunks, and a rest */
            check(device, used, &settings, found.gl_pathv[i]);
        }
        globfree(&found);
    }
}

/* ---- flat ---------------------------------------------------------------------------------------------- */

/* With views of `side` and chunks of so many. Those of methods with small views beside the large ones stay in
 * proportion. */
static sb_step_budget size_of(sb_device *device, const char *recipe, int side, int batch, int chunk)
{
    char size[32];
    sb_settings settings;
    sb_step *step = NULL;
    sb_step_budget budget;
    snprintf(size, sizeof size, "trainer.batch=%d", batch);
    const char *const keys[] = { "data.path=none", "data.tile=1024", "trainer.recompute=none", size };
    good(sb_settings_of(&settings, recipe, keys, 4));
    settings.trainer.chunk = chunk;
    for (int v = settings.view_count - 1; v >= 0; v--)
        settings.views[v].side = settings.views[v].side * side / settings.views[0].side;
    good(sb_step_sketch(&step, device, &settings));
    good(sb_step_size(step, chunk, SB_RECOMPUTE_NONE, &budget));
    sb_step_destroy(&step);
    return budget;
}

static int views_of(const char *recipe)
{
    sb_settings settings;
    const char *const keys[] = { "data.path=none" };
    good(sb_settings_of(&settings, recipe, keys, 1));
    return settings.view_count;
}

void budget_is_flat(sb_device *device)
{
    static const struct {
        int side, chunk, batch[4];
    } cases[] = { { 256, 16, { 8, 32, 128, 512 } }, { 1024, 4, { 2, 8, 32, 64 } } };
    double worst = 0;
    glob_t found;
    assert_int_equal(glob("recipes/methods/*.yaml", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++)
        for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
            size_t least = SIZE_MAX, most = 0;
            for (int b = 0; b < 4; b++) {
                const int batch = cases[c].batch[b];
                if (strstr(found.gl_pathv[i], "wmse") &&
                    batch < 32) /* its covariances need as many samples */
                    continue;
                if (views_of(found.gl_pathv[i]) * batch < cases[c].chunk)
                    continue;
                const sb_step_budget budget = size_of(device, found.gl_pathv[i], cases[c].side, batch,
                                                      cases[c].chunk);
                const size_t bytes = total_of(&budget);
                least = bytes < least ? bytes : least;
                most = bytes > most ? bytes : most;
            }
            const double grows = (double)most / (double)least;
            worst = grows > worst ? grows : worst;
            if (grows > FLAT)
                fail_msg("%s, views of %d: from %zu to %zu MiB", found.gl_pathv[i], cases[c].side,
                         least >> 20, most >> 20);
        }
    print_message("at most %.3f times as much for the largest batch as for the smallest\n", worst);
    globfree(&found);
}

/* ---- linear -------------------------------------------------------------------------------------------- */

void budget_is_linear(sb_device *device)
{
    static const char *const recipes[] = { "recipes/methods/simclr.yaml", "recipes/methods/dcl.yaml",
                                           "recipes/methods/dclw.yaml", "recipes/methods/sogclr.yaml" };
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++) {
        const size_t one = size_of(device, recipes[i], 64, 16384, 16).batch,
                     two = size_of(device, recipes[i], 64, 32768, 16).batch;
        if (two > 2 * one)
            fail_msg("%s: what grows with the batch is %zu MiB at 16384 samples, and %zu MiB at 32768",
                     recipes[i], one >> 20, two >> 20);
    }
}
