/* test_resume.c: which keys of a run may change, and what two configurations differ in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"
#include "trainer/resume.h"

/* Settings of a recipe's text and an assignment (NULL: none). */
static void read_config(sb_config *config, const char *text, const char *assignment)
{
    static sb_settings settings;
    sb_config_init(config);
    if (sb_config_read_text(config, text, "the recipe") != 0 ||
        (assignment && sb_config_set(config, assignment) != 0) ||
        sb_config_suggest(config, "default", "data.path=/tmp") != 0 ||
        sb_settings_read(&settings, config) != 0)
        fail_msg("%s", sb_error());
}

/* "KEY BEFORE AFTER; ..." of all that differs. */
static char *differences(const char *before, const char *after, const char *assignment)
{
    static char out[4096];
    sb_config configs[2];
    sb_config_change *changes = NULL;
    read_config(&configs[0], before, NULL);
    read_config(&configs[1], after, assignment);
    const int count = sb_config_changes(&configs[0], &configs[1], sb_tables, &changes);
    assert_true(count >= 0);
    out[0] = '\0';
    for (int i = 0; i < count; i++)
        snprintf(out + strlen(out), sizeof out - strlen(out), "%s %s %s; ", changes[i].name,
                 changes[i].before ? changes[i].before : "-", changes[i].after ? changes[i].after : "-");
    sb_config_changes_free(changes, count);
    for (int i = 0; i < 2; i++)
        sb_config_free(&configs[i]);
    return out;
}

static void test_differences(void **state)
{
    (void)state;
    assert_string_equal(differences("", "", NULL), "");
    assert_string_equal(differences("optimiser: {lr: 0.1}\n", "optimiser: {lr: 1e-1}\n", NULL), "");
    assert_string_equal(differences("", "", "run.loaders=3"), "run.loaders 2 3; ");
    assert_string_equal(differences("run: {loaders: 3}\n", "", "trainer.steps=7"),
                        "run.loaders 3 2; trainer.steps 1000 7; ");
    /* Set to what it is anyway. */
    assert_string_equal(differences("", "", "run.loaders=2"), "");
    /* Views by number, and one that is not there in the other. */
    assert_string_equal(differences("views:\n - {size: 64, count: 2}\n", "views:\n - {size: 64, count: 2}\n",
                                    "views.1.blur=0.25"),
                        "views.1.blur 0.5 0.25; ");
    const char *more = differences("method: {name: swav}\nviews:\n - {size: 64, count: 2}\n",
                                   "method: {name: swav}\nviews:\n - {size: 64, count: 3}\n", NULL);
    if (!strstr(more, "views.2.size - 64; "))
        fail_msg("%s", more);
    assert_null(strstr(more, "views.1."));
    /* Columns that guide, each once. */
    assert_string_equal(differences("guide: {plate: 1, year: 2}\n", "guide: {plate: 1.0, side: 3}\n", NULL),
                        "guide.year 2 -; guide.side - 3; ");
    /* A choice brings keys, and takes the other's away. */
    const char *choice = differences("method: {name: dcl}\n", "method: {name: byol}\n", NULL);
    assert_non_null(strstr(choice, "method.name dcl byol; "));
    assert_non_null(strstr(choice, "method.temperature 0.1 -; "));
}

/* The verdict on a key that is set: by the table that has it. */
static sb_resume_verdict verdict_on(const char *assignment, bool begun, bool indexed)
{
    sb_config before, after;
    sb_config_change *changes = NULL;
    char name[SB_KEY_NAME_MAX];
    read_config(&before, "", NULL);
    read_config(&after, "", assignment);
    const int count = sb_config_changes(&before, &after, sb_tables, &changes);
    snprintf(name, sizeof name, "%.*s", (int)strcspn(assignment, "="), assignment);
    int found = -1;
    for (int i = 0; i < count; i++)
        if (strcmp(changes[i].name, name) == 0)
            found = i;
    if (found < 0)
        fail_msg("%s changes nothing", assignment);
    const sb_resume_verdict verdict = sb_resume_judge(&changes[found], begun, indexed);
    sb_config_changes_free(changes, count);
    sb_config_free(&before);
    sb_config_free(&after);
    return verdict;
}

