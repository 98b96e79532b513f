/* cells.c: see cells.h. */
#include "sweep/cells.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/error.h"
#include "proto/memory.h"
#include "proto/outfile.h"
#include "proto/path.h"
#include "proto/process.h"
#include "proto/rundir.h"
#include "sweep/results.h"
#include "trainer/configuration.h"
#include "trainer/status.h"

#define FILE_MAX_BYTES (16u << 20)
#define POLL_US 200000
#define HELD_S 10 /* how long the supervisor of a killed sweep's cell may take to die with it */

/* ---- the grid on disk ------------------------------------------------------------------------------------- */

/* The arguments as they are kept: a line each. malloc'ed. */
static char *text_of(const char *const *arguments, int count)
{
    size_t bytes = 1, at = 0;
    for (int i = 0; i < count; i++)
        bytes += strlen(arguments[i]) + 1;
    char *text = sb_zeroed(bytes, 1, "the grid");
    for (int i = 0; text && i < count; i++)
        at += (size_t)sprintf(text + at, "%s\n", arguments[i]);
    return text;
}

/* Reads the grid from lines. */
static int read_lines(sb_grid *grid, char *text)
{
    int count = 0, rc;
    for (const char *c = text; *c; c++)
        count += *c == '\n';
    const char **lines = sb_zeroed((size_t)count, sizeof *lines, "the grid");
    if (!lines)
        return -1;
    char *rest = text;
    for (int i = 0; i < count; i++)
        lines[i] = strsep(&rest, "\n");
    rc = sb_grid_read(grid, lines, count);
    free(lines);
    return rc;
}

/* Every cell's keys and values, before anything runs. That a combination of sound values is refused is the
 * cell's own failure: its row says so. */
static int check_cells(const sb_sweep *s, const char *recipe)
{
    int rc = 0;
    for (int c = 0; rc == 0 && c < s->grid.cells; c++) {
        char **assignments = sb_grid_assignments(&s->grid, c);
        sb_config config;
        sb_config_init(&config);
        rc = assignments ? sb_config_read(&config, recipe) : -1;
        for (char **a = assignments; rc == 0 && *a; a++)
            rc = sb_config_set(&config, *a);
        if (rc == 0)
            rc = sb_config_check(&config, sb_tables);
        if (rc != 0 && s->grid.cells > 1) {
            char name[SB_CELL_NAME_MAX];
            sb_grid_name(&s->grid, c, name);
            sb_context("cell %s", name);
        }
        sb_config_free(&config);
        sb_grid_assignments_free(assignments);
    }
    return rc;
}

/* The file must be what was there at the start. */
static int same_file(const char *path, const char *wanted, size_t bytes)
{
    char *there;
    size_t there_bytes;
    if (sb_file_read(path, FILE_MAX_BYTES, &there, &there_bytes) != 0)
        return -1;
    int same = there_bytes == bytes && memcmp(there, wanted, bytes) == 0;
    free(there);
    return same;
}

static int make_directory(const char *path)
{
    return mkdir(path, 0777) != 0 && errno != EEXIST ? sb_fail_errno("creating %s", path) : 0;
}

/* A folder without a grid holds no sweep: what has the name of a sweep's file there is the user's. A recipe
 * like the one that is kept is no loss, unless it is that very file: then the user may edit it. */
static int check_folder(const sb_sweep *s, const char *recipe, const char *yaml, size_t bytes)
{
    static const char *const tables[] = { "table.csv", "table.md", "table.png", "folder" };
    char path[PATH_MAX];
    const sb_outfile kept = sb_outfile_look(s->recipe);
    int same = 1;
    if (sb_rundir_check(s->dir) == 0)
        return sb_fail("%s is a run, not a sweep's folder: name another", s->dir);
    if (sb_outfile_check_input(&kept, recipe) != 0 ||
        (kept.there && (same = same_file(s->recipe, yaml, bytes)) < 0))
        return -1;
    if (!same)
        return sb_fail("%s is there, and %s holds no sweep whose recipe it would be: name another folder",
                       s->recipe, s->dir);
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        if (sb_rundir_path(path, s->dir, "%s", tables[i]) != 0)
            return -1;
        if (access(path, F_OK) == 0)
            return sb_fail("%s is there, and %s holds no sweep that it would be of: name another folder",
                           path, s->dir);
    }
    return 0;
}

