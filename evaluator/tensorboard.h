/* tensorboard.h: what a run has written of itself, for TensorBoard, in RUN/tensorboard/:
 *
 *     training/          metrics.jsonl as scalars, the contact sheet and the tiles of findings.json as
 *                        pictures, those tiles in the projector (projector.h)
 *     trained/, untrained/, as given/, ...
 *                        evaluation.jsonl: the same measures of each row of its table. TensorBoard draws what
 *                        has the same name in several of its runs into one chart
 *
 * All of it follows from files of the run, which stay the truth: it is written anew as a whole, at any time.
 * A curve has SB_SERIES_POINTS at most (scalars.h). The logs hold no times, so every point has that of the
 * last change of metrics.jsonl: steps are the axis to look at. */
#ifndef SB_EVALUATOR_TENSORBOARD_H
#define SB_EVALUATOR_TENSORBOARD_H

/* What the run does not have is left out; where a part of it cannot be read, a note says so. */
int sb_tensorboard_write(const char *run_dir);

#endif
