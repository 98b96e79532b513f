/* findings.h: what an evaluation finds of single tiles, kept as RUN/findings.json for the report (page.h).
 *
 * Looked at are the held-out tiles of the gallery and a sample of the training part, SB_FINDINGS_TILES of
 * either at most, spread evenly. The object has
 *
 *     features             crc32 of the values of findings.npy, which are of the same tiles
 *     step, source         whose weights these are, as in evaluation.jsonl
 *     held, held_of        held-out tiles: they come first; of so many of the gallery
 *     trained, trained_of  tiles of the sample; of so many of the training part
 *     views                distorted views of each held-out tile
 *     tiles[]              name, page, left, top; label, where there is one; x, y (1)
 *     explained[2]         the share of the variance that either direction has
 *     queries[]            tile, cell of the distorted view; found[], cosine[]: the nearest tiles first
 *     worst[]              tile; right, taken (2)
 *     isolated[]           tile; distance: mean of 1 - cosine to the 10 nearest other tiles
 *     across[]             tile (held out), other (of the sample), cosine: the nearest of other images
 *     atlas                JPEG in base64: tile t is cell t (3)
 *     columns, cell, frame of the atlas: cells in a row, a cell's side, pixels around it
 *
 * (1) Its place in the plane of the two directions in which features vary most. (2) The share of its views
 * whose nearest clean tile is its own, and the tile that most others are taken for. (3) Behind the tiles come
 * the distorted views of the queries.
 *
 * Beside it lies RUN/findings.npy, f32 [tiles, width]: the features of these tiles, of length 1. It is
 * written first: where an evaluation died between the two, it is newer than the rest.
 *
 * worst and queries compare features as they are (as the measure `view` does), all else less their mean over
 * all tiles (as lists.h does). */
#ifndef SB_EVALUATOR_FINDINGS_H
#define SB_EVALUATOR_FINDINGS_H

#include <jansson.h>

#include "evaluator/evaluate.h"
#include "trainer/npy.h"

#define SB_FINDINGS_TILES 256

/* The object of findings.json, which the caller releases. 1: it is there; 0: it is not; -1: it is damaged. */
int sb_findings_read(const char *run_dir, json_t **out);

/* The same of findings.npy; the caller frees out->values. */
int sb_findings_read_features(const char *run_dir, sb_npy *out);

/* -1 if they cannot be kept. */
int sb_findings_check(const char *run_dir);

/* Of the evaluation's last measurement, whose weights its encoder still holds. Takes its sample, if it has
 * none yet. */
int sb_findings_write(sb_evaluation *evaluation);

#endif
