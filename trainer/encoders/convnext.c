/* convnext.c: ConvNeXt (Liu et al. 2022) atto, nano and tiny with timm's layout and names: patches of 4 x 4
 * pixels, four stages of blocks, each at half the side of the one before: a depthwise convolution of 7 x 7,
 * then LayerNorm and two linear layers with GELU between them at every place, scaled by gamma, which begins
 * at 1e-6, and added to what the block was given. ConvNeXt V2 (Woo et al. 2023) has global response
 * normalisation behind GELU, and no gamma. Every norm is of one view by itself: nothing couples views. Where
 * a part of each view is encoded, everything but the depthwise convolutions is computed for that part alone.
 */
#include "trainer/encoder.h"
#include "trainer/encoders/parts.h"
#include "trainer/graph/build.h"

#define GAMMA 1e-6f
#define CELL 32 /* pixels from place to place of the last map */

typedef struct {
    const char *name;
    int blocks[4], width; /* of the first stage; each has twice that of the one before */
    bool flat;            /* linear layers have weights [out, in], not [out, in, 1, 1] */
    bool v2;
} convnext;

static const convnext convnext_atto = { "convnext_atto", { 2, 2, 6, 2 }, 40, false, false },
                      convnext_nano = { "convnext_nano", { 2, 2, 8, 2 }, 80, false, false },
                      convnext_tiny = { "convnext_tiny", { 3, 3, 9, 3 }, 96, true, false },
                      convnextv2_atto = { "convnextv2_atto", { 2, 2, 6, 2 }, 40, false, true },
                      convnextv2_nano = { "convnextv2_nano", { 2, 2, 8, 2 }, 80, false, true },
                      convnextv2_tiny = { "convnextv2_tiny", { 3, 3, 9, 3 }, 96, true, true };

/* Of patches of so many pixels a side. */
static sb_t patches(sb_graph *g, sb_t x, const char *name, int side, int width)
{
    return sb_encoder_small(g,
                            sb_conv(g, x, name, .out = width, .kernel = side, .stride = side, .bias = true));
}

static sb_t linear(sb_graph *g, const convnext *v, sb_t x, const char *name, int out, bool bias)
{
    return sb_encoder_small(
        g, sb_conv(g, x, name, .out = out, .kernel = 1, .stride = 1, .bias = bias, .flat = v->flat));
}

/* Over a map with `stride` pixels from place to place. */
static sb_t block(sb_graph *g, const convnext *v, const sb_encoder_cells *cells, sb_t x, int width,
                  int stride)
{
    sb_t t = sb_encoder_small(g, sb_depthwise(g, sb_encoder_whole(g, cells, x, stride), "conv_dw",
                                              .kernel = 7, .stride = 1, .pad = 3, .bias = true));
    t = sb_encoder_visible(g, cells, t, stride);
    t = linear(g, v, sb_encoder_layernorm(g, t, "norm"), "mlp.fc1", 4 * width, false);
    t = sb_gelu(g, t, "mlp.fc1", .bias = true);
    if (v->v2)
        t = sb_grn(g, t, "mlp.grn", .epsilon = 1e-6f);
    t = linear(g, v, t, "mlp.fc2", width, true);
    return sb_residual(g, t, x, v->v2 ? "add" : "", .scaled = !v->v2, .initial = GAMMA);
}

sb_t sb_encoder_convnext_block(sb_graph *g, sb_t x, int width)
{
    const sb_encoder_cells all = { .visible = SB_NONE };
    return block(g, &convnextv2_tiny, &all, x, width, 1);
}

static sb_t build(sb_graph *g, const convnext *v, const sb_encoder_input *input, sb_encoder_map *map)
{
    sb_t t = sb_encoder_pixels(g, input->channels, input->type);
    const sb_encoder_cells cells = sb_encoder_cells_of(g, input, CELL);
    t = patches(g, sb_encoder_visible(g, &cells, t, 1), "stem.0", 4, v->width);
    sb_entry *filters = sb_weight_of(g, t, 0);
    if (filters)
        filters->stem = true;
    t = sb_encoder_layernorm(g, t, "stem.1");
    for (int stage = 0, width = v->width; stage < 4; stage++, width *= 2) {
        if (stage > 0) {
            sb_scope(g, "stages.%d", stage);
            t = sb_leave(g, patches(g, sb_encoder_layernorm(g, t, "downsample.0"), "downsample.1", 2, width));
        }
        for (int i = 0; i < v->blocks[stage]; i++) {
            sb_scope(g, "stages.%d.blocks.%d", stage, i);
            t = sb_leave(g, block(g, v, &cells, t, width, 4 << stage));
        }
    }
    map->map = t;
    return sb_output(g, sb_encoder_layernorm(g, sb_avgpool(g, t), "head.norm"), true);
}

static int cell(const void *own) { return (void)own, CELL; }

/* timm's model of that name. */
static void show(FILE *out, const convnext *v, const sb_encoder_input *input)
{
    fprintf(out, "import timm, safetensors.torch\nmodel = timm.create_model(\"%s\", num_classes=0", v->name);
    if (input->channels != 3)
        fprintf(out, ", in_chans=%d", input->channels);
    fprintf(out, ")\n");
}

#define CONVNEXT(model)                                                                         \
    static sb_t build_##model(sb_graph *g, const void *own, const sb_encoder_input *input,      \
                              sb_encoder_map *map)                                              \
    {                                                                                           \
        return (void)own, build(g, &(model), input, map);                                       \
    }                                                                                           \
    static void show_##model(FILE *out, const void *own, const sb_encoder_input *input)         \
    {                                                                                           \
        (void)own;                                                                              \
        show(out, &(model), input);                                                             \
    }                                                                                           \
    const sb_encoder_kind sb_encoder_##model = { .name = #model,                                \
                                                 .keys = SB_KEY_TABLE_EMPTY("encoder", #model), \
                                                 .build = build_##model,                        \
                                                 .cell = cell,                                  \
                                                 .show = show_##model,                          \
                                                 .norm = sb_encoder_uncoupled };
CONVNEXT(convnext_atto)
CONVNEXT(convnext_nano)
CONVNEXT(convnext_tiny)
CONVNEXT(convnextv2_atto)
CONVNEXT(convnextv2_nano)
CONVNEXT(convnextv2_tiny)
