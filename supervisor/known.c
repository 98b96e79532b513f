/* known.c: see known.h. */
#include "supervisor/known.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proto/error.h"
#include "proto/memory.h"
#include "proto/request.h"
#include "proto/rundir.h"

#define KNOWN_MAX 200 /* the oldest are forgotten */
#define BYTES_MAX ((size_t)KNOWN_MAX * PATH_MAX)

/* The folder of the list; made where `make` says so. */
static int find_folder(bool make, char out[PATH_MAX])
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int length = -1;
    if (state && state[0] == '/')
        length = snprintf(out, PATH_MAX, "%s/smallbatch", state);
    else if (home && home[0] == '/')
        length = snprintf(out, PATH_MAX, "%s/.local/state/smallbatch", home);
    if (length < 0 || length >= PATH_MAX)
        return sb_fail("there is no folder for states");
    return make && sb_rundir_new(out) < 0 ? -1 : 0;
}

/* The list, a path a line; "" where there is none. NULL: no memory. */
static char *read_list(const char *folder)
{
    char path[PATH_MAX], *text = NULL;
    size_t bytes;
    if (sb_rundir_path(path, folder, "runs") == 0 && access(path, R_OK) == 0 &&
        sb_file_read(path, BYTES_MAX, &text, &bytes) == 0)
        return text;
    return sb_zeroed(1, 1, "a list of runs");
}

/* The list without the run, the oldest of too many, and those that are no more. */
static void write_list(const char *folder, char *old, const char *run_dir)
{
    char path[PATH_MAX], *list = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&list, &bytes);
    int count = 1;
    for (const char *p = old; *p; p++)
        count += *p == '\n';
    char *rest = NULL;
    for (char *line = strtok_r(old, "\n", &rest); out && line; line = strtok_r(NULL, "\n", &rest), count--)
        if (strcmp(line, run_dir) != 0 && count < KNOWN_MAX && access(line, F_OK) == 0)
            fprintf(out, "%s\n", line);
    if (out)
        fprintf(out, "%s\n", run_dir);
    if (out && fclose(out) == 0 && sb_rundir_path(path, folder, "runs") == 0)
        sb_file_replace(path, list, bytes);
    free(list);
}

/* What lies in a run (RUN/supervised) is a part of it: who uses it uses that. */
static void find_whole(char run[PATH_MAX])
{
    char *last = strrchr(run, '/'), path[PATH_MAX];
    *last = '\0';
    if (last == run || sb_rundir_path(path, run, "config.yaml") != 0 || access(path, F_OK) != 0)
        *last = '/';
}

void sb_known_add(const char *run_dir)
{
    char folder[PATH_MAX], run[PATH_MAX], path[PATH_MAX];
    if (!realpath(run_dir, run))
        return;
    find_whole(run);
    if (sb_rundir_path(path, run, "lock") == 0)
        utimensat(AT_FDCWD, path, NULL, 0); /* that it is used now; in vain where it may not be written */
    if (strchr(run, '\n') || find_folder(true, folder) != 0)
        return;
    const int lock = sb_rundir_lock(folder, "lock");
    if (lock < 0)
        return;
    char *old = read_list(folder);
    if (old)
        write_list(folder, old, run);
    free(old);
    close(lock);
}

typedef struct {
    char path[PATH_MAX];
    struct timespec used;
    bool live;
} candidate;

/* When a run was used last is its lock's time: the supervisor writes into it, sb_known_add touches it. */
static void consider(candidate *best, const char *run_dir)
{
    char path[PATH_MAX];
    struct stat config, lock;
    if (sb_rundir_path(path, run_dir, "config.yaml") != 0 || stat(path, &config) != 0 ||
        sb_rundir_path(path, run_dir, "lock") != 0)
        return;
    const struct timespec used = stat(path, &lock) == 0 ? lock.st_mtim : config.st_mtim;
    const bool live = sb_request_heard(run_dir),
               later = used.tv_sec > best->used.tv_sec ||
                       (used.tv_sec == best->used.tv_sec && used.tv_nsec > best->used.tv_nsec);
    if (best->path[0] != '\0' && live == best->live ? !later : best->live && !live)
        return;
    best->used = used;
    best->live = live;
    snprintf(best->path, sizeof best->path, "%s", run_dir);
}

int sb_known_latest(const char *folder, char out[PATH_MAX])
{
    candidate best = { 0 };
    char state[PATH_MAX], run[PATH_MAX], *list = NULL, *rest = NULL;
    if (find_folder(false, state) == 0)
        list = read_list(state);
    for (char *line = list ? strtok_r(list, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest))
        consider(&best, line);
    free(list);
    DIR *runs = opendir(folder);
    for (const struct dirent *entry; runs && (entry = readdir(runs));)
        if (entry->d_name[0] != '.' &&
            snprintf(run, sizeof run, "%s/%s", folder, entry->d_name) < (int)sizeof run)
            consider(&best, run);
    if (runs)
        closedir(runs);
    if (best.path[0] == '\0')
        return sb_fail("there is no run that was used before: name a run directory");
    snprintf(out, PATH_MAX, "%s", best.path);
    return 0;
}
