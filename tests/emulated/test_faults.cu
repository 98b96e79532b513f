/* test_faults.cu: the emulated device finds the faults that it is there to find. Each is planted here, and in
 * a child process where it ends the process. This program is always built with the address sanitizer. */
extern "C" {
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
}
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector_functions.h>

#define WARP 32

static cudaStream_t stream, other;

/* Runs `fault` in a child; true if it died and said `words`; NULL: of touching memory, which it may not touch
 * or not so. */
static bool dies(void (*fault)(void), const char *words)
{
    int pipes[2], status;
    if (pipe(pipes) != 0)
        return false;
    pid_t child = fork();
    if (child == 0) {
        dup2(pipes[1], STDERR_FILENO);
        signal(SIGSEGV, SIG_DFL); /* cmocka's handler would go on in the child */
        signal(SIGABRT, SIG_DFL);
        signal(SIGILL, SIG_DFL);
        close(pipes[0]);
        fault();
        _exit(0);
    }
    close(pipes[1]);
    static char text[65536];
    size_t used = 0;
    ssize_t got;
    while ((got = read(pipes[0], text + used, sizeof text - 1 - used)) > 0)
        used += (size_t)got;
    text[used] = '\0';
    close(pipes[0]);
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        print_message("nothing was found\n");
    else if (words ? strstr(text, words) != NULL
                   : WIFSIGNALED(status) && (WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGILL))
        return true;
    else
        print_message("%s\n", text);
    return false;
}

static float *device_floats(size_t count)
{
    void *memory;
    assert_int_equal(cudaMalloc(&memory, count * sizeof(float)), cudaSuccess);
    return (float *)memory;
}

static void finish() { cudaStreamSynchronize(stream); }

/* ---- kernels, one fault each --------------------------------------------------------------------------- */

static __global__ void guard_off_by_one(int n, float *x)
{
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (i > n)
        return;
    x[i] = 1;
}

static __global__ void askew(float *x) { ((float4 *)(x + 1))[threadIdx.x] = make_float4(1, 2, 3, 4); }

static __global__ void begins_too_early(float *x) { x[threadIdx.x] = x[(int)threadIdx.x - 1]; }

static __global__ void shared_overrun(float *x)
{
    __shared__ float part[WARP];
    part[threadIdx.x + 1] = 1;
    __syncthreads();
    x[threadIdx.x] = part[threadIdx.x];
}

static __global__ void divergent(float *x)
{
    if (threadIdx.x < 100)
        __syncthreads();
    x[threadIdx.x] = 1;
}

static __global__ void two_barriers(float *x)
{
    if (threadIdx.x < 100)
        __syncthreads();
    else
        __syncthreads();
    x[threadIdx.x] = 1;
}

static __global__ void lonely_exchange(float *x)
{
    if (threadIdx.x < 20)
        x[threadIdx.x] = __shfl_xor_sync(0xFFFFFFFFu, x[threadIdx.x], 16);
}

/* x[i] = base + i - 1, by way of shared memory; without the barrier right by luck where thread i - 1 runs
 * before thread i. */
static __global__ void neighbour(bool barrier, float base, float *x)
{
    __shared__ float part[256];
    part[threadIdx.x] = base + (float)threadIdx.x;
    if (barrier)
        __syncthreads();
    x[threadIdx.x] = threadIdx.x > 0 ? part[threadIdx.x - 1] : base - 1;
}

static __global__ void butterfly(float *x)
{
    float value = x[threadIdx.x];
    for (int distance = WARP / 2; distance > 0; distance /= 2)
        value += __shfl_xor_sync(0xFFFFFFFFu, value, distance);
    x[threadIdx.x] = value;
}

static __global__ void add_one(float *x) { x[threadIdx.x] += 1; }

/* ---- faults of kernels --------------------------------------------------------------------------------- */

static void run_guard()
{
    LAUNCH(guard_off_by_one, 1, 128, 0, stream, 100, device_floats(100));
    finish();
}
static void run_askew()
{
    LAUNCH(askew, 1, 4, 0, stream, device_floats(32));
    finish();
}
static void run_early()
{
    LAUNCH(begins_too_early, 1, WARP, 0, stream, device_floats(WARP));
    finish();
}
static void run_overrun()
{
    LAUNCH(shared_overrun, 1, WARP, 0, stream, device_floats(WARP));
    finish();
}
static void run_divergent()
{
    LAUNCH(divergent, 1, 256, 0, stream, device_floats(256));
    finish();
}
static void run_two_barriers()
{
    LAUNCH(two_barriers, 1, 256, 0, stream, device_floats(256));
    finish();
}
static void run_lonely()
{
    LAUNCH(lonely_exchange, 1, WARP, 0, stream, device_floats(WARP));
    finish();
}
static void run_far_out()
{
    LAUNCH(guard_off_by_one, 1, 128, 0, stream, 5000, device_floats(100) + 2000);
    finish();
}

static void kernels_out_of_bounds(void **)
{
    assert_true(dies(run_guard, "guard_off_by_one"));
    assert_true(dies(run_early, "begins_too_early"));
    assert_true(dies(run_overrun, "global-buffer-overflow"));
    assert_true(dies(run_far_out, "no device memory"));
    assert_true(dies(run_askew, NULL));
}

