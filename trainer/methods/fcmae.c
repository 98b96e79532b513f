/* fcmae.c: masked autoencoding with convolutions (FCMAE: Woo et al. 2023; the masked encoder is SparK's, too:
 * Tian et al. 2023): cells of a view are hidden, a convolutional net encodes the rest as if nothing else were
 * there (encoders/parts.h), and a decoder of a block says what the hidden cells look like.
 *
 *     L = mean over views, hidden cells and their values of (prediction - target)^2
 *     target: the pixels of a cell, less their mean and over their deviation
 *
 * A cell is what a place of the net's last map stands for: 32 x 32 pixels, mostly. Nothing couples views but
 * batch norms, where the encoder has them. */
#include "proto/error.h"
#include "trainer/encoders/parts.h"
#include "trainer/graph/build.h"
#include "trainer/method.h"

typedef struct {
    sb_mask_keys mask;
    int decoder_width, decoder_blocks;
} fcmae_keys;

static const sb_key keys[] = {
    SB_KEYS_MASK(fcmae_keys, mask, "0.6", "1", "1", "cells"),
    SB_KEY_INT(fcmae_keys, decoder_width, "512", 8, 4096, "channels of the decoder"),
    SB_KEY_INT(fcmae_keys, decoder_blocks, "1", 1, 32, "its blocks"),
};

static const sb_mask_keys *mask(const void *own) { return &((const fcmae_keys *)own)->mask; }

static sb_t linear(sb_graph *g, sb_t x, const char *name, int out)
{
    return sb_encoder_small(g, sb_conv(g, x, name, .out = out, .kernel = 1, .stride = 1, .bias = true));
}

static sb_t inside(const void *own, const sb_inside *in)
{
    const fcmae_keys *k = own;
    sb_graph *g = in->graph;
    const int width = k->decoder_width, channels = sb_shape_of(g, in->pixels).c;
    if (in->prefix > 0)
        return sb_fail("a map was expected, and behind this encoder there are tokens of no place");
    sb_scope(g, "decoder");
    sb_t x = sb_unpick(g, linear(g, in->map, "proj", width), in->visible, in->pixels, "", .side = 1,
                       .stride = in->cell, .token = true);
    x = sb_leave(g, x);
    for (int i = 0; i < k->decoder_blocks; i++) {
        sb_scope(g, "decoder.blocks.%d", i);
        x = sb_leave(g, sb_encoder_convnext_block(g, x, width));
    }
    sb_scope(g, "decoder");
    x = linear(g, sb_pick(g, x, in->predicted, .side = 1), "pred", in->cell * in->cell * channels);
    return sb_leave(g, sb_patch_error(g, x, in->pixels, in->predicted, .side = in->cell,
                                      .input = sb_encoder_normalise(channels, sb_shape_of(g, x).type)));
}

/* The paper's, whose rate is for 256 samples (appendix A.1), and its views: a part of the tile, and its
 * mirror image. */
static const char *const defaults[] = { "encoder.name=convnextv2_atto",
                                        "projector.layers=0",
                                        "optimiser.name=adamw",
                                        "optimiser.beta2=0.95",
                                        "optimiser.lr=1.5e-4",
                                        "optimiser.weight_decay=0.05",
                                        "views.0.jitter=0",
                                        "views.0.grey=0",
                                        "views.0.blur=0",
                                        NULL };

const sb_method_kind sb_method_fcmae = {
    .name = "fcmae",
    .summary =
        "cells of a view are hidden from convolutions, and what they look like is said from the others",
    .paper = "Woo et al. 2023, arXiv 2301.00808; Tian et al. 2023, arXiv 2301.03580",
    .keys = SB_KEY_TABLE("method", "fcmae", fcmae_keys, keys),
    .defaults = defaults,
    .views_least = 1,
    .views_most = 1,
    .samples_least = 1,
    .mask = mask,
    .inside = inside,
};
