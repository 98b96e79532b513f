/* draw.c: see draw.h. */
#include "supervisor/draw.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/error.h"
#include "supervisor/curve.h"

#define GAP "  "         /* between parts that stand beside each other, as in sb_status_line */
#define TALL 12          /* rows from which on there is one for what leaves, and more of what else has one */
#define PART_ROWS 2      /* of step, rate and the like */
#define STATE_ROWS 3     /* of a long reason */
#define TITLE 192        /* bytes of a curve's title */
#define CURVE_ROWS 4     /* the least: title, two of the curve, steps */
#define CURVE_COLUMNS 25 /* the least of one beside others */
#define STAGE_ROWS 5     /* with the title */
#define STAGE_COLUMNS 15 /* of its name and its share */
#define QUEUE_COLUMNS 34 /* of what stands behind it */
#define BAR_MOST 24
#define BAR_LEAST 4
#define MESSAGE_ROWS 3 /* the least, with the title */

/* ---- what it does ----------------------------------------------------------------------------------------- */

static sb_ink ink_of(const sb_state *s)
{
    return s->kind == SB_STATE_FAILED || s->kind == SB_STATE_ALARMED || s->kind == SB_STATE_KILLED ||
                   s->kind == SB_STATE_GONE || s->kind == SB_STATE_MUTE || s->remark[0]
               ? SB_INK_ALERT
               : SB_INK_PLAIN;
}

/* The run's name, and on the right, or below where there is no room, what it does. Returns the rows. */
static int draw_head(sb_frame *f, const sb_overview *o)
{
    const sb_state *s = &o->state;
    char text[sizeof s->text + sizeof s->remark + 4];
    snprintf(text, sizeof text, "%s%s%s", s->text, s->remark[0] ? "; " : "", s->remark);
    const int name = sb_frame_columns(f, o->run_dir), state = sb_frame_columns(f, text);
    sb_frame_put(f, 0, 0, f->width, SB_INK_BOLD, o->run_dir);
    if (name + 2 + state <= f->width) {
        sb_frame_put(f, 0, f->width - state, state, ink_of(s), text);
        return 1;
    }
    return 1 + sb_frame_wrap(f, 1, f->height < TALL ? 1 : STATE_ROWS, ink_of(s), text);
}

/* ---- how far it is ---------------------------------------------------------------------------------------- */

/* Parts of a text, between which GAP stands, as many in a row as there is room for, in `rows` rows at most.
 * Returns the rows. */
static int draw_parts(sb_frame *f, int row, int rows, char *text)
{
    int used = 0, column = 0;
    for (char *part = text, *rest; part; part = rest) {
        rest = strstr(part, GAP);
        if (rest) {
            *rest = '\0';
            rest += strlen(GAP);
        }
        const int columns = sb_frame_columns(f, part);
        if (column > 0 && column + columns > f->width) {
            used++;
            column = 0;
        }
        if (used == rows)
            return rows;
        column += sb_frame_put(f, row + used, column, f->width, SB_INK_PLAIN, part) + (int)strlen(GAP);
    }
    return used + 1;
}

static int draw_progress(sb_frame *f, int row, const sb_status *now)
{
    char text[32], line[256];
    sb_status status = *now;
    const double share = status.steps > 0 ? (double)status.step / (double)status.steps : 0;
    status.alarm.name[0] = '\0'; /* it has a row of its own */
    snprintf(text, sizeof text, "%5.1f %%", 100 * share);
    const int columns = sb_frame_columns(f, text);
    sb_frame_bar(f, row, 0, f->width - columns - 1, share);
    sb_frame_put(f, row, f->width - columns, columns, SB_INK_BOLD, text);
    if (sb_status_line(&status, line, sizeof line) != 0)
        snprintf(line, sizeof line, "%s", sb_error());
    return 1 + draw_parts(f, row + 1, PART_ROWS, line);
}

