/* gpu.c: see gpu.h. */
#include "tests/cuda/gpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/cuda.h"
#include "tests/bench/beside.h"
#include "tests/bench/counts.h"
#include "trainer/precision.h"
#include "trainer/step/step.h"
#include "tests/kernels/cases.h"

#define ASSIGNMENTS_MAX 32

static int steps_timed;

/* (The device's own check is inside the plug-in.) */
static int check(cudaError_t status, const char *what)
{
    return status == cudaSuccess ? 0 : sb_fail("%s: %s", what, cudaGetErrorString(status));
}

/* ---- what the GPU can do at most ----------------------------------------------------------------------- */

/* Multiplications and additions of a multiprocessor in a cycle, by compute capability: f32 by its cores, bf16
 * with f32 sums by its tensor cores (NVIDIA's published peaks over multiprocessors and clock), at half of
 * which GeForce cards run. 7.5 has none for bf16. */
static const struct {
    int capability, f32, bf16;
} cycles[] = { { 75, 128, 128 },  { 80, 128, 2048 },  { 86, 256, 1024 }, { 89, 256, 1024 },
               { 90, 256, 4096 }, { 100, 256, 8192 }, { 120, 256, 1024 } };

static int ask(enum cudaDeviceAttr attribute, const char *what, double *out)
{
    int value = 0;
    if (check(cudaDeviceGetAttribute(&value, attribute, 0), what) != 0)
        return -1;
    *out = value;
    return value > 0 ? 0 : sb_fail("the GPU does not tell %s", what);
}

static int find_peak(sb_peak *out)
{
    struct cudaDeviceProp gpu;
    double clock, processors, memory_clock, width;
    if (check(cudaGetDeviceProperties(&gpu, 0), "asking the GPU what it is") != 0 ||
        ask(cudaDevAttrClockRate, "its clock", &clock) != 0 ||
        ask(cudaDevAttrMultiProcessorCount, "its multiprocessors", &processors) != 0 ||
        ask(cudaDevAttrMemoryClockRate, "its memory's clock", &memory_clock) != 0 ||
        ask(cudaDevAttrGlobalMemoryBusWidth, "its memory's width", &width) != 0)
        return -1;
    size_t kind = 0;
    while (kind + 1 < sizeof cycles / sizeof *cycles &&
           cycles[kind + 1].capability <= 10 * gpu.major + gpu.minor)
        kind++;
    double half = strstr(gpu.name, "GeForce") && cycles[kind].bf16 > cycles[kind].f32 ? 0.5 : 1;
    *out = (sb_peak){ 0 };
    snprintf(out->name, sizeof out->name, "%.63s", gpu.name);
    out->bandwidth = 2 * 1e3 * memory_clock * width / 8; /* both edges of the clock, in kHz; bits */
    out->f32 = 1e3 * clock * processors * cycles[kind].f32;
    out->bf16 = 1e3 * clock * processors * cycles[kind].bf16 * half;
    return 0;
}

/* ---- its clock ----------------------------------------------------------------------------------------- */

static struct {
    cudaEvent_t begin, end;
    void
        *rubbish; /* twice as large as the cache: written before each call, so that all is read from memory */
    size_t bytes;
} watch;

static void stop_watching(void)
{
    if (watch.begin)
        cudaEventDestroy(watch.begin);
    if (watch.end)
        cudaEventDestroy(watch.end);
    cudaFree(watch.rubbish);
}

static int start_watching(void)
{
    double cache;
    if (ask(cudaDevAttrL2CacheSize, "the size of its cache", &cache) != 0 ||
        check(cudaEventCreateWithFlags(&watch.begin, cudaEventDefault), "making an event") != 0 ||
        check(cudaEventCreateWithFlags(&watch.end, cudaEventDefault), "making an event") != 0)
        return -1;
    watch.bytes = 2 * (size_t)cache;
    return check(cudaMalloc(&watch.rubbish, watch.bytes), "memory to write the cache over with");
}

