/* encoder.h: a backbone for evaluation: weights from a seed or a run, norm statistics calibrated on the views
 * it will see.
 *
 * Calibration (one pass in training mode, mean and variance over all of it) puts every set of weights on the
 * same footing: after few steps the running averages still lag behind the weights, and an untrained network
 * has none. */
#ifndef SB_EVALUATOR_ENCODER_H
#define SB_EVALUATOR_ENCODER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/device.h"
#include "trainer/configuration.h"

typedef struct sb_encoder sb_encoder;

/* Creates the backbone with initial weights (of the configuration's seed), for views of side x side. */
int sb_encoder_create(sb_encoder **out, sb_device *device, const sb_settings *config, int side);
void sb_encoder_destroy(sb_encoder **encoder);

/* Takes the weights and running statistics of the run's newest sound checkpoint, or of its best one; *step is
 * its step. 1; 0: there is none yet; -1. */
int sb_encoder_load(sb_encoder *encoder, const char *run_dir, bool best, int64_t *step);

/* The same of the weights that the run was given (`init`). 1; 0: it was given none; -1. */
int sb_encoder_load_given(sb_encoder *encoder, const char *run_dir);

/* Takes weights and statistics from memory: `weight_floats` weights and `statistic_floats` statistics, laid
 * out as the trainer's store has a backbone. */
int sb_encoder_set(sb_encoder *encoder, const float *weight, size_t weight_floats, const float *statistic,
                   size_t statistic_floats);

/* Sets the norm statistics to those of these views: 8-bit [count, side, side, channels], host. */
int sb_encoder_calibrate(sb_encoder *encoder, const uint8_t *views, int count);

/* Features f32 [count, width] of the backbone, as it gives them. */
int sb_encoder_features(sb_encoder *encoder, const uint8_t *views, int count, float *features);
int sb_encoder_width(const sb_encoder *encoder);

/* Features of places, the map that features are the mean of, averaged to at most 8 x 8: f32 [count, grid,
 * grid, width of the map]. A grid of 0: the encoder has no map. */
int sb_encoder_grid(const sb_encoder *encoder);
int sb_encoder_places_width(const sb_encoder *encoder);
int sb_encoder_places(sb_encoder *encoder, const uint8_t *views, int count, float *map);

#endif