static void test_which_keys(void **state)
{
    (void)state;
    const struct {
        const char *assignment;
        sb_resume_verdict begun, fresh, unindexed;
    } cases[] = {
        { "run.loaders=3", SB_RESUME_APPLIED, SB_RESUME_APPLIED, SB_RESUME_APPLIED },
        { "data.path=/usr", SB_RESUME_APPLIED, SB_RESUME_APPLIED, SB_RESUME_APPLIED },
        { "trainer.checkpoint_every=7", SB_RESUME_APPLIED, SB_RESUME_APPLIED, SB_RESUME_APPLIED },
        { "trainer.checkpoint_keep=7", SB_RESUME_APPLIED, SB_RESUME_APPLIED, SB_RESUME_APPLIED },
        { "trainer.recompute=blocks", SB_RESUME_APPLIED, SB_RESUME_APPLIED, SB_RESUME_APPLIED },
        { "loader.cache_mb=7", SB_RESUME_APPLIED, SB_RESUME_APPLIED, SB_RESUME_APPLIED },
        { "evaluate.views=3", SB_RESUME_APPLIED, SB_RESUME_APPLIED, SB_RESUME_APPLIED },
        { "evaluate.snapshot_every=3", SB_RESUME_APPLIED, SB_RESUME_APPLIED, SB_RESUME_APPLIED },
        { "cuda.plugin=/x.so", SB_RESUME_APPLIED, SB_RESUME_APPLIED, SB_RESUME_APPLIED },
        { "trainer.steps=7", SB_RESUME_STRETCHED, SB_RESUME_APPLIED, SB_RESUME_APPLIED },
        { "trainer.batch=32", SB_RESUME_RESULT, SB_RESUME_APPLIED, SB_RESUME_APPLIED },
        { "trainer.threads=77", SB_RESUME_RESULT, SB_RESUME_APPLIED, SB_RESUME_APPLIED },
        { "trainer.accumulate=2", SB_RESUME_RESULT, SB_RESUME_APPLIED, SB_RESUME_APPLIED },
        { "seed=9", SB_RESUME_RESULT, SB_RESUME_APPLIED, SB_RESUME_APPLIED },
        { "optimiser.lr=0.001", SB_RESUME_RESULT, SB_RESUME_APPLIED, SB_RESUME_APPLIED },
        { "views.0.blur=0.123", SB_RESUME_RESULT, SB_RESUME_APPLIED, SB_RESUME_APPLIED },
        { "encoder.stem=small", SB_RESUME_RESULT, SB_RESUME_APPLIED, SB_RESUME_APPLIED },
        { "data.max_bad=0.5", SB_RESUME_APPLIED, SB_RESUME_APPLIED, SB_RESUME_APPLIED },
        { "data.warnings=accept", SB_RESUME_RESULT, SB_RESUME_APPLIED, SB_RESUME_APPLIED },
        { "data.tile=64", SB_RESUME_RESULT, SB_RESUME_INDEXED, SB_RESUME_APPLIED },
        { "data.untrusted=true", SB_RESUME_RESULT, SB_RESUME_INDEXED, SB_RESUME_APPLIED },
        { "guide.plate=1", SB_RESUME_RESULT, SB_RESUME_INDEXED, SB_RESUME_APPLIED },
        { "init=/x.safetensors", SB_RESUME_GIVEN, SB_RESUME_APPLIED, SB_RESUME_APPLIED },
        { "run.dir=/x", SB_RESUME_PLACE, SB_RESUME_PLACE, SB_RESUME_PLACE },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (verdict_on(cases[i].assignment, true, true) != cases[i].begun ||
            verdict_on(cases[i].assignment, false, true) != cases[i].fresh ||
            verdict_on(cases[i].assignment, false, false) != cases[i].unindexed)
            fail_msg("%s: %d, %d, %d", cases[i].assignment, verdict_on(cases[i].assignment, true, true),
                     verdict_on(cases[i].assignment, false, true),
                     verdict_on(cases[i].assignment, false, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_differences),
                                        cmocka_unit_test(test_which_keys) };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
