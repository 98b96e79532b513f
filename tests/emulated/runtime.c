/* runtime.c: the calls of the CUDA runtime that kernels/cuda makes, on the CPU: a device that is as unhelpful
 * as a device may be.
 *
 * Memory is mapped with guard pages, filled with NaN, and closed to everyone but work that runs on a stream:
 * a host that touches it faults (SIGSEGV). Work is queued and runs when somebody waits for it, and streams
 * overtake each other wherever no event forbids it (emulation.h: order), so that a missing event or a missing
 * wait shows as a wrong result. Copies are checked for kind and bounds. What a stream is given while it
 * records a graph is kept with its arguments, and what CUDA forbids meanwhile is a fault. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/emulated/emulation.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(memory, bytes) ((void)(memory), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(memory, bytes) ((void)(memory), (void)(bytes))
#endif

#define PAGE ((size_t)4096)
#define RUBBISH (2u << 20)
#define ALIGN 256u
#define CANARY 0xA5
#define WORK_MILLISECONDS 0.001f /* of any piece, by the clock of events */

/* ---- counting and failing ------------------------------------------------------------------------------ */

static long calls, fail_at, unpinned;
static bool failed_recording;
static struct CUstream_st *recording; /* the stream that records a graph; NULL: none does */
static int alive;
static cudaError_t last_error;
emulation_counts emulation_given;
struct cudaDeviceProp emulation_gpu = {
    .name = "emulated GPU", .major = 9, .minor = 0, .totalGlobalMem = 8ull << 30
};

void emulation_born(void) { alive++; }
void emulation_gone(void) { alive--; }
int emulation_alive(void) { return alive; }
long emulation_unpinned(void) { return unpinned; }
long emulation_calls(void) { return calls; }
void emulation_fail_call(long n) { fail_at = n > 0 ? calls + n : 0; }

bool emulation_failed_recording(void) { return failed_recording; }

static bool fails(bool of_recording)
{
    const bool now = ++calls == fail_at;
    if (now)
        failed_recording = of_recording;
    return now;
}

bool emulation_fails(void) { return fails(recording != NULL); }

/* What would end a recording, and lose it. */
static void forbid(const char *what)
{
    if (recording)
        emulation_die("%s while a stream records a graph", what);
}

/* What is recorded is counted so alone. */
static void count(long *of)
{
    if (recording)
        emulation_given.recorded++;
    else
        (*of)++;
}

/* Errors are also kept for cudaGetLastError, as the runtime does. */
static cudaError_t error(cudaError_t status)
{
    if (status != cudaSuccess)
        last_error = status;
    return status;
}

#define MAY_FAIL(status)          \
    do {                          \
        if (emulation_fails())    \
            return error(status); \
    } while (0)

static int driver = CUDART_VERSION;

/* Of device memory, in bytes: SB_EMULATION_MEMORY (emulation.h). */
static emulation_memory share;
static size_t bytes_used;

size_t emulation_used(void) { return bytes_used; }

void emulation_set_memory(const emulation_memory *memory)
{
    bytes_used += memory->others - share.others;
    share = *memory;
    if (share.card > 0)
        emulation_gpu.totalGlobalMem = share.card;
}

static size_t bytes_left(void)
{
    return bytes_used < emulation_gpu.totalGlobalMem ? emulation_gpu.totalGlobalMem - bytes_used : 0;
}

static bool take_bytes(size_t bytes)
{
    if (bytes > bytes_left())
        return false;
    bytes_used += bytes;
    return true;
}

bool emulation_library_opens(void) { return take_bytes(share.handle); }
void emulation_library_closes(void) { bytes_used -= share.handle; }

bool emulation_tf32;

float emulation_round_tf32(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7F800000) != 0x7F800000)
        bits = (bits + 0xFFF + (bits >> 13 & 1)) & ~0x1FFFu;
    memcpy(&value, &bits, sizeof bits);
    return value;
}