static void divergent_barriers(void **)
{
    assert_true(dies(run_divergent, "divergent barrier at line"));
    assert_true(dies(run_divergent, "100 wait at a barrier, 0 at a warp's, 156 ended"));
    assert_true(dies(run_two_barriers, "256 wait at a barrier"));
    assert_true(dies(run_lonely, "20 at a warp's, 12 ended"));
}

static bool neighbour_right(emulation_order order, bool barrier)
{
    static float base;
    float *x = device_floats(256), host[256];
    bool right = true;
    base += 1000; /* what an earlier run left in shared memory is wrong */
    emulation_set_order(order, 7);
    LAUNCH(neighbour, 1, 256, 0, stream, barrier, base, x);
    cudaMemcpyAsync(host, x, sizeof host, cudaMemcpyDeviceToHost, stream);
    finish();
    emulation_set_order(EMULATION_FORWARD, 0);
    cudaFree(x);
    for (int i = 0; i < 256; i++)
        right = right && host[i] == base + (float)i - 1;
    return right;
}

static void missing_barrier(void **)
{
    assert_true(neighbour_right(EMULATION_FORWARD, true));
    assert_true(neighbour_right(EMULATION_REVERSE, true));
    assert_true(neighbour_right(EMULATION_RANDOM, true));
    assert_true(neighbour_right(EMULATION_FORWARD, false)); /* by luck */
    assert_false(neighbour_right(EMULATION_REVERSE, false));
    assert_false(neighbour_right(EMULATION_RANDOM, false));
}

static void warp_sums(void **)
{
    float host[64], *x = device_floats(64);
    for (int i = 0; i < 64; i++)
        host[i] = (float)i;
    cudaMemcpyAsync(x, host, sizeof host, cudaMemcpyHostToDevice, stream);
    LAUNCH(butterfly, 1, 64, 0, stream, x);
    cudaMemcpyAsync(host, x, sizeof host, cudaMemcpyDeviceToHost, stream);
    finish();
    for (int i = 0; i < 64; i++)
        assert_true(host[i] == (i < 32 ? 496.0f : 1520.0f));
    cudaFree(x);
}

/* ---- faults of the host -------------------------------------------------------------------------------- */

static void host_reads() { printf("%f", (double)*device_floats(4)); }
static void host_writes() { *device_floats(4) = 1; }

static void host_pointer()
{
    static float host[32];
    LAUNCH(add_one, 1, 32, 0, stream, host);
}

static void copy_too_long()
{
    static float host[200];
    cudaMemcpyAsync(device_floats(100), host, sizeof host, cudaMemcpyHostToDevice, stream);
}

static void copy_of_wrong_kind()
{
    static float host[4];
    cudaMemcpyAsync(host, device_floats(4), sizeof host, cudaMemcpyHostToDevice, stream);
}

static void spins_for_a_stream()
{
    cudaSetDeviceFlags(cudaDeviceScheduleSpin);
    finish();
}

static void spins_for_an_event()
{
    cudaEvent_t event;
    cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
    cudaEventSynchronize(event);
}

static void default_stream() { LAUNCH(add_one, 1, 32, 0, NULL, device_floats(32)); }
static void bad_grid() { LAUNCH(add_one, dim3(1, 65536), 32, 0, stream, device_floats(32)); }

static void free_twice()
{
    float *x = device_floats(4);
    cudaFree(x);
    cudaFree(x);
}

static void host_faults(void **)
{
    assert_true(dies(host_reads, NULL));
    assert_true(dies(host_writes, NULL));
    assert_true(dies(host_pointer, "no device memory"));
    assert_true(dies(copy_too_long, "of an allocation of 400 bytes"));
    assert_true(dies(copy_of_wrong_kind, "no device memory"));
    assert_true(dies(default_stream, "no stream"));
    assert_true(dies(bad_grid, "a grid of"));
    assert_true(dies(free_twice, "was not allocated"));
    assert_true(dies(spins_for_a_stream, "waits for a stream spins"));
    assert_true(dies(spins_for_an_event, "waits for an event spins"));
}

static float *recorded; /* by the stream */

static void begin_recording()
{
    recorded = device_floats(32);
    cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
}

