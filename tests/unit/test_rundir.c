/* test_rundir.c: how a run directory is taken, and its locks (proto/rundir.h). */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/error.h"
#include "proto/rundir.h"

static char dir[] = "/tmp/smallbatch-rundir-XXXXXX";

/* A process that holds a lock for so long, and is known to hold it. */
static pid_t holder_for(unsigned microseconds)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (sb_rundir_lock(dir, "trainer.lock") < 0 || write(ready[1], "", 1) != 1)
            _exit(1);
        usleep(microseconds);
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

static void remove_lock(void)
{
    char path[PATH_MAX];
    assert_int_equal(sb_rundir_path(path, dir, "trainer.lock"), 0);
    assert_int_equal(remove(path), 0);
}

/* One that was killed still has its locks while its memory is given back. */
static void test_holder_dies(void **state)
{
    (void)state;
    char path[PATH_MAX], *text = NULL;
    size_t bytes;
    int status;
    const pid_t holder = holder_for(300000);
    const int fd = sb_rundir_lock(dir, "trainer.lock");
    assert_true(fd >= 0);
    assert_int_equal(waitpid(holder, &status, 0), holder);
    assert_int_equal(status, 0);
    assert_int_equal(sb_rundir_path(path, dir, "trainer.lock"), 0);
    assert_int_equal(sb_file_read(path, 64, &text, &bytes), 0);
    assert_int_equal(strtol(text, NULL, 10), getpid());
    free(text);
    close(fd);
    remove_lock();
}

static void test_holder_stays(void **state)
{
    (void)state;
    char wanted[64];
    int status;
    const pid_t holder = holder_for(60000000);
    assert_int_equal(sb_rundir_lock(dir, "trainer.lock"), -1);
    snprintf(wanted, sizeof wanted, "in use by process %d", (int)holder);
    assert_non_null(strstr(sb_error(), wanted));
    assert_int_equal(kill(holder, SIGKILL), 0);
    assert_int_equal(waitpid(holder, &status, 0), holder);
    remove_lock();
}

/* In each of several processes at once; returns in how many it gave `wanted`. */
static int at_once(int (*attempt)(const char *path), const char *path, int wanted)
{
    enum { PROCESSES = 16 };
    pid_t pids[PROCESSES];
    int gate[2], status, gave = 0;
    assert_int_equal(pipe(gate), 0);
    for (int i = 0; i < PROCESSES; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            char byte;
            close(gate[1]);
            _exit(read(gate[0], &byte, 1) == 0 ? attempt(path) + 1 : 100); /* the gate opens for all */
        }
    }
    close(gate[0]);
    close(gate[1]);
    for (int i = 0; i < PROCESSES; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 2);
        gave += WEXITSTATUS(status) - 1 == wanted;
    }
    return gave;
}

static int take(const char *path)
{
    char text[32];
    snprintf(text, sizeof text, "seed: %d\n", (int)getpid());
    return sb_rundir_create(path) == 0 ? sb_rundir_take(path, text) : -1;
}

static void remove_run(const char *path)
{
    static const char *const parts[] = { "config.yaml", "checkpoints", "log", "ipc" };
    char part[PATH_MAX];
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (sb_rundir_path(part, path, "%s", parts[i]) == 0)
            remove(part);
    assert_int_equal(rmdir(path), 0); /* nothing else is left in it */
}

/* Of many who make one directory, or one run, one does. */
static void test_taken_once(void **state)
{
    (void)state;
    char path[PATH_MAX];
    for (int round = 0; round < 20; round++) {
        assert_int_equal(sb_rundir_path(path, dir, "deep/run"), 0);
        assert_int_equal(at_once(sb_rundir_new, path, 1), 1);
        assert_int_equal(at_once(take, path, 0), 1);
        assert_int_equal(take(path), -1);
        assert_non_null(strstr(sb_error(), "is a run already: resume it"));
        remove_run(path);
        assert_int_equal(sb_rundir_path(path, dir, "deep"), 0);
        assert_int_equal(rmdir(path), 0);
    }
}

/* A directory without a run may be taken, one with weights of a run not; neither is one file replaced. */
static void test_what_is_there(void **state)
{
    (void)state;
    char path[PATH_MAX], part[PATH_MAX], *text = NULL;
    size_t bytes;
    assert_int_equal(sb_rundir_path(path, dir, "run/"), 0);
    assert_int_equal(sb_rundir_new(path), 1);
    assert_int_equal(sb_rundir_new(path), 0);
    assert_int_equal(sb_rundir_create(path), 0);
    assert_int_equal(sb_rundir_path(part, path, "checkpoints/step-000000004.safetensors"), 0);
    assert_int_equal(sb_file_create(part, "first", 5), 1);
    assert_int_equal(sb_file_create(part, "second", 6), 0);
    assert_int_equal(sb_file_read(part, 64, &text, &bytes), 0);
    assert_string_equal(text, "first");
    free(text);
    assert_int_equal(sb_rundir_create(path), -1);
    assert_non_null(strstr(sb_error(), "checkpoints of a run"));
    assert_int_equal(remove(part), 0);
    assert_int_equal(take(path), 0);
    remove_run(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_holder_dies),
                                        cmocka_unit_test(test_holder_stays),
                                        cmocka_unit_test(test_taken_once),
                                        cmocka_unit_test(test_what_is_there) };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (!mkdtemp(dir))
        return 1;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(dir);
    return failed;
}
