/* report.c: see report.h. */
#include "evaluator/report.h"

#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/error.h"
#include "proto/outfile.h"
#include "proto/rundir.h"

static const struct {
    const char *name, *key;
} rows[SB_ROWS] = {
    [SB_ROW_CHANCE] = { "chance", "chance" },         [SB_ROW_COLOUR] = { "colour statistics", "colour" },
    [SB_ROW_PIXELS] = { "16 x 16 pixels", "pixels" }, [SB_ROW_UNTRAINED] = { "untrained", "untrained" },
    [SB_ROW_GIVEN] = { "as given", "given" },         [SB_ROW_SUPERVISED] = { "supervised", "supervised" },
    [SB_ROW_TRAINED] = { "trained", "trained" },
};

const char *sb_report_row(sb_row row) { return rows[row].key; }
const char *sb_report_row_name(sb_row row) { return rows[row].name; }

bool sb_report_has(const sb_report *r, sb_metric_id k) { return r->row[SB_ROW_TRAINED].value[k] != SB_LACKS; }

sb_metric_id sb_report_telling(const sb_report *r)
{
    sb_metric_id chosen = 0;
    for (sb_metric_id k = 0; k < SB_METRICS; k++)
        if (sb_report_has(r, k) && r->row[SB_ROW_CHANCE].value[k] < 1 &&
            sb_metrics[k]->tells > sb_metrics[chosen]->tells)
            chosen = k;
    return chosen;
}

static bool left_out(const sb_report *r, int row)
{
    return (row == SB_ROW_GIVEN && !r->given) || (row == SB_ROW_SUPERVISED && !r->supervised);
}

static bool is_shown(const sb_report *r, sb_metric_id k, sb_metric_place place)
{
    const sb_metric *m = sb_metrics[k];
    return sb_report_has(r, k) && (m->place == place || (m->place == SB_BOUND && place == SB_IN_TABLE));
}

/* The measures of a place, a column each; none: nothing. */
static void print_table(const sb_report *r, sb_metric_place place, const char *head)
{
    bool any = false;
    for (sb_metric_id k = 0; k < SB_METRICS; k++)
        any = any || is_shown(r, k, place);
    if (!any)
        return;
    printf("%s  %-18s", head, "");
    for (sb_metric_id k = 0; k < SB_METRICS; k++)
        if (is_shown(r, k, place))
            printf(" %10s", sb_metrics[k]->title);
    printf("\n");
    for (int row = 0; row < SB_ROWS; row++) {
        bool empty = true;
        for (sb_metric_id k = 0; k < SB_METRICS; k++)
            empty = empty && (!is_shown(r, k, place) || r->row[row].value[k] == SB_LACKS);
        if (empty || left_out(r, row))
            continue;
        printf("  %-18s", rows[row].name);
        for (sb_metric_id k = 0; k < SB_METRICS; k++) {
            const double value = r->row[row].value[k];
            if (!is_shown(r, k, place))
                continue;
            if (value == SB_LACKS)
                printf(" %10s", "");
            else if (sb_metrics[k]->share)
                printf(" %8.1f %%", 100 * value);
            else
                printf(" %10.3f", value);
        }
        printf("\n");
    }
}

/* The measure that tells most, a column for each size. */
static void print_sizes(const sb_report *r)
{
    const sb_metric_id k = sb_report_telling(r);
    int before = 0; /* of the others: smaller than the report's size */
    if (r->others == 0)
        return;
    while (before < r->others && r->other[before].size < r->size)
        before++;
    printf("  %s by the size of the views:\n  %-18s", sb_metrics[k]->title, "");
    for (int i = 0; i <= r->others; i++)
        printf(" %6d pix", i < before ? r->other[i].size : i == before ? r->size : r->other[i - 1].size);
    printf("\n");
    for (int row = 0; row < SB_ROWS; row++) {
        if (left_out(r, row) || r->row[row].value[k] == SB_LACKS)
            continue;
        printf("  %-18s", rows[row].name);
        for (int i = 0; i <= r->others; i++)
            printf(" %8.1f %%", 100 * (i < before    ? r->other[i].row[row].value[k]
                                       : i == before ? r->row[row].value[k]
                                                     : r->other[i - 1].row[row].value[k]));
        printf("\n");
    }
}

