/* input.h: 8-bit pixels to normalised activations: y = (x / 255 - mean) / std. x[0] u8 [n, h, w, c] with c <=
 * SB_INPUT_CHANNELS_MAX; y of the same sides, of how.type. No gradient. */
#ifndef SB_KERNELS_OP_INPUT_H
#define SB_KERNELS_OP_INPUT_H

#include "kernels/op.h"

#define SB_INPUT_CHANNELS_MAX 8

typedef struct {
    float mean[SB_INPUT_CHANNELS_MAX], std[SB_INPUT_CHANNELS_MAX]; /* [c], of pixels from 0 to 1 */
    sb_type type;
} sb_input_how;

/* The same as x scale + offset, of every channel. */
typedef struct {
    float scale[SB_INPUT_CHANNELS_MAX], offset[SB_INPUT_CHANNELS_MAX];
} sb_input_line;

static inline sb_input_line sb_input_line_of(const sb_input_how *how, int channels)
{
    sb_input_line line = { { 0 }, { 0 } };
    for (int k = 0; k < channels; k++) {
        line.scale[k] = 1.0f / (255.0f * how->std[k]);
        line.offset[k] = -how->mean[k] / how->std[k];
    }
    return line;
}

#endif
