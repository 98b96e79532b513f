/* view.c: see view.h. */
#include "kernels/op/view.h"

#include "proto/error.h"

int sb_view_check(const sb_view_how *how, const sb_shape *tile)
{
    if (tile->c < 1 || tile->c > SB_VIEW_CHANNELS_MAX)
        return sb_fail("a tile of %d channels", tile->c);
    for (int i = 0; i < how->count; i++) {
        const sb_view_params *p = &how->params[i];
        if (p->size < 1 || p->size > how->max_size)
            return sb_fail("a view of %d pixels, planned for 1 to %d", p->size, how->max_size);
        if (p->left < 0 || p->top < 0 || p->width < 1 || p->height < 1 || p->width > tile->w - p->left ||
            p->height > tile->h - p->top)
            return sb_fail("a crop of %d x %d at (%d, %d) of a tile of %d x %d", p->width, p->height, p->left,
                           p->top, tile->w, tile->h);
    }
    return 0;
}

/* The crop is read, the view is written. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    const sb_view_how *h = how;
    (void)backward;
    double pixels = 0;
    for (int i = 0; i < h->count; i++) {
        const sb_view_params *p = &h->params[i];
        pixels += (double)p->width * p->height + (double)p->size * p->size;
    }
    return (sb_cost){ .bytes = pixels * xs->c };
}

const sb_op sb_op_view = { .name = "view", .inputs = 1, .cost = cost };
