/* The supervisor (supervisor/supervise.h) with programs that are shell scripts: what it makes of their ends,
 * of signals and of requests. Each case has a run directory and a supervisor of its own, in a process of its
 * own. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/error.h"
#include "proto/process.h"
#include "proto/request.h"
#include "proto/rundir.h"
#include "supervisor/deaths.h"
#include "supervisor/log.h"
#include "supervisor/restarts.h"
#include "supervisor/screen.h"
#include "supervisor/supervise.h"
#include "trainer/alarm.h"

#define DEADLINE_NS UINT64_C(60000000000)
#define LIVES "while :; do sleep 0.02; done\n"
#define SHOWS "printf '\\001\\0\\0\\0\\0\\0\\0\\0' >&$SB_ALIVE\n"
#define SAVED_STATUS                                                                                      \
    "{\"phase\":\"stopped\",\"step\":7,\"steps\":9,\"loss\":1.0,\"images_per_second\":1.0,\"eta_s\":1.0," \
    "\"waited\":0.0,\"bottleneck\":\"train\",\"loaders\":2,\"quarantined\":0}"
#define SAVES                                                                                              \
    "trap 'echo \"{\\\"phase\\\":\\\"stopped\\\",\\\"step\\\":7,\\\"steps\\\":9,\\\"loss\\\":1.0,"         \
    "\\\"images_per_second\\\":1.0,\\\"eta_s\\\":1.0,\\\"waited\\\":0.0,\\\"bottleneck\\\":\\\"train\\\"," \
    "\\\"loaders\\\":2,\\\"quarantined\\\":0}\" >\"$run/status.json\"; exit 3' TERM\n"

static char folder[] = "/tmp/smallbatch-supervisor-XXXXXX", run_dir[PATH_MAX], programs[PATH_MAX];
static pid_t supervisor;

/* ---- a run of scripts ------------------------------------------------------------------------------------- */

/* What sb_NAME does. traps: before it is known to have started; $run is the run directory, and
 * $run/NAME.starts has a line for each start. */
static void trapping(const char *name, const char *traps, const char *body)
{
    char path[PATH_MAX];
    assert_int_equal(sb_rundir_path(path, programs, "sb_%s", name), 0);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "#!/bin/bash\nfor run in \"$@\"; do :; done\n%secho $$ >>\"$run/%s.starts\"\n%s", traps,
            name, body);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0755), 0);
}

static void script(const char *name, const char *body) { trapping(name, "", body); }

/* A run whose programs live until they are told to end, and whose trainer says then that it has saved. */
static int set_up(void **state)
{
    static int number;
    char path[PATH_MAX];
    (void)state;
    assert_int_equal(sb_rundir_path(run_dir, folder, "run%d", number++), 0);
    assert_int_equal(sb_rundir_path(programs, folder, "programs"), 0);
    assert_true(sb_rundir_new(programs) >= 0);
    assert_int_equal(sb_rundir_create(run_dir), 0);
    assert_int_equal(sb_rundir_path(path, run_dir, "config.yaml"), 0);
    assert_int_equal(sb_file_replace(path, "run:\n  loaders: 2\n", 18), 0);
    trapping("trainer", SAVES, SHOWS LIVES);
    script("augment", LIVES);
    script("loader", LIVES);
    script("evaluator", "");
    return 0;
}

/* prepare: what the process does before it supervises; NULL: nothing. */
static void launch(void (*prepare)(void))
{
    char path[PATH_MAX];
    assert_int_equal(sb_rundir_path(path, run_dir, "screen"), 0);
    supervisor = fork();
    assert_true(supervisor >= 0);
    if (supervisor > 0)
        return;
    int ready = -1;
    if (!freopen(path, "w", stdout) || dup2(STDOUT_FILENO, STDERR_FILENO) < 0)
        _exit(99);
    if (prepare)
        prepare();
    int rc = sb_supervise(run_dir, programs, &ready);
    if (rc < 0)
        fprintf(stderr, "%s\n", sb_error());
    _exit(rc < 0 ? 98 : rc);
}

static int ended(void)
{
    int status;
    const uint64_t end = sb_now() + DEADLINE_NS;
    pid_t got;
    while ((got = waitpid(supervisor, &status, WNOHANG)) == 0 && sb_now() < end)
        usleep(5000);
    assert_int_equal(got, supervisor);
    assert_true(WIFEXITED(status));
    assert_false(sb_request_heard(run_dir));
    return WEXITSTATUS(status);
}

static char *text_of(const char *name)
{
    static char text[65536];
    char path[PATH_MAX], *read;
    size_t bytes;
    assert_int_equal(sb_rundir_path(path, run_dir, "%s", name), 0);
    text[0] = '\0';
    if (access(path, F_OK) == 0) {
        assert_int_equal(sb_file_read(path, sizeof text - 1, &read, &bytes), 0);
        memcpy(text, read, bytes + 1);
        free(read);
    }
    return text;
}

static int lines_of(const char *name)
{
    int lines = 0;
    for (const char *p = text_of(name); *p; p++)
        lines += *p == '\n';
    return lines;
}

static void wait_lines(const char *name, int count)
{
    const uint64_t end = sb_now() + DEADLINE_NS;
    while (lines_of(name) < count && sb_now() < end)
        usleep(5000);
    assert_true(lines_of(name) >= count);
}

