/* sb_text_clean (proto/error.h): what comes from elsewhere is one line of valid UTF-8 that moves no cursor.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "proto/error.h"

static void test_clean(void **state)
{
    (void)state;
    static const struct {
        const char *text, *clean;
        int replaced;
    } cases[] = {
        { "", "", 0 },
        { "pl\xC3\xA4in \xE2\x82\xAC \xF0\x9F\x90\x88 \xC2\xA0",
          "pl\xC3\xA4in \xE2\x82\xAC \xF0\x9F\x90\x88 \xC2\xA0", 0 },
        { "a\nb\x1B[2Jc\x7F", "a b [2Jc ", 3 },
        { "a\xC2\x9B"
          "2J\xC2\x80\xC2\x9F|",
          "a  2J    |", 3 }, /* C1 */
        { "\x9B"
          "2J",
          "?2J", 1 }, /* no UTF-8 */
        { "\xC0\x9B\xED\xA0\x80\xC2", "??????", 6 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[64];
        snprintf(line, sizeof line, "%s", cases[i].text);
        assert_int_equal(sb_text_clean(line), cases[i].replaced);
        assert_string_equal(line, cases[i].clean);
        assert_int_equal(sb_text_clean(line), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_clean) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