/* Writes the grid, or holds it against the one that is there. */
static int keep_grid(const sb_sweep *s, const char *recipe, const char *const *arguments, int count)
{
    char grid[PATH_MAX], log[PATH_MAX], *text = text_of(arguments, count), *yaml = NULL;
    size_t yaml_bytes;
    int rc = text && sb_rundir_path(grid, s->dir, "grid") == 0 && sb_rundir_path(log, s->dir, "log") == 0 &&
                     sb_file_read(recipe, FILE_MAX_BYTES, &yaml, &yaml_bytes) == 0
                 ? 0
                 : -1;
    if (rc == 0 && access(grid, F_OK) == 0) {
        int same_axes = same_file(grid, text, strlen(text)),
            same_recipe = same_file(s->recipe, yaml, yaml_bytes);
        if (same_axes < 0 || same_recipe < 0)
            rc = -1;
        else if (!same_axes || !same_recipe)
            rc = sb_fail("%s holds a sweep of %s: go on with it by ./run sweep -o %s, or name another folder "
                         "(%s)",
                         s->dir, same_axes ? "another recipe" : "another grid", s->dir,
                         same_axes ? s->recipe : grid);
    } else if (rc == 0) {
        rc = check_folder(s, recipe, yaml, yaml_bytes) != 0 ? -1 : check_cells(s, recipe);
        if (rc == 0 && (make_directory(s->dir) != 0 || make_directory(log) != 0 ||
                        sb_file_replace(s->recipe, yaml, yaml_bytes) != 0 ||
                        sb_file_replace(grid, text, strlen(text)) != 0))
            rc = -1;
    }
    free(text);
    free(yaml);
    return rc;
}

static int read_kept(sb_sweep *s)
{
    char path[PATH_MAX], *text;
    size_t bytes;
    if (sb_rundir_path(path, s->dir, "grid") != 0)
        return -1;
    if (access(path, F_OK) != 0)
        return sb_fail("%s holds no sweep: name a recipe and a grid", s->dir);
    if (sb_file_read(path, FILE_MAX_BYTES, &text, &bytes) != 0)
        return -1;
    int rc = read_lines(&s->grid, text) != 0 ? sb_context("%s", path) : 0;
    free(text);
    return rc;
}

/* ---- cells ------------------------------------------------------------------------------------------------ */

static bool has_file(const sb_cell *c, const char *name)
{
    char path[PATH_MAX];
    return sb_rundir_path(path, c->dir, "%s", name) == 0 && access(path, F_OK) == 0;
}

/* A reason is one line, the same wherever the sweep lies. */
static void fail_cell(const sb_sweep *s, sb_cell *c, const char *why)
{
    const size_t prefix = strlen(s->dir);
    size_t at = 0;
    if (strncmp(why, "smallbatch ", 11) == 0 && strstr(why, ": "))
        why = strstr(why, ": ") + 2; /* what sb_note puts in front */
    while (*why && at + 1 < sizeof c->reason) {
        if (strncmp(why, s->dir, prefix) == 0 && why[prefix] == '/')
            why += prefix + 1;
        else
            c->reason[at++] = *why++;
    }
    c->reason[at] = '\0';
    sb_text_clean(c->reason);
    c->state = SB_CELL_FAILED;
}

/* What there is to do for a cell, from its keys and its run directory. */
static int look_at_cell(const sb_sweep *s, int number)
{
    sb_cell *c = &s->cell[number];
    sb_settings *settings = sb_zeroed(1, sizeof *settings, "the settings of a cell");
    char **assignments = sb_grid_assignments(&s->grid, number);
    int rc = settings && assignments ? 0 : -1, count = 0;
    sb_grid_name(&s->grid, number, c->name);
    if (rc == 0)
        rc = sb_rundir_path(c->dir, s->dir, "%s", c->name) == 0
                 ? sb_rundir_path(c->log, s->dir, "log/%s.log", c->name)
                 : -1;
    for (char **a = assignments; rc == 0 && *a; a++)
        count++;
    if (rc == 0 && sb_settings_of(settings, s->recipe, (const char *const *)assignments, count) != 0) {
        fail_cell(s, c, sb_error());
    } else if (rc == 0) {
        c->steps = settings->trainer.steps;
        c->views = (double)settings->trainer.steps * settings->trainer.accumulate * settings->trainer.batch *
                   settings->view_count;
        int done = sb_result_read(c->dir, c->steps, NULL);
        if (done < 0)
            rc = -1;
        else if (done)
            c->state = SB_CELL_DONE;
        sb_status status;
        if (rc == 0 && !done && sb_status_read(c->dir, &status) == 0)
            c->views *= 1 - (double)status.step / (double)c->steps;
        /* Two networks are evaluated, and a view forward is a third of a view trained on. */
        c->views += 2.0 / 3 * settings->evaluate.max_tiles * (1 + settings->evaluate.views);
    }
    sb_grid_assignments_free(assignments);
    free(settings);
    return rc;
}

