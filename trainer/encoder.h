/* encoder.h: the backbone as a graph: pixels in, features out. Each encoder is a file in encoders/. */
#ifndef SB_TRAINER_ENCODER_H
#define SB_TRAINER_ENCODER_H

#include "proto/config.h"
#include "trainer/graph/graph.h"

/* Builds the configured encoder: leaf 0 is the views' pixels, 8-bit [n, side, side, channels]; output 0 the
 * features, f32 [n, width], at which a gradient comes in. type: of the activations. Returns the features. */
sb_t sb_encoder_build(sb_graph *graph, const sb_config *config, sb_type type);

#endif
