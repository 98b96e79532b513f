/* The trainer's control thread knows how many evaluators read, from their first hello to the end of their
 * process, and says in status.json how many views wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/error.h"
#include "proto/hello.h"
#include "proto/process.h"
#include "proto/rundir.h"
#include "proto/socket.h"
#include "tests/folder.h"
#include "trainer/control.h"

/* Says hello as a process until it is answered: 0 welcome, 1 refused. */
static int hello(sb_role role, const sb_process *as)
{
    sb_socket socket;
    sb_message answer,
        m = { .type = SB_MESSAGE_HELLO, .hello = { .role = role, .pid = as->pid, .start = as->start } };
    if (sb_socket_connect(&socket, folder, "trainer") != 0)
        return 2;
    int rc = 0;
    do {
        if (sb_socket_send(&socket, NULL, &m) != 0)
            return 2;
        rc = sb_socket_receive(&socket, NULL, &answer, 100, NULL, 0);
    } while (rc == 0);
    sb_socket_close(&socket);
    return rc < 0 ? 2 : answer.type == SB_MESSAGE_REFUSE;
}

static bool always(void *context)
{
    (void)context;
    return true;
}

/* As a program does: 0 welcome. */
static int join(void)
{
    sb_socket socket;
    sb_message welcome;
    if (sb_socket_connect(&socket, folder, "trainer") != 0)
        return 2;
    int rc = sb_hello(&socket, SB_ROLE_EVALUATOR, "the trainer", 100, always, NULL, &welcome);
    sb_socket_close(&socket);
    return rc != 1;
}

/* An evaluator: it says hello twice, as one whose welcome was lost, tells `out` what came of it, and lives
 * until `in` is closed. */
static void evaluate(int in, int out)
{
    char byte;
    sb_process self;
    if (read(in, &byte, 1) != 1 || sb_process_self(&self) != 0)
        _exit(1);
    byte = (char)(join() + hello(SB_ROLE_EVALUATOR, &self));
    if (write(out, &byte, 1) != 1)
        _exit(1);
    (void)!read(in, &byte, 1);
    _exit(0);
}

typedef struct {
    pid_t pid;
    int to, from;
} child;

/* Before anything else of this process has a thread. */
static child start(void)
{
    int to[2], from[2];
    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(from), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(to[1]);
        evaluate(to[0], from[1]);
    }
    close(to[0]);
    close(from[1]);
    return (child){ pid, to[1], from[0] };
}

static void wait_for_readers(const sb_control *c, int wanted)
{
    for (int tries = 0; sb_control_readers(c) != wanted; tries++) {
        if (tries == 6000)
            fail_msg("%d evaluators are known, not %d", sb_control_readers(c), wanted);
        usleep(10000);
    }
}

static void test_evaluators_are_counted(void **state)
{
    (void)state;
    child children[2] = { start(), start() };
    sb_ring ring;
    sb_ring *const rings[] = { &ring };
    sb_control *c = NULL;
    const sb_status status = { .phase = "training" };
    assert_int_equal(sb_ring_create(&ring, SB_SEGMENT_VIEWS, 2, 16, 0), 0);
    if (sb_control_start(&c, folder, rings, 1, NULL, 0, 0, 0, &status) != 0)
        fail_msg("%s", sb_error());
    assert_int_equal(sb_control_readers(c), 0);
    for (int i = 0; i < 2; i++) {
        char answer = 0;
        assert_int_equal(write(children[i].to, &answer, 1), 1);
        assert_int_equal(read(children[i].from, &answer, 1), 1);
        assert_int_equal(answer, 0);                    /* welcome, twice */
        assert_int_equal(sb_control_readers(c), i + 1); /* known before it was told */
    }
    /* The second has a copy of the first one's pipe, so that it goes first. */
    for (int i = 1; i >= 0; i--) {
        close(children[i].to);
        assert_int_equal(waitpid(children[i].pid, NULL, 0), children[i].pid);
        wait_for_readers(c, i);
        close(children[i].from);
    }
    sb_process nobody;
    assert_int_equal(sb_process_self(&nobody), 0);
    nobody.start++;
    assert_int_equal(hello(SB_ROLE_EVALUATOR, &nobody), 1);
    assert_int_equal(sb_control_readers(c), 0);
    sb_control_stop(&c, "stopped");
    sb_ring_close(&ring);
}

/* status.json says how many views wait, of all rings: what is published and not acquired. */
static void test_queue(void **state)
{
    (void)state;
    sb_ring small, large;
    sb_ring *const rings[] = { &small, &large };
    sb_control *c = NULL;
    sb_status status = { .phase = "training" };
    assert_int_equal(sb_ring_create(&small, SB_SEGMENT_VIEWS, 2, 16, 0), 0);
    assert_int_equal(sb_ring_create(&large, SB_SEGMENT_VIEWS, 3, 16, 0), 0);
    for (uint32_t slot = 0; slot < 3; slot++)
        assert_true(sb_ring_claim(&large, slot, 0, 1));
    assert_true(sb_ring_publish(&large, 0, 0, 1) && sb_ring_publish(&large, 2, 0, 1));
    assert_true(sb_ring_acquire(&large, 2, 0, 2));
    if (sb_control_start(&c, folder, rings, 2, NULL, 0, 0, 0, &status) != 0)
        fail_msg("%s", sb_error());
    sb_control_stop(&c, "stopped");
    assert_int_equal(sb_status_read(folder, &status), 0);
    assert_int_equal(status.views_ready, 1);
    assert_int_equal(status.views, 4); /* the trainer has one in hand */
    assert_int_equal(status.tiles, 0); /* nobody has said */
    sb_ring_close(&small);
    sb_ring_close(&large);
}

static int set_up(void **state) { return make_folder(state) == 0 && sb_rundir_create(folder) == 0 ? 0 : -1; }

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_evaluators_are_counted),
                                        cmocka_unit_test(test_queue) };
    return cmocka_run_group_tests(tests, set_up, remove_folder);
}
