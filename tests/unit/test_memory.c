/* test_memory.c: how much memory may still be taken (proto/memory.h), on systems made of files: the kernel's
 * figure, and limits of control groups of either version, of the group itself and of one above it. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "proto/memory.h"

static char root[] = "/tmp/sb_memory_XXXXXX";

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

static void without_groups(void **state)
{
    (void)state;
    assert_int_equal(sb_memory_available_in(root), ALL);
    assert_int_equal(sb_memory_available_in("/nowhere"), 0);
    put("/proc/self/cgroup", "0::/user.slice\n");
    put("/sys/fs/cgroup/user.slice/memory.max", "max\n");
    put("/sys/fs/cgroup/user.slice/memory.current", "123456\n");
    assert_int_equal(sb_memory_available_in(root), ALL);
    assert_in_range(sb_memory_available(), 1, SIZE_MAX - 1); /* this machine */
}

/* What a group holds counts against its limit; cache does not. */
static void own_group(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/a/b\n");
    put("/sys/fs/cgroup/a/b/memory.max", "5000000000\n");
    put("/sys/fs/cgroup/a/b/memory.current", "2000000000\n");
    put("/sys/fs/cgroup/a/b/memory.stat", "anon 1\ninactive_file 500000000\n");
    assert_int_equal(sb_memory_available_in(root), 3500000000);
    put("/sys/fs/cgroup/a/b/memory.max", "1000000000\n"); /* lowered below what is held */
    assert_int_equal(sb_memory_available_in(root), 1);
    put("/sys/fs/cgroup/a/b/memory.max", "50000000000\n");
    assert_int_equal(sb_memory_available_in(root), ALL);
}

static void group_above(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/a/b/c\n");
    put("/sys/fs/cgroup/a/b/c/memory.max", "max\n");
    put("/sys/fs/cgroup/a/b/memory.max", "4000000000\n");
    put("/sys/fs/cgroup/a/memory.max", "3000000000\n");
    put("/sys/fs/cgroup/a/memory.current", "1000000000\n");
    assert_int_equal(sb_memory_available_in(root), 2000000000);
}

/* A container finds its group at the mount, whatever its path is called outside. */
static void container(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/../docker/1234\n");
    put("/sys/fs/cgroup/memory.max", "3000000000\n");
    assert_int_equal(sb_memory_available_in(root), 3000000000);
    put("/proc/self/cgroup", "0::/\n");
    assert_int_equal(sb_memory_available_in(root), 3000000000);
}

static void version_1(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/a/b\n1:name=systemd:/a\n");
    put("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n"); /* none */
    assert_int_equal(sb_memory_available_in(root), ALL);
    put("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "3000000000\n");
    put("/sys/fs/cgroup/memory/a/memory.usage_in_bytes", "2000000000\n");
    put("/sys/fs/cgroup/memory/a/memory.stat", "inactive_file 7\ntotal_inactive_file 500000000\n");
    assert_int_equal(sb_memory_available_in(root), 1500000000);
}

int main(void)
{
    if (!mkdtemp(root))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(without_groups, begin), cmocka_unit_test_setup(own_group, begin),
        cmocka_unit_test_setup(group_above, begin),    cmocka_unit_test_setup(container, begin),
        cmocka_unit_test_setup(version_1, begin),
    };
    return cmocka_run_group_tests(tests, NULL, clear);
}
