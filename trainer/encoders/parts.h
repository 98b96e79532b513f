/* parts.h: what encoders of several families are built of. */
#ifndef SB_TRAINER_ENCODERS_PARTS_H
#define SB_TRAINER_ENCODERS_PARTS_H

#include "kernels/op/input.h"
#include "trainer/encoder.h"

/* Leaf 0: 8-bit pixels [n, side, side, channels], of 256 x 256 as far as no plan says otherwise; returned as
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

/* Masked convolution (Woo et al. 2023; Tian et al. 2023). Where only a part of each view is encoded, a map is
 * its visible cells alone, side by side (pick.h): layers that see one place at a time compute nothing else,
 * and norms take their statistics from there. For a layer whose windows cross cells it is put whole again,
 * with zeros in what is hidden. */
typedef struct {
    sb_t visible; /* leaf 1 */
    int side;     /* of a cell, in pixels; 0: all of a view is encoded */
} sb_encoder_cells;

/* For an encoder with cells of `side` pixels: the leaf, where a part is encoded. Behind the pixels. */
sb_encoder_cells sb_encoder_cells_of(sb_graph *graph, const sb_encoder_input *input, int side);

/* A whole map with `stride` pixels from place to place -> its visible cells; and back. Where all is encoded,
 * x itself. */
sb_t sb_encoder_visible(sb_graph *graph, const sb_encoder_cells *cells, sb_t x, int stride);
sb_t sb_encoder_whole(sb_graph *graph, const sb_encoder_cells *cells, sb_t x, int stride);

/* A block of ConvNeXt V2 (convnext.c) over a whole map x of `width` channels, with timm's names. */
sb_t sb_encoder_convnext_block(sb_graph *graph, sb_t x, int width);

/* sb_encoder_kind.norm where every norm is of one place or token by itself. */
sb_encoder_norm sb_encoder_uncoupled(const void *keys);

#endif
