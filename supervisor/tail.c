/* tail.c: see tail.h. */
#include "supervisor/tail.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/error.h"
#include "proto/rundir.h"

#define PART (64 << 10)

int sb_tail_open(sb_tail *t, const char *run_dir, const char *name, size_t most)
{
    memset(t, 0, sizeof *t);
    t->most = most;
    return sb_rundir_path(t->path, run_dir, "%s", name);
}

static void begin(sb_tail *t, const struct stat *info, const sb_tail_taker *taker)
{
    const off_t most = t->most > 0 && (off_t)t->most < info->st_size ? (off_t)t->most : info->st_size;
    t->known = true;
    t->device = info->st_dev;
    t->inode = info->st_ino;
    t->at = t->most > 0 ? info->st_size - most : 0;
    t->bytes = 0;
    t->passes = t->at > 0; /* it lies within a line, or so it seems */
    taker->anew(taker->context);
}

/* Lines of a part; what is behind the last is kept. */
static void take(sb_tail *t, const char *part, size_t bytes, const sb_tail_taker *taker)
{
    while (bytes > 0) {
        const char *end = memchr(part, '\n', bytes);
        const size_t length = end ? (size_t)(end - part) : bytes;
        if (t->passes || t->bytes + length > SB_TAIL_LINE) {
            t->passes = true;
            t->bytes = 0;
        } else {
            memcpy(t->line + t->bytes, part, length);
            t->bytes += length;
        }
        if (!end)
            return;
        t->line[t->bytes] = '\0';
        if (!t->passes)
            taker->on_line(taker->context, t->line, t->bytes);
        t->bytes = 0;
        t->passes = false;
        part += length + 1;
        bytes -= length + 1;
    }
}

int sb_tail_look(sb_tail *t, size_t budget, const sb_tail_taker *taker)
{
    char part[PART];
    struct stat info;
    size_t size;
    ssize_t got = 0;
    if (access(t->path, F_OK) != 0) {
        if (t->known)
            taker->anew(taker->context);
        t->known = false;
        return 0;
    }
    const int fd = sb_file_open(t->path, SIZE_MAX, &size);
    if (fd < 0)
        return -1;
    if (fstat(fd, &info) != 0) {
        close(fd);
        return sb_fail_errno("%s", t->path);
    }
    if (!t->known || info.st_dev != t->device || info.st_ino != t->inode || info.st_size < t->at)
        begin(t, &info, taker);
    for (size_t taken = 0; taken < budget; taken += (size_t)got) {
        got = pread(fd, part, sizeof part, t->at);
        if (got <= 0)
            break;
        t->at += got;
        take(t, part, (size_t)got, taker);
    }
    const int error = errno;
    close(fd);
    errno = error;
    return got < 0 ? sb_fail_errno("reading %s", t->path) : got > 0;
}
