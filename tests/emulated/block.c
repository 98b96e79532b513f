/* block.c: runs the blocks of a kernel; the threads of a block are fibres.
 *
 * A fibre runs threads that have not started, one after another, so a kernel without barriers is a plain
 * loop. At a barrier the next fibre takes its place. When all threads have started, the scheduler lets
 * waiting ones go on: a warp's once all lanes of the mask have come, the block's once all its threads wait at
 * one barrier. Those run one after another, without going back to the scheduler. If no thread may go on, the
 * barrier was divergent. Blocks run one after another on one thread, so that shared memory can be ordinary
 * memory and faults repeat. x86-64 only. */
#include <stdint.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/emulated/emulation.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

#define THREADS_MAX 1024
#define WARP 32
#define STACK ((size_t)64 * 1024)
#define PAGE 4096
/* Stacks begin at different offsets in a page: at one and the same they would all compete for a few sets of
 * the cache. */
#define SHIFTS 32
#define SHIFT 128 /* bytes */

uint3 emulation_thread, emulation_block;
dim3 emulation_block_size, emulation_grid_size;

static emulation_order order = EMULATION_FORWARD;
static uint64_t random_state = 1;

void emulation_set_order(emulation_order now, uint64_t seed)
{
    order = now;
    random_state = seed * 2 + 1;
}

emulation_order emulation_current_order(void) { return order; }

uint32_t emulation_random(uint32_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random_state >> 33) % n);
}

void emulation_permute(int n, int *out)
{
    for (int i = 0; i < n; i++) {
        out[i] = order == EMULATION_REVERSE ? n - 1 - i : i;
        if (order == EMULATION_RANDOM) {
            int j = (int)emulation_random((uint32_t)i + 1);
            out[i] = out[j];
            out[j] = i;
        }
    }
}

/* ---- fibres -------------------------------------------------------------------------------------------- */

typedef struct {
    void *stack_pointer;
    const void *bottom; /* of its stack, for the sanitizer */
    size_t size;
    void *fake_stack;
} context;

/* Saves the callee's registers and the stack pointer into *save, goes on where `next` was saved. */
void emulation_switch(void **save, void *next);
__asm__(".text\n.globl emulation_switch\n.hidden emulation_switch\n.type emulation_switch,@function\n"
        "emulation_switch:\n"
        "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
        "mov %rsp, (%rdi)\nmov %rsi, %rsp\n"
        "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n"
        ".size emulation_switch, .-emulation_switch\n");

static context scheduler, fibres[THREADS_MAX];
static context *before; /* where the last switch came from */

static void arrived(context *here)
{
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(here->fake_stack, &before->bottom, &before->size);
#else
    (void)here;
#endif
}

static void hop(context *from, context *to)
{
    before = from;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&from->fake_stack, to->bottom, to->size);
#endif
    emulation_switch(&from->stack_pointer, to->stack_pointer);
    arrived(from);
}

/* ---- one block ----------------------------------------------------------------------------------------- */

typedef enum { NOT_STARTED, RUNNING, AT_BARRIER, AT_EXCHANGE, ENDED } state;

static struct {
    const char *kernel;
    void (*run)(void *);
    void *call;
    int count; /* threads */
    uint3 place[THREADS_MAX];
    int order[THREADS_MAX];
    int started;                               /* of `order` */
    int free_count, free[THREADS_MAX];         /* fibres without a thread */
    int fibre, thread;                         /* who runs */
    int resuming, resumed, round[THREADS_MAX]; /* fibres that may go on; how many of them have */
    state state[THREADS_MAX];                  /* by thread */
    int line[THREADS_MAX];                     /* where it waits */
    unsigned mask[THREADS_MAX];
    int fibre_of[THREADS_MAX];
    uint64_t value[THREADS_MAX]; /* what it exchanges */
    uint64_t given[THREADS_MAX]; /* the same, of those that go on together: some come to the next exchange
                                    before others have read this one's */
} block;

