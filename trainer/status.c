/* status.c: see status.h. */
#include "trainer/status.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/error.h"
#include "proto/jsonl.h"
#include "proto/rundir.h"

int sb_status_write(const char *run_dir, const sb_status *s)
{
    char path[PATH_MAX], temporary[PATH_MAX];
    if (sb_rundir_path(path, run_dir, "status.json") != 0 ||
        sb_rundir_path(temporary, run_dir, "status.json.tmp") != 0)
        return -1;
    json_t *root = json_pack(
        "{s:s, s:s, s:I, s:I, s:f, s:f, s:f, s:f, s:s, s:i, s:i, s:I, s:I, s:f, s:f, s:f, s:s, s:I, s:I, "
        "s:I, s:I}",
        "phase", s->phase, "reason", s->reason, "step", (json_int_t)s->step, "steps", (json_int_t)s->steps,
        "loss", s->loss, "images_per_second", s->images_per_second, "eta_s", s->eta_s, "waited", s->waited,
        "bottleneck", s->bottleneck, "loaders", s->loaders, "loaders_most", s->loaders_most, "quarantined",
        (json_int_t)s->quarantined, "away", (json_int_t)s->away, "read", s->read, "decode", s->decode,
        "augment", s->augment, "device", s->device, "tiles_ready", (json_int_t)s->tiles_ready, "tiles",
        (json_int_t)s->tiles, "views_ready", (json_int_t)s->views_ready, "views", (json_int_t)s->views);
    if (!root)
        return sb_fail("status.json: a value is not a number");
    int rc = json_dump_file(root, temporary, JSON_INDENT(1)) != 0 ? sb_fail_errno("writing %s", temporary)
                                                                  : 0;
    json_decref(root);
    if (rc == 0 && rename(temporary, path) != 0)
        rc = sb_fail_errno("renaming %s", temporary);
    if (rc != 0)
        unlink(temporary);
    return rc;
}

static bool is_queue(json_int_t ready, json_int_t room)
{
    return ready >= 0 && ready <= room && room <= UINT32_MAX;
}

int sb_status_read(const char *run_dir, sb_status *s)
{
    char path[PATH_MAX];
    json_error_t error;
    const char *phase, *reason = "", *bottleneck, *device = "";
    json_int_t step, steps, quarantined, away = 0, tiles_ready = 0, tiles = 0, views_ready = 0, views = 0;
    if (sb_rundir_path(path, run_dir, "status.json") != 0)
        return -1;
    if (access(path, R_OK) != 0)
        return sb_fail_errno("%s: no status (a run writes one when its training begins)", path);
    json_t *root = json_load_file(path, 0, &error);
    *s = (sb_status){ 0 };
    if (!root ||
        json_unpack_ex(root, &error, 0,
                       "{s:s, s?:s, s:I, s:I, s:F, s:F, s:F, s:F, s:s, s:i, s?:i, s:I, s?:I, s?:F, s?:F, "
                       "s?:F, s?:s, s?:I, s?:I, s?:I, s?:I}",
                       "phase", &phase, "reason", &reason, "step", &step, "steps", &steps, "loss", &s->loss,
                       "images_per_second", &s->images_per_second, "eta_s", &s->eta_s, "waited", &s->waited,
                       "bottleneck", &bottleneck, "loaders", &s->loaders, "loaders_most", &s->loaders_most,
                       "quarantined", &quarantined, "away", &away, "read", &s->read, "decode", &s->decode,
                       "augment", &s->augment, "device", &device, "tiles_ready", &tiles_ready, "tiles",
                       &tiles, "views_ready", &views_ready, "views", &views) != 0) {
        json_decref(root);
        return sb_fail("%s: %s", path, error.text);
    }
    bool sound = step >= 0 && step <= steps && s->loaders >= 0 && s->loaders_most >= 0 && quarantined >= 0 &&
                 quarantined <= UINT32_MAX && away >= 0 && away <= UINT32_MAX &&
                 is_queue(tiles_ready, tiles) && is_queue(views_ready, views);
    s->step = step;
    s->steps = steps;
    s->quarantined = (uint32_t)quarantined;
    s->away = (uint32_t)away;
    s->tiles_ready = (uint32_t)tiles_ready;
    s->tiles = (uint32_t)tiles;
    s->views_ready = (uint32_t)views_ready;
    s->views = (uint32_t)views;
    snprintf(s->phase, sizeof s->phase, "%s", phase);
    snprintf(s->bottleneck, sizeof s->bottleneck, "%s", bottleneck);
    snprintf(s->reason, sizeof s->reason, "%s", reason);
    snprintf(s->device, sizeof s->device, "%s", device);
    sb_text_clean(s->device);
    sb_text_clean(s->reason);
    sb_text_clean(s->phase);
    sb_text_clean(s->bottleneck);
    json_decref(root);
    if (sb_alarm_last(run_dir, &s->alarm) != 0)
        return -1;
    return sound
               ? 0
               : sb_fail("%s: step %lld of %lld, %d loaders, %lld files quarantined, %lld of %lld tiles, "
                         "%lld of %lld views: these are no counts",
                         path, (long long)step, (long long)steps, s->loaders, (long long)quarantined,
                         (long long)tiles_ready, (long long)tiles, (long long)views_ready, (long long)views);
}