static void assert_says(const char *name, const char *what)
{
    const char *text = text_of(name);
    if (!strstr(text, what))
        fail_msg("%s has no `%s`:\n%s", name, what, text);
}

/* Who was started under this name and lives. */
static int living(const char *name)
{
    int count = 0;
    char *rest = NULL;
    for (char *line = strtok_r(text_of(name), "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        count += kill((pid_t)strtol(line, NULL, 10), 0) == 0;
    return count;
}

static pid_t first_of(const char *name) { return (pid_t)strtol(text_of(name), NULL, 10); }

static void wait_living(const char *name, int count)
{
    const uint64_t end = sb_now() + DEADLINE_NS;
    while (living(name) != count && sb_now() < end)
        usleep(5000);
    assert_int_equal(living(name), count);
}

static int ask(const char *request)
{
    const int fd = sb_request_connect(run_dir);
    assert_true(fd >= 0);
    assert_int_equal(sb_request_send(fd, request), 0);
    return fd;
}

static void assert_answer(int fd, const char *wanted)
{
    char answer[SB_REQUEST_MAX];
    assert_int_equal(sb_request_wait(fd, (int)(DEADLINE_NS / 1000000), answer), 1);
    if (strncmp(answer, wanted, strlen(wanted)) != 0)
        fail_msg("`%s`, wanted was `%s`", answer, wanted);
    close(fd);
}

#define STOPPED SB_REQUEST_DONE "stopped after step 7, saved"

/* ---- signs of life ---------------------------------------------------------------------------------------- */

#define SHOWS_AND_LIVES "while :; do " SHOWS "sleep 0.02; done\n"

/* A run in which one is killed after 3 * `timeout` s without a sign. */
static void set_timeout(const char *timeout)
{
    char path[PATH_MAX], text[64];
    assert_int_equal(sb_rundir_path(path, run_dir, "config.yaml"), 0);
    snprintf(text, sizeof text, "run:\n  loaders: 1\nloader:\n  timeout: %s\n", timeout);
    assert_int_equal(sb_file_replace(path, text, strlen(text)), 0);
}

/* What augment and loaders do once they have shown themselves, so that no more signs come. */
static void hung(const char *what)
{
    const char *names[] = { "augment", "loader" };
    char body[256];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(i == 0 ? 0 : set_up(NULL), 0);
        set_timeout("0.1");
        trapping("trainer", SAVES, SHOWS_AND_LIVES);
        script("augment", SHOWS_AND_LIVES);
        script("loader", SHOWS_AND_LIVES);
        snprintf(body, sizeof body, SHOWS "[ $(wc -l <\"$run/%s.starts\") -gt 2 ] || %s\n" SHOWS_AND_LIVES,
                 names[i], what);
        script(names[i], body);
        launch(NULL);
        char starts[32], log[32];
        snprintf(starts, sizeof starts, "%s.starts", names[i]);
        snprintf(log, sizeof log, "log/%s.log", names[i]);
        wait_lines(starts, 3);
        usleep(1000000); /* it shows signs now */
        assert_int_equal(lines_of(starts), 3);
        assert_says(log, "gave no sign of life for 0.3 s (three times loader.timeout) and was killed; it is "
                         "started again");
        assert_answer(ask("stop"), STOPPED);
        assert_int_equal(ended(), SB_EXIT_STOPPED);
        assert_int_equal(lines_of("trainer.starts"), 1);
    }
}

static void test_stopped_program(void **state)
{
    (void)state;
    hung("kill -STOP $$");
}

static void test_spinning_program(void **state)
{
    (void)state;
    hung("while :; do :; done");
}

/* One that never shows a sign ends the run, in the end. */
static void test_silent_program(void **state)
{
    (void)state;
    set_timeout("0.1");
    launch(NULL);
    assert_int_equal(ended(), 1);
    assert_says("status.json", "died 5 times without any progress; the last time it gave no sign of life");
}

/* The trainer is only spoken of: how long it computes without a sign nobody knows. */
static void test_stopped_trainer(void **state)
{
    (void)state;
    set_timeout("0.1");
    trapping("trainer", SAVES, SHOWS "kill -STOP $$\n" SHOWS_AND_LIVES);
    script("augment", SHOWS_AND_LIVES);
    script("loader", SHOWS_AND_LIVES);
    launch(NULL);
    wait_lines("screen", 1);
    assert_says("screen", "run: the trainer has given no sign of life for 0.3 s: it is stopped, or hangs");
    usleep(1500000);
    assert_int_equal(lines_of("screen"), 1);
    sb_request_state now;
    assert_int_equal(sb_request_look(run_dir, 10000, &now), 0);
    assert_string_equal(now.phase, "starting");
    assert_in_range(now.quiet, 1, 60);
    assert_in_range(now.silent, 1, now.quiet);
    assert_int_equal(kill(first_of("trainer.starts"), SIGCONT), 0);
    assert_answer(ask("stop"), STOPPED);
    assert_int_equal(ended(), SB_EXIT_STOPPED);
    assert_int_equal(lines_of("trainer.starts"), 1);
}

/* A pause that is shorter, and one of the whole run. */
static void test_paused(void **state)
{
    (void)state;
    set_timeout("0.8");
    trapping("trainer", SAVES, SHOWS_AND_LIVES);
    script("augment", SHOWS_AND_LIVES);
    script("loader", SHOWS_AND_LIVES);
    launch(NULL);
    wait_lines("augment.starts", 1);
    wait_lines("loader.starts", 1);
    const pid_t all[] = { supervisor, first_of("augment.starts"), first_of("loader.starts") };
    for (int round = 0; round < 3; round++) {
        for (int i = 1; i < 3; i++)
            assert_int_equal(kill(all[i], SIGSTOP), 0);
        usleep(1000000);
        for (int i = 1; i < 3; i++)
            assert_int_equal(kill(all[i], SIGCONT), 0);
        usleep(200000);
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(kill(all[i], SIGSTOP), 0);
    usleep(4000000);
    assert_int_equal(kill(supervisor, SIGCONT), 0); /* the others a moment later */
    usleep(200000);
    for (int i = 1; i < 3; i++)
        assert_int_equal(kill(all[i], SIGCONT), 0);
    usleep(200000);
    assert_int_equal(lines_of("augment.starts") + lines_of("loader.starts"), 2);
    assert_answer(ask("stop"), STOPPED);
    assert_int_equal(ended(), SB_EXIT_STOPPED);
}

/* ---- ends ------------------------------------------------------------------------------------------------- */

/* At the end of a run, however it ended, the report is written; the run's end is the same without one. */
#define WRITES "[ \"$1\" = report ] && [ -s \"$run/status.json\" ] && echo whole >\"$run/report.html\"\n"

static void test_report(void **state)
{
    (void)state;
    script("evaluator", WRITES);
    script("trainer", "exit 0\n");
    launch(NULL);
    assert_int_equal(ended(), 0);
    assert_string_equal(text_of("report.html"), "whole\n");
    assert_says("screen", "report: ");
}

static void test_report_of_a_failure(void **state)
{
    (void)state;
    script("evaluator", WRITES);
    script("trainer", "exit 1\n");
    launch(NULL);
    assert_int_equal(ended(), 1);
    assert_string_equal(text_of("report.html"), "whole\n");
    assert_null(strstr(text_of("screen"), "report: ")); /* the reason is the last word */
}

static void test_no_report(void **state)
{
    (void)state;
    script("evaluator", "echo 'smallbatch evaluator: no room'; exit 1\n");
    script("trainer", "exit 0\n");
    launch(NULL);
    assert_int_equal(ended(), 0);
    assert_null(strstr(text_of("screen"), "report: "));
    assert_says("log/report.log", "no room");
}

/* One that hangs is asked to end by a signal, and ended by the next. It says more than a pipe holds. */
static void test_report_hangs(void **state)
{
    (void)state;
    trapping("evaluator", "trap 'echo asked >\"$run/asked\"' TERM\n",
             "head -c 3000000 /dev/zero | tr '\\0' '\\n'; echo said >\"$run/said\"\n" LIVES);
    script("trainer", "exit 0\n");
    launch(NULL);
    wait_lines("said", 1);
    kill(supervisor, SIGTERM);
    wait_lines("asked", 1);
    assert_int_not_equal(living("evaluator.starts"), 0);
    kill(supervisor, SIGTERM);
    assert_int_equal(ended(), 0);
    assert_int_equal(living("evaluator.starts"), 0);
}

static void test_finished(void **state)
{
    (void)state;
    script("trainer", "echo 'smallbatch trainer: a note'; echo 'a library says'; exit 0\n");
    launch(NULL);
    assert_int_equal(ended(), 0);
    assert_says("screen", "trainer: a note\n");
    assert_says("screen", "done: ");
    assert_null(strstr(text_of("screen"), "library"));
    assert_says("log/trainer.log", "smallbatch trainer: a note\na library says\n");
    assert_int_equal(living("augment.starts") + living("loader.starts"), 0);
}

static void test_reason(void **state)
{
    (void)state;
    script("augment", "echo 'smallbatch augment: no such image'; printf 'and no end'; exit 1\n");
    launch(NULL);
    assert_int_equal(ended(), 1);
    assert_says("screen",
                "run: augment cannot go on:\n    smallbatch augment: no such image\n    and no end\n");
    assert_says("status.json", "\"reason\": \"augment cannot go on: and no end\"");
    assert_says("status.json", "\"phase\": \"failed\"");
    assert_int_equal(lines_of("augment.starts"), 1);
}

/* What a program noted at its start is no part of why it ended, and what others say meanwhile comes nowhere
 * behind that. */
static void test_reason_alone(void **state)
{
    (void)state;
    trapping("augment", "trap 'echo \"smallbatch augment: I end\"; exit 0' TERM\n", LIVES);
    script("trainer",
           "until [ -e \"$run/augment.starts\" ]; do sleep 0.02; done\n"
           "printf 'smallbatch trainer: a device\\na library\\nsmallbatch trainer: it fails\\nso it "
           "does'; exit 1\n");
    launch(NULL);
    assert_int_equal(ended(), 1);
    assert_string_equal(text_of("screen"), "trainer: a device\nrun: trainer cannot go on:\n    smallbatch "
                                           "trainer: it fails\n    so it does\n");
    assert_says("log/augment.log", "I end");
}

/* The log can be opened, but not written. */
static void test_full_disk(void **state)
{
    char path[PATH_MAX];
    (void)state;
    assert_int_equal(sb_rundir_path(path, run_dir, "log/trainer.log"), 0);
    assert_int_equal(symlink("/dev/full", path), 0);
    script("trainer", "echo 'smallbatch trainer: the reason'; exit 1\n");
    launch(NULL);
    assert_int_equal(ended(), 1);
    assert_says("screen", "log/trainer.log: No space left on device");
    assert_says("screen", "smallbatch trainer: the reason\n");
}

static void test_renamed(void **state)
{
    char moved[PATH_MAX];
    (void)state;
    script("trainer", "until [ -e \"$run.moved/go\" ]; do sleep 0.02; done\necho 'smallbatch trainer: where "
                      "is it'; exit 1\n");
    launch(NULL);
    wait_lines("trainer.starts", 1);
    assert_true(snprintf(moved, sizeof moved, "%s.moved", run_dir) < (int)sizeof moved);
    assert_int_equal(rename(run_dir, moved), 0);
    strcpy(run_dir, moved);
    char path[PATH_MAX];
    assert_int_equal(sb_rundir_path(path, run_dir, "go"), 0);
    assert_int_equal(sb_file_replace(path, "", 0), 0);
    assert_int_equal(ended(), 1);
    assert_says("screen", "run: trainer cannot go on:\n    smallbatch trainer: where is it\n");
}

static void test_dies_and_dies(void **state)
{
    (void)state;
    script("loader", "echo 'last words'; kill -KILL $$\n");
    launch(NULL);
    assert_int_equal(ended(), 1);
    assert_says("screen", "died 5 times without any progress; the last time it was killed (SIGKILL)");
    assert_says("log/loader.log", "loader 0 was killed (SIGKILL)");
}

static void test_dies_with_progress(void **state)
{
    (void)state;
    script(
        "trainer",
        "echo '{}' >>\"$run/metrics.jsonl\"; [ $(wc -l <\"$run/metrics.jsonl\") -lt 7 ] || exit 0; exit 9\n");
    launch(NULL);
    assert_int_equal(ended(), 0);
    assert_int_equal(lines_of("trainer.starts"), 7);
    assert_says("log/trainer.log", "trainer ended with exit code 9; it is started again");
}

/* Views of another size: started again at once, as often as it likes. */
static void test_resized(void **state)
{
    (void)state;
    script("trainer", "[ $(wc -l <\"$run/trainer.starts\") -lt 8 ] || exit 0; exit 5\n");
    launch(NULL);
    assert_int_equal(ended(), 0);
    assert_int_equal(lines_of("trainer.starts"), 8);
}

static void test_no_program(void **state)
{
    char path[PATH_MAX];
    (void)state;
    assert_int_equal(sb_rundir_path(path, programs, "sb_trainer"), 0);
    assert_int_equal(remove(path), 0);
    launch(NULL);
    assert_int_equal(ended(), 1);
    assert_says("screen", "sb_trainer cannot be started: No such file or directory");
}

/* ---- loaders that the memory holds ------------------------------------------------------------------------ */

#define STATUS(most)                                                                                        \
    "echo "                                                                                                 \
    "'{\"phase\":\"training\",\"step\":1,\"steps\":9,\"loss\":1.0,\"images_per_second\":1.0,\"eta_s\":1.0," \
    "\"waited\":0.0,\"bottleneck\":\"train\",\"loaders\":2,\"loaders_most\":" most                          \
    ",\"quarantined\":0}' >\"$run/status.json\"\n"

/* None is started before the trainer has found that there is memory for them. */
static void test_loaders_wait(void **state)
{
    (void)state;
    trapping("trainer", "sleep 1\n", "echo 'smallbatch trainer: lower run.loaders'; exit 1\n");
    launch(NULL);
    assert_int_equal(ended(), 1);
    assert_says("screen", "lower run.loaders");
    assert_int_equal(lines_of("loader.starts"), 0);
}

static void test_loaders_most(void **state)
{
    (void)state;
    trapping("trainer", SAVES, "until [ -e \"$run/go\" ]; do sleep 0.02; done\n" STATUS("3") SHOWS LIVES);
    launch(NULL);
    wait_lines("trainer.starts", 1);
    assert_answer(ask("scale 9"), SB_REQUEST_DONE "9 loaders, before it 2"); /* who knows? */
    char path[PATH_MAX];
    assert_int_equal(sb_rundir_path(path, run_dir, "go"), 0);
    assert_int_equal(sb_file_replace(path, "", 0), 0);
    wait_living("loader.starts", 3);
    assert_answer(ask("scale 4"), SB_REQUEST_REFUSED "4 loaders: there is memory for 3");
    assert_answer(ask("scale 1"), SB_REQUEST_DONE "1 loader, before it 3");
    assert_answer(ask("scale 3"), SB_REQUEST_DONE "3 loaders, before it 1");
    wait_lines("loader.starts", 5);
    assert_answer(ask("stop"), STOPPED);
    assert_int_equal(ended(), SB_EXIT_STOPPED);
    assert_says("screen", "there is memory for 3 loaders, not for 9");
    assert_int_equal(lines_of("loader.starts"), 5);
}

/* ---- lack of memory ---------------------------------------------------------------------------------------- */

/* At the start it ends the run. */
static void test_no_room(void **state)
{
    (void)state;
    script("trainer", "echo 'smallbatch trainer: 9 MiB are free'; exit 7\n");
    launch(NULL);
    assert_int_equal(ended(), 1);
    assert_says("screen", "run: trainer cannot go on:\n    smallbatch trainer: 9 MiB are free\n");
    assert_int_equal(lines_of("trainer.starts"), 1);
}

/* The first start of `name`: it lasts until steps were made. The next two find too little memory. */
#define ROOM_AGAIN(name, first)                                                                        \
    "case $(wc -l <\"$run/" name ".starts\") in\n1) " first "exit 9 ;;\n2 | 3) echo 'smallbatch " name \
    ": 9 MiB are free'; exit 7 ;;\nesac\n" LIVES
#define STEP "echo '{}' >>\"$run/metrics.jsonl\"; "

/* Once steps were made, it is waited for. */
static void wait_room(const char *name)
{
    char starts[32], line[128];
    sb_request_state now;
    launch(NULL);
    snprintf(starts, sizeof starts, "%s.starts", name);
    wait_lines(starts, 3);
    assert_int_equal(sb_request_look(run_dir, 10000, &now), 0);
    assert_string_equal(now.phase, "waiting");
    wait_lines(starts, 4);
    usleep(100000);
    assert_int_equal(lines_of(starts), 4);
    snprintf(line, sizeof line, "supervisor: %s found too little memory; it is started again", name);
    assert_says("screen", line);
    assert_null(strstr(strstr(text_of("screen"), line) + 1, line)); /* that is said once */
    assert_answer(ask("stop"), STOPPED);
    assert_int_equal(ended(), SB_EXIT_STOPPED);
}

static void test_room_for_trainer(void **state)
{
    (void)state;
    trapping("trainer", SAVES, ROOM_AGAIN("trainer", STEP));
    wait_room("trainer");
}

static void test_room_for_augment(void **state)
{
    (void)state;
    trapping("trainer", SAVES, STEP ": >\"$run/go\"\n" LIVES);
    script("augment", ROOM_AGAIN("augment", "until [ -e \"$run/go\" ]; do sleep 0.02; done; "));
    wait_room("augment");
}

/* A stop does not wait for memory. */
static void test_stop_without_room(void **state)
{
    (void)state;
    trapping("trainer", "trap '' TERM\n", ROOM_AGAIN("trainer", STEP));
    launch(NULL);
    wait_lines("trainer.starts", 3);
    assert_answer(ask("stop"),
                  SB_REQUEST_DONE "stopped; the trainer found too little memory before it saved");
    assert_int_equal(ended(), SB_EXIT_STOPPED);
}

/* ---- stops ------------------------------------------------------------------------------------------------ */

static void test_stops(void **state)
{
    (void)state;
    launch(NULL);
    wait_lines("trainer.starts", 1);
    int asked[8];
    for (int i = 0; i < 8; i++)
        asked[i] = ask("stop");
    for (int i = 0; i < 8; i++)
        assert_answer(asked[i], STOPPED);
    assert_int_equal(ended(), SB_EXIT_STOPPED);
    assert_int_equal(living("trainer.starts") + living("augment.starts") + living("loader.starts"), 0);
}

static void raise_alarm(const char *name)
{
    const sb_alarm alarm = { .name = name, .step = 7, .what = "it went wrong", .advice = "Rest" };
    assert_int_equal(sb_alarm_raise(run_dir, &alarm), 0);
}

/* The trainer has saved because of an alarm. */
static void test_alarm(void **state)
{
    (void)state;
    raise_alarm("spike");
    script("trainer", SHOWS "echo '" SAVED_STATUS "' >\"$run/status.json\"; exit 8\n");
    launch(NULL);
    assert_int_equal(ended(), SB_EXIT_ALARM);
    assert_int_equal(lines_of("trainer.starts"), 1);
    assert_non_null(strstr(text_of("screen"), "stopped by an alarm (spike at step 7) after step 7, saved"));
    assert_non_null(strstr(text_of("status.json"), "\"reason\": \"spike at step 7: it went wrong\""));
}

/* The evaluator has raised one: the trainer is asked to save. Evaluators that end otherwise stop nothing. */
static void test_alarm_of_evaluator(void **state)
{
    (void)state;
    char path[PATH_MAX];
    assert_int_equal(sb_rundir_path(path, run_dir, "config.yaml"), 0);
    assert_int_equal(sb_file_replace(path, "evaluate:\n  every: 1\n", 21), 0);
    raise_alarm("falling");
    script("evaluator", "[ \"$1\" != report ] || exit 0\n"
                        "while [ ! -s \"$run/loader.starts\" ]; do sleep 0.02; done; exit 8\n");
    launch(NULL);
    assert_int_equal(ended(), SB_EXIT_ALARM);
    assert_int_equal(lines_of("evaluator.starts"), 2); /* and once for the report */
    assert_non_null(strstr(text_of("screen"), "stopped by an alarm (falling at step 7) after step 7, saved"));
    assert_non_null(strstr(text_of("status.json"), "\"reason\": \"falling at step 7: it went wrong\""));
    assert_int_equal(living("trainer.starts") + living("augment.starts") + living("loader.starts"), 0);
}

static void test_stop_and_scale(void **state)
{
    (void)state;
    launch(NULL);
    wait_lines("trainer.starts", 1);
    const int first = ask("scale 3"), second = ask("stop"), third = ask("scale 4");
    assert_answer(first, SB_REQUEST_DONE "3 loaders, before it 2");
    assert_answer(third, SB_REQUEST_REFUSED "the run is stopping");
    assert_answer(second, STOPPED);
    assert_int_equal(ended(), SB_EXIT_STOPPED);
}

/* A trainer that waits for its next start need not be waited for. */
static void test_stop_in_pause(void **state)
{
    (void)state;
    script("trainer", "exit 9\n");
    launch(NULL);
    wait_lines("trainer.starts", 4); /* 1.6 s of pause come now */
    while (!strstr(text_of("log/trainer.log"),
                   "again\nsmallbatch supervisor: trainer ended with exit code 9; it is started again\n"
                   "smallbatch supervisor: trainer ended with exit code 9; it is started again\n"
                   "smallbatch supervisor: trainer ended with exit code 9; it is started again\n"))
        usleep(1000);
    assert_answer(ask("stop"), SB_REQUEST_DONE "stopped; the trainer ended with exit code 9 before it saved");
    assert_int_equal(ended(), SB_EXIT_STOPPED);
    assert_int_equal(lines_of("trainer.starts"), 4);
}

static void test_stop_now(void **state)
{
    (void)state;
    trapping("trainer", "trap '' TERM\n", SHOWS LIVES);
    trapping("loader", "trap '' TERM\n", LIVES);
    launch(NULL);
    wait_lines("trainer.starts", 1);
    wait_lines("loader.starts", 2);
    const int stop = ask("stop"), now = ask("stop now");
    assert_answer(now, SB_REQUEST_DONE "stopped at once");
    assert_answer(stop, SB_REQUEST_DONE "stopped at once");
    assert_int_equal(ended(), SB_EXIT_STOPPED);
    wait_living("trainer.starts", 0);
}

/* The trainer cannot save: that is no stop as asked for. */
static void test_stop_fails(void **state)
{
    (void)state;
    trapping("trainer", "trap 'echo smallbatch trainer: no space; exit 1' TERM\n", LIVES);
    launch(NULL);
    wait_lines("trainer.starts", 1);
    assert_answer(ask("stop"),
                  SB_REQUEST_REFUSED "it failed: trainer cannot go on: smallbatch trainer: no space");
    assert_int_equal(ended(), 1);
}

/* One that is killed while it saves has not saved, and nobody is told so. */
static void test_stop_unsaved(void **state)
{
    (void)state;
    trapping("trainer", "trap 'kill -KILL $$' TERM\n", LIVES);
    launch(NULL);
    wait_lines("trainer.starts", 1);
    assert_answer(ask("stop"), SB_REQUEST_DONE "stopped; the trainer was killed (SIGKILL)");
    assert_int_equal(ended(), SB_EXIT_STOPPED);
    assert_says("status.json", "\"phase\": \"stopped\"");
}

/* A program that never ends to say something does not keep the supervisor from anything else. */
static void test_talker(void **state)
{
    (void)state;
    struct stat info = { 0 };
    char path[PATH_MAX];
    script("augment", "for i in 1 2 3 4; do yes 'a library says the same again and again' & done; wait\n");
    assert_int_equal(sb_rundir_path(path, run_dir, "log/augment.log"), 0);
    assert_int_equal(sb_file_replace(path, "", 0), 0);
    assert_int_equal(truncate(path, (off_t)SB_LOG_MAX - 100000), 0); /* nearly as long as it may be */
    launch(NULL);
    wait_lines("trainer.starts", 1);
    while (stat(path, &info) == 0 && (size_t)info.st_size < SB_LOG_MAX)
        usleep(1000);
    assert_answer(ask("status"), SB_REQUEST_DONE "starting ");
    assert_answer(ask("stop now"), SB_REQUEST_DONE "stopped at once");
    assert_int_equal(ended(), SB_EXIT_STOPPED);
    assert_int_equal(stat(path, &info), 0);
    assert_in_range(info.st_size, SB_LOG_MAX, SB_LOG_MAX + 1000);
    assert_int_equal(truncate(path, 0), 0);
}

/* Standard output that nobody empties. */
static void fill_screen(void)
{
    static char page[4096];
    int ends[2];
    if (pipe(ends) != 0 || fcntl(ends[1], F_SETFL, O_NONBLOCK) != 0)
        _exit(97);
    while (write(ends[1], page, sizeof page) > 0) {
    }
    if (fcntl(ends[1], F_SETFL, 0) != 0 || dup2(ends[1], STDOUT_FILENO) < 0 ||
        dup2(ends[1], STDERR_FILENO) < 0)
        _exit(97);
}

static void test_screen_is_full(void **state)
{
    (void)state;
    trapping("trainer", SAVES, "echo 'smallbatch trainer: a note'\n" LIVES);
    launch(fill_screen);
    wait_lines("log/trainer.log", 1);
    assert_answer(ask("scale 3"), SB_REQUEST_DONE "3 loaders");
    assert_answer(ask("stop"), STOPPED);
    assert_int_equal(ended(), SB_EXIT_STOPPED);
}

static void ignore_hangup(void) { signal(SIGHUP, SIG_IGN); }

static void test_signals(void **state)
{
    (void)state;
    const int stopping[] = { SIGHUP, SIGTERM, SIGINT };
    for (int i = 0; i < 3; i++) {
        assert_int_equal(i == 0 ? 0 : set_up(state), 0);
        launch(NULL);
        wait_lines("trainer.starts", 1);
        assert_int_equal(kill(supervisor, stopping[i]), 0);
        if (stopping[i] == SIGTERM)
            assert_int_equal(kill(supervisor, SIGTERM), 0); /* the same stop */
        assert_int_equal(ended(), SB_EXIT_STOPPED);
        assert_says("screen", "stopped after step 7, saved");
    }
}

static void test_interrupted_twice(void **state)
{
    (void)state;
    trapping("trainer", "trap '' TERM\n", LIVES);
    launch(NULL);
    wait_lines("trainer.starts", 1);
    assert_int_equal(kill(supervisor, SIGINT), 0);
    wait_lines("screen", 1);
    assert_says("screen", "Ctrl-C again ends at once");
    assert_int_equal(kill(supervisor, SIGINT), 0);
    assert_int_equal(ended(), SB_EXIT_STOPPED);
    assert_says("screen", "stopped at once");
}

static void test_nohup(void **state)
{
    (void)state;
    launch(ignore_hangup);
    wait_lines("trainer.starts", 1);
    assert_int_equal(kill(supervisor, SIGHUP), 0);
    assert_answer(ask("status"), SB_REQUEST_DONE "starting "); /* and not "stopping" */
    assert_answer(ask("stop"), STOPPED);
    assert_int_equal(ended(), SB_EXIT_STOPPED);
}

/* A terminal's Ctrl-C reaches everybody; the programs leave it to the supervisor. */
static void test_children_ignore(void **state)
{
    char path[64], line[256];
    unsigned long long ignored = 0;
    (void)state;
    launch(NULL);
    wait_lines("loader.starts", 2);
    snprintf(path, sizeof path, "/proc/%ld/status", strtol(text_of("loader.starts"), NULL, 10));
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) && sscanf(line, "SigIgn: %llx", &ignored) != 1) {
    }
    fclose(file);
    assert_int_equal(ignored >> (SIGINT - 1) & 1, 1);
    assert_int_equal(ignored >> (SIGHUP - 1) & 1, 1);
    assert_int_equal(ignored >> (SIGTERM - 1) & 1, 0);
    assert_answer(ask("stop"), STOPPED);
    assert_int_equal(ended(), SB_EXIT_STOPPED);
}

