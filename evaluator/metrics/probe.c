/* probe.c: the linear probe: a classifier on frozen features, learnt from labelled tiles of the training part
 * (labelled.c), asked for the held-out ones.
 *
 * How strongly its weights are held down, l2, is chosen where the loss is least on a part of the training
 * part: whole groups, a fifth of the tiles or more, in an order drawn once for all; then it learns from all
 * of it. The interval is of 1000 draws of the held-out groups with replacement, from the 2.5th to the 97.5th
 * hundredth. Balanced accuracy is the mean over the classes of the held-out tiles of the share that is right;
 * a class that the training part lacks is wrong throughout. */
#include <math.h>
#include <stdlib.h>

#include "evaluator/metrics/labelled.h"
#include "proto/memory.h"

#define DRAWS 1000
#define USUAL 0.1 /* l2 where the training part has one group, and nothing can be chosen */
static const double strengths[] = { 10, 1, 0.1, 0.01, 0.001, 0.0001 };

/* ---- the choice of l2 ------------------------------------------------------------------------------------- */

/* Puts the validation part behind the rest, in `order`: rows of the training part. Returns how many rows the
 * rest has; 0: there is one group. */
static int part(const sb_labelled *l, int *order, uint32_t *groups)
{
    const int rows = l->learnt.rows, count = sb_labelled_distinct(l->learnt_group, rows, groups);
    sb_random r = sb_labelled_draws(0, 0);
    int taken = 0, last = 0, front = 0, back = rows; /* groups before `last` are for validation */
    if (count < 2)
        return 0;
    for (int i = count - 1; i > 0; i--) {
        const uint32_t other = sb_random_below(&r, (uint32_t)i + 1), held = groups[i];
        groups[i] = groups[other];
        groups[other] = held;
    }
    for (; last < count - 1 && 5 * taken < rows; last++)
        for (int i = 0; i < rows; i++)
            taken += l->learnt_group[i] == groups[last];
    for (int i = 0; i < rows; i++) {
        bool validates = false;
        for (int g = 0; g < last; g++)
            validates = validates || l->learnt_group[i] == groups[g];
        order[validates ? --back : front++] = i;
    }
    return front;
}

/* The mean over the rows of -log softmax(scores)[label]. */
static double loss_of(const sb_classified *s, const float *scores)
{
    double loss = 0;
    for (int i = 0; i < s->rows; i++) {
        const float *row = scores + (size_t)i * (size_t)s->classes;
        loss += sb_classifier_log_sum(row, s->classes) - row[s->label[i]];
    }
    return loss / s->rows;
}

/* Room to work in: the training part in the order of its parts, and a classifier. */
typedef struct {
    float *x, *weight,
        *scores;              /* [learnt.rows, width], [classes, width], [rows of the larger part, classes] */
    uint32_t *label, *groups; /* [learnt.rows]; [rows of the larger part] */
    int *order, *above, *times; /* [learnt.rows], [held.rows] twice */
    double *drawn;              /* [DRAWS] */
} room;

static int choose(const sb_labelled *l, room *w, double *l2)
{
    const size_t width = (size_t)l->learnt.width;
    const int front = part(l, w->order, w->groups);
    sb_classified fitted = l->learnt, validated = l->learnt;
    double least = INFINITY;
    *l2 = USUAL;
    if (front == 0)
        return 0;
    for (int i = 0; i < l->learnt.rows; i++) {
        for (size_t c = 0; c < width; c++)
            w->x[(size_t)i * width + c] = l->learnt.x[(size_t)w->order[i] * width + c];
        w->label[i] = l->learnt.label[w->order[i]];
    }
    fitted.x = w->x;
    fitted.label = w->label;
    fitted.rows = front;
    validated.x = w->x + (size_t)front * width;
    validated.label = w->label + front;
    validated.rows = l->learnt.rows - front;
    for (size_t s = 0; s < sizeof strengths / sizeof *strengths;
         s++) { /* each from where the last one ended */
        if (sb_classifier_fit(&fitted, strengths[s], w->weight) != 0 ||
            sb_classifier_score(&validated, w->weight, w->scores) != 0)
            return -1;
        const double loss = loss_of(&validated, w->scores);
        if (loss < least) {
            least = loss;
            *l2 = strengths[s];
        }
    }
    return 0;
}

