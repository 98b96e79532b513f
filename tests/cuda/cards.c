/* cards.c: see cards.h. The property's keys are those that cuDNN 9.19 asks for. */
#include "tests/cuda/cards.h"

#include <stdio.h>
#include <string.h>

#include "kernels/cuda/graph.h"
#include "proto/error.h"

/* NVIDIA's architecture whitepapers and product pages; threads, blocks and shared memory by capability:
 * CUDA's programming guide. */
const sb_card sb_cards[SB_CARDS] = {
    /*                           sm, SMs, threads, blocks, shared, reserved, memory, cache, clock, memory's */
    { "GeForce RTX 2080", 75, 46, 1024, 16, 65536, 0, 8192, 4, 1710, 7000 },
    { "GeForce RTX 3060", 86, 28, 1536, 16, 101376, 1024, 12288, 3, 1777, 7501 },
    { "GeForce RTX 4060 Laptop", 89, 24, 1536, 24, 101376, 1024, 8192, 32, 2370, 8001 },
    { "GeForce RTX 4090", 89, 128, 1536, 24, 101376, 1024, 24576, 72, 2520, 10501 },
    { "H100 80GB HBM3", 90, 132, 2048, 32, 232448, 1024, 81920, 50, 1980, 2619 },
    { "GeForce RTX 5090", 120, 170, 1536, 24, 101376, 1024, 32768, 96, 2407, 14001 },
};

static cudnnBackendDescriptor_t property;

cudnnStatus_t __real_cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                              cudnnBackendAttributeName_t name,
                                              cudnnBackendAttributeType_t type, int64_t count,
                                              const void *values);
cudnnStatus_t __wrap_cudnnCreate(cudnnHandle_t *out);
cudnnStatus_t __wrap_cudnnDestroy(cudnnHandle_t handle);
cudnnStatus_t __wrap_cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream);
cudnnStatus_t __wrap_cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                         cudnnBackendDescriptor_t arguments);
cudnnStatus_t __wrap_cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                              cudnnBackendAttributeName_t name,
                                              cudnnBackendAttributeType_t type, int64_t count,
                                              const void *values);

int sb_card_use(const sb_card *c)
{
    char text[1024];
    snprintf(text, sizeof text,
             "{\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64],"
             "\"maxThreadsPerBlock\":1024,\"warpSize\":32,"
             "\"regsPerBlock\":65536,\"maxRegistersPerSM\":65536,\"maxSharedMemoryPerBlock\":49152,"
             "\"supportCoopLaunch\":1,\"isTccDriver\":0,"
             "\"pciDeviceId\":0,\"cudaDeviceId\":0,\"driverVer\":13000,\"deviceVer\":%d,\"deviceName\":"
             "\"NVIDIA %s\","
             "\"multiProcessorCount\":%d,\"maxThreadsPerSM\":%d,\"maxCtasPerSM\":%d,"
             "\"maxSharedMemoryPerBlockOptin\":%d,"
             "\"reservedSharedMemoryPerBlock\":%d,\"totalGlobalMem\":%lld,\"l2CacheSize\":%lld,"
             "\"smClockRateKHz\":%d,\"memClockRateKHz\":%d}",
             10 * c->capability, c->name, c->processors, c->threads, c->blocks, c->shared, c->reserved,
             (long long)c->memory << 20, (long long)c->cache << 20, 1000 * c->clock, 1000 * c->memory_clock);
    sb_cuda_dnn_destroy(&property);
    if (sb_cuda_dnn_create(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &property) != 0 ||
        sb_cuda_dnn_check(__real_cudnnBackendSetAttribute(property, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                                                          CUDNN_TYPE_CHAR, (int64_t)strlen(text), text),
                          c->name) != 0)
        return -1;
    return sb_cuda_dnn_check(cudnnBackendFinalize(property), c->name);
}

cudnnStatus_t __wrap_cudnnCreate(cudnnHandle_t *out)
{
    static int handle;
    *out = (void *)&handle;
    return property || sb_card_use(&sb_cards[SB_CARDS - 1]) == 0 ? CUDNN_STATUS_SUCCESS
                                                                 : CUDNN_STATUS_NOT_INITIALIZED;
}

cudnnStatus_t __wrap_cudnnDestroy(cudnnHandle_t handle) { return (void)handle, CUDNN_STATUS_SUCCESS; }

cudnnStatus_t __wrap_cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream)
{
    return (void)handle, (void)stream, CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t __wrap_cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                         cudnnBackendDescriptor_t arguments)
{
    return (void)handle, (void)plan, (void)arguments, CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t __wrap_cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                              cudnnBackendAttributeName_t name,
                                              cudnnBackendAttributeType_t type, int64_t count,
                                              const void *values)
{
    if (name == CUDNN_ATTR_OPERATIONGRAPH_HANDLE)
        return CUDNN_STATUS_SUCCESS;
    if (name == CUDNN_ATTR_EXECUTION_PLAN_HANDLE)
        return __real_cudnnBackendSetAttribute(descriptor, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP,
                                               CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &property);
    cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
    if (name == CUDNN_ATTR_ENGINEHEUR_MODE)
        status = __real_cudnnBackendSetAttribute(descriptor, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP,
                                                 CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &property);
    return status == CUDNN_STATUS_SUCCESS
               ? __real_cudnnBackendSetAttribute(descriptor, name, type, count, values)
               : status;
}