/* ---- requests --------------------------------------------------------------------------------------------- */

static void test_scale(void **state)
{
    static const char *const refused[] = { "scale 0",   "scale 257",         "scale -1", "scale",
                                           "scale 3 4", "scale 99999999999", "halt",     "\001\002" };
    (void)state;
    launch(NULL);
    wait_living("loader.starts", 2);
    assert_answer(ask("scale 5"), SB_REQUEST_DONE "5 loaders, before it 2");
    wait_living("loader.starts", 5);
    assert_answer(ask("scale 1"), SB_REQUEST_DONE "1 loader, before it 5");
    wait_living("loader.starts", 1);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        assert_answer(ask(refused[i]), SB_REQUEST_REFUSED);
    assert_int_equal(kill(living("loader.starts") == 1 ? supervisor : 0, SIGTERM), 0);
    assert_int_equal(ended(), SB_EXIT_STOPPED);
    assert_int_equal(lines_of("loader.starts"), 5);
}

/* More connect than are heard, and say nothing, or leave: the run and other askers do not notice. */
static void test_silent_askers(void **state)
{
    int silent[40];
    (void)state;
    launch(NULL);
    wait_lines("trainer.starts", 1);
    for (int i = 0; i < 40; i++)
        silent[i] = sb_request_connect(run_dir);
    for (int i = 0; i < 40; i += 2)
        close(silent[i]);
    close(ask("stop now, please"));
    assert_answer(ask("status"), SB_REQUEST_DONE "starting ");
    const int stop = ask("stop");
    assert_answer(stop, STOPPED);
    assert_int_equal(ended(), SB_EXIT_STOPPED);
    char answer[SB_REQUEST_MAX];
    assert_int_equal(sb_request_wait(silent[1], 1000, answer), -1);
}

