/* What a method keeps for each image: the numbers of images and of grid cells, and over some steps of a
 * method of this file's own what becomes of a moving average and of a table of vectors, against plain C. A
 * run that goes on from a checkpoint has the same bytes; one whose data set has another number of images is
 * refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "augment/order.h"
#include "proto/error.h"
#include "proto/random.h"
#include "proto/rundir.h"
#include "tests/step.h"
#include "trainer/checkpoint.h"
#include "trainer/encoder.h"
#include "trainer/graph/build.h"
#include "trainer/images.h"
#include "trainer/step/step.h"

#define BATCH 6
#define SIDE 16
#define IMAGES 11
#define WIDTH 8
#define OTHERS 4
#define STEPS 5
#define RATE 3.0
#define LR 0.25

static char folder[64] = "/tmp/smallbatch-images-XXXXXX";

/* ---- a network and a method ---------------------------------------------------------------------------- */

static sb_t build_encoder(sb_graph *g, const void *keys, const sb_encoder_input *input, sb_encoder_map *map)
{
    (void)map;
    (void)keys;
    sb_t t = test_input(g, SIDE, input->channels, input->type);
    t = sb_conv(g, t, "conv", .out = 16, .kernel = 3, .stride = 2, .pad = 1);
    return sb_output(g, sb_avgpool(g, t), true);
}

static const sb_encoder_kind encoder = { .name = "own", .build = build_encoder };

/* L = mean_i <z_i, e_i> + mean_ij <z_i, e_j>, i in the batch, j among other images. u_i <- (u_i + z_i) / 2 */
static sb_t build(sb_method *m)
{
    sb_graph *g = m->graph;
    sb_t z = sb_embedding(m, 0), u = sb_per_image(m, "average", WIDTH);
    if (sb_put(m, u, sb_combine(g, u, sb_stop(z), .alpha = 0.5f, .beta = 0.5f)) < 0)
        return SB_FAILED;
    sb_t e = sb_table(m, "vectors", WIDTH, RATE),
         others = sb_rows_of_images(m, e, sb_other_images(m, OTHERS));
    sb_t own = sb_mean(g, sb_row_dot(g, z, e));
    sb_t foreign = sb_mean(g, sb_product(g, z, others, .form = SB_PRODUCT_COLUMNS, .scale = 1));
    return sb_combine(g, own, foreign, .alpha = 1, .beta = 1);
}

static const sb_method_kind method = { .name = "own", .images = true, .build = build };

static sb_settings configure(int images)
{
    sb_settings c;
    static const char *const assignments[] = { "data.path=.",         "data.view=16",       "method.name=dcl",
                                               "projector.out=8",     "projector.layers=1", "trainer.batch=6",
                                               "optimiser.name=adamw" };
    if (sb_settings_of(&c, NULL, assignments, sizeof assignments / sizeof *assignments) != 0)
        fail_msg("%s", sb_error());
    c.encoder = &encoder;
    c.method = &method;
    c.common.seed = 0;
    c.images = images;
    return c;
}

/* ---- where the batch comes from ------------------------------------------------------------------------ */

typedef struct {
    int64_t step;
    uint8_t pixels[SIDE * SIDE * 3];
} source;

/* In each step two samples are of one image. */
static int32_t image_of(int64_t step, int sample)
{
    return (int32_t)((step * 5 + (sample == 4 ? 1 : sample)) % IMAGES);
}

static int fetch(void *context, int view, int sample, const uint8_t **pixels)
{
    static uint8_t all[2][BATCH][SIDE * SIDE * 3];
    const source *s = context;
    sb_random random;
    sb_random_init(&random, 3, SB_RANDOM_VIEW, (uint32_t)s->step, (uint32_t)sample, (uint32_t)view);
    for (size_t i = 0; i < sizeof all[0][0]; i++)
        all[view][sample][i] = (uint8_t)sb_random_below(&random, 256);
    *pixels = all[view][sample];
    return 0;
}

static int32_t added; /* to each number */

static int number_images(void *context, int32_t *index)
{
    const source *s = context;
    for (int i = 0; i < BATCH; i++)
        index[i] = image_of(s->step, i) + added;
    return 0;
}

static sb_step *create(sb_device *device, const sb_settings *config)
{
    sb_step *step;
    if (sb_step_create(&step, device, config) != 0 || sb_step_begin(step) != 0)
        fail_msg("%s", sb_error());
    return step;
}

static int gradient(sb_step *step, int64_t number, double *loss)
{
    static source s;
    s.step = number;
    return sb_step_gradient(
        step, number, 0, &(sb_step_source){ .context = &s, .fetch = fetch, .images = number_images }, loss);
}

