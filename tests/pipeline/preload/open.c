/* open.c: preloaded into a run by faults.sh, it makes a loader meet a file that crashes or hangs its decoder. Opening a file whose name matches the
 * pattern FAULT_FILE raises FAULT_SIGNAL there, or sleeps for ever if that is 0; with FAULT_COUNTER, a file that grows by a byte each time, only
 * FAULT_TIMES times. Only `sb_loader serve` is touched. */
#include <dlfcn.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int (*open_call)(const char *path, int flags, ...);

static int serves(open_call real)
{
    char command[4096] = "";
    int fd = real("/proc/self/cmdline", O_RDONLY);
    ssize_t got = fd < 0 ? 0 : read(fd, command, sizeof command - 1);
    if (fd >= 0)
        close(fd);
    const char *second = command + strlen(command) + 1;
    return got > 0 && strstr(command, "sb_loader") && strcmp(second, "serve") == 0;
}

static int again(open_call real)
{
    const char *counter = getenv("FAULT_COUNTER"), *times = getenv("FAULT_TIMES");
    if (!counter || !times)
        return 1;
    int fd = real(counter, O_CREAT | O_APPEND | O_WRONLY, 0600), yes = fd >= 0 && lseek(fd, 0, SEEK_END) < atoi(times) && write(fd, "x", 1) == 1;
    if (fd >= 0)
        close(fd);
    return yes;
}

int open(const char *path, int flags, ...)
{
    open_call real = (open_call)dlsym(RTLD_NEXT, "open");
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    const char *marked = getenv("FAULT_FILE"), *kind = getenv("FAULT_SIGNAL"), *name = strrchr(path, '/');
    if (marked && kind && fnmatch(marked, name ? name + 1 : path, 0) == 0 && serves(real)) {
        if (again(real)) {
            if (atoi(kind) != 0)
                raise(atoi(kind));
            for (;;)
                pause();
        }
    }
    return real(path, flags, mode);
}
