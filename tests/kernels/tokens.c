/* tokens.c: tokens with their positions. */
#include "kernels/op/tokens.h"

#include <math.h>
#include <stdlib.h>

#include "tests/kernels/op_cases.h"

static sb_tokens of(const sb_reference *r)
{
    const sb_call call = { .how = r->how, .xs = { r->xs[0] } };
    return sb_tokens_of(&call);
}

/* Keys' cubic of a = -1/2, as he gives it. */
static double cubic(double x)
{
    const double a = -0.5, d = fabs(x), d2 = d * d, d3 = d2 * d;
    return d <= 1 ? (a + 2) * d3 - (a + 3) * d2 + 1 : d < 2 ? a * d3 - 5 * a * d2 + 8 * a * d - 4 * a : 0;
}

/* How much of place k, of `in`, is in place i, of `out`. Centres lie at halves; where the axis shrinks, the
 * cubic is as much wider. */
static double share(int in, int out, int i, int k)
{
    const double scale = (double)in / out, wider = fmax(scale, 1), centre = (i + 0.5) * scale;
    double all = 0;
    for (int j = 0; j < in; j++)
        all += cubic((j + 0.5 - centre) / wider);
    return cubic((k + 0.5 - centre) / wider) / all;
}

/* Row t of what is added to x, over the table: prefix rows are themselves. */
static double weight_of(const sb_tokens *s, int t, int row)
{
    if (t < s->prefix || row < s->prefix)
        return t == row;
    const int place = t - s->prefix, entry = row - s->prefix;
    return share(s->grid, s->h, place / s->w, entry / s->grid) *
           share(s->grid, s->w, place % s->w, entry % s->grid);
}

/* Where token t of the prefix is a weight, and its first element there; NULL: it is a place. */
static double *token_of(const sb_tokens *s, double *const w[SB_WEIGHTS_MAX], int t)
{
    if (t >= s->prefix)
        return NULL;
    return s->class_token && t == 0
               ? w[SB_TOKENS_CLASS]
               : w[SB_TOKENS_REGISTERS] + (size_t)(t - s->class_token) * (size_t)s->width;
}

static size_t x_at(const sb_tokens *s, int n, int t)
{
    return ((size_t)n * (size_t)(s->h * s->w) + (size_t)(t - s->prefix)) * (size_t)s->width;
}

static double *weights_of(const sb_tokens *s)
{
    const int tokens = s->prefix + s->h * s->w, rows = s->prefix + s->grid * s->grid;
    double *weights = sb_doubles((size_t)tokens * (size_t)rows);
    for (int t = 0; t < tokens; t++)
        for (int row = 0; row < rows; row++)
            weights[t * rows + row] = weight_of(s, t, row);
    return weights;
}

static void forward(sb_reference *r)
{
    const sb_tokens s = of(r);
    const int tokens = s.prefix + s.h * s.w, rows = s.prefix + s.grid * s.grid;
    double *weights = weights_of(&s);
    for (int t = 0; t < tokens; t++)
        for (size_t c = 0; c < (size_t)s.width; c++) {
            double position = 0, magnitude = 0;
            for (int row = 0; row < rows; row++) {
                const double term = weights[t * rows + row] *
                                    r->w[SB_TOKENS_POSITIONS][(size_t)row * (size_t)s.width + c];
                position += term;
                magnitude += fabs(term);
            }
            for (int n = 0; n < s.images; n++) {
                const double *token = token_of(&s, r->w, t);
                const double x = token ? token[c] : r->x[0][x_at(&s, n, t) + c];
                const size_t at = ((size_t)n * (size_t)tokens + (size_t)t) * (size_t)s.width + c;
                r->y[at] = x + position;
                if (r->y_bound)
                    r->y_bound[at] = sb_growth(2 * s.grid) * SB_UNIT_F32 * (fabs(x) + magnitude);
            }
        }
    free(weights);
}

