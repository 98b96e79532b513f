/* report.h: how an evaluation is reported: as a table on the screen, and as a line of evaluation.jsonl in the
 * run directory. */
#ifndef SB_EVALUATOR_REPORT_H
#define SB_EVALUATOR_REPORT_H

#include <stdbool.h>

#include "evaluator/measure.h"

/* A row of the table. The rows beside the trained network keep it honest. */
typedef enum {
    SB_ROW_CHANCE,
    SB_ROW_COLOUR,
    SB_ROW_PIXELS,
    SB_ROW_UNTRAINED,
    SB_ROW_GIVEN,      /* the weights of `init` as they were given; where there are none it is left out */
    SB_ROW_SUPERVISED, /* RUN/supervised, which learnt the labels; where there is none it is left out */
    SB_ROW_TRAINED,
    SB_ROWS
} sb_row;

/* Embeddings (behind the projector) that the live trainer has published lately. */
typedef struct {
    uint32_t count, missed; /* vectors looked at; overwritten before they could be read */
    double rank, alignment, uniformity, deviation;
} sb_stream_measures;

/* The same tiles in views of another size, one distorted view of each; nothing that learns from labels. */
typedef struct {
    int size;
    sb_measures row[SB_ROWS];
} sb_report_size;
#define SB_OTHER_SIZES 2

typedef struct {
    int64_t step;
    const char *source;     /* "snapshot" or "checkpoint" */
    int tiles, views, size; /* of the gallery */
    int labelled, learnt;   /* tiles of it with a label: held-out ones, of the training part */
    bool given, supervised; /* there is a row of the weights as given; of those that learnt the labels */
    sb_measures row[SB_ROWS];
    sb_stream_measures stream; /* count 0: none */
    int others;
    sb_report_size other[SB_OTHER_SIZES]; /* [others], by size */
} sb_report;

/* The key of a row in evaluation.jsonl; its name in the table. */
const char *sb_report_row(sb_row row);
const char *sb_report_row_name(sb_row row);

/* Whether the data set has what the measure needs (labels, groups, tiles). */
bool sb_report_has(const sb_report *report, sb_metric_id measure);

/* The measure that tells most (sb_metric) of those that not even guessing has right: there is one that every
 * data set allows. */
sb_metric_id sb_report_telling(const sb_report *report);

/* Prints the tables: how good features are; with few labels; how they lie. One column for each measure that
 * the data set allows. */
void sb_report_print(const sb_report *report);

/* -1 if nothing can be appended. */
int sb_report_check(const char *run_dir);

/* Appends {"step", "source", "tiles", ..., "telling", "rows": {...}} to evaluation.jsonl, whole or not at
 * all. telling: key and title of the measure that tells most. */
int sb_report_append(const sb_report *report, const char *run_dir);

#endif
