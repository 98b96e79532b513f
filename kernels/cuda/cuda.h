/* cuda.h: what the files of the CUDA device share. Private to kernels/cuda. */
#ifndef SB_KERNELS_CUDA_H
#define SB_KERNELS_CUDA_H

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif
#include "kernels/op.h"
#include "proto/error.h"
#include "proto/memory.h"

typedef struct sb_cuda_pinned {
    void *host;
    struct sb_cuda_pinned *next;
} sb_cuda_pinned;

typedef struct sb_cuda_planner sb_cuda_planner;

typedef struct {
    sb_device base;
    size_t memory;          /* bytes that the GPU has */
    cudaStream_t stream[3]; /* by sb_stream */
    cudaEvent_t mark[SB_MARKS];
    cudaEvent_t passed;  /* `order` records it and has the later stream wait for it, again and again */
    cublasHandle_t blas; /* NULL until `available` or the first matrix product: augment has none */
    bool blas_rounds;    /* as it was told: base.rounds */
    void *blas_workspace;
    sb_cuda_planner *planner; /* plan.h; NULL until `available` or the first convolution's plan */
    sb_cuda_pinned *pinned;   /* what `pin` registered */
} sb_cuda;

static inline cudaStream_t sb_cuda_compute(sb_device *device)
{
    return ((sb_cuda *)device)->stream[SB_STREAM_COMPUTE];
}

/* Bytes rounded up to what alloc aligns to. */
static inline size_t sb_cuda_align(size_t bytes) { return (bytes + 255) / 256 * 256; }

/* 0 on success. Else sb_error holds what CUDA says of `what` and what to do about it: SB_DEVICE_FULL where
 * memory is missing, -1 for all else. */
int sb_cuda_check(cudaError_t status, const char *what);

/* To be called after a LAUNCH: -1 where it was refused. Faults inside a kernel come out of a later `wait`. */
int sb_cuda_launched(const char *kernel);

#ifdef __cplusplus
}
#endif

#endif
