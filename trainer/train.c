/* train.c: the loop: waits for the batch in the view rings, one step (step.h), metrics, checkpoints.
 *
 * Owns the view rings and everything written into the run directory by the trainer. The batch's slots are
 * held (READING) until its step is committed, so the views of the next batch lie beside it (proto/layout.h);
 * those of its first chunk are held, too, if they are there when the batch in work has been read.
 * A stop drops the step in work and saves the last finished one; views are a pure function of their position,
 * so resuming repeats it. */
#include "trainer/train.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/open.h"       /* sb_device_* */
#include "loader/index/index.h" /* sb_index_read */
#include "proto/error.h"        /* sb_fail, sb_note */
#include "proto/layout.h"       /* sb_layout_* */
#include "proto/memory.h"       /* sb_zeroed */
#include "proto/process.h"      /* sb_now, sb_stop_requested */
#include "proto/ring.h"         /* sb_ring_* */
#include "proto/rundir.h"       /* sb_rundir_* */
#include "trainer/checkpoint.h" /* sb_checkpoint_* */
#include "trainer/collapse.h"   /* sb_collapse_measure */
#include "trainer/control.h"    /* sb_control_* */
#include "trainer/export.h"     /* sb_export_backbone */
#include "trainer/finish.h"     /* sb_finish */
#include "trainer/guides.h"     /* sb_guides_* */
#include "trainer/images.h"     /* sb_images_* */
#include "trainer/init.h"       /* sb_init_take */
#include "trainer/precision.h"  /* sb_precision_* */
#include "trainer/publish.h"    /* sb_publish_* */
#include "trainer/remarks.h"    /* sb_remarks */
#include "trainer/resume.h"     /* sb_resume_check */
#include "trainer/schedule.h"   /* sb_schedule_lr */
#include "trainer/shares.h"     /* sb_shares_* */
#include "trainer/status.h"     /* sb_status, sb_metrics_* */
#include "trainer/step/step.h"  /* sb_step_* */
#include "trainer/teacher.h"    /* sb_teacher_take */
#include "trainer/watch.h"      /* sb_watch_* */

#define POLL_MS 20

typedef struct {
    const char *run_dir;
    sb_settings config;
    char *config_text;
    char teacher[SB_TEACHER_MARK]; /* of its file; "": there is none */
    sb_guides guides;
    sb_images images; /* none where the method asks for none */
    sb_device *device;
    sb_step *step;
    sb_control *control;
    sb_layout layout;
    sb_ring rings[SB_VIEWS_MAX]; /* of the layout's classes */
    uint32_t reader;             /* incarnation under which slots are held */
    int64_t number;              /* the step in work = steps finished */
    int64_t until;               /* the step before which the views keep their sizes */
    int part;                    /* of its batches, the one in work */
    sb_status status;
    uint64_t waited_ns, begun_ns, recent_ns;
    uint32_t epoch; /* of the batch in work */
    bool again;     /* its supervisor has started another before it, which trained, and said what it is */
    sb_watch watch;
    double deviation, rank; /* of the embeddings at the last look */
    double leak_gap;        /* of the step in work; NAN: it is not looked at */
    sb_publisher publisher;
    sb_memory_limits may; /* before this process took any */
    sb_shares_loaders loaders;
    float *embeddings; /* [views * batch, width] of the last step, host */
} train;

/* ---- the batch ----------------------------------------------------------------------------------------- */

static uint64_t sample_number(const train *t, int sample)
{
    const uint64_t batch = (uint64_t)t->number * (uint64_t)t->config.trainer.accumulate + (uint64_t)t->part;
    return batch * (uint64_t)t->config.trainer.batch + (uint64_t)sample;
}

static sb_spot spot_of(const train *t, int view, int sample)
{
    return sb_layout_spot(&t->layout, view, sample_number(t, sample));
}

/* Holds the slot of a view, if that lies in it or is held already. */
static bool hold(train *t, const sb_spot *p)
{
    sb_ring *ring = &t->rings[p->class];
    const sb_slot_word word = sb_ring_look(ring, p->slot);
    return word.generation == p->generation &&
           (word.state == SB_SLOT_READING ||
            (word.state == SB_SLOT_READY && sb_ring_acquire(ring, p->slot, p->generation, t->reader)));
}

