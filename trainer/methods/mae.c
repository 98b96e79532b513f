/* mae.c: masked autoencoding (He et al. 2022) with a decoder whose queries look at the visible patches alone
 * (CrossMAE; Fu et al. 2024): most patches of a view are hidden, a transformer encodes the rest (or a
 * convolutional net, cells as fcmae.c has them), and a small decoder says from them what the hidden ones look
 * like.
 *
 *     L = mean over views, predicted patches and their values of (prediction - target)^2
 *     target: the pixels of a patch, less their mean and over their deviation
 *
 * The encoder never sees what is hidden, so it costs as much as a view of that many patches less. Nothing
 * couples views: a batch of one is exact. Positions of encoder and decoder are fixed. */
#include <math.h>
#include <string.h>

#include "proto/error.h"
#include "trainer/encoders/parts.h"
#include "trainer/graph/build.h"
#include "trainer/method.h"

#define HEAD 32 /* channels of a head of the decoder */

typedef struct {
    sb_mask_keys mask;
    int decoder_width, decoder_blocks;
} mae_keys;

static const sb_key keys[] = {
    SB_KEYS_MASK(mae_keys, mask, "0.75", "1", "0.33", "patches"),
    SB_KEY_INT(mae_keys, decoder_width, "256", HEAD, 4096, "channels of the decoder, a multiple of 32"),
    SB_KEY_INT(mae_keys, decoder_blocks, "4", 1, 32, "its blocks"),
};

static const sb_mask_keys *mask(const void *own) { return &((const mae_keys *)own)->mask; }

/* Glorot and Bengio 2010: uniform, by the values that meet and those that come out. */
static void init_glorot(sb_entry *e)
{
    if (!e)
        return;
    const double rows = (double)e->extent.side[0], columns = (double)e->count / rows;
    e->extent.init = SB_INIT_UNIFORM;
    e->extent.size = (float)sqrt(6 / (rows + columns));
}

/* What a transformer has begins as in the paper: matrices after Glorot, the patches' filters as one, biases
 * 0; and positions stay where they are. */
static void begin_encoder(const sb_graph *g)
{
    bool positions = false;
    for (int i = 0; i < g->store->count; i++)
        positions |= g->store->entries[i].grid > 0;
    if (!positions) /* a convolutional net, which begins as it does */
        return;
    for (int i = 0; i < g->store->count; i++) {
        sb_entry *e = &g->store->entries[i];
        const bool bias = e->extent.dims == 1 && e->extent.init != SB_INIT_ONE;
        if (e->grid > 0) {
            e->extent.init = SB_INIT_POSITIONS;
            e->rate = 0;
        } else if (e->extent.dims == 2 || e->extent.dims == 4) {
            init_glorot(e);
        } else if (bias) {
            e->extent.init = SB_INIT_ZERO;
        }
    }
}

static sb_t linear(sb_graph *g, sb_t x, const char *name, int out)
{
    sb_t t = sb_conv(g, x, name, .out = out, .kernel = 1, .stride = 1, .bias = true, .flat = true);
    init_glorot(sb_weight_of(g, t, 0));
    return t;
}

/* Queries x [n, 1, predicted, width] look at what the visible patches say, then each at itself. */
static sb_t block(sb_graph *g, sb_t x, sb_t seen, int width)
{
    const sb_t q = linear(g, sb_encoder_layernorm(g, x, "norm1"), "attn.q", width),
               kv = linear(g, seen, "attn.kv", 2 * width);
    sb_t t = linear(g, sb_cross_attention(g, q, kv, .heads = width / HEAD), "attn.proj", width);
    x = sb_residual(g, t, x, "attn.add", .scaled = false);
    t = sb_gelu(g, linear(g, sb_encoder_layernorm(g, x, "norm2"), "mlp.fc1", 4 * width), "mlp.gelu",
                .bias = false);
    return sb_residual(g, linear(g, t, "mlp.fc2", width), x, "mlp.add", .scaled = false);
}

static sb_t inside(const void *own, const sb_inside *in)
{
    const mae_keys *k = own;
    sb_graph *g = in->graph;
    const int width = k->decoder_width, channels = sb_shape_of(g, in->pixels).c;
    const sb_type type = sb_shape_of(g, in->map).type;
    if (width % HEAD != 0)
        return sb_fail("method.decoder_width = %d: a multiple of %d, the channels of a head", width, HEAD);
    begin_encoder(g);
    sb_scope(g, "decoder");
    sb_t seen = linear(g, sb_encoder_layernorm(g, in->map, "embed_norm"), "embed", width);
    sb_t x = sb_leave(
        g, sb_queries(g, in->predicted, in->pixels, "", .side = in->cell, .width = width, .type = type));
    for (int i = 0; i < k->decoder_blocks; i++) {
        sb_scope(g, "decoder.blocks.%d", i);
        x = sb_leave(g, block(g, x, seen, width));
    }
    sb_scope(g, "decoder");
    x = linear(g, sb_encoder_layernorm(g, x, "norm"), "pred", in->cell * in->cell * channels);
    return sb_leave(g, sb_patch_error(g, x, in->pixels, in->predicted, .side = in->cell,
                                      .input = sb_encoder_normalise(channels, type)));
}

/* The paper's, whose rate is for 256 samples (appendix A.1), and its views: a part of the tile, and its
 * mirror image. */
static const char *const defaults[] = { "encoder.name=vit_tiny", "projector.layers=0",
                                        "optimiser.name=adamw",  "optimiser.beta2=0.95",
                                        "optimiser.lr=1.5e-4",   "optimiser.weight_decay=0.05",
                                        "views.0.jitter=0",      "views.0.grey=0",
                                        "views.0.blur=0",        NULL };

const sb_method_kind sb_method_mae = {
    .name = "mae",
    .summary = "most patches are hidden, and what they look like is said from the others",
    .paper = "He et al. 2022, arXiv 2111.06377; Fu et al. 2024, arXiv 2401.14391",
    .keys = SB_KEY_TABLE("method", "mae", mae_keys, keys),
    .defaults = defaults,
    .views_least = 1,
    .views_most = 1,
    .samples_least = 1,
    .mask = mask,
    .inside = inside,
};
