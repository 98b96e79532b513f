/* device.c: the CPU device: opening, memory, and the table. Everything runs at once, so streams, order and
 * wait have nothing to do. */
#include <omp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/cpu.h"
#include "proto/cores.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "proto/process.h"

static void close_cpu(sb_device *device)
{
    sb_cpu *cpu = (sb_cpu *)device;
    if (cpu->stream)
        dnnl_stream_destroy(cpu->stream);
    if (cpu->engine)
        dnnl_engine_destroy(cpu->engine);
    free(cpu);
}

static int cpu_available(sb_device *device, size_t *bytes)
{
    (void)device;
    const size_t free_now = sb_memory_available(), all = free_now + sb_process_siblings_hold();
    *bytes = free_now > 0 ? all - all / 8
                          : SIZE_MAX; /* the rest is for the other processes: rings, decoded images */
    return 0;
}

static int cpu_alloc(sb_device *device, size_t bytes, void **out)
{
    (void)device;
    *out = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (*out)
        return 0;
    sb_fail("out of memory: %zu bytes", bytes);
    return SB_DEVICE_FULL;
}

static void cpu_release(sb_device *device, void *memory)
{
    (void)device;
    free(memory);
}

static int cpu_pin(sb_device *device, void *host, size_t bytes)
{
    (void)device;
    (void)host;
    (void)bytes;
    return 0;
}

static int cpu_copy(sb_device *device, sb_stream stream, void *to, const void *from, size_t bytes,
                    sb_direction direction)
{
    (void)device;
    (void)stream;
    (void)direction;
    memcpy(to, from, bytes);
    return 0;
}

static int cpu_zero(sb_device *device, void *memory, size_t bytes)
{
    (void)device;
    memset(memory, 0, bytes);
    return 0;
}

static int cpu_order(sb_device *device, sb_stream later, sb_stream earlier)
{
    (void)device;
    (void)later;
    (void)earlier;
    return 0;
}

static int cpu_wait(sb_device *device, sb_stream stream)
{
    (void)device;
    (void)stream;
    return 0;
}

static int cpu_mark(sb_device *device, sb_stream stream, int mark)
{
    (void)device;
    (void)stream;
    (void)mark;
    return 0;
}

static int cpu_wait_mark(sb_device *device, int mark)
{
    (void)device;
    (void)mark;
    return 0;
}

/* With fewer threads than it asked for oneDNN waits for ever for the others. OpenMP reads the environment
 * before main: what of it can still be set is set, and a limit is refused. */
static int check_environment(int threads)
{
    const char *limit = getenv("OMP_THREAD_LIMIT");
    omp_set_dynamic(0);           /* OMP_DYNAMIC */
    omp_set_max_active_levels(1); /* OMP_MAX_ACTIVE_LEVELS, OMP_NESTED */
    if (limit && strtol(limit, NULL, 10) < threads)
        return sb_fail("OMP_THREAD_LIMIT=%s is below the %d threads asked for (trainer.threads), which would "
                       "make oneDNN hang",
                       limit, threads);
    return 0;
}

#define SB_OP(NAME, name) extern const sb_kernel sb_cpu_##name;
#include "kernels/ops.def"
#undef SB_OP

#define SB_OP(NAME, name) [SB_OP_##NAME] = &sb_cpu_##name,
static const sb_kernel *const kernels[SB_OPS] = {
#include "kernels/ops.def"
};

static bool includes(dnnl_cpu_isa_t isa, dnnl_cpu_isa_t part) { return (isa & part) == part; }

/* The most of the instruction sets that oneDNN uses: what the processor has, or less where ONEDNN_MAX_CPU_ISA
 * says so. */
static const char *isa_name(dnnl_cpu_isa_t isa)
{
    static const struct {
        dnnl_cpu_isa_t isa;
        const char *name;
    } sets[] = {
        { dnnl_cpu_isa_avx512_core_amx, "AMX" }, { dnnl_cpu_isa_avx512_core_bf16, "AVX512_BF16" },
        { dnnl_cpu_isa_avx512_core, "AVX512" },  { dnnl_cpu_isa_avx2_vnni, "AVX2_VNNI" },
        { dnnl_cpu_isa_avx2, "AVX2" },           { dnnl_cpu_isa_avx, "AVX" },
    };
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        if (includes(isa, sets[i].isa))
            return sets[i].name;
    return "SSE4.1";
}

int sb_device_cpu(sb_device **out, int threads)
{
    if (threads <= 0)
        threads = sb_cores();
    if (check_environment(threads) != 0)
        return -1;
    sb_cpu *cpu = sb_zeroed(1, sizeof *cpu, "a device");
    if (!cpu)
        return -1;
    cpu->base = (sb_device){
        .kernels = kernels,
        .threads = threads,
        .host_memory = true,
        .close = close_cpu,
        .available = cpu_available,
        .alloc = cpu_alloc,
        .release = cpu_release,
        .pin = cpu_pin,
        .copy = cpu_copy,
        .zero = cpu_zero,
        .order = cpu_order,
        .wait = cpu_wait,
        .mark = cpu_mark,
        .wait_mark = cpu_wait_mark,
    };
    omp_set_num_threads(threads);
    dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
    cpu->base.bf16 = includes(isa, dnnl_cpu_isa_avx512_core_bf16);
    const dnnl_version_t *version = dnnl_version();
    snprintf(cpu->base.description, sizeof cpu->base.description,
             "CPU, %d thread%s, oneDNN %d.%d.%d for %s, %s", threads, sb_plural((uint64_t)threads),
             version->major, version->minor, version->patch, isa_name(isa),
             cpu->base.bf16 ? "bf16 native" : "no bf16");
    if (dnnl_engine_create(&cpu->engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&cpu->stream, cpu->engine, dnnl_stream_default_flags) != dnnl_success) {
        close_cpu(&cpu->base);
        return sb_fail("oneDNN %d.%d.%d does not start", version->major, version->minor, version->patch);
    }
    *out = &cpu->base;
    return 0;
}