__attribute__((constructor)) static void read_environment(void)
{
    const char *order = getenv("SB_EMULATION_ORDER"), *fail = getenv("SB_EMULATION_FAIL"),
               *version = getenv("SB_EMULATION_DRIVER");
    char *figures = getenv("SB_EMULATION_MEMORY");
    emulation_tf32 = getenv("SB_EMULATION_TF32") != NULL;
    emulation_memory all = { 0 };
    size_t *const parts[] = { &all.card, &all.others, &all.context, &all.handle, &all.later };
    for (size_t i = 0; i < sizeof parts / sizeof *parts && figures && *figures;
         i++, figures += *figures == ',')
        *parts[i] = strtoull(figures, &figures, 10) << 20;
    emulation_set_memory(&all);
    if (version)
        driver = atoi(version);
    if (order && strcmp(order, "reverse") == 0)
        emulation_set_order(EMULATION_REVERSE, 0);
    if (order && strncmp(order, "random", 6) == 0)
        emulation_set_order(EMULATION_RANDOM, order[6] == ':' ? strtoull(order + 7, NULL, 10) : 1);
    if (fail)
        emulation_fail_call(strtol(fail, NULL, 10));
}

/* ---- memory -------------------------------------------------------------------------------------------- */

typedef struct allocation {
    char *memory; /* ends at a guard page, but for what 256-byte alignment leaves: canaries */
    size_t bytes, room;
    char *map;
    size_t map_bytes;
    struct allocation *next;
} allocation;

typedef struct registration {
    char *host;
    size_t bytes;
    struct registration *next;
} registration;

static allocation *allocations;
static registration *registrations;

static void set_access(int protection)
{
    for (allocation *a = allocations; a; a = a->next)
        mprotect(a->map + PAGE, a->map_bytes - 2 * PAGE, protection);
}

static allocation *find_allocation(const void *memory)
{
    for (allocation *a = allocations; a; a = a->next)
        if ((const char *)memory >= a->memory && (const char *)memory < a->memory + a->bytes)
            return a;
    return NULL;
}

static bool registered(const void *host, size_t bytes)
{
    for (registration *r = registrations; r; r = r->next)
        if ((const char *)host >= r->host && (const char *)host + bytes <= r->host + r->bytes)
            return true;
    return false;
}

void emulation_check_pointer(const char *what, const void *memory)
{
    if (memory && !find_allocation(memory) && !registered(memory, 1))
        emulation_die("%s gets %p, which is no device memory", what, memory);
}

void emulation_check_range(const char *what, const void *memory, size_t bytes)
{
    allocation *a = find_allocation(memory);
    if (!a)
        emulation_die("%s gets %p, which is no device memory", what, memory);
    if ((const char *)memory + bytes > a->memory + a->bytes)
        emulation_die("%s: %zu bytes at offset %td of an allocation of %zu bytes", what, bytes,
                      (const char *)memory - a->memory, a->bytes);
}

/* Maps NaN, copied when it is written to: what is never touched costs nothing. */
static bool map_rubbish(char *to, size_t bytes)
{
    static int file = -1;
    static char rubbish[RUBBISH];
    if (file < 0) {
        memset(rubbish, 0xFF, sizeof rubbish);
        file = memfd_create("rubbish", MFD_CLOEXEC);
        if (file < 0 || write(file, rubbish, sizeof rubbish) != (ssize_t)sizeof rubbish)
            emulation_die("no memory for rubbish");
    }
    for (size_t done = 0; done < bytes; done += RUBBISH) {
        size_t piece = bytes - done < RUBBISH ? bytes - done : RUBBISH;
        if (mmap(to + done, piece, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, file, 0) == MAP_FAILED)
            return false;
    }
    return true;
}

