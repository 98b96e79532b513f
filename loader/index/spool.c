/* spool.c: see spool.h. */
#include "loader/index/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/error.h"

#define FIRST ((size_t)1 << 16)
#define STEP ((size_t)64 << 20) /* the most that it grows by */

static int open_file(sb_spool *s)
{
    const char *folders[] = { getenv("TMPDIR"), "/var/tmp", "/tmp" };
    s->fd = -1;
    for (size_t i = 0; s->fd < 0 && i < sizeof folders / sizeof *folders; i++)
        if (folders[i])
            s->fd = open(folders[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (s->fd < 0) /* no file system there has such files: memory has */
        s->fd = memfd_create("index", MFD_CLOEXEC);
    s->open = s->fd >= 0;
    return s->open ? 0 : sb_fail_errno("a file for the index that is made");
}

static int grow(sb_spool *s, size_t needed)
{
    size_t room = s->room > 0 ? s->room : FIRST;
    while (room < needed)
        room += room < STEP ? room : STEP;
    if (!s->open && open_file(s) != 0)
        return -1;
    const int rc = posix_fallocate(s->fd, 0,
                                   (off_t)room); /* a full disk is found here, and not by a signal */
    if (rc != 0) {
        errno = rc;
        return sb_fail_errno("%zu MiB on the disk of TMPDIR for the index that is made", room >> 20);
    }
    void *data = s->data ? mremap(s->data, s->room, room, MREMAP_MAYMOVE)
                         : mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
    if (data == MAP_FAILED)
        return sb_fail_errno("mapping %zu MiB for the index that is made", room >> 20);
    s->data = data;
    s->room = room;
    return 0;
}

void *sb_spool_add(sb_spool *s, size_t bytes)
{
    if (s->bytes + bytes > s->room && grow(s, s->bytes + bytes) != 0)
        return NULL;
    void *added = (char *)s->data + s->bytes;
    s->bytes += bytes;
    return added;
}

void sb_spool_keep(sb_spool *s)
{
    if (s->open)
        close(s->fd);
    s->open = false;
}

void sb_spool_free(sb_spool *s)
{
    sb_spool_keep(s);
    if (s->data)
        munmap(s->data, s->room);
    *s = (sb_spool){ 0 };
}
