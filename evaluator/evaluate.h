/* evaluate.h: an evaluation of a run: gallery, encoder and rows are made once, every new set of weights is
 * then one call. */
#ifndef SB_EVALUATOR_EVALUATE_H
#define SB_EVALUATOR_EVALUATE_H

#include "evaluator/encoder.h"
#include "evaluator/report.h"

typedef struct {
    const char *run_dir;
    sb_settings config;
    sb_augment_keys sampling; /* which tiles, and views of them, the run is trained on */
    char *config_text;        /* sb_settings_of_run: by it the evaluator knows its trainer */
    sb_index index;
    sb_device *device;
    sb_gallery gallery;
    sb_gallery_sample sample; /* of the training part; taken when findings.h first needs it */
    sb_encoder *encoder;
    float *features; /* [tiles * (1 + distorted), width] of the last weights: clean tiles, then views; rows of
                        length 1 */
    float *learnt, *map;                          /* [gallery.learnt, width]; of places */
    sb_place_features places;                     /* which those are */
    int grid;                                     /* places along a side; 0: none are looked at */
    bool looked_for_given, looked_for_supervised; /* the row is there, or its weights are not */
    sb_report report;                             /* filled in but for step, source and the trained row */
} sb_evaluation;

/* Reads configuration and index of the run, decodes the held-out tiles, measures what needs no training. */
int sb_evaluation_create(sb_evaluation *out, const char *run_dir, int threads);
void sb_evaluation_free(sb_evaluation *evaluation);

/* Measures the weights that the run was given (`init`), if it was and they are not measured yet: the encoder
 * holds them afterwards. Where a trainer or a checkpoint has weights, those that were given are there, too.
 */
int sb_evaluation_measure_given(sb_evaluation *evaluation);

/* The same of the weights of RUN/supervised, if such a run is finished, and on the same tiles (evaluate
 * --supervised trains it). */
int sb_evaluation_measure_supervised(sb_evaluation *evaluation);

/* Measures the weights that evaluation->encoder holds now (their norm statistics are calibrated first) into
 * the trained row. */
int sb_evaluation_measure(sb_evaluation *evaluation);

/* Measures the newest checkpoint, and all rows beside it, with views of half the side and of twice, where the
 * encoder and evaluate.size allow such: into the report. */
int sb_evaluation_measure_sizes(sb_evaluation *evaluation);

#endif