/* Keeps the folder in which the sweep begins, and goes there if it began in another one. */
static int keep_folder(const sb_sweep *s)
{
    char path[PATH_MAX], here[PATH_MAX], *began = NULL;
    size_t bytes;
    if (sb_rundir_path(path, s->dir, "folder") != 0 || sb_path_whole(".", here) != 0)
        return -1;
    if (access(path, F_OK) != 0)
        return sb_file_replace(path, here, strlen(here));
    int rc = sb_file_read(path, PATH_MAX - 1, &began, &bytes);
    if (rc == 0 && chdir(began) != 0)
        rc = sb_fail_errno("%s, the folder in which the sweep began, and which its paths need", began);
    free(began);
    return rc;
}

int sb_sweep_open(sb_sweep *s, const char *dir, const char *run, const char *recipe,
                  const char *const *arguments, int count)
{
    *s = (sb_sweep){ .dir = dir, .run = run };
    int rc = sb_rundir_path(s->recipe, dir, "recipe.yaml");
    if (rc == 0 && recipe)
        rc = sb_grid_read(&s->grid, arguments, count) != 0 || keep_grid(s, recipe, arguments, count) != 0 ? -1
                                                                                                          : 0;
    else if (rc == 0)
        rc = read_kept(s);
    if (rc == 0 && (sb_rundir_lock(dir, "lock") < 0 || keep_folder(s) != 0))
        rc = -1;
    if (rc == 0 && !(s->cell = sb_zeroed((size_t)s->grid.cells, sizeof *s->cell, "the cells")))
        rc = -1;
    for (int c = 0; rc == 0 && c < s->grid.cells; c++)
        rc = look_at_cell(s, c);
    if (rc != 0)
        sb_sweep_close(s);
    return rc;
}

void sb_sweep_close(sb_sweep *s)
{
    sb_grid_free(&s->grid);
    free(s->cell);
    *s = (sb_sweep){ 0 };
}

/* ---- one command of a cell -------------------------------------------------------------------------------- */

/* In the child, which becomes ./run: a group of its own, so that Ctrl-C reaches it through the sweep alone.
 */
static _Noreturn void become(const sb_cell *c, char *const *command)
{
    int log = open(c->log, O_WRONLY | O_CREAT | O_APPEND, 0666), nothing = open("/dev/null", O_RDONLY);
    signal(SIGPIPE, SIG_DFL);
    if (sb_process_die_with_supervisor() != 0 || unsetenv("SB_SUPERVISOR") != 0 || setpgid(0, 0) != 0 ||
        log < 0 || nothing < 0 || dup2(nothing, STDIN_FILENO) < 0 || dup2(log, STDOUT_FILENO) < 0 ||
        dup2(log, STDERR_FILENO) < 0)
        _exit(126);
    execv(command[0], command);
    dprintf(STDERR_FILENO, "%s: %s\n", command[0], strerror(errno));
    _exit(127);
}

static int start_command(sb_cell *c, char *const *command)
{
    struct stat info;
    c->said = stat(c->log, &info) == 0 ? (long)info.st_size : 0;
    fflush(stdout);
    c->pid = fork();
    if (c->pid < 0)
        return sb_fail_errno("fork");
    if (c->pid == 0)
        become(c, command);
    return 0;
}

/* After a kill of everything the cell's supervisor may need a moment to die. */
static void wait_for_lock(const sb_cell *c)
{
    char path[PATH_MAX];
    int fd = sb_rundir_path(path, c->dir, "lock") == 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    for (int i = 0; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && i < HELD_S * 1000000 / POLL_US; i++)
        usleep(POLL_US);
    if (fd >= 0)
        close(fd);
}