cudaError_t cudaMalloc(void **out, size_t bytes)
{
    forbid("cudaMalloc");
    MAY_FAIL(cudaErrorMemoryAllocation);
    if (bytes > bytes_left())
        return error(cudaErrorMemoryAllocation);
    allocation *a = calloc(1, sizeof *a);
    if (!a)
        return error(cudaErrorMemoryAllocation);
    a->bytes = bytes;
    a->room = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    a->map_bytes = (a->room + PAGE - 1) / PAGE * PAGE + 2 * PAGE;
    a->map = mmap(NULL, a->map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (a->map == MAP_FAILED || !map_rubbish(a->map + PAGE, a->map_bytes - 2 * PAGE))
        emulation_die("no memory for %zu bytes", bytes);
    a->memory = a->map + a->map_bytes - PAGE - a->room;
    memset(a->memory + bytes, CANARY, a->room - bytes);
    ASAN_POISON_MEMORY_REGION(a->map + PAGE, (size_t)(a->memory - a->map) - PAGE);
    ASAN_POISON_MEMORY_REGION(a->memory + bytes, a->room - bytes);
    mprotect(a->map + PAGE, a->map_bytes - 2 * PAGE, PROT_NONE);
    a->next = allocations;
    allocations = a;
    emulation_given.allocations++;
    bytes_used += bytes;
    emulation_born();
    *out = a->memory;
    return cudaSuccess;
}

static void run_all(void);

cudaError_t cudaFree(void *memory)
{
    forbid("cudaFree");
    if (!memory)
        return cudaSuccess;
    run_all(); /* it waits for the device */
    for (allocation **p = &allocations; *p; p = &(*p)->next) {
        allocation *a = *p;
        if (a->memory != memory)
            continue;
        mprotect(a->map + PAGE, a->map_bytes - 2 * PAGE, PROT_READ);
        ASAN_UNPOISON_MEMORY_REGION(a->map + PAGE, a->map_bytes - 2 * PAGE);
        for (size_t i = a->bytes; i < a->room; i++)
            if ((unsigned char)a->memory[i] != CANARY)
                emulation_die("byte %zu behind an allocation of %zu bytes was overwritten", i - a->bytes,
                              a->bytes);
        munmap(a->map, a->map_bytes);
        bytes_used -= a->bytes;
        *p = a->next;
        free(a);
        emulation_gone();
        return cudaSuccess;
    }
    emulation_die("cudaFree of %p, which was not allocated", memory);
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total)
{
    *total = emulation_gpu.totalGlobalMem;
    *available = bytes_left();
    bytes_used += share.later;
    share.others += share.later;
    share.later = 0;
    return cudaSuccess;
}

cudaError_t cudaHostRegister(void *host, size_t bytes, unsigned flags)
{
    (void)flags;
    MAY_FAIL(cudaErrorMemoryAllocation);
    if (registered(host, 1))
        return error(cudaErrorHostMemoryAlreadyRegistered);
    registration *r = malloc(sizeof *r);
    if (!r)
        return error(cudaErrorMemoryAllocation);
    *r = (registration){ .host = host, .bytes = bytes, .next = registrations };
    registrations = r;
    emulation_born();
    return cudaSuccess;
}

cudaError_t cudaHostUnregister(void *host)
{
    run_all();
    for (registration **p = &registrations; *p; p = &(*p)->next)
        if ((*p)->host == host) {
            registration *r = *p;
            *p = r->next;
            free(r);
            emulation_gone();
            return cudaSuccess;
        }
    return error(cudaErrorHostMemoryNotRegistered);
}

/* ---- streams ------------------------------------------------------------------------------------------- */

#define STREAM_TAG 0x73747265u
#define EVENT_TAG 0x6576656Eu

struct CUstream_st;

typedef struct work {
    void (*run)(void *call);
    void *call;
    void (*destroy)(void *call);
    /* a wait: nothing runs until `other` has done `target` pieces */
    struct CUstream_st *other;
    uint64_t target;
    struct work *next;
} work;

/* What was recorded, in its order; an executable graph takes it over. */
struct CUgraph_st {
    work *first, *last;
};

struct CUgraphExec_st {
    work *first;
    long pending; /* launches that have not run */
};

struct CUstream_st {
    uint32_t tag;
    work *first, *last;
    struct CUgraph_st *graph; /* that it records; NULL: it does not */
    uint64_t queued, done;
    double spent; /* milliseconds that the work queued so far takes, as the doubles have it */
    struct CUstream_st *next;
};

struct CUevent_st {
    uint32_t tag;
    bool timed, sleeps;
    struct CUstream_st *stream; /* where it was recorded; NULL: never */
    uint64_t target;
    double spent;
};

static struct CUstream_st *streams;
static bool sleeps; /* a host that waits for a stream */

static void check_stream(cudaStream_t stream)
{
    for (struct CUstream_st *s = streams; s; s = s->next)
        if (s == stream && s->tag == STREAM_TAG)
            return;
    emulation_die("%p is no stream%s", (void *)stream,
                  stream ? "" : " (the default stream orders all others: name one)");
}

uint64_t emulation_left(cudaStream_t stream)
{
    check_stream(stream);
    return stream->queued - stream->done;
}

static void add_work(cudaStream_t stream, work w)
{
    check_stream(stream);
    work *copy = malloc(sizeof *copy);
    if (!copy)
        emulation_die("out of memory");
    *copy = w;
    copy->next = NULL;
    work **first = stream->graph ? &stream->graph->first : &stream->first,
         **last = stream->graph ? &stream->graph->last : &stream->last;
    if (*first)
        (*last)->next = copy;
    else
        *first = copy;
    *last = copy;
    stream->queued += !stream->graph;
    emulation_spend(stream, WORK_MILLISECONDS);
}

static bool can_step(const struct CUstream_st *s)
{
    return s->first && (!s->first->other || s->first->other->done >= s->first->target);
}

/* Runs the first piece of work. The device's memory is open meanwhile, and only then. */
static void step(struct CUstream_st *s)
{
    work *w = s->first;
    if (w->run)
        w->run(w->call);
    if (w->destroy)
        w->destroy(w->call);
    s->first = w->next;
    s->done++;
    free(w);
}

/* Runs work of `stream` until `target` pieces are done, and of others as the order has it. */
static void run_until(struct CUstream_st *stream, uint64_t target)
{
    while (stream->done < target) {
        struct CUstream_st *chosen = NULL;
        for (struct CUstream_st *s = streams; s; s = s->next) {
            if (s == stream || !can_step(s))
                continue;
            if (emulation_current_order() == EMULATION_REVERSE ||
                (emulation_current_order() == EMULATION_RANDOM && emulation_random(2)))
                chosen = s;
        }
        if (chosen)
            step(chosen);
        else if (can_step(stream))
            step(stream);
        else if (stream->first)
            run_until(stream->first->other, stream->first->target);
        else
            emulation_die("a stream waits for work that was never queued");
    }
}

static void open_and_run(struct CUstream_st *stream, uint64_t target)
{
    if (stream->done >= target)
        return;
    set_access(PROT_READ | PROT_WRITE);
    run_until(stream, target);
    set_access(PROT_NONE);
}

static void run_all(void)
{
    for (struct CUstream_st *s = streams; s; s = s->next)
        open_and_run(s, s->queued);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags)
{
    MAY_FAIL(cudaErrorMemoryAllocation);
    if (flags != cudaStreamNonBlocking)
        emulation_die("a stream that the default stream blocks");
    struct CUstream_st *s = calloc(1, sizeof *s);
    if (!s)
        return error(cudaErrorMemoryAllocation);
    s->tag = STREAM_TAG;
    s->next = streams;
    streams = s;
    emulation_born();
    *out = s;
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    check_stream(stream);
    run_all();
    for (struct CUstream_st **p = &streams; *p; p = &(*p)->next)
        if (*p == stream) {
            *p = stream->next;
            break;
        }
    free(stream);
    emulation_gone();
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    MAY_FAIL(cudaErrorLaunchFailure);
    check_stream(stream);
    forbid("cudaStreamSynchronize");
    if (!sleeps)
        emulation_die("a host that waits for a stream spins");
    open_and_run(stream, stream->queued);
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void)
{
    forbid("cudaDeviceSynchronize");
    MAY_FAIL(cudaErrorLaunchFailure);
    run_all();
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags)
{
    MAY_FAIL(cudaErrorMemoryAllocation);
    struct CUevent_st *e = calloc(1, sizeof *e);
    if (!e)
        return error(cudaErrorMemoryAllocation);
    e->tag = EVENT_TAG;
    e->timed = !(flags & cudaEventDisableTiming);
    e->sleeps = flags & cudaEventBlockingSync;
    emulation_born();
    *out = e;
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    if (event->tag != EVENT_TAG)
        emulation_die("cudaEventDestroy of what is no event");
    free(event);
    emulation_gone();
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    MAY_FAIL(cudaErrorLaunchFailure);
    check_stream(stream);
    forbid("cudaEventRecord"); /* which CUDA allows, to tie another stream to the graph: nobody does */
    event->stream = stream;
    event->target = stream->queued;
    event->spent = stream->spent;
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t begin, cudaEvent_t end)
{
    MAY_FAIL(cudaErrorLaunchFailure);
    if (!begin->timed || !end->timed || !begin->stream || begin->stream != end->stream ||
        end->stream->done < end->target)
        emulation_die(
            "the time between events that take none, were not recorded on one stream, or have not come");
    *milliseconds = (float)(end->spent - begin->spent);
    return cudaSuccess;
}

void emulation_spend(cudaStream_t stream, float milliseconds) { stream->spent += milliseconds; }

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    forbid("cudaEventSynchronize");
    MAY_FAIL(cudaErrorLaunchFailure);
    if (!event->timed && !event->sleeps) /* what is timed may be waited for so */
        emulation_die("a host that waits for an event spins");
    if (event->stream)
        open_and_run(event->stream, event->target);
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
    (void)flags;
    forbid("waiting for an event of another stream");
    MAY_FAIL(cudaErrorLaunchFailure);
    if (event->stream && event->stream->done < event->target)
        add_work(stream, (work){ .other = event->stream, .target = event->target });
    return cudaSuccess;
}

