/* rows.c: rows in turn. Exact, but for the gradient of rows that come more than once: a sum in f64. */
#include "kernels/op/rows.h"

#include <math.h>
#include <string.h>

#include "tests/kernels/op_cases.h"

static size_t width(const sb_reference *r) { return sb_shape_elements(&r->xs[0]) / (size_t)r->xs[0].n; }

/* The row of x that is row i of y. */
static size_t taken(const sb_reference *r, int i)
{
    const sb_rows_how *how = r->how;
    return (size_t)((how->first + i) % r->xs[0].n) * width(r);
}

static void forward(sb_reference *r)
{
    for (int i = 0; i < r->ys.n; i++)
        memcpy(r->y + (size_t)i * width(r), r->x[0] + taken(r, i), width(r) * sizeof(double));
}

/* One term is exact; of more, each is rounded into the sum. */
static void backward(sb_reference *r)
{
    double terms = ceil((double)r->ys.n / r->xs[0].n);
    memset(r->dx[0], 0, sb_shape_elements(&r->xs[0]) * sizeof(double));
    for (int i = 0; i < r->ys.n; i++)
        for (size_t k = 0; k < width(r); k++) {
            double term = r->dy[(size_t)i * width(r) + k];
            r->dx[0][taken(r, i) + k] += term;
            r->dx_bound[0][taken(r, i) + k] += (terms - 1) * 0x1p-53 * fabs(term);
        }
}

static const sb_op_test rows = {
    .op = SB_OP_ROWS, .how_bytes = sizeof(sb_rows_how), .forward = forward, .backward = backward
};

static void add(sb_shape x, int first, int count, sb_op_options options)
{
    sb_op_case_add(&rows, &(sb_rows_how){ first, count }, &x, options, "[%d, %d, %d, %d], %d from %d on", x.n,
                   x.h, x.w, x.c, count, first);
}

static int shape_of(int n, int first, int count)
{
    sb_shape y;
    return sb_op_rows.shape(&(sb_rows_how){ first, count }, &(sb_shape){ n, 1, 1, 4, SB_F32 }, &y);
}

static int refuse_none(sb_device *d) { return (void)d, shape_of(4, 0, 0); }
static int refuse_behind(sb_device *d) { return (void)d, shape_of(4, 4, 1); }

void sb_cases_rows(void)
{
    const int sizes[][4] = { { 1, 1, 0, 1 },    { 2, 1, 1, 2 },     { 31, 33, 0, 31 },   { 33, 31, 32, 33 },
                             { 255, 1, 7, 31 }, { 257, 255, 3, 3 }, { 66, 128, 33, 66 }, { 33, 257, 30, 20 },
                             { 1, 31, 0, 255 }, { 1, 1, 0, 2 },     { 31, 33, 5, 257 },  { 33, 255, 32, 34 },
                             { 2, 257, 1, 31 } }; /* n, c, first, count */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        add((sb_shape){ sizes[i][0], 1, 1, sizes[i][1], SB_F32 }, sizes[i][2], sizes[i][3],
            (sb_op_options){ 0 });
    add((sb_shape){ 3, 2, 5, 33, SB_F32 }, 2, 2, (sb_op_options){ 0 });
    add((sb_shape){ 3, 2, 5, 33, SB_F32 }, 2, 7, (sb_op_options){ 0 });
    add((sb_shape){ 4096, 1, 1, 2048, SB_F32 }, 2048, 4096, (sb_op_options){ .timed = true });
    sb_case_add_refusal("rows: none", refuse_none);
    sb_case_add_refusal("rows: from behind the last on", refuse_behind);
}
