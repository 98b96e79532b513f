/* rundir.c: see rundir.h. */
#include "proto/rundir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/error.h"
#include "proto/memory.h"
#include "proto/process.h"
#include "proto/unfinished.h"

#define HELD_S 5 /* that a killed process with gigabytes needs to die, and more */
#define POLL_US 20000

int sb_rundir_path(char *out, const char *dir, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int head = snprintf(out, PATH_MAX, "%s/", dir), body = -1;
    if (head > 0 && head < PATH_MAX)
        body = vsnprintf(out + head, (size_t)(PATH_MAX - head), format, arguments);
    va_end(arguments);
    if (body < 0 || head + body >= PATH_MAX)
        return sb_fail("%s: the path is too long", dir);
    return 0;
}

int sb_rundir_check(const char *dir)
{
    char path[PATH_MAX];
    if (sb_rundir_path(path, dir, "config.yaml") != 0)
        return -1;
    if (access(path, F_OK) == 0)
        return 0;
    return errno == ENOENT || errno == ENOTDIR
               ? sb_fail("%s is no run directory (it has no config.yaml)", dir)
               : sb_fail_errno("%s", path);
}

int sb_rundir_new(const char *dir)
{
    char path[PATH_MAX];
    int made = 0;
    if (snprintf(path, sizeof path, "%s", dir) >= (int)sizeof path)
        return sb_fail("%s: the path is too long", dir);
    for (char *p = path + 1;; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char kept = *p;
        *p = '\0';
        if (p[-1] != '/') { /* behind a last or a double slash it is the same directory */
            made = mkdir(path, 0777) == 0;
            if (!made && errno != EEXIST)
                return sb_fail_errno("making directory %s", path);
        }
        *p = kept;
        if (kept == '\0')
            return made;
    }
}

static int descending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

int sb_rundir_checkpoints(const char *dir, int64_t **out)
{
    char path[PATH_MAX];
    if (sb_rundir_path(path, dir, "checkpoints") != 0)
        return -1;
    DIR *files = opendir(path);
    if (!files)
        return sb_fail_errno("opening %s", path);
    int count = 0;
    *out = NULL;
    for (struct dirent *entry; (entry = readdir(files));) {
        int64_t step;
        int end = 0;
        if (sscanf(entry->d_name, "step-%" SCNd64 ".safetensors%n", &step, &end) != 1 || end == 0 ||
            entry->d_name[end] != '\0')
            continue;
        int64_t *grown = sb_grown(*out, (size_t)(count + 1), sizeof *grown, "the list of checkpoints");
        if (!grown) {
            closedir(files);
            free(*out);
            *out = NULL;
            return -1;
        }
        *out = grown;
        grown[count++] = step;
    }
    closedir(files);
    if (count > 0)
        qsort(*out, (size_t)count, sizeof **out, descending);
    return count;
}

static int fail_taken(const char *dir)
{
    return sb_fail("%s is a run already: resume it (./run resume %s), or name another run.dir", dir, dir);
}

/* Weights that a run left which has no config.yaml any more: another would go on from them. */
static int refuse_weights(const char *dir)
{
    char path[PATH_MAX];
    if (sb_rundir_path(path, dir, "given.safetensors") != 0)
        return -1;
    bool left = access(path, F_OK) == 0;
    if (sb_rundir_path(path, dir, "checkpoints") != 0)
        return -1;
    DIR *checkpoints = opendir(path);
    for (struct dirent *entry; checkpoints && (entry = readdir(checkpoints));)
        left = left || entry->d_name[0] != '.';
    if (checkpoints)
        closedir(checkpoints);
    return left ? sb_fail("%s has checkpoints of a run, and no config.yaml: name another run.dir", dir) : 0;
}

