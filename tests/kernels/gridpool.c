/* gridpool.c: a map averaged to a grid. The reference goes over all cells and places, and asks of each pair
 * whether the place lies in the cell by the real borders i side / grid and (i + 1) side / grid. Sums are
 * f64's, so that only what is stored is rounded. */
#include "kernels/op/gridpool.h"

#include <math.h>

#include "tests/kernels/op_cases.h"

typedef struct {
    int side, grid, first;
    size_t channels, rows; /* rows: of an image */
} grid_of;

static grid_of of(const sb_reference *r)
{
    const sb_gridpool_how *how = r->how;
    const sb_shape *x = &r->xs[0];
    const int side = x->h > 1 ? x->h : (int)lround(sqrt(x->w - how->first));
    return (grid_of){ side, r->ys.h, how->first, (size_t)x->c, (size_t)(x->h * x->w) };
}

/* Whether place p .. p + 1 of a side touches cell i. */
static bool touches(const grid_of *g, int i, int p)
{
    return p * g->grid < (i + 1) * g->side && (p + 1) * g->grid > i * g->side;
}

static int length(const grid_of *g, int i)
{
    int count = 0;
    for (int p = 0; p < g->side; p++)
        count += touches(g, i, p);
    return count;
}

static size_t x_at(const grid_of *g, int n, int y, int x)
{
    return ((size_t)n * g->rows + (size_t)(g->first + y * g->side + x)) * g->channels;
}
static size_t y_at(const grid_of *g, int n, int i, int j)
{
    return (size_t)((n * g->grid + i) * g->grid + j) * g->channels;
}

/* Each place of each cell. */
static void each(sb_reference *r, void (*do_it)(sb_reference *r, size_t x, size_t y, double share))
{
    const grid_of g = of(r);
    for (int n = 0; n < r->xs[0].n; n++)
        for (int i = 0; i < g.grid; i++)
            for (int j = 0; j < g.grid; j++) {
                const double share = 1.0 / (length(&g, i) * length(&g, j));
                for (int y = 0; y < g.side; y++)
                    for (int x = 0; x < g.side && touches(&g, i, y); x++)
                        for (size_t c = 0; c < g.channels && touches(&g, j, x); c++)
                            do_it(r, x_at(&g, n, y, x) + c, y_at(&g, n, i, j) + c, share);
            }
}

static void add_place(sb_reference *r, size_t x, size_t y, double share)
{
    r->y[y] += share * r->x[0][x];
    if (r->y_bound)
        r->y_bound[y] += 0x1p-44 * share * fabs(r->x[0][x]);
}

static void forward(sb_reference *r)
{
    for (size_t i = 0; i < sb_shape_elements(&r->ys); i++) {
        r->y[i] = 0;
        if (r->y_bound)
            r->y_bound[i] = 0;
    }
    each(r, add_place);
}

/* Rounded to f32, and then to the type of x. */
static void spread_place(sb_reference *r, size_t x, size_t y, double share)
{
    r->dx[0][x] += share * r->dy[y];
    r->dx_bound[0][x] += SB_UNIT_F32 * share * fabs(r->dy[y]);
}

static void backward(sb_reference *r)
{
    for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i++)
        r->dx[0][i] = r->dx_bound[0][i] = 0;
    each(r, spread_place);
}

static const sb_op_test test = {
    .op = SB_OP_GRIDPOOL, .how_bytes = sizeof(sb_gridpool_how), .forward = forward, .backward = backward
};

static void add(int n, int side, int c, int most, int first, sb_type type, bool timed)
{
    const sb_shape map = { n, side, side, c, type }, tokens = { n, 1, first + side * side, c, type };
    if (first < 0)
        sb_op_case_add(&test, &(sb_gridpool_how){ 0, most }, &map, (sb_op_options){ .timed = timed },
                       "%s [%d, %d, %d, %d] to %d", sb_type_name(type), n, side, side, c, most);
    else
        sb_op_case_add(&test, &(sb_gridpool_how){ first, most }, &tokens, (sb_op_options){ .timed = timed },
                       "%s [%d, 1, %d + %d, %d] to %d", sb_type_name(type), n, first, side * side, c, most);
}

static int shape_of(sb_shape x, int first, int most)
{
    sb_shape y;
    return sb_op_gridpool.shape(&(sb_gridpool_how){ first, most }, &x, &y);
}

static int refuse_oblong(sb_device *d) { return (void)d, shape_of((sb_shape){ 2, 4, 5, 8, SB_F32 }, 0, 2); }
static int refuse_tokens(sb_device *d) { return (void)d, shape_of((sb_shape){ 2, 1, 16, 8, SB_F32 }, 1, 2); }
static int refuse_none(sb_device *d) { return (void)d, shape_of((sb_shape){ 2, 1, 2, 8, SB_F32 }, 2, 2); }
static int refuse_first(sb_device *d) { return (void)d, shape_of((sb_shape){ 2, 4, 4, 8, SB_F32 }, 1, 2); }
static int refuse_most(sb_device *d) { return (void)d, shape_of((sb_shape){ 2, 4, 4, 8, SB_F32 }, 0, 0); }
static int refuse_side(sb_device *d)
{
    return (void)d,
           shape_of((sb_shape){ 1, SB_GRIDPOOL_SIDE_MAX + 1, SB_GRIDPOOL_SIDE_MAX + 1, 8, SB_F32 }, 0, 2);
}
static int refuse_rows(sb_device *d)
{
    return (void)d, shape_of((sb_shape){ 3, SB_GRIDPOOL_SIDE_MAX, SB_GRIDPOOL_SIDE_MAX, 8, SB_F32 }, 0, 2);
}
static int refuse_bytes(sb_device *d) { return (void)d, shape_of((sb_shape){ 2, 4, 4, 8, SB_U8 }, 0, 2); }

void sb_cases_gridpool(void)
{
    /* Images, side, channels, cells along a side at most, tokens in front (-1: a map). */
    const int sizes[][5] = { { 1, 1, 1, 1, -1 },   { 2, 2, 31, 1, -1 }, { 2, 7, 33, 3, -1 },
                             { 1, 7, 257, 7, -1 }, { 3, 5, 3, 8, 0 },   { 1, 31, 2, 16, -1 },
                             { 1, 33, 3, 32, -1 }, { 2, 7, 33, 4, 1 },  { 3, 1, 255, 4, 5 },
                             { 1, 14, 65, 7, 0 },  { 2, 4, 64, 3, 31 }, { 33, 3, 1, 2, -1 },
                             { 2, 3, 40, 2, -1 },  { 1, 5, 24, 3, 1 } };
    for (sb_type type = SB_F32; type <= SB_F16; type++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            const int *s = sizes[i];
            if (sb_case_has(type, i))
                add(s[0], s[1], s[2], s[3], s[4], type, false);
        }
        add(8, 32, 2048, 16, -1, type, true);
        add(16, 14, 384, 7, 1, type, true);
    }
    sb_case_add_refusal("gridpool: of a map that is not square", refuse_oblong);
    sb_case_add_refusal("gridpool: of tokens that are no square", refuse_tokens);
    sb_case_add_refusal("gridpool: of no token behind those in front", refuse_none);
    sb_case_add_refusal("gridpool: of a map with tokens in front", refuse_first);
    sb_case_add_refusal("gridpool: to no cell", refuse_most);
    sb_case_add_refusal("gridpool: of a longer side than places are counted along", refuse_side);
    sb_case_add_refusal("gridpool: of more rows than an int counts", refuse_rows);
    sb_case_add_refusal("gridpool: of u8", refuse_bytes);
}
