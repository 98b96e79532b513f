/* pixels.h: how the encoders begin: views normalised as the weights of torchvision and timm expect them. */
#ifndef SB_TRAINER_ENCODERS_PIXELS_H
#define SB_TRAINER_ENCODERS_PIXELS_H

#include "trainer/graph/graph.h"

/* Leaf "pixels", 8-bit [n, side, side, channels], of 224 x 224 as far as no plan says otherwise -> [n, side,
 * side, channels] of `type`: / 255, less ImageNet's mean, by its deviation; grey by those of its luminance.
 */
sb_t sb_encoder_pixels(sb_graph *graph, int channels, sb_type type);

#endif