/* ---- graphs -------------------------------------------------------------------------------------------- */

static bool graph_fails(void) { return fails(true); }

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    check_stream(stream);
    forbid("cudaStreamBeginCapture");
    if (mode != cudaStreamCaptureModeThreadLocal)
        emulation_die("a recording that the calls of other threads end, or that none does");
    if (graph_fails())
        return error(cudaErrorLaunchFailure);
    stream->graph = calloc(1, sizeof *stream->graph);
    if (!stream->graph)
        emulation_die("out of memory");
    recording = stream;
    emulation_born();
    return cudaSuccess;
}

static void free_work(work *first)
{
    while (first) {
        work *w = first;
        first = w->next;
        if (w->destroy)
            w->destroy(w->call);
        free(w);
    }
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    free_work(graph->first);
    free(graph);
    emulation_gone();
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out)
{
    struct CUgraph_st *graph = stream->graph;
    if (!graph)
        emulation_die("cudaStreamEndCapture of a stream that records nothing");
    *out = graph;
    stream->graph = NULL;
    recording = NULL;
    if (!graph_fails())
        return cudaSuccess;
    cudaGraphDestroy(graph);
    *out = NULL;
    return error(cudaErrorLaunchFailure);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long flags)
{
    (void)flags;
    if (graph_fails())
        return error(cudaErrorMemoryAllocation);
    struct CUgraphExec_st *exec = calloc(1, sizeof *exec);
    if (!exec)
        emulation_die("out of memory");
    exec->first = graph->first;
    graph->first = graph->last = NULL;
    emulation_born();
    *out = exec;
    return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream)
{
    (void)exec;
    check_stream(stream);
    return graph_fails() ? error(cudaErrorMemoryAllocation) : cudaSuccess;
}