static void test_not_running(void **state)
{
    (void)state;
    assert_int_equal(sb_request_connect(run_dir), -1);
    assert_non_null(strstr(sb_error(), "is not running"));
    launch(NULL);
    wait_lines("augment.starts", 1);
    wait_lines("loader.starts", 2); /* none is between its fork and its exec, with the socket open */
    assert_int_equal(kill(supervisor, SIGKILL), 0);
    assert_int_equal(waitpid(supervisor, NULL, 0), supervisor);
    assert_false(sb_request_heard(run_dir));
    assert_int_equal(sb_request_connect(run_dir), -1);
    assert_non_null(strstr(sb_error(), "is not running"));
    for (const char *const *name =
             (const char *const[]){ "trainer.starts", "augment.starts", "loader.starts", NULL };
         *name; name++) {
        char *rest = NULL; /* scripts do not ask to die with it, as our programs do */
        for (char *line = strtok_r(text_of(*name), "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
            kill((pid_t)strtol(line, NULL, 10), SIGKILL);
    }
}

/* ---- parts ------------------------------------------------------------------------------------------------ */

/* Of much that can be read about as much is taken as is asked for; the rest, and its end, comes then. */
static void test_take(void **state)
{
    static char much[50000];
    int ends[2], left = 0;
    sb_log log;
    sb_begun begun = { .bytes = 0 };
    (void)state;
    memset(much, 'x', sizeof much);
    for (size_t i = 99; i < sizeof much; i += 100)
        much[i] = '\n';
    assert_int_equal(set_up(state), 0);
    assert_int_equal(sb_log_open(&log, run_dir, "trainer"), 0);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], much, sizeof much), sizeof much);
    assert_true(sb_log_take(&log, &begun, ends[0], 1000));
    assert_int_equal(ioctl(ends[0], FIONREAD, &left), 0);
    assert_in_range(left, (int)sizeof much - 1000 - SB_LOG_LINE, (int)sizeof much - 1000);
    close(ends[1]);
    assert_false(sb_log_take(&log, &begun, ends[0], SIZE_MAX));
    assert_int_equal(log.said, sizeof much / 100);
    close(ends[0]);
    sb_log_close(&log);
}

