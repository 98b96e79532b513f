/* The training step on networks of this file's own: a chunked batch has the gradient of the plain one, a step
 * that is given up leaves nothing behind, and device memory stands still while the batch grows. The backbones
 * have no batch norm, because its groups are chunks, so a chunked batch would differ; group norm and frozen
 * norms do not, in a whole ResNet-18. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"
#include "proto/random.h"
#include "tests/step.h"
#include "trainer/encoder.h"
#include "trainer/graph/build.h"
#include "trainer/step/step.h"

#define BATCH 5
#define SIDE 20
#define VIEWS (2 * BATCH)
#define VIEW_BYTES (SIDE * SIDE * 3)

typedef enum {
    SMOOTH, /* linear convolutions; behind them a projector of one layer */
    HEADS,  /* the same; behind them the method's own projector, and for dcl and supervised two columns that
               guide */
    KINKS,  /* max pools between them, and ReLU in the projector */
    NORMS,  /* batch norm */
    WIDE,   /* weights of the size of many views' activations */
    RESNET, /* the project's ResNet-18; with norms that couple no views */
    RESNET50,
    GROUP,
    FROZEN
} kind;

static kind now;

static sb_t build(sb_graph *g, const void *keys, const sb_encoder_input *input, sb_encoder_map *map)
{
    (void)keys;
    sb_t t = test_input(g, SIDE, input->channels, input->type);
    if (now == WIDE) {
        t = sb_conv(g, t, "a", .out = 64, .kernel = 3, .stride = 2, .pad = 1);
        t = sb_conv(g, t, "b", .out = 512, .kernel = 3, .stride = 2, .pad = 1);
        return sb_output(g, sb_avgpool(g, t), true);
    }
    t = sb_conv(g, t, "a", .out = 16, .kernel = 3, .stride = 1, .pad = 1);
    t = now == SMOOTH || now == HEADS ? t
        : now == KINKS                ? sb_maxpool(g, t)
                                      : sb_batchnorm(g, t, SB_NONE, "norm", .relu = true);
    t = sb_conv(g, t, "b", .out = 24, .kernel = 3, .stride = 2, .pad = 1);
    if (now == KINKS)
        t = sb_maxpool(g, t);
    t = sb_conv(g, t, "c", .out = 20, .kernel = 1, .stride = 1);
    map->map = t;
    return sb_output(g, sb_avgpool(g, t), true);
}

static const sb_encoder_kind of_this_file = { .name = "own", .build = build };

typedef struct {
    uint8_t pixels[VIEWS][VIEW_BYTES];
    int left; /* fetches until the source is asked to stop; below 0: never */
} source;

static int fetch(void *context, int view, int sample, const uint8_t **pixels)
{
    source *s = context;
    *pixels = s->pixels[view * BATCH + sample];
    return s->left-- == 0;
}

/* Two views alike: a colour and stripes of the sample's own, and noise. */
static void draw(source *s, uint64_t seed)
{
    sb_random random;
    sb_random_init(&random, seed, SB_RANDOM_VIEW, 0, 0, 0);
    s->left = -1;
    for (int i = 0; i < BATCH; i++) {
        float own[3][3];
        for (int c = 0; c < 3; c++)
            for (int d = 0; d < 3; d++)
                own[c][d] = sb_random_uniform(&random);
        for (int v = 0; v < 2; v++)
            for (int p = 0; p < VIEW_BYTES; p++) {
                int c = p % 3, x = p / 3 % SIDE, y = p / 3 / SIDE;
                float stripes = sinf(own[c][1] * (float)x + own[c][2] * (float)y);
                float value = 60 + 130 * own[c][0] + 30 * stripes + 60 * (sb_random_uniform(&random) - 0.5f);
                s->pixels[v * BATCH + i][p] = (uint8_t)value;
            }
    }
}

/* A method's own keys that are sizes, small. */
static const struct {
    const char *name, *value;
} sizes[] = { { "temperature", "0.5" }, { "hidden", "17" }, { "prototypes", "7" },
              { "queue", "15" },        { "others", "4" },  { "directions", "33" } };