void emulation_die(const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "emulated device: %s\n", text);
    abort();
}

static void become(int thread)
{
    block.thread = thread;
    emulation_thread = block.place[thread];
}

/* Who runs when a fibre waits or has no thread left: one for a thread that has not started, one that goes on,
 * or the scheduler. */
static context *next_to_run(void)
{
    if (block.started < block.count)
        block.fibre = block.free[--block.free_count];
    else if (block.resumed < block.resuming)
        block.fibre = block.round[block.resumed++];
    else
        return &scheduler;
    return &fibres[block.fibre];
}

static void fibre_main(void)
{
    const int fibre = block.fibre;
    arrived(&fibres[fibre]);
    for (;;) {
        while (block.started < block.count) {
            become(block.order[block.started++]);
            block.state[block.thread] = RUNNING;
            block.run(block.call);
            block.state[block.thread] = ENDED;
        }
        block.free[block.free_count++] = fibre;
        hop(&fibres[fibre], next_to_run());
    }
}

static void make_fibres(void)
{
    static char *stacks;
    if (stacks)
        return;
    size_t each = STACK + PAGE;
    stacks = mmap(NULL, THREADS_MAX * each, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stacks == MAP_FAILED)
        emulation_die("no memory for %d stacks", THREADS_MAX);
    for (int i = 0; i < THREADS_MAX; i++) {
        char *low = stacks + (size_t)i * each;
        mprotect(low, PAGE, PROT_NONE);
        void **top = (void **)(void *)(low + each - 64 - (size_t)(i % SHIFTS) * SHIFT);
        *--top = NULL;
        *--top = (void *)
            fibre_main; /* where the first switch returns to: the stack is then 16 n + 8, as after a call */
        top -= 6;       /* six registers */
        memset(top, 0, 6 * sizeof *top);
        fibres[i] = (context){ .stack_pointer = top, .bottom = low + PAGE, .size = STACK };
        block.free[i] = THREADS_MAX - 1 - i;
    }
    block.free_count = THREADS_MAX;
}

static void wait_as(state why, int line)
{
    int thread = block.thread, fibre = block.fibre;
    block.state[thread] = why;
    block.line[thread] = line;
    block.fibre_of[thread] = fibre;
    hop(&fibres[fibre], next_to_run());
    become(thread);
    block.state[thread] = RUNNING;
}

void emulation_barrier(int line) { wait_as(AT_BARRIER, line); }

uint64_t emulation_exchange(unsigned mask, uint64_t value, int lanes, int line)
{
    int me = block.thread, partner = me - me % WARP + ((me % WARP) ^ lanes);
    block.value[me] = value;
    block.mask[me] = mask;
    wait_as(AT_EXCHANGE, line);
    if (partner >= block.count || !(mask >> (partner % WARP) & 1))
        emulation_die("kernel %s, line %d: thread %d exchanges with lane %d, which takes no part",
                      block.kernel, line, me, partner % WARP);
    return block.given[partner];
}

/* The lanes that the first waiting one of the warp names, if all of them wait at the same place; 0 otherwise.
 */
static unsigned warp_complete(int first)
{
    int one = -1;
    for (int t = first; t < first + WARP && t < block.count && one < 0; t++)
        if (block.state[t] == AT_EXCHANGE)
            one = t;
    if (one < 0)
        return 0;
    for (int lane = 0; lane < WARP; lane++)
        if (block.mask[one] >> lane & 1) {
            int t = first + lane;
            if (t >= block.count || block.state[t] != AT_EXCHANGE || block.line[t] != block.line[one] ||
                block.mask[t] != block.mask[one])
                return 0;
        }
    return block.mask[one];
}

