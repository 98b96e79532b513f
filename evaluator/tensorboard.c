/* tensorboard.c: see tensorboard.h. */
#include "evaluator/tensorboard.h"

#include <errno.h>
#include <glib.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "evaluator/events.h"    /* sb_events_* */
#include "evaluator/findings.h"  /* sb_findings_* */
#include "evaluator/projector.h" /* sb_projector_write */
#include "evaluator/report.h"    /* sb_report_row, sb_report_row_name, SB_ROWS */
#include "evaluator/scalars.h"   /* sb_scalars_*, sb_scalar_thin */
#include "evaluator/sheet.h"     /* sb_sheet_base64_of, sb_sheet_size_of */
#include "proto/error.h"
#include "proto/jsonl.h"
#include "proto/rundir.h"

#define CONTACT_WIDTH 1000 /* pixels */

typedef struct {
    const char *run_dir;
    double time; /* of every record */
    sb_scalars training, row[SB_ROWS];
    json_t *findings; /* NULL: none */
    sb_npy features;
    sb_events_picture contact, tiles; /* JPEG; without bytes: none */
} board;

/* ---- what the run has ------------------------------------------------------------------------------------- */

static bool step_of(const json_t *line, int64_t *step)
{
    const json_t *value = json_object_get(line, "step");
    *step = json_integer_value(value);
    return json_is_integer(value);
}

static void take_step(void *context, const json_t *o)
{
    sb_scalars *training = context;
    int64_t step;
    if (!step_of(o, &step))
        return;
    sb_scalars_add_object(training, "training", step, o);
    sb_scalars_add_object(training, "guides", step, json_object_get(o, "guides"));
}

static void take_rows(board *b, const char *group, int64_t step, const json_t *rows)
{
    for (int row = 0; row < SB_ROWS; row++)
        sb_scalars_add_object(&b->row[row], group, step, json_object_get(rows, sb_report_row(row)));
}

static void take_evaluation(void *context, const json_t *o)
{
    board *b = context;
    int64_t step;
    const char *size;
    json_t *rows;
    if (!step_of(o, &step))
        return;
    take_rows(b, "evaluation", step, json_object_get(o, "rows"));
    json_object_foreach(json_object_get(o, "sizes"), size, rows)
    {
        char group[64];
        snprintf(group, sizeof group, "evaluation at %.16s pixels", size);
        take_rows(b, group, step, rows);
    }
    sb_scalars_add_object(&b->training, "embeddings", step, json_object_get(o, "embeddings"));
}

static int read_logs(board *b)
{
    struct stat config, metrics;
    char path[PATH_MAX];
    if (sb_rundir_path(path, b->run_dir, "config.yaml") != 0)
        return -1;
    if (stat(path, &config) != 0)
        return sb_fail_errno("%s is no run: %s", b->run_dir, path);
    if (sb_rundir_path(path, b->run_dir, "metrics.jsonl") != 0)
        return -1;
    const struct timespec changed = stat(path, &metrics) == 0 ? metrics.st_mtim : config.st_mtim;
    b->time = (double)changed.tv_sec + (double)changed.tv_nsec * 1e-9;
    if (sb_jsonl_read(b->run_dir, "metrics.jsonl", take_step, &b->training) != 0 ||
        sb_jsonl_read(b->run_dir, "evaluation.jsonl", take_evaluation, b) != 0)
        return -1;
    bool failed = b->training.failed;
    for (int row = 0; row < SB_ROWS; row++)
        failed = failed || b->row[row].failed;
    return failed ? -1 : 0;
}

/* text: a JPEG in base64. */
static int read_picture(sb_events_picture *out, const char *text)
{
    sb_events_picture p = { 0 };
    p.bytes = g_base64_decode(text, &p.count); /* of malloc, since GLib 2.46 */
    if (sb_sheet_size_of(p.bytes, p.count, &p.width, &p.height) != 0) {
        free(p.bytes);
        return -1;
    }
    *out = p;
    return 0;
}

static int read_contact(board *b)
{
    char path[PATH_MAX];
    if (sb_rundir_path(path, b->run_dir, "pictures/contact.png") != 0)
        return -1;
    if (access(path, F_OK) != 0)
        return 0;
    char *text = sb_sheet_base64_of(path, CONTACT_WIDTH);
    const int rc = text ? read_picture(&b->contact, text) : -1;
    free(text);
    return rc;
}