/* "  ETA 1:02:03" into out. */
static void write_eta(double seconds, char *out, size_t bytes)
{
    const long eta = seconds > 0 && seconds < 1e9 ? (long)(seconds + 0.5) : 0;
    if (eta >= 3600)
        snprintf(out, bytes, "  ETA %ld:%02ld:%02ld", eta / 3600, eta / 60 % 60, eta % 60);
    else
        snprintf(out, bytes, "  ETA %ld:%02ld", eta / 60, eta % 60);
}

int sb_status_line(const sb_status *s, char *out, size_t bytes)
{
    char eta[32] = "", alarm[80] = "";
    const bool trains = strcmp(s->phase, "training") == 0;
    if (trains)
        write_eta(s->eta_s, eta, sizeof eta);
    if (s->alarm.name[0])
        snprintf(alarm, sizeof alarm, "  alarm: %s at step %" PRId64, s->alarm.name, s->alarm.step);
    int used = s->images_per_second == 0 && s->step < s->steps && trains
                   ? snprintf(out, bytes, "step %" PRId64 "/%" PRId64 "%s  the first batch is being made",
                              s->step, s->steps, alarm)
                   : snprintf(out, bytes,
                              "step %" PRId64 "/%" PRId64
                              "%s  loss %.4f  %.1f images/s%s  waited %.0f %%  slowest: %s",
                              s->step, s->steps, alarm, s->loss, s->images_per_second, eta, 100 * s->waited,
                              s->bottleneck);
    if (used > 0 && (size_t)used < bytes && s->quarantined > 0)
        used += snprintf(out + used, bytes - (size_t)used, "  quarantined: %" PRIu32, s->quarantined);
    if (used > 0 && (size_t)used < bytes && s->away > 0)
        used += snprintf(out + used, bytes - (size_t)used, "  cannot be read now: %" PRIu32, s->away);
    return used > 0 && (size_t)used < bytes ? 0 : sb_fail("the status line does not fit %zu bytes", bytes);
}

void sb_status_way_on(const char *run_dir, char *out, size_t bytes)
{
    int64_t *steps = NULL;
    if (sb_rundir_checkpoints(run_dir, &steps) > 0)
        snprintf(out, bytes, "go on from step %" PRId64 " with: ./run resume %s", steps[0], run_dir);
    else
        snprintf(out, bytes, "no step is saved: begin again with: ./run resume %s", run_dir);
    free(steps);
}

int sb_metrics_append(const char *run_dir, const sb_step_metrics *m)
{
    char path[PATH_MAX];
    if (sb_rundir_path(path, run_dir, "metrics.jsonl") != 0)
        return -1;
    json_t *root = json_pack("{s:I, s:I, s:f, s:f, s:f, s:f}", "step", (json_int_t)m->step, "epoch",
                             (json_int_t)m->epoch, "loss", m->loss, "lr", m->lr, "images_per_second",
                             m->images_per_second, "waited", m->waited);
    if (root && m->continued)
        json_object_set_new(root, "backbone_lr", json_real(m->backbone_lr));
    if (root && !m->skipped)
        json_object_set_new(root, "gradient_norm", json_real(m->gradient_norm));
    if (root && m->scale > 0)
        json_object_update_new(root, json_pack("{s:f, s:b}", "scale", m->scale, "skipped", m->skipped));
    if (root && m->looked)
        json_object_update_new(root, json_pack("{s:f, s:f}", "deviation", m->deviation, "rank", m->rank));
    if (root && !isnan(m->leak))
        json_object_set_new(root, "leak", json_real(m->leak));
    json_t *guides = root && m->guide_count > 0 ? json_object() : NULL;
    for (int i = 0; guides && i < m->guide_count; i++)
        json_object_set_new(guides, m->guides[i], json_real(m->guide_losses[i]));
    if (guides)
        json_object_set_new(root, "guides", guides);
    char *line = root ? json_dumps(root, JSON_COMPACT) : NULL;
    int rc = line ? sb_file_append_line(path, line)
                  : sb_fail("metrics of step %" PRId64 ": a value is not a number", m->step);
    free(line);
    json_decref(root);
    return rc;
}

sb_step_metrics sb_metrics_of(const json_t *line)
{
    return (sb_step_metrics){ .step = json_integer_value(json_object_get(line, "step")),
                              .epoch = (uint32_t)json_integer_value(json_object_get(line, "epoch")),
                              .loss = sb_jsonl_number(line, "loss"),
                              .lr = sb_jsonl_number(line, "lr"),
                              .images_per_second = sb_jsonl_number(line, "images_per_second"),
                              .waited = sb_jsonl_number(line, "waited"),
                              .gradient_norm = sb_jsonl_number(line, "gradient_norm"),
                              .skipped = json_is_true(json_object_get(line, "skipped")),
                              .looked = json_is_number(json_object_get(line, "deviation")),
                              .deviation = sb_jsonl_number(line, "deviation"),
                              .rank = sb_jsonl_number(line, "rank"),
                              .leak = sb_jsonl_number(line, "leak") };
}

static bool is_up_to(const void *context, const json_t *object)
{
    const json_t *step = json_object_get(object, "step");
    return json_is_integer(step) && json_integer_value(step) <= *(const int64_t *)context;
}

int sb_log_truncate(const char *run_dir, const char *name, int64_t step)
{
    return sb_jsonl_keep(run_dir, name, is_up_to, &step);
}
