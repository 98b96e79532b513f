/* resnet.c: ResNet-18, 34 and 50 (He et al. 2016) with torchvision's layout and names: stride in the 3 x 3 of
 * a bottleneck (v1.5), a projection shortcut where shapes change. Stem `small`: 3 x 3, stride 1, no pooling,
 * for images of 28 to 64 pixels. Stem `stride4`: ImageNet's weights at twice the stride, for images of 512
 * pixels and more: a quarter of the places in every layer. Where a part of each view is encoded, norms and
 * convolutions of 1 x 1 are computed for that part alone. Norms `group`: GroupNorm of 32 groups (Wu and He
 * 2018), by default behind convolutions whose filters are standardised (Qiao et al. 2019). */
#include "trainer/encoder.h"
#include "trainer/encoders/parts.h"
#include "trainer/graph/build.h"

#define STEM_WIDTH 64
#define GROUPS 32

typedef struct {
    int blocks[4];
    bool bottleneck;
} resnet;

typedef enum { STEM_IMAGENET, STEM_SMALL, STEM_STRIDE4, STEMS } resnet_stem;

typedef struct {
    resnet_stem stem;
    sb_encoder_norm norm;
    bool standardise, zero_gamma;
} resnet_keys;

static const sb_key keys[] = {
    SB_KEY_CHOICE(resnet_keys, stem, "imagenet", "imagenet|small|stride4",
                  "small: 3 x 3 without pooling, for small views; stride4: a quarter of the work and of the "
                  "memory, for large ones"),
    SB_KEY_CHOICE(
        resnet_keys, norm, "batch", "batch|group|frozen",
        "group: of each view by itself; frozen: as init has it, and not trained; both for few views "
        "at once"),
    SB_KEY_BOOL(
        resnet_keys, standardise, "true",
        "before group norms filters are brought to mean 0 and variance 1 in use; false: torchvision's "
        "ResNet with GroupNorm as it is"),
    SB_KEY_BOOL(resnet_keys, zero_gamma, "false",
                "the scale of a block's last norm begins at 0, so that each block begins as its shortcut"),
};

/* The first convolution, and whether max pooling is behind it. */
static const struct {
    int kernel, stride, pad;
    bool pool;
} stems[STEMS] = {
    [STEM_IMAGENET] = { 7, 2, 3, true }, [STEM_SMALL] = { 3, 1, 1, false }, [STEM_STRIDE4] = { 7, 4, 3, true }
};

/* Pixels from place to place behind the stem. */
static int stem_stride(const resnet_keys *own) { return stems[own->stem].stride << stems[own->stem].pool; }

/* And of the last map, which three stages have made smaller. */
static int cell(const void *own) { return stem_stride(own) << 3; }

static sb_t conv(sb_graph *g, const resnet_keys *own, sb_t x, const char *name, sb_conv_how how)
{
    how.standardised = own->norm == SB_ENCODER_GROUP && own->standardise;
    return SB_APPLY(g, SB_OP_CONV, name, 0, x, SB_NONE, &how);
}

/* Of 3 x 3, over a map with `from` pixels from place to place. */
static sb_t conv3(sb_graph *g, const resnet_keys *own, const sb_encoder_cells *cells, sb_t x,
                  const char *name, int width, int from, int stride)
{
    sb_t t = conv(g, own, sb_encoder_whole(g, cells, x, from), name,
                  (sb_conv_how){ width, .kernel = 3, .stride = stride, .pad = 1 });
    return sb_encoder_visible(g, cells, t, from * stride);
}

/* Of x, with the residual (or SB_NONE) added, then ReLU where `relu`. */
static sb_t norm(sb_graph *g, const resnet_keys *own, sb_t x, sb_t residual, const char *name, bool relu)
{
    return own->norm == SB_ENCODER_GROUP
               ? sb_groupnorm(g, x, residual, name, .groups = GROUPS, .relu = relu)
               : sb_batchnorm(g, x, residual, name, .relu = relu, .frozen = own->norm == SB_ENCODER_FROZEN);
}

/* x [n, h, w, in] -> [n, h / stride, w / stride, width], or 4 width of a bottleneck. from: conv3. */
static sb_t block(sb_graph *g, const resnet_keys *own, const sb_encoder_cells *cells, sb_t x, bool bottleneck,
                  int width, int from, int stride)
{
    int out = bottleneck ? 4 * width : width;
    sb_t shortcut = x, t;
    if (bottleneck) {
        t = conv(g, own, x, "conv1", (sb_conv_how){ width, .kernel = 1, .stride = 1 });
        t = norm(g, own, t, SB_NONE, "bn1", true);
        t = conv3(g, own, cells, t, "conv2", width, from, stride);
        t = norm(g, own, t, SB_NONE, "bn2", true);
        t = conv(g, own, t, "conv3", (sb_conv_how){ out, .kernel = 1, .stride = 1 });
    } else {
        t = conv3(g, own, cells, x, "conv1", width, from, stride);
        t = norm(g, own, t, SB_NONE, "bn1", true);
        t = conv3(g, own, cells, t, "conv2", width, from * stride, 1);
    }
    if (stride != 1 || sb_shape_of(g, x).c != out) {
        shortcut = conv(g, own, x, "downsample.0", (sb_conv_how){ out, .kernel = 1, .stride = stride });
        shortcut = norm(g, own, shortcut, SB_NONE, "downsample.1", false);
    }
    t = norm(g, own, t, shortcut, bottleneck ? "bn3" : "bn2", true);
    sb_entry *gamma = sb_weight_of(g, t, 0);
    if (gamma && own->zero_gamma)
        gamma->extent.init = SB_INIT_ZERO;
    return t;
}

