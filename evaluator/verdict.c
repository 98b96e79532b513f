/* verdict.c: see verdict.h. */
#include "evaluator/verdict.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "evaluator/report.h"

#define ERRORS 2       /* standard errors that a difference must have */
#define STEPS_LEAST 40 /* before a loss says anything */
#define PART_LEAST 10  /* steps whose mean is taken */
#define TENTH 10       /* the part of a run at either end whose losses are compared; the first is early */

/* How a sentence on a measure begins: the measure, its share, tiles, step. */
#define FIGURES "by the measure %s, %.1f %% of %.0f held-out tiles at step %" JSON_INTEGER_FORMAT

static sb_verdict say(const char *word, const char *format, ...) __attribute__((format(printf, 2, 3)));
static sb_verdict say(const char *word, const char *format, ...)
{
    sb_verdict v = { .word = word };
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(v.sentence, sizeof v.sentence, format, arguments);
    va_end(arguments);
    return v;
}

static bool is_early(const sb_verdict_facts *f, int64_t step) { return step < f->steps / TENTH; }

/* ---- by the last evaluation ------------------------------------------------------------------------------- */

static bool value_of(const sb_verdict_facts *f, sb_row row, const char *key, double *out)
{
    const json_t *value = json_object_get(
        json_object_get(json_object_get(f->evaluation, "rows"), sb_report_row(row)), key);
    *out = json_number_value(value);
    return json_is_number(value);
}

/* The measure that tells most of those that not even guessing has right (sb_report_telling); NULL: none. */
static const sb_metric *telling(const sb_verdict_facts *f)
{
    const sb_metric *chosen = NULL;
    double trained, untrained, chance;
    for (int k = 0; k < SB_METRICS; k++) {
        const sb_metric *m = sb_metrics[k];
        if (m->tells > (chosen ? chosen->tells : 0) && value_of(f, SB_ROW_TRAINED, m->key, &trained) &&
            value_of(f, SB_ROW_UNTRAINED, m->key, &untrained) &&
            !(value_of(f, SB_ROW_CHANCE, m->key, &chance) && chance >= 1))
            chosen = m;
    }
    return chosen;
}

/* What the draw of `tiles` tiles alone may make of a share: standard errors, with one tile more on either
 * side so that all or none are not certain. */
static double margin_of(double share, double tiles)
{
    const double p = (share * tiles + 1) / (tiles + 2);
    return ERRORS * sqrt(p * (1 - p) / (tiles + 2));
}

static sb_verdict by_measure(const sb_verdict_facts *f, const sb_metric *m)
{
    const json_int_t step = json_integer_value(json_object_get(f->evaluation, "step"));
    const double tiles = json_number_value(json_object_get(f->evaluation, "tiles"));
    double trained, base, simple = -1, other;
    const bool given = value_of(f, SB_ROW_GIVEN, m->key, &base);
    const char *name = given ? "the weights as given" : "the untrained network";
    char tail[128] = "";
    value_of(f, SB_ROW_TRAINED, m->key, &trained);
    if (!given)
        value_of(f, SB_ROW_UNTRAINED, m->key, &base);
    for (sb_row row = SB_ROW_COLOUR; row <= SB_ROW_PIXELS; row++)
        if (value_of(f, row, m->key, &other) && other > simple)
            simple = other;
    const double margin = margin_of(base, tiles);
    if (simple >= trained)
        snprintf(tail, sizeof tail, " Colour statistics or 16 x 16 pixels alone have %.1f %%.", 100 * simple);
    const double now = 100 * trained, before = 100 * base;
    if (given && trained < base - margin)
        return say("worse", "Worse than as given: " FIGURES ", %.1f points below %s.%s", m->title, now, tiles,
                   step, before - now, name, tail);
    if (trained > base + margin)
        return say("learning", "Learning: " FIGURES ", %.1f points above %s.%s", m->title, now, tiles, step,
                   now - before, name, tail);
    if (is_early(f, step))
        return say("early",
                   "Too early to say: " FIGURES ", against %.1f %% of %s; a tenth of the steps is not done.",
                   m->title, now, tiles, step, before, name);
    if (trained > base)
        return say("unclear",
                   "Not clear: " FIGURES
                   ", %.1f points above %s; by the draw of the tiles alone it may be %.1f.%s",
                   m->title, now, tiles, step, now - before, name, 100 * margin, tail);
    return say("stalled", "Stalled: " FIGURES ", against %.1f %% of %s.%s", m->title, now, tiles, step,
               before, name, tail);
}

