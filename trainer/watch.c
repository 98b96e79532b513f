/* watch.c: see watch.h. */
#include "trainer/watch.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "proto/jsonl.h"

static bool collapses(sb_watch *w, const sb_step_metrics *m, sb_alarm *a)
{
    if (!m->looked || !sb_collapse_look(&w->collapse, m->deviation))
        return false;
    *a = (sb_alarm){ .name = "collapse",
                     .values = { { "deviation", m->deviation }, { "rank", m->rank } },
                     .advice = "Lower optimiser.lr, raise optimiser.warmup or trainer.batch, or take another "
                               "method (./run methods)" };
    snprintf(a->what, sizeof a->what,
             "the embeddings have become one: they deviate by %.3f where 1 is even, their rank is %.1f",
             m->deviation, m->rank);
    return true;
}

static bool leaks(sb_watch *w, const sb_step_metrics *m, sb_alarm *a)
{
    if (!isfinite(m->leak) || !sb_leak_look(&w->leak, m->loss, m->leak))
        return false;
    *a = (sb_alarm){
        .name = "leak",
        .values = { { "loss", w->leak.loss }, { "leak", w->leak.gap } },
        .advice = "What is learnt is who is together, not the images. trainer.replicas=1 permutes "
                  "the views, encoder.norm=group normalises each view by itself"
    };
    snprintf(a->what, sizeof a->what,
             "the loss leans on which views share a norm: it is %.4g, and %.4g with the later views in other "
             "replicas",
             w->leak.loss, w->leak.loss + w->leak.gap);
    return true;
}

static bool spikes(sb_watch *w, const sb_step_metrics *m, sb_alarm *a)
{
    if (!sb_spike_look(&w->spike, m->loss))
        return false;
    *a = (sb_alarm){
        .name = "spike",
        .values = { { "loss", m->loss }, { "usual", w->spike.usual }, { "bound", w->spike.bound } },
        .advice = "Lower optimiser.lr or raise optimiser.warmup; with trainer.precision=f16, "
                  "bf16 has more room. A checkpoint from before it is in checkpoints/"
    };
    snprintf(
        a->what, sizeof a->what,
        "the loss has jumped to %.4g, above %.4g in %d of the last %d steps; the median of the %d before "
        "is %.4g",
        m->loss, w->spike.bound, SB_SPIKE_HIGH, SB_SPIKE_LATEST, SB_SPIKE_WINDOW, w->spike.usual);
    return true;
}

static bool stalls(sb_watch *w, const sb_step_metrics *m, sb_alarm *a)
{
    const double gradient = m->skipped ? NAN : m->gradient_norm;
    const sb_stall_found found = sb_stall_look(&w->stall, m->step, w->config->trainer.steps, m->loss,
                                               gradient);
    const sb_stall *s = &w->stall;
    if (found == SB_STALL_NONE)
        return false;
    *a = (sb_alarm){ .name = "stall" };
    if (found == SB_STALL_NO_GRADIENT) {
        a->values[0].name = "first_gradient_norm";
        a->values[0].value = s->first.gradient.mean;
        a->advice = "The network or its head is dead: lower optimiser.lr or raise optimiser.warmup; where "
                    "steps are skipped, trainer.precision=bf16 or f32";
        snprintf(
            a->what, sizeof a->what,
            "in %d steps no gradient was longer than %g of the first ones' mean of %.3g, or the step was "
            "skipped",
            SB_STALL_STILL, SB_STALL_GRADIENT, s->first.gradient.mean);
        return true;
    }
    a->values[0].name = "loss";
    a->values[0].value = s->last.loss.mean;
    a->values[1].name = "first_loss";
    a->values[1].value = s->first.loss.mean;
    a->values[2].name = "gradient_norm";
    a->values[2].value = s->last.gradient.mean;
    a->values[3].name = "first_gradient_norm";
    a->values[3].value = s->first.gradient.mean;
    a->advice = "Raise optimiser.lr, and see in pictures/contact.png (./run evaluate) whether views show "
                "anything";
    snprintf(a->what, sizeof a->what,
             "nothing was learnt: in the last %lld steps loss (%.4g) and gradient (%.3g long) are what they "
             "were in the first ones",
             (long long)s->last.loss.count, s->last.loss.mean, s->last.gradient.mean);
    return true;
}

/* Whether views have another size from this step on. */
static bool changes_size(sb_watch *w, int64_t step)
{
    sb_view_keys views[SB_VIEWS_MAX];
    const int count = w->config->view_count;
    if (step <= w->until)
        return false;
    memcpy(views, w->config->views, (size_t)count * sizeof *views);
    w->until = sb_view_sides_at(views, count, step - 1, w->config->trainer.steps);
    return true;
}

int sb_watch_step(sb_watch *w, const sb_step_metrics *m, sb_alarm *alarms)
{
    static bool (*const rules[SB_WATCH_ALARMS])(sb_watch *, const sb_step_metrics *,
                                                sb_alarm *) = { collapses, leaks, spikes, stalls };
    int count = 0;
    if (changes_size(w, m->step))
        w->spike = (sb_spike){ 0 };
    for (int i = 0; i < SB_WATCH_ALARMS; i++)
        if (rules[i](w, m, &alarms[count]))
            alarms[count++].step = m->step;
    return count;
}

static void read_line(void *context, const json_t *line)
{
    sb_alarm alarms[SB_WATCH_ALARMS];
    const sb_step_metrics m = sb_metrics_of(line);
    if (m.step > 0 && isfinite(m.loss))
        sb_watch_step(context, &m, alarms);
}

int sb_watch_begin(sb_watch *w, const sb_settings *config, const char *run_dir)
{
    *w = (sb_watch){ .config = config };
    return sb_jsonl_read(run_dir, "metrics.jsonl", read_line, w);
}