static void run_graph(void *p)
{
    struct CUgraphExec_st *exec = p;
    for (work *w = exec->first; w; w = w->next)
        w->run(w->call);
    exec->pending--;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    MAY_FAIL(cudaErrorLaunchFailure);
    forbid("cudaGraphLaunch");
    exec->pending++;
    emulation_given.graphs++;
    add_work(stream, (work){ .run = run_graph, .call = exec });
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    if (exec->pending > 0)
        emulation_die("a graph that still runs is destroyed");
    free_work(exec->first);
    free(exec);
    emulation_gone();
    return cudaSuccess;
}

/* ---- work ---------------------------------------------------------------------------------------------- */

void emulation_queue(cudaStream_t stream, void (*run)(void *call), void *call)
{
    count(&emulation_given.libraries);
    add_work(stream, (work){ .run = run, .call = call, .destroy = free });
}

typedef struct {
    const char *kernel;
    dim3 grid, block;
    void *call;
    void (*run)(void *), (*destroy)(void *);
} launch;

static void run_launch(void *p)
{
    launch *l = p;
    emulation_run(l->kernel, l->grid, l->block, l->run, l->call);
}

static void destroy_launch(void *p)
{
    launch *l = p;
    l->destroy(l->call);
    free(l);
}

void emulation_launch(const char *kernel, dim3 grid, dim3 block, size_t shared, cudaStream_t stream,
                      void *call, void (*run)(void *), void (*destroy)(void *))
{
    launch *l = malloc(sizeof *l);
    if (!l)
        emulation_die("out of memory");
    *l = (launch){
        .kernel = kernel, .grid = grid, .block = block, .call = call, .run = run, .destroy = destroy
    };
    if (shared != 0)
        emulation_die("kernel %s: dynamic shared memory is not emulated", kernel);
    bool sound = grid.x >= 1 && grid.x <= 0x7FFFFFFF && grid.y >= 1 && grid.y <= 65535 && grid.z >= 1 &&
                 grid.z <= 65535 && (uint64_t)block.x * block.y * block.z >= 1 &&
                 (uint64_t)block.x * block.y * block.z <= 1024;
    if (!sound)
        emulation_die("kernel %s: a grid of %u x %u x %u blocks of %u x %u x %u threads", kernel, grid.x,
                      grid.y, grid.z, block.x, block.y, block.z);
    if (emulation_fails()) {
        error(cudaErrorLaunchOutOfResources);
        destroy_launch(l);
        return;
    }
    count(&emulation_given.kernels);
    add_work(stream, (work){ .run = run_launch, .call = l, .destroy = destroy_launch });
}

