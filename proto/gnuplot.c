/* gnuplot.c: see gnuplot.h. */
#include "proto/gnuplot.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/error.h"

void sb_gnuplot_text(FILE *commands, const char *text)
{
    fputc('"', commands);
    for (const char *c = text; *c; c++)
        fprintf(commands, strchr("\"\\", *c) ? "\\%c" : "%c", *c);
    fputc('"', commands);
}

/* gnuplot with these as its standard input and output, and none of the user's own settings. An errno. */
static int start(pid_t *pid, int input, int output)
{
    char *const command[] = { (char *)"gnuplot", (char *)"-d", NULL };
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    if (error != 0)
        return error;
    error = posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    if (error == 0)
        error = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    if (error == 0)
        error = posix_spawnp(pid, command[0], &actions, NULL, command, environ);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

int sb_gnuplot_begin(sb_gnuplot *p, const char *path, int width, int height)
{
    int ends[2];
    *p = (sb_gnuplot){ 0 };
    if (sb_new_file_begin(&p->picture, path) != 0)
        return -1;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        sb_new_file_end(&p->picture, false);
        return sb_fail_errno("a pipe to gnuplot");
    }
    const int error = start(&p->pid, ends[0], p->picture.fd);
    close(ends[0]);
    p->commands = error == 0 ? fdopen(ends[1], "w") : NULL;
    if (!p->commands) {
        close(ends[1]);
        sb_new_file_end(&p->picture, false);
        if (error == 0)
            return sb_fail_errno("a pipe to gnuplot");
        sb_note("no %s: gnuplot: %s (package gnuplot-nox)", path, strerror(error));
        return 0;
    }
    fprintf(p->commands, "set terminal pngcairo size %d,%d noenhanced\n", width, height);
    return 1;
}

int sb_gnuplot_end(sb_gnuplot *p)
{
    int status = -1;
    const bool told = fclose(p->commands) == 0;
    while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
        ;
    const bool drawn = told && status == 0;
    if (!drawn)
        sb_note("no %s: gnuplot ended with status %d", p->picture.path, status);
    return sb_new_file_end(&p->picture, drawn);
}
