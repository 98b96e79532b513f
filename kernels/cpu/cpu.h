/* cpu.h: what the files of the CPU device share. Private to kernels/cpu. */
#ifndef SB_KERNELS_CPU_H
#define SB_KERNELS_CPU_H

#include <dnnl.h>

#include "kernels/bf16.h"
#include "kernels/device.h"

typedef struct {
    sb_device base;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
} sb_cpu;

/* Rows of a reduction that one partial sum covers. Partial sums are made in parallel and added in order of their blocks, so the
 * result depends on the shape alone and not on the number of threads. */
#define SB_CPU_BLOCK 256

static inline float sb_cpu_load(const void *x, sb_type type, size_t i)
{
    return type == SB_F32 ? ((const float *)x)[i] : sb_from_bf16(((const uint16_t *)x)[i]);
}

static inline void sb_cpu_store(void *x, sb_type type, size_t i, float value)
{
    if (type == SB_F32)
        ((float *)x)[i] = value;
    else
        ((uint16_t *)x)[i] = sb_to_bf16(value);
}

/* Rows -> f32 and back, for kernels that work on a row at a time; `type` is a constant where it is inlined. */
static inline void sb_cpu_load_row(const void *x, sb_type type, size_t at, int count, float *out)
{
    if (type == SB_F32) {
        const float *from = (const float *)x + at;
#pragma omp simd
        for (int i = 0; i < count; i++)
            out[i] = from[i];
    } else {
        const uint16_t *from = (const uint16_t *)x + at;
#pragma omp simd
        for (int i = 0; i < count; i++)
            out[i] = sb_from_bf16(from[i]);
    }
}

static inline void sb_cpu_store_row(void *x, sb_type type, size_t at, int count, const float *row)
{
    if (type == SB_F32) {
        float *to = (float *)x + at;
#pragma omp simd
        for (int i = 0; i < count; i++)
            to[i] = row[i];
    } else {
        uint16_t *to = (uint16_t *)x + at;
#pragma omp simd
        for (int i = 0; i < count; i++)
            to[i] = sb_to_bf16(row[i]);
    }
}

int sb_cpu_conv_create(sb_device *device, const sb_conv_shape *shape, sb_conv **out);
void sb_cpu_conv_destroy(sb_device *device, sb_conv *conv);
size_t sb_cpu_conv_packed(const sb_conv *conv);
size_t sb_cpu_conv_scratch(const sb_conv *conv);
int sb_cpu_conv_pack(sb_device *device, sb_conv *conv, const float *weight, void *packed, void *scratch);
int sb_cpu_conv_forward(sb_device *device, sb_conv *conv, const void *x, const void *packed, void *y, void *scratch);
int sb_cpu_conv_backward_data(sb_device *device, sb_conv *conv, const void *dy, const void *packed, void *dx, void *scratch);
int sb_cpu_conv_backward_weight(sb_device *device, sb_conv *conv, const void *x, const void *dy, float *dweight, bool accumulate,
                                void *scratch);

size_t sb_cpu_norm_scratch(sb_device *device, const sb_norm_shape *shape);
int sb_cpu_norm_forward(sb_device *device, const sb_norm_shape *shape, const void *x, const void *residual, const float *gamma,
                        const float *beta, void *y, float *mean, float *variance, void *scratch);
int sb_cpu_norm_apply(sb_device *device, const sb_norm_shape *shape, const void *x, const void *residual, const float *gamma,
                      const float *beta, const float *mean, const float *variance, void *y, void *scratch);
int sb_cpu_norm_backward(sb_device *device, const sb_norm_shape *shape, const void *x, const void *y, const void *dy,
                         const void *dy_more, const float *gamma, const float *beta, const float *mean, const float *variance, void *dx,
                         void *dresidual, float *dgamma, float *dbeta, bool accumulate, void *scratch);
int sb_cpu_norm_running(sb_device *device, int channels, int rows, float momentum, const float *mean, const float *variance,
                        float *running_mean, float *running_variance);

int sb_cpu_maxpool_forward(sb_device *device, const sb_pool_shape *shape, const void *x, void *y, uint8_t *argmax);
int sb_cpu_maxpool_backward(sb_device *device, const sb_pool_shape *shape, const uint8_t *argmax, const void *dy, const void *dy_more,
                            void *dx);
int sb_cpu_avgpool_forward(sb_device *device, const sb_pool_shape *shape, const void *x, float *y);
int sb_cpu_avgpool_backward(sb_device *device, const sb_pool_shape *shape, const float *dy, void *dx);

int sb_cpu_input(sb_device *device, int n, int side, int c, const uint8_t *pixels, const float *mean, const float *std, sb_type type,
                 void *x);

int sb_cpu_matmul(sb_device *device, bool transpose_a, bool transpose_b, int m, int n, int k, float alpha, const float *a,
                  const float *b, float beta, float *c);

int sb_cpu_bias_add(sb_device *device, int rows, int columns, const float *bias, float *x);
int sb_cpu_column_sum(sb_device *device, int rows, int columns, const float *x, float *out, bool accumulate);
int sb_cpu_relu_forward(sb_device *device, size_t count, const float *x, float *y);
int sb_cpu_relu_backward(sb_device *device, size_t count, const float *y, const float *dy, float *dx);
int sb_cpu_axpy(sb_device *device, size_t count, float alpha, const float *x, float *y);
int sb_cpu_axpy_rows(sb_device *device, int rows, int columns, float alpha, const float *factor, const float *x, float *y);
int sb_cpu_logistic(sb_device *device, size_t count, const float *x, float *softplus, float *sigmoid);
int sb_cpu_row_dot(sb_device *device, int rows, int columns, const float *a, const float *b, float *out);
int sb_cpu_rownorm_forward(sb_device *device, int rows, int columns, const float *x, float *z, float *norm);
int sb_cpu_rownorm_backward(sb_device *device, int rows, int columns, const float *z, const float *norm, const float *dz, float *dx);

int sb_cpu_similarity_lse(sb_device *device, const sb_similarity_shape *shape, const float *z, const uint8_t *skip, float *lse);
int sb_cpu_similarity_gradient(sb_device *device, const sb_similarity_shape *shape, const float *z, const uint8_t *skip,
                               const float *lse, float scale, float *dz);

int sb_cpu_update_create(sb_device *device, const sb_parameter *parameters, int count, sb_update **out);
void sb_cpu_update_destroy(sb_device *device, sb_update *update);
int sb_cpu_update_run(sb_device *device, sb_update *update, const sb_update_values *values);

size_t sb_cpu_view_scratch(sb_device *device, int tile_width, int tile_height, int channels, int max_size, int count);
int sb_cpu_view(sb_device *device, const uint8_t *tile, int tile_width, int tile_height, int channels, const sb_view_params *params,
                int count, uint8_t *const *out, void *scratch);

#endif