/* A run directory without an index: its preparation was killed. */
static void forget(const sb_cell *c)
{
    static const char *const files[] = {
        "config.yaml", "index.bin", "index.csv", "index.png", "quarantine.jsonl",
        "checkpoints", "log",       "ipc",       "."
    };
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (sb_rundir_path(path, c->dir, "%s", files[i]) == 0)
            remove(strcmp(files[i], ".") == 0 ? c->dir : path);
}

static int start_training(const sb_sweep *s, int number)
{
    sb_cell *c = &s->cell[number];
    c->state = SB_CELL_TRAINS;
    c->began = sb_now();
    wait_for_lock(c);
    if (!has_file(c, "index.bin"))
        forget(c);
    if (has_file(c, "config.yaml")) {
        char *const resume[] = { (char *)(uintptr_t)s->run, (char *)"resume", c->dir, NULL };
        return start_command(c, resume);
    }
    char **assignments = sb_grid_assignments(&s->grid, number), run_dir[PATH_MAX + 16];
    int keys = 0;
    for (char **a = assignments; a && *a; a++)
        keys++;
    char **train = assignments ? sb_zeroed((size_t)keys + 5, sizeof *train, "a command") : NULL;
    int rc = -1;
    if (train) {
        snprintf(run_dir, sizeof run_dir, "run.dir=%s", c->dir);
        train[0] = (char *)(uintptr_t)s->run;
        train[1] = (char *)"train";
        train[2] = (char *)(uintptr_t)s->recipe;
        memcpy(train + 3, assignments, (size_t)keys * sizeof *train);
        train[3 + keys] = run_dir;
        rc = start_command(c, train);
    }
    free(train);
    sb_grid_assignments_free(assignments);
    return rc;
}

static int start_evaluation(const sb_sweep *s, sb_cell *c)
{
    char *const evaluate[] = { (char *)(uintptr_t)s->run, (char *)"evaluate", c->dir, (char *)"--no-pictures",
                               NULL };
    c->state = SB_CELL_IS_EVALUATED;
    return start_command(c, evaluate);
}

static int start_cell(const sb_sweep *s, int number)
{
    sb_cell *c = &s->cell[number];
    if (!has_file(c, "backbone.safetensors"))
        return start_training(s, number);
    c->began = sb_now();
    return start_evaluation(s, c);
}

/* Why a command failed: the last line that it said. */
static void fail_as_said(const sb_sweep *s, sb_cell *c, int status)
{
    char line[1024], last[1024] = "";
    FILE *log = fopen(c->log, "re");
    bool at = log && fseek(log, c->said, SEEK_SET) == 0;
    while (at && fgets(line, sizeof line, log)) {
        line[strcspn(line, "\n")] = '\0';
        if (line[strspn(line, " ")] != '\0')
            snprintf(last, sizeof last, "%s", line + strspn(line, " "));
    }
    if (log)
        fclose(log);
    if (last[0] == '\0')
        snprintf(last, sizeof last, "%s, and nothing was said",
                 WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "it ended with an error");
    fail_cell(s, c, last);
}

/* ---- progress --------------------------------------------------------------------------------------------- */

typedef struct {
    bool terminal;
    uint64_t began;
    double trained; /* views of the cells that ended since then */
} progress;

/* "1:02:03" */
static void say_duration(double seconds, char *out, size_t bytes)
{
    int64_t s = (int64_t)(seconds + 0.5);
    if (s >= 3600)
        snprintf(out, bytes, "%" PRId64 ":%02d:%02d", s / 3600, (int)(s / 60 % 60), (int)(s % 60));
    else
        snprintf(out, bytes, "%d:%02d", (int)(s / 60), (int)(s % 60));
}