/* Whether what lies in a slot that is held is the view that belongs there. */
static bool belongs(const train *t, const sb_slot_meta *meta, int view, int sample)
{
    const int size = t->layout.classes[t->layout.view[view].class].size;
    return meta->sample == sample_number(t, sample) && meta->view == (uint32_t)view && meta->width == size &&
           meta->height == size && meta->channels == t->config.data.channels;
}

static int fetch(void *context, int view, int sample, const uint8_t **pixels)
{
    train *t = context;
    const sb_spot p = spot_of(t, view, sample);
    sb_ring *ring = &t->rings[p.class];
    uint64_t begin = 0;
    for (;;) {
        if (sb_stop_requested())
            return 1;
        if (hold(t, &p))
            break;
        sb_slot_word word = sb_ring_look(ring, p.slot);
        if (word.generation != p.generation)
            return sb_fail("slot %" PRIu32 " of the view ring is at generation %" PRIu32
                           ", expected %" PRIu32,
                           p.slot, word.generation, p.generation);
        if (begin == 0)
            begin = sb_now();
        if (sb_control_wait(t->control, POLL_MS) != 0)
            return -1;
    }
    if (begin != 0)
        t->waited_ns += sb_now() - begin;
    const sb_slot_meta *meta = sb_ring_meta(ring, p.slot);
    if (!belongs(t, meta, view, sample))
        return sb_fail("augment put view %" PRIu32 " of sample %" PRIu64
                       " (%d x %d x %d) where view %d of sample %" PRIu64 " belongs",
                       meta->view, meta->sample, (int)meta->width, (int)meta->height, (int)meta->channels,
                       view, sample_number(t, sample));
    *pixels = sb_ring_data(ring, p.slot);
    return 0;
}

/* Of the next batch, whose samples go on where this one's end. What does not belong where it lies is not
 * there yet: `fetch` says so when its turn comes, and this step is not lost. */
static int fetch_next(void *context, int view, int sample, const uint8_t **pixels)
{
    train *t = context;
    const int further = t->config.trainer.batch + sample;
    const sb_spot p = spot_of(t, view, further);
    sb_ring *ring = &t->rings[p.class];
    if (t->number + 1 == t->until && t->part + 1 == t->config.trainer.accumulate)
        return 1;
    if (!hold(t, &p) || !belongs(t, sb_ring_meta(ring, p.slot), view, further))
        return 1;
    *pixels = sb_ring_data(ring, p.slot);
    return 0;
}

static const sb_slot_meta *meta_of(train *t, int sample)
{
    const sb_spot p = spot_of(t, 0, sample);
    return sb_ring_meta(&t->rings[p.class], p.slot);
}

static int say_places(void *context, sb_square *places)
{
    train *t = context;
    for (int i = 0; i < t->config.trainer.batch; i++) {
        const sb_slot_meta *m = meta_of(t, i);
        places[i] = (sb_square){ (int32_t)m->file, m->left, m->top, m->side };
    }
    return 0;
}

static int number_images(void *context, int32_t *index)
{
    train *t = context;
    for (int i = 0; i < t->config.trainer.batch; i++)
        if ((index[i] = sb_images_number(&t->images, meta_of(t, i))) < 0)
            return -1;
    return 0;
}

static int say_guide(void *context, int guide, float *said)
{
    train *t = context;
    for (int i = 0; i < t->config.trainer.batch; i++) {
        const uint32_t image = meta_of(t, i)->image;
        if (image >= t->guides.rows)
            return sb_fail("a tile is of image %" PRIu32 ", of %" PRIu32 " in the index", image,
                           t->guides.rows);
        said[i] = t->guides.columns[guide].values[image];
    }
    return 0;
}

/* ---- for evaluators ------------------------------------------------------------------------------------ */