/* Two die before anybody looks, then one whom the kernel has not killed; then the kernel does not say. */
static void test_deaths(void **state)
{
    static const char *const wanted[] = { "by the kernel, most probably", "by the kernel, most probably",
                                          "not by the kernel", "not by the kernel" };
    char path[PATH_MAX], how[512];
    sb_deaths deaths;
    (void)state;
    assert_int_equal(sb_rundir_path(path, folder, "vmstat"), 0);
    assert_int_equal(sb_file_replace(path, "nr_free_pages 3\noom_kill 5\n", 27), 0);
    sb_deaths_begin(&deaths, folder);
    assert_int_equal(sb_file_replace(path, "nr_free_pages 3\noom_kill 7\n", 27), 0);
    for (int i = 0; i < 4; i++) {
        sb_deaths_describe(&deaths, how, sizeof how);
        assert_non_null(strstr(how, wanted[i]));
    }
    assert_int_equal(remove(path), 0);
    sb_deaths_describe(&deaths, how, sizeof how);
    assert_non_null(strstr(how, "perhaps for lack of memory"));
}

static void test_restarts(void **state)
{
    (void)state;
    sb_restarts r = { 0 };
    const double pauses[] = { 0.2, 0.4, 0.8, 1.6, -1 };
    for (int i = 0; i < 5; i++) {
        const double pause = sb_restarts_died(&r, 3);
        assert_true(pause > pauses[i] - 1e-9 && pause < pauses[i] + 1e-9);
    }
    r = (sb_restarts){ 0 };
    for (int i = 0; i < 40; i++)
        assert_true(sb_restarts_died(&r, i) == 0.2);
    assert_true(sb_restarts_died(&r, 12) == 0.4); /* what was there before is no progress */
}