static void backward(sb_reference *r)
{
    const sb_tokens s = of(r);
    const int tokens = s.prefix + s.h * s.w, rows = s.prefix + s.grid * s.grid;
    const double unit = sb_growth(s.images + s.h + s.w) * SB_UNIT_F32;
    double *weights = weights_of(&s);
    for (int i = 0; i < SB_WEIGHTS_MAX; i++)
        for (size_t k = 0; r->dw[i] && k < sb_extent_count(&r->ws[i]); k++)
            r->dw[i][k] = r->dw_bound[i][k] = 0;
    for (int t = 0; t < tokens; t++)
        for (size_t c = 0; c < (size_t)s.width; c++) {
            double sum = 0, magnitude = 0;
            for (int n = 0; n < s.images; n++) {
                const double dy = r->dy[((size_t)n * (size_t)tokens + (size_t)t) * (size_t)s.width + c];
                sum += dy;
                magnitude += fabs(dy);
                if (t >= s.prefix && r->dx[0])
                    r->dx[0][x_at(&s, n, t) + c] = dy;
            }
            double *token = token_of(&s, r->dw, t);
            if (token) {
                token[c] = sum;
                token_of(&s, r->dw_bound, t)[c] = unit * magnitude;
            }
            for (int row = 0; row < rows; row++) {
                const size_t at = (size_t)row * (size_t)s.width + c;
                r->dw[SB_TOKENS_POSITIONS][at] += weights[t * rows + row] * sum;
                r->dw_bound[SB_TOKENS_POSITIONS][at] += unit * fabs(weights[t * rows + row]) * magnitude;
            }
        }
    for (size_t k = 0; k < sb_extent_count(&r->ws[SB_TOKENS_POSITIONS]); k++) /* a sum upon what was held */
        r->dw_bound[SB_TOKENS_POSITIONS][k] += unit * sb_held(r->dw_held[SB_TOKENS_POSITIONS], k);
    free(weights);
}

static const sb_op_test test = {
    .op = SB_OP_TOKENS, .how_bytes = sizeof(sb_tokens_how), .forward = forward, .backward = backward
};

static void add(sb_shape x, sb_tokens_how how, sb_op_options options)
{
    sb_op_case_add(&test, &how, &x, options, "%s [%d, %d, %d, %d], a table of %d x %d%s, %d registers%s",
                   sb_type_name(x.type), x.n, x.h, x.w, x.c, how.grid, how.grid,
                   how.class_token ? ", a class token" : "", how.registers, options.no_dx ? ", no dx" : "");
}

static int shape_of(int grid, int registers, sb_type type)
{
    sb_shape y;
    return sb_op_tokens.shape(&(sb_tokens_how){ grid, true, registers }, &(sb_shape){ 2, 3, 3, 8, type }, &y);
}

static int refuse_grid(sb_device *d) { return (void)d, shape_of(0, 0, SB_F32); }
static int refuse_registers(sb_device *d) { return (void)d, shape_of(3, -1, SB_F32); }
static int refuse_bytes(sb_device *d) { return (void)d, shape_of(3, 0, SB_U8); }

void sb_cases_tokens(void)
{
    /* Images, sides, channels; the table's side, class token, registers. */
    const int sizes[][7] = { { 1, 1, 1, 1, 1, 0, 0 },  { 2, 7, 7, 33, 7, 0, 0 },  { 2, 7, 7, 5, 7, 1, 0 },
                             { 3, 4, 4, 31, 7, 1, 0 }, { 2, 7, 7, 16, 3, 0, 4 },  { 1, 5, 9, 3, 7, 1, 4 },
                             { 2, 9, 2, 8, 9, 0, 0 },  { 1, 3, 3, 257, 8, 1, 1 }, { 31, 2, 2, 4, 1, 1, 8 },
                             { 1, 1, 1, 300, 5, 0, 2 } };
    for (sb_type type = SB_F32; type <= SB_F16; type++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            const int *s = sizes[i];
            if (sb_case_has(type, i))
                add((sb_shape){ s[0], s[1], s[2], s[3], type }, (sb_tokens_how){ s[4], s[5], s[6] },
                    (sb_op_options){ 0 });
        }
        add((sb_shape){ 16, 7, 7, 192, type }, (sb_tokens_how){ 7, true, 0 },
            (sb_op_options){ .timed = true });
        add((sb_shape){ 16, 7, 7, 192, type }, (sb_tokens_how){ 32, true, 4 },
            (sb_op_options){ .timed = true });
    }
    add((sb_shape){ 2, 3, 3, 4, SB_F32 }, (sb_tokens_how){ 4, true, 1 }, (sb_op_options){ .no_dx = 1 });
    sb_case_add_refusal("tokens: a table without places", refuse_grid);
    sb_case_add_refusal("tokens: -1 registers", refuse_registers);
    sb_case_add_refusal("tokens: of u8", refuse_bytes);
}