static const float *entry(const sb_step *step, const char *name)
{
    const sb_store *store = sb_step_store(step);
    for (int i = 0; i < store->count; i++)
        if (strcmp(store->entries[i].name, name) == 0)
            return sb_step_section(step)->state +
                   store->entries[i].offset; /* the CPU's memory is the host's */
    fail_msg("there is no %s", name);
    return NULL;
}

/* ---- what should be ------------------------------------------------------------------------------------ */

/* The first OTHERS of a permutation of all images that are not in the batch; leaf 4 draws them. */
static void draw(int64_t step, int32_t *out)
{
    int32_t all[IMAGES];
    sb_random random;
    int drawn = 0;
    sb_random_init(&random, 0, SB_RANDOM_METHOD, (uint32_t)step, 0, 4);
    for (int i = 0; i < IMAGES; i++)
        all[i] = i;
    for (int i = 0; drawn < OTHERS; i++) {
        int j = i + (int)sb_random_below(&random, (uint32_t)(IMAGES - i));
        bool in_batch = false;
        int32_t image = all[j];
        all[j] = all[i];
        for (int k = 0; k < BATCH; k++)
            in_batch |= image_of(step, k) == image;
        if (!in_batch)
            out[drawn++] = image;
    }
}

typedef struct {
    double average[IMAGES][WIDTH], vectors[IMAGES][WIDTH];
} kept;

static void copy_kept(const sb_step *step, kept *out)
{
    const float *average = entry(step, "average"), *vectors = entry(step, "vectors");
    for (int i = 0; i < IMAGES * WIDTH; i++) {
        out->average[i / WIDTH][i % WIDTH] = (double)average[i];
        out->vectors[i / WIDTH][i % WIDTH] = (double)vectors[i];
    }
}

static double dot(const double *a, const double *b)
{
    double sum = 0;
    for (int k = 0; k < WIDTH; k++)
        sum += a[k] * b[k];
    return sum;
}

/* One step from `k` on with these embeddings; returns its loss. */
static double advance(kept *k, int64_t step, double z[BATCH][WIDTH])
{
    const kept before = *k;
    int32_t others[OTHERS];
    double loss = 0;
    draw(step, others);
    for (int i = 0; i < BATCH; i++) {
        const int32_t image = image_of(step, i);
        loss += dot(z[i], before.vectors[image]) / BATCH;
        for (int j = 0; j < OTHERS; j++)
            loss += dot(z[i], before.vectors[others[j]]) / BATCH / OTHERS;
        for (int c = 0; c < WIDTH; c++) {
            k->average[image][c] = (before.average[image][c] + z[i][c]) / 2;
            k->vectors[image][c] -= RATE * LR * z[i][c] / BATCH;
        }
    }
    for (int i = 0; i < IMAGES; i++) {
        double length = sqrt(dot(k->vectors[i], k->vectors[i]));
        for (int c = 0; c < WIDTH; c++)
            k->vectors[i][c] /= length;
    }
    return loss;
}

static void take_step(sb_step *step, int64_t number, double *loss)
{
    if (gradient(step, number, loss) != 0 || sb_step_commit(step, number, LR) != 0)
        fail_msg("%s", sb_error());
}

static void test_steps(void **state)
{
    const sb_settings config = configure(IMAGES);
    sb_step *step = create(*state, &config);
    kept wanted, got;
    copy_kept(step, &wanted);
    for (int i = 0; i < IMAGES; i++) {
        assert_true(fabs(dot(wanted.vectors[i], wanted.vectors[i]) - 1) < 1e-6);
        assert_true(dot(wanted.average[i], wanted.average[i]) == 0);
        assert_true(i == 0 || fabs(dot(wanted.vectors[i], wanted.vectors[i - 1])) < 0.999);
    }
    for (int64_t number = 0; number < STEPS; number++) {
        float untouched[WIDTH];
        const int32_t elsewhere = (image_of(number, 0) + 8) % IMAGES; /* not in this batch */
        double loss, z[BATCH][WIDTH];
        int width;
        memcpy(untouched, entry(step, "vectors") + (size_t)elsewhere * WIDTH, sizeof untouched);
        take_step(step, number, &loss);
        const float *embeddings = sb_step_embeddings(step, 0, &width);
        assert_int_equal(width, WIDTH);
        for (int i = 0; i < BATCH * WIDTH; i++)
            z[i / WIDTH][i % WIDTH] = (double)embeddings[i];
        assert_true(fabs(advance(&wanted, number, z) - loss) < 1e-5 * (1 + fabs(loss)));
        copy_kept(step, &got);
        for (int i = 0; i < IMAGES; i++)
            for (int c = 0; c < WIDTH; c++) {
                assert_true(fabs(got.average[i][c] - wanted.average[i][c]) < 1e-5);
                assert_true(fabs(got.vectors[i][c] - wanted.vectors[i][c]) < 1e-5);
            }
        assert_memory_equal(untouched, entry(step, "vectors") + (size_t)elsewhere * WIDTH, sizeof untouched);
        wanted = got; /* rounding does not add up */
    }
    sb_step_destroy(&step);
}

