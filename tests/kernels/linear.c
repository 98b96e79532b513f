/* linear.c: y = x W' + b. */
#include "kernels/op/linear.h"

#include <math.h>

#include "tests/kernels/convolve.h"

static void forward(sb_reference *r)
{
    size_t rows = sb_shape_rows(&r->xs[0]), in = (size_t)r->xs[0].c, out = (size_t)r->ys.c;
    for (size_t i = 0; i < rows; i++)
        for (size_t o = 0; o < out; o++) {
            double sum = r->w[1] ? r->w[1][o] : 0, magnitude = fabs(sum);
            for (size_t k = 0; k < in; k++) {
                double term = r->x[0][i * in + k] * r->w[0][o * in + k];
                sum += term;
                magnitude += fabs(term);
            }
            r->y[i * out + o] = sum;
            if (r->y_bound)
                r->y_bound[i * out + o] = sb_growth((double)in) * SB_UNIT_F32 * magnitude;
        }
}

static void input_gradient(sb_reference *r, size_t rows, size_t in, size_t out)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < in; k++) {
            double sum = 0, magnitude = sb_held(r->dx_held[0], i * in + k);
            for (size_t o = 0; o < out; o++) {
                double term = r->dy[i * out + o] * r->w[0][o * in + k];
                sum += term;
                magnitude += fabs(term);
            }
            r->dx[0][i * in + k] = sum;
            r->dx_bound[0][i * in + k] = sb_growth((double)out) * SB_UNIT_F32 * magnitude;
        }
}

static void weight_gradient(sb_reference *r, size_t rows, size_t in, size_t out)
{
    for (size_t o = 0; o < out; o++)
        for (size_t k = 0; k < in; k++) {
            double sum = 0, magnitude = sb_held(r->dw_held[0], o * in + k);
            for (size_t i = 0; i < rows; i++) {
                double term = r->dy[i * out + o] * r->x[0][i * in + k];
                sum += term;
                magnitude += fabs(term);
            }
            r->dw[0][o * in + k] = sum;
            r->dw_bound[0][o * in + k] = sb_growth((double)rows) * SB_UNIT_F32 * magnitude;
        }
}

static void backward(sb_reference *r)
{
    size_t rows = sb_shape_rows(&r->xs[0]), in = (size_t)r->xs[0].c, out = (size_t)r->ys.c;
    weight_gradient(r, rows, in, out);
    if (r->dx[0])
        input_gradient(r, rows, in, out);
    if (r->dw[1])
        sb_bias_reference(r);
}

static const sb_op_test linear = {
    .op = SB_OP_LINEAR, .how_bytes = sizeof(sb_linear_how), .forward = forward, .backward = backward
};

static void add(sb_shape x, int out, bool bias, sb_op_options options)
{
    sb_linear_how how = { out, bias };
    sb_op_case_add(&linear, &how, &x, options, "[%d, %d, %d, %d] to %d%s%s", x.n, x.h, x.w, x.c, out,
                   bias ? ", bias" : "", options.no_dx ? ", no dx" : "");
}

static int refuse_columns(sb_device *d)
{
    sb_shape y;
    return (void)d, sb_op_linear.shape(&(sb_linear_how){ 0, false }, &(sb_shape){ 2, 1, 1, 3, SB_F32 }, &y);
}

static int refuse_rows(sb_device *d)
{
    sb_shape y;
    return (void)d, sb_op_linear.shape(&(sb_linear_how){ 4, true }, &(sb_shape){ -1, 1, 1, 4, SB_F32 }, &y);
}

static int refuse_too_many(sb_device *d)
{
    sb_shape y;
    return (void)d,
           sb_op_linear.shape(&(sb_linear_how){ 4, true }, &(sb_shape){ 1 << 16, 1 << 15, 1, 4, SB_F32 }, &y);
}

static int refuse_bf16(sb_device *d)
{
    sb_shape y;
    return (void)d, sb_op_linear.shape(&(sb_linear_how){ 4, true }, &(sb_shape){ 2, 1, 1, 4, SB_BF16 }, &y);
}

void sb_cases_linear(void)
{
    const int sizes[][3] = {
        { 1, 1, 1 },   { 31, 1, 33 },   { 1, 255, 257 },  { 255, 31, 1 },
        { 1, 1, 257 }, { 33, 257, 31 }, { 257, 33, 128 }, { 257, 1, 255 }
    }; /* rows, in, out */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int bias = 0; bias < 2; bias++)
            add((sb_shape){ sizes[i][0], 1, 1, sizes[i][1], SB_F32 }, sizes[i][2], bias,
                (sb_op_options){ 0 });
    add((sb_shape){ 3, 2, 5, 33, SB_F32 }, 31, true, (sb_op_options){ 0 });
    add((sb_shape){ 31, 1, 1, 33, SB_F32 }, 7, true, (sb_op_options){ .no_dx = true });
    add((sb_shape){ 512, 1, 1, 2048, SB_F32 }, 2048, false,
        (sb_op_options){ .timed = true }); /* a projector's */
    add((sb_shape){ 512, 1, 1, 2048, SB_F32 }, 2048, true, (sb_op_options){ .timed = true });
    sb_case_add_refusal("linear: to no columns", refuse_columns);
    sb_case_add_refusal("linear: of less than no rows", refuse_rows);
    sb_case_add_refusal("linear: 2^31 rows", refuse_too_many);
    sb_case_add_refusal("linear: of bf16", refuse_bf16);
}
