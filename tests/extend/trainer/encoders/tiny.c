/* tiny.c: an encoder of two convolutions. */
#include "trainer/encoder.h"
#include "trainer/graph/build.h"

typedef struct {
    int width;
} tiny_keys;

static const sb_key keys[] = { SB_KEY_INT(tiny_keys, width, "24", 1, 4096, "of the features") };

static sb_t build(sb_graph *g, const void *own, const sb_encoder_input *input, sb_encoder_map *map)
{
    (void)map;
    const tiny_keys *k = own;
    const sb_input_how normalise = { .mean = { 0.5f, 0.5f, 0.5f }, .std = { 0.25f, 0.25f, 0.25f }, .type = input->type };
    sb_t t = sb_leaf(g, "pixels", (sb_shape){ 1, 32, 32, input->channels, SB_U8 }, false);
    t = SB_APPLY(g, SB_OP_INPUT, "input", 0, t, SB_NONE, &normalise);
    t = sb_conv(g, t, "conv1", .out = 8, .kernel = 3, .stride = 2, .pad = 1);
    t = sb_batchnorm(g, t, SB_NONE, "bn1", .relu = true);
    t = sb_conv(g, t, "conv2", .out = k->width, .kernel = 3, .stride = 2, .pad = 1);
    t = sb_batchnorm(g, t, SB_NONE, "bn2", .relu = true);
    return sb_output(g, sb_avgpool(g, t), true);
}

const sb_encoder_kind sb_encoder_tiny = { .name = "tiny", .keys = SB_KEY_TABLE("encoder", "tiny", tiny_keys, keys), .build = build };
