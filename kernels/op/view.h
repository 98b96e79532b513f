/* view.h: views of a tile: crop, resize, flip, jitter, grey, blur, solarise, in this order. x[0]: the tile, 8
 * bits, of shape [1, height, width, channels] with 1 to SB_VIEW_CHANNELS_MAX channels -> out[i]: [size, size,
 * channels], 8 bits. Crop, resize, flip and blur are of all channels; jitter, grey and solarise of the
 * colours alone: the first three where there are so many, the one where there is one, none of two. It is no
 * node of a graph: the views may be of several sizes and lie anywhere on the device. Forward only.
 *
 * Arithmetic is f32 on [0, 1] with torchvision's formulas and clamps, rounded to 8 bits once, at the write.
 */
#ifndef SB_KERNELS_OP_VIEW_H
#define SB_KERNELS_OP_VIEW_H

#include "kernels/op.h"

#define SB_VIEW_CHANNELS_MAX 8

/* How many of the channels are colours. */
static inline int sb_view_colours(int channels) { return channels >= 3 ? 3 : channels == 1 ? 1 : 0; }

/* Parameters of one view, drawn on the host (augment/view.h). */
typedef struct {
    int left, top, width, height;                /* the crop, in pixels of the tile */
    int size;                                    /* pixels of the view's side */
    int flip, grey;                              /* 0 or 1 */
    int jitter;                                  /* 0: the four below are not applied */
    int order[4];                                /* of 0 brightness, 1 contrast, 2 saturation, 3 hue */
    float brightness, contrast, saturation, hue; /* factors; hue in turns, -0.5 .. 0.5 */
    float blur;                                  /* sigma in pixels of the view; 0: none */
    float solarise;                              /* threshold; >= 2: none */
} sb_view_params;

/* Scratch is for up to `count` views of up to `max_size`; where it is sized, params and out may be NULL. */
typedef struct {
    const sb_view_params *params; /* [count], in host memory */
    int count;
    uint8_t *const *out; /* [count], in host memory; what they point to is the device's */
    int max_size;
} sb_view_how;

/* 0, or -1 with the numbers in the error: for the devices. */
int sb_view_check(const sb_view_how *how, const sb_shape *tile);

static inline sb_shape sb_view_tile(int height, int width, int channels)
{
    return (sb_shape){ 1, height, width, channels, SB_U8 };
}

static inline size_t sb_view_scratch(sb_device *device, sb_shape tile, int count, int max_size)
{
    const sb_view_how how = { .count = count, .max_size = max_size };
    const sb_call call = { .how = &how, .xs = { tile } };
    return sb_scratch(device, SB_OP_VIEW, &call);
}

/* `pixels`, what how->out points to, and scratch are device memory. */
static inline int sb_view(sb_device *device, const sb_view_how *how, sb_shape tile, const uint8_t *pixels,
                          void *scratch)
{
    const sb_call call = { .how = how, .xs = { tile }, .x = { pixels }, .scratch = scratch };
    return sb_forward(device, SB_OP_VIEW, &call);
}

#endif
