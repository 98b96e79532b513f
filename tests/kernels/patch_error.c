/* patch_error.c: errors of predicted patches. Sums are f64's; each value is rounded a few times in f32, and
 * what its patch multiplies it by makes that as much larger. */
#include "kernels/op/patch_error.h"

#include <math.h>
#include <stdlib.h>

#include "tests/kernels/op_cases.h"

static void fill_cells(sb_trial *t, sb_reference *r)
{
    const int side = ((const sb_patch_error_how *)r->how)->side;
    const uint32_t cells = (uint32_t)(r->xs[1].h / side * (r->xs[1].w / side));
    for (size_t i = 0; i < sb_shape_elements(&r->xs[2]); i++)
        r->x[2][i] = sb_random_below(&t->random, cells);
    r->x[2][0] = cells - 1;
    sb_fill_normal(t, sb_array_x(t, 0), 0, 1);
}

static void fill(sb_trial *t, sb_reference *r)
{
    fill_cells(t, r);
    sb_fill_uniform(t, sb_array_x(t, 1), 0, 256);
}

/* Pixels of one value: their patches have no deviation, or that of the channels' different means. */
static void fill_flat(sb_trial *t, sb_reference *r)
{
    fill_cells(t, r);
    for (size_t i = 0; i < sb_shape_elements(&r->xs[1]); i++)
        r->x[1][i] = 115;
}

/* Of one patch: its values as the encoder gets them, their mean, the factor, and how far a target may be off.
 */
typedef struct {
    double *values, mean, factor, off;
} patch;

static void find_patch(const sb_reference *r, int n, int k, patch *p)
{
    const sb_patch_error_how *how = r->how;
    const int side = how->side, channels = r->xs[1].c, columns = r->xs[1].w / side, count = r->xs[0].c,
              cell = (int)r->x[2][n * r->xs[2].w + k];
    double sum = 0, squares = 0, largest = 0;
    for (int i = 0; i < count; i++) {
        const int c = i % channels, column = cell % columns * side + i / channels % side,
                  row = cell / columns * side + i / channels / side;
        const double value = r->x[1][((n * r->xs[1].h + row) * r->xs[1].w + column) * channels + c] / 255,
                     mean = (double)how->input.mean[c], deviation = (double)how->input.std[c];
        p->values[i] = (value - mean) / deviation;
        sum += p->values[i];
        largest = fmax(largest, (value + mean) / deviation);
    }
    p->mean = sum / count;
    for (int i = 0; i < count; i++)
        squares += (p->values[i] - p->mean) * (p->values[i] - p->mean);
    p->factor = 1 / sqrt((count > 1 ? squares / (count - 1) : 0) + 1e-6);
    /* What is off in the values is in the mean, and in the deviation, of which the targets have a few. */
    p->off = 4 * sb_growth(4) * SB_UNIT_F32 * largest * p->factor;
}

static void each(sb_reference *r, void (*do_it)(sb_reference *r, int n, int k, const patch *p))
{
    patch p = { .values = sb_doubles((size_t)r->xs[0].c) };
    for (int n = 0; n < r->xs[0].n; n++)
        for (int k = 0; k < r->xs[0].w; k++) {
            find_patch(r, n, k, &p);
            do_it(r, n, k, &p);
        }
    free(p.values);
}

static double target_of(const patch *p, int i) { return (p->values[i] - p->mean) * p->factor; }

/* How far a target may be off: a shift, and a share of itself, which the factor's is. */
static double target_off(const patch *p, int i)
{
    return p->off + fabs(target_of(p, i)) * (p->off + sb_growth(4) * SB_UNIT_F32);
}

static void forward_patch(sb_reference *r, int n, int k, const patch *p)
{
    const size_t row = (size_t)(n * r->xs[0].w + k), count = (size_t)r->xs[0].c;
    const double share = 1 / ((double)count * r->xs[0].w);
    for (size_t i = 0; i < count; i++) {
        const double x = r->x[0][row * count + i], off = x - target_of(p, (int)i),
                     may = target_off(p, (int)i) + SB_UNIT_F32 * fabs(off);
        r->y[n] += share * off * off;
        if (r->y_bound)
            r->y_bound[n] += share * may * (2 * fabs(off) + may);
    }
    if (!r->aux)
        return;
    r->aux[2 * row] = p->mean;
    r->aux[2 * row + 1] = p->factor;
    if (r->aux_bound) {
        r->aux_bound[2 * row] = p->off / p->factor;
        r->aux_bound[2 * row + 1] = p->factor * p->off;
    }
}

static void forward(sb_reference *r)
{
    for (int n = 0; n < r->xs[0].n; n++) {
        r->y[n] = 0;
        if (r->y_bound)
            r->y_bound[n] = 0;
    }
    each(r, forward_patch);
}

