/* device.c: the CUDA device: opening, memory, transfers, recordings, and the table. Built into the plug-in
 * build/sb_cuda.so (kernels/open.c).
 *
 * Three streams by sb_stream; everything that computes is on the first. Nothing here waits for the device but
 * `wait`, `wait_mark`, and what frees. */
#include "kernels/cuda/device.h"

#include <stdio.h>
#include <stdlib.h>

#include "kernels/cuda/plan.h"
#include "kernels/cuda/blas.h"
#include "kernels/plugin.h"

/* The oldest GPUs that the plug-in has code for. */
#define CAPABILITY_LEAST 75

/* Left free of a GPU's memory: augment opens a context of its own on it (100 to 430 MiB by published
 * figures), kernels are loaded when they first run, recordings take some, and what is allocated is rounded
 * up. */
#define RESERVE_LEAST ((size_t)256 << 20)
#define RESERVE_PERCENT 4

static const char *what_to_do(cudaError_t status)
{
    switch (status) {
    case cudaErrorMemoryAllocation: return "; end what else uses the GPU (nvidia-smi)";
    case cudaErrorNoDevice: return "; there is no GPU: device: cpu";
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorUnsupportedPtxVersion:
        return "; the plug-in has no code for this GPU: build it with `make cuda`, with a toolkit that knows "
               "it";
    case cudaErrorDevicesUnavailable:
        return "; another process holds the GPU alone (compute mode in nvidia-smi)";
    case cudaErrorLaunchFailure:
    case cudaErrorIllegalAddress:
    case cudaErrorECCUncorrectable:
    case cudaErrorHardwareStackError:
        return "; the device is lost to this process: ./run resume goes on from the last checkpoint";
    default: return "";
    }
}

int sb_cuda_check(cudaError_t status, const char *what)
{
    if (status == cudaSuccess)
        return 0;
    cudaGetLastError(); /* it is reported here, not once more by the next launch */
    sb_fail("%s: %s%s", what, cudaGetErrorString(status), what_to_do(status));
    return status == cudaErrorMemoryAllocation ? SB_DEVICE_FULL : -1;
}

int sb_cuda_launched(const char *kernel) { return sb_cuda_check(cudaGetLastError(), kernel); }

/* ---- memory and transfers ------------------------------------------------------------------------------ */

static int cuda_available(sb_device *device, size_t *bytes)
{
    size_t available, total;
    if (sb_cuda_blas_start((sb_cuda *)device) != 0 || sb_cuda_planner_start((sb_cuda *)device) != 0 ||
        sb_cuda_check(cudaMemGetInfo(&available, &total), "how much memory is free") != 0)
        return -1;
    size_t reserve = total / 100 * RESERVE_PERCENT > RESERVE_LEAST ? total / 100 * RESERVE_PERCENT
                                                                   : RESERVE_LEAST;
    *bytes = available > reserve ? available - reserve : 0;
    return 0;
}

static int cuda_alloc(sb_device *device, size_t bytes, void **out)
{
    (void)device;
    char what[96];
    size_t available = 0, total = 0;
    cudaError_t status = cudaMalloc(out, bytes > 0 ? bytes : 1);
    if (status == cudaSuccess)
        return 0;
    *out = NULL;
    if (cudaMemGetInfo(&available, &total) != cudaSuccess)
        available = total = 0;
    snprintf(what, sizeof what, "%zu MiB of device memory (%zu of %zu MiB are free)", bytes >> 20,
             available >> 20, total >> 20);
    return sb_cuda_check(status, what);
}

static void cuda_release(sb_device *device, void *memory)
{
    (void)device;
    cudaFree(memory);
}

static int cuda_pin(sb_device *device, void *host, size_t bytes)
{
    sb_cuda *cuda = (sb_cuda *)device;
    sb_cuda_pinned *p = sb_zeroed(1, sizeof *p, "the list of pinned memory");
    if (!p)
        return -1;
    char what[64];
    snprintf(what, sizeof what, "registering %zu MiB of host memory", bytes >> 20);
    if (sb_cuda_check(cudaHostRegister(host, bytes, cudaHostRegisterDefault), what) != 0) {
        free(p);
        return -1;
    }
    *p = (sb_cuda_pinned){ .host = host, .next = cuda->pinned };
    cuda->pinned = p;
    return 0;
}

static int cuda_copy(sb_device *device, sb_stream stream, void *to, const void *from, size_t bytes,
                     sb_direction direction)
{
    static const enum cudaMemcpyKind kinds[] = { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost,
                                                 cudaMemcpyDeviceToDevice };
    return sb_cuda_check(
        cudaMemcpyAsync(to, from, bytes, kinds[direction], ((sb_cuda *)device)->stream[stream]), "a copy");
}

