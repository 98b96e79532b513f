/* segment.c: see segment.h. */
#include "proto/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/error.h"
#include "proto/memory.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define MAGIC 0x736d616c6c626174ull /* "smallbat" */
#define VERSION 1u
#define DIES_MS 1000 /* between the last descriptor of a process and its end; far less as a rule */

typedef struct {
    uint64_t magic;
    uint32_t version;
    uint32_t kind;
    uint64_t id;
    uint64_t bytes;
} header;

_Static_assert(sizeof(header) == 32, "the header is part of the protocol");

static int random_id(uint64_t *id)
{
    do {
        if (getrandom(id, sizeof *id, 0) != sizeof *id)
            return sb_fail_errno("getrandom");
    } while (*id == 0);
    return 0;
}

/* In /dev/shm, without a name from the first moment on. */
static int open_shm(uint64_t id)
{
    char name[64];
    snprintf(name, sizeof name, "/smallbatch-%016llx", (unsigned long long)id);
    int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd >= 0)
        shm_unlink(name);
    return fd;
}

/* Reserves every byte now: without this a full file system is a SIGBUS at some later write. 0, or the errno.
 */
static int reserve(int fd, size_t bytes)
{
    if (ftruncate(fd, (off_t)bytes) != 0)
        return errno;
    int error;
    do {
        error = fallocate(fd, 0, 0, (off_t)bytes) == 0 ? 0 : errno;
    } while (error == EINTR);
    return error;
}

static int open_memory(uint64_t id, size_t bytes)
{
    int fd = open_shm(id);
    int error = fd < 0 ? errno : reserve(fd, bytes);
    if (error == 0)
        return fd;
    struct statvfs room = { 0 };
    unsigned long long available = fd >= 0 && fstatvfs(fd, &room) == 0
                                       ? (unsigned long long)room.f_bavail * room.f_frsize
                                       : 0;
    if (fd >= 0)
        close(fd);
    sb_note("/dev/shm has %llu of the %zu bytes needed (%s); using anonymous memory instead", available,
            bytes, strerror(error));
    const size_t memory = sb_memory_available();
    if (memory > 0 && bytes > memory)
        return sb_fail("shared memory: %zu bytes needed, /dev/shm has %llu and the machine %zu available: "
                       "lower trainer.batch, data.view "
                       "or loader.slots",
                       bytes, available, memory);
    fd = memfd_create("smallbatch", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return sb_fail_errno("memfd_create");
    error = reserve(fd, bytes);
    if (error == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        return fd;
    errno = error ? error : errno;
    sb_fail_errno("shared memory of %zu bytes, of %zu available", bytes, memory);
    close(fd);
    return -1;
}

int sb_segment_create(sb_segment *out, sb_segment_kind kind, size_t payload)
{
    *out = (sb_segment){ .fd = -1 };
    if (payload == 0 || payload > (1ull << 46))
        return sb_fail("a segment of %zu bytes", payload);
    size_t bytes = SB_SEGMENT_HEADER + payload;
    uint64_t id;
    if (random_id(&id) != 0)
        return -1;
    int fd = open_memory(id, bytes);
    if (fd < 0)
        return -1;
    void *mapping = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapping == MAP_FAILED) {
        sb_fail_errno("mapping %zu bytes of shared memory", bytes);
        close(fd);
        return -1;
    }
    /* Faulting now costs as much as later, but not in the loop. A kernel that does not know this advice
     * faults later. */
    if (madvise(mapping, bytes, MADV_POPULATE_WRITE) != 0 && errno != EINVAL) {
        sb_fail_errno("populating %zu bytes of shared memory", bytes);
        munmap(mapping, bytes);
        close(fd);
        return -1;
    }
    *(header *)mapping = (header){
        .magic = MAGIC, .version = VERSION, .kind = (uint32_t)kind, .id = id, .bytes = bytes
    };
    *out = (sb_segment){
        .ticket = { .kind = (uint32_t)kind, .id = id, .pid = (int32_t)getpid(), .fd = fd, .bytes = bytes },
        .payload = (char *)mapping + SB_SEGMENT_HEADER,
        .mapping = mapping,
        .fd = fd
    };
    return 0;
}

static int check(int fd, const sb_segment_ticket *ticket, sb_segment_kind kind, const char *path)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return sb_fail_errno("%s", path);
    if (!S_ISREG(info.st_mode) || info.st_uid != geteuid())
        return sb_fail("%s is no shared memory of this user", path);
    if (ticket->bytes <= SB_SEGMENT_HEADER || (uint64_t)info.st_size != ticket->bytes)
        return sb_fail("%s has %lld bytes, its owner said %llu", path, (long long)info.st_size,
                       (unsigned long long)ticket->bytes);
    header h;
    if (pread(fd, &h, sizeof h, 0) != sizeof h)
        return sb_fail_errno("%s", path);
    if (h.magic != MAGIC || h.version != VERSION)
        return sb_fail(
            "%s is no segment of version %u (magic %llx, version %u): are all programs from one build?", path,
            VERSION, (unsigned long long)h.magic, h.version);
    if (h.kind != (uint32_t)kind || ticket->kind != (uint32_t)kind || h.id != ticket->id ||
        h.bytes != ticket->bytes)
        return sb_fail(
            "%s is another segment than the one announced: kind %u, id %llx, expected kind %u, id %llx", path,
            h.kind, (unsigned long long)h.id, (unsigned)kind, (unsigned long long)ticket->id);
    return 0;
}

/* A process that dies has closed its descriptors before it is gone. */
static void wait_for_end(pid_t pid)
{
    const int pidfd = pid > 0 && pid != getpid() ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    struct pollfd gone = { .fd = pidfd, .events = POLLIN };
    if (pidfd < 0)
        return;
    poll(&gone, 1, DIES_MS);
    close(pidfd);
}

int sb_segment_join(sb_segment *out, sb_segment_kind kind, const sb_segment_ticket *ticket, int writable)
{
    *out = (sb_segment){ .fd = -1 };
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)ticket->pid, (int)ticket->fd);
    int fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        sb_fail_errno("%s", path);
        wait_for_end((pid_t)ticket->pid);
        return -1;
    }
    void *mapping = MAP_FAILED;
    if (check(fd, ticket, kind, path) == 0) {
        mapping = mmap(NULL, ticket->bytes, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
        if (mapping == MAP_FAILED)
            sb_fail_errno("mapping %s", path);
    }
    close(fd);
    if (mapping == MAP_FAILED)
        return -1;
    *out = (sb_segment){
        .ticket = *ticket, .payload = (char *)mapping + SB_SEGMENT_HEADER, .mapping = mapping, .fd = -1
    };
    return 0;
}

void sb_segment_close(sb_segment *segment)
{
    if (segment->mapping) {
        munmap(segment->mapping, segment->ticket.bytes);
        if (segment->fd >= 0)
            close(segment->fd);
    }
    *segment = (sb_segment){ .fd = -1 };
}
