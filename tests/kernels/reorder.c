/* reorder.c: from one layout to another, and its gradient back: exact. What x and dy hold behind the channels
 * is rubbish here, which must go nowhere. */
#include "kernels/op/reorder.h"

#include <string.h>

#include "tests/kernels/op_cases.h"

/* Where channel k of place p of image n lies. */
static size_t at(const sb_shape *s, size_t n, size_t p, size_t k)
{
    size_t places = (size_t)s->h * (size_t)s->w, c = (size_t)s->c, block = (size_t)s->block;
    if (block == 0)
        return (n * places + p) * c + k;
    return ((n * ((c + block - 1) / block) + k / block) * places + p) * block + k % block;
}

static void move(const sb_shape *from, const double *x, const sb_shape *to, double *y)
{
    memset(y, 0, sb_shape_elements(to) * sizeof *y);
    for (size_t n = 0; n < (size_t)to->n; n++)
        for (size_t p = 0; p < (size_t)to->h * (size_t)to->w; p++)
            for (size_t k = 0; k < (size_t)to->c; k++)
                y[at(to, n, p, k)] = x[at(from, n, p, k)];
}

static void forward(sb_reference *r) { move(&r->xs[0], r->x[0], &r->ys, r->y); }
static void backward(sb_reference *r) { move(&r->ys, r->dy, &r->xs[0], r->dx[0]); }

static const sb_op_test test = {
    .op = SB_OP_REORDER, .how_bytes = sizeof(sb_reorder_how), .forward = forward, .backward = backward
};

static void add(sb_shape x, int to, sb_op_options options)
{
    sb_op_case_add(&test, &(sb_reorder_how){ to }, &x, options, "%s [%d, %d, %d, %d], %d to %d",
                   sb_type_name(x.type), x.n, x.h, x.w, x.c, x.block, to);
}

static int refuse(sb_shape x, int to)
{
    sb_shape y;
    return sb_op_reorder.shape(&(sb_reorder_how){ to }, &x, &y);
}
static int refuse_pixels(sb_device *d) { return (void)d, refuse((sb_shape){ 1, 8, 8, 3, SB_U8 }, 8); }
static int refuse_from(sb_device *d) { return (void)d, refuse((sb_shape){ 1, 8, 8, 3, SB_F32, 4 }, 8); }
static int refuse_to(sb_device *d) { return (void)d, refuse((sb_shape){ 1, 8, 8, 3, SB_F32 }, 32); }

/* What every other operation says of such a tensor. */
static int refuse_blocks(sb_device *d)
{
    sb_shape y;
    return (void)d, sb_op_shape(SB_OP_AVGPOOL, NULL, &(sb_shape){ 1, 8, 8, 3, SB_F32, 8 }, &y);
}

void sb_cases_reorder(void)
{
    const int layouts[] = { 0, 8, 16 };
    const int sizes[][4] = { { 1, 1, 1, 1 },   { 3, 2, 5, 1 },   { 2, 3, 3, 31 },   { 31, 1, 1, 33 },
                             { 2, 7, 5, 255 }, { 1, 3, 1, 257 }, { 33, 1, 31, 16 }, { 2, 2, 2, 24 } };
    for (sb_type type = SB_F32; type <= SB_F16; type++)
        for (int from = 0; from < 3; from++)
            for (int to = 0; to < 3; to++) {
                for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
                    const int *s = sizes[i];
                    if (sb_case_has(type, i + (size_t)(from + to)))
                        add((sb_shape){ s[0], s[1], s[2], s[3], type, layouts[from] }, layouts[to],
                            (sb_op_options){ 0 });
                }
                if (from != to)
                    add((sb_shape){ 8, 56, 56, 64, type, layouts[from] }, layouts[to],
                        (sb_op_options){ .timed = true });
            }
    sb_case_add_refusal("reorder: pixels", refuse_pixels);
    sb_case_add_refusal("reorder: from blocks of 4", refuse_from);
    sb_case_add_refusal("reorder: to blocks of 32", refuse_to);
    sb_case_add_refusal("reorder: an operation that takes rows", refuse_blocks);
}