static int cuda_zero(sb_device *device, void *memory, size_t bytes)
{
    return sb_cuda_check(cudaMemsetAsync(memory, 0, bytes, sb_cuda_compute(device)), "zeroing");
}

static int cuda_order(sb_device *device, sb_stream later, sb_stream earlier)
{
    sb_cuda *cuda = (sb_cuda *)device;
    if (sb_cuda_check(cudaEventRecord(cuda->passed, cuda->stream[earlier]), "ordering streams") != 0)
        return -1;
    return sb_cuda_check(cudaStreamWaitEvent(cuda->stream[later], cuda->passed, 0), "ordering streams");
}

static int cuda_wait(sb_device *device, sb_stream stream)
{
    return sb_cuda_check(cudaStreamSynchronize(((sb_cuda *)device)->stream[stream]),
                         "waiting for the device");
}

static int cuda_mark(sb_device *device, sb_stream stream, int mark)
{
    sb_cuda *cuda = (sb_cuda *)device;
    return sb_cuda_check(cudaEventRecord(cuda->mark[mark], cuda->stream[stream]), "marking a stream");
}

static int cuda_wait_mark(sb_device *device, int mark)
{
    return sb_cuda_check(cudaEventSynchronize(((sb_cuda *)device)->mark[mark]), "waiting for the device");
}

/* ---- recording ----------------------------------------------------------------------------------------- */

/* A recording is an executable graph. cuBLAS is given a workspace (blas.c): without one it would allocate
 * while it is recorded. */
static int cuda_record(sb_device *device)
{
    return sb_cuda_check(cudaStreamBeginCapture(sb_cuda_compute(device), cudaStreamCaptureModeThreadLocal),
                         "recording");
}

/* What the graph takes of the device's memory is taken here, and not when it is launched first. */
static int cuda_recorded(sb_device *device, sb_recording **out)
{
    cudaGraph_t graph = NULL;
    cudaGraphExec_t recording = NULL;
    int rc = sb_cuda_check(cudaStreamEndCapture(sb_cuda_compute(device), &graph), "recording");
    if (rc == 0)
        rc = sb_cuda_check(cudaGraphInstantiate(&recording, graph, 0), "a graph of what was recorded");
    if (rc == 0)
        rc = sb_cuda_check(cudaGraphUpload(recording, sb_cuda_compute(device)), "uploading a graph");
    if (rc != 0 && recording)
        cudaGraphExecDestroy(recording);
    if (graph)
        cudaGraphDestroy(graph);
    *out = rc == 0 ? (sb_recording *)recording : NULL;
    return rc;
}

static int cuda_replay(sb_device *device, sb_recording *recording)
{
    return sb_cuda_check(cudaGraphLaunch((cudaGraphExec_t)recording, sb_cuda_compute(device)),
                         "launching a graph");
}

static void cuda_forget(sb_device *device, sb_recording *recording)
{
    cudaStreamSynchronize(sb_cuda_compute(device));
    cudaGraphExecDestroy((cudaGraphExec_t)recording);
}

/* ---- opening ------------------------------------------------------------------------------------------- */

static void close_cuda(sb_device *device)
{
    sb_cuda *cuda = (sb_cuda *)device;
    for (int i = 0; i < 3; i++)
        if (cuda->stream[i])
            cudaStreamSynchronize(cuda->stream[i]);
    sb_cuda_planner_close(cuda->planner);
    if (cuda->blas)
        cublasDestroy(cuda->blas);
    cudaFree(cuda->blas_workspace);
    while (cuda->pinned) {
        sb_cuda_pinned *p = cuda->pinned;
        cuda->pinned = p->next;
        cudaHostUnregister(p->host);
        free(p);
    }
    for (int i = 0; i < SB_MARKS; i++)
        if (cuda->mark[i])
            cudaEventDestroy(cuda->mark[i]);
    if (cuda->passed)
        cudaEventDestroy(cuda->passed);
    for (int i = 0; i < 3; i++)
        if (cuda->stream[i])
            cudaStreamDestroy(cuda->stream[i]);
    free(cuda);
}