/* ---- the measures ----------------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* The interval of what w->above says. */
static void draw_interval(const sb_labelled *l, room *w, double *low, double *high)
{
    const int rows = l->held.rows, groups = sb_labelled_distinct(l->held_group, rows, w->groups);
    *low = *high = SB_LACKS;
    if (groups < 2)
        return;
    for (int d = 0; d < DRAWS; d++) {
        sb_random r = sb_labelled_draws(1, (uint32_t)d);
        for (int i = 0; i < rows; i++)
            w->times[i] = 0;
        for (int g = 0; g < groups; g++) {
            const uint32_t group = w->groups[sb_random_below(&r, (uint32_t)groups)];
            for (int i = 0; i < rows; i++)
                w->times[i] += l->held_group[i] == group;
        }
        w->drawn[d] = sb_labelled_balanced(l, w->above, w->times);
    }
    qsort(w->drawn, DRAWS, sizeof *w->drawn, by_size);
    *low = w->drawn[DRAWS / 40];
    *high = w->drawn[DRAWS - 1 - DRAWS / 40];
}

static double share_within(const sb_labelled *l, const int *above, int top)
{
    int right = 0;
    for (int i = 0; i < l->held.rows; i++)
        right += above[i] < top;
    return (double)right / l->held.rows;
}

static int take_room(room *w, const sb_labelled *l)
{
    const size_t learnt = (size_t)l->learnt.rows, held = (size_t)l->held.rows,
                 more = learnt > held ? learnt : held, width = (size_t)l->learnt.width,
                 classes = (size_t)l->learnt.classes;
    w->x = sb_zeroed(learnt * width, sizeof *w->x, "the parts of a probe");
    w->weight = sb_zeroed(classes * width, sizeof *w->weight, "a probe's weights");
    w->scores = sb_zeroed(more * classes, sizeof *w->scores, "a probe's scores");
    w->label = sb_zeroed(learnt, sizeof *w->label, "the classes of tiles");
    w->groups = sb_zeroed(more, sizeof *w->groups, "the groups of tiles");
    w->order = sb_zeroed(learnt + 2 * held, sizeof *w->order, "the order of tiles");
    w->drawn = sb_zeroed(DRAWS, sizeof *w->drawn, "a probe's draws");
    w->above = w->order ? w->order + learnt : NULL;
    w->times = w->order ? w->above + held : NULL;
    return w->x && w->weight && w->scores && w->label && w->groups && w->order && w->drawn ? 0 : -1;
}

static int measure(const sb_labelled *l, room *w, double *out)
{
    double l2;
    if (choose(l, w, &l2) != 0 || sb_classifier_fit(&l->learnt, l2, w->weight) != 0 ||
        sb_classifier_score(&l->held, w->weight, w->scores) != 0)
        return -1;
    sb_labelled_above(l, w->scores, w->above);
    out[0] = sb_labelled_balanced(l, w->above, NULL);
    draw_interval(l, w, &out[1], &out[2]);
    out[3] = share_within(l, w->above, 1);
    out[4] = l->held.classes > 5 ? share_within(l, w->above, 5) : SB_LACKS;
    out[5] = l2;
    return 0;
}

static int probe(const sb_features *f, double *out)
{
    sb_labelled l;
    room w = { 0 };
    for (int i = 0; i < 6; i++)
        out[i] = SB_LACKS;
    int rc = sb_labelled_create(&l, f);
    if (rc == 1)
        rc = take_room(&w, &l) != 0 ? -1 : measure(&l, &w, out);
    free(w.x);
    free(w.weight);
    free(w.scores);
    free(w.label);
    free(w.groups);
    free(w.order);
    free(w.drawn);
    sb_labelled_free(&l);
    return rc;
}

const sb_metric sb_metric_probe = {
    .key = "probe", .title = "probe", .share = true, .measure = probe, .chance = sb_labelled_chance
};
const sb_metric sb_metric_probe_low = {
    .key = "probe_low", .title = "95 % from", .share = true, .place = SB_BOUND
};
const sb_metric sb_metric_probe_high = {
    .key = "probe_high", .title = "95 % to", .share = true, .place = SB_BOUND
};
const sb_metric sb_metric_probe_top1 = { .key = "probe_top1", .title = "its top-1", .share = true };
const sb_metric sb_metric_probe_top5 = { .key = "probe_top5", .title = "its top-5", .share = true };
const sb_metric sb_metric_probe_l2 = { .key = "probe_l2", .title = "probe, l2", .place = SB_IN_LOG };