static int begin(sb_device *device)
{
    return check(cudaEventRecord(watch.begin, sb_cuda_compute(device)), "starting the clock");
}

/* While the cache is written over the host can queue what is timed: the GPU does not wait for it. */
static int start(sb_device *device)
{
    return check(cudaMemsetAsync(watch.rubbish, 0, watch.bytes, sb_cuda_compute(device)),
                 "writing the cache over") != 0
               ? -1
               : begin(device);
}

static int stop(sb_device *device, double *seconds)
{
    float milliseconds = 0;
    if (check(cudaEventRecord(watch.end, sb_cuda_compute(device)), "stopping the clock") != 0 ||
        check(cudaEventSynchronize(watch.end), "waiting for the device") != 0 ||
        check(cudaEventElapsedTime(&milliseconds, watch.begin, watch.end), "reading the clock") != 0)
        return -1;
    *seconds = 1e-3 * (double)milliseconds;
    return 0;
}

/* ---- whole steps --------------------------------------------------------------------------------------- */

/* Views are pieces of one array of noise. */
#define APART 64

typedef struct {
    uint8_t *noise;
    int batch;
} noise;

static int fetch(void *context, int view, int sample, const uint8_t **pixels)
{
    const noise *n = context;
    *pixels = n->noise + (size_t)APART * (size_t)(view * n->batch + sample);
    return 0;
}

/* The mean of several steps, one after another as in a run, behind three in which all runs of plans are
 * recorded, with both buffers of pixels, and a fifth of so many. */
static int time_steps(sb_device *device, const sb_settings *config, const sb_step_source *source,
                      double *seconds)
{
    sb_step *step = NULL;
    double loss;
    const int warm = 3 + steps_timed / 5;
    int rc = sb_step_create(&step, device, config);
    for (int i = 0; rc == 0 && i < warm + steps_timed; i++)
        if ((i == warm && begin(device) != 0) || sb_step_gradient(step, i, 0, source, &loss) != 0 ||
            sb_step_commit(step, i, 1e-4) < 0)
            rc = -1;
    if (rc == 0)
        rc = stop(device, seconds);
    sb_step_destroy(&step);
    *seconds /= steps_timed;
    return rc;
}

/* Settings that were made for this device: the step beside what is predicted for it. */
static int time_settings(sb_device *device, const sb_peak *peak, const char *title, const sb_settings *config)
{
    sb_counts counts;
    double seconds = 0;
    if (sb_counts_step(config, peak, 1, &counts) != 0)
        return -1;
    size_t side = (size_t)config->data.view, views = (size_t)(config->view_count * config->trainer.batch);
    for (int v = 0; v < config->view_count; v++)
        side = (size_t)config->views[v].side > side ? (size_t)config->views[v].side : side;
    size_t bytes = side * side * (size_t)config->data.channels + APART * views;
    noise n = { .noise = malloc(bytes), .batch = config->trainer.batch };
    if (!n.noise)
        return sb_fail("out of memory");
    sb_random random;
    sb_random_init(&random, 1, SB_RANDOM_EVALUATE, 0, 0, 0);
    for (size_t i = 0; i < bytes; i++)
        n.noise[i] = (uint8_t)sb_random_u32(&random);
    const sb_step_source source = { .context = &n, .fetch = fetch, .next = fetch };
    int rc = check(cudaHostRegister(n.noise, bytes, cudaHostRegisterDefault), "registering host memory");
    if (rc == 0) {
        rc = time_steps(device, config, &source, &seconds);
        cudaHostUnregister(n.noise);
    }
    free(n.noise);
    if (rc == 0) {
        char name[160];
        snprintf(name, sizeof name, "step without augment: %s in %s, %d samples, %d chunk%s", title,
                 sb_precision_name(config->trainer.precision), config->trainer.batch, counts.chunks,
                 sb_plural((uint64_t)counts.chunks));
        sb_beside_row(name, sb_counts_sum(&counts).bound[0], sb_counts_seconds(&counts, peak, 0), seconds);
    }
    return rc;
}