static sb_settings configure(const sb_method_kind *method, kind which, uint64_t seed, int batch, int chunk)
{
    sb_settings c;
    char text[16][64];
    /* wmse whitens columns of twice as many samples */
    const char *all[16] = { "data.path=.",
                            "data.view=20",
                            "projector.hidden=20",
                            strcmp(method->name, "wmse") == 0 ? "projector.out=2" : "projector.out=16",
                            which == GROUP    ? "encoder.norm=group"
                            : which == FROZEN ? "encoder.norm=frozen"
                                              : "encoder.norm=batch",
                            which == RESNET50 ? "encoder.name=resnet50" : "encoder.name=resnet18" };
    int count = 6;
    snprintf(text[count], sizeof text[count], "method.name=%s", method->name);
    all[count] = text[count];
    count++;
    for (int k = 0; k < method->keys.count; k++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            if (strcmp(method->keys.keys[k].name, sizes[i].name) == 0) {
                snprintf(text[count], sizeof text[count], "method.%s=%s", sizes[i].name, sizes[i].value);
                all[count] = text[count];
                count++;
            }
    if (sb_settings_of(&c, NULL, all, count) != 0)
        fail_msg("%s", sb_error());
    if (which < RESNET)
        c.encoder = &of_this_file;
    if (which != HEADS)
        c.projector.layers = which == SMOOTH ? 1 : 2;
    if (which == HEADS && (method == &sb_method_dcl || method->told)) {
        c.trainer.steps = 20; /* behind the warm-up of a column that guides */
        c.guides[c.guide_count++] = (sb_guide_how){ .classes = 3, .weight = 2 };
        c.guides[c.guide_count++] = (sb_guide_how){ .classes = 0, .weight = method->told ? 2 : -20 };
    }
    c.common.seed = seed;
    c.trainer.batch = batch;
    c.trainer.chunk = chunk;
    return c;
}

static sb_step *create(kind which, sb_device *device, const sb_settings *config)
{
    sb_step *step = NULL;
    now = which;
    if (sb_step_create(&step, device, config) != 0)
        fail_msg("%s", sb_error());
    return step;
}

static float *read_floats(sb_device *device, const float *from, size_t count)
{
    float *out = malloc(count * sizeof *out);
    assert_non_null(out);
    assert_int_equal(device->copy(device, SB_STREAM_COMPUTE, out, from, count * sizeof *out, SB_TO_HOST), 0);
    assert_int_equal(device->wait(device, SB_STREAM_COMPUTE), 0);
    return out;
}

/* |a - b| / |b| */
static double distance(const float *a, const float *b, size_t count)
{
    double difference = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        size += (double)b[i] * b[i];
    }
    return sqrt(difference / size);
}

/* What earlier steps may have left: queues and the like are full of numbers. */
static void fill_state(const sb_step *step, sb_device *device, uint64_t seed)
{
    const sb_section *section = sb_step_section(step);
    const size_t count = section->floats[SB_ENTRY_STATE];
    sb_random random;
    if (count == 0)
        return;
    float *values = malloc(count * sizeof *values);
    assert_non_null(values);
    sb_random_init(&random, seed, SB_RANDOM_METHOD, 1, 2, 3);
    for (size_t i = 0; i < count; i++)
        values[i] = 0.1f + sb_random_uniform(&random); /* some are made a logarithm of */
    assert_int_equal(
        device->copy(device, SB_STREAM_COMPUTE, section->state, values, count * sizeof *values, SB_TO_DEVICE),
        0);
    assert_int_equal(device->wait(device, SB_STREAM_COMPUTE), 0);
    free(values);
}

/* What one step of a batch makes. */
typedef struct {
    float *gradient;
    size_t floats;
    double loss;
    sb_entry entries[128];
    int entry_count;
} made;

static made make(const sb_method_kind *method, kind which, sb_device *device, uint64_t seed, int chunk)
{
    static source s;
    made m;
    draw(&s, seed);
    sb_settings config = configure(method, which, seed, BATCH, chunk);
    sb_step *step = create(which, device, &config);
    const sb_store *store = sb_step_store(step);
    fill_state(step, device, seed);
    assert_int_equal(sb_step_begin(step), 0);
    assert_int_equal(
        sb_step_gradient(step, 3, 0, &(sb_step_source){ .context = &s, .fetch = fetch }, &m.loss), 0);
    m.floats = store->floats[SB_ENTRY_WEIGHT];
    m.gradient = read_floats(device, sb_step_section(step)->gradient, m.floats);
    m.entry_count = store->count;
    assert_true(m.entry_count <= 128);
    memcpy(m.entries, store->entries, (size_t)m.entry_count * sizeof *m.entries);
    sb_step_destroy(&step);
    return m;
}