/* ---- by the loss alone ------------------------------------------------------------------------------------ */

/* Mean of x[n], and the square of its standard error. */
static double mean_of(const double *x, size_t n, double *squared_error)
{
    double mean = 0, squares = 0;
    for (size_t i = 0; i < n; i++)
        mean += x[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        squares += (x[i] - mean) * (x[i] - mean);
    *squared_error = squares / ((double)n * (double)(n > 1 ? n - 1 : 1));
    return mean;
}

static sb_verdict by_loss(const sb_verdict_facts *f)
{
    const size_t part = f->count / TENTH > PART_LEAST ? f->count / TENTH : PART_LEAST;
    double first_error, last_error;
    if (f->count < STEPS_LEAST && !f->steps)
        return say("early", "Too early to say: %zu steps are done, and nothing was measured.", f->count);
    if (f->count < STEPS_LEAST || is_early(f, (int64_t)f->count))
        return say("early", "Too early to say: %zu of %" PRId64 " steps are done, and nothing was measured.",
                   f->count, f->steps);
    const double first = mean_of(f->loss, part, &first_error),
                 last = mean_of(f->loss + f->count - part, part, &last_error);
    if (first - last > ERRORS * sqrt(first_error + last_error))
        return say(
            "learning",
            "Learning, by its loss alone: from %.4g in the first tenth of the steps to %.4g in the last; "
            "./run evaluate measures what that is worth.",
            first, last);
    return say("stalled",
               "Stalled, by its loss alone: %.4g in the first tenth of the steps, %.4g in the last; ./run "
               "evaluate measures whether it learns all the same.",
               first, last);
}

sb_verdict sb_verdict_of(const sb_verdict_facts *f)
{
    bool low = f->looks == SB_COLLAPSE_LOOKS;
    for (int i = 0; i < f->looks; i++)
        low = low && f->look[i] < SB_COLLAPSE_DEVIATION;
    if (low)
        return say(
            "collapsed",
            "Collapsed: all embeddings have become one (their deviation is %.3g; below %g in %d looks in a "
            "row).",
            f->look[f->looks - 1], SB_COLLAPSE_DEVIATION, SB_COLLAPSE_LOOKS);
    if (f->count == 0)
        return say("early", "Too early to say: no step is done yet.");
    const sb_metric *m = telling(f);
    return m ? by_measure(f, m) : by_loss(f);
}

/* ---- in words --------------------------------------------------------------------------------------------- */

#define AS_TEXT(number) #number
#define TEXT(number) AS_TEXT(number)
#define DEVIATION TEXT(SB_COLLAPSE_DEVIATION)
#define LOOKS TEXT(SB_COLLAPSE_LOOKS)
#define MARGIN TEXT(ERRORS) " standard errors"
#define PART "1/" TEXT(TENTH) " of the steps"

// clang-format off
const char *const sb_verdict_rules[] = {
    "Collapsed: the deviation of the embeddings was below " DEVIATION " at the last " LOOKS " looks in a row.",

    "Of the last evaluation the measure that tells most (kNN where there are labels, else group, else view) is held "
    "against the weights as given, or else the untrained network. The margin is " MARGIN " of that share over the "
    "held-out tiles. Worse than as given: more than the margin below. Learning: more than the margin above. Too early: "
    "neither, in the first " PART ". Not clear: above, but within the margin. Stalled: not above.",

    "Without an evaluation, by the loss alone: learning, if its mean over the last " PART " (" TEXT(PART_LEAST)
    " at least) is below that over the first by more than " MARGIN ", else stalled; too early before " TEXT(STEPS_LEAST)
    " steps or " PART ".",

    NULL
};
// clang-format on
