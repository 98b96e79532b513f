/* product.c: the product of two matrices. A value is a sum in f32, scaled once. */
#include "kernels/op/product.h"

#include <math.h>

#include "tests/kernels/op_cases.h"

/* A matrix [rows, columns] as it is stored, or that of its transpose. */
typedef struct {
    const double *values;
    size_t rows, columns;
    bool transposed;
} matrix;

static double at(const matrix *m, size_t i, size_t k)
{
    return m->values[m->transposed ? k * m->columns + i : i * m->columns + k];
}

/* out = scale a b; with `held`, the sum may have been made on top of it. */
static void multiply(matrix a, matrix b, double scale, const double *held, double *out, double *bound)
{
    size_t rows = a.transposed ? a.columns : a.rows, inner = a.transposed ? a.rows : a.columns,
           columns = b.transposed ? b.rows : b.columns;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++) {
            double sum = 0, magnitude = 0;
            for (size_t k = 0; k < inner; k++) {
                double term = scale * at(&a, i, k) * at(&b, k, j);
                sum += term;
                magnitude += fabs(term);
            }
            out[i * columns + j] = sum;
            if (bound)
                bound[i * columns + j] = sb_growth((double)inner) * SB_UNIT_F32 *
                                         (magnitude + sb_held(held, i * columns + j));
        }
}

static matrix input(const sb_reference *r, int i, bool transposed)
{
    return (matrix){ r->x[i], sb_shape_rows(&r->xs[i]), (size_t)r->xs[i].c, transposed };
}

static matrix gradient(const sb_reference *r, bool transposed)
{
    return (matrix){ r->dy, sb_shape_rows(&r->ys), (size_t)r->ys.c, transposed };
}

static void forward(sb_reference *r)
{
    const sb_product_how *how = r->how;
    bool over_rows = how->form == SB_PRODUCT_ROWS;
    multiply(input(r, 0, over_rows), input(r, 1, !over_rows), how->scale, NULL, r->y, r->y_bound);
}

static void backward(sb_reference *r)
{
    const sb_product_how *how = r->how;
    double scale = how->scale;
    if (how->form == SB_PRODUCT_ROWS) {
        if (r->dx[0])
            multiply(input(r, 1, false), gradient(r, true), scale, r->dx_held[0], r->dx[0], r->dx_bound[0]);
        if (r->dx[1])
            multiply(input(r, 0, false), gradient(r, false), scale, r->dx_held[1], r->dx[1], r->dx_bound[1]);
    } else {
        if (r->dx[0])
            multiply(gradient(r, false), input(r, 1, false), scale, r->dx_held[0], r->dx[0], r->dx_bound[0]);
        if (r->dx[1])
            multiply(gradient(r, true), input(r, 0, false), scale, r->dx_held[1], r->dx[1], r->dx_bound[1]);
    }
}

static const sb_op_test product = {
    .op = SB_OP_PRODUCT, .how_bytes = sizeof(sb_product_how), .forward = forward, .backward = backward
};

static void add(sb_product_form form, sb_shape a, sb_shape b, float scale, sb_op_options options)
{
    static const char *const no_dx[] = { "", ", no dx0", ", no dx1" };
    sb_op_case_add(&product, &(sb_product_how){ form, scale }, (sb_shape[]){ a, b }, options,
                   "%s, [%d, %d, %d, %d] and [%d, %d, %d, %d], times %g%s",
                   form == SB_PRODUCT_ROWS ? "rows" : "columns", a.n, a.h, a.w, a.c, b.n, b.h, b.w, b.c,
                   (double)scale, no_dx[options.no_dx]);
}

static int shape_of(sb_product_form form, sb_type type, int rows, int columns)
{
    sb_shape y;
    return sb_op_product.shape(&(sb_product_how){ form, 1 },
                               (sb_shape[]){ { 4, 1, 1, 3, SB_F32 }, { rows, 1, 1, columns, type } }, &y);
}

static int refuse_rows(sb_device *d) { return (void)d, shape_of(SB_PRODUCT_ROWS, SB_F32, 3, 3); }
static int refuse_columns(sb_device *d) { return (void)d, shape_of(SB_PRODUCT_COLUMNS, SB_F32, 4, 4); }
static int refuse_bf16(sb_device *d) { return (void)d, shape_of(SB_PRODUCT_ROWS, SB_BF16, 4, 3); }
static int refuse_none(sb_device *d) { return (void)d, shape_of(SB_PRODUCT_ROWS, SB_F32, 4, 0); }

void sb_cases_product(void)
{
    const int sizes[][3] = { { 1, 1, 1 },     { 31, 1, 33 },    { 1, 255, 257 },  { 255, 31, 1 },
                             { 33, 257, 31 }, { 257, 33, 128 }, { 257, 255, 257 } }; /* summed, a's, b's */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int scaled = 0; scaled < 2; scaled++) {
            int k = sizes[i][0], a = sizes[i][1], b = sizes[i][2];
            float scale = scaled ? -0.3f : 1;
            add(SB_PRODUCT_ROWS, (sb_shape){ k, 1, 1, a, SB_F32 }, (sb_shape){ k, 1, 1, b, SB_F32 }, scale,
                (sb_op_options){ 0 });
            add(SB_PRODUCT_COLUMNS, (sb_shape){ a, 1, 1, k, SB_F32 }, (sb_shape){ b, 1, 1, k, SB_F32 }, scale,
                (sb_op_options){ 0 });
        }
    add(SB_PRODUCT_ROWS, (sb_shape){ 3, 2, 5, 33, SB_F32 }, (sb_shape){ 5, 3, 2, 31, SB_F32 }, 2,
        (sb_op_options){ 0 });
    add(SB_PRODUCT_COLUMNS, (sb_shape){ 3, 2, 5, 33, SB_F32 }, (sb_shape){ 7, 3, 1, 33, SB_F32 }, 2,
        (sb_op_options){ 0 });
    for (sb_product_form form = SB_PRODUCT_ROWS; form <= SB_PRODUCT_COLUMNS; form++) {
        for (unsigned no_dx = 1; no_dx < 3; no_dx++)
            add(form, (sb_shape){ 31, 1, 1, 33, SB_F32 }, (sb_shape){ 31, 1, 1, 33, SB_F32 }, 0.5f,
                (sb_op_options){ .no_dx = no_dx });
        add(form, (sb_shape){ 2048, 1, 1, 2048, SB_F32 }, (sb_shape){ 2048, 1, 1, 2048, SB_F32 }, 0.5f,
            (sb_op_options){ .timed = true });
    }
    sb_case_add_refusal("product: over rows of two numbers", refuse_rows);
    sb_case_add_refusal("product: over columns of two numbers", refuse_columns);
    sb_case_add_refusal("product: of bf16", refuse_bf16);
    sb_case_add_refusal("product: of no columns", refuse_none);
}