static int draw_trouble(sb_frame *f, int row, const sb_overview *o)
{
    const sb_alarm_past *alarm = &o->state.status.alarm;
    const int rows = f->height < TALL ? 1 : 2;
    char text[512];
    int used = 0;
    if (o->state.known && alarm->name[0]) {
        snprintf(text, sizeof text, "alarm: %s at step %" PRId64 ": %s", alarm->name, alarm->step,
                 alarm->what);
        if (o->alarms > 1)
            snprintf(text + strlen(text), sizeof text - strlen(text), " (and %" PRId64 " before)",
                     o->alarms - 1);
        used += sb_frame_wrap(f, row, rows, SB_INK_ALERT, text);
    }
    if (o->trouble[0])
        used += sb_frame_wrap(f, row + used, rows, SB_INK_ALERT, o->trouble);
    return used;
}

/* ---- curves ----------------------------------------------------------------------------------------------- */

typedef struct {
    const char *name;
    const sb_series *series;
    double levels[SB_CURVE_LEVELS];
} curve;

/* Adds a part to a title of `room` columns, if there is room for it. */
static void add(const sb_frame *f, char title[TITLE], int room, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void add(const sb_frame *f, char title[TITLE], int room, const char *format, ...)
{
    const size_t used = strlen(title);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(title + used, TITLE - used, format, arguments);
    va_end(arguments);
    if (used > 0 && sb_frame_columns(f, title) > room)
        title[used] = '\0';
}

static void write_title(const sb_frame *f, const sb_overview *o, const curve *c, int room, char title[TITLE])
{
    title[0] = '\0';
    add(f, title, room, "%s", c->name);
    if (c->series->step < 0)
        return;
    if (c->series == &o->loss)
        add(f, title, room, " %.4f", c->series->last);
    else if (c->series == &o->rate)
        add(f, title, room, " %.1f", c->series->last);
    else
        add(f, title, room, " %.1f %%", c->series->last);
    if (isfinite(c->levels[0]))
        add(f, title, room, ", untrained %.1f", c->levels[0]);
    if (isfinite(c->levels[1]))
        add(f, title, room, ", as given %.1f", c->levels[1]);
}

static void draw_curves(sb_frame *f, int row, int rows, const sb_overview *o)
{
    const curve measure = { o->measure.name,
                            &o->measure.trained,
                            { o->measure.untrained, o->measure.given } },
                rate = { "images/s", &o->rate, { NAN, NAN } };
    curve all[3] = { { "loss", &o->loss, { NAN, NAN } } };
    int count = 1;
    if (o->measure.name[0])
        all[count++] = measure;
    all[count++] = rate;
    const int room = f->width / CURVE_COLUMNS, shown = room < 1 ? 1 : room < count ? room : count;
    for (int i = 0; i < shown; i++) {
        char title[TITLE];
        const int left = i * (f->width + 1) / shown, columns = (i + 1) * (f->width + 1) / shown - left - 1;
        write_title(f, o, &all[i], columns - 3, title);
        sb_frame_rule(f, row, left, columns, title);
        sb_curve_draw(f, row + 1, left, rows - 1, columns, all[i].series, all[i].levels);
    }
}

/* ---- stages ----------------------------------------------------------------------------------------------- */

/* A stage: its share of its time at work, and, of the queue behind it, how much of its room is taken. */
static void draw_stage(sb_frame *f, int row, const char *name, double share, const char *queue,
                       uint32_t ready, uint32_t of)
{
    char text[64];
    int column, bar = f->width - STAGE_COLUMNS - QUEUE_COLUMNS;
    bar = bar > BAR_MOST ? BAR_MOST : bar;
    snprintf(text, sizeof text, "%-8s%3.0f %%", name, 100 * (share > 0 ? share : 0));
    sb_frame_put(f, row, 0, f->width, SB_INK_PLAIN, text);
    column = STAGE_COLUMNS;
    if (bar >= BAR_LEAST) {
        sb_frame_bar(f, row, column, bar, share);
        column += bar + 2;
    }
    if (!queue)
        return;
    if (of == 0)
        snprintf(text, sizeof text, "%s", queue);
    else
        snprintf(text, sizeof text, "%s %4" PRIu32 "/%-4" PRIu32, queue, ready, of);
    const int used = sb_frame_put(f, row, column, f->width - column, SB_INK_PLAIN, text);
    const int left = f->width - column - used - 1;
    if (of > 0 && left >= BAR_LEAST)
        sb_frame_bar(f, row, column + used + 1, left > BAR_MOST ? BAR_MOST : left, (double)ready / of);
}

static void draw_stages(sb_frame *f, int row, const sb_status *s)
{
    char loaders[64];
    const bool trains = strcmp(s->phase, "training") == 0;     /* or else nothing waits any more */
    const double each = s->loaders > 0 ? 1.0 / s->loaders : 1; /* of all loaders to one */
    snprintf(loaders, sizeof loaders, "%d loader%s", s->loaders, sb_plural((uint64_t)s->loaders));
    sb_frame_rule(f, row, 0, f->width, "stages: time at work, and what waits for the next");
    draw_stage(f, row + 1, "read", s->read * each, loaders, 0, 0);
    draw_stage(f, row + 2, "decode", s->decode * each, trains ? "tiles" : NULL, s->tiles_ready, s->tiles);
    draw_stage(f, row + 3, "augment", s->augment, trains ? "views" : NULL, s->views_ready, s->views);
    draw_stage(f, row + 4, "trainer", 1 - s->waited, s->device, 0, 0);
}

/* ---- messages --------------------------------------------------------------------------------------------- */

static int kept_messages(const sb_overview *o)
{
    return o->messages < SB_OVERVIEW_MESSAGES ? (int)o->messages : SB_OVERVIEW_MESSAGES;
}

static void draw_messages(sb_frame *f, int row, int rows, const sb_overview *o)
{
    const int kept = kept_messages(o), shown = kept < rows - 1 ? kept : rows - 1;
    sb_frame_rule(f, row, 0, f->width, "messages");
    for (int i = 0; i < shown; i++)
        sb_frame_put(f, row + 1 + i, 0, f->width, SB_INK_PLAIN,
                     o->message[(o->messages - shown + i) % SB_OVERVIEW_MESSAGES]);
}

/* ---- all of it -------------------------------------------------------------------------------------------- */

void sb_draw(sb_frame *f, const sb_overview *o)
{
    const sb_state *s = &o->state;
    const bool trains = s->known && s->status.steps > 0;
    sb_frame_clear(f);
    int row = draw_head(f, o);
    if (trains)
        row += draw_progress(f, row, &s->status);
    row += draw_trouble(f, row, o);
    int room = f->height - row, curves = 0, stages = 0, messages = 0;
    if (f->height >= TALL) {
        sb_frame_put(f, f->height - 1, 0, f->width, SB_INK_DIM,
                     s->kind == SB_STATE_LIVES ? "q leaves; the run goes on" : "q leaves");
        room--;
    }
    /* The least of each, by what matters most; then the rest. */
    if (room >= CURVE_ROWS)
        curves = CURVE_ROWS;
    if (trains && room - curves >= STAGE_ROWS)
        stages = STAGE_ROWS;
    if (room - curves - stages >= MESSAGE_ROWS)
        messages = MESSAGE_ROWS;
    const int rest = room - curves - stages - messages, wanted = kept_messages(o) + 1;
    if (messages > 0 && wanted > messages)
        messages = wanted < messages + rest / 3 ? wanted : messages + rest / 3;
    if (curves > 0)
        curves = room - stages - messages;
    if (curves > 0)
        draw_curves(f, row, curves, o);
    if (stages > 0)
        draw_stages(f, row + curves, &s->status);
    if (messages > 0)
        draw_messages(f, row + curves + stages, messages, o);
}
