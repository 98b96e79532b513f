/* blocks.c: see blocks.h. Every kernel of the CPU's has one around it, which copies what is in blocks to
 * rows, calls it, and copies what it made back. */
#include "tests/graph/blocks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

blocks_wish blocks_wishes[SB_OPS];
long blocks_planned;

static const sb_kernel *const *cpu; /* what the kernels here are built around */

int blocks_wished(sb_op_id op, int k, int comes)
{
    const blocks_wish *w = &blocks_wishes[op];
    int block = k == SB_INPUTS_MAX ? w->y : w->x[k];
    if (block != BLOCKS_AS_FIRST)
        return block;
    return w->x[0] == BLOCKS_AS_FIRST ? comes : w->x[0];
}

/* The call as the CPU's kernel is to see it. */
static sb_call in_rows(sb_op_id op, const sb_call *call)
{
    sb_call rows = *call;
    for (int k = 0; k < SB_INPUTS_MAX; k++) {
        if (call->xs[k].n > 0)
            assert_int_equal(call->xs[k].block, blocks_wished(op, k, call->xs[0].block));
        rows.xs[k].block = 0;
    }
    assert_int_equal(call->ys.block, blocks_wished(op, SB_INPUTS_MAX, call->xs[0].block));
    rows.ys.block = 0;
    return rows;
}

/* Memory for the tensor in rows, which it begins with. NULL for NULL. */
static void *rows_for(const sb_shape *s, const void *tensor)
{
    sb_shape rows = *s;
    rows.block = 0;
    size_t bytes = (sb_shape_bytes(&rows) + 63) / 64 * 64;
    void *memory = tensor ? aligned_alloc(64, bytes) : NULL;
    if (tensor)
        assert_non_null(memory);
    if (memory)
        memset(memory, 0xFF, bytes); /* NaN */
    return memory;
}

/* Copies a tensor in blocks to rows or back. Behind its channels zeros are found, or put. */
static void copy(const sb_shape *s, void *tensor, void *rows, bool back)
{
    static const char zeros[4];
    size_t size = sb_type_bytes(s->type), places = (size_t)s->h * (size_t)s->w, c = (size_t)s->c,
           block = s->block ? (size_t)s->block : c, blocks = (c + block - 1) / block;
    char *in = tensor;
    for (size_t n = 0; n < (size_t)s->n; n++)
        for (size_t b = 0; b < blocks; b++)
            for (size_t p = 0; p < places; p++)
                for (size_t k = b * block; k < (b + 1) * block; k++, in += size) {
                    char *out = k < c ? (char *)rows + ((n * places + p) * c + k) * size : NULL;
                    if (back)
                        memcpy(in, out ? out : zeros, size);
                    else if (out)
                        memcpy(out, in, size);
                    else
                        assert_memory_equal(in, zeros, size);
                }
}

static void *read_rows(const sb_shape *s, const void *tensor)
{
    void *rows = rows_for(s, tensor);
    if (rows)
        copy(s, (void *)(uintptr_t)tensor, rows, false);
    return rows;
}

static int forward(sb_device *device, sb_op_id op, const sb_call *call)
{
    sb_call rows = in_rows(op, call);
    for (int k = 0; k < SB_INPUTS_MAX; k++)
        rows.x[k] = read_rows(&call->xs[k], call->x[k]);
    rows.y = rows_for(&call->ys, call->y);
    int rc = cpu[op]->forward(device, &rows);
    copy(&call->ys, call->y, rows.y, true);
    for (int k = 0; k < SB_INPUTS_MAX; k++)
        free((void *)(uintptr_t)rows.x[k]);
    free(rows.y);
    return rc;
}

