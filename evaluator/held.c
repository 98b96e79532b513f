/* held.c: see held.h. */
#include "evaluator/held.h"

#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "evaluator/course.h"
#include "proto/rundir.h"
#include "trainer/checkpoint.h"

/* The best of the evaluations of this gallery; of equals the first. */
typedef struct {
    double value;
    int64_t step; /* -1: the weights as given */
} best;

static void look(void *context, int64_t step, double value)
{
    best *b = context;
    if (value > b->value + SB_COURSE_DIGITS)
        *b = (best){ value, step };
}

int sb_held_say(const sb_report *r, const char *run_dir, double stop, char *out, size_t bytes)
{
    const sb_metric_id k = sb_report_telling(r);
    const double given = r->row[SB_ROW_GIVEN].value[k], now = r->row[SB_ROW_TRAINED].value[k];
    best b = { .value = given, .step = -1 };
    char path[PATH_MAX] = "", where[PATH_MAX + 128];
    if (sb_course_read(run_dir, r, k, look, &b) != 0 ||
        (b.step >= 0 &&
         sb_rundir_path(path, run_dir, "checkpoints/step-%09" PRId64 ".safetensors", b.step) != 0))
        return -1;
    const bool kept = b.step >= 0 && access(path, F_OK) == 0;
    int64_t best_step = -1;
    if (b.step >= 0 && !kept && sb_checkpoint_best(run_dir, path, &best_step, NULL) < 0)
        return -1;
    if (b.step < 0)
        snprintf(where, sizeof where, "the weights as given");
    else if (kept || best_step == b.step)
        snprintf(where, sizeof where, "step %" PRId64 " with %.1f %%, %s", b.step, 100 * b.value, path);
    else
        snprintf(where, sizeof where,
                 "step %" PRId64 " with %.1f %%, without a checkpoint (trainer.checkpoint_every, "
                 "trainer.checkpoint_keep)",
                 b.step, 100 * b.value);
    snprintf(out, bytes, "  continue: %s of %d tiles %.1f %%, %+.1f points against the weights as given%s%s",
             sb_metrics[k]->title, r->tiles, 100 * now, 100 * (now - given),
             given - now > stop ? ": stop it (./run stop). Best was " : ". Best is ", where);
    return 0;
}
