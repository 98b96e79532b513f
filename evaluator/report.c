/* report.c: see report.h. */
#include "evaluator/report.h"

#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/rundir.h"

static const char *const row_names[SB_ROWS] = { "chance", "colour statistics", "16 x 16 pixels", "untrained",
                                                "trained" };
static const char *const row_keys[SB_ROWS] = { "chance", "colour", "pixels", "untrained", "trained" };

/* The measures, in the order of their columns. A share is printed in per cent; chance knows only some. */
static const struct {
    const char *key, *title;
    size_t offset;
    bool share, chance;
} columns[] = {
    { "view_retrieval", "view", offsetof(sb_measures, view_retrieval), true, true },
    { "group_retrieval", "group", offsetof(sb_measures, group_retrieval), true, true },
    { "knn_top1", "kNN top-1", offsetof(sb_measures, knn1), true, true },
    { "knn_top5", "top-5", offsetof(sb_measures, knn5), true, false },
    { "rank", "RankMe", offsetof(sb_measures, rank), false, false },
    { "alignment", "alignment", offsetof(sb_measures, alignment), false, false },
    { "uniformity", "uniformity", offsetof(sb_measures, uniformity), false, false },
    { "deviation", "deviation", offsetof(sb_measures, deviation), false, false },
};
#define COLUMNS (sizeof columns / sizeof *columns)

static double value_of(const sb_report *r, int row, size_t column)
{
    double value;
    memcpy(&value, (const char *)&r->row[row] + columns[column].offset, sizeof value);
    return value;
}

/* A measure that this data set does not have (no labels, no groups). */
static bool missing(const sb_report *r, size_t column)
{
    return columns[column].share && value_of(r, SB_ROW_TRAINED, column) < 0;
}

void sb_report_print(const sb_report *r)
{
    printf("step %" PRId64 " (%s): %d held-out tiles, %d distorted views of each, %d pixels\n", r->step,
           r->source, r->tiles, r->views, r->size);
    printf("  %-18s", "");
    for (size_t c = 0; c < COLUMNS; c++)
        if (!missing(r, c))
            printf(" %10s", columns[c].title);
    printf("\n");
    for (int row = 0; row < SB_ROWS; row++) {
        printf("  %-18s", row_names[row]);
        for (size_t c = 0; c < COLUMNS; c++) {
            if (missing(r, c))
                continue;
            if (row == SB_ROW_CHANCE && !columns[c].chance)
                printf(" %10s", "");
            else if (columns[c].share)
                printf(" %8.1f %%", 100 * value_of(r, row, c));
            else
                printf(" %10.3f", value_of(r, row, c));
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
    for (size_t c = 0; c < COLUMNS; c++)
        if (!missing(r, c) && (row != SB_ROW_CHANCE || columns[c].chance))
            json_object_set_new(out, columns[c].key, json_real(value_of(r, row, c)));
    return out;
}

int sb_report_append(const sb_report *r, const char *run_dir)
{
    char path[PATH_MAX];
    if (sb_rundir_path(path, run_dir, "evaluation.jsonl") != 0)
        return -1;
    json_t *rows = json_object();
    for (int row = 0; row < SB_ROWS; row++)
        json_object_set_new(rows, row_keys[row], row_json(r, row));
    json_t *root = json_pack("{s:I, s:s, s:i, s:i, s:i, s:o}", "step", (json_int_t)r->step, "source",
                             r->source, "tiles", r->tiles, "views", r->views, "size", r->size, "rows", rows);
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