static void backward_patch(sb_reference *r, int n, int k, const patch *p)
{
    const size_t row = (size_t)(n * r->xs[0].w + k), count = (size_t)r->xs[0].c;
    const double share = 2 / ((double)count * r->xs[0].w) * r->dy[n];
    for (size_t i = 0; i < count; i++) {
        const double off = r->x[0][row * count + i] - target_of(p, (int)i);
        r->dx[0][row * count + i] = share * off;
        r->dx_bound[0][row * count + i] = fabs(share) *
                                          (target_off(p, (int)i) + sb_growth(4) * SB_UNIT_F32 * fabs(off));
    }
}

static void backward(sb_reference *r) { each(r, backward_patch); }

#define TEST(filled)                                                                        \
    {                                                                                       \
        .op = SB_OP_PATCH_ERROR, .how_bytes = sizeof(sb_patch_error_how), .fill = (filled), \
        .forward = forward, .backward = backward                                            \
    }
static const sb_op_test ordinary = TEST(fill), flat = TEST(fill_flat);

static const sb_patch_error_how as_trainer = {
    .input = { { 0.485f, 0.456f, 0.406f, 0.5f }, { 0.229f, 0.224f, 0.225f, 0.25f }, SB_F32 }
};

static void add(const sb_op_test *test, int cells, sb_shape pixels, int side, sb_type type, bool timed)
{
    const sb_shape xs[] = { { pixels.n, 1, cells, side * side * pixels.c, type },
                            pixels,
                            { pixels.n, 1, cells, 1, SB_I32 } };
    sb_patch_error_how how = as_trainer;
    how.side = side;
    sb_op_case_add(test, &how, xs, (sb_op_options){ .timed = timed },
                   "%s %d of [%d, %d, %d, %d] in cells of %d%s", sb_type_name(type), cells, pixels.n,
                   pixels.h, pixels.w, pixels.c, side, test == &flat ? ", flat" : "");
}

static int shape_of(sb_shape x, sb_shape pixels, int cells, int side)
{
    sb_patch_error_how how = as_trainer;
    sb_shape y;
    how.side = side;
    return sb_op_patch_error.shape(&how, (sb_shape[]){ x, pixels, { 2, 1, cells, 1, SB_I32 } }, &y);
}

static int refuse_values(sb_device *d)
{
    return (void)d, shape_of((sb_shape){ 2, 1, 3, 47, SB_F32 }, (sb_shape){ 2, 8, 8, 3, SB_U8 }, 3, 4);
}
static int refuse_cells(sb_device *d)
{
    return (void)d, shape_of((sb_shape){ 2, 1, 3, 48, SB_F32 }, (sb_shape){ 2, 8, 8, 3, SB_U8 }, 2, 4);
}
static int refuse_images(sb_device *d)
{
    return (void)d, shape_of((sb_shape){ 2, 1, 3, 48, SB_F32 }, (sb_shape){ 3, 8, 8, 3, SB_U8 }, 3, 4);
}
static int refuse_side(sb_device *d)
{
    return (void)d, shape_of((sb_shape){ 2, 1, 3, 48, SB_F32 }, (sb_shape){ 2, 3, 8, 3, SB_U8 }, 3, 4);
}

void sb_cases_patch_error(void)
{
    /* Cells named; images, pixels, channels; side of a cell. */
    const int sizes[][6] = { { 1, 1, 1, 1, 1, 1 },  { 31, 2, 33, 31, 3, 4 },  { 33, 1, 64, 50, 4, 5 },
                             { 3, 31, 6, 4, 3, 2 }, { 257, 1, 33, 33, 1, 2 }, { 2, 3, 32, 64, 3, 16 },
                             { 1, 2, 9, 9, 1, 9 },  { 7, 2, 255, 20, 2, 3 } };
    for (sb_type type = SB_F32; type <= SB_F16; type++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            const int *s = sizes[i];
            if (sb_case_has(type, i))
                for (int f = 0; f < 2; f++)
                    add(f ? &flat : &ordinary, s[0], (sb_shape){ s[1], s[2], s[3], s[4], SB_U8 }, s[5], type,
                        false);
        }
        add(&ordinary, 768, (sb_shape){ 16, 1024, 1024, 3, SB_U8 }, 16, type, true);
    }
    sb_case_add_refusal("patch_error: of patches of other sizes", refuse_values);
    sb_case_add_refusal("patch_error: of other cells than are named", refuse_cells);
    sb_case_add_refusal("patch_error: of pixels of other images", refuse_images);
    sb_case_add_refusal("patch_error: of cells larger than the pixels", refuse_side);
}
