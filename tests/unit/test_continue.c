/* Steps of a run that goes on from given weights: while the heads learn alone no bit of the backbone changes,
 * nor of its target, its running statistics or the optimiser's state of it, and the heads learn as ever;
 * afterwards the backbone learns at its share of the rate. */
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
#define SIDE 16
#define VIEWS (2 * BATCH)
#define VIEW_BYTES (SIDE * SIDE * 3)
#define HEADS_STEPS 3

static bool plain; /* without batch norm, whose groups are chunks */

static sb_t build(sb_graph *g, const void *keys, const sb_encoder_input *input, sb_encoder_map *map)
{
    (void)map;
    (void)keys;
    sb_t t = test_input(g, SIDE, input->channels, input->type);
    t = sb_conv(g, t, "a", .out = 16, .kernel = 3, .stride = 2, .pad = 1);
    if (!plain)
        t = sb_batchnorm(g, t, SB_NONE, "norm", .relu = true);
    t = sb_conv(g, t, "b", .out = 24, .kernel = 3, .stride = 2, .pad = 1);
    return sb_output(g, sb_avgpool(g, t), true);
}

static const sb_encoder_kind of_this_file = { .name = "own", .build = build };

typedef struct {
    uint8_t pixels[VIEWS][VIEW_BYTES];
    int fetched;
} source;

static int fetch(void *context, int view, int sample, const uint8_t **pixels)
{
    source *s = context;
    *pixels = s->pixels[view * BATCH + sample];
    s->fetched++;
    return 0;
}

static void draw(source *s)
{
    sb_random random;
    sb_random_init(&random, 1, SB_RANDOM_VIEW, 0, 0, 0);
    for (int v = 0; v < VIEWS; v++)
        for (int p = 0; p < VIEW_BYTES; p++)
            s->pixels[v][p] = (uint8_t)(60 + 20 * (float)(v % BATCH) + 100 * sb_random_uniform(&random));
    s->fetched = 0;
}

static sb_settings configure(const char *method, const char *optimiser, int chunk, bool continued)
{
    char method_name[64], optimiser_name[64], alone[64];
    snprintf(method_name, sizeof method_name, "method.name=%s", method);
    snprintf(optimiser_name, sizeof optimiser_name, "optimiser.name=%s", optimiser);
    snprintf(alone, sizeof alone, "continue.heads=%d", HEADS_STEPS);
    const char *all[] = { "data.path=.",         "data.view=16",     method_name,  optimiser_name,
                          "projector.hidden=20", "projector.out=16", "init=given", alone,
                          "continue.ramp=0",     "continue.lr=0.5" };
    sb_settings c;
    if (sb_settings_of(&c, NULL, all, (int)(sizeof all / sizeof *all) - (continued ? 0 : 3)) != 0)
        fail_msg("%s", sb_error());
    assert_int_equal(c.continuing.enabled, continued);
    c.encoder = &of_this_file;
    c.common.seed = 1;
    c.trainer.batch = BATCH;
    c.trainer.chunk = chunk;
    return c;
}

static float *read_floats(sb_device *device, const float *from, size_t count)
{
    float *out = malloc((count + 1) * sizeof *out);
    assert_non_null(out);
    if (count > 0)
        assert_int_equal(device->copy(device, SB_STREAM_COMPUTE, out, from, count * sizeof *out, SB_TO_HOST),
                         0);
    assert_int_equal(device->wait(device, SB_STREAM_COMPUTE), 0);
    return out;
}

/* All that a step changes: of the backbone, and of the rest. */
enum { WEIGHTS, STATISTICS, TARGET, TARGET_STATISTICS, STATE, ARRAYS };
typedef struct {
    float *array[ARRAYS];
    size_t backbone[ARRAYS], all[ARRAYS];
} look;

static look look_at(const sb_step *step, sb_device *device)
{
    const sb_section *s = sb_step_section(step), *t = sb_step_target(step);
    const size_t *backbone = sb_step_backbone(step);
    int arrays;
    const float *state = sb_step_state(step, &arrays);
    const bool target = t->floats[SB_ENTRY_WEIGHT] > 0;
    look l = { .backbone = { backbone[SB_ENTRY_WEIGHT], backbone[SB_ENTRY_STATISTIC],
                             target ? backbone[SB_ENTRY_WEIGHT] : 0,
                             target ? backbone[SB_ENTRY_STATISTIC] : 0, backbone[SB_ENTRY_WEIGHT] },
               .all = { s->floats[SB_ENTRY_WEIGHT], s->floats[SB_ENTRY_STATISTIC], t->floats[SB_ENTRY_WEIGHT],
                        t->floats[SB_ENTRY_STATISTIC], s->floats[SB_ENTRY_WEIGHT] } };
    const float *from[ARRAYS] = { s->weight, s->statistic, t->weight, t->statistic, state };
    for (int i = 0; i < ARRAYS; i++)
        l.array[i] = read_floats(device, from[i], l.all[i]);
    return l;
}

