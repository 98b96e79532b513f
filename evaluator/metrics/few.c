/* few.c: the probe with few labels: 1, 5, 10 and 100 of each class of the training part, or as many as a
 * class has, drawn five times; the mean of the balanced accuracies. A number is left out where no class has
 * more labels than the number before it. Features are standardised by all of the training part, which takes
 * no labels; l2 is 1 over the number of labels, with which nothing has to be chosen (scikit-learn's C = 1).
 */
#include <stdlib.h>

#include "evaluator/metrics/labelled.h"
#include "proto/memory.h"

#define DRAWS 5
#define NUMBERS 4
static const int numbers[NUMBERS] = { 1, 5, 10, 100 };

typedef struct {
    float *x, *weight, *scores;
    uint32_t *label;
    int *order, *above; /* rows of the training part; [held.rows] */
} room;

/* Up to `each` tiles of every class, drawn: into w->x and w->label. Returns how many. */
static int draw(const sb_labelled *l, int number, int draw, room *w)
{
    const size_t width = (size_t)l->learnt.width;
    sb_random r = sb_labelled_draws(2 + (uint32_t)number, (uint32_t)draw);
    int rows = 0;
    for (uint32_t k = 0; k < (uint32_t)l->learnt.classes; k++) {
        int found = 0;
        for (int i = 0; i < l->learnt.rows; i++)
            if (l->learnt.label[i] == k)
                w->order[found++] = i;
        for (int n = 0; n < found && n < numbers[number]; n++, rows++) {
            const int other = n + (int)sb_random_below(&r, (uint32_t)(found - n)), taken = w->order[other];
            w->order[other] = w->order[n];
            for (size_t c = 0; c < width; c++)
                w->x[(size_t)rows * width + c] = l->learnt.x[(size_t)taken * width + c];
            w->label[rows] = k;
        }
    }
    return rows;
}

static int measure(const sb_labelled *l, int number, room *w, double *out)
{
    *out = 0;
    for (int d = 0; d < DRAWS; d++) {
        sb_classified drawn = l->learnt;
        drawn.x = w->x;
        drawn.label = w->label;
        drawn.rows = draw(l, number, d, w);
        for (size_t i = 0; i < (size_t)drawn.classes * (size_t)drawn.width; i++)
            w->weight[i] = 0;
        if (sb_classifier_fit(&drawn, 1.0 / drawn.rows, w->weight) != 0 ||
            sb_classifier_score(&l->held, w->weight, w->scores) != 0)
            return -1;
        sb_labelled_above(l, w->scores, w->above);
        *out += sb_labelled_balanced(l, w->above, NULL) / DRAWS;
    }
    return 0;
}

/* Tiles of the class that has most. */
static int most_of(const sb_labelled *l, int *count)
{
    int most = 0;
    for (int k = 0; k < l->learnt.classes; k++)
        count[k] = 0;
    for (int i = 0; i < l->learnt.rows; i++) {
        const int now = ++count[l->learnt.label[i]];
        most = now > most ? now : most;
    }
    return most;
}

static int measure_all(const sb_labelled *l, double *out)
{
    const size_t learnt = (size_t)l->learnt.rows, held = (size_t)l->held.rows,
                 width = (size_t)l->learnt.width, classes = (size_t)l->learnt.classes;
    room w = { .x = sb_zeroed(learnt * width, sizeof *w.x, "the drawn labels"),
               .weight = sb_zeroed(classes * width, sizeof *w.weight, "a probe's weights"),
               .scores = sb_zeroed(held * classes, sizeof *w.scores, "a probe's scores"),
               .label = sb_zeroed(learnt, sizeof *w.label, "the classes of tiles"),
               .order = sb_zeroed(learnt + classes, sizeof *w.order, "the order of tiles"),
               .above = sb_zeroed(held, sizeof *w.above, "a probe's places") };
    int rc = w.x && w.weight && w.scores && w.label && w.order && w.above ? 0 : -1;
    const int most = rc == 0 ? most_of(l, w.order) : 0;
    for (int n = 0; rc == 0 && n < NUMBERS && (n == 0 || most > numbers[n - 1]); n++)
        rc = measure(l, n, &w, &out[n]);
    free(w.x);
    free(w.weight);
    free(w.scores);
    free(w.label);
    free(w.order);
    free(w.above);
    return rc;
}

static int few(const sb_features *f, double *out)
{
    sb_labelled l;
    for (int n = 0; n < NUMBERS; n++)
        out[n] = SB_LACKS;
    int rc = sb_labelled_create(&l, f);
    if (rc == 1)
        rc = measure_all(&l, out);
    sb_labelled_free(&l);
    return rc;
}

const sb_metric sb_metric_few_1 = { .key = "few_1",
                                    .title = "1 label",
                                    .share = true,
                                    .place = SB_IN_FEW,
                                    .measure = few,
                                    .chance = sb_labelled_chance };
const sb_metric sb_metric_few_5 = {
    .key = "few_5", .title = "5 labels", .share = true, .place = SB_IN_FEW, .chance = sb_labelled_chance
};
const sb_metric sb_metric_few_10 = {
    .key = "few_10", .title = "10 labels", .share = true, .place = SB_IN_FEW, .chance = sb_labelled_chance
};
const sb_metric sb_metric_few_100 = {
    .key = "few_100", .title = "100 labels", .share = true, .place = SB_IN_FEW, .chance = sb_labelled_chance
};
