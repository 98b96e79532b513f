/* parts.h: what encoders of several families are built of. */
#ifndef SB_TRAINER_ENCODERS_PARTS_H
#define SB_TRAINER_ENCODERS_PARTS_H

#include "kernels/op/input.h"
#include "trainer/encoder.h"

/* Leaf 0: 8-bit pixels [n, side, side, channels], of 224 x 224 as far as no plan says otherwise; returned as
 * activations of this type, less ImageNet's mean and by its deviation, as every model of torchvision's and
 * timm's expects (grey: those of its luminance). */
sb_t sb_encoder_pixels(sb_graph *graph, int channels, sb_type type);

/* The weight of t, if it has one, begins as normal numbers of deviation 0.02, as ConvNeXt's and ViT's do.
 * Returns t. */
sb_t sb_encoder_small(sb_graph *graph, sb_t t);

/* How pixels are normalised: by the mean and deviation of natural images. */
sb_input_how sb_encoder_normalise(int channels, sb_type type);

/* LayerNorm with their epsilon. */
sb_t sb_encoder_layernorm(sb_graph *graph, sb_t x, const char *name);

/* sb_encoder_kind.norm where every norm is of one place or token by itself. */
sb_encoder_norm sb_encoder_uncoupled(const void *keys);

#endif