static void test_refused(void **state)
{
    const sb_settings config = configure(IMAGES);
    sb_step *step = create(*state, &config);
    double loss;
    added = 7;
    assert_int_equal(gradient(step, 1, &loss), -1);
    assert_non_null(strstr(sb_error(), "is of image 12, of 11"));
    added = -6;
    assert_int_equal(gradient(step, 1, &loss), -1);
    assert_non_null(strstr(sb_error(), "is of image -1, of 11"));
    added = 0;
    assert_int_equal(gradient(step, 1, &loss), 0);
    sb_step_destroy(&step);
    sb_settings none = configure(IMAGES);
    const sb_method_kind silent = { .name = "silent", .build = build };
    none.method = &silent;
    assert_int_equal(sb_step_create(&step, *state, &none), -1);
    assert_non_null(strstr(sb_error(), "does not say that it keeps something for each image"));
    sb_settings several = configure(IMAGES);
    several.trainer.accumulate = 2;
    assert_int_equal(sb_step_create(&step, *state, &several), -1);
    assert_non_null(strstr(sb_error(), "trainer.accumulate = 2: it keeps average from batch to batch"));
    const sb_settings few = configure(BATCH);
    assert_int_equal(sb_step_create(&step, *state, &few), -1);
    assert_non_null(strstr(sb_error(), "4 images beside a batch of 6, of a data set of 6"));
}

/* ---- checkpoints --------------------------------------------------------------------------------------- */

static sb_checkpoint_view view_of(const sb_step *step)
{
    const sb_store *store = sb_step_store(step);
    const sb_section *section = sb_step_section(step);
    int arrays;
    float *moments = sb_step_state(step, &arrays);
    const size_t weights = store->floats[SB_ENTRY_WEIGHT];
    assert_int_equal(arrays, 2);
    return (sb_checkpoint_view){
        .store = store,
        .parts = { { "", SB_ENTRY_WEIGHT, section->weight, weights },
                   { "", SB_ENTRY_STATISTIC, section->statistic, store->floats[SB_ENTRY_STATISTIC] },
                   { "", SB_ENTRY_STATE, section->state, store->floats[SB_ENTRY_STATE] },
                   { "optimiser.0.", SB_ENTRY_WEIGHT, moments, weights },
                   { "optimiser.1.", SB_ENTRY_WEIGHT, moments + weights, weights } },
        .part_count = 5,
        .config_text = ""
    };
}

static void test_resume(void **state)
{
    const sb_settings config = configure(IMAGES);
    sb_step *whole = create(*state, &config);
    double loss, again;
    for (int64_t number = 0; number < 2; number++)
        take_step(whole, number, &loss);
    sb_checkpoint_view view = view_of(whole);
    view.step = 2;
    assert_int_equal(sb_checkpoint_save(folder, &view, 1), 0);
    sb_step *resumed = create(*state, &config);
    view = view_of(resumed);
    assert_int_equal(sb_checkpoint_load_latest(folder, &view), 1);
    assert_int_equal(sb_step_weights_changed(resumed), 0);
    for (int64_t number = 2; number < STEPS; number++) {
        take_step(whole, number, &loss);
        take_step(resumed, number, &again);
        assert_true(loss == again);
    }
    const sb_store *store = sb_step_store(whole);
    for (int k = 0; k < SB_ENTRY_KINDS; k++)
        if (store->floats[k] > 0)
            assert_memory_equal(sb_step_section(whole)->array[k], sb_step_section(resumed)->array[k],
                                store->floats[k] * sizeof(float));
    sb_step_destroy(&resumed);
    sb_step_destroy(&whole);
    const sb_settings grown = configure(IMAGES + 1);
    sb_step *other = create(*state, &grown);
    view = view_of(other);
    assert_int_equal(sb_checkpoint_load_latest(folder, &view), -1);
    sb_step_destroy(&other);
}

/* ---- numbers ------------------------------------------------------------------------------------------- */

#define TILE 32
#define ROWS 9

