/* test_limits.c: how much memory and how many processors may be used (proto/memory.h, proto/cores.h), on
 * systems made of files: the kernel's figure, and limits of control groups of either version, of the group
 * itself and of one above it; and files that hold anything else. */
#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "proto/cores.h"
#include "proto/memory.h"

static char root[] = "/tmp/sb_limits_XXXXXX";

/* A file of the system, with the folders above it. */
static void put(const char *name, const char *text)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s%s", root, name);
    for (char *at = strchr(path + strlen(root) + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        mkdir(path, 0700);
        *at = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int clear(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

static int begin(void **state)
{
    if (clear(state) != 0 || mkdir(root, 0700) != 0)
        return -1;
    put("/proc/meminfo",
        "MemTotal:       20000000 kB\nMemFree:         1000 kB\nMemAvailable:   8000000 kB\n");
    return 0;
}

#define ALL ((size_t)8000000 * 1024)
#define MACHINE ((size_t)20000000 * 1024)

static size_t available(void) { return sb_memory_look_in(root).available; }

static void without_groups(void **state)
{
    (void)state;
    assert_int_equal(available(), ALL);
    assert_int_equal(sb_memory_look_in("/nowhere").available, 0);
    put("/proc/self/cgroup", "0::/user.slice\n");
    put("/sys/fs/cgroup/user.slice/memory.max", "max\n");
    put("/sys/fs/cgroup/user.slice/memory.current", "123456\n");
    assert_int_equal(available(), ALL);
    assert_int_equal(sb_memory_look_in(root).limit, MACHINE);
    assert_false(sb_memory_look_in(root).grouped);
    assert_in_range(sb_memory_available(), 1, SIZE_MAX - 1); /* this machine */
    assert_in_range(sb_memory_look().limit, sb_memory_look().available, SIZE_MAX - 1);
}

/* What a group holds counts against its limit; cache does not. */
static void own_group(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/a/b\n");
    put("/sys/fs/cgroup/a/b/memory.max", "5000000000\n");
    put("/sys/fs/cgroup/a/b/memory.current", "2000000000\n");
    put("/sys/fs/cgroup/a/b/memory.stat", "anon 1\nactive_file 100000000\ninactive_file 400000000\n");
    assert_int_equal(available(), 3500000000);
    assert_int_equal(sb_memory_look_in(root).limit, 5000000000);
    assert_true(sb_memory_look_in(root).grouped);
    put("/sys/fs/cgroup/a/b/memory.max", "1000000000\n"); /* lowered below what is held */
    assert_int_equal(available(), 1);
    put("/sys/fs/cgroup/a/b/memory.max", "50000000000\n");
    assert_int_equal(available(), ALL);
}

/* Above memory.high a group's processes are slowed down until they hardly move: no more may be used. */
static void high(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/a/b\n");
    put("/sys/fs/cgroup/a/b/memory.high", "3000000000\n");
    put("/sys/fs/cgroup/a/b/memory.current", "1000000000\n");
    assert_int_equal(available(), 2000000000);
    put("/sys/fs/cgroup/a/b/memory.max", "max\n");
    assert_int_equal(available(), 2000000000);
    put("/sys/fs/cgroup/a/b/memory.max", "4000000000\n");
    assert_int_equal(available(), 2000000000);
    assert_int_equal(sb_memory_look_in(root).limit, 3000000000);
    put("/sys/fs/cgroup/a/b/memory.max", "2500000000\n");
    assert_int_equal(available(), 1500000000);
    put("/sys/fs/cgroup/a/b/memory.high", "max\n");
    assert_int_equal(available(), 1500000000);
    put("/sys/fs/cgroup/a/memory.high", "1200000000\n"); /* of the group above */
    assert_int_equal(available(), 1200000000);
    assert_true(sb_memory_look_in(root).grouped);
}

static void group_above(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/a/b/c\n");
    put("/sys/fs/cgroup/a/b/c/memory.max", "max\n");
    put("/sys/fs/cgroup/a/b/memory.max", "4000000000\n");
    put("/sys/fs/cgroup/a/memory.max", "3000000000\n");
    put("/sys/fs/cgroup/a/memory.current", "1000000000\n");
    assert_int_equal(available(), 2000000000);
    assert_int_equal(sb_memory_look_in(root).limit, 3000000000);
}

/* A container finds its group at the mount, whatever its path is called outside. */
static void container(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/../docker/1234\n");
    put("/sys/fs/cgroup/memory.max", "3000000000\n");
    assert_int_equal(available(), 3000000000);
    put("/proc/self/cgroup", "0::/\n");
    assert_int_equal(available(), 3000000000);
}

static void version_1(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/a/b\n1:name=systemd:/a\n");
    put("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n"); /* none */
    assert_int_equal(available(), ALL);
    put("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "3000000000\n");
    put("/sys/fs/cgroup/memory/a/memory.usage_in_bytes", "2000000000\n");
    put("/sys/fs/cgroup/memory/a/memory.stat",
        "inactive_file 7\ntotal_inactive_file 400000000\ntotal_active_file 100000000\n");
    assert_int_equal(available(), 1500000000);
}

/* What is no number is no limit. */
static void nonsense(void **state)
{
    static const char *const texts[] = {
        "",       "\n",         "max\n", "-1\n", "-5000\n", "lots\n", "99999999999999999999999999\n",
        "0x10\n", "\xff\xfe\n",
    };
    (void)state;
    put("/proc/self/cgroup", "\n:\n::\n0\n3:memory\n1:memory,cpu:/a\n0::/a\n7:memoryless,cpuset:/a\n");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        put("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", texts[i]);
        put("/sys/fs/cgroup/a/memory.max", texts[i]);
        put("/sys/fs/cgroup/a/memory.high", texts[i]);
        put("/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", texts[i]);
        put("/sys/fs/cgroup/cpu/a/cpu.cfs_period_us", texts[i]);
        put("/sys/fs/cgroup/a/cpu.max", texts[i]);
        put("/sys/fs/cgroup/memoryless/a/memory.limit_in_bytes", "1000\n"); /* no controller of memory */
        put("/sys/fs/cgroup/cpuset/a/cpu.cfs_quota_us", "1000\n");
        assert_int_equal(available(), ALL);
        assert_int_equal(sb_cores_in(root, 64), 64);
    }
    static const char *const pairs[] = { "0 100000\n", "100000 0\n", "max 100000\n", "100000\n",
                                         "-1 100000\n" };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        put("/sys/fs/cgroup/a/cpu.max", pairs[i]);
        assert_int_equal(sb_cores_in(root, 64), 64);
    }
    char line[5000];
    memset(line, '9', sizeof line);
    line[sizeof line - 1] = '\0';
    put("/sys/fs/cgroup/a/cpu.max", line);
    put("/proc/self/cgroup", line);
    assert_int_equal(sb_cores_in(root, 64), 64);
    assert_int_equal(available(), ALL);
}

/* ---- processors ---------------------------------------------------------------------------------------- */

static void bound(void **state)
{
    (void)state;
    assert_int_equal(sb_cores_in("/nowhere", 4), 4);
    assert_int_equal(sb_cores_in(root, 4), 4);
    assert_int_equal(sb_cores_in(root, 0), 1);
    cpu_set_t all, one;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    assert_in_range(sb_cores(), 1, CPU_COUNT(&all));
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, &all)) {
            CPU_ZERO(&one);
            CPU_SET(i, &one);
        }
    }
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(sb_cores(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
}

static void quota(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/a/b\n");
    put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    assert_int_equal(sb_cores_in(root, 8), 8);
    put("/sys/fs/cgroup/a/b/cpu.max", "250000 100000\n");
    assert_int_equal(sb_cores_in(root, 8), 3);
    assert_int_equal(sb_cores_in(root, 2), 2);
    put("/sys/fs/cgroup/a/cpu.max", "100000 100000\n"); /* of the group above */
    assert_int_equal(sb_cores_in(root, 8), 1);
    put("/sys/fs/cgroup/a/cpu.max", "1000 100000\n");
    assert_int_equal(sb_cores_in(root, 8), 1);
    put("/sys/fs/cgroup/a/cpu.max", "800000 50000\n");
    assert_int_equal(sb_cores_in(root, 8), 3);
}

static void quota_of_container(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/../docker/1234\n");
    put("/sys/fs/cgroup/cpu.max", "200000 100000\n");
    assert_int_equal(sb_cores_in(root, 8), 2);
}

static void quota_of_version_1(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "6:cpuset:/a/b\n5:cpuacct,cpu:/a/b\n4:memory:/\n");
    put("/sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu/a/b/cpu.cfs_period_us", "100000\n");
    assert_int_equal(sb_cores_in(root, 8), 8);
    put("/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "150000\n");
    put("/sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
    assert_int_equal(sb_cores_in(root, 8), 2);
    put("/sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us", "50000\n");
    assert_int_equal(sb_cores_in(root, 8), 1);
}

int main(void)
{
    if (!mkdtemp(root))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(without_groups, begin),
        cmocka_unit_test_setup(own_group, begin),
        cmocka_unit_test_setup(high, begin),
        cmocka_unit_test_setup(group_above, begin),
        cmocka_unit_test_setup(container, begin),
        cmocka_unit_test_setup(version_1, begin),
        cmocka_unit_test_setup(nonsense, begin),
        cmocka_unit_test_setup(bound, begin),
        cmocka_unit_test_setup(quota, begin),
        cmocka_unit_test_setup(quota_of_container, begin),
        cmocka_unit_test_setup(quota_of_version_1, begin),
    };
    return cmocka_run_group_tests(tests, NULL, clear);
}
