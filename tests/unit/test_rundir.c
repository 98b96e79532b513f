/* test_rundir.c: the locks of a run directory (proto/rundir.h). */
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

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_holder_dies),
                                        cmocka_unit_test(test_holder_stays) };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (!mkdtemp(dir))
        return 1;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(dir);
    return failed;
}
