/* A sweep's grid, its refusals, and Student's t against an integral of its density. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"
#include "sweep/grid.h"
#include "sweep/statistics.h"

#define COUNT(list) ((int)(sizeof(list) / sizeof *(list)))

static void assert_cell(const sb_grid *g, int cell, const char *name, const char *const *wanted)
{
    char got[SB_CELL_NAME_MAX];
    char **assignments = sb_grid_assignments(g, cell);
    assert_non_null(assignments);
    sb_grid_name(g, cell, got);
    assert_string_equal(got, name);
    int at = 0;
    for (; wanted[at]; at++) {
        assert_non_null(assignments[at]);
        assert_string_equal(assignments[at], wanted[at]);
    }
    assert_null(assignments[at]);
    sb_grid_assignments_free(assignments);
}

static void test_cells(void **state)
{
    (void)state;
    const char *const axes[] = { "method.name:method.queue=dcl:,swav:960", "data.path=/a:b/c",
                                 "trainer.batch=16,64", "seed=1,2,3" };
    sb_grid g;
    assert_int_equal(sb_grid_read(&g, axes, COUNT(axes)), 0);
    assert_int_equal(g.cells, 12);
    assert_int_equal(g.seed, 3);
    assert_int_equal(sb_grid_seeds(&g), 3);
    const char *const first[] = { "method.name=dcl", "data.path=/a:b/c", "trainer.batch=16", "seed=1", NULL };
    const char *const last[] = { "method.name=swav", "method.queue=960", "data.path=/a:b/c",
                                 "trainer.batch=64", "seed=3",           NULL };
    assert_cell(&g, 0, "01-dcl-16-1", first);
    assert_cell(&g, 11, "12-swav_960-64-3", last);
    for (int c = 0; c < g.cells; c++) {
        int number = 0; /* the cell's, from its values: the last axis is its units */
        for (int a = 0; a < g.axes; a++)
            number = number * g.axis[a].values + sb_grid_value(&g, c, a);
        assert_int_equal(number, c);
        assert_int_equal(sb_grid_first_seed(&g, c), sb_grid_value(&g, c, 3) == 0);
        for (int a = 0; a < g.axes; a++)
            for (int v = 0; v < g.axis[a].values; v++) {
                int other = sb_grid_other(&g, c, a, v);
                for (int b = 0; b < g.axes; b++)
                    assert_int_equal(sb_grid_value(&g, other, b), b == a ? v : sb_grid_value(&g, c, b));
            }
    }
    sb_grid_free(&g);
}

static void test_no_axis(void **state)
{
    (void)state;
    sb_grid g;
    const char *const none[] = { NULL };
    assert_int_equal(sb_grid_read(&g, none, 0), 0);
    assert_int_equal(g.cells, 1);
    assert_int_equal(sb_grid_seeds(&g), 1);
    assert_cell(&g, 0, "1", none);
    sb_grid_free(&g);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *axis[2], *said;
    } cases[] = {
        { { "seed" }, "was expected" },
        { { "=1,2" }, "was expected" },
        { { "seed=1,\n2" }, "was expected" },
        { { "seed=1,,2" }, "value 2 is empty; a value that contains a comma" },
        { { "seed=1,2," }, "value 3 is empty" },
        { { "seed=1,2,1" }, "1 is there twice" },
        { { "seed=1", "seed=2" }, "seed is there twice" },
        { { "trainer.batch=1,2", "trainer.batch:trainer.steps=1:2" }, "trainer.batch is there twice" },
        { { "trainer.batch:trainer.steps=16:1,64" }, "has 2 keys and 64 has 1 values" },
        { { "trainer.batch:trainer.steps=16:1:2" }, "has 2 keys and 16:1:2 has 3 values" },
        { { "seed:run.dir=1:a" }, "run.dir is the sweep's" },
    };
    for (int i = 0; i < COUNT(cases); i++) {
        sb_grid g;
        if (sb_grid_read(&g, cases[i].axis, cases[i].axis[1] ? 2 : 1) == 0)
            fail_msg("%s is not refused", cases[i].axis[0]);
        if (!strstr(sb_error(), cases[i].said))
            fail_msg("%s: said is `%s`, wanted `%s`", cases[i].axis[0], sb_error(), cases[i].said);
    }
}

/* The probability that |T| <= t, by Simpson's rule over the angle, t = sqrt(n) tan(angle): there the density
 * is c cos(angle)^(n - 1), smooth and on a finite range, so that 4,000 intervals leave an error below 1e-12.
 * The program's own way is finite sums. */
static double integral(double t, int n)
{
    const int intervals = 4000;
    const double end = atan(t / sqrt(n)), h = end / intervals;
    const double c = exp(lgamma((n + 1) / 2.0) - lgamma(n / 2.0)) / sqrt(M_PI);
    double sum = 0;
    for (int i = 0; i <= intervals; i++)
        sum += pow(cos(i * h), n - 1) * (i == 0 || i == intervals ? 1 : i % 2 ? 4 : 2);
    return 2 * c * sum * h / 3;
}

static void test_student(void **state)
{
    (void)state;
    const double shares[] = { 0.1, 0.5, 0.9, 0.95, 0.99 };
    for (int n = 1; n <= 40; n++)
        for (int s = 0; s < COUNT(shares); s++) {
            double found = integral(sb_student(shares[s], n), n);
            if (!(fabs(found - shares[s]) < 1e-11))
                fail_msg("%d degrees of freedom: %.15g of %.15g", n, found, shares[s]);
        }
    /* One and two degrees of freedom have closed forms. */
    assert_true(fabs(sb_student(0.95, 1) - tan(0.95 * M_PI / 2)) < 1e-11);
    assert_true(fabs(sb_student(0.95, 2) - 0.95 * sqrt(2 / (1 - 0.95 * 0.95))) < 1e-12);
}

static void test_interval(void **state)
{
    (void)state;
    const double values[] = { 3, 1, 2 };
    sb_interval three = sb_interval_of(values, 3), one = sb_interval_of(values, 1),
                none = sb_interval_of(values, 0);
    assert_true(fabs(three.mean - 2) < 1e-15);
    assert_true(fabs(three.half - 0.95 * sqrt(2 / (1 - 0.95 * 0.95)) / sqrt(3)) < 1e-12);
    assert_true(one.mean == 3 && one.half < 0 && one.count == 1);
    assert_true(isnan(none.mean) && none.half < 0 && none.count == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cells),   cmocka_unit_test(test_no_axis),  cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_student), cmocka_unit_test(test_interval),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
