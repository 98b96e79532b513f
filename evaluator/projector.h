/* projector.h: what TensorBoard's projector shows: the tiles of findings.json as points, by their features,
 * each with its picture, its name and what else is known of it.
 *
 * Four files in the folder of one of TensorBoard's runs: tiles.tsv (features), metadata.tsv (a line a tile,
 * under a head), sprite.jpg (the atlas) and, last, projector_config.pbtxt, which names them. */
#ifndef SB_EVALUATOR_PROJECTOR_H
#define SB_EVALUATOR_PROJECTOR_H

#include <jansson.h>

#include "evaluator/events.h"
#include "trainer/npy.h"

/* atlas: that of the findings. -1: they do not fit each other, or it could not be written. */
int sb_projector_write(const char *folder, const json_t *findings, const sb_npy *features,
                       const sb_events_picture *atlas);

#endif