static cudaGraphExec_t end_recording()
{
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    assert_int_equal(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    assert_int_equal(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
    cudaGraphDestroy(graph);
    return exec;
}

static void waits_recording()
{
    begin_recording();
    finish();
}

static void allocates_recording()
{
    begin_recording();
    device_floats(4);
}

static void waits_for_another_stream()
{
    cudaEvent_t event;
    cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
    LAUNCH(add_one, 1, 32, 0, other, device_floats(32));
    cudaEventRecord(event, other);
    begin_recording();
    cudaStreamWaitEvent(stream, event, 0);
}

static void copies_recording()
{
    static float host[32];
    begin_recording();
    cudaMemcpyAsync(recorded, host, sizeof host, cudaMemcpyHostToDevice, stream);
}

static void destroyed_too_early()
{
    begin_recording();
    LAUNCH(add_one, 1, 32, 0, stream, recorded);
    cudaGraphExec_t exec = end_recording();
    cudaGraphLaunch(exec, stream);
    cudaGraphExecDestroy(exec);
}

/* What is recorded does not run; it runs as often as it is launched. */
static void recordings(void **)
{
    float host[32];
    int alive = emulation_alive();
    assert_true(dies(waits_recording, "cudaStreamSynchronize while a stream records"));
    assert_true(dies(allocates_recording, "cudaMalloc while a stream records"));
    assert_true(dies(waits_for_another_stream, "another stream while a stream records"));
    assert_true(dies(copies_recording, "in a graph"));
    assert_true(dies(destroyed_too_early, "still runs"));
    begin_recording();
    LAUNCH(add_one, 1, 32, 0, stream, recorded);
    cudaGraphExec_t exec = end_recording();
    cudaMemsetAsync(recorded, 0, sizeof host, stream);
    for (int i = 0; i < 3; i++)
        cudaGraphLaunch(exec, stream);
    cudaMemcpyAsync(host, recorded, sizeof host, cudaMemcpyDeviceToHost, stream);
    finish();
    for (int i = 0; i < 32; i++)
        assert_true(host[i] == 3);
    cudaGraphExecDestroy(exec);
    cudaFree(recorded);
    assert_int_equal(emulation_alive(), alive);
}

/* One stream fills x with 1s, the other reads it: right only where an event orders them. */
static bool ordered_right(emulation_order order, bool event_between)
{
    static float host[32];
    float *x = device_floats(32);
    cudaEvent_t event;
    cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
    cudaHostRegister(host, sizeof host, cudaHostRegisterDefault);
    emulation_set_order(order, 3);
    cudaMemsetAsync(x, 0, sizeof host, stream);
    LAUNCH(add_one, 1, 32, 0, stream, x);
    cudaEventRecord(event, stream);
    if (event_between)
        cudaStreamWaitEvent(other, event, 0);
    cudaMemcpyAsync(host, x, sizeof host, cudaMemcpyDeviceToHost, other);
    cudaStreamSynchronize(other);
    emulation_set_order(EMULATION_FORWARD, 0);
    cudaHostUnregister(host);
    cudaEventDestroy(event);
    cudaFree(x);
    for (int i = 0; i < 32; i++)
        if (host[i] != 1)
            return false;
    return true;
}

static void missing_event(void **)
{
    assert_true(ordered_right(EMULATION_FORWARD, true));
    assert_true(ordered_right(EMULATION_REVERSE, true));
    assert_true(ordered_right(EMULATION_RANDOM, true));
    assert_false(ordered_right(EMULATION_FORWARD, false));
    assert_true(ordered_right(EMULATION_REVERSE, false)); /* by luck */
}

/* Host memory that a copy still reads or writes must be left alone until somebody has waited. */
static void missing_wait(void **)
{
    static float host[32];
    float *x = device_floats(32);
    cudaHostRegister(host, sizeof host, cudaHostRegisterDefault);
    host[0] = 1;
    cudaMemcpyAsync(x, host, sizeof host, cudaMemcpyHostToDevice, stream);
    host[0] = 2; /* too early */
    LAUNCH(add_one, 1, 32, 0, stream, x);
    cudaMemcpyAsync(host, x, sizeof host, cudaMemcpyDeviceToHost, stream);
    assert_true(host[0] == 2); /* nothing has arrived yet */
    finish();
    assert_true(host[0] == 3); /* and the 2 went up */
    cudaHostUnregister(host);
    long unpinned = emulation_unpinned();
    cudaMemcpyAsync(x, host, sizeof host, cudaMemcpyHostToDevice, stream);
    assert_int_equal(emulation_unpinned(), unpinned + 1);
    cudaFree(x);
}

static void failing_calls(void **)
{
    void *memory;
    emulation_fail_call(2);
    float *x = device_floats(32);
    assert_int_equal(cudaMalloc(&memory, 4), cudaErrorMemoryAllocation);
    assert_int_equal(cudaGetLastError(), cudaErrorMemoryAllocation);
    emulation_fail_call(1);
    LAUNCH(add_one, 1, 32, 0, stream, x);
    assert_int_equal(cudaGetLastError(), cudaErrorLaunchOutOfResources);
    assert_int_equal(cudaGetLastError(), cudaSuccess);
    int alive = emulation_alive();
    cudaFree(x);
    assert_int_equal(emulation_alive(), alive - 1);
}

int main()
{
    if (cudaSetDeviceFlags(cudaDeviceScheduleBlockingSync) != cudaSuccess ||
        cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess ||
        cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking) != cudaSuccess)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_out_of_bounds),
        cmocka_unit_test(divergent_barriers),
        cmocka_unit_test(missing_barrier),
        cmocka_unit_test(warp_sums),
        cmocka_unit_test(host_faults),
        cmocka_unit_test(missing_event),
        cmocka_unit_test(missing_wait),
        cmocka_unit_test(failing_calls),
        cmocka_unit_test(recordings),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    cudaStreamDestroy(stream);
    cudaStreamDestroy(other);
    return failed;
}
