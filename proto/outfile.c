/* outfile.c: see outfile.h. */
#include "proto/outfile.h"

#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/error.h"
#include "proto/rundir.h"

#define HEAD_MAX 256

sb_outfile sb_outfile_look(const char *path)
{
    struct stat info;
    sb_outfile o = { .path = path, .there = stat(path, &info) == 0 };
    if (o.there) {
        o.regular = S_ISREG(info.st_mode);
        o.device = info.st_dev;
        o.inode = info.st_ino;
    }
    return o;
}

/* The folder that a name is in may be changed. */
static int check_folder(const char *path)
{
    char copy[PATH_MAX];
    if (snprintf(copy, sizeof copy, "%s", path) >= (int)sizeof copy)
        return sb_fail("%s: the path is too long", path);
    const char *folder = dirname(copy);
    return access(folder, W_OK | X_OK) != 0 ? sb_fail_errno("%s cannot be written: folder %s", path, folder)
                                            : 0;
}

int sb_outfile_check(const sb_outfile *o)
{
    if (o->there && !o->regular)
        return sb_fail("%s is no regular file, and is not replaced: name another output", o->path);
    return check_folder(o->path);
}

int sb_outfile_check_input(const sb_outfile *o, const char *input)
{
    struct stat info;
    if (!o->there || stat(input, &info) != 0 || info.st_dev != o->device || info.st_ino != o->inode)
        return 0;
    const char *as = strcmp(o->path, input) == 0 ? "" : input;
    return sb_fail("%s would be replaced, but it is read%s%s: name another output", o->path,
                   as[0] ? ", as " : "", as);
}

/* Of a run directory, rundir.h; but for the locks, which are empty. */
static const char *const run_files[] = { "config.yaml",   "index.bin",        "index.csv",
                                         "index.png",     "quarantine.jsonl", "given.safetensors",
                                         "metrics.jsonl", "evaluation.jsonl", "alarms.jsonl",
                                         "findings.json", "findings.npy",     "status.json" };

int sb_outfile_check_run(const sb_outfile *o, const char *run_dir)
{
    char path[PATH_MAX], folder[PATH_MAX];
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof run_files / sizeof *run_files; i++)
        rc = sb_rundir_path(path, run_dir, "%s", run_files[i]) != 0 ? -1 : sb_outfile_check_input(o, path);
    if (rc != 0 || !o->there || sb_rundir_path(folder, run_dir, "checkpoints") != 0)
        return rc;
    DIR *checkpoints = opendir(folder);
    for (struct dirent *entry; rc == 0 && checkpoints && (entry = readdir(checkpoints));)
        rc = sb_rundir_path(path, folder, "%s", entry->d_name) != 0 ? -1 : sb_outfile_check_input(o, path);
    if (checkpoints)
        closedir(checkpoints);
    return rc;
}

static int check_free(const char *dir, const char *name)
{
    char path[PATH_MAX];
    if (sb_rundir_path(path, dir, "%s", name) != 0)
        return -1;
    return access(path, F_OK) != 0
               ? 0
               : sb_fail("%s is there, and %s is no run whose file it would be: name another "
                         "run.dir",
                         path, dir);
}

int sb_outfile_check_run_dir(const char *dir)
{
    char path[PATH_MAX];
    if (sb_rundir_path(path, dir, "config.yaml") != 0)
        return -1;
    if (access(path, F_OK) == 0)
        return 0;
    for (size_t i = 0; i < sizeof run_files / sizeof *run_files; i++)
        if (check_free(dir, run_files[i]) != 0)
            return -1;
    return check_free(dir, "report.html") != 0 ? -1 : check_free(dir, "backbone.safetensors");
}

int sb_outfile_check_ours(const sb_outfile *o, const char *head, const char *what)
{
    char there[HEAD_MAX];
    const size_t bytes = strlen(head);
    if (!o->there)
        return 0;
    FILE *file = bytes <= sizeof there ? fopen(o->path, "re") : NULL;
    const bool ours = file && fread(there, 1, bytes, file) == bytes && memcmp(there, head, bytes) == 0;
    if (file)
        fclose(file);
    return ours
               ? 0
               : sb_fail("%s would be replaced, but it is there and is not %s: move it away, or name another "
                         "output",
                         o->path, what);
}

int sb_outfile_check_kept(const char *path)
{
    if (access(path, F_OK) != 0)
        return check_folder(path);
    struct stat info;
    const int how = stat(path, &info) == 0 && S_ISDIR(info.st_mode) ? W_OK | X_OK : W_OK;
    return access(path, how) != 0 ? sb_fail_errno("%s cannot be written", path) : 0;
}
