/* input.c: pixels to normalised activations. */
#include "kernels/op/input.h"

#include <math.h>

#include "tests/kernels/op_cases.h"

static void fill(sb_trial *t, sb_reference *r)
{
    (void)r;
    sb_fill_uniform(t, sb_array_x(t, 0), 0, 256);
}

static void forward(sb_reference *r)
{
    const sb_input_how *how = r->how;
    for (size_t i = 0; i < sb_shape_elements(&r->ys); i++) {
        size_t k = i % (size_t)r->xs[0].c;
        double value = r->x[0][i] / 255, mean = (double)how->mean[k], deviation = (double)how->std[k];
        r->y[i] = (value - mean) / deviation;
        r->y_bound[i] = sb_growth(1) * SB_UNIT_F32 * (value + mean) / deviation;
    }
}

static const sb_op_test test = {
    .op = SB_OP_INPUT, .how_bytes = sizeof(sb_input_how), .fill = fill, .forward = forward
};

/* As the trainer has them, and others. */
static sb_input_how how_of(sb_type type)
{
    return (sb_input_how){ { 0.485f, 0.456f, 0.406f, 0.5f, 0.1f, 0.2f, 0.3f, 0.7f },
                           { 0.229f, 0.224f, 0.225f, 0.25f, 0.3f, 0.5f, 0.1f, 0.2f },
                           type };
}

static int refuse_channels(sb_device *device)
{
    (void)device;
    sb_input_how how = how_of(SB_F32);
    sb_shape y;
    return sb_ops[SB_OP_INPUT]->shape(&how, &(sb_shape){ 1, 8, 8, SB_INPUT_CHANNELS_MAX + 1, SB_U8 }, &y);
}

static int refuse_type(sb_device *device)
{
    (void)device;
    sb_input_how how = how_of(SB_F32);
    sb_shape y;
    return sb_ops[SB_OP_INPUT]->shape(&how, &(sb_shape){ 1, 8, 8, 3, SB_F32 }, &y);
}

static int refuse_sides(sb_device *device)
{
    (void)device;
    sb_input_how how = how_of(SB_F32);
    sb_shape y;
    return sb_ops[SB_OP_INPUT]->shape(&how, &(sb_shape){ 1, 8, 0, 3, SB_U8 }, &y);
}

static int refuse_bytes(sb_device *device)
{
    (void)device;
    sb_input_how how = how_of(SB_U8);
    sb_shape y;
    return sb_ops[SB_OP_INPUT]->shape(&how, &(sb_shape){ 1, 8, 8, 3, SB_U8 }, &y);
}

void sb_cases_input(void)
{
    const int sizes[][4] = { { 1, 1, 1, 1 },     { 3, 31, 31, 3 },  { 2, 33, 33, 1 }, { 1, 255, 255, 3 },
                             { 1, 257, 257, 1 }, { 33, 16, 16, 3 }, { 2, 5, 7, 2 },   { 1, 33, 31, 4 },
                             { 2, 9, 31, 5 },    { 1, 33, 17, 8 },  { 1, 31, 33, 6 }, { 3, 5, 17, 7 } };
    for (sb_type type = SB_F32; type <= SB_F16; type++) {
        sb_input_how how = how_of(type);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            const int *s = sizes[i];
            if (!sb_case_has(type, i))
                continue;
            sb_op_case_add(&test, &how, &(sb_shape){ s[0], s[1], s[2], s[3], SB_U8 }, (sb_op_options){ 0 },
                           "%s [%d, %d, %d, %d]", sb_type_name(type), s[0], s[1], s[2], s[3]);
        }
        sb_op_case_add(&test, &how, &(sb_shape){ 8, 224, 224, 3, SB_U8 }, (sb_op_options){ .timed = true },
                       "%s [8, 224, 224, 3]", sb_type_name(type));
    }
    sb_case_add_refusal("input: nine channels", refuse_channels);
    sb_case_add_refusal("input: pixels in f32", refuse_type);
    sb_case_add_refusal("input: a side of 0", refuse_sides);
    sb_case_add_refusal("input: into u8", refuse_bytes);
}