static int publish_embeddings(train *t)
{
    int width, batch = t->config.trainer.batch;
    for (int view = 0; view < t->config.view_count; view++) {
        const float *device = sb_step_embeddings(t->step, view, &width);
        size_t floats = (size_t)batch * (size_t)width;
        if (t->device->copy(t->device, SB_STREAM_COMPUTE, t->embeddings + (size_t)view * floats, device,
                            floats * sizeof(float), SB_TO_HOST) != 0)
            return -1;
    }
    if (t->device->wait(t->device, SB_STREAM_COMPUTE) != 0)
        return -1;
    for (int view = 0; view < t->config.view_count; view++) {
        for (int i = 0; i < batch; i++) {
            const sb_slot_meta *m = meta_of(t, i);
            const sb_embedding_head head = { .step = t->number + 1,
                                             .epoch = m->epoch,
                                             .position = m->position,
                                             .view = (uint32_t)view,
                                             .image = m->image,
                                             .left = m->left,
                                             .top = m->top,
                                             .side = m->side,
                                             .label = m->label,
                                             .width = (uint32_t)width };
            if (sb_publish_embedding(&t->publisher, &head,
                                     t->embeddings +
                                         ((size_t)view * (size_t)batch + (size_t)i) * (size_t)width) != 0)
                return -1;
        }
    }
    return 0;
}

/* Once the batch has ended on the device, too: until then it may be uploading views. */
static int release_batch(train *t)
{
    if (t->device->wait(t->device, SB_STREAM_COMPUTE) != 0)
        return -1;
    for (int view = 0; view < t->config.view_count; view++) {
        for (int i = 0; i < t->config.trainer.batch; i++) {
            const sb_spot p = spot_of(t, view, i);
            if (!sb_ring_release(&t->rings[p.class], p.slot, p.generation, t->reader))
                return sb_fail("slot %" PRIu32 " of the view ring was not held", p.slot);
        }
    }
    return 0;
}

/* ---- checkpoints --------------------------------------------------------------------------------------- */

static int publish_weights(train *t)
{
    return sb_publish_weights(&t->publisher, t->device, t->number, sb_step_section(t->step));
}

/* All that a checkpoint has, and which teacher it belongs to. */
static sb_checkpoint_view kept(const train *t)
{
    sb_checkpoint_view view = sb_step_kept(t->step, t->number, t->config_text);
    view.teacher = t->teacher[0] ? t->teacher : NULL;
    return view;
}

static int save(train *t)
{
    const sb_checkpoint_view view = kept(t);
    return sb_checkpoint_save(t->run_dir, &view, t->config.trainer.checkpoint_keep);
}

/* The teacher's weights, where the method has one. */
static int take_teacher(train *t)
{
    if (t->config.method->teacher != SB_TEACHER_FILE)
        return 0;
    const sb_checkpoint_view view = sb_step_teacher(t->step);
    char *report;
    if (sb_teacher_take(&view, &t->config, &report, t->teacher) != 0)
        return -1;
    sb_note("teacher: %s: %s", t->config.teacher.file, report);
    free(report);
    return 0;
}

/* Weights of the file that `init` names, if it names one. */
static int take_init(const train *t, const sb_checkpoint_view *view)
{
    const sb_settings *c = &t->config;
    char *report;
    if (c->start.init[0] == '\0')
        return sb_encoder_norm_of(c) == SB_ENCODER_FROZEN
                   ? sb_fail(
                         "encoder.norm = frozen keeps the statistics of a network that was trained before: "
                         "init=FILE names it")
                   : 0;
    if (sb_init_take(view, c->start.init, c->continuing.enabled ? sb_step_backbone(t->step) : NULL, false,
                     &report) != 0)
        return sb_context("init");
    sb_note("init: %s: %s", c->start.init, report);
    free(report);
    return 0;
}

/* What the run starts from: what it was given already, if it is started again before its first checkpoint. */
static int take_given(const train *t, const sb_checkpoint_view *view)
{
    if (t->config.start.init[0] == '\0')
        return take_init(t, view);
    const int found = sb_checkpoint_load_given(t->run_dir, view);
    if (found != 0)
        return found < 0 ? -1 : 0;
    return take_init(t, view) != 0 ? -1 : sb_checkpoint_keep_given(t->run_dir, view);
}

