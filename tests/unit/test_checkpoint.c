/* Checkpoints: what is saved comes back, whether or not host addresses are the device's; a file that does not
 * fit changes nothing; and the host's memory for either does not grow with the network. Linked with
 * --wrap=malloc and so on, so that what our own objects take is counted. */
#include <limits.h>
#include <malloc.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels/staging.h"
#include "proto/error.h"
#include "proto/rundir.h"
#include "tests/folder.h"
#include "trainer/checkpoint.h"

/* ---- what is taken ------------------------------------------------------------------------------------- */

static int64_t taken, most; /* bytes, since `taken` was last set to 0 */

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void __real_free(void *memory);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void __wrap_free(void *memory);

static void *count(void *memory)
{
    taken += (int64_t)malloc_usable_size(memory);
    most = taken > most ? taken : most;
    return memory;
}

void *__wrap_malloc(size_t bytes) { return count(__real_malloc(bytes)); }
void *__wrap_calloc(size_t n, size_t bytes) { return count(__real_calloc(n, bytes)); }
void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    return count(__real_aligned_alloc(alignment, bytes));
}

void *__wrap_realloc(void *old, size_t bytes)
{
    taken -= (int64_t)malloc_usable_size(old);
    return count(__real_realloc(old, bytes));
}

void __wrap_free(void *memory)
{
    taken -= (int64_t)malloc_usable_size(memory);
    __real_free(memory);
}

/* ---- a small run --------------------------------------------------------------------------------------- */

typedef struct {
    sb_device *device;
    sb_store store;
    sb_section section;
    float *other; /* laid out as the weights */
    sb_checkpoint_view view;
} network;

static void add(network *n, const char *name, sb_entry_kind kind, int64_t rows, int64_t columns)
{
    const sb_extent extent = { .dims = 2, .side = { rows, columns }, .init = SB_INIT_ZERO };
    assert_true(sb_store_add(&n->store, name, kind, &extent) >= 0);
}

/* A layer of rows x columns, its norm, and a head, with an optimiser's array; `staged`: as on a device with
 * memory of its own. */
static void make(network *n, int64_t rows, int64_t columns, bool staged)
{
    void *memory;
    *n = (network){ 0 };
    assert_int_equal(sb_device_cpu(&n->device, 1), 0);
    n->device->host_memory = !staged;
    sb_store_init(&n->store, n->device);
    add(n, "fc.weight", SB_ENTRY_WEIGHT, rows, columns);
    add(n, "bn", SB_ENTRY_STATISTIC, 2, rows);
    add(n, "projector.weight", SB_ENTRY_WEIGHT, 3, rows);
    assert_int_equal(sb_section_create(&n->section, &n->store, NULL, false, 1, NULL), 0);
    size_t weights = n->store.floats[SB_ENTRY_WEIGHT], statistics = n->store.floats[SB_ENTRY_STATISTIC];
    assert_int_equal(n->device->alloc(n->device, weights * sizeof(float), &memory), 0);
    n->other = memory;
    n->view = (sb_checkpoint_view){ .store = &n->store,
                                    .parts = { { "", SB_ENTRY_WEIGHT, n->section.weight, weights },
                                               { "", SB_ENTRY_STATISTIC, n->section.statistic, statistics },
                                               { "optimiser.0.", SB_ENTRY_WEIGHT, n->other, weights } },
                                    .part_count = 3,
                                    .step = 7,
                                    .config_text = "seed: 1\n" };
}

static void fill(network *n, float first)
{
    for (size_t i = 0; i < n->store.floats[SB_ENTRY_WEIGHT]; i++) {
        n->section.weight[i] = first + (float)(i % 1000003);
        n->other[i] = -n->section.weight[i];
    }
    for (size_t i = 0; i < n->store.floats[SB_ENTRY_STATISTIC]; i++)
        n->section.statistic[i] = first + 0.5f + (float)i;
}

static bool filled(const network *n, float first)
{
    bool same = true;
    for (size_t i = 0; i < n->store.floats[SB_ENTRY_WEIGHT]; i++)
        same &= n->section.weight[i] == first + (float)(i % 1000003) && n->other[i] == -n->section.weight[i];
    for (size_t i = 0; i < n->store.floats[SB_ENTRY_STATISTIC]; i++)
        same &= n->section.statistic[i] == first + 0.5f + (float)i;
    return same;
}

static void drop(network *n)
{
    n->device->release(n->device, n->other);
    sb_section_free(&n->section, &n->store);
    sb_store_free(&n->store);
    sb_device_close(&n->device);
}

static int set_up(void **state)
{
    char path[PATH_MAX];
    if (make_folder(state) != 0 || sb_rundir_path(path, folder, "run") != 0)
        return -1;
    return sb_rundir_create(path);
}

static void run_dir(char *path) { assert_int_equal(sb_rundir_path(path, folder, "run"), 0); }

static void save(network *n, int64_t step, int keep)
{
    char path[PATH_MAX];
    run_dir(path);
    n->view.step = step;
    if (sb_checkpoint_save(path, &n->view, keep) != 0)
        fail_msg("%s", sb_error());
}

