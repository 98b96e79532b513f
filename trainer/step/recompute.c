/* recompute.c: which values of the backbone are made again on the way back instead of kept (plan.h, AGAIN).
 *
 * The same kernels make them from the same values, so no bit of a result depends on it. Always: what the
 * first convolution reads, from the 8-bit pixels, which are there anyway. Norms: a norm's output and a
 * GELU's, from the convolution's that it read, which its own gradient needs, and copies of cells (pick.h,
 * unpick.h); some per cent of the time, about a sixth of the memory, of a ConvNeXt two fifths. Blocks: all
 * but the blocks' outputs, so that a block's inside lives only while the way back is in it; another way
 * forth, about a third of the time. */
#include "trainer/step/private.h"

static bool is_copy(const sb_node *n) { return n->op == SB_OP_PICK || n->op == SB_OP_UNPICK; }

/* A copy of nothing but pixels. */
static bool of_input(const sb_graph *g, const sb_node *n)
{
    while (is_copy(n))
        n = &g->nodes[n->x[0]];
    return n->op == SB_OP_INPUT;
}

void sb_step_recompute(sb_step *s, sb_recompute what)
{
    for (int i = 0; i < s->encoder->count; i++) {
        const sb_node *n = &s->encoder->nodes[i];
        const bool cheap = (n->op == SB_OP_BATCHNORM || n->op == SB_OP_GROUPNORM ||
                            n->op == SB_OP_LAYERNORM || n->op == SB_OP_GELU || n->op == SB_OP_GRN ||
                            is_copy(n)) &&
                           !n->block;
        const bool of_pixels = n->op == SB_OP_INPUT || (is_copy(n) && of_input(s->encoder, n));
        s->again[i] = !n->leaf && (of_pixels || (what == SB_RECOMPUTE_NORMS && cheap) ||
                                   (what == SB_RECOMPUTE_BLOCKS && !n->block));
    }
    for (int k = 0; k < s->encoder->output_count; k++)
        s->again[s->encoder->outputs[k]] = false;
}