static int describe(sb_cuda *cuda)
{
    struct cudaDeviceProp gpu;
    int driver = 0, runtime = 0;
    if (sb_cuda_check(cudaGetDeviceProperties(&gpu, 0), "asking the GPU what it is") != 0 ||
        sb_cuda_check(cudaDriverGetVersion(&driver), "the driver's version") != 0 ||
        sb_cuda_check(cudaRuntimeGetVersion(&runtime), "the runtime's version") != 0)
        return -1;
    if (10 * gpu.major + gpu.minor < CAPABILITY_LEAST)
        return sb_fail("%s has compute capability %d.%d, and %d.%d is the least that CUDA %d supports",
                       gpu.name, gpu.major, gpu.minor, CAPABILITY_LEAST / 10, CAPABILITY_LEAST % 10,
                       runtime / 1000);
    cuda->base.bf16 = cuda->base.tf32 = gpu.major >= 8;
    cuda->base.f16 = true;
    cuda->base.usual = cuda->base.bf16 ? SB_BF16 : SB_F32;
    cuda->memory = gpu.totalGlobalMem;
    snprintf(cuda->base.description, sizeof cuda->base.description,
             "%.64s (sm_%d%d, %zu MiB), CUDA %d.%d, driver for %d.%d, %s", gpu.name, gpu.major, gpu.minor,
             gpu.totalGlobalMem >> 20, runtime / 1000, runtime % 1000 / 10, driver / 1000, driver % 1000 / 10,
             cuda->base.bf16 ? "bf16 native" : "f16 native, no bf16");
    return 0;
}

static int look_for_gpu(void)
{
    int count = 0, driver = 0, runtime = 0;
    if (sb_cuda_check(cudaDriverGetVersion(&driver), "the driver's version") != 0 ||
        sb_cuda_check(cudaRuntimeGetVersion(&runtime), "the runtime's version") != 0)
        return -1;
    if (driver == 0)
        return sb_fail("there is no NVIDIA driver on this machine");
    cudaError_t status = cudaGetDeviceCount(&count);
    if (status == cudaErrorInsufficientDriver)
        return sb_fail("the driver is for CUDA %d.%d and older than the toolkit, CUDA %d.%d: update the "
                       "driver, or build the plug-in with a toolkit of "
                       "CUDA %d (`make cuda CUDA=FOLDER`)",
                       driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10, driver / 1000);
    if (sb_cuda_check(status, "looking for a GPU") != 0)
        return -1;
    return count > 0 ? 0 : sb_fail("there is no GPU");
}

static int start(sb_cuda *cuda)
{
    /* As nvidia-smi counts; by itself CUDA has the fastest first. Read when CUDA starts, that is, below. */
    if (setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID", 0) != 0)
        return sb_fail_errno("setting CUDA_DEVICE_ORDER");
    if (look_for_gpu() != 0)
        return -1;
    /* A host that waits sleeps: a step takes longer than waking up, and loaders want the core. */
    int taken = sb_cuda_check(cudaSetDeviceFlags(cudaDeviceScheduleBlockingSync), "taking the GPU");
    if (taken == 0)
        taken = sb_cuda_check(cudaSetDevice(0), "taking the GPU");
    if (taken != 0)
        return taken;
    if (describe(cuda) != 0)
        return -1;
    for (int i = 0; i < 3; i++)
        if (sb_cuda_check(cudaStreamCreateWithFlags(&cuda->stream[i], cudaStreamNonBlocking),
                          "making a stream") != 0)
            return -1;
    for (int i = 0; i < SB_MARKS; i++)
        if (sb_cuda_check(
                cudaEventCreateWithFlags(&cuda->mark[i], cudaEventDisableTiming | cudaEventBlockingSync),
                "making an event") != 0)
            return -1;
    return sb_cuda_check(cudaEventCreateWithFlags(&cuda->passed, cudaEventDisableTiming), "making an event");
}

const sb_plugin_form *sb_device_form(void) { return &sb_plugin_built_with; }

#define SB_OP(NAME, name) extern const sb_kernel sb_cuda_##name;
#include "kernels/ops.def"
#undef SB_OP

#define SB_OP(NAME, name) [SB_OP_##NAME] = &sb_cuda_##name,
static const sb_kernel *const kernels[SB_OPS] = {
#include "kernels/ops.def"
};

int sb_device_cuda(sb_device **out)
{
    sb_cuda *cuda = sb_zeroed(1, sizeof *cuda, "a device");
    if (!cuda)
        return -1;
    cuda->base = (sb_device){
        .kernels = kernels,
        .close = close_cuda,
        .available = cuda_available,
        .alloc = cuda_alloc,
        .release = cuda_release,
        .pin = cuda_pin,
        .copy = cuda_copy,
        .zero = cuda_zero,
        .order = cuda_order,
        .wait = cuda_wait,
        .mark = cuda_mark,
        .wait_mark = cuda_wait_mark,
        .record = cuda_record,
        .recorded = cuda_recorded,
        .replay = cuda_replay,
        .forget = cuda_forget,
    };
    int rc = start(cuda);
    if (rc != 0) {
        close_cuda(&cuda->base);
        return rc;
    }
    *out = &cuda->base;
    return 0;
}