static int time_recipe(sb_device *device, const sb_peak *peak, const char *precision, char **arguments,
                       int count)
{
    sb_settings config;
    char key[64];
    const char *assignments[ASSIGNMENTS_MAX] = { "data.path=none", key };
    snprintf(key, sizeof key, "trainer.precision=%s", precision);
    if (count + 1 > ASSIGNMENTS_MAX)
        return sb_fail("more than %d keys", ASSIGNMENTS_MAX - 2);
    for (int i = 1; i < count; i++)
        assignments[i + 1] = arguments[i];
    if (sb_counts_settings(&config, device, arguments[0], assignments, count + 1) != 0)
        return -1;
    return time_settings(device, peak, arguments[0], &config);
}

static int time_cases(sb_device *device, const sb_peak *peak, const char *precision, char **arguments,
                      int count)
{
    sb_settings config;
    int rc = 0;
    for (int k = 0; rc == 0 && k < sb_counts_case_count; k++) {
        const sb_counts_case *c = &sb_counts_cases[k];
        if (strncmp(c->name, arguments[0], strlen(arguments[0])) != 0)
            continue;
        rc = sb_counts_case_settings(&config, device, c, precision, (const char *const *)arguments + 1,
                                     count - 1);
        if (rc == 0)
            rc = time_settings(device, peak, c->name, &config);
    }
    return rc;
}

/* In every precision that the device computes in. */
static int time_precisions(sb_device *device, const sb_peak *peak, char **arguments, int count)
{
    int rc = 0;
    for (sb_precision p = SB_PRECISION_F32, chosen; rc == 0 && p <= SB_PRECISION_F16; p++) {
        if (p == SB_PRECISION_TF32 || sb_precision_settle(device, p, &chosen) != 0)
            continue;
        rc = strcmp(arguments[0], "step") == 0
                 ? time_recipe(device, peak, sb_precision_name(p), arguments + 1, count - 1)
                 : time_cases(device, peak, sb_precision_name(p), arguments + 1, count - 1);
    }
    return rc;
}

/* ---- main ---------------------------------------------------------------------------------------------- */

int sb_gpu_main(int argc, char **argv, int (*open)(sb_device **out, int threads), const int *threads,
                int steps)
{
    steps_timed = steps;
    const char *mode = argc > 1 ? argv[1] : "";
    const bool whole = (strcmp(mode, "steps") == 0 || strcmp(mode, "step") == 0) && argc > 2;
    if (!whole && strcmp(mode, "time") != 0)
        return sb_cases_main(argc, argv, open, threads, false, NULL);
    sb_stopwatch stopwatch = { .start = start, .stop = stop };
    sb_device *device = NULL;
    int rc = open(&device, threads[0]) != 0 || find_peak(&stopwatch.peak) != 0 ? -1 : start_watching();
    if (rc == 0) {
        printf("%s: at most %.0f GB/s, %.1f TFLOP/s in f32, %.1f in bf16, by its own clocks and widths\n",
               stopwatch.peak.name, 1e-9 * stopwatch.peak.bandwidth, 1e-12 * stopwatch.peak.f32,
               1e-12 * stopwatch.peak.bf16);
        sb_beside_head();
    }
    if (rc == 0 && whole)
        rc = time_precisions(device, &stopwatch.peak, argv + 1, argc - 1);
    sb_device_close(&device);
    if (rc != 0)
        fprintf(stderr, "%s\n", sb_error());
    else if (!whole)
        rc = sb_cases_main(argc, argv, open, threads, false, &stopwatch);
    if (rc == 0)
        sb_beside_end();
    stop_watching();
    return rc != 0;
}
