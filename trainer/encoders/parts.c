/* pixels.c: see pixels.h. */
#include "trainer/encoders/pixels.h"

#include <string.h>

#include "trainer/graph/build.h"

#define NOMINAL_SIDE 224

static const float mean_colour[] = { 0.485f, 0.456f, 0.406f }, std_colour[] = { 0.229f, 0.224f, 0.225f };
static const float mean_grey[] = { 0.449f }, std_grey[] = { 0.226f };

sb_t sb_encoder_pixels(sb_graph *g, int channels, sb_type type)
{
    sb_input_how how = { .type = type };
    const bool grey = channels == 1;
    memcpy(how.mean, grey ? mean_grey : mean_colour, grey ? sizeof mean_grey : sizeof mean_colour);
    memcpy(how.std, grey ? std_grey : std_colour, grey ? sizeof std_grey : sizeof std_colour);
    sb_t pixels = sb_leaf(g, "pixels", (sb_shape){ 1, NOMINAL_SIDE, NOMINAL_SIDE, channels, SB_U8 }, false);
    return SB_APPLY(g, SB_OP_INPUT, "input", 0, pixels, SB_NONE, &how);
}