static void forget(look *l)
{
    for (int i = 0; i < ARRAYS; i++)
        free(l->array[i]);
}

static bool same(const look *a, const look *b, int i, bool backbone)
{
    const size_t begin = backbone ? 0 : a->backbone[i], end = backbone ? a->backbone[i] : a->all[i];
    return memcmp(a->array[i] + begin, b->array[i] + begin, (end - begin) * sizeof(float)) == 0;
}

static void step_once(sb_step *step, source *s, int64_t number)
{
    double loss;
    if (sb_step_gradient(step, number, 0, &(sb_step_source){ .context = s, .fetch = fetch }, &loss) != 0 ||
        sb_step_commit(step, number, 0.1) != 0)
        fail_msg("%s", sb_error());
}

static sb_step *create(sb_device *device, const sb_settings *config)
{
    sb_step *step = NULL;
    if (sb_step_create(&step, device, config) != 0 || sb_step_begin(step) != 0)
        fail_msg("%s", sb_error());
    return step;
}

/* Each kind of optimiser; a method with a target network and one without; batches of one chunk and of three.
 */
static void test_heads_alone(void **state)
{
    sb_device *device = *state;
    static const char *const methods[] = { "dcl", "byol" }, *const optimisers[] = { "sgd", "lars", "adamw" };
    static source s;
    for (int k = 0; k < 12; k++) {
        const int chunk = k / 6 ? 4 : 0;
        const bool target = k % 2;
        const sb_settings config = configure(methods[k % 2], optimisers[k / 2 % 3], chunk, true);
        draw(&s);
        sb_step *step = create(device, &config);
        look given = look_at(step, device), before = look_at(step, device);
        for (int64_t n = 0; n < HEADS_STEPS; n++) {
            s.fetched = 0;
            step_once(step, &s, n);
            assert_int_equal(s.fetched, VIEWS); /* nothing goes through the backbone again */
            look now = look_at(step, device);
            for (int i = 0; i < ARRAYS; i++)
                if (!same(&now, &given, i, true))
                    fail_msg("%s, chunk %d, step %d: array %d of the backbone has changed", methods[k % 2],
                             chunk, (int)n, i);
            assert_false(same(&now, &before, WEIGHTS, false));
            assert_false(same(&now, &before, STATISTICS, false));
            assert_false(same(&now, &before, STATE, false));
            assert_true(!target || !same(&now, &before, TARGET, false));
            forget(&before);
            before = now;
        }
        step_once(step, &s, HEADS_STEPS);
        look now = look_at(step, device);
        for (int i = 0; i < ARRAYS; i++)
            if (now.backbone[i] > 0 && same(&now, &given, i, true))
                fail_msg("%s, chunk %d: array %d of the backbone stays behind the heads' phase",
                         methods[k % 2], chunk, i);
        forget(&now);
        forget(&before);
        forget(&given);
        sb_step_destroy(&step);
    }
}

/* The heads of a first step are those of a run that continues nothing: to the bit. */
static void test_heads_as_ever(void **state)
{
    sb_device *device = *state;
    static source s;
    look after[2];
    draw(&s);
    for (int c = 0; c < 2; c++) {
        const sb_settings config = configure("byol", "adamw", 4, c);
        sb_step *step = create(device, &config);
        step_once(step, &s, 0);
        after[c] = look_at(step, device);
        sb_step_destroy(&step);
    }
    for (int i = 0; i < ARRAYS; i++)
        assert_true(same(&after[0], &after[1], i, false));
    assert_false(same(&after[0], &after[1], WEIGHTS, true));
    forget(&after[0]);
    forget(&after[1]);
}