/* From the newest checkpoint; else from `init`; else as initialised. */
static int restore(train *t)
{
    if (take_teacher(t) != 0 || sb_checkpoint_drop_held(t->run_dir) != 0)
        return -1;
    sb_checkpoint_view view = kept(t);
    int found = sb_checkpoint_load_latest(t->run_dir, &view);
    if (found < 0)
        return -1;
    if (found == 0 && take_given(t, &view) != 0)
        return -1;
    t->number = found ? view.step : 0;
    if (found)
        sb_note("resuming after step %" PRId64, t->number);
    if ((found ? sb_step_weights_changed(t->step) : sb_step_begin(t->step)) != 0)
        return -1;
    static const char *const logs[] = { "metrics.jsonl", "evaluation.jsonl", "alarms.jsonl" };
    for (size_t i = 0; i < sizeof logs / sizeof *logs; i++)
        if (sb_log_truncate(t->run_dir, logs[i], t->number) != 0)
            return -1;
    return sb_watch_begin(&t->watch, &t->config, t->run_dir);
}

/* ---- alarms -------------------------------------------------------------------------------------------- */

/* Whether the step that was finished last is one after which the embeddings are looked at. */
static bool looks(const train *t)
{
    const int every = t->config.trainer.look_every;
    return every > 0 && t->config.trainer.batch > 1 && t->number % every == 0;
}

/* Looks at the embeddings of the step that was finished last. */
static int look(train *t)
{
    int width, batch = t->config.trainer.batch;
    const int rows = batch < SB_COLLAPSE_ROWS ? batch : SB_COLLAPSE_ROWS;
    const float *device = sb_step_embeddings(t->step, 0, &width);
    if (t->device->copy(t->device, SB_STREAM_COMPUTE, t->embeddings, device,
                        (size_t)rows * (size_t)width * sizeof(float), SB_TO_HOST) != 0 ||
        t->device->wait(t->device, SB_STREAM_COMPUTE) != 0)
        return -1;
    return sb_collapse_measure(t->embeddings, rows, width, &t->deviation, &t->rank);
}

/* Raises what the step that was finished last gives reason for. 1: the run is to stop; 0; -1. */
static int raise_alarms(train *t, const sb_step_metrics *m)
{
    sb_alarm alarms[SB_WATCH_ALARMS];
    const int count = sb_watch_step(&t->watch, m, alarms);
    for (int i = 0; i < count; i++)
        if (sb_alarm_raise(t->run_dir, &alarms[i]) != 0)
            return -1;
    return count > 0 && t->config.trainer.on_alarm == SB_ALARM_STOP;
}

/* ---- the loop ------------------------------------------------------------------------------------------ */

/* What augment makes next, should it join now. Behind the last step of these sizes it is that step's first
 * sample, which is there already: where a sample lies follows from the sizes of its step, and these rings are
 * of this one's. */
static uint64_t next_sample(const train *t)
{
    const uint64_t step = (uint64_t)t->config.trainer.batch * (uint64_t)t->config.trainer.accumulate;
    return step * (uint64_t)(t->number < t->until ? t->number : t->until - 1);
}

/* In steps like the last one: those with larger views take longer. */
static double steps_left(const train *t)
{
    const sb_view_keys *views = t->config.views;
    const int count = t->config.view_count;
    const int64_t steps = t->config.trainer.steps;
    double step = 0;
    for (int v = 0; v < count; v++)
        step += (double)views[v].side * views[v].side;
    return sb_view_area(views, count, t->number, steps) / step;
}

/* 1: an alarm is to stop the run; 0; -1. */
static int report(train *t, double loss, double lr, bool skipped, uint64_t step_ns)
{
    const sb_step_scale *scale = sb_step_scale_of(t->step);
    const double samples = (double)t->config.trainer.batch * t->config.trainer.accumulate;
    double rate = step_ns ? samples * 1e9 / (double)step_ns : 0;
    sb_status *s = &t->status;
    s->images_per_second = s->step == 0 || s->images_per_second == 0
                               ? rate
                               : 0.9 * s->images_per_second + 0.1 * rate;
    s->step = t->number;
    s->loss = loss;
    s->eta_s = s->images_per_second > 0 ? steps_left(t) * samples / s->images_per_second : 0;
    uint64_t total = sb_now() - t->begun_ns;
    double waited = total ? (double)t->waited_ns / (double)total : 0;
    sb_step_metrics m = { .step = t->number,
                          .epoch = t->epoch,
                          .loss = loss,
                          .lr = lr,
                          .backbone_lr = lr * sb_schedule_backbone(&t->config.continuing, t->number - 1),
                          .continued = t->config.continuing.enabled,
                          .images_per_second = rate,
                          .waited = waited,
                          .gradient_norm = sb_step_gradient_norm(t->step),
                          .scale = scale ? (double)scale->factor : 0,
                          .skipped = skipped,
                          .looked = looks(t),
                          .deviation = t->deviation,
                          .rank = t->rank,
                          .leak = t->leak_gap };
    for (int i = 0; i < t->config.data.guide_count; i++) {
        const sb_guide_key *g = &t->config.data.guides[i];
        if (g->weight == 0)
            continue;
        m.guides[m.guide_count] = g->column;
        m.guide_losses[m.guide_count] = sb_step_guide_loss(t->step, m.guide_count);
        m.guide_count++;
    }
    if (sb_metrics_append(t->run_dir, &m) != 0)
        return -1;
    sb_control_progress(t->control, next_sample(t), s, t->waited_ns, total);
    return raise_alarms(t, &m);
}

