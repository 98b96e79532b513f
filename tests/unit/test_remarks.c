/* What is said of a method's run at its start: each warning comes with the choice that is known to fail, and
 * not without it. */
#include "trainer/remarks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "proto/error.h"
#include "trainer/backbone.h"
#include "trainer/configuration.h"

/* Warnings of a run with this recipe (NULL: none) and these keys, which end with NULL. `batch` (NULL: not
 * wanted): of the run. */
static int warnings_of(const char *recipe, const char *const *keys, int *batch)
{
    const char *all[16] = { "data.path=none" };
    int count = 1;
    for (; keys[count - 1]; count++)
        all[count] = keys[count - 1];
    sb_settings settings;
    sb_store store;
    sb_graph *encoder, *loss, *target;
    sb_method method;
    sb_store_init(&store, NULL);
    if (sb_settings_of(&settings, recipe, all, count) != 0)
        fail_msg("%s", sb_error());
    assert_int_equal(sb_graph_create(&encoder, &store), 0);
    assert_int_equal(sb_graph_create(&loss, &store), 0);
    assert_int_equal(sb_graph_create(&target, &store), 0);
    sb_backbone backbone;
    sb_shape rows[SB_METHOD_ROWS];
    if (sb_backbone_build(&backbone, encoder, &settings, SB_F32) != 0 ||
        sb_backbone_rows(&backbone, &settings, rows) != 0 ||
        sb_method_build(&method, loss, target, &settings, rows) != 0)
        fail_msg("%s", sb_error());
    int found = sb_remarks(&settings, &method);
    if (batch)
        *batch = settings.trainer.batch;
    sb_graph_destroy(&encoder);
    sb_graph_destroy(&loss);
    sb_graph_destroy(&target);
    sb_backbone_free(&backbone);
    sb_store_free(&store);
    return found;
}
#define WARNINGS(...) warnings_of(NULL, (const char *const[]){ __VA_ARGS__, NULL }, NULL)

/* Each method has a recipe for a small batch, which is warned of where no source has seen it work there, and
 * of nothing else. */
static void test_recipes(void **state)
{
    (void)state;
    for (const sb_method_kind *const *method = sb_methods; *method; method++) {
        char recipe[96], name[64];
        int batch;
        snprintf(recipe, sizeof recipe, "recipes/methods/%s.yaml", (*method)->name);
        snprintf(name, sizeof name, "method.name=%s", (*method)->name);
        const int found = warnings_of(recipe, (const char *const[]){ name, NULL }, &batch);
        if (batch > 64 || found != ((*method)->works_from > batch))
            fail_msg("%s: %d warnings at a batch of %d", recipe, found, batch);
    }
}

static void test_healthy(void **state)
{
    (void)state;
    assert_int_equal(WARNINGS("method.name=dcl", "trainer.batch=32"), 0);
    assert_int_equal(
        WARNINGS("method.name=barlow", "trainer.batch=128", "projector.out=512", "optimiser.scaling=sqrt"),
        0);
    assert_int_equal(WARNINGS("method.name=swav", "trainer.batch=256", "optimiser.scaling=sqrt"), 0);
    assert_int_equal(WARNINGS("method.name=byol", "trainer.batch=128", "optimiser.scaling=sqrt",
                              "method.momentum=0.99", "method.momentum_batch=256"),
                     0);
}

static void test_batch(void **state)
{
    (void)state;
    assert_int_equal(WARNINGS("method.name=dcl", "trainer.batch=16"), 1);
}

static void test_columns(void **state)
{
    (void)state;
    assert_int_equal(
        WARNINGS("method.name=barlow", "trainer.batch=128", "projector.out=513", "optimiser.scaling=sqrt"),
        1);
}

static void test_prototypes(void **state)
{
    (void)state;
    assert_int_equal(
        WARNINGS("method.name=swav", "trainer.batch=256", "optimiser.scaling=sqrt", "method.queue=2560"), 1);
}

static void test_horizon(void **state)
{
    (void)state;
    assert_int_equal(WARNINGS("method.name=byol", "trainer.batch=128", "optimiser.scaling=sqrt"), 1);
}

static void test_scaling(void **state)
{
    (void)state;
    assert_int_equal(
        WARNINGS("method.name=dcl", "trainer.batch=32", "optimiser.name=lars", "optimiser.scaling=linear"),
        1);
}

static void test_accumulation(void **state)
{
    (void)state;
    assert_int_equal(WARNINGS("method.name=dcl", "trainer.batch=32", "trainer.accumulate=4"), 1);
    assert_int_equal(WARNINGS("method.name=simsiam", "trainer.batch=64", "trainer.accumulate=4"), 0);
}

/* A tiny chunk couples few views, unless the norms of the backbone couple none. */
static void test_norm(void **state)
{
    (void)state;
    assert_int_equal(WARNINGS("method.name=dcl", "trainer.batch=32", "trainer.chunk=7"), 1);
    assert_int_equal(WARNINGS("method.name=dcl", "trainer.batch=32", "trainer.chunk=8"), 0);
    assert_int_equal(WARNINGS("method.name=dcl", "trainer.batch=32", "trainer.chunk=1", "encoder.norm=group"),
                     0);
    assert_int_equal(
        WARNINGS("method.name=dcl", "trainer.batch=32", "trainer.chunk=1", "encoder.norm=frozen"), 0);
    assert_int_equal(WARNINGS("method.name=dcl", "trainer.batch=32", "trainer.replicas=16"), 1);
}

/* An evaluation beside training comes with every evaluate.every-th snapshot: a run that ends before is told.
 */
static void test_measures(void **state)
{
    (void)state;
    assert_int_equal(WARNINGS("method.name=dcl", "trainer.batch=32", "trainer.steps=50", "evaluate.every=1"),
                     1);
    assert_int_equal(WARNINGS("method.name=dcl", "trainer.batch=32", "trainer.steps=51", "evaluate.every=1"),
                     0);
    assert_int_equal(WARNINGS("method.name=dcl", "trainer.batch=32", "trainer.steps=20"), 0);
    assert_int_equal(WARNINGS("method.name=dcl", "trainer.batch=32", "trainer.steps=20", "evaluate.every=3",
                              "evaluate.snapshot_every=5"),
                     0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recipes), cmocka_unit_test(test_healthy),      cmocka_unit_test(test_batch),
        cmocka_unit_test(test_columns), cmocka_unit_test(test_prototypes),   cmocka_unit_test(test_horizon),
        cmocka_unit_test(test_scaling), cmocka_unit_test(test_accumulation), cmocka_unit_test(test_norm),
        cmocka_unit_test(test_measures)
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
