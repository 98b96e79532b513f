/* occupancy.c: reads what ptxas says of each kernel (-v) on standard input and prints how much of a
 * multiprocessor it fills, by cuda_occupancy.h, for the GPUs we name. Exit status 1 if a kernel fills less
 * than LEAST of one, or if nothing is said of one that was compiled. For tests/cuda/build.sh. */
#include <stdio.h>
#include <string.h>

#include <cuda_occupancy.h>

#define THREADS 256 /* of a block, in every kernel */
#define LEAST 50    /* per cent */

/* Of one multiprocessor; CUDA C programming guide, technical specifications by compute capability. */
static const struct {
    const char *name;
    int major, minor, threads, blocks;
    size_t shared;
} gpus[] = {
    { "sm_75 (RTX 20)", 7, 5, 1024, 16, 64 << 10 },
    { "sm_80 (A100)", 8, 0, 2048, 32, 164 << 10 },
    { "sm_89 (RTX 40)", 8, 9, 1536, 24, 100 << 10 },
    { "sm_90 (H100)", 9, 0, 2048, 32, 228 << 10 },
};
#define GPUS (sizeof gpus / sizeof *gpus)

/* Per cent of the threads that a multiprocessor can hold. */
static int occupancy(size_t gpu, int registers, size_t shared)
{
    cudaOccDeviceProp device = {
        .computeMajor = gpus[gpu].major,
        .computeMinor = gpus[gpu].minor,
        .maxThreadsPerBlock = 1024,
        .maxThreadsPerMultiprocessor = gpus[gpu].threads,
        .regsPerBlock = 65536,
        .regsPerMultiprocessor = 65536,
        .warpSize = 32,
        .sharedMemPerBlock = 48 << 10,
        .sharedMemPerMultiprocessor = gpus[gpu].shared,
        .numSms = 1,
        .sharedMemPerBlockOptin = gpus[gpu].shared - 1024,
        .reservedSharedMemPerBlock = gpus[gpu].major >= 8 ? 1024 : 0,
    };
    cudaOccFuncAttributes kernel = { .maxThreadsPerBlock = 1024,
                                     .numRegs = registers,
                                     .sharedSizeBytes = shared,
                                     .partitionedGCConfig = PARTITIONED_GC_OFF,
                                     .shmemLimitConfig = FUNC_SHMEM_LIMIT_DEFAULT,
                                     .maxDynamicSharedSizeBytes = 0 };
    cudaOccDeviceState state = { .cacheConfig = CACHE_PREFER_NONE,
                                 .carveoutConfig = SHAREDMEM_CARVEOUT_DEFAULT };
    cudaOccResult result;
    if (cudaOccMaxActiveBlocksPerMultiprocessor(&result, &device, &kernel, &state, THREADS, 0) !=
        CUDA_OCC_SUCCESS)
        return -1;
    return 100 * result.activeBlocksPerMultiprocessor * THREADS / gpus[gpu].threads;
}

int main(void)
{
    char line[1024], kernel[256] = "";
    int compiled = 0, kernels = 0, failed = 0;
    printf("%-60s %9s %7s", "kernel", "registers", "shared");
    for (size_t g = 0; g < GPUS; g++)
        printf("  %-14s", gpus[g].name);
    printf("\n");
    while (fgets(line, sizeof line, stdin)) {
        int registers;
        size_t shared = 0;
        char *used = strstr(line, "Used "), *smem;
        if (sscanf(line, "ptxas info : Compiling entry function '%255[^']", kernel) == 1) {
            compiled++;
            continue;
        }
        if (!used || sscanf(used, "Used %d", &registers) != 1)
            continue;
        if ((smem = strstr(line, " bytes smem"))) {
            while (smem > line && smem[-1] >= '0' && smem[-1] <= '9')
                smem--;
            sscanf(smem, "%zu", &shared);
        }
        printf("%-60.60s %9d %7zu", kernel, registers, shared);
        kernels++;
        for (size_t g = 0; g < GPUS; g++) {
            int share = occupancy(g, registers, shared);
            printf("  %12d %s", share, share < LEAST ? "!!" : "% ");
            failed |= share < LEAST;
        }
        printf("\n");
    }
    if (kernels == 0 || kernels != compiled)
        fprintf(stderr, "%d kernels were compiled, something is said of %d\n", compiled, kernels);
    return failed || kernels == 0 || kernels != compiled;
}