/* The first batch's loss with other groups of views in a norm; NAN where this step has no look at it. 0; 1:
 * asked to stop; -1. */
static int regroup(train *t, const sb_step_source *source, double *loss)
{
    const int every = t->config.trainer.leak_every;
    *loss = NAN;
    return every > 0 && (t->number + 1) % every == 0 && sb_step_regroups(t->step)
               ? sb_step_regrouped(t->step, t->number, source, loss)
               : 0;
}

/* The gradient of a step, over its batches, and the mean of their losses. The slots of the last batch are
 * still held. 0; 1: asked to stop; -1. */
static int compute(train *t, const sb_step_source *source, double *loss)
{
    const int parts = t->config.trainer.accumulate;
    double regrouped;
    *loss = 0;
    t->part = 0;
    int rc = regroup(t, source, &regrouped);
    if (rc != 0)
        return rc;
    for (; t->part < parts; t->part++) {
        double one;
        if (sb_stop_requested()) /* nobody else asks where the whole batch was uploaded ahead */
            return 1;
        rc = sb_step_gradient(t->step, t->number, t->part, source, &one);
        if (rc != 0)
            return rc;
        t->epoch = meta_of(t, 0)->epoch;
        if (t->part == 0)
            t->leak_gap = regrouped - one;
        *loss += one / parts;
        if (t->part == parts - 1)
            break;
        if (release_batch(t) != 0)
            return -1;
    }
    return 0;
}

/* As sb_step_commit. */
static int commit(train *t, double lr)
{
    const int rc = sb_step_commit(t->step, t->number, lr);
    if (rc < 0)
        return sb_context("step %" PRId64, t->number + 1);
    if (rc > 0)
        sb_note("step %" PRId64 " is skipped: a gradient is not finite in f16; the loss' scale is now %g",
                t->number + 1, (double)sb_step_scale_of(t->step)->factor);
    return rc;
}

static sb_train_end run_steps(train *t)
{
    const sb_step_source source = { .context = t,
                                    .fetch = fetch,
                                    .next = fetch_next,
                                    .places = say_places,
                                    .images = number_images,
                                    .guide = say_guide };
    int64_t saved = t->number;
    int rc = 0, alarmed = 0;
    t->begun_ns = sb_now();
    for (bool first = true; t->number < t->until && !alarmed; first = false) {
        uint64_t begin = sb_now();
        double loss, lr = sb_schedule_lr(&t->config.optimiser, &t->config.trainer, t->number);
        rc = compute(t, &source, &loss);
        if (rc != 0)
            break;
        if (!isfinite(loss))
            return sb_fail(
                "the loss of step %" PRId64 " is %g: lower optimiser.lr or raise optimiser.warmup%s",
                t->number + 1, loss,
                sb_step_scale_of(t->step) ? ", or set trainer.precision=bf16: f16 ends at 65504" : "");
        const int skipped = commit(t, lr);
        if (skipped < 0 || (sb_control_readers(t->control) > 0 && publish_embeddings(t) != 0) ||
            release_batch(t) != 0)
            return SB_TRAIN_FAILED;
        t->number++;
        t->part = 0;
        if (looks(t) && look(t) != 0)
            return SB_TRAIN_FAILED;
        if (t->number % t->config.evaluate.snapshot_every == 0 && publish_weights(t) != 0)
            return SB_TRAIN_FAILED;
        uint64_t end = sb_now();
        if (first) { /* filling the pipeline is no waiting */
            t->begun_ns = end;
            t->waited_ns = 0;
        }
        alarmed = report(t, loss, lr, skipped, end - begin);
        if (alarmed < 0)
            return SB_TRAIN_FAILED;
        if (t->number % t->config.trainer.checkpoint_every == 0 || t->number == t->config.trainer.steps) {
            if (save(t) != 0)
                return SB_TRAIN_FAILED;
            saved = t->number;
        }
    }
    if (rc < 0)
        return SB_TRAIN_FAILED;
    if (saved != t->number && save(t) != 0)
        return SB_TRAIN_FAILED;
    if (t->number == t->config.trainer.steps)
        return SB_TRAIN_FINISHED;
    if (alarmed)
        return SB_TRAIN_ALARM;
    if (rc == 1 || sb_stop_requested())
        return SB_TRAIN_STOPPED;
    sb_note("step %" PRId64 " of %" PRId64
            ": views change their size here; the trainer starts again with the next",
            t->number, t->config.trainer.steps);
    return SB_TRAIN_RESIZED;
}

