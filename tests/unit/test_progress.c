/* How far something is (proto/progress.h): on a terminal a line that stays, elsewhere a note now and then, or
 * nothing. */
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/progress.h"

#define MINUTE UINT64_C(60000000000)

#define MARK "$" /* behind all that is said: a terminal hands on what was written when it likes */

/* What comes out of `from` when a minute has passed, and then no time, and then all is done. */
static const char *said(int to, int from, bool noted)
{
    static char text[1024];
    const int kept = dup(STDERR_FILENO);
    assert_true(kept >= 0 && dup2(to, STDERR_FILENO) >= 0);
    sb_progress p = sb_progress_begin("looking", noted);
    sb_progress_show(&p, 1, 9);
    p.last -= MINUTE;
    sb_progress_show(&p, 3, 9);
    sb_progress_show(&p, 4, 9);
    sb_progress_end(&p);
    assert_true(dup2(kept, STDERR_FILENO) >= 0 && close(kept) == 0);
    assert_int_equal(write(to, MARK, 1), 1);
    size_t length = 0;
    do {
        const ssize_t got = read(from, text + length, sizeof text - 1 - length);
        assert_true(got > 0);
        length += (size_t)got;
    } while (text[length - 1] != MARK[0]);
    text[length - 1] = '\0';
    return text;
}

static void test_terminal(void **state)
{
    int master, slave;
    (void)state;
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    const char *text = said(slave, master, false);
    assert_int_equal(strncmp(text, "\rlooking: 3 of 9, ", 18), 0);
    assert_string_equal(text + strlen(text) - 4, "\r\033[K");
    assert_null(strstr(text, "1 of 9"));
    assert_null(strstr(text, "4 of 9"));
    close(master);
    close(slave);
}

static void test_log(void **state)
{
    int ends[2];
    (void)state;
    assert_int_equal(pipe(ends), 0);
    const char *text = said(ends[1], ends[0], true);
    assert_non_null(strstr(text, "looking: 3 of 9, "));
    assert_null(strchr(text, '\r'));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    assert_string_equal(said(ends[1], ends[0], false), "");
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_terminal), cmocka_unit_test(test_log) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
