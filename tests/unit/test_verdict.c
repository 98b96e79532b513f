/* What is said of a run by its own numbers (evaluator/verdict.h): each word has its rule, and the first rule
 * that holds counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "evaluator/verdict.h"

#define STEPS 1000

static double loss[STEPS];

/* A run of `count` steps whose loss goes from one value to another, with as much noise as 0.1. */
static sb_verdict_facts run(size_t count, double from, double to)
{
    for (size_t i = 0; i < count; i++)
        loss[i] = from + (to - from) * (double)i / (double)count + (i % 2 ? 0.1 : -0.1);
    return (sb_verdict_facts){ .steps = STEPS, .loss = loss, .count = count };
}

/* The verdict on them, which has the word and says `what`. */
static void assert_verdict(const sb_verdict_facts *facts, const char *word, const char *what)
{
    const sb_verdict v = sb_verdict_of(facts);
    if (strcmp(v.word, word) != 0 || !strstr(v.sentence, what))
        fail_msg("%s: %s, expected %s: ...%s", v.word, v.sentence, word, what);
}

/* The same with an evaluation of 100 tiles at a step; given below 0: there is no such row. */
static void assert_measured(int step, double untrained, double given, double trained, const char *word,
                            const char *what)
{
    sb_verdict_facts facts = run(STEPS, 3, 1);
    json_t *rows = json_pack("{s:{s:f}, s:{s:f}, s:{s:f}, s:{s:f, s:f}}", "chance", "group_retrieval", 0.1,
                             "pixels", "group_retrieval", 0.3, "untrained", "group_retrieval", untrained,
                             "trained", "group_retrieval", trained, "view_retrieval", 0.0);
    assert_non_null(rows);
    if (given >= 0)
        json_object_set_new(rows, "given", json_pack("{s:f}", "group_retrieval", given));
    json_t *line = json_pack("{s:i, s:i, s:o}", "step", step, "tiles", 100, "rows", rows);
    facts.evaluation = line;
    assert_verdict(&facts, word, what);
    json_decref(line);
}

/* Of a share of a half, 100 tiles differ by 2 * sqrt(0.25 / 102) = 9.9 points by their draw. */
static void test_measured(void **state)
{
    (void)state;
    assert_measured(900, 0.5, -1, 0.61, "learning",
                    "by the measure group, 61.0 % of 100 held-out tiles at step 900, 11.0 "
                    "points above the untrained network.");
    assert_measured(900, 0.5, -1, 0.59, "unclear",
                    "9.0 points above the untrained network; by the draw of the tiles alone it may be 9.9.");
    assert_measured(900, 0.5, -1, 0.5, "stalled", "against 50.0 % of the untrained network.");
    assert_measured(900, 0.5, -1, 0.2, "stalled", "Colour statistics or 16 x 16 pixels alone have 30.0 %.");
    assert_measured(99, 0.5, -1, 0.5, "early", "a tenth of the steps is not done");
    assert_measured(100, 0.5, -1, 0.5, "stalled", "");
}

/* Against the weights as given, whatever the untrained network has. */
static void test_given(void **state)
{
    (void)state;
    assert_measured(900, 0.1, 0.5, 0.39, "worse", "11.0 points below the weights as given");
    assert_measured(50, 0.1, 0.5, 0.39, "worse", "");
    assert_measured(900, 0.1, 0.5, 0.41, "stalled", "against 50.0 % of the weights as given");
    assert_measured(900, 0.1, 0.5, 0.61, "learning", "above the weights as given");
    assert_measured(900, 0.9, 0.5, 0.61, "learning", "");
}

/* All or none are no certainty. */
static void test_ends(void **state)
{
    (void)state;
    assert_measured(900, 0, -1, 0.01, "unclear", "");
    assert_measured(900, 1, -1, 1, "stalled", "");
}

static void test_loss(void **state)
{
    (void)state;
    sb_verdict_facts facts = run(STEPS, 3, 1);
    assert_verdict(&facts, "learning",
                   "by its loss alone: from 2.901 in the first tenth of the steps to 1.101 in the last");
    facts = run(STEPS, 1, 3);
    assert_verdict(&facts, "stalled", "by its loss alone");
    facts = run(STEPS, 2, 2);
    assert_verdict(&facts, "stalled", "./run evaluate");
    facts = run(99, 3, 1);
    assert_verdict(&facts, "early", "99 of 1000 steps are done");
    facts = run(39, 3, 1);
    facts.steps = 39;
    assert_verdict(&facts, "early", "39 of 39 steps are done");
    facts.steps = 0; /* of a configuration that cannot be read */
    assert_verdict(&facts, "early", ": 39 steps are done");
    facts.count = 0;
    assert_verdict(&facts, "early", "no step is done yet");
}

/* Three looks in a row, before all else. */
static void test_collapsed(void **state)
{
    (void)state;
    sb_verdict_facts facts = run(STEPS, 3, 1);
    facts.looks = 3;
    memcpy(facts.look, (double[]){ 0.09, 0.05, 0.01 }, sizeof facts.look);
    assert_verdict(&facts, "collapsed", "their deviation is 0.01; below 0.1 in 3 looks in a row");
    facts.look[0] = 0.1;
    assert_verdict(&facts, "learning", "");
    facts.looks = 2;
    facts.look[0] = 0.01;
    assert_verdict(&facts, "learning", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_measured), cmocka_unit_test(test_given),     cmocka_unit_test(test_ends),
        cmocka_unit_test(test_loss),     cmocka_unit_test(test_collapsed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
