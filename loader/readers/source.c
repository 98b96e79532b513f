/* source.c: see source.h. */
#include "loader/readers/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/error.h"
#include "proto/memory.h"

/* Too few descriptors or too little memory is no fault of the file. */
static int fail_open(const char *path)
{
    const int ours = errno == EMFILE || errno == ENFILE || errno == ENOMEM;
    sb_fail_errno("%s", path);
    return ours ? -1 : 1;
}

int sb_source_open(const char *path, int *fd, struct stat *info)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0)
        return fail_open(path);
    if (fstat(*fd, info) == 0 && S_ISREG(info->st_mode) && info->st_size > 0)
        return 0;
    sb_fail("%s: %s", path, S_ISREG(info->st_mode) ? "the file is empty" : "not a regular file");
    close(*fd);
    return 1;
}

int sb_source_changed(const char *path, int64_t bytes, int64_t indexed)
{
    sb_fail("%s: %lld bytes, %lld when it was indexed: the file has changed", path, (long long)bytes,
            (long long)indexed);
    return 1;
}

int sb_source_read(const char *path, int64_t indexed, uint8_t **data)
{
    struct stat info;
    int fd, rc = sb_source_open(path, &fd, &info);
    *data = NULL;
    if (rc != 0)
        return rc;
    const size_t bytes = (size_t)info.st_size;
    if (info.st_size != indexed)
        rc = sb_source_changed(path, info.st_size, indexed);
    else if (!(*data = sb_grown(NULL, bytes, 1, path)))
        rc = -1;
    size_t got = 0;
    while (rc == 0 && got < bytes) {
        ssize_t n = read(fd, *data + got, bytes - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = fail_open(path);
        else if (n == 0)
            rc = sb_source_changed(path, (int64_t)got, indexed);
        else
            got += (size_t)n;
    }
    close(fd);
    if (rc != 0) {
        free(*data);
        *data = NULL;
    }
    return rc;
}
