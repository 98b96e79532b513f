/* emulation.h: the emulated device as its own parts and the tests see it: threads and blocks (block.c),
 * streams and memory (runtime.c). One host thread may use it at a time. */
#ifndef SB_TESTS_EMULATION_H
#define SB_TESTS_EMULATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- for tests ----------------------------------------------------------------------------------------- */

/* Sets the order in which threads, blocks and streams run where the code under test leaves it open. Of
 * streams, forward runs another one only when it is waited for, reverse runs all others first, and random
 * draws. Environment: SB_EMULATION_ORDER=forward|reverse|random[:SEED]. */
typedef enum { EMULATION_FORWARD, EMULATION_REVERSE, EMULATION_RANDOM } emulation_order;
void emulation_set_order(emulation_order order, uint64_t seed);

/* Makes the n-th call from now (1: the next) of any function of the runtime, cuBLAS or cuDNN fail, once; 0:
 * none. Environment: SB_EMULATION_FAIL. */
void emulation_fail_call(long n);

/* The card's memory, in bytes: what the card has (0: as before); what others hold; what this process' context
 * takes, when the device is set for the first time, and each handle of cuBLAS and cuDNN that is made from now
 * on; what is gone to others once cudaMemGetInfo has answered. It is counted only: what the program allocates
 * is the host's memory. Environment: SB_EMULATION_MEMORY=CARD,OTHERS,CONTEXT,HANDLE,LATER, in MiB, by
 * default 8192,0,0,0,0. SB_EMULATION_DRIVER=12020: the driver is for CUDA 12.2. */
typedef struct {
    size_t card, others, context, handle, later;
} emulation_memory;
void emulation_set_memory(const emulation_memory *memory);

/* Bytes of it that are taken, by anyone. */
size_t emulation_used(void);

/* How many calls so far could have been made to fail. */
long emulation_calls(void);

/* How many allocations, registrations, streams, events, handles and descriptors are alive. 0 after everything
 * was given back. */
int emulation_alive(void);

/* Whether the call that was made to fail last was recorded, or one to record. Whoever records can do without.
 */
bool emulation_failed_recording(void);

/* How many pieces of work a stream was given and has not done. */
uint64_t emulation_left(cudaStream_t stream);

/* How many asynchronous copies went from or to host memory that was not registered. */
long emulation_unpinned(void);

/* The plans that the double of cuDNN has for a convolution and that will do, in the heuristics' order. Each
 * sums in slices of its own number, and so gives other bits. Environment: SB_EMULATION_TIMES=MS,MS,... */
#define EMULATION_PLANS 5
typedef struct {
    size_t workspace;
    float milliseconds;
    bool unbuildable, fails; /* when it is finalised; whenever it is run */
    bool twin;               /* has the name of the plan before */
} emulation_plan;
extern emulation_plan emulation_plans[EMULATION_PLANS];
void emulation_reset_plans(void); /* as they are at first: all equally fast */

/* What the device says it is: name, major, minor and totalGlobalMem, of which a test may set others before it
 * opens one. */
extern struct cudaDeviceProp emulation_gpu;

/* What the device was given so far: kernels, calls of cuBLAS and cuDNN, fills and copies within its memory,
 * transfers and their bytes; launches of graphs, and what was recorded for them in place of being given;
 * allocations. */
typedef struct {
    long allocations, kernels, libraries, fills, uploads, downloads, graphs, recorded;
    size_t uploaded, downloaded;
} emulation_counts;
extern emulation_counts emulation_given;

/* Whether f32 products may be rounded to TF32; where they may not, it is a fault to ask for it. Environment:
 * SB_EMULATION_TF32=1. */
extern bool emulation_tf32;

/* ---- among its parts ----------------------------------------------------------------------------------- */

/* Reports a fault of the code under test, with the kernel's name, and ends the process (SIGABRT). */
void emulation_die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* f32 as TF32 has it: 11 digits, to nearest even. */
float emulation_round_tf32(float value);

/* A random number below n, and a fresh permutation of 0 .. n-1 in the order asked for. */
uint32_t emulation_random(uint32_t n);
emulation_order emulation_current_order(void);
void emulation_permute(int n, int *out);

/* Set while a thread of a kernel runs. */
extern uint3 emulation_thread, emulation_block;
extern dim3 emulation_block_size, emulation_grid_size;

void emulation_barrier(int line);

/* A warp's exchange: the value of lane (mine ^ lanes); lanes that `mask` names must all come. */
uint64_t emulation_exchange(unsigned mask, uint64_t value, int lanes, int line);

/* Runs all blocks of a kernel, now. */
void emulation_run(const char *kernel, dim3 grid, dim3 block, void (*run)(void *), void *call);

/* Queues a kernel. `call` is its arguments; `destroy` frees them. */
void emulation_launch(const char *kernel, dim3 grid, dim3 block, size_t shared, cudaStream_t stream,
                      void *call, void (*run)(void *), void (*destroy)(void *));

/* Dies unless `memory` is NULL or a live allocation's (or registered host memory). */
void emulation_check_pointer(const char *what, const void *memory);

/* Dies unless [memory, memory + bytes) lies in one live allocation. */
void emulation_check_range(const char *what, const void *memory, size_t bytes);

/* Queues work other than a kernel; for the doubles of cuBLAS and cuDNN. `call` is freed after it ran. */
void emulation_queue(cudaStream_t stream, void (*run)(void *call), void *call);

/* Says how long the work that was queued last takes, by the clock of events. */
void emulation_spend(cudaStream_t stream, float milliseconds);

/* Counts a call that may be made to fail. True: this one has to. */
bool emulation_fails(void);

/* Counts the device memory that a library's handle takes. False: there is not enough left. */
bool emulation_library_opens(void);
void emulation_library_closes(void);

/* Counts what is alive. */
void emulation_born(void);
void emulation_gone(void);

#ifdef __cplusplus
}
#endif

#endif