static void test_screen(void **state)
{
    (void)state;
    const sb_status status = { .step = 120,
                               .steps = 240,
                               .loss = 1.234,
                               .images_per_second = 85.1,
                               .eta_s = 42,
                               .waited = 0.03,
                               .bottleneck = "train",
                               .phase = "training" };
    char line[SB_SCREEN_LINE];
    for (int columns = 0; columns <= 600; columns++) {
        sb_screen_fit(&status, columns, line);
        assert_true((int)strlen(line) < (columns < 1 ? 1 : columns));
    }
    sb_screen_fit(&status, 120, line);
    assert_string_equal(line, "[############............] step 120/240  loss 1.2340  85.1 images/s  ETA 0:42 "
                              " waited 3 %  slowest: train");
    sb_screen_fit(&status, 80, line);
    assert_string_equal(line,
                        "step 120/240  loss 1.2340  85.1 images/s  ETA 0:42  waited 3 %  slowest: train");
    sb_screen_fit(&status, 60, line);
    assert_string_equal(line, "step 120/240  loss 1.2340  85.1 images/s  ETA 0:42");
    sb_screen_fit(&status, 24, line);
    assert_string_equal(line, "[####....] step 120/240");
    sb_screen_fit(&status, 6, line);
    assert_string_equal(line, "step ");
}

