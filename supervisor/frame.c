/* frame.c: see frame.h. */
#include "supervisor/frame.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/memory.h"

int sb_frame_resize(sb_frame *f, int width, int height)
{
    width = width < 1 ? 1 : width > SB_FRAME_MOST ? SB_FRAME_MOST : width;
    height = height < 1 ? 1 : height > SB_FRAME_MOST ? SB_FRAME_MOST : height;
    sb_frame_cell *cells = sb_grown(f->cells, (size_t)width * (size_t)height, sizeof *cells,
                                    "the characters of a window");
    if (!cells)
        return -1;
    f->cells = cells;
    f->width = width;
    f->height = height;
    sb_frame_clear(f);
    return 0;
}

void sb_frame_free(sb_frame *f)
{
    free(f->cells);
    *f = (sb_frame){ 0 };
}

void sb_frame_clear(sb_frame *f)
{
    for (int i = 0; i < f->width * f->height; i++)
        f->cells[i] = (sb_frame_cell){ L' ', SB_INK_PLAIN };
}

void sb_frame_set(sb_frame *f, int row, int column, sb_ink ink, wchar_t character)
{
    if (row >= 0 && row < f->height && column >= 0 && column < f->width)
        f->cells[row * f->width + column] = (sb_frame_cell){ character, ink };
}

/* The next character of a text that can be shown, and the columns that it takes; 0: the text has ended. */
static int next(const sb_frame *f, const char **text, wchar_t *out)
{
    while (**text) {
        const unsigned char first = (unsigned char)**text;
        mbstate_t state = { 0 };
        size_t bytes = f->utf8 ? mbrtowc(out, *text, strlen(*text), &state) : 1;
        bool sound = bytes != (size_t)-1 && bytes != (size_t)-2;
        if (!f->utf8) {
            sound = first < 0x80;
            *out = first;
            while (!sound && ((*text)[bytes] & 0xC0) == 0x80) /* the rest of the same character */
                bytes++;
        }
        *text += sound || !f->utf8 ? bytes : 1;
        if (!sound)
            *out = L'?';
        const int columns = *out < 0x80 ? *out >= 0x20 && *out != 0x7F : wcwidth(*out);
        if (columns > 0)
            return columns;
        if (columns < 0) {
            *out = L'?';
            return 1;
        }
    }
    return 0;
}

int sb_frame_columns(const sb_frame *f, const char *text)
{
    wchar_t character;
    int all = 0;
    for (int columns; (columns = next(f, &text, &character)) > 0;)
        all += columns;
    return all;
}

int sb_frame_put(sb_frame *f, int row, int column, int columns, sb_ink ink, const char *text)
{
    wchar_t character;
    int used = 0;
    if (columns > f->width - column)
        columns = f->width - column;
    if (columns <= 0)
        return 0;
    const bool cut = sb_frame_columns(f, text) > columns;
    const int room = cut ? columns - 1 : columns;
    for (int takes; (takes = next(f, &text, &character)) > 0 && used + takes <= room; used += takes) {
        sb_frame_set(f, row, column + used, ink, character);
        if (takes > 1)
            sb_frame_set(f, row, column + used + 1, ink, L'\0');
    }
    if (cut)
        sb_frame_set(f, row, column + used++, ink, f->utf8 ? L'\u2026' : L'~');
    return used;
}

int sb_frame_wrap(sb_frame *f, int row, int rows, sb_ink ink, const char *text)
{
    int used = 0;
    while (*text && used < rows - 1 && sb_frame_columns(f, text) > f->width) {
        const char *at = text, *end = NULL;
        wchar_t character;
        int columns = 0;
        for (int takes; (takes = next(f, &at, &character)) > 0 && columns + takes <= f->width;
             columns += takes)
            if (*at == ' ')
                end = at;
        char part[4 * SB_FRAME_MOST];
        if (!end || (size_t)(end - text) >= sizeof part)
            break; /* a word that is longer: it is cut */
        memcpy(part, text, (size_t)(end - text));
        part[end - text] = '\0';
        sb_frame_put(f, row + used++, 0, f->width, ink, part);
        text = end + strspn(end, " ");
    }
    if (*text && used < rows)
        sb_frame_put(f, row + used++, 0, f->width, ink, text);
    return used;
}

void sb_frame_bar(sb_frame *f, int row, int column, int columns, double share)
{
    const double part = share > 0 ? share < 1 ? share : 1 : 0; /* NAN: none of it */
    const int full = (int)(part * columns + 0.5);
    for (int i = 0; i < columns; i++) {
        const bool filled = i < full;
        sb_frame_set(f, row, column + i, filled ? SB_INK_PLAIN : SB_INK_DIM,
                     f->utf8  ? filled ? L'\u2588' : L'\u2591'
                     : filled ? L'#'
                              : L'.');
    }
}

void sb_frame_rule(sb_frame *f, int row, int column, int columns, const char *title)
{
    const wchar_t line = f->utf8 ? L'\u2500' : L'-';
    for (int i = 0; i < columns; i++)
        sb_frame_set(f, row, column + i, SB_INK_DIM, line);
    if (columns < 3)
        return;
    const int used = sb_frame_put(f, row, column + 2, columns - 3, SB_INK_BOLD, title);
    sb_frame_set(f, row, column + 1, SB_INK_DIM, L' ');
    sb_frame_set(f, row, column + 2 + used, SB_INK_DIM, L' ');
}