static void divergent(void)
{
    int waiting = 0, exchanging = 0, ended = 0, line = 0;
    for (int t = 0; t < block.count; t++) {
        waiting += block.state[t] == AT_BARRIER;
        exchanging += block.state[t] == AT_EXCHANGE;
        ended += block.state[t] == ENDED;
        if (block.state[t] == AT_BARRIER || block.state[t] == AT_EXCHANGE)
            line = block.line[t];
    }
    emulation_die("kernel %s, block (%u, %u, %u): divergent barrier at line %d: of %d threads %d wait at a "
                  "barrier, %d at a warp's, %d ended",
                  block.kernel, emulation_block.x, emulation_block.y, emulation_block.z, line, block.count,
                  waiting, exchanging, ended);
}

/* Marks who may go on. Returns how many. */
static int release(bool go[THREADS_MAX])
{
    int released = 0, waiting = 0, line = 0;
    bool same = true;
    memset(go, 0, (size_t)block.count * sizeof *go);
    for (int first = 0; first < block.count; first += WARP) {
        const unsigned lanes = warp_complete(first);
        for (int t = first; lanes && t < first + WARP && t < block.count; t++)
            if (lanes >> (t - first) & 1) {
                block.given[t] = block.value[t];
                go[t] = true;
                released++;
            }
    }
    for (int t = 0; t < block.count; t++)
        if (block.state[t] == AT_BARRIER) {
            same = same && (waiting == 0 || line == block.line[t]);
            line = block.line[t];
            waiting++;
        }
    if (waiting == block.count && same)
        for (int t = 0; t < block.count; t++) {
            go[t] = true;
            released++;
        }
    return released;
}

static void run_block(void)
{
    static bool go[THREADS_MAX];
    block.started = 0;
    emulation_permute(block.count, block.order);
    for (int t = 0; t < block.count; t++)
        block.state[t] = NOT_STARTED;
    block.resuming = block.resumed = 0;
    hop(&scheduler, next_to_run());
    for (;;) {
        bool waits = false;
        for (int t = 0; t < block.count; t++)
            waits = waits || block.state[t] != ENDED;
        if (!waits)
            return;
        if (release(go) == 0)
            divergent();
        emulation_permute(block.count, block.order);
        block.resuming = block.resumed = 0;
        for (int i = 0; i < block.count; i++)
            if (go[block.order[i]])
                block.round[block.resuming++] = block.fibre_of[block.order[i]];
        hop(&scheduler, next_to_run());
    }
}

/* ---- a kernel ------------------------------------------------------------------------------------------ */

#ifndef __SANITIZE_ADDRESS__
/* The linker's names of where shared variables lie, one object: also where no file has any. */
extern char __start_emulated_shared[] __attribute__((weak, visibility("hidden")));
extern char __stop_emulated_shared[] __attribute__((weak, visibility("hidden")));
#endif

static void forget_shared(void)
{
#ifndef __SANITIZE_ADDRESS__
    if (__start_emulated_shared)
        memset(__start_emulated_shared, 0xFF,
               (uintptr_t)__stop_emulated_shared - (uintptr_t)__start_emulated_shared);
#endif
}

void emulation_run(const char *kernel, dim3 grid, dim3 size, void (*run)(void *), void *call)
{
    make_fibres();
    block.kernel = kernel;
    block.run = run;
    block.call = call;
    block.count = (int)(size.x * size.y * size.z);
    for (unsigned t = 0; t < (unsigned)block.count; t++)
        block.place[t] = (uint3){ t % size.x, t / size.x % size.y, t / size.x / size.y };
    emulation_block_size = size;
    emulation_grid_size = grid;
    long blocks = (long)grid.x * grid.y * grid.z,
         shift = order == EMULATION_RANDOM ? (long)emulation_random(1u << 30) : 0;
    for (long i = 0; i < blocks; i++) {
        long at = order == EMULATION_REVERSE ? blocks - 1 - i : (i + shift) % blocks;
        emulation_block.x = (unsigned)(at % grid.x);
        emulation_block.y = (unsigned)(at / grid.x % grid.y);
        emulation_block.z = (unsigned)(at / grid.x / grid.y);
        forget_shared();
        run_block();
    }
}