/* ---- start and end ------------------------------------------------------------------------------------- */

void sb_train_layout(sb_layout *out, const sb_settings *c)
{
    int sizes[SB_VIEWS_MAX];
    for (int v = 0; v < c->view_count; v++)
        sizes[v] = c->views[v].side;
    sb_layout_make(out, sizes, c->view_count, c->trainer.batch, c->trainer.chunk, c->data.channels);
}

int sb_train_needs(const sb_settings *c, size_t *device_bytes, size_t *shared)
{
    sb_device *device = NULL;
    sb_step *step = NULL;
    int rc = -1;
    if (sb_device_open(&device, c->common.device, c->cuda.plugin, c->trainer.threads) == 0)
        rc = sb_step_sketch(&step, device, c);
    sb_step_budget b = { 0 };
    if (rc == 0)
        rc = sb_step_size(step, c->trainer.chunk, c->trainer.recompute, &b);
    *device_bytes = b.weights + b.packed + b.activations + b.batch;
    sb_step_destroy(&step);
    sb_device_close(&device);
    sb_layout layout;
    sb_train_layout(&layout, c);
    *shared = 0;
    for (int i = 0; i < layout.class_count; i++)
        *shared += (size_t)layout.classes[i].slots * layout.classes[i].bytes;
    return rc;
}

static int make_rings(train *t)
{
    sb_train_layout(&t->layout, &t->config);
    for (int i = 0; i < t->layout.class_count; i++) {
        const sb_layout_class *k = &t->layout.classes[i];
        sb_ring *ring = &t->rings[i];
        uint64_t first = sb_layout_first(&t->layout, i, sample_number(t, 0));
        if (sb_ring_create(ring, SB_SEGMENT_VIEWS, k->slots, k->bytes, first) != 0)
            return sb_context("view ring for a batch of %d (trainer.batch) views of %d pixels",
                              t->config.trainer.batch, k->size);
        sb_device_pin(t->device, ring->segment.mapping, ring->segment.ticket.bytes);
    }
    int64_t reader = sb_ring_incarnation(&t->rings[0]);
    if (reader < 0)
        return -1;
    t->reader = (uint32_t)reader;
    return 0;
}

static void print_budget(const train *t)
{
    sb_step_budget b;
    sb_step_measure(t->step, &b);
    double mib = 1024.0 * 1024.0, rings = 0;
    for (int i = 0; i < t->layout.class_count; i++)
        rings += (double)t->rings[i].segment.ticket.bytes;
    const sb_precision precision = sb_step_precision(t->step);
    if (!t->again)
        sb_note("precision: %s: %s", sb_precision_name(precision), sb_precision_meaning(precision));
    sb_note("memory: weights %.0f MiB, packed %.0f MiB, activations of a chunk %.0f MiB, batch %.0f MiB, "
            "view rings %.0f MiB; "
            "%d chunk%s a batch",
            (double)b.weights / mib, (double)b.packed / mib, (double)b.activations / mib,
            (double)b.batch / mib, rings / mib, b.chunks, sb_plural((uint64_t)b.chunks));
}