int sb_rundir_create(const char *dir)
{
    const struct {
        const char *name;
        mode_t mode;
    } parts[] = { { "checkpoints", 0777 }, { "log", 0777 }, { "ipc", 0700 } };
    char path[PATH_MAX];
    if (sb_rundir_path(path, dir, "config.yaml") != 0)
        return -1;
    if (access(path, F_OK) == 0)
        return fail_taken(dir);
    if (sb_rundir_new(dir) < 0 || refuse_weights(dir) != 0)
        return -1;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (sb_rundir_path(path, dir, "%s", parts[i].name) != 0)
            return -1;
        if (mkdir(path, parts[i].mode) != 0 && errno != EEXIST)
            return sb_fail_errno("making directory %s", path);
    }
    return 0;
}

int sb_rundir_take(const char *dir, const char *config)
{
    char path[PATH_MAX];
    const int taken = sb_rundir_path(path, dir, "config.yaml") != 0
                          ? -1
                          : sb_file_create(path, config, strlen(config));
    return taken == 0 ? fail_taken(dir) : taken < 0 ? -1 : 0;
}

int sb_rundir_lock(const char *dir, const char *lock_name)
{
    char path[PATH_MAX], holder[32] = "";
    if (sb_rundir_path(path, dir, "%s", lock_name) != 0)
        return -1;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return sb_fail_errno("opening %s", path);
    const uint64_t end = sb_now() + HELD_S * UINT64_C(1000000000);
    int rc;
    while ((rc = flock(fd, LOCK_EX | LOCK_NB)) != 0 && errno == EWOULDBLOCK && sb_now() < end)
        usleep(POLL_US);
    if (rc != 0) {
        int error = errno;
        ssize_t got = pread(fd, holder, sizeof holder - 1, 0);
        close(fd);
        errno = error;
        if (error != EWOULDBLOCK)
            return sb_fail_errno("locking %s", path);
        holder[got > 0 ? got : 0] = '\0';
        holder[strcspn(holder, "\n")] = '\0';
        return sb_fail("%s is in use by process %s", dir, holder[0] ? holder : "(unknown)");
    }
    int length = snprintf(holder, sizeof holder, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, holder, (size_t)length, 0) != length) {
        sb_fail_errno("writing %s", path);
        close(fd);
        return -1;
    }
    return fd;
}

/* At byte `at` of the file; -1: behind what was written so far. */
static int write_all(int fd, off_t at, const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t wrote = at < 0 ? write(fd, data, bytes) : pwrite(fd, data, bytes, at);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return -1;
        data += wrote;
        bytes -= (size_t)wrote;
        at += at < 0 ? 0 : wrote;
    }
    return 0;
}

/* The rename itself is durable only once the directory is. */
static int sync_directory(const char *path)
{
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int rc = fsync(fd);
    close(fd);
    return rc;
}

