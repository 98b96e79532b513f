/* vit.c: vision transformers (Dosovitskiy et al. 2021) tiny and small with timm's layout and names: patches
 * of 16 x 16 or 32 x 32 pixels with a learned position each, and 12 blocks of attention and of two linear
 * layers with GELU between them, a LayerNorm before each. The features are the mean over the patches or the
 * class token, behind a last LayerNorm. Every norm is of one token by itself: nothing couples views. The
 * table of positions has a grid of the first view's patches; for views of other sizes it is resized
 * (tokens.h). Where only a part of a view is encoded, the other patches are left out behind the positions,
 * and cost nothing from there on. */
#include <math.h>

#include "proto/error.h"
#include "trainer/encoder.h"
#include "trainer/encoders/parts.h"
#include "trainer/graph/build.h"

#define DEPTH 12
#define HEAD 64 /* channels of a head */

typedef enum { PATCH_16, PATCH_32 } vit_patch;
typedef enum { POOL_MEAN, POOL_CLASS } vit_pool;

typedef struct {
    vit_patch patch;
    vit_pool pool;
    int registers, image;
} vit_keys;

static const sb_key keys[] = {
    SB_KEY_CHOICE(vit_keys, patch, "16", "16|32", "pixels of a patch's side; 32: a quarter of the tokens"),
    SB_KEY_CHOICE(vit_keys, pool, "mean", "mean|class",
                  "the features: the mean over all patches, or a class token"),
    SB_KEY_INT(vit_keys, registers, "0", 0, 8, "tokens of no patch, for what is of the whole image"),
    SB_KEY_INT(vit_keys, image, "0", 0, 16384,
               "side of the image that positions are learned for; 0: the largest of the first view. Others "
               "have them resized"),
};

static int patch_of(const vit_keys *own) { return own->patch == PATCH_32 ? 32 : 16; }

static int grid_of(const vit_keys *own, const sb_encoder_input *input)
{
    return (own->image > 0 ? own->image : input->side) / patch_of(own);
}

static sb_t linear(sb_graph *g, sb_t x, const char *name, int out, bool bias)
{
    return sb_encoder_small(
        g, sb_conv(g, x, name, .out = out, .kernel = 1, .stride = 1, .bias = bias, .flat = true));
}

static sb_t block(sb_graph *g, sb_t x, int width)
{
    sb_t t = linear(g, sb_encoder_layernorm(g, x, "norm1"), "attn.qkv", 3 * width, true);
    t = linear(g, sb_attention(g, t, .heads = width / HEAD), "attn.proj", width, true);
    x = sb_residual(g, t, x, "attn.add", .scaled = false);
    t = sb_gelu(g, linear(g, sb_encoder_layernorm(g, x, "norm2"), "mlp.fc1", 4 * width, false), "mlp.fc1",
                .bias = true);
    return sb_residual(g, linear(g, t, "mlp.fc2", width, true), x, "mlp.add", .scaled = false);
}

static sb_t patches(sb_graph *g, const vit_keys *own, int width, const sb_encoder_input *input)
{
    const int side = patch_of(own);
    sb_t t = sb_conv(g, sb_encoder_pixels(g, input->channels, input->type), "patch_embed.proj", .out = width,
                     .kernel = side, .stride = side, .bias = true);
    sb_entry *filters = sb_weight_of(g, t, 0), *bias = sb_weight_of(g, t, 1);
    if (filters && bias) { /* PyTorch's own: up to 1 / sqrt(values that meet) */
        const float most = 1 / sqrtf((float)(side * side * input->channels));
        filters->extent.init = bias->extent.init = SB_INIT_UNIFORM;
        filters->extent.size = bias->extent.size = most;
        filters->stem = true;
    }
    return t;
}

static sb_t build(sb_graph *g, int width, const vit_keys *own, const sb_encoder_input *input,
                  sb_encoder_map *map)
{
    const bool mean = own->pool == POOL_MEAN;
    const int grid = grid_of(own, input), prefix = !mean + own->registers;
    if (grid < 1)
        return sb_fail("encoder.patch = %d: an image of %d pixels a side (%s) has no patch of that size",
                       patch_of(own), own->image > 0 ? own->image : input->side,
                       own->image > 0 ? "encoder.image" : "data.view");
    sb_t t = sb_tokens(g, patches(g, own, width, input), "", .grid = grid, .class_token = !mean,
                       .registers = own->registers);
    sb_entry *table = sb_weight_of(g, t, SB_TOKENS_POSITIONS);
    if (table)
        table->grid = grid;
    if (input->masked)
        t = sb_pick(g, t, sb_leaf(g, "visible cells", (sb_shape){ 1, 1, 1, 1, SB_I32 }, false),
                    .prefix = prefix);
    for (int i = 0; i < DEPTH; i++) {
        sb_scope(g, "blocks.%d", i);
        t = sb_leave(g, block(g, t, width));
    }
    *map = (sb_encoder_map){ t, prefix };
    t = sb_avgpool(g, t, .first = mean ? prefix : 0, .count = mean ? 0 : 1);
    return sb_output(g, sb_encoder_layernorm(g, t, mean ? "fc_norm" : "norm"), true);
}

static int cell(const void *own) { return patch_of(own); }

/* timm's model of that name, for images as the table of positions is for. */
static void show(FILE *out, const char *size, const vit_keys *own, const sb_encoder_input *input)
{
    fprintf(out, "import timm, safetensors.torch\nmodel = timm.create_model(\"vit_%s_patch16_224\"", size);
    if (own->patch == PATCH_32)
        fprintf(out, ", patch_size=32");
    fprintf(out, ", img_size=%d", grid_of(own, input) * patch_of(own));
    if (own->pool == POOL_MEAN)
        fprintf(out, ", class_token=False, global_pool=\"avg\"");
    if (own->registers > 0)
        fprintf(out, ", reg_tokens=%d", own->registers);
    fprintf(out, ", num_classes=0");
    if (input->channels != 3)
        fprintf(out, ", in_chans=%d", input->channels);
    fprintf(out, ")\n# with dynamic_img_size=True it takes images of other sizes, too\n");
}

#define VIT(size, width)                                                                                    \
    static sb_t build_##size(sb_graph *g, const void *own, const sb_encoder_input *input,                   \
                             sb_encoder_map *map)                                                           \
    {                                                                                                       \
        return build(g, width, own, input, map);                                                            \
    }                                                                                                       \
    static void show_##size(FILE *out, const void *own, const sb_encoder_input *input)                      \
    {                                                                                                       \
        show(out, #size, own, input);                                                                       \
    }                                                                                                       \
    const sb_encoder_kind sb_encoder_vit_##size = { .name = "vit_" #size,                                   \
                                                    .keys = SB_KEY_TABLE("encoder", "vit_" #size, vit_keys, \
                                                                         keys),                             \
                                                    .build = build_##size,                                  \
                                                    .cell = cell,                                           \
                                                    .show = show_##size,                                    \
                                                    .norm = sb_encoder_uncoupled };
VIT(tiny, 192)
VIT(small, 384)
