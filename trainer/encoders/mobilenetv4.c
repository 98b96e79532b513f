/* mobilenetv4.c: MobileNetV4-Conv-S (Qin et al. 2024) with timm's names: convolutions, convolutions of each
 * channel by itself, batch norms and ReLU. Its last layer before the classifier is of the pooled features
 * (conv_head, norm_head), so that its norm would be over the views of a chunk alone: the features are what
 * comes before, 960 numbers, and that layer is the projector's first (encoder.h, `head`). Stem `small`: of
 * stride 1, for images of 28 to 64 pixels. */
#include "trainer/encoder.h"
#include "trainer/encoders/parts.h"
#include "trainer/graph/build.h"

#define STEM_WIDTH 32
#define WIDTH 960
#define HEAD_WIDTH 1280

typedef enum { STEM_IMAGENET, STEM_SMALL } mobilenet_stem;
typedef enum { NORM_BATCH, NORM_FROZEN } mobilenet_norm;

typedef struct {
    mobilenet_stem stem;
    mobilenet_norm norm;
} mobilenet_keys;

static const sb_key keys[] = {
    SB_KEY_CHOICE(mobilenet_keys, stem, "imagenet", "imagenet|small", "small: of stride 1, for small views"),
    SB_KEY_CHOICE(mobilenet_keys, norm, "batch", "batch|frozen",
                  "frozen: as init has it, and not trained; for few views at once"),
};

/* Of x, with the residual (or SB_NONE) added, then ReLU where `relu`. */
static sb_t norm(sb_graph *g, const mobilenet_keys *own, sb_t x, sb_t residual, const char *name, bool relu)
{
    return sb_batchnorm(g, x, residual, name, .relu = relu, .frozen = own->norm == NORM_FROZEN);
}

/* A convolution with norm and ReLU: blocks.`stage`.`i`. */
static sb_t layer(sb_graph *g, const mobilenet_keys *own, sb_t x, int stage, int i, sb_conv_how how)
{
    sb_scope(g, "blocks.%d.%d", stage, i);
    x = SB_APPLY(g, SB_OP_CONV, "conv", 0, x, SB_NONE, &how);
    return sb_leave(g, norm(g, own, x, SB_NONE, "bn1", true));
}

/* A universal inverted bottleneck: kernels of the convolutions of single channels before and after the
 * expansion (0: there is none), channels between, channels out. The stride is the last such convolution's. */
typedef struct {
    int stage, i, before, after, stride, between, out;
} bottleneck;

static const bottleneck bottlenecks[] = {
    { 2, 0, 5, 5, 2, 192, 96 },  { 2, 1, 0, 3, 1, 192, 96 },  { 2, 2, 0, 3, 1, 192, 96 },
    { 2, 3, 0, 3, 1, 192, 96 },  { 2, 4, 0, 3, 1, 192, 96 },  { 2, 5, 3, 0, 1, 384, 96 },
    { 3, 0, 3, 3, 2, 576, 128 }, { 3, 1, 5, 5, 1, 512, 128 }, { 3, 2, 0, 5, 1, 512, 128 },
    { 3, 3, 0, 5, 1, 384, 128 }, { 3, 4, 0, 3, 1, 512, 128 }, { 3, 5, 0, 3, 1, 512, 128 },
};

static sb_t block(sb_graph *g, const mobilenet_keys *own, sb_t x, const bottleneck *b)
{
    const bool same = b->stride == 1 && sb_shape_of(g, x).c == b->out;
    sb_t t = x;
    sb_scope(g, "blocks.%d.%d", b->stage, b->i);
    if (b->before > 0) {
        t = sb_depthwise(g, t, "dw_start.conv", .kernel = b->before, .stride = b->after > 0 ? 1 : b->stride,
                         .pad = b->before / 2);
        t = norm(g, own, t, SB_NONE, "dw_start.bn", false);
    }
    t = sb_conv(g, t, "pw_exp.conv", .out = b->between, .kernel = 1, .stride = 1);
    t = norm(g, own, t, SB_NONE, "pw_exp.bn", true);
    if (b->after > 0) {
        t = sb_depthwise(g, t, "dw_mid.conv", .kernel = b->after, .stride = b->stride, .pad = b->after / 2);
        t = norm(g, own, t, SB_NONE, "dw_mid.bn", true);
    }
    t = sb_conv(g, t, "pw_proj.conv", .out = b->out, .kernel = 1, .stride = 1);
    return sb_leave(g, norm(g, own, t, same ? x : SB_NONE, "pw_proj.bn", false));
}

