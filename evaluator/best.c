/* best.c: see best.h. */
#include "evaluator/best.h"

#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>

#include "evaluator/course.h"
#include "proto/error.h"
#include "trainer/checkpoint.h"

int sb_best_hold(const sb_evaluation *e) { return sb_checkpoint_hold(e->run_dir, e->report.step); }

static void note_missing(const sb_evaluation *e)
{
    static bool said;
    if (!said)
        sb_note("step %" PRId64 " is the best so far and has no checkpoint: evaluate.every times "
                "evaluate.snapshot_every should be a multiple of trainer.checkpoint_every",
                e->report.step);
    said = true;
}

/* evaluate.best; where the data set lacks what it needs, what tells most. */
static sb_metric_id measure_of(const sb_evaluation *e)
{
    static const sb_metric_id measures[] = { [SB_BEST_VIEW] = SB_METRIC_VIEW_RETRIEVAL,
                                             [SB_BEST_GROUP] = SB_METRIC_GROUP_RETRIEVAL,
                                             [SB_BEST_KNN] = SB_METRIC_KNN_TOP1,
                                             [SB_BEST_PROBE] = SB_METRIC_PROBE };
    static bool said;
    const sb_metric_id telling = sb_report_telling(&e->report);
    if (e->config.evaluate.best == SB_BEST_AUTO)
        return telling;
    const sb_metric_id k = measures[e->config.evaluate.best];
    if (sb_report_has(&e->report, k))
        return k;
    if (!said)
        sb_note("evaluate.best = %s: the data set lacks what it needs; the best checkpoint goes by %s",
                sb_metrics[k]->key, sb_metrics[telling]->key);
    said = true;
    return telling;
}

/* What one step was evaluated with. */
typedef struct {
    int64_t step;
    double value;
    bool known;
} evaluated;

static void take(void *context, int64_t step, double value)
{
    evaluated *of = context;
    if (step == of->step)
        *of = (evaluated){ step, value, true };
}

int sb_best_settle(const sb_evaluation *e)
{
    const sb_metric_id k = measure_of(e);
    const double now = e->report.row[SB_ROW_TRAINED].value[k];
    char path[PATH_MAX];
    evaluated best = { .step = -1 };
    if (sb_checkpoint_best(e->run_dir, path, &best.step, NULL) < 0)
        sb_note("%s", sb_error()); /* damaged: the next best one replaces it */
    if (sb_course_read(e->run_dir, &e->report, k, take, &best) != 0)
        return -1;
    const bool better = !best.known || now > best.value + SB_COURSE_DIGITS;
    const int kept = better ? sb_checkpoint_keep_best(e->run_dir) : sb_checkpoint_let_go(e->run_dir);
    if (kept < 0)
        return -1;
    if (better && kept == 0)
        note_missing(e);
    if (better && kept > 0)
        best = (evaluated){ e->report.step, now, true };
    if (best.known)
        printf("  best by %s: step %" PRId64 ", %.1f %%: %s\n", sb_metrics[k]->title, best.step,
               100 * best.value, path);
    fflush(stdout);
    return 0;
}