/* Behind the ramp a step of plain gradient descent takes the backbone half as far, and the heads as far. */
static void test_share(void **state)
{
    sb_device *device = *state;
    static source s;
    look before = { 0 }, after[2];
    draw(&s);
    for (int c = 0; c < 2; c++) {
        const sb_settings config = configure("dcl", "sgd", 0, c);
        sb_step *step = create(device, &config);
        if (c == 0)
            before = look_at(step, device);
        step_once(step, &s, HEADS_STEPS); /* of a run that begins here: both have the same weights */
        after[c] = look_at(step, device);
        sb_step_destroy(&step);
    }
    assert_true(same(&after[0], &after[1], WEIGHTS, false));
    double most = 0;
    for (size_t i = 0; i < before.backbone[WEIGHTS]; i++) {
        const double w = (double)before.array[WEIGHTS][i], whole = (double)after[0].array[WEIGHTS][i] - w,
                     half = (double)after[1].array[WEIGHTS][i] - w;
        most = fmax(most, fabs(whole));
        if (!(fabs(half - whole / 2) <= 1.2e-7 * fmax(fabs(w), 1))) /* each is rounded once, to 2^-24 of it */
            fail_msg("weight %zu moved by %g and by %g", i, half, whole);
    }
    assert_true(most > 1e-3);
    forget(&before);
    forget(&after[0]);
    forget(&after[1]);
}

/* Through both phases, in chunks and at once: the rounding of sums in another order is all the difference. */
static void test_chunks(void **state)
{
    sb_device *device = *state;
    static source s;
    look after[2];
    draw(&s);
    plain = true;
    for (int c = 0; c < 2; c++) {
        const sb_settings config = configure("dcl", "sgd", c ? 3 : 0, true);
        sb_step *step = create(device, &config);
        for (int64_t n = 0; n < HEADS_STEPS + 2; n++)
            step_once(step, &s, n);
        after[c] = look_at(step, device);
        sb_step_destroy(&step);
    }
    plain = false;
    double difference = 0, size = 0;
    for (size_t i = 0; i < after[0].all[WEIGHTS]; i++) {
        const double a = (double)after[0].array[WEIGHTS][i], b = (double)after[1].array[WEIGHTS][i];
        difference += (a - b) * (a - b);
        size += b * b;
    }
    if (!(sqrt(difference / size) < 1e-5))
        fail_msg("the weights are off by %.1e", sqrt(difference / size));
    forget(&after[0]);
    forget(&after[1]);
}

/* ---- adapters ------------------------------------------------------------------------------------------ */

#define RANK 3
#define ALPHA 6.0

/* All of a step's weights, their gradient and what is kept. */
typedef struct {
    float *weight, *gradient, *state;
} arrays;

static arrays arrays_of(const sb_step *step, sb_device *device)
{
    const sb_section *s = sb_step_section(step);
    return (arrays){ read_floats(device, s->weight, s->floats[SB_ENTRY_WEIGHT]),
                     read_floats(device, s->gradient, s->floats[SB_ENTRY_WEIGHT]),
                     read_floats(device, s->state, s->floats[SB_ENTRY_STATE]) };
}

static void forget_arrays(arrays *a)
{
    free(a->weight);
    free(a->gradient);
    free(a->state);
}

static const sb_entry *entry_of(const sb_step *step, const char *name)
{
    const sb_store *store = sb_step_store(step);
    for (int i = 0; i < store->count; i++)
        if (strcmp(store->entries[i].name, name) == 0)
            return &store->entries[i];
    fail_msg("there is no %s", name);
    return NULL;
}

/* Whether |a - b| is rounding beside sums of such terms. */
static void assert_near(double a, double b, double terms, const char *what)
{
    if (!(fabs(a - b) <= 1e-6 * terms + 1e-12))
        fail_msg("%s: %g, not %g", what, a, b);
}

/* One matrix: what a step made of it and of its factors, from what was there before and the gradient of W. */
static void check_adapter(const sb_step *step, const char *name, const arrays *before, const arrays *after)
{
    char full[3][64];
    static const char *const parts[] = { "base", "A", "B" };
    for (int i = 0; i < 3; i++)
        snprintf(full[i], sizeof full[i], "lora.%s.%s", name, parts[i]);
    const sb_entry *w = entry_of(step, name), *base = entry_of(step, full[0]), *a = entry_of(step, full[1]),
                   *b = entry_of(step, full[2]);
    const size_t out = (size_t)w->extent.side[0], columns = w->count / out;
    const double scale = ALPHA / RANK;
    assert_int_equal(a->count, RANK * columns);
    assert_int_equal(b->count, RANK * out);
    assert_memory_equal(before->state + base->offset, after->state + base->offset, w->count * sizeof(float));
    for (size_t i = 0; i < out; i++)
        for (size_t j = 0; j < columns; j++) {
            double wanted = (double)after->state[base->offset + i * columns + j], terms = fabs(wanted);
            for (size_t r = 0; r < RANK; r++) {
                const double term = scale * (double)after->weight[b->offset + r * out + i] *
                                    (double)after->weight[a->offset + r * columns + j];
                wanted += term;
                terms += fabs(term);
            }
            assert_near((double)after->weight[w->offset + i * columns + j], wanted, terms, name);
        }
    for (size_t r = 0; r < RANK; r++) {
        for (size_t j = 0; j < columns; j++) {
            double wanted = 0, terms = 0;
            for (size_t i = 0; i < out; i++) {
                const double term = scale * (double)before->weight[b->offset + r * out + i] *
                                    (double)after->gradient[w->offset + i * columns + j];
                wanted += term;
                terms += fabs(term);
            }
            assert_near((double)after->gradient[a->offset + r * columns + j], wanted, terms, full[1]);
        }
        for (size_t i = 0; i < out; i++) {
            double wanted = 0, terms = 0;
            for (size_t j = 0; j < columns; j++) {
                const double term = scale * (double)before->weight[a->offset + r * columns + j] *
                                    (double)after->gradient[w->offset + i * columns + j];
                wanted += term;
                terms += fabs(term);
            }
            assert_near((double)after->gradient[b->offset + r * out + i], wanted, terms, full[2]);
        }
    }
}

