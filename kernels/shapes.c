/* shapes.c: what no device accepts. */
#include "kernels/shapes.h"

#include "proto/error.h"

int sb_conv_check(const sb_conv_shape *s)
{
    int h = s->h + 2 * s->pad - s->kernel, w = s->w + 2 * s->pad - s->kernel;
    if (s->n < 1 || s->in < 1 || s->out < 1 || s->kernel < 1 || s->stride < 1 || s->pad < 0 || s->pad >= s->kernel || h < 0 || w < 0)
        return sb_fail("a convolution of [%d, %d, %d, %d] to %d channels with kernel %d, stride %d, pad %d", s->n, s->h, s->w, s->in,
                       s->out, s->kernel, s->stride, s->pad);
    return 0;
}

int sb_view_check(const sb_view_params *params, int count, int tile_width, int tile_height, int channels)
{
    if (channels != 1 && channels != 3)
        return sb_fail("a tile of %d channels", channels);
    for (int i = 0; i < count; i++) {
        const sb_view_params *p = &params[i];
        if (p->size < 1 || p->left < 0 || p->top < 0 || p->width < 1 || p->height < 1 || p->width > tile_width - p->left ||
            p->height > tile_height - p->top)
            return sb_fail("a crop of %d x %d at (%d, %d) of a tile of %d x %d to %d pixels", p->width, p->height, p->left, p->top,
                           tile_width, tile_height, p->size);
    }
    return 0;
}