static int load(network *n)
{
    char path[PATH_MAX];
    run_dir(path);
    n->view.step = -1;
    return sb_checkpoint_load_latest(path, &n->view);
}

/* ---- tests --------------------------------------------------------------------------------------------- */

/* Of more than one piece, and no whole number of them. */
static void test_round_trip(void **state)
{
    (void)state;
    const int64_t columns = (int64_t)(SB_STAGING_BYTES / sizeof(float)) / 2;
    for (int staged = 0; staged < 2; staged++) {
        network n;
        make(&n, 3, columns + 1, staged);
        fill(&n, 10);
        save(&n, 7 + staged, 1);
        fill(&n, 0);
        assert_int_equal(load(&n), 1);
        assert_int_equal(n.view.step, 7 + staged);
        assert_true(filled(&n, 10));
        drop(&n);
    }
}

/* A part whose array ends before the head has nothing of the head. */
static void test_part_with_a_bound(void **state)
{
    (void)state;
    network n;
    make(&n, 4, 5, true);
    fill(&n, 1);
    n.view.parts[2] = (sb_checkpoint_part){ "target.", SB_ENTRY_WEIGHT, n.other, 20 }; /* the layer alone */
    save(&n, 20, 1);
    fill(&n, 2);
    assert_int_equal(load(&n), 1);
    for (size_t i = 0; i < n.store.floats[SB_ENTRY_WEIGHT]; i++)
        assert_true(n.other[i] == (i < 20 ? -1.0f : -2.0f) - (float)i);
    n.view.parts[2].floats = n.store.floats[SB_ENTRY_WEIGHT];
    assert_int_equal(load(&n), -1); /* the file has no target.projector.weight */
    drop(&n);
}

/* What a run cannot go on from is not saved, wherever in its file the value would be: the sound one stays. */
static void test_not_finite(void **state)
{
    (void)state;
    static const struct {
        int part;
        size_t at;
        float value;
        const char *said;
    } cases[] = { { 0, 0, NAN, "tensor fc.weight: it has a value of nan" },
                  { 0, 31, INFINITY, "tensor projector.weight: it has a value of inf" },
                  { 1, 5, -INFINITY, "tensor bn.running_var: it has a value of -inf" },
                  { 2, 7, NAN, "tensor optimiser.0.fc.weight: it has a value of nan" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[PATH_MAX];
        network n;
        make(&n, 4, 5, i % 2 == 0);
        fill(&n, 1);
        save(&n, 25, 1);
        fill(&n, 2);
        n.view.parts[cases[i].part].memory[cases[i].at] = cases[i].value;
        run_dir(path);
        n.view.step = 26;
        assert_int_equal(sb_checkpoint_save(path, &n.view, 1), -1);
        if (!strstr(sb_error(), cases[i].said))
            fail_msg("%s", sb_error());
        assert_int_equal(load(&n), 1);
        assert_int_equal(n.view.step, 25);
        assert_true(filled(&n, 1));
        drop(&n);
    }
}

/* The tensor that does not fit comes last in the file, and all others have the right shape. */
static void test_what_does_not_fit_changes_nothing(void **state)
{
    (void)state;
    network n, other;
    make(&other, 4, 6, false);
    fill(&other, 5);
    other.view.parts[0].floats = 24; /* without the head */
    other.view.parts[2].floats = 24;
    save(&other, 30, 1);
    drop(&other);
    for (int staged = 0; staged < 2; staged++) {
        make(&n, 4, 6, staged);
        fill(&n, 3);
        assert_int_equal(load(&n), -1);
        assert_non_null(strstr(sb_error(), "of 1 checkpoint in "));
        assert_int_equal(n.view.step, -1);
        assert_true(filled(&n, 3));
        drop(&n);
    }
}

/* The most that is taken while a network of so many columns is saved, and while it is loaded. */
static void measure(int64_t columns, bool staged, int64_t *saving, int64_t *loading)
{
    network n;
    make(&n, 8, columns, staged);
    fill(&n, 1);
    taken = most = 0;
    save(&n, 40, 1);
    *saving = most;
    taken = most = 0;
    assert_int_equal(load(&n), 1);
    *loading = most;
    assert_true(filled(&n, 1));
    drop(&n);
}

/* 4 MiB of parameters and state beside 64: the header has more digits, nothing else. */
static void test_memory_is_flat(void **state)
{
    (void)state;
    for (int staged = 0; staged < 2; staged++) {
        int64_t saving[2], loading[2];
        measure(1 << 16, staged, &saving[0], &loading[0]);
        measure(1 << 20, staged, &saving[1], &loading[1]);
        print_message("# saving takes %lld and %lld KiB, loading %lld and %lld\n",
                      (long long)(saving[0] >> 10), (long long)(saving[1] >> 10),
                      (long long)(loading[0] >> 10), (long long)(loading[1] >> 10));
        assert_in_range(saving[1], 0, saving[0] + 4096);
        assert_in_range(loading[1], 0, loading[0] + 4096);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_part_with_a_bound),
        cmocka_unit_test(test_not_finite),     cmocka_unit_test(test_what_does_not_fit_changes_nothing),
        cmocka_unit_test(test_memory_is_flat),
    };
    return cmocka_run_group_tests(tests, set_up, remove_folder);
}
