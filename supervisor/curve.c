/* curve.c: see curve.h. */
#include "supervisor/curve.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#define LABEL 8       /* columns of a value beside the curve, with the space behind it */
#define LABEL_FROM 20 /* columns from which on there are such */
#define DOTS_MOST (2 * SB_FRAME_MOST)
#define DOT_COLUMNS 2 /* dots of a braille character */
#define DOT_ROWS 4
#define BRAILLE L'\u2800'

/* The dots of a rectangle of characters. */
typedef struct {
    sb_frame *frame;
    int row, column, rows, columns;
    int width, height; /* in dots */
    double low, high;
} plot;

/* ---- dots ------------------------------------------------------------------------------------------------- */

/* x from the left, y from the top. `ascii`: the character that stands for it. */
static void set_dot(const plot *p, int x, int y, sb_ink ink, wchar_t ascii)
{
    static const unsigned char bits[DOT_ROWS][DOT_COLUMNS] = {
        { 0x01, 0x08 }, { 0x02, 0x10 }, { 0x04, 0x20 }, { 0x40, 0x80 }
    };
    sb_frame *f = p->frame;
    if (!f->utf8) {
        sb_frame_set(f, p->row + y, p->column + x, ink, ascii);
        return;
    }
    const int row = p->row + y / DOT_ROWS, column = p->column + x / DOT_COLUMNS;
    if (row >= f->height || column >= f->width)
        return;
    const sb_frame_cell *cell = &f->cells[row * f->width + column];
    const wchar_t before = cell->character >= BRAILLE && cell->character < BRAILLE + 256 ? cell->character
                                                                                         : BRAILLE;
    sb_frame_set(f, row, column, ink, before | bits[y % DOT_ROWS][x % DOT_COLUMNS]);
}

static int height_of(const plot *p, double value)
{
    const double y = (p->high - value) / (p->high - p->low) * (p->height - 1) + 0.5;
    return !(y > 0) ? 0 : y < p->height ? (int)y : p->height - 1; /* a range may be too large for a number */
}

/* ---- values ----------------------------------------------------------------------------------------------- */

static void widen(plot *p, double value)
{
    if (!isfinite(value))
        return;
    p->low = value < p->low ? value : p->low;
    p->high = value > p->high ? value : p->high;
}

/* The value at each dot, left to right: the mean of the points there, a line between those that have any.
 * NAN: none. Returns whether there is one. */
static bool spread_out(const sb_series *s, int width, double at[DOTS_MOST])
{
    double sum[DOTS_MOST] = { 0 };
    int count[DOTS_MOST] = { 0 };
    const int points = s->end - s->first;
    int before = -1;
    for (int x = 0; x < width; x++)
        at[x] = NAN;
    for (int i = 0; i < points; i++) {
        if (s->count[s->first + i] == 0)
            continue;
        const double mean = s->sum[s->first + i] / (double)s->count[s->first + i];
        const int x = points > 1 ? (int)((double)i * (width - 1) / (points - 1) + 0.5) : 0;
        if (!isfinite(mean))
            continue;
        sum[x] += mean;
        count[x]++;
    }
    for (int x = 0; x < width; x++) {
        if (count[x] == 0)
            continue;
        at[x] = sum[x] / count[x];
        for (int between = before + 1; before >= 0 && between < x; between++)
            at[between] = at[before] + (at[x] - at[before]) * (between - before) / (x - before);
        before = x;
    }
    return before >= 0;
}

static void draw_level(const plot *p, double value, int piece, wchar_t ascii)
{
    if (!isfinite(value))
        return;
    for (int x = 0; x < p->width; x++)
        if (x % (2 * piece) < piece)
            set_dot(p, x, height_of(p, value), SB_INK_PLAIN, ascii);
}

static void draw_values(const plot *p, const double at[DOTS_MOST])
{
    int before = -1;
    for (int x = 0; x < p->width; x++) {
        if (isnan(at[x])) {
            before = -1;
            continue;
        }
        const int y = height_of(p, at[x]), from = before < 0 ? y : before;
        for (int between = from; between != y; between += y > from ? 1 : -1)
            if (between != from)
                set_dot(p, x, between, SB_INK_PLAIN, L'*');
        set_dot(p, x, y, SB_INK_PLAIN, L'*');
        before = y;
    }
}

/* ---- the rectangle ---------------------------------------------------------------------------------------- */

static void label(const plot *p, int row, double value)
{
    static const char *const formats[] = { "%*.0f", "%*.3g", "%*.1e", "%*.0e" }; /* the first that fits */
    const double size = fabs(value);
    char text[32];
    for (int i = size >= 1000 && size < 1e6 ? 0 : 1; i < 4; i++)
        if (snprintf(text, sizeof text, formats[i], LABEL - 1, value) < LABEL)
            break;
    sb_frame_put(p->frame, row, p->column - LABEL, LABEL - 1, SB_INK_DIM, text);
}

/* The first step on the left, the last on the right, if there is room for both. */
static void draw_steps(const plot *p, const sb_series *s)
{
    char first[32], last[32];
    const int row = p->row + p->rows;
    snprintf(first, sizeof first, "%" PRId64, (int64_t)s->first * s->span);
    snprintf(last, sizeof last, "%" PRId64, s->step);
    const int left = sb_frame_columns(p->frame, first), right = sb_frame_columns(p->frame, last);
    if (left + right + 1 <= p->columns)
        sb_frame_put(p->frame, row, p->column, left, SB_INK_DIM, first);
    if (right <= p->columns)
        sb_frame_put(p->frame, row, p->column + p->columns - right, right, SB_INK_DIM, last);
}

void sb_curve_draw(sb_frame *f, int row, int column, int rows, int columns, const sb_series *s,
                   const double levels[SB_CURVE_LEVELS])
{
    double at[DOTS_MOST];
    const int beside = columns >= LABEL_FROM ? LABEL : 0;
    plot p = { .frame = f,
               .row = row,
               .column = column + beside,
               .rows = rows - 1,
               .columns = columns - beside,
               .low = INFINITY,
               .high = -INFINITY };
    p.width = p.columns * (f->utf8 ? DOT_COLUMNS : 1);
    p.height = p.rows * (f->utf8 ? DOT_ROWS : 1);
    if (p.columns < 1 || p.rows < 1 || p.width > DOTS_MOST)
        return;
    if (!spread_out(s, p.width, at)) {
        sb_frame_put(f, row, column, columns, SB_INK_DIM, "no value yet");
        return;
    }
    for (int x = 0; x < p.width; x++)
        widen(&p, at[x]);
    for (int i = 0; i < SB_CURVE_LEVELS; i++)
        widen(&p, levels[i]);
    if (beside) {
        label(&p, row, p.high);
        if (p.rows > 1 && p.low < p.high)
            label(&p, row + p.rows - 1, p.low);
    }
    if (!(p.low < p.high)) { /* all the same: in the middle */
        p.low -= 1;
        p.high += 1;
    }
    for (int i = 0; i < SB_CURVE_LEVELS; i++)
        draw_level(&p, levels[i], i == 0 ? 1 : 3, i == 0 ? L'-' : L'=');
    draw_values(&p, at);
    draw_steps(&p, s);
}
