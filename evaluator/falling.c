/* falling.c: see falling.h. */
#include "evaluator/falling.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "evaluator/course.h"
#include "proto/memory.h"

#define TELLS_GROUPS 2 /* sb_metric.tells from which on a measure is of groups or labels */

static void set_best(sb_falling *f, int64_t step, double mean)
{
    const double n = f->cases + 4, share = (mean * f->cases + 2) / n;
    f->known = true;
    f->best = mean;
    f->best_step = step;
    f->bound = mean - fmax(SB_FALLING_ERRORS * sqrt(share * (1 - share) / n), SB_FALLING_LEAST);
}

void sb_falling_given(sb_falling *f, double value) { set_best(f, 0, value); }

bool sb_falling_look(sb_falling *f, int64_t step, double value)
{
    const bool before = f->low;
    f->values[f->count++ % SB_FALLING_MEAN] = value;
    if (f->count < SB_FALLING_MEAN)
        return false;
    f->mean = 0;
    for (int i = 0; i < SB_FALLING_MEAN; i++)
        f->mean += f->values[i] / SB_FALLING_MEAN;
    f->low = f->known && f->mean < f->bound;
    if (!f->known || f->mean > f->best)
        set_best(f, step, f->mean);
    return f->low && !before;
}

static int ascending(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Groups of held-out tiles that the measure can be right or wrong about: labelled ones, or those of two tiles
 * and more. -1. */
static int count_cases(const sb_evaluation *e, sb_metric_id k)
{
    const int tiles = e->gallery.tiles;
    const bool labels = k != SB_METRIC_GROUP_RETRIEVAL;
    uint32_t *group = sb_zeroed((size_t)tiles, sizeof *group, "the groups of tiles");
    int count = 0, cases = 0;
    if (!group)
        return -1;
    for (int t = 0; t < tiles; t++) {
        const sb_image *image = &e->index.images[e->gallery.tile[t].image];
        if (!labels || image->label != UINT32_MAX)
            group[count++] = image->group;
    }
    qsort(group, (size_t)count, sizeof *group, ascending);
    for (int from = 0, to; from < count; from = to) {
        for (to = from + 1; to < count && group[to] == group[from];)
            to++;
        cases += labels || to - from > 1;
    }
    free(group);
    return cases;
}

typedef struct {
    sb_falling falling;
    int64_t step; /* of the last evaluation */
    bool raises;
} course;

static void take(void *context, int64_t step, double value)
{
    course *c = context;
    c->step = step;
    c->raises = sb_falling_look(&c->falling, step, value);
}

int sb_falling_check(const sb_evaluation *e, sb_alarm *out)
{
    const sb_report *r = &e->report;
    const sb_metric_id k = sb_report_telling(r);
    if (sb_metrics[k]->tells < TELLS_GROUPS)
        return 0;
    course c = { .falling = { .cases = count_cases(e, k) } };
    sb_falling *f = &c.falling;
    if (f->cases < 0)
        return -1;
    if (r->given && e->config.continuing.enabled)
        sb_falling_given(f, r->row[SB_ROW_GIVEN].value[k]);
    if (sb_course_read(e->run_dir, r, k, take, &c) != 0)
        return -1;
    if (!c.raises || c.step != r->step) /* a step that was evaluated before has raised its own */
        return 0;
    *out = (sb_alarm){
        .name = "falling",
        .step = r->step,
        .values = { { sb_metrics[k]->key, f->mean },
                    { "best", f->best },
                    { "best_step", (double)f->best_step },
                    { "bound", f->bound } },
        .advice = "Go on from checkpoints/best.safetensors with a lower optimiser.lr (init=), or "
                  "end there: ./run export --best"
    };
    snprintf(
        out->what, sizeof out->what,
        "held-out quality falls: %s is %.1f %% in the mean of %d evaluations, below %.1f %%; the best such "
        "mean was %.1f %% at step %" PRId64 "%s, over %d independent cases",
        sb_metrics[k]->title, 100 * f->mean, SB_FALLING_MEAN, 100 * f->bound, 100 * f->best, f->best_step,
        f->best_step > 0 ? "" : " (as given)", f->cases);
    return 1;
}