static int read_findings(board *b)
{
    if (sb_findings_read(b->run_dir, &b->findings) < 0 ||
        sb_findings_read_features(b->run_dir, &b->features) < 0)
        return -1;
    const char *atlas = json_string_value(json_object_get(b->findings, "atlas"));
    return !atlas || read_picture(&b->tiles, atlas) == 0 ? 0 : sb_context("the atlas of findings.json");
}

/* ---- what TensorBoard gets -------------------------------------------------------------------------------- */

static int make_folder(const char *path)
{
    return mkdir(path, 0777) != 0 && errno != EEXIST ? sb_fail_errno("making directory %s", path) : 0;
}

static int put_scalars(const board *b, FILE *f, sb_scalars *scalars)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < scalars->count; i++) {
        sb_scalar *s = &scalars->series[i];
        sb_scalar_thin(s);
        for (size_t p = 0; rc == 0 && p < s->count; p++)
            rc = sb_events_scalar(f, b->time, s->point[p].step, s->name, (float)s->point[p].value);
    }
    return rc;
}

/* What the network saw is the same at every step. */
static int put_pictures(const board *b, FILE *f)
{
    int64_t step = 0;
    if (b->contact.bytes && sb_events_image(f, b->time, 0, "pictures/contact", &b->contact) != 0)
        return -1;
    step_of(b->findings, &step);
    return b->tiles.bytes ? sb_events_image(f, b->time, step, "pictures/tiles", &b->tiles) : 0;
}

/* One of TensorBoard's runs. One that has nothing is written where it had something before. */
static int put_run(const board *b, const char *name, sb_scalars *scalars, bool pictures)
{
    char folder[PATH_MAX], *bytes = NULL;
    size_t count = 0;
    if (sb_rundir_path(folder, b->run_dir, "tensorboard/%s", name) != 0)
        return -1;
    if (scalars->count == 0 && !pictures && access(folder, F_OK) != 0)
        return 0;
    if (make_folder(folder) != 0)
        return -1;
    FILE *f = open_memstream(&bytes, &count);
    if (!f)
        return sb_fail_errno("no memory for TensorBoard's events");
    int rc = sb_events_start(f, b->time) != 0 || put_scalars(b, f, scalars) != 0 ||
                     (pictures && put_pictures(b, f) != 0)
                 ? -1
                 : 0;
    if (fclose(f) != 0)
        rc = sb_fail_errno("no memory for TensorBoard's events");
    if (rc == 0)
        rc = sb_events_replace(folder, bytes, count);
    free(bytes);
    return rc;
}

static int put_all(board *b)
{
    char folder[PATH_MAX];
    if (sb_rundir_path(folder, b->run_dir, "tensorboard") != 0 || make_folder(folder) != 0 ||
        put_run(b, "training", &b->training, true) != 0)
        return -1;
    for (int row = 0; row < SB_ROWS; row++)
        if (put_run(b, sb_report_row_name(row), &b->row[row], false) != 0)
            return -1;
    return 0;
}

static int put_projector(const board *b)
{
    char folder[PATH_MAX];
    return sb_rundir_path(folder, b->run_dir, "tensorboard/training") != 0
               ? -1
               : sb_projector_write(folder, b->findings, &b->features, &b->tiles);
}

int sb_tensorboard_write(const char *run_dir)
{
    board b = { .run_dir = run_dir };
    int rc = read_logs(&b);
    if (rc == 0 && read_contact(&b) != 0)
        sb_note("%s: TensorBoard does without what the network saw", sb_error());
    if (rc == 0 && read_findings(&b) != 0)
        sb_note("%s: TensorBoard does without what was found of single tiles", sb_error());
    if (rc == 0)
        rc = put_all(&b);
    if (rc == 0 && b.tiles.bytes && b.features.values && put_projector(&b) != 0)
        sb_note("%s: TensorBoard's projector stays as it was", sb_error());
    sb_scalars_free(&b.training);
    for (int row = 0; row < SB_ROWS; row++)
        sb_scalars_free(&b.row[row]);
    json_decref(b.findings);
    free(b.features.values);
    free(b.contact.bytes);
    free(b.tiles.bytes);
    return rc;
}
