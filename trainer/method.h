/* method.h: what a self-supervised method is: loss and gradient over embeddings.
 *
 * A method is a small file in methods/ that reads like its formula, written with the device's general operations. The trainer does
 * the rest (views, chunks, projector, optimiser). Embeddings z: f32 [views * samples, width], row v * samples + i is view v of sample i,
 * not normalised. Values and gradients are means over all anchors. */
#ifndef SB_TRAINER_METHOD_H
#define SB_TRAINER_METHOD_H

#include <stdint.h>

#include "kernels/device.h"

typedef struct {
    sb_device *device;
    int samples, views, width;
    float temperature;
} sb_method_shape;

typedef struct sb_method sb_method;
struct sb_method {
    const char *name;
    int min_samples; /* a smaller batch is refused with this number */
    /* Floats of device memory that loss needs. */
    size_t (*scratch)(const sb_method_shape *shape);
    /* *loss (host) and dz [views * samples, width] (device). skip: device.h, similarity_lse; NULL = none. */
    int (*loss)(const sb_method_shape *shape, const float *z, const uint8_t *skip, float *dz, double *loss, float *scratch);
};

extern const sb_method sb_method_simclr; /* NT-Xent, mean over 2N (methods/simclr.c) */
extern const sb_method sb_method_dcl;    /* decoupled: the positive is not in the denominator (methods/dcl.c) */

#endif
