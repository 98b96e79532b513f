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
    [SB_ROW_GIVEN] = { "as given", "given" },         [SB_ROW_TRAINED] = { "trained", "trained" },
};

const char *sb_report_row(sb_row row) { return rows[row].key; }

bool sb_report_has(const sb_report *r, sb_metric_id k)
{
    return !sb_metrics[k]->share || r->row[SB_ROW_TRAINED].value[k] >= 0;
}

static bool left_out(const sb_report *r, int row) { return row == SB_ROW_GIVEN && !r->given; }

void sb_report_print(const sb_report *r)
{
    printf("step %" PRId64 " (%s): %d held-out tiles, %d distorted views of each, %d pixels\n", r->step,
           r->source, r->tiles, r->views, r->size);
    printf("  %-18s", "");
    for (sb_metric_id k = 0; k < SB_METRICS; k++)
        if (sb_report_has(r, k))
            printf(" %10s", sb_metrics[k]->title);
    printf("\n");
    for (int row = 0; row < SB_ROWS; row++) {
        if (left_out(r, row))
            continue;
        printf("  %-18s", rows[row].name);
        for (sb_metric_id k = 0; k < SB_METRICS; k++) {
            if (!sb_report_has(r, k))
                continue;
            if (row == SB_ROW_CHANCE && !sb_metrics[k]->chance)
                printf(" %10s", "");
            else if (sb_metrics[k]->share)
                printf(" %8.1f %%", 100 * r->row[row].value[k]);
            else
                printf(" %10.3f", r->row[row].value[k]);
        }
        printf("\n");
    }
    if (r->stream.count > 0)
        printf("  last %" PRIu32 " training embeddings (%" PRIu32
               " missed): RankMe %.3f, alignment %.3f, uniformity %.3f, deviation %.3f\n",
               r->stream.count, r->stream.missed, r->stream.rank, r->stream.alignment, r->stream.uniformity,
               r->stream.deviation);
    fflush(stdout);
}

static json_t *row_json(const sb_report *r, int row)
{
    json_t *out = json_object();
    for (sb_metric_id k = 0; k < SB_METRICS; k++)
        if (sb_report_has(r, k) && (row != SB_ROW_CHANCE || sb_metrics[k]->chance))
            json_object_set_new(out, sb_metrics[k]->key, json_real(r->row[row].value[k]));
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
    json_t *all = json_object();
    for (int row = 0; row < SB_ROWS; row++)
        if (!left_out(r, row))
            json_object_set_new(all, rows[row].key, row_json(r, row));
    json_t *root = json_pack("{s:I, s:s, s:i, s:i, s:i, s:o}", "step", (json_int_t)r->step, "source",
                             r->source, "tiles", r->tiles, "views", r->views, "size", r->size, "rows", all);
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
