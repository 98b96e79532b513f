/* grn.c: maps and tokens; a channel that is 0 throughout. */
#include "kernels/op/grn.h"

#include <math.h>

#include "tests/kernels/op_cases.h"

static size_t width_of(const sb_reference *r) { return (size_t)r->xs[0].c; }
static size_t places_of(const sb_reference *r) { return (size_t)r->xs[0].h * (size_t)r->xs[0].w; }

/* The length of a channel is a root of a sum without cancellation, and their mean another such sum. */
static void forward_image(sb_reference *r, size_t image)
{
    const size_t c = width_of(r), p = places_of(r), at = image * p * c;
    const double of_length = sb_growth((double)p) * SB_UNIT_F32,
                 of_mean = of_length + sb_growth((double)c) * SB_UNIT_F32;
    double lengths[1024] = { 0 }, mean = 0;
    for (size_t k = 0; k < c; k++) {
        double squares = 0;
        for (size_t i = 0; i < p; i++)
            squares += r->x[0][at + i * c + k] * r->x[0][at + i * c + k];
        lengths[k] = sqrt(squares);
        mean += lengths[k] / (double)c;
    }
    mean += (double)((const sb_grn_how *)r->how)->epsilon;
    for (size_t i = 0; i < p * c; i++) {
        const double x = r->x[0][at + i], more = r->w[0][i % c] * lengths[i % c] / mean * x,
                     beta = r->w[1][i % c];
        r->y[at + i] = x + more + beta;
        if (r->y_bound)
            r->y_bound[at + i] = fabs(more) * (of_length + of_mean) +
                                 sb_growth(1) * SB_UNIT_F32 * (fabs(x) + fabs(more) + fabs(beta));
    }
    for (size_t k = 0; k <= c && r->aux; k++) {
        const double value = k < c ? lengths[k] : mean;
        r->aux[image * (c + 1) + k] = value;
        if (r->aux_bound)
            r->aux_bound[image * (c + 1) + k] = value * (k < c ? of_length : of_mean);
    }
}

static void forward(sb_reference *r)
{
    for (size_t i = 0; i < (size_t)r->xs[0].n; i++)
        forward_image(r, i);
}

/* Of channel k of an image: sums of dy x, of dy, and of the sizes of both. */
typedef struct {
    double product, product_terms, sum, sum_terms;
} sums;

static sums sum_channel(const sb_reference *r, size_t image, size_t k)
{
    const size_t c = width_of(r), p = places_of(r);
    sums s = { 0 };
    for (size_t i = 0; i < p; i++) {
        const double x = r->x[0][(image * p + i) * c + k], dy = r->dy[(image * p + i) * c + k];
        s.product += x * dy;
        s.product_terms += fabs(x * dy);
        s.sum += dy;
        s.sum_terms += fabs(dy);
    }
    return s;
}

static void backward_image(sb_reference *r, size_t image)
{
    const size_t c = width_of(r), p = places_of(r), at = image * p * c;
    const double *lengths = r->aux + image * (c + 1), mean = lengths[c],
                 of_sum = sb_growth((double)p) * SB_UNIT_F32;
    double other = 0, other_terms = 0, other_off = 0;
    for (size_t k = 0; k < c; k++) {
        const sums s = sum_channel(r, image, k);
        const double by = r->w[0][k] * lengths[k] / ((double)c * mean * mean);
        other += by * s.product;
        other_terms += fabs(by * s.product);
        other_off += fabs(by) * of_sum * s.product_terms;
        if (r->dw[0]) {
            r->dw[0][k] += lengths[k] / mean * s.product;
            r->dw_bound[0][k] += lengths[k] / mean * 2 * of_sum * s.product_terms;
        }
        if (r->dw[1]) {
            r->dw[1][k] += s.sum;
            r->dw_bound[1][k] += of_sum * s.sum_terms;
        }
    }
    for (size_t k = 0; k < c && r->dx[0]; k++) {
        const sums s = sum_channel(r, image, k);
        const double gamma = r->w[0][k], factor = gamma * lengths[k] / mean,
                     of_x = lengths[k] == 0 ? 0 : (gamma * s.product / mean - other) / lengths[k],
                     terms = lengths[k] == 0 ? 0
                                             : (fabs(gamma * s.product) / mean + other_terms) / lengths[k],
                     off = lengths[k] == 0
                               ? 0
                               : (fabs(gamma) * of_sum * s.product_terms / mean + other_off) / lengths[k];
        for (size_t i = k; i < p * c; i += c) {
            const double x = r->x[0][at + i], dy = r->dy[at + i];
            r->dx[0][at + i] = dy * (1 + factor) + x * of_x;
            r->dx_bound[0][at + i] = fabs(x) * off + sb_growth(1) * SB_UNIT_F32 *
                                                         (fabs(dy) * (1 + fabs(factor)) + fabs(x) * terms);
        }
    }
}