static int remove_all(void **state)
{
    char command[PATH_MAX + 16];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

int main(void)
{
#define RUN(test) cmocka_unit_test_setup(test, set_up)
    const struct CMUnitTest tests[] = {
        RUN(test_report),
        RUN(test_report_of_a_failure),
        RUN(test_no_report),
        RUN(test_report_hangs),
        RUN(test_finished),
        RUN(test_reason),
        RUN(test_reason_alone),
        RUN(test_full_disk),
        RUN(test_renamed),
        RUN(test_dies_and_dies),
        RUN(test_dies_with_progress),
        RUN(test_resized),
        RUN(test_no_program),
        RUN(test_loaders_wait),
        RUN(test_loaders_most),
        RUN(test_no_room),
        RUN(test_room_for_trainer),
        RUN(test_room_for_augment),
        RUN(test_stop_without_room),
        RUN(test_stops),
        RUN(test_alarm),
        RUN(test_alarm_of_evaluator),
        RUN(test_stop_and_scale),
        RUN(test_stop_in_pause),
        RUN(test_stop_now),
        RUN(test_stop_fails),
        RUN(test_stop_unsaved),
        RUN(test_talker),
        RUN(test_screen_is_full),
        RUN(test_stopped_program),
        RUN(test_spinning_program),
        RUN(test_silent_program),
        RUN(test_stopped_trainer),
        RUN(test_paused),
        RUN(test_signals),
        RUN(test_interrupted_twice),
        RUN(test_nohup),
        RUN(test_children_ignore),
        RUN(test_scale),
        RUN(test_silent_askers),
        RUN(test_not_running),
        cmocka_unit_test(test_take),
        cmocka_unit_test(test_deaths),
        cmocka_unit_test(test_restarts),
        cmocka_unit_test(test_screen),
    };
    signal(SIGINT, SIG_DFL); /* a shell without job control has what it starts behind it ignore this one, */
    signal(SIGHUP, SIG_DFL); /* and nohup this one */
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (!mkdtemp(folder))
        return 1;
    return cmocka_run_group_tests(tests, NULL, remove_all);
}
