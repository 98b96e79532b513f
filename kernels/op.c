/* op.c: the table of operations, and what many of them refuse (op.h). */
#include "kernels/op.h"

#include <limits.h>

#include "kernels/share/overlap.h"
#include "proto/error.h"

#define SB_OP(NAME, name) [SB_OP_##NAME] = &sb_op_##name,
const sb_op *const sb_ops[SB_OPS] = {
#include "kernels/ops.def"
};

int sb_op_shape(sb_op_id op, const void *how, const sb_shape *xs, sb_shape *y)
{
    for (int i = 0; i < sb_ops[op]->inputs; i++)
        if (xs[i].block != 0)
            return sb_fail("%s of a tensor in blocks of %d channels: it takes rows", sb_ops[op]->name,
                           xs[i].block);
    return sb_ops[op]->shape(how, xs, y);
}

/* types: which are taken, for the error. */
static int check(const char *operation, const sb_shape *x, bool taken, const char *types)
{
    int rows;
    if (!taken || x->n < 1 || x->h < 1 || x->w < 1 || x->c < 1)
        return sb_fail("%s of %s [%d, %d, %d, %d]: only %s, and no side below 1", operation,
                       sb_type_name(x->type), x->n, x->h, x->w, x->c, types);
    if (__builtin_mul_overflow(x->n, x->h, &rows) || __builtin_mul_overflow(rows, x->w, &rows))
        return sb_fail("%s of [%d, %d, %d, %d]: more than %d rows", operation, x->n, x->h, x->w, x->c,
                       INT_MAX);
    return 0;
}

int sb_shape_check_f32(const char *operation, const sb_shape *x)
{
    return check(operation, x, x->type == SB_F32, "f32");
}

int sb_shape_check_real(const char *operation, const sb_shape *x)
{
    return check(operation, x, sb_type_real(x->type), "f32, bf16 or f16");
}

int sb_shape_check_places(const char *operation, const sb_shape *places, size_t rows, size_t columns)
{
    if (places->n == 0 || (places->type == SB_I32 && sb_shape_rows(places) == rows && rows == columns &&
                           places->c == SB_SQUARE_NUMBERS))
        return 0;
    return sb_fail("%s of %zu samples and %zu: places in %s [%zu, %d]", operation, rows, columns,
                   sb_type_name(places->type), sb_shape_rows(places), places->c);
}

int sb_shape_check_alike(const char *operation, const sb_shape *x, const sb_shape *more)
{
    if (sb_shape_check_f32(operation, x) != 0 || sb_shape_check_f32(operation, more) != 0)
        return -1;
    if (x->n == more->n && x->h == more->h && x->w == more->w && x->c == more->c)
        return 0;
    return sb_fail("%s of [%d, %d, %d, %d] and [%d, %d, %d, %d]: the two must be of one shape", operation,
                   x->n, x->h, x->w, x->c, more->n, more->h, more->w, more->c);
}