/* Chunked against plain: of the whole gradient, and of the tensor where it is largest. */
static void compare(const made *plain, const sb_method_kind *method, kind which, sb_device *device,
                    uint64_t seed, int chunk, double *whole, double *tensor)
{
    made m = make(method, which, device, seed, chunk);
    assert_int_equal(m.floats, plain->floats);
    assert_true(fabs(m.loss - plain->loss) < 1e-5 * fmax(1, fabs(plain->loss)));
    *whole = distance(m.gradient, plain->gradient, m.floats);
    *tensor = 0;
    for (int i = 0; i < m.entry_count; i++) {
        const sb_entry *e = &m.entries[i];
        if (e->kind == SB_ENTRY_WEIGHT && !e->extent.given)
            *tensor = fmax(*tensor, distance(m.gradient + e->offset, plain->gradient + e->offset, e->count));
    }
    free(m.gradient);
}

#define CHUNKS 4
static const int chunks[CHUNKS] = { 1, 2, 3, 7 }; /* of ten views: 3 and 7 leave a rest */

static void test_smooth(void **state)
{
    for (uint64_t seed = 0; seed < 3; seed++) {
        made plain = make(&sb_method_simclr, SMOOTH, *state, seed, 0);
        for (size_t c = 0; c < CHUNKS; c++) {
            double whole, tensor;
            compare(&plain, &sb_method_simclr, SMOOTH, *state, seed, chunks[c], &whole, &tensor);
            if (!(tensor < 1e-5))
                fail_msg("chunk %d, seed %d: a tensor's gradient is off by %.1e", chunks[c], (int)seed,
                         tensor);
        }
        free(plain.gradient);
    }
}

/* ---- what a loss may be of ----------------------------------------------------------------------------- */

/* One loss in three forms: the mean over views of |f|^2, f the mean of the map: of the features; of maps of
 * one cell; of the views' own, each made behind the encoder. */
static sb_t of_features(sb_method *m)
{
    const sb_t f = m->rows[SB_ROW_FEATURES];
    return sb_mean(m->graph, sb_row_dot(m->graph, f, f));
}

static int one_cell(const void *keys) { return (void)keys, 1; }

static sb_t of_maps(sb_method *m)
{
    const sb_t f = sb_map_of_views(m);
    return sb_mean(m->graph, sb_row_dot(m->graph, f, f));
}

static sb_t of_view(const void *keys, const sb_inside *in)
{
    (void)keys;
    const sb_t f = sb_avgpool(in->graph, in->map);
    return sb_row_dot(in->graph, f, f);
}

static const sb_method_kind forms[] = {
    { .name = "features", .views_least = 1, .views_most = 2, .build = of_features },
    { .name = "maps", .views_least = 1, .views_most = 2, .map = one_cell, .build = of_maps },
    { .name = "views", .views_least = 1, .views_most = 2, .inside = of_view },
};

/* The gradient of a form, and the loss; once more over what that left. */
static float *gradient_of(const sb_method_kind *form, sb_device *device, int chunk, size_t *count,
                          double *loss)
{
    static source s;
    draw(&s, 1);
    sb_settings config = configure(&sb_method_simclr, SMOOTH, 1, BATCH, chunk);
    config.method = form;
    config.projector.layers = 0;
    sb_step *step = create(SMOOTH, device, &config);
    assert_int_equal(sb_step_begin(step), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            sb_step_gradient(step, i, 0, &(sb_step_source){ .context = &s, .fetch = fetch }, loss), 0);
    *count = sb_step_store(step)->floats[SB_ENTRY_WEIGHT];
    float *gradient = read_floats(device, sb_step_section(step)->gradient, *count);
    sb_step_destroy(&step);
    return gradient;
}