static void say_end(const sb_sweep *s, progress *p, int number)
{
    sb_cell *c = &s->cell[number];
    char took[32], eta[32] = "";
    double left = 0;
    int cells_left = 0;
    for (int i = 0; i < s->grid.cells; i++)
        if (s->cell[i].state < SB_CELL_DONE) {
            left += s->cell[i].views;
            cells_left++;
        }
    if (c->state == SB_CELL_DONE)
        p->trained += c->views;
    say_duration((double)(sb_now() - c->began) / 1e9, took, sizeof took);
    if (p->trained > 0)
        say_duration((double)(sb_now() - p->began) / 1e9 / p->trained * left, eta, sizeof eta);
    printf("%scell %d of %d, %s: %s in %s%s%s; %d left%s%s\n", p->terminal ? "\r\033[K" : "", number + 1,
           s->grid.cells, c->name, c->state == SB_CELL_DONE ? "done" : "FAILED", took,
           c->state == SB_CELL_DONE ? "" : ": ", c->reason, cells_left, eta[0] && cells_left ? ", ETA " : "",
           cells_left ? eta : "");
    fflush(stdout);
}

/* The cells that run, on the terminal's last line. */
static void show_running(const sb_sweep *s, const progress *p)
{
    bool first = true;
    for (int i = 0; p->terminal && i < s->grid.cells; i++) {
        const sb_cell *c = &s->cell[i];
        sb_status status;
        char line[256] = "begins";
        if (c->pid == 0)
            continue;
        if (c->state == SB_CELL_IS_EVALUATED)
            strcpy(line, "is evaluated");
        else if (sb_status_read(c->dir, &status) == 0 &&
                 (!first || sb_status_line(&status, line, sizeof line) != 0))
            snprintf(line, sizeof line, "%" PRId64 "/%" PRId64, status.step, status.steps);
        printf("%s%s: %s", first ? "\r\033[K" : " | ", c->name, line);
        first = false;
    }
    if (!first)
        fflush(stdout);
}

/* ---- the loop --------------------------------------------------------------------------------------------- */

/* The cell's command ended. Stopped on the way it waits again. */
static int on_end(const sb_sweep *s, progress *p, int number, int status, bool stopping)
{
    sb_cell *c = &s->cell[number];
    const bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    c->pid = 0;
    if (stopping && (!good || c->state == SB_CELL_TRAINS)) {
        c->state = SB_CELL_WAITS;
        return 0;
    }
    if (good && c->state == SB_CELL_TRAINS)
        return start_evaluation(s, c);
    if (!good) {
        fail_as_said(s, c, status);
    } else {
        int done = sb_result_read(c->dir, c->steps, NULL);
        if (done < 0)
            return -1;
        c->state = SB_CELL_DONE;
        if (!done)
            fail_cell(s, c, "its evaluation has no result of the last step");
    }
    say_end(s, p, number);
    return 0;
}

static int reap(const sb_sweep *s, progress *p, bool stopping)
{
    int status, rc = 0;
    for (int i = 0; rc == 0 && i < s->grid.cells; i++)
        if (s->cell[i].pid > 0 && waitpid(s->cell[i].pid, &status, WNOHANG) == s->cell[i].pid)
            rc = on_end(s, p, i, status, stopping);
    return rc;
}

int sb_sweep_run(sb_sweep *s, int jobs)
{
    progress p = { .terminal = isatty(STDOUT_FILENO), .began = sb_now() };
    char self[32];
    int stops = 0, next = 0, rc = 0;
    snprintf(self, sizeof self, "%d", (int)getpid());
    if (setenv("SB_SUPERVISOR", self, 1) != 0)
        return sb_fail_errno("setenv");
    for (int i = 0; i < s->grid.cells; i++)
        if (s->cell[i].state == SB_CELL_FAILED) {
            s->cell[i].began = sb_now();
            say_end(s, &p, i);
        }
    for (;;) {
        int running = 0;
        for (int i = 0; i < s->grid.cells; i++)
            running += s->cell[i].pid > 0;
        for (; rc == 0 && stops == 0 && running < jobs && next < s->grid.cells; next++)
            if (s->cell[next].state == SB_CELL_WAITS) {
                rc = start_cell(s, next);
                running++;
            }
        if (rc != 0 || running == 0)
            break; /* what runs dies with this process */
        const int asked = sb_stop_requested();
        for (int i = 0; asked > stops && i < s->grid.cells; i++)
            if (s->cell[i].pid > 0)
                kill(s->cell[i].pid, SIGTERM);
        stops = asked;
        rc = reap(s, &p, stops > 0);
        show_running(s, &p);
        usleep(POLL_US);
    }
    if (p.terminal)
        printf("\r\033[K");
    return rc != 0 ? -1 : stops > 0;
}
