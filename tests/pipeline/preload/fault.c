/* fault.c: preloaded into a run, it makes a loader meet a file on which its decoder crashes or hangs, or
 * stops a trainer at a step (common.sh: held). At a file whose name matches the pattern FAULT_FILE comes the
 * FAULT "PLACE:KIND"; with FAULT_COUNTER, a file that grows by a byte each time, only FAULT_TIMES times,
 * after FAULT_SKIP times. PLACE: `open`, `read`, or `decode`, once the file is in memory. KIND: a signal's number,
 * `hang` (for ever), `overflow` (of the stack), or, of open and read, `error=NUMBER` (it fails with that errno). Only FAULT_PROGRAM is touched: a program and its first
 * argument, by default "sb_loader serve". */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int (*open_call)(const char *path, int flags, ...);
typedef const char *(*find_call)(const void *data, size_t bytes);

typedef ssize_t (*pread_call)(int fd, void *out, size_t bytes, off_t at);

static int marked;         /* the file opened last is the one */
static int marked_fd = -1; /* its descriptor */

static int is_meant(open_call real)
{
    char command[4096] = "";
    int fd = real("/proc/self/cmdline", O_RDONLY);
    ssize_t got = fd < 0 ? 0 : read(fd, command, sizeof command - 1);
    if (fd >= 0)
        close(fd);
    const char *meant = getenv("FAULT_PROGRAM"), *name = strrchr(command, '/'),
               *second = command + strlen(command) + 1;
    char words[sizeof command + 2];
    snprintf(words, sizeof words, "%s %s", name ? name + 1 : command, second);
    return got > 0 && strcmp(words, meant ? meant : "sb_loader serve") == 0;
}

static int again(open_call real)
{
    const char *counter = getenv("FAULT_COUNTER"), *times = getenv("FAULT_TIMES"),
               *skip = getenv("FAULT_SKIP");
    if (!counter || !times)
        return 1;
    int fd = real(counter, O_CREAT | O_APPEND | O_WRONLY, 0600), first = skip ? atoi(skip) : 0;
    off_t before = fd >= 0 ? lseek(fd, 0, SEEK_END) : -1;
    int yes = before >= 0 && before < first + atoi(times) && write(fd, "x", 1) == 1 && before >= first;
    if (fd >= 0)
        close(fd);
    return yes;
}

/* Deeper than any stack. */
__attribute__((noinline)) static int overflow(int depth)
{
    volatile char frame[4096] = { (char)depth };
    return depth > 0 ? overflow(depth - 1) + frame[0] : 0;
}

/* 0; -1 with errno: the call fails. */
static int fault_at(const char *place)
{
    open_call real = (open_call)dlsym(RTLD_NEXT, "open");
    const char *fault = getenv("FAULT"), *kind = fault ? strchr(fault, ':') : NULL;
    if (!kind || strncmp(fault, place, strlen(place)) != 0 || !again(real))
        return 0;
    kind++;
    if (strncmp(kind, "error=", 6) == 0) {
        errno = atoi(kind + 6);
        return -1;
    }
    if (strcmp(kind, "overflow") == 0)
        overflow(1 << 20);
    else if (strcmp(kind, "hang") != 0)
        raise(atoi(kind));
    while (strcmp(kind, "hang") == 0)
        pause();
    return 0;
}

int open(const char *path, int flags, ...)
{
    open_call real = (open_call)dlsym(RTLD_NEXT, "open");
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    const char *pattern = getenv("FAULT_FILE"), *name = strrchr(path, '/');
    marked = pattern && fnmatch(pattern, name ? name + 1 : path, 0) == 0 && is_meant(real);
    if (marked && fault_at("open") != 0)
        return -1;
    const int fd = real(path, flags, mode);
    marked_fd = marked ? fd : fd == marked_fd ? -1 : marked_fd;
    return fd;
}

ssize_t pread(int fd, void *out, size_t bytes, off_t at)
{
    pread_call real = (pread_call)dlsym(RTLD_NEXT, "pread");
    return fd >= 0 && fd == marked_fd && fault_at("read") != 0 ? -1 : real(fd, out, bytes, at);
}

/* libvips' first look at a file that is in memory. */
const char *vips_foreign_find_load_buffer(const void *data, size_t bytes)
{
    find_call real = (find_call)dlsym(RTLD_NEXT, "vips_foreign_find_load_buffer");
    if (marked) {
        marked = 0;
        fault_at("decode");
    }
    return real(data, bytes);
}