/* Gradients are given from the last to the first, where two may be of one tensor (op.h). */
static int backward(sb_device *device, sb_op_id op, const sb_call *call)
{
    sb_call rows = in_rows(op, call);
    bool shared[SB_INPUTS_MAX] = { false };
    rows.y = read_rows(&call->ys, call->y);
    rows.dy = read_rows(&call->ys, call->dy);
    for (int k = SB_INPUTS_MAX - 1; k >= 0; k--) {
        rows.x[k] = read_rows(&call->xs[k], call->x[k]);
        for (int later = k + 1; later < SB_INPUTS_MAX && call->dx[k] && !shared[k]; later++) {
            shared[k] = call->dx[later] == call->dx[k];
            rows.dx[k] = rows.dx[later];
        }
        if (!shared[k])
            rows.dx[k] = call->add[k] ? read_rows(&call->xs[k], call->dx[k])
                                      : rows_for(&call->xs[k], call->dx[k]);
    }
    int rc = cpu[op]->backward(device, &rows);
    for (int k = 0; k < SB_INPUTS_MAX; k++) {
        if (call->dx[k])
            copy(&call->xs[k], call->dx[k], rows.dx[k], true);
        free((void *)(uintptr_t)rows.x[k]);
    }
    for (int k = 0; k < SB_INPUTS_MAX; k++)
        if (!shared[k])
            free(rows.dx[k]);
    free((void *)(uintptr_t)rows.dy);
    free(rows.y);
    return rc;
}

static int plan(sb_device *device, sb_op_id op, sb_call *call)
{
    sb_call rows = in_rows(op, call);
    blocks_planned++;
    int rc = cpu[op]->plan(device, &rows);
    call->planned = rows.planned;
    return rc;
}

static size_t scratch(sb_device *device, sb_op_id op, const sb_call *call)
{
    const sb_call rows = in_rows(op, call);
    return cpu[op]->scratch(device, &rows);
}

static void layout(sb_op_id op, sb_call *call)
{
    int comes = call->xs[0].block;
    for (int k = 0; k < SB_INPUTS_MAX; k++)
        call->xs[k].block = call->xs[k].n > 0 ? blocks_wished(op, k, comes) : 0;
    call->ys.block = blocks_wished(op, SB_INPUTS_MAX, comes);
}

/* A kernel is not told which operation it is of, so each operation has functions of its own. */
#define SB_OP(NAME, name)                                                                                \
    static int name##_forward(sb_device *d, const sb_call *c) { return forward(d, SB_OP_##NAME, c); }    \
    static int name##_backward(sb_device *d, const sb_call *c) { return backward(d, SB_OP_##NAME, c); }  \
    static int name##_plan(sb_device *d, sb_call *c) { return plan(d, SB_OP_##NAME, c); }                \
    static size_t name##_scratch(sb_device *d, const sb_call *c) { return scratch(d, SB_OP_##NAME, c); } \
    static void name##_layout(sb_device *d, sb_call *c) { (void)d, layout(SB_OP_##NAME, c); }
#include "kernels/ops.def"
#undef SB_OP

#define SB_OP(NAME, name)        \
    { .layout = name##_layout,   \
      .scratch = name##_scratch, \
      .plan = name##_plan,       \
      .forward = name##_forward, \
      .backward = name##_backward },
static sb_kernel kernels[SB_OPS] = {
#include "kernels/ops.def"
};
#undef SB_OP

int rows_device(sb_device **out, int threads)
{
    static sb_kernel in_rows[SB_OPS];
    static const sb_kernel *table[SB_OPS];
    if (sb_device_cpu(out, threads) != 0)
        return -1;
    for (int op = 0; op < SB_OPS; op++) {
        in_rows[op] = *(*out)->kernels[op];
        in_rows[op].layout = NULL;
        table[op] = &in_rows[op];
    }
    (*out)->kernels = table;
    return 0;
}

int blocks_device(sb_device **out, int threads)
{
    static const sb_kernel *table[SB_OPS];
    if (sb_device_cpu(out, threads) != 0)
        return -1;
    cpu = (*out)->kernels;
    for (int op = 0; op < SB_OPS; op++) {
        sb_kernel *k = &kernels[op];
        const sb_kernel *around = cpu[op];
        k->plan = around->plan ? k->plan : NULL;
        k->unplan = around->unplan;
        k->scratch = around->scratch ? k->scratch : NULL;
        k->backward = around->backward ? k->backward : NULL;
        k->rounds_dw = around->rounds_dw;
        table[op] = k;
    }
    table[SB_OP_REORDER] = cpu[SB_OP_REORDER];
    table[SB_OP_VIEW] = cpu[SB_OP_VIEW];
    table[SB_OP_UPDATE] = cpu[SB_OP_UPDATE];
    (*out)->kernels = table;
    return 0;
}
