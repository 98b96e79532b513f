/* window.c: see window.h. */
#include "supervisor/window.h"

#include <curses.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <term.h>
#include <unistd.h>

#include "proto/program.h"

#define ESCAPE_MS 25 /* that the rest of a key's sequence may take */

static SCREEN *screen;
static bool utf8;

/* As the terminal says, or else terminfo. */
static void look_at_size(int *width, int *height)
{
    struct winsize window;
    const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0 &&
                       window.ws_row > 0;
    *width = known ? window.ws_col : tigetnum("cols");
    *height = known ? window.ws_row : tigetnum("lines");
}

bool sb_window_open(int least_width, int least_height)
{
    int error, width, height;
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || setupterm(NULL, STDOUT_FILENO, &error) != OK)
        return false;
    look_at_size(&width, &height);
    const char *move = tigetstr("cup"), *term = getenv("TERM");
    const bool can = move && move != (char *)-1 && width >= least_width && height >= least_height;
    utf8 = sb_program_utf8() && setlocale(LC_CTYPE, "C.UTF-8") &&
           !(term && strcmp(term, "linux") == 0); /* the console's fonts have no braille */
    del_curterm(cur_term);
    screen = can ? newterm(NULL, stdout, stdin) : NULL;
    if (!screen)
        return false;
    set_escdelay(ESCAPE_MS);
    cbreak();
    noecho();
    nodelay(stdscr, TRUE);
    keypad(stdscr, TRUE); /* an arrow's sequence is one key */
    curs_set(0);
    return true;
}

void sb_window_close(void)
{
    endwin();
    delscreen(screen);
    screen = NULL;
}

bool sb_window_utf8(void) { return utf8; }

void sb_window_size(int *width, int *height)
{
    look_at_size(width, height);
    if (*width > 0 && *height > 0 && (*width != COLS || *height != LINES))
        resizeterm(*height, *width);
    *width = COLS;
    *height = LINES;
}

static attr_t attributes_of(sb_ink ink)
{
    switch (ink) {
    case SB_INK_BOLD: return A_BOLD;
    case SB_INK_DIM: return A_DIM;
    case SB_INK_ALERT: return A_REVERSE;
    default: return A_NORMAL;
    }
}

void sb_window_show(const sb_frame *f, bool anew)
{
    erase();
    for (int row = 0; row < f->height; row++)
        for (int column = 0; column < f->width; column++) {
            const sb_frame_cell *cell = &f->cells[row * f->width + column];
            const wchar_t text[2] = { cell->character, L'\0' };
            cchar_t character;
            if (cell->character && setcchar(&character, text, attributes_of(cell->ink), 0, NULL) == OK)
                mvadd_wch(row, column, &character);
        }
    if (anew)
        clearok(stdscr, TRUE);
    refresh();
}

int sb_window_key(void)
{
    const int key = getch();
    return key == ERR ? -1 : key;
}
