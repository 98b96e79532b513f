/* calibrate.h: how long the steps of a run will take on this machine, from a few real ones.
 *
 * The steps are the configuration's own (encoder, views, method, optimiser, chunks) on pixels of no meaning.
 * The first is thrown away: it touches memory and warms what later steps find warm. Of a batch whose step
 * takes over a second only a part is measured, in as many chunks, and scaled linearly. Where views
 * change their sizes in the course of the run, steps of each are measured. The time that loaders and augment
 * take on the same cores is not counted. */
#ifndef SB_TRAINER_CALIBRATE_H
#define SB_TRAINER_CALIBRATE_H

#include "trainer/configuration.h"

typedef struct {
    double step_s;     /* of a whole batch; where the views' sizes change, the mean over the run */
    int sizes;         /* how often they change, and one */
    double measured_s; /* how long the measurement took */
    int batch;         /* samples of the batch that was measured */
    char device[512];  /* "CPU, 2 threads, ..., f32" */
} sb_calibration;

/* Takes a few seconds for each size, on a slow machine at most three steps of two samples. */
int sb_calibrate(const sb_settings *config, sb_calibration *out);

/* The side of views with which a run of `seconds` would take at most `most`, where the time goes as the
 * pixels do: a multiple of 16, 64 at least, `side` at most. */
int sb_calibrate_side(int side, double seconds, double most);

/* "26 minutes", "1.5 hours", of seconds. */
void sb_calibrate_duration(double seconds, char out[48]);

#endif