/* A matrix is what was given and the product of its factors, which have the gradient that follows from its
 * own; vectors learn as ever; and the optimiser has a state of what learns alone. */
static void test_adapters(void **state)
{
    sb_device *device = *state;
    static source s;
    draw(&s);
    sb_settings config = configure("byol", "adamw", 4, true);
    config.continuing.lora = RANK;
    config.continuing.lora_alpha = ALPHA;
    sb_step *step = create(device, &config);
    arrays given = arrays_of(step, device), before = arrays_of(step, device);
    const size_t filters = entry_of(step, "a.weight")->offset,
                 bytes = entry_of(step, "a.weight")->count * sizeof(float);
    for (int64_t n = 0; n < HEADS_STEPS + 3; n++) {
        step_once(step, &s, n);
        arrays now = arrays_of(step, device);
        const bool stays = memcmp(now.weight + filters, given.weight + filters, bytes) == 0;
        assert_int_equal(stays, n < HEADS_STEPS);
        if (n >= HEADS_STEPS) {
            check_adapter(step, "a.weight", &before, &now);
            check_adapter(step, "b.weight", &before, &now);
        }
        forget_arrays(&before);
        before = now;
    }
    const sb_entry *norm = entry_of(step, "norm.weight");
    assert_memory_not_equal(before.weight + norm->offset, given.weight + norm->offset,
                            norm->count * sizeof(float));
    forget_arrays(&before);
    forget_arrays(&given);
    sb_step_destroy(&step);
}

/* What the keys say together. */
static void test_keys(void **state)
{
    (void)state;
    sb_settings c;
    const struct {
        const char *keys[3], *error;
        bool enabled;
    } cases[] = {
        { { "init=x" }, NULL, false },
        { { "init=x", "continue=true" }, NULL, true },
        { { "init=x", "continue.enabled=true" }, NULL, true },
        { { "init=x", "continue.ramp=5" }, NULL, true },
        { { "init=x", "continue.ramp=5", "continue=false" }, NULL, false },
        { { "continue=true" }, "init=FILE names them", false },
        { { "init=x", "continue=yes" }, "continue.enabled = yes: must be true or false", false },
        { { "init=x", "continue.head=5" }, "the nearest is continue.heads", false },
        { { "init=x", "continue.lora=4", "optimiser.name=lars" }, "with optimiser.name = lars", false },
        { { "init=x", "continue.lora=4", "continue.lora_alpha=0" }, "would be multiplied by 0", false },
        { { "init=x", "continue.heads=7", "trainer.steps=7" }, "trainer.steps = 7", false }
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *all[4] = { "data.path=." };
        int count = 1;
        for (int k = 0; k < 3 && cases[i].keys[k]; k++)
            all[count++] = cases[i].keys[k];
        const int rc = sb_settings_of(&c, NULL, all, count);
        assert_int_equal(rc, cases[i].error ? -1 : 0);
        if (cases[i].error && !strstr(sb_error(), cases[i].error))
            fail_msg("%s", sb_error());
        if (!cases[i].error)
            assert_int_equal(c.continuing.enabled, cases[i].enabled);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),          cmocka_unit_test(test_heads_alone),
        cmocka_unit_test(test_heads_as_ever), cmocka_unit_test(test_share),
        cmocka_unit_test(test_chunks),        cmocka_unit_test(test_adapters),
    };
    return cmocka_run_group_tests(tests, test_open_cpu, test_close_cpu);
}
