/* test_budget.c: what a step takes of memory, on the CPU (tests/graph/budget.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/graph/budget.h"

static size_t taken;
static int (*real_alloc)(sb_device *, size_t, void **);
static void (*real_release)(sb_device *, void *);

/* What a step takes is one piece, so that the last is the one that is given back. */
static size_t piece;

static int counted_alloc(sb_device *device, size_t bytes, void **out)
{
    piece = bytes;
    taken += bytes;
    return real_alloc(device, bytes, out);
}

static void counted_release(sb_device *device, void *memory)
{
    taken -= piece;
    piece = 0;
    real_release(device, memory);
}

static size_t used(void) { return taken; }

static void is_taken(void **state) { budget_is_taken(*state, used); }
static void is_flat(void **state) { budget_is_flat(*state); }
static void is_linear(void **state) { budget_is_linear(*state); }

int main(void)
{
    sb_device *device;
    if (sb_device_cpu(&device, 2) != 0)
        return 1;
    real_alloc = device->alloc;
    real_release = device->release;
    device->alloc = counted_alloc;
    device->release = counted_release;
    struct CMUnitTest tests[] = { cmocka_unit_test(is_taken), cmocka_unit_test(is_flat),
                                  cmocka_unit_test(is_linear) };
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tests[i].initial_state = device;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sb_device_close(&device);
    return failed;
}