void sb_report_print(const sb_report *r)
{
    printf("step %" PRId64 " (%s): %d held-out tile%s, %d distorted view%s of each, %d pixels\n", r->step,
           r->source, r->tiles, sb_plural((uint64_t)r->tiles), r->views, sb_plural((uint64_t)r->views),
           r->size);
    print_table(r, SB_IN_TABLE, "");
    if (r->labelled > 0)
        printf("  labels: of %d held-out tile%s, kNN is among these; the probe learns from %d of the "
               "training "
               "part\n",
               r->labelled, sb_plural((uint64_t)r->labelled), r->learnt);
    print_table(r, SB_IN_FEW, "  the probe with so many labels of each class, mean of five draws:\n");
    print_table(
        r, SB_IN_SPREAD,
        "  without labels, to look at: none of these ranks methods, or tells by itself that something is "
        "wrong\n");
    print_sizes(r);
    if (r->stream.count > 0)
        printf("  last %" PRIu32 " training embeddings (%" PRIu32
               " missed): RankMe %.3f, alignment %.3f, uniformity %.3f, deviation %.3f\n",
               r->stream.count, r->stream.missed, r->stream.rank, r->stream.alignment, r->stream.uniformity,
               r->stream.deviation);
    fflush(stdout);
}

/* has: the report, which says which measures the data set allows. */
static json_t *rows_json(const sb_report *has, const sb_measures *row)
{
    json_t *out = json_object();
    for (int i = 0; i < SB_ROWS; i++) {
        if (left_out(has, i))
            continue;
        json_t *values = json_object();
        for (sb_metric_id k = 0; k < SB_METRICS; k++)
            if (sb_report_has(has, k) && row[i].value[k] != SB_LACKS)
                json_object_set_new(values, sb_metrics[k]->key, json_real(row[i].value[k]));
        json_object_set_new(out, rows[i].key, values);
    }
    return out;
}

/* {"64": rows, "256": rows} */
static json_t *sizes_json(const sb_report *r)
{
    json_t *out = json_object();
    for (int i = 0; i < r->others; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", r->other[i].size);
        json_object_set_new(out, name, rows_json(r, r->other[i].row));
    }
    return out;
}

int sb_report_check(const char *run_dir)
{
    char path[PATH_MAX];
    return sb_rundir_path(path, run_dir, "evaluation.jsonl") != 0 ? -1 : sb_outfile_check_kept(path);
}

int sb_report_append(const sb_report *r, const char *run_dir)
{
    char path[PATH_MAX];
    if (sb_rundir_path(path, run_dir, "evaluation.jsonl") != 0)
        return -1;
    const sb_metric *telling = sb_metrics[sb_report_telling(r)];
    json_t *root = json_pack("{s:I, s:s, s:i, s:i, s:i, s:i, s:i, s:{s:s, s:s}, s:o}", "step",
                             (json_int_t)r->step, "source", r->source, "tiles", r->tiles, "views", r->views,
                             "size", r->size, "labelled", r->labelled, "learnt", r->learnt, "telling", "key",
                             telling->key, "title", telling->title, "rows", rows_json(r, r->row));
    if (root && r->others > 0)
        json_object_set_new(root, "sizes", sizes_json(r));
    if (root && r->stream.count > 0)
        json_object_set_new(root, "embeddings",
                            json_pack("{s:i, s:i, s:f, s:f, s:f, s:f}", "count", (int)r->stream.count,
                                      "missed", (int)r->stream.missed, "rank", r->stream.rank, "alignment",
                                      r->stream.alignment, "uniformity", r->stream.uniformity, "deviation",
                                      r->stream.deviation));
    char *line = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    int rc = line ? sb_file_append_line(path, line) : sb_fail("%s: a measure is not a number", path);
    free(line);
    json_decref(root);
    return rc;
}