static int stem_stride(const mobilenet_keys *own) { return own->stem == STEM_SMALL ? 1 : 2; }

static sb_t build(sb_graph *g, const void *keys_of, const sb_encoder_input *input, sb_encoder_map *map)
{
    const mobilenet_keys *own = keys_of;
    sb_t t = sb_conv(g, sb_encoder_pixels(g, input->channels, input->type), "conv_stem", .out = STEM_WIDTH,
                     .kernel = 3, .stride = stem_stride(own), .pad = 1);
    sb_entry *filters = sb_weight_of(g, t, 0);
    if (filters)
        filters->stem = true;
    t = norm(g, own, t, SB_NONE, "bn1", true);
    t = layer(g, own, t, 0, 0, (sb_conv_how){ .out = 32, .kernel = 3, .stride = 2, .pad = 1 });
    t = layer(g, own, t, 0, 1, (sb_conv_how){ .out = 32, .kernel = 1, .stride = 1 });
    t = layer(g, own, t, 1, 0, (sb_conv_how){ .out = 96, .kernel = 3, .stride = 2, .pad = 1 });
    t = layer(g, own, t, 1, 1, (sb_conv_how){ .out = 64, .kernel = 1, .stride = 1 });
    for (size_t i = 0; i < sizeof bottlenecks / sizeof *bottlenecks; i++)
        t = block(g, own, t, &bottlenecks[i]);
    t = layer(g, own, t, 4, 0, (sb_conv_how){ .out = WIDTH, .kernel = 1, .stride = 1 });
    map->map = t;
    return sb_output(g, sb_avgpool(g, t), true);
}

static sb_t head(sb_graph *g, sb_t features, bool untracked)
{
    sb_t t = sb_linear(g, features, "conv_head", .out = HEAD_WIDTH, .filters = true);
    sb_entry *filters = sb_weight_of(g, t, 0);
    if (filters)
        filters->extent.init = SB_INIT_FAN_OUT;
    const sb_batchnorm_how how = { .epsilon = SB_NORM_EPSILON, .relu = true };
    return SB_APPLY(g, SB_OP_BATCHNORM, "norm_head", untracked ? SB_BATCHNORM_STATISTICS : 0, t, SB_NONE,
                    &how);
}

/* timm's model, with the layers that differ from its own. Without a classifier it gives what the projector's
 * first layer does; the features are what comes before. */
static void show(FILE *out, const void *own, const sb_encoder_input *input)
{
    const int stride = stem_stride(own);
    fprintf(out, "import torch, timm, safetensors.torch\nmodel = "
                 "timm.create_model(\"mobilenetv4_conv_small\", num_classes=0");
    fprintf(out, input->channels == 3 ? ")\n" : ", in_chans=%d)\n", input->channels);
    if (stride != 2)
        fprintf(out, "model.conv_stem.stride = (%d, %d)\n", stride, stride);
    fprintf(out, "# the features are model.forward_features(x).mean((2, 3))\n");
}

static sb_encoder_norm norm_of(const void *own)
{
    return ((const mobilenet_keys *)own)->norm == NORM_FROZEN ? SB_ENCODER_FROZEN : SB_ENCODER_BATCH;
}

const sb_encoder_kind sb_encoder_mobilenetv4_conv_small = {
    .name = "mobilenetv4_conv_small",
    .keys = SB_KEY_TABLE("encoder", "mobilenetv4_conv_small", mobilenet_keys, keys),
    .build = build,
    .head = head,
    .show = show,
    .norm = norm_of
};