typedef struct {
    void *to;
    const void *from; /* NULL: the value */
    size_t bytes;
    int value;
    void *staged;
} transfer;

static void run_transfer(void *p)
{
    transfer *t = p;
    if (t->from)
        memcpy(t->to, t->from, t->bytes);
    else
        memset(t->to, t->value, t->bytes);
    free(t->staged);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    MAY_FAIL(cudaErrorInvalidValue);
    check_stream(stream);
    if (bytes == 0)
        return cudaSuccess;
    if (kind == cudaMemcpyDefault || kind == cudaMemcpyHostToHost)
        emulation_die("a copy that does not say from where to where");
    bool up = kind == cudaMemcpyHostToDevice, down = kind == cudaMemcpyDeviceToHost;
    if (recording == stream && (up || down))
        emulation_die(
            "a copy from or to the host in a graph: its memory may be another's when that is launched");
    if (!down)
        emulation_check_range("a copy to the device", to, bytes);
    if (!up)
        emulation_check_range("a copy from the device", from, bytes);
    if ((up && find_allocation(from)) || (down && find_allocation(to)))
        emulation_die("a copy %s the device with device memory on both sides", up ? "to" : "from");
    transfer *t = calloc(1, sizeof *t);
    if (!t)
        emulation_die("out of memory");
    *t = (transfer){ .to = to, .from = from, .bytes = bytes };
    bool pageable = (up && !registered(from, bytes)) || (down && !registered(to, bytes));
    unpinned += pageable;
    if (pageable && up) { /* the driver stages it: the source is free again when the call returns */
        t->staged = malloc(bytes);
        if (!t->staged)
            emulation_die("out of memory");
        memcpy(t->staged, from, bytes);
        t->from = t->staged;
    }
    if (up) {
        emulation_given.uploads++;
        emulation_given.uploaded += bytes;
    } else if (down) {
        emulation_given.downloads++;
        emulation_given.downloaded += bytes;
    } else {
        count(&emulation_given.fills);
    }
    add_work(stream, (work){ .run = run_transfer, .call = t, .destroy = free });
    if (pageable && down) /* and here it waits */
        open_and_run(stream, stream->queued);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream)
{
    MAY_FAIL(cudaErrorInvalidValue);
    if (bytes == 0)
        return cudaSuccess;
    emulation_check_range("a fill", to, bytes);
    transfer *t = calloc(1, sizeof *t);
    if (!t)
        emulation_die("out of memory");
    *t = (transfer){ .to = to, .bytes = bytes, .value = value };
    count(&emulation_given.fills);
    add_work(stream, (work){ .run = run_transfer, .call = t, .destroy = free });
    return cudaSuccess;
}