/* Shared memory of a run: views, tiles, and what evaluators read. */
static size_t ring_bytes(const train *t)
{
    const size_t tile = (size_t)t->config.data.tile * (size_t)t->config.data.tile *
                        (size_t)t->config.data.channels;
    size_t bytes = tile * sb_layout_tiles(t->config.loader.slots, t->config.trainer.batch, tile) +
                   t->publisher.embeddings.segment.ticket.bytes + t->publisher.weights.segment.ticket.bytes;
    for (int i = 0; i < t->layout.class_count; i++)
        bytes += t->rings[i].segment.ticket.bytes;
    return bytes;
}

/* What is left for loaders. */
static int share_memory(train *t)
{
    sb_step_budget b;
    sb_index index;
    if (sb_index_open(&index, t->run_dir, &t->config.data) != 0)
        return -1;
    sb_step_measure(t->step, &b);
    const size_t own = sb_shares_process(t->device->host_memory),
                 step = b.weights + b.packed + b.activations + b.batch;
    const sb_shares shares = { .may = t->may,
                               .trainer = own + (t->device->host_memory ? step : 0),
                               .rings = ring_bytes(t),
                               .augment = own,
                               .loaders = t->config.run.loaders,
                               .window = t->config.data.window,
                               .again = t->again,
                               .cache = (size_t)t->config.loader.cache_mb << 20 };
    const int rc = sb_shares_divide(&shares, &index, t->config.data.channels, &t->loaders);
    sb_index_free(&index);
    return rc;
}

/* Device, networks, memory: all that follows from the configuration alone. As sb_step_create. */
static int make_step(train *t)
{
    int rc = sb_device_open(&t->device, t->config.common.device, t->config.cuda.plugin,
                            t->config.trainer.threads);
    if (rc == 0)
        rc = sb_step_create(&t->step, t->device, &t->config);
    if (rc == 0)
        sb_device_planned(t->device);
    return rc;
}

/* The images of the run's data set, where the method keeps something for each. */
static int count_images(train *t)
{
    if (!t->config.method->images)
        return 0;
    if (sb_images_read(&t->images, t->run_dir, &t->config.data) != 0)
        return -1;
    t->config.images = t->images.count;
    return 0;
}

/* What columns say of the images, and how many classes each has. */
static int read_guides(train *t)
{
    if (sb_guides_read(&t->guides, t->run_dir, &t->config.data) != 0)
        return -1;
    for (int i = 0; i < t->guides.count; i++)
        t->config.guides[i].classes = t->guides.columns[i].classes;
    return 0;
}

/* Whether it can go on from where it is, with its configuration as it is now. */
static int open_run(train *t)
{
    if (sb_settings_of_run(&t->config, t->run_dir, &t->config_text) != 0 ||
        sb_rundir_lock(t->run_dir, "trainer.lock") < 0)
        return -1;
    return sb_resume_check(t->run_dir, &t->number);
}

static bool sizes_change(const train *t)
{
    bool change = false;
    for (int v = 0; v < t->config.view_count; v++)
        change = change || t->config.views[v].size.count > 1;
    return change;
}

/* Gives the views the sizes that they have after the newest checkpoint. */
static void set_sizes(train *t)
{
    t->until = sb_view_sides_at(t->config.views, t->config.view_count, t->number, t->config.trainer.steps);
}

/* The checkpoint that was restored asks for the sizes that were set: it need not be the newest, if that is
 * of another network. */
static int check_sizes(train *t)
{
    sb_view_keys views[SB_VIEWS_MAX];
    const int count = t->config.view_count;
    memcpy(views, t->config.views, (size_t)count * sizeof *views);
    t->until = sb_view_sides_at(views, count, t->number, t->config.trainer.steps);
    for (int v = 0; v < count; v++)
        if (views[v].side != t->config.views[v].side)
            return sb_fail(
                "views.%d.size: it is %d after step %" PRId64
                ", the newest checkpoint that can be used, and %d after the newest: move that away "
                "from %s/checkpoints",
                v, views[v].side, t->number, t->config.views[v].side, t->run_dir);
    for (int v = 0; v < count && sizes_change(t); v++)
        if (v == 0 || views[v].side != views[v - 1].side)
            sb_note("views.%d.size = %d until step %" PRId64 " of %" PRId64, v, views[v].side, t->until,
                    t->config.trainer.steps);
    return 0;
}