static void backward(sb_reference *r)
{
    for (size_t k = 0; k < width_of(r); k++)
        for (int w = 0; w < 2; w++)
            if (r->dw[w])
                r->dw[w][k] = r->dw_bound[w][k] = 0;
    for (size_t i = 0; i < (size_t)r->xs[0].n; i++)
        backward_image(r, i);
}

static void fill(sb_trial *t, sb_reference *r)
{
    (void)r;
    sb_fill_normal(t, sb_array_x(t, 0), 0.3, 1);
    sb_fill_normal(t, sb_array_w(t, 0), 0.5, 1);
    sb_fill_normal(t, sb_array_w(t, 1), 0, 1);
}

/* The first channel is 0 in every place. */
static void fill_dead(sb_trial *t, sb_reference *r)
{
    fill(t, r);
    for (size_t i = 0; i < sb_shape_rows(&r->xs[0]); i++)
        r->x[0][i * width_of(r)] = 0;
}

static void fill_nan(sb_trial *t, sb_reference *r)
{
    fill(t, r);
    r->x[0][0] = NAN;
}

#define TEST(f)                                                                            \
    {                                                                                      \
        .op = SB_OP_GRN, .how_bytes = sizeof(sb_grn_how), .fill = (f), .forward = forward, \
        .backward = backward                                                               \
    }
static const sb_op_test ordinary = TEST(fill), dead = TEST(fill_dead), nan_inside = TEST(fill_nan);

static void add(const sb_op_test *test, sb_shape x, sb_op_options options)
{
    const sb_grn_how how = { .epsilon = 1e-6f };
    options.no_differences = test == &dead || x.h * x.w == 1; /* a length is not smooth at 0 */
    options.nan = test == &nan_inside;
    sb_op_case_add(test, &how, &x, options, "%s [%d, %d, %d, %d]%s%s%s", sb_type_name(x.type), x.n, x.h, x.w,
                   x.c,
                   test == &dead ? " dead channel"
                   : options.nan ? " NaN"
                                 : "",
                   options.no_dx ? " no dx" : "", options.forward_only ? " alone" : "");
}

static int refuse(sb_device *device)
{
    sb_shape y;
    return (void)device, sb_op_grn.shape(&(sb_grn_how){ 1e-6f }, &(sb_shape){ 4, 1, 1, 4, SB_I32 }, &y);
}

void sb_cases_grn(void)
{
    const int sizes[][4] = { { 1, 1, 1, 1 },  { 1, 1, 1, 31 },   { 2, 1, 255, 33 }, { 33, 3, 1, 31 },
                             { 3, 7, 5, 65 }, { 1, 17, 16, 2 },  { 2, 3, 3, 257 },  { 3, 7, 5, 40 },
                             { 2, 3, 3, 12 }, { 2, 16, 16, 264 } };
    for (sb_type type = SB_F32; type <= SB_F16; type++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            if (sb_case_has(type, i))
                add(&ordinary, (sb_shape){ sizes[i][0], sizes[i][1], sizes[i][2], sizes[i][3], type },
                    (sb_op_options){ 0 });
        add(&dead, (sb_shape){ 3, 7, 5, 33, type }, (sb_op_options){ 0 });
        add(&nan_inside, (sb_shape){ 3, 7, 5, 33, type }, (sb_op_options){ 0 });
        add(&ordinary, (sb_shape){ 3, 7, 5, 33, type }, (sb_op_options){ .no_dx = 1 });
        add(&ordinary, (sb_shape){ 3, 7, 5, 33, type }, (sb_op_options){ .forward_only = true });
        for (int side = 56, c = 160; side >= 7;
             side /= 2, c *= 2) /* ConvNeXt V2 atto, 16 images of 224 pixels */
            if (c <= 1024)
                add(&ordinary, (sb_shape){ 16, side, side, c, type }, (sb_op_options){ .timed = true });
    }
    sb_case_add_refusal("grn: of whole numbers", refuse);
}