static sb_t build(sb_graph *g, const resnet *v, const resnet_keys *own, const sb_encoder_input *input,
                  sb_encoder_map *map)
{
    sb_t t = sb_encoder_pixels(g, input->channels, input->type);
    const sb_encoder_cells cells = sb_encoder_cells_of(g, input, cell(own));
    int stride = stems[own->stem].stride;
    t = sb_encoder_whole(g, &cells, sb_encoder_visible(g, &cells, t, 1), 1);
    t = conv(g, own, t, "conv1",
             (sb_conv_how){ STEM_WIDTH, .kernel = stems[own->stem].kernel, .stride = stride,
                            .pad = stems[own->stem].pad });
    sb_entry *filters = sb_weight_of(g, t, 0);
    if (filters)
        filters->stem = true;
    t = norm(g, own, sb_encoder_visible(g, &cells, t, stride), SB_NONE, "bn1", true);
    if (stems[own->stem].pool)
        t = sb_encoder_visible(g, &cells, sb_maxpool(g, sb_encoder_whole(g, &cells, t, stride)), 2 * stride);
    stride = stem_stride(own);
    for (int stage = 0; stage < 4; stage++)
        for (int i = 0; i < v->blocks[stage]; i++) {
            const int step = stage > 0 && i == 0 ? 2 : 1;
            sb_scope(g, "layer%d.%d", stage + 1, i);
            t = sb_leave(g, block(g, own, &cells, t, v->bottleneck, 64 << stage, stride, step));
            stride *= step;
        }
    map->map = t;
    return sb_output(g, sb_avgpool(g, t), true);
}

/* torchvision's model of that name, with the layers that differ from its own. */
static void show(FILE *out, const char *name, const resnet_keys *own, const sb_encoder_input *input)
{
    const int kernel = stems[own->stem].kernel, stride = stems[own->stem].stride;
    fprintf(out, "import torch, torchvision, safetensors.torch\nmodel = torchvision.models.%s(", name);
    if (own->norm == SB_ENCODER_GROUP)
        fprintf(out, "norm_layer=lambda c: torch.nn.GroupNorm(%d, c)", GROUPS);
    fprintf(out, ")\n");
    if (input->channels != 3 || own->stem == STEM_SMALL)
        fprintf(out, "model.conv1 = torch.nn.Conv2d(%d, %d, %d, stride=%d, padding=%d, bias=False)\n",
                input->channels, STEM_WIDTH, kernel, stride, stems[own->stem].pad);
    else if (own->stem == STEM_STRIDE4)
        fprintf(out, "model.conv1.stride = (%d, %d)\n", stride, stride);
    if (!stems[own->stem].pool)
        fprintf(out, "model.maxpool = torch.nn.Identity()\n");
    fprintf(out, "model.fc = torch.nn.Identity()\n");
}

static sb_encoder_norm norm_of(const void *own) { return ((const resnet_keys *)own)->norm; }

#define RESNET(number, ...)                                                                               \
    static sb_t build##number(sb_graph *g, const void *own, const sb_encoder_input *input,                \
                              sb_encoder_map *map)                                                        \
    {                                                                                                     \
        return build(g, &(const resnet)__VA_ARGS__, own, input, map);                                     \
    }                                                                                                     \
    static void show##number(FILE *out, const void *own, const sb_encoder_input *input)                   \
    {                                                                                                     \
        show(out, "resnet" #number, own, input);                                                          \
    }                                                                                                     \
    const sb_encoder_kind sb_encoder_resnet##number = { .name = "resnet" #number,                         \
                                                        .keys = SB_KEY_TABLE("encoder", "resnet" #number, \
                                                                             resnet_keys, keys),          \
                                                        .build = build##number,                           \
                                                        .cell = cell,                                     \
                                                        .show = show##number,                             \
                                                        .norm = norm_of };
RESNET(18, { { 2, 2, 2, 2 }, .bottleneck = false })
RESNET(34, { { 3, 4, 6, 3 }, .bottleneck = false })
RESNET(50, { { 3, 4, 6, 3 }, .bottleneck = true })
