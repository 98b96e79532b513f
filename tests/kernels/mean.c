/* mean.c: the mean of all values. The sum is f64's. */
#include "kernels/op/mean.h"

#include <math.h>

#include "tests/kernels/op_cases.h"

static void forward(sb_reference *r)
{
    size_t count = sb_shape_elements(&r->xs[0]);
    double sum = 0, magnitude = 0;
    for (size_t i = 0; i < count; i++) {
        sum += r->x[0][i];
        magnitude += fabs(r->x[0][i]);
    }
    r->y[0] = sum / (double)count;
    if (r->y_bound)
        r->y_bound[0] = 0x1p-53 * magnitude; /* count 2^-53 magnitude / count */
}

static void backward(sb_reference *r)
{
    size_t count = sb_shape_elements(&r->xs[0]);
    for (size_t i = 0; i < count; i++)
        r->dx[0][i] = r->dy[0] / (double)count;
}

static const sb_op_test mean = { .op = SB_OP_MEAN, .forward = forward, .backward = backward };

void sb_cases_mean(void)
{
    const int sizes[][4] = { { 1, 1, 1, 1 },   { 31, 1, 1, 1 },   { 33, 1, 1, 1 },  { 255, 1, 1, 1 },
                             { 256, 1, 1, 1 }, { 257, 1, 1, 1 },  { 1, 1, 1, 257 }, { 31, 1, 1, 33 },
                             { 3, 2, 5, 33 },  { 257, 1, 1, 255 } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const int *s = sizes[i];
        sb_op_case_add(&mean, NULL, &(sb_shape){ s[0], s[1], s[2], s[3], SB_F32 }, (sb_op_options){ 0 },
                       "[%d, %d, %d, %d]", s[0], s[1], s[2], s[3]);
    }
    sb_op_case_add(&mean, NULL, &(sb_shape){ 4096, 1, 1, 1, SB_F32 }, (sb_op_options){ .timed = true },
                   "[4096, 1, 1, 1]");
}