/* Images that are not trained on, lower than a tile, with a grid, and one whose tile a manifest places. */
static void make_index(sb_index *out, sb_image images[ROWS])
{
    static const char name[] = "/tmp/image.png";
    const sb_region none = { 0 };
    *out = (sb_index){
        .images = images, .count = ROWS, .tile = TILE, .names = name, .name_bytes = sizeof name
    };
    for (uint32_t i = 0; i < ROWS; i++) {
        const int width = TILE * (1 + (int)i % 4) + (int)i,
                  height = i == 5 ? TILE - 2 : TILE * (1 + (int)i % 3);
        const sb_region train = { .left = 0, .top = 0, .width = width, .height = height };
        images[i] = (sb_image){ .page = (int)i,
                                .bytes = 1,
                                .width = width,
                                .height = height,
                                .label = UINT32_MAX,
                                .group = i,
                                .train = train };
        memset(images[i].value, 0xff, sizeof images[i].value);
        images[i].file = i;
        if (i == 2) {
            images[i].train = none;
            images[i].test = train;
        } else {
            images[i].tiles = (1 + i % 4) * (i == 5 ? 1 : 1 + i % 3);
        }
    }
    images[7].placed = true;
    images[7].left = 3;
    images[7].train = (sb_region){ 3, 0, TILE, TILE };
    images[7].tiles = 1;
}

/* Every tile of an epoch has a number, and every number comes as often as it has samples. */
static void count(sb_place place, int wanted)
{
    sb_image images[ROWS];
    sb_index index;
    sb_augment_keys keys;
    sb_config nothing;
    sb_images numbers;
    sb_order *order = NULL;
    int seen[128] = { 0 };
    make_index(&index, images);
    assert_int_equal(sb_index_write(&index, folder), 0);
    sb_config_init(&nothing);
    assert_int_equal(sb_config_set(&nothing, "data.path=/tmp"), 0);
    assert_int_equal(sb_augment_keys_read(&nothing, &keys), 0);
    sb_config_free(&nothing);
    keys.data.tile = TILE;
    keys.data.place = place;
    keys.data.tiles_per_image = 3;
    keys.trainer.batch = 1;
    if (sb_images_read(&numbers, folder, &keys.data) != 0 || sb_order_create(&order, &index, &keys) != 0)
        fail_msg("%s", sb_error());
    assert_int_equal(numbers.count, wanted);
    for (uint64_t n = 0; n < sb_order_epoch_samples(order); n++) {
        sb_tile tile;
        assert_int_equal(sb_order_sample(order, n, 0, &tile), 0);
        const sb_slot_meta meta = { .image = tile.image, .left = tile.left, .top = tile.top };
        int32_t number = sb_images_number(&numbers, &meta);
        assert_in_range(number, 0, wanted - 1);
        seen[number]++;
    }
    uint32_t image = 0;
    for (int i = 0; i < wanted; i++, image++) {
        while (place == SB_PLACE_RANDOM && images[image].tiles == 0)
            image++;
        assert_int_equal(seen[i], place == SB_PLACE_GRID ? 3 : 3 * (int)images[image].tiles);
    }
    assert_int_equal(sb_images_number(&numbers, &(sb_slot_meta){ .image = 2 }), -1);
    assert_int_equal(sb_images_number(&numbers, &(sb_slot_meta){ .image = ROWS }), -1);
    sb_order_destroy(&order);
    sb_images_free(&numbers);
}

static void test_images(void **state)
{
    (void)state;
    count(SB_PLACE_RANDOM, ROWS - 1);
}

static void test_cells(void **state)
{
    (void)state;
    int cells = 0;
    sb_image images[ROWS];
    sb_index index;
    make_index(&index, images);
    for (int i = 0; i < ROWS; i++)
        cells += (int)images[i].tiles;
    count(SB_PLACE_GRID, cells);
}

static int open_device(void **state)
{
    sb_device *device;
    char run[64];
    if (!mkdtemp(folder) || snprintf(run, sizeof run, "%s/run", folder) < 0 || sb_rundir_create(run) != 0 ||
        sb_device_cpu(&device, 2) != 0)
        return -1;
    memcpy(folder, run, sizeof folder);
    *state = device;
    return 0;
}

static int close_device(void **state)
{
    sb_device *device = *state;
    char command[128];
    sb_device_close(&device);
    snprintf(command, sizeof command, "rm -r %.*s", (int)strlen(folder) - 4, folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),  cmocka_unit_test(test_refused), cmocka_unit_test(test_resume),
        cmocka_unit_test(test_images), cmocka_unit_test(test_cells),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