int sb_new_file_begin(sb_new_file *f, const char *path)
{
    struct stat there;
    f->path = path;
    if (stat(path, &there) == 0 && !S_ISREG(there.st_mode))
        return sb_fail("%s is no regular file, and is not replaced", path);
    if (snprintf(f->temporary, sizeof f->temporary, "%s.tmp-%d", path, (int)getpid()) >=
        (int)sizeof f->temporary)
        return sb_fail("%s: the path is too long", path);
    f->unfinished = sb_unfinished_begin(f->temporary);
    if (f->unfinished < 0)
        return -1;
    f->fd = open(f->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (f->fd >= 0)
        return 0;
    sb_unfinished_end(f->unfinished);
    return sb_fail_errno("creating %s", f->temporary);
}

int sb_new_file_write(sb_new_file *f, const void *data, size_t bytes)
{
    return write_all(f->fd, -1, data, bytes) == 0
               ? 0
               : sb_fail_errno("writing %zu bytes to %s", bytes, f->temporary);
}

int sb_new_file_rewrite(sb_new_file *f, size_t at, const void *data, size_t bytes)
{
    return write_all(f->fd, (off_t)at, data, bytes) == 0
               ? 0
               : sb_fail_errno("writing %zu bytes to %s", bytes, f->temporary);
}

int sb_new_file_end(sb_new_file *f, bool whole)
{
    int rc = 0;
    if (whole && fsync(f->fd) != 0)
        rc = sb_fail_errno("writing %s", f->temporary);
    if (close(f->fd) != 0 && whole && rc == 0)
        rc = sb_fail_errno("writing %s", f->temporary);
    if (whole && rc == 0 && (rename(f->temporary, f->path) != 0 || sync_directory(f->path) != 0))
        rc = sb_fail_errno("renaming %s to %s", f->temporary, f->path);
    if (!whole || rc != 0)
        unlink(f->temporary);
    sb_unfinished_end(f->unfinished);
    return rc;
}

int sb_file_replace(const char *path, const void *data, size_t bytes)
{
    sb_new_file f;
    if (sb_new_file_begin(&f, path) != 0)
        return -1;
    int rc = sb_new_file_write(&f, data, bytes);
    return sb_new_file_end(&f, rc == 0) == 0 ? rc : -1;
}

int sb_file_create(const char *path, const void *data, size_t bytes)
{
    sb_new_file f;
    int created = 0;
    if (sb_new_file_begin(&f, path) != 0)
        return -1;
    if (sb_new_file_write(&f, data, bytes) != 0)
        created = -1;
    else if (fsync(f.fd) != 0)
        created = sb_fail_errno("writing %s", f.temporary);
    else if (link(f.temporary, path) == 0) /* unlike a rename, it replaces nothing */
        created = sync_directory(path) == 0 ? 1 : sb_fail_errno("writing %s", path);
    else if (errno != EEXIST)
        created = sb_fail_errno("creating %s", path);
    return sb_new_file_end(&f, false) == 0 ? created : -1;
}

/* Does a file's last line lack its end? */
static bool is_cut_off(int fd)
{
    char last;
    off_t bytes = lseek(fd, 0, SEEK_END);
    return bytes > 0 && pread(fd, &last, 1, bytes - 1) == 1 && last != '\n';
}

int sb_file_append_line(const char *path, const char *line)
{
    size_t length = strlen(line);
    char *whole = sb_zeroed(length + 2, 1, "a line of a file");
    if (!whole)
        return -1;
    whole[0] = '\n';
    memcpy(whole + 1, line, length);
    whole[length + 1] = '\n';
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    size_t skip = fd < 0 || !is_cut_off(fd);
    int rc = 0;
    if (fd < 0 || write_all(fd, -1, whole + skip, length + 2 - skip) != 0)
        rc = sb_fail_errno("appending to %s", path);
    if (fd >= 0 && close(fd) != 0 && rc == 0)
        rc = sb_fail_errno("appending to %s", path);
    free(whole);
    return rc;
}

int sb_file_open(const char *path, size_t max, size_t *bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc = 0;
    struct stat info;
    if (fd < 0)
        return sb_fail_errno("opening %s", path);
    if (fstat(fd, &info) != 0)
        rc = sb_fail_errno("opening %s", path);
    else if (!S_ISREG(info.st_mode))
        rc = sb_fail("%s is not a regular file", path);
    else if ((uint64_t)info.st_size > max)
        rc = sb_fail("%s has %lld bytes, at most %zu are read", path, (long long)info.st_size, max);
    if (rc != 0) {
        close(fd);
        return -1;
    }
    *bytes = (size_t)info.st_size;
    return fd;
}

int sb_file_read(const char *path, size_t max, char **out, size_t *bytes)
{
    size_t size;
    int fd = sb_file_open(path, max, &size);
    if (fd < 0)
        return -1;
    char *data = sb_grown(NULL, size + 1, 1, path);
    int rc = data ? 0 : -1;
    size_t got = 0;
    while (rc == 0 && got < size) {
        ssize_t n = read(fd, data + got, size - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = sb_fail_errno("reading %s", path);
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    close(fd);
    if (rc != 0) {
        free(data);
        return -1;
    }
    data[got] = '\0';
    *out = data;
    *bytes = got;
    return 0;
}
