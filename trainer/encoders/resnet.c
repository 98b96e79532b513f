/* resnet.c: ResNet-18, 34 and 50 (He et al. 2016) with torchvision's layout and names: stride in the 3 x 3 of a bottleneck (v1.5), a
 * projection shortcut where shapes change. Stem `small`: 3 x 3, stride 1, no pooling, for images of 28 to 64 pixels. */
#include <stdio.h>

#include "trainer/network.h"

typedef struct {
    int blocks[4];
    bool bottleneck;
} resnet;

static const resnet variants[] = {
    [SB_ENCODER_RESNET18] = { { 2, 2, 2, 2 }, false },
    [SB_ENCODER_RESNET34] = { { 3, 4, 6, 3 }, false },
    [SB_ENCODER_RESNET50] = { { 3, 4, 6, 3 }, true },
};

static const char *name(char *out, size_t bytes, int stage, int block, const char *part)
{
    snprintf(out, bytes, "layer%d.%d.%s", stage, block, part);
    return out;
}

/* One residual block on tensor x with `in` channels; returns its output. */
static int add_block(sb_network *n, bool bottleneck, int x, int in, int width, int stride, int stage, int block)
{
    char text[64];
    int out = bottleneck ? 4 * width : width, shortcut = x, t = x;
    if (bottleneck) {
        t = sb_network_conv(n, t, width, 1, 1, 0, name(text, sizeof text, stage, block, "conv1"));
        t = sb_network_norm(n, t, -1, true, name(text, sizeof text, stage, block, "bn1"));
        t = sb_network_conv(n, t, width, 3, stride, 1, name(text, sizeof text, stage, block, "conv2"));
        t = sb_network_norm(n, t, -1, true, name(text, sizeof text, stage, block, "bn2"));
        t = sb_network_conv(n, t, out, 1, 1, 0, name(text, sizeof text, stage, block, "conv3"));
    } else {
        t = sb_network_conv(n, t, width, 3, stride, 1, name(text, sizeof text, stage, block, "conv1"));
        t = sb_network_norm(n, t, -1, true, name(text, sizeof text, stage, block, "bn1"));
        t = sb_network_conv(n, t, width, 3, 1, 1, name(text, sizeof text, stage, block, "conv2"));
    }
    if (stride != 1 || in != out) {
        shortcut = sb_network_conv(n, x, out, 1, stride, 0, name(text, sizeof text, stage, block, "downsample.0"));
        shortcut = sb_network_norm(n, shortcut, -1, false, name(text, sizeof text, stage, block, "downsample.1"));
    }
    return shortcut < 0 ? -1 : sb_network_norm(n, t, shortcut, true, name(text, sizeof text, stage, block, bottleneck ? "bn3" : "bn2"));
}

int sb_encoder_build(sb_network *n, const sb_config *config)
{
    const resnet *v = &variants[config->encoder.name];
    bool small = config->encoder.stem == SB_STEM_SMALL;
    int t = sb_network_conv(n, 0, 64, small ? 3 : 7, small ? 1 : 2, small ? 1 : 3, "conv1");
    t = sb_network_norm(n, t, -1, true, "bn1");
    if (!small)
        t = sb_network_maxpool(n, t);
    int in = 64;
    for (int stage = 1; stage <= 4; stage++) {
        int width = 64 << (stage - 1);
        for (int block = 0; block < v->blocks[stage - 1]; block++) {
            t = add_block(n, v->bottleneck, t, in, width, stage > 1 && block == 0 ? 2 : 1, stage, block);
            in = v->bottleneck ? 4 * width : width;
        }
    }
    return sb_network_avgpool(n, t) < 0 ? -1 : 0;
}