/* ---- the device ---------------------------------------------------------------------------------------- */

cudaError_t cudaGetLastError(void)
{
    cudaError_t status = last_error;
    last_error = cudaSuccess;
    return status;
}

const char *cudaGetErrorString(cudaError_t status)
{
    switch (status) {
    case cudaSuccess: return "no error";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorLaunchFailure: return "unspecified launch failure";
    case cudaErrorInvalidValue: return "invalid argument";
    default: return "an emulated error";
    }
}

cudaError_t cudaGetDeviceCount(int *count)
{
    MAY_FAIL(cudaErrorNoDevice);
    if (!getenv("CUDA_DEVICE_ORDER"))
        emulation_die("CUDA is started without CUDA_DEVICE_ORDER: its numbers may not be nvidia-smi's");
    if (driver / 1000 < CUDART_VERSION / 1000)
        return error(cudaErrorInsufficientDriver);
    *count = 1;
    return cudaSuccess;
}

cudaError_t cudaSetDeviceFlags(unsigned flags)
{
    MAY_FAIL(cudaErrorInvalidValue);
    sleeps = (flags & cudaDeviceScheduleMask) == cudaDeviceScheduleBlockingSync;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    static bool taken;
    MAY_FAIL(cudaErrorInvalidDevice);
    if (device != 0)
        return error(cudaErrorInvalidDevice);
    if (!taken && !take_bytes(share.context)) /* which lives as long as the process */
        return error(cudaErrorMemoryAllocation);
    taken = true;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = driver;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *gpu, int device)
{
    MAY_FAIL(cudaErrorInvalidValue);
    if (device != 0)
        return error(cudaErrorInvalidDevice);
    *gpu = emulation_gpu;
    return cudaSuccess;
}

/* Figures of a small GPU: 100 GB/s, 2.56 TFLOP/s. */
cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    MAY_FAIL(cudaErrorInvalidValue);
    if (device != 0)
        return error(cudaErrorInvalidDevice);
    switch (attribute) {
    case cudaDevAttrClockRate: *value = 1000000; break;
    case cudaDevAttrMultiProcessorCount: *value = 10; break;
    case cudaDevAttrMemoryClockRate: *value = 3125000; break;
    case cudaDevAttrGlobalMemoryBusWidth: *value = 128; break;
    case cudaDevAttrL2CacheSize: *value = 1 << 20; break;
    default: emulation_die("attribute %d of the device is asked for", (int)attribute);
    }
    return cudaSuccess;
}
