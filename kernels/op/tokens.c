/* tokens.c: see tokens.h. */
#include "kernels/op/tokens.h"

#include "proto/error.h"

#define GRID_MAX 4096
#define REGISTERS_MAX 64

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_tokens_how *h = how;
    if (sb_shape_check_real("tokens", xs) != 0)
        return -1;
    if (h->grid < 1 || h->grid > GRID_MAX || h->registers < 0 || h->registers > REGISTERS_MAX)
        return sb_fail("tokens with a table of %d x %d places and %d registers: 1 to %d, and 0 to %d were "
                       "expected",
                       h->grid, h->grid, h->registers, GRID_MAX, REGISTERS_MAX);
    const int prefix = sb_tokens_prefix(h);
    *y = prefix > 0 ? (sb_shape){ xs->n, 1, prefix + xs->h * xs->w, xs->c, xs->type } : *xs;
    return sb_shape_check_real("tokens", y);
}

static unsigned keeps(const void *how, const sb_shape *xs) { return (void)how, (void)xs, 0; }

/* As timm begins them; weight decay would pull at what only says where something is. */
static void weights(const void *how, const sb_shape *xs, sb_extent w[SB_WEIGHTS_MAX])
{
    const sb_tokens_how *h = how;
    const int64_t places = sb_tokens_prefix(h) + (int64_t)h->grid * h->grid;
    if (h->class_token)
        w[SB_TOKENS_CLASS] = (sb_extent){
            3, { 1, 1, xs->c }, "cls_token", .init = SB_INIT_NORMAL, .size = 1e-6f
        };
    if (h->registers > 0)
        w[SB_TOKENS_REGISTERS] = (sb_extent){
            3, { 1, h->registers, xs->c }, "reg_token", .init = SB_INIT_NORMAL, .size = 1e-6f
        };
    w[SB_TOKENS_POSITIONS] = (sb_extent){
        3, { 1, places, xs->c }, "pos_embed", .init = SB_INIT_NORMAL, .size = .02f
    };
}

/* x and y, or dy and dx; the table and what it becomes are small beside them. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    (void)backward;
    const double table = sb_tokens_prefix(how) +
                         ((const sb_tokens_how *)how)->grid * (double)((const sb_tokens_how *)how)->grid;
    return (sb_cost){ .bytes = 2 * (double)sb_shape_bytes(xs) + sizeof(float) * table * xs->c,
                      .operations = (double)sb_shape_elements(xs) };
}

const sb_op sb_op_tokens = {
    .name = "tokens", .inputs = 1, .shape = shape, .keeps = keeps, .weights = weights, .cost = cost
};
