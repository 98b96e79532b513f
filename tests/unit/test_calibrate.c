/* What is said of a measured step: how long a run takes, and which views make it short enough. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "trainer/calibrate.h"

static void test_side(void **state)
{
    (void)state;
    assert_int_equal(sb_calibrate_side(128, 479, 480), 128);
    assert_int_equal(sb_calibrate_side(128, 480, 480), 128);
    assert_int_equal(sb_calibrate_side(128, 480.1, 480),
                     112); /* the next smaller one, however little it is */
    assert_int_equal(sb_calibrate_side(128, 480 / 0.7656, 480), 96); /* (112 / 128)^2 is 0.765625 */
    assert_int_equal(sb_calibrate_side(128, 480 / 0.7657, 480), 112);
    assert_int_equal(sb_calibrate_side(128, 480 * 4.5, 480), 64);
    assert_int_equal(sb_calibrate_side(128, 1e12, 480), 64);
    assert_int_equal(sb_calibrate_side(48, 1e12, 480), 48); /* it is below what would be taken */
}

static void test_duration(void **state)
{
    (void)state;
    static const struct {
        double seconds;
        const char *text;
    } cases[] = { { 0.94, "0.9 seconds" }, { 89.9, "90 seconds" }, { 90, "1.5 minutes" },
                  { 1560, "26 minutes" },  { 5400, "1.5 hours" },  { 48 * 3600.0, "2.0 days" },
                  { 86400e3, "1000 days" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[48];
        sb_calibrate_duration(cases[i].seconds, text);
        assert_string_equal(text, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_side), cmocka_unit_test(test_duration) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
