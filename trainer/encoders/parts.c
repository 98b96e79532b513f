/* parts.c: see parts.h. */
#include "trainer/encoders/parts.h"

#include "trainer/graph/build.h"

#define NOMINAL_SIDE 256 /* a multiple of every cell */

static const float mean_colour[] = { 0.485f, 0.456f, 0.406f }, std_colour[] = { 0.229f, 0.224f, 0.225f };
static const float mean_grey = 0.449f, std_grey = 0.226f;

sb_input_how sb_encoder_normalise(int channels, sb_type type)
{
    sb_input_how how = { .type = type };
    for (int c = 0; c < channels; c++) {
        const bool colour = channels >= 3 && c < 3;
        how.mean[c] = colour ? mean_colour[c] : mean_grey;
        how.std[c] = colour ? std_colour[c] : std_grey;
    }
    return how;
}

sb_t sb_encoder_pixels(sb_graph *g, int channels, sb_type type)
{
    const sb_input_how how = sb_encoder_normalise(channels, type);
    sb_t pixels = sb_leaf(g, "pixels", (sb_shape){ 1, NOMINAL_SIDE, NOMINAL_SIDE, channels, SB_U8 }, false);
    return SB_APPLY(g, SB_OP_INPUT, "input", 0, pixels, SB_NONE, &how);
}

sb_t sb_encoder_small(sb_graph *g, sb_t t)
{
    sb_entry *weight = sb_weight_of(g, t, 0);
    if (weight) {
        weight->extent.init = SB_INIT_NORMAL;
        weight->extent.size = 0.02f;
    }
    return t;
}

sb_t sb_encoder_layernorm(sb_graph *g, sb_t x, const char *name)
{
    return sb_layernorm(g, x, name, .epsilon = 1e-6f);
}

sb_encoder_cells sb_encoder_cells_of(sb_graph *g, const sb_encoder_input *input, int side)
{
    if (!input->masked)
        return (sb_encoder_cells){ .visible = SB_NONE };
    return (sb_encoder_cells){ sb_leaf(g, "visible cells", (sb_shape){ 1, 1, 1, 1, SB_I32 }, false), side };
}

sb_t sb_encoder_visible(sb_graph *g, const sb_encoder_cells *cells, sb_t x, int stride)
{
    return cells->side == 0 ? x : sb_pick(g, x, cells->visible, .side = cells->side / stride);
}

sb_t sb_encoder_whole(sb_graph *g, const sb_encoder_cells *cells, sb_t x, int stride)
{
    return cells->side == 0 ? x
                            : sb_unpick(g, x, cells->visible, g->leaves[0], "unpick",
                                        .side = cells->side / stride, .stride = stride);
}

sb_encoder_norm sb_encoder_uncoupled(const void *keys) { return (void)keys, SB_ENCODER_GROUP; }
