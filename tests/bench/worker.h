/* worker.h: what the benchmarks' programs have in common: a worker reads numbers from standard input, a line
 * each. It repeats its work as often as the number says and prints three figures: the seconds it took, the
 * seconds its processors were busy, and its peak memory in bytes. So bench.py can run two workers in turn,
 * long after both are warm. */
#ifndef SB_TESTS_BENCH_WORKER_H
#define SB_TESTS_BENCH_WORKER_H

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "proto/error.h"
#include "proto/process.h"

/* Bytes of a line of /proc/self/status, as "VmRSS" (resident now) or "VmHWM" (the most so far); 0 if it is
 * not there. */
static inline size_t bench_memory(const char *name)
{
    char line[256];
    size_t kib = 0, length = strlen(name);
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, name, length) == 0 && sscanf(line + length, ": %zu", &kib) == 1)
            break;
    if (file)
        fclose(file);
    return kib * 1024;
}

/* Serves until standard input ends; `base` bytes are taken off the memory. Returns the program's exit status:
 * 1, with sb_error on standard error, if `work` fails. */
static inline int bench_serve(int (*work)(void *context), void *context, size_t base)
{
    int repeats;
    while (scanf("%d", &repeats) == 1) {
        struct timespec begin, end;
        uint64_t start = sb_now();
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
        for (int i = 0; i < repeats; i++)
            if (work(context) != 0) {
                fprintf(stderr, "%s\n", sb_error());
                return 1;
            }
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
        printf("%.6f %.6f %zu\n", (double)(sb_now() - start) * 1e-9,
               (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) * 1e-9,
               bench_memory("VmHWM") - base);
        fflush(stdout);
    }
    return 0;
}

#endif