/* As sb_step_create. */
static int setup(train *t)
{
    sb_status before;
    t->may = sb_shares_look();
    t->again = sb_status_read(t->run_dir, &before) == 0; /* its supervisor removed it before the first */
    set_sizes(t);
    int rc = count_images(t) != 0 || read_guides(t) != 0 ? -1 : make_step(t);
    if (rc != 0)
        return rc;
    if (!t->again || strcmp(before.device, t->device->description) != 0)
        sb_device_introduce(t->device);
    int width, rows = t->config.view_count * t->config.trainer.batch;
    sb_step_embeddings(t->step, 0, &width);
    t->embeddings = sb_zeroed((size_t)rows * (size_t)width, sizeof *t->embeddings, "a batch's embeddings");
    if (!t->embeddings)
        return -1;
    sb_device_pin(t->device, t->embeddings, (size_t)rows * (size_t)width * sizeof *t->embeddings);
    if (restore(t) != 0 || check_sizes(t) != 0 || make_rings(t) != 0 ||
        sb_publisher_create(&t->publisher, sb_step_backbone(t->step), t->config_text, rows, width) != 0 ||
        publish_weights(t) != 0)
        return -1;
    print_budget(t);
    if (share_memory(t) != 0)
        return -1;
    if (!t->again)
        sb_remarks(&t->config, sb_step_method(t->step));
    t->status = (sb_status){ .step = t->number,
                             .steps = t->config.trainer.steps,
                             .loaders_most = t->loaders.most,
                             .phase = "training" };
    snprintf(t->status.device, sizeof t->status.device, "%s", t->device->description);
    sb_ring *rings[SB_VIEWS_MAX];
    for (int i = 0; i < t->layout.class_count; i++)
        rings[i] = &t->rings[i];
    const sb_segment_ticket broadcasts[] = { t->publisher.embeddings.segment.ticket,
                                             t->publisher.weights.segment.ticket };
    return sb_control_start(&t->control, t->run_dir, rings, t->layout.class_count, broadcasts, 2,
                            sample_number(t, 0), t->loaders.bytes, &t->status);
}

/* The device before the host memory that it may be copying from and to. */
static void teardown(train *t)
{
    sb_step_destroy(&t->step);
    sb_device_close(&t->device);
    for (int i = 0; i < t->layout.class_count; i++)
        sb_ring_close(&t->rings[i]);
    sb_publisher_close(&t->publisher);
    sb_images_free(&t->images);
    sb_guides_free(&t->guides);
    free(t->embeddings);
    free(t->config_text);
}

int sb_train_check(const sb_settings *config)
{
    train t = { .config = *config };
    int rc = make_step(&t);
    if (rc == 0)
        rc = take_teacher(&t);
    if (rc == 0) {
        const sb_checkpoint_view view = kept(&t);
        rc = take_init(&t, &view);
    }
    teardown(&t);
    return rc;
}

static int finish(train *t)
{
    char backbone[PATH_MAX];
    if (sb_rundir_path(backbone, t->run_dir, "backbone.safetensors") != 0)
        return -1;
    return sb_export_backbone(t->run_dir, false, backbone);
}

sb_train_end sb_train(const char *run_dir)
{
    train t = { .run_dir = run_dir };
    sb_train_end end = SB_TRAIN_FAILED;
    const bool opened = open_run(&t) == 0;
    if (opened && t.number == t.config.trainer.steps) { /* it was killed behind its last checkpoint */
        if (sb_finish(run_dir, t.number) == 0)
            end = SB_TRAIN_FINISHED;
    } else if (opened) {
        const int rc = setup(&t);
        end = rc == 0 ? run_steps(&t) : rc == SB_DEVICE_FULL ? SB_TRAIN_NO_ROOM : SB_TRAIN_FAILED;
        if (end == SB_TRAIN_FINISHED && finish(&t) != 0)
            end = SB_TRAIN_FAILED;
    }
    sb_control_stop(&t.control, end == SB_TRAIN_FINISHED                           ? "finished"
                                : end == SB_TRAIN_STOPPED || end == SB_TRAIN_ALARM ? "stopped"
                                : end == SB_TRAIN_RESIZED                          ? "training"
                                                                                   : "failed");
    teardown(&t);
    return end;
}
