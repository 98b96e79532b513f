/* recompute.c: which values of the backbone are made again on the way back instead of kept (plan.h, AGAIN).
 *
 * The same kernels make them from the same values, so no bit of a result depends on it. Always: what the
 * first convolution reads, from the 8-bit pixels, which are there anyway. Norms: a norm's output and a
 * GELU's, from the convolution's that it read, which its own gradient needs, and copies of cells (pick.h,
 * unpick.h); some per cent of the time, about a sixth of the memory, of a ConvNeXt two fifths. Wide: also
 * what a convolution of 1 x 1 widens from few channels: of a ResNet-50, the first stage's, which are a fifth
 * of what norms keeps, for at most two per cent more of the time. Blocks: all but the blocks' outputs, so
 * that a block's inside lives only while the way back is in it; another way forth, about a third of the time.
 */
#include "trainer/step/private.h"

#include "kernels/op/conv.h"

static bool is_copy(const sb_node *n) { return n->op == SB_OP_PICK || n->op == SB_OP_UNPICK; }

/* A copy of nothing but pixels. */
static bool of_input(const sb_graph *g, const sb_node *n)
{
    while (is_copy(n))
        n = &g->nodes[n->x[0]];
    return n->op == SB_OP_INPUT;
}

static bool is_cheap(const sb_node *n)
{
    return n->op == SB_OP_BATCHNORM || n->op == SB_OP_GROUPNORM || n->op == SB_OP_LAYERNORM ||
           n->op == SB_OP_GELU || n->op == SB_OP_GRN || is_copy(n);
}

/* Each value costs one product for each channel that is read: with few of them hardly more time than moving
 * it.
 */
#define WIDENED_FROM 64 /* channels, at most */
static bool widens(const sb_graph *g, const sb_node *n)
{
    const sb_conv_how *how = (const void *)n->how;
    return n->op == SB_OP_CONV && how->kernel == 1 && sb_shape_of(g, n->x[0]).c <= WIDENED_FROM &&
           how->out > sb_shape_of(g, n->x[0]).c;
}

static bool is_again(const sb_graph *g, const sb_node *n, sb_recompute what)
{
    if (n->op == SB_OP_INPUT || (is_copy(n) && of_input(g, n)))
        return true;
    switch (what) {
    case SB_RECOMPUTE_NORMS: return !n->block && is_cheap(n);
    case SB_RECOMPUTE_WIDE: return !n->block && (is_cheap(n) || widens(g, n));
    case SB_RECOMPUTE_BLOCKS: return !n->block;
    default: return false;
    }
}

void sb_step_recompute(sb_step *s, sb_recompute what)
{
    const sb_graph *g = s->encoder;
    for (int i = 0; i < g->count; i++)
        s->again[i] = !g->nodes[i].leaf && is_again(g, &g->nodes[i], what);
    for (int k = 0; k < g->output_count; k++)
        s->again[g->outputs[k]] = false;
}