static void test_forms(void **state)
{
    size_t count, own;
    double loss, first;
    float *right = gradient_of(&forms[0], *state, 0, &count, &first);
    assert_true(first > 0.01);
    for (size_t f = 0; f < sizeof forms / sizeof *forms; f++)
        for (size_t c = 0; c < CHUNKS; c++) {
            float *gradient = gradient_of(&forms[f], *state, chunks[c], &own, &loss);
            assert_int_equal(own, count);
            if (!(distance(gradient, right, count) < 1e-5 && fabs(loss - first) < 1e-5 * first))
                fail_msg("%s, chunk %d: the gradient is off by %.1e, the loss %g and not %g", forms[f].name,
                         chunks[c], distance(gradient, right, count), loss, first);
            free(gradient);
        }
    free(right);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

#define SEEDS 10

/* A maximum that rounding decides goes the other way now and then: hence the median of some seeds, SEEDS at
 * most; for CHUNKS sizes of chunks, at most. */
static void compare_kinks(const sb_method_kind *method, kind which, sb_device *device, size_t seeds,
                          const int *chunk_sizes, size_t count)
{
    double whole[CHUNKS][SEEDS], tensor;
    for (size_t seed = 0; seed < seeds; seed++) {
        made plain = make(method, which, device, seed, 0);
        for (size_t c = 0; c < count; c++)
            compare(&plain, method, which, device, seed, chunk_sizes[c], &whole[c][seed], &tensor);
        free(plain.gradient);
    }
    for (size_t c = 0; c < count; c++) {
        qsort(whole[c], seeds, sizeof *whole[c], ascending);
        if (!(whole[c][seeds / 2] < 1e-5 && whole[c][seeds - 1] < 1e-3))
            fail_msg("%s, chunk %d: the gradient is off by %.1e in the median, %.1e at most", method->name,
                     chunk_sizes[c], whole[c][seeds / 2], whole[c][seeds - 1]);
    }
}

static void test_kinks(void **state)
{
    compare_kinks(&sb_method_simclr, KINKS, *state, SEEDS, chunks, CHUNKS);
}

/* A ResNet-18 with norms that couple no two views: in chunks of three, and of one. */
static void test_norms(void **state)
{
    compare_kinks(&sb_method_simclr, GROUP, *state, 3, (const int[]){ 3 }, 1);
    compare_kinks(&sb_method_simclr, FROZEN, *state, 3, (const int[]){ 1 }, 1);
}

/* Every method that an encoder of this file does for: its heads have norms of the whole batch, and ReLUs. */
static void test_methods(void **state)
{
    for (const sb_method_kind *const *method = sb_methods; *method; method++)
        if (!(*method)->mask)
            compare_kinks(*method, HEADS, *state, SEEDS, chunks, CHUNKS);
}

static void plant(sb_device *device, float *at, float value)
{
    assert_int_equal(device->copy(device, SB_STREAM_COMPUTE, at, &value, sizeof value, SB_TO_DEVICE), 0);
    assert_int_equal(device->wait(device, SB_STREAM_COMPUTE), 0);
}

/* A weight that is no number: every method's loss is none either, and a run ends there. */
static void test_no_number(void **state)
{
    sb_device *device = *state;
    static source s;
    draw(&s, 1);
    for (const sb_method_kind *const *method = sb_methods; *method; method++) {
        if ((*method)->mask) /* the encoder here has no cells */
            continue;
        sb_settings config = configure(*method, HEADS, 1, BATCH, 4);
        sb_step *step = create(HEADS, device, &config);
        const sb_step_source given = { .context = &s, .fetch = fetch };
        double loss = NAN;
        fill_state(step, device, 1);
        assert_int_equal(sb_step_begin(step), 0);
        assert_int_equal(sb_step_gradient(step, 3, 0, &given, &loss), 0);
        assert_true(isfinite(loss));
        plant(device, sb_step_section(step)->weight, NAN);
        assert_int_equal(sb_step_weights_changed(step), 0);
        assert_int_equal(sb_step_begin(step), 0);
        assert_int_equal(sb_step_gradient(step, 3, 0, &given, &loss), 0);
        if (isfinite(loss))
            fail_msg("%s: a weight is no number, and the loss is %g", (*method)->name, loss);
        sb_step_destroy(&step);
    }
}

static int weight_tensors(const sb_store *store)
{
    int count = 0;
    for (int i = 0; i < store->count; i++)
        count += store->entries[i].kind == SB_ENTRY_WEIGHT;
    return count;
}

/* A step says how long its gradient is. With a value in it that is not finite it changes nothing, and says
 * where that is. */
static void test_gradient_norm(void **state)
{
    sb_device *device = *state;
    static source s;
    draw(&s, 1);
    sb_settings config = configure(&sb_method_simclr, HEADS, 1, BATCH, 4);
    sb_step *step = create(HEADS, device, &config);
    const sb_section *section = sb_step_section(step);
    const sb_store *store = sb_step_store(step);
    const size_t weights = store->floats[SB_ENTRY_WEIGHT];
    const sb_step_source given = { .context = &s, .fetch = fetch };
    double loss, squares = 0;
    assert_int_equal(sb_step_gradient(step, 3, 0, &given, &loss), 0);
    float *gradient = read_floats(device, section->gradient, weights);
    for (size_t i = 0; i < weights; i++)
        squares += (double)gradient[i] * (double)gradient[i];
    assert_true(squares > 0);
    assert_int_equal(sb_step_commit(step, 3, 0.1), 0);
    if (!(fabs(sb_step_gradient_norm(step) - sqrt(squares)) <= 1e-6 * sqrt(squares)))
        fail_msg("%g, and it is %g", sb_step_gradient_norm(step), sqrt(squares));
    free(gradient);

    const float wrong[] = { INFINITY, -INFINITY, NAN };
    for (int i = 0; i < 3; i++) {
        const sb_entry *e = store->entries; /* the i-th that is a weight */
        char name[256];
        for (int k = i; k > 0 || e->kind != SB_ENTRY_WEIGHT; e++)
            k -= e->kind == SB_ENTRY_WEIGHT;
        float *before = read_floats(device, section->weight, weights);
        assert_int_equal(sb_step_gradient(step, 4, 0, &given, &loss), 0);
        plant(device, section->gradient + e->offset + e->count - 1, wrong[i]);
        assert_int_equal(sb_step_commit(step, 4, 0.1), -1);
        snprintf(name, sizeof name, "not finite in 1 of %d tensors, of which %s is", weight_tensors(store),
                 e->name);
        if (!strstr(sb_error(), name))
            fail_msg("%s", sb_error());
        float *after = read_floats(device, section->weight, weights);
        assert_memory_equal(after, before, weights * sizeof *after);
        free(after);
        free(before);
    }
    sb_step_destroy(&step);
}

/* Wherever a step is given up: the next gives what it would have given, and running statistics have not
 * moved. */
static void test_given_up(void **state)
{
    sb_device *device = *state;
    static source s;
    draw(&s, 1);
    sb_settings config = configure(&sb_method_simclr, NORMS, 1, BATCH, 4);
    sb_step *step = create(NORMS, device, &config);
    const sb_section *section = sb_step_section(step);
    const size_t weights = sb_step_store(step)->floats[SB_ENTRY_WEIGHT],
                 statistics = sb_step_store(step)->floats[SB_ENTRY_STATISTIC];
    const sb_step_source given = { .context = &s, .fetch = fetch };
    double loss, again;
    float *before = read_floats(device, section->statistic, statistics);
    assert_int_equal(sb_step_gradient(step, 3, 0, &given, &loss), 0);
    float *wanted = read_floats(device, section->gradient, weights);
    for (int after = 0; after < 2 * VIEWS - 2; after += 3) { /* the last chunk, of two, is fetched once */
        s.left = after;
        assert_int_equal(sb_step_gradient(step, 3, 0, &given, &again), 1);
    }
    float *running = read_floats(device, section->statistic, statistics);
    assert_memory_equal(running, before, statistics * sizeof *before);
    free(running);
    s.left = -1;
    assert_int_equal(sb_step_gradient(step, 3, 0, &given, &again), 0);
    float *gradient = read_floats(device, section->gradient, weights);
    assert_memory_equal(gradient, wanted, weights * sizeof *gradient);
    assert_true(again == loss);
    assert_int_equal(sb_step_commit(step, 3, 0.1), 0);
    running = read_floats(device, section->statistic, statistics);
    assert_memory_not_equal(running, before, statistics * sizeof *before);
    free(running);
    free(gradient);
    free(wanted);
    free(before);
    sb_step_destroy(&step);
}

/* Two steps of a ResNet: whatever is made again, the weights are the same to the last bit, in less memory the
 * more there is of it. */
static void recompute(sb_device *device, kind encoder)
{
    static source s;
    draw(&s, 1);
    float *kept = NULL;
    size_t activations = SIZE_MAX;
    for (sb_recompute what = SB_RECOMPUTE_NONE; what < SB_RECOMPUTE_AUTO; what++) {
        sb_settings config = configure(&sb_method_byol, encoder, 1, BATCH, 4);
        config.trainer.recompute = what;
        sb_step *step = create(encoder, device, &config);
        const sb_step_source given = { .context = &s, .fetch = fetch };
        const size_t weights = sb_step_store(step)->floats[SB_ENTRY_WEIGHT];
        sb_step_budget budget;
        double loss;
        sb_step_measure(step, &budget);
        assert_true(budget.activations < activations);
        activations = budget.activations;
        assert_int_equal(sb_step_begin(step), 0);
        for (int number = 0; number < 2; number++) {
            assert_int_equal(sb_step_gradient(step, number, 0, &given, &loss), 0);
            assert_int_equal(sb_step_commit(step, number, 0.1), 0);
        }
        float *after = read_floats(device, sb_step_section(step)->weight, weights);
        if (kept)
            assert_memory_equal(after, kept, weights * sizeof *after);
        free(kept);
        kept = after;
        sb_step_destroy(&step);
    }
    free(kept);
}

static void test_recompute(void **state)
{
    recompute(*state, RESNET);
    recompute(*state, RESNET50);
}

/* Eight times the batch: only what is behind the backbone grows, by what features, embeddings and the head
 * need. */
static void test_memory(void **state)
{
    sb_step_budget small, large;
    sb_step_budget *budgets[] = { &small, &large };
    for (int i = 0; i < 2; i++) {
        sb_settings config = configure(&sb_method_simclr, NORMS, 1, i ? 64 : 8, 8);
        sb_step *step = create(NORMS, *state, &config);
        sb_step_measure(step, budgets[i]);
        sb_step_destroy(&step);
    }
    assert_int_equal(small.chunks, 2);
    assert_int_equal(large.chunks, 16);
    assert_int_equal(small.activations, large.activations);
    assert_int_equal(small.packed, large.packed);
    assert_int_equal(small.weights, large.weights);
    assert_true(large.batch < 9 * small.batch);
}

/* What two steps leave: what the method keeps, the last embeddings, the last gradient. */
enum { KEPT, EMBEDDINGS, GRADIENT, LEFT };

static void two_steps(const sb_method_kind *method, sb_device *device, int chunk, float *left[LEFT],
                      size_t floats[LEFT], sb_step_budget *budget)
{
    static source s;
    draw(&s, 1);
    sb_settings config = configure(method, HEADS, 1, BATCH, chunk);
    config.projector.hidden = 2000; /* so that there is something to save */
    sb_step *step = create(HEADS, device, &config);
    const sb_section *section = sb_step_section(step);
    const sb_step_source given = { .context = &s, .fetch = fetch };
    double loss;
    int width;
    sb_step_measure(step, budget);
    fill_state(step, device, 1);
    assert_int_equal(sb_step_begin(step), 0);
    for (int number = 0; number < 2; number++) {
        assert_int_equal(sb_step_gradient(step, number, 0, &given, &loss), 0);
        assert_int_equal(sb_step_commit(step, number, 1e-3), 0);
    }
    const float *embeddings = sb_step_embeddings(step, 1, &width);
    const float *const from[] = { section->state, embeddings, section->gradient };
    floats[KEPT] = section->floats[SB_ENTRY_STATE];
    floats[EMBEDDINGS] = (size_t)BATCH * (size_t)width;
    floats[GRADIENT] = section->floats[SB_ENTRY_WEIGHT];
    for (int k = 0; k < LEFT; k++)
        left[k] = read_floats(device, from[k], floats[k]);
    sb_step_destroy(&step);
}

/* In ten chunks heads and loss work where the chunks do; in five they do not. The gradient is the same, and
 * so is what is read behind it: nothing of it was overwritten. */
static void test_shared(void **state)
{
    const sb_method_kind *const methods[] = { &sb_method_moco2, &sb_method_nnclr, &sb_method_swav,
                                              &sb_method_sogclr };
    for (size_t m = 0; m < sizeof methods / sizeof *methods; m++) {
        float *apart[LEFT], *shared[LEFT];
        size_t floats[LEFT];
        sb_step_budget before, after;
        two_steps(methods[m], *state, 2, apart, floats, &before);
        two_steps(methods[m], *state, 1, shared, floats, &after);
        assert_int_equal(before.chunks, 5);
        assert_int_equal(after.chunks, 10);
        if (!(after.batch < before.batch / 2))
            fail_msg("%s: %zu bytes beside the chunks, of %zu", methods[m]->name, after.batch, before.batch);
        for (int k = 0; k < LEFT; k++) {
            double off = distance(shared[k], apart[k], floats[k]);
            if (!(off < 1e-4))
                fail_msg("%s: array %d is off by %.1e", methods[m]->name, k, off);
            free(apart[k]);
            free(shared[k]);
        }
    }
}

static size_t room;

static int limited(sb_device *device, size_t *bytes)
{
    (void)device;
    *bytes = room;
    return 0;
}

#define SAMPLES 60 /* 120 views */

static int try_chunk(sb_device *device, int chunk)
{
    sb_settings config = configure(&sb_method_simclr, WIDE, 1, SAMPLES, chunk);
    sb_step *step = NULL;
    now = WIDE;
    int rc = sb_step_create(&step, device, &config);
    sb_step_destroy(&step);
    return rc;
}

/* The chunk that the error names where the whole batch does not fit. */
static int advised(sb_device *device)
{
    int chunk = 0;
    assert_int_equal(try_chunk(device, 0), SB_DEVICE_FULL);
    const char *advice = strstr(sb_error(), "trainer.chunk=");
    if (!advice || sscanf(advice, "trainer.chunk=%d", &chunk) != 1)
        fail_msg("%s", sb_error());
    return chunk;
}

/* Where memory is short the error names the largest chunk that fits: it does, and no larger one does. With
 * just enough for 40 views that is 40, although 39, which leave a rest of 3 to be planned for, do not fit. */
static void test_short_of_memory(void **state)
{
    sb_device *device = *state;
    int (*unlimited)(sb_device *, size_t *) = device->available;
    sb_settings config = configure(&sb_method_simclr, WIDE, 1, SAMPLES, 0);
    sb_step *step = create(WIDE, device, &config);
    sb_step_budget budget;
    sb_step_measure(step, &budget);
    sb_step_destroy(&step);
    device->available = limited;
    for (size_t share = 4; share < 8; share++) {
        room = budget.weights + budget.batch + budget.packed + budget.activations * share / 8;
        int chunk = advised(device);
        assert_in_range(chunk, 1, 2 * SAMPLES - 1);
        assert_int_equal(try_chunk(device, chunk), 0);
    }
    size_t enough = budget.weights + budget.batch + budget.packed + budget.activations, little = 0;
    while (enough - little > 1) {
        room = little + (enough - little) / 2;
        if (try_chunk(device, 40) == 0)
            enough = room;
        else
            little = room;
    }
    room = enough;
    assert_int_equal(advised(device), 40);
    assert_int_equal(try_chunk(device, 41), SB_DEVICE_FULL);
    room = 1000;
    assert_int_equal(try_chunk(device, 0), SB_DEVICE_FULL);
    assert_non_null(strstr(sb_error(), "no trainer.chunk fits"));
    device->available = unlimited;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),           cmocka_unit_test(test_smooth),
        cmocka_unit_test(test_kinks),           cmocka_unit_test(test_methods),
        cmocka_unit_test(test_recompute),       cmocka_unit_test(test_norms),
        cmocka_unit_test(test_gradient_norm),   cmocka_unit_test(test_given_up),
        cmocka_unit_test(test_memory),          cmocka_unit_test(test_shared),
        cmocka_unit_test(test_short_of_memory), cmocka_unit_test(test_no_number),
    };
    return cmocka_run_group_tests(tests, test_open_cpu, test_close_cpu);
}
