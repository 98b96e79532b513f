/* cuda.h: what the files of the CUDA device share. Private to kernels/cuda. */
#ifndef SB_KERNELS_CUDA_H
#define SB_KERNELS_CUDA_H

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif
#include "kernels/device.h"
#include "kernels/shapes.h"
#include "proto/error.h"

typedef struct sb_cuda_pinned {
    void *host;
    struct sb_cuda_pinned *next;
} sb_cuda_pinned;

typedef struct sb_cuda_planner sb_cuda_planner;

typedef struct {
    sb_device base;
    cudaStream_t stream[3];    /* by sb_stream */
    cudaEvent_t mark[SB_MARKS];
    cudaEvent_t passed;        /* `order` records it and has the later stream wait for it, again and again */
    cublasHandle_t blas;       /* NULL until `available` or the first matrix product: augment has none */
    void *blas_workspace;
    sb_cuda_planner *planner;  /* plan.h; NULL until the first convolution is planned */
    sb_cuda_pinned *pinned;    /* what `pin` registered */
} sb_cuda;

static inline cudaStream_t sb_cuda_compute(sb_device *device) { return ((sb_cuda *)device)->stream[SB_STREAM_COMPUTE]; }

/* Bytes rounded up to what alloc aligns to. */
static inline size_t sb_cuda_align(size_t bytes) { return (bytes + 255) / 256 * 256; }

/* 0; else what CUDA says of `what` and what to do about it, and SB_DEVICE_FULL where memory is missing, -1 for all else. */
int sb_cuda_check(cudaError_t status, const char *what);

/* To be called after a LAUNCH: -1 where it was refused. Faults inside a kernel come out of a later `wait`. */
int sb_cuda_launched(const char *kernel);

int sb_cuda_conv_create(sb_device *device, const sb_conv_shape *shape, sb_conv **out);
void sb_cuda_conv_destroy(sb_device *device, sb_conv *conv);
size_t sb_cuda_conv_packed(const sb_conv *conv);
size_t sb_cuda_conv_scratch(const sb_conv *conv);
int sb_cuda_conv_pack(sb_device *device, sb_conv *conv, const float *weight, void *packed, void *scratch);
int sb_cuda_conv_forward(sb_device *device, sb_conv *conv, const void *x, const void *packed, void *y, void *scratch);
int sb_cuda_conv_backward_data(sb_device *device, sb_conv *conv, const void *dy, const void *packed, void *dx, void *scratch);
int sb_cuda_conv_backward_weight(sb_device *device, sb_conv *conv, const void *x, const void *dy, float *dweight, bool accumulate,
                                 void *scratch);

size_t sb_cuda_norm_scratch(sb_device *device, const sb_norm_shape *shape);
int sb_cuda_norm_forward(sb_device *device, const sb_norm_shape *shape, const void *x, const void *residual, const float *gamma,
                         const float *beta, void *y, float *mean, float *variance, void *scratch);
int sb_cuda_norm_apply(sb_device *device, const sb_norm_shape *shape, const void *x, const void *residual, const float *gamma,
                       const float *beta, const float *mean, const float *variance, void *y, void *scratch);
int sb_cuda_norm_backward(sb_device *device, const sb_norm_shape *shape, const void *x, const void *y, const void *dy,
                          const void *dy_more, const float *gamma, const float *beta, const float *mean, const float *variance,
                          void *dx, void *dresidual, float *dgamma, float *dbeta, bool accumulate, void *scratch);
int sb_cuda_norm_running(sb_device *device, int channels, int rows, float momentum, const float *mean, const float *variance,
                         float *running_mean, float *running_variance);

int sb_cuda_maxpool_forward(sb_device *device, const sb_pool_shape *shape, const void *x, void *y, uint8_t *argmax);
int sb_cuda_maxpool_backward(sb_device *device, const sb_pool_shape *shape, const uint8_t *argmax, const void *dy, const void *dy_more,
                             void *dx);
int sb_cuda_avgpool_forward(sb_device *device, const sb_pool_shape *shape, const void *x, float *y);
int sb_cuda_avgpool_backward(sb_device *device, const sb_pool_shape *shape, const float *dy, void *dx);

int sb_cuda_input(sb_device *device, int n, int side, int c, const uint8_t *pixels, const float *mean, const float *std, sb_type type,
                  void *x);

/* Starts cuBLAS, unless it was. */
int sb_cuda_blas_start(sb_cuda *cuda);
int sb_cuda_matmul(sb_device *device, bool transpose_a, bool transpose_b, int m, int n, int k, float alpha, const float *a,
                   const float *b, float beta, float *c);

int sb_cuda_bias_add(sb_device *device, int rows, int columns, const float *bias, float *x);
int sb_cuda_column_sum(sb_device *device, int rows, int columns, const float *x, float *out, bool accumulate);
int sb_cuda_relu_forward(sb_device *device, size_t count, const float *x, float *y);
int sb_cuda_relu_backward(sb_device *device, size_t count, const float *y, const float *dy, float *dx);
int sb_cuda_axpy(sb_device *device, size_t count, float alpha, const float *x, float *y);
int sb_cuda_axpy_rows(sb_device *device, int rows, int columns, float alpha, const float *factor, const float *x, float *y);
int sb_cuda_row_dot(sb_device *device, int rows, int columns, const float *a, const float *b, float *out);
int sb_cuda_logistic(sb_device *device, size_t count, const float *x, float *softplus, float *sigmoid);
int sb_cuda_rownorm_forward(sb_device *device, int rows, int columns, const float *x, float *z, float *norm);
int sb_cuda_rownorm_backward(sb_device *device, int rows, int columns, const float *z, const float *norm, const float *dz, float *dx);

int sb_cuda_similarity_lse(sb_device *device, const sb_similarity_shape *shape, const float *z, const uint8_t *skip, float *lse);
int sb_cuda_similarity_gradient(sb_device *device, const sb_similarity_shape *shape, const float *z, const uint8_t *skip,
                                const float *lse, float scale, float *dz);

int sb_cuda_update_create(sb_device *device, const sb_parameter *parameters, int count, sb_update **out);
void sb_cuda_update_destroy(sb_device *device, sb_update *update);
int sb_cuda_update_run(sb_device *device, sb_update *update, const sb_update_values *values);

size_t sb_cuda_view_scratch(sb_device *device, int tile_width, int tile_height, int channels, int max_size, int count);
int sb_cuda_view(sb_device *device, const uint8_t *tile, int tile_width, int tile_height, int channels, const sb_view_params *params,
                 int count, uint8_t *const *out, void *scratch);

#ifdef __cplusplus
}
#endif

#endif
