/* device.h: everything that augment, trainer and evaluator know of a device.
 *
 * DESIGN. A device is a table of functions. kernels/cpu (oneDNN, OpenMP) is the reference and is linked in; kernels/cuda is a
 * plug-in that is loaded when a GPU is there. Memory of a device is an address that only the device's own functions may touch
 * (`copy` moves bytes); pointer arithmetic on it is allowed, so that one arena can be carved. Operations run in order on the
 * compute stream; the other two streams exist so that a copy may overlap, and `order` and `wait` say what needs what.
 *
 * Conventions. Activations are NHWC, row-major, of type f32 or bf16. Weights, their gradients, statistics, optimiser state, and
 * everything behind the backbone (embeddings, heads, losses) are f32. Convolution weights are OIHW (the export's order) and are
 * packed once a step into the compute type. "accumulate" adds to what the output holds. Sums have a fixed order that depends only
 * on shapes and the thread count: the same call gives the same bytes. All functions return 0, or -1 with sb_error set.
 * Shapes are checked where an operation is created; what only takes a row count is checked by assertion of its caller's plan.
 *
 * Where nothing but memory is missing, `alloc` and what opens a device return SB_DEVICE_FULL in place of -1: whoever knows what the memory was
 * for can say what to lower. */
#ifndef SB_KERNELS_DEVICE_H
#define SB_KERNELS_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SB_DEVICE_FULL (-2)

typedef enum { SB_F32, SB_BF16 } sb_type;
static inline size_t sb_type_bytes(sb_type type) { return type == SB_F32 ? 4 : 2; }

typedef enum { SB_STREAM_COMPUTE, SB_STREAM_UPLOAD, SB_STREAM_DOWNLOAD } sb_stream;
typedef enum { SB_TO_DEVICE, SB_TO_HOST, SB_ON_DEVICE } sb_direction;
#define SB_MARKS 2

/* A square-kernel convolution without bias: x [n, h, w, in] -> y [n, (h + 2 pad - kernel) / stride + 1, ..., out]. */
typedef struct {
    int n, h, w, in, out;
    int kernel, stride, pad;
    sb_type type;       /* of x, y and the packed weights */
    bool data_gradient; /* false for the first layer: backward_data is never called */
} sb_conv_shape;
typedef struct sb_conv sb_conv; /* planned; owned by the device that made it */

/* Batch normalisation over rows = n h w of [rows, channels], then optionally + residual, then optionally ReLU. */
typedef struct {
    int rows, channels;
    sb_type type;
    bool residual, relu;
    float epsilon;
} sb_norm_shape;

/* Pooling of [n, h, w, c]. The max pool is 3 x 3, stride 2, pad 1: out side (h - 1) / 2 + 1. */
typedef struct {
    int n, h, w, c;
    sb_type type;
} sb_pool_shape;

/* Unit vectors z [views * samples, width]: row i is sample i mod samples. Which columns j of row i's sum are left out: j = i always;
 * the positives (other views of the same sample) if `no_positives`; and samples marked in `skip`. */
typedef struct {
    int samples, views, width;
    float temperature;
    bool no_positives;
} sb_similarity_shape;

/* One parameter tensor in an update. f32; the optimiser's state is 1 (SGD, LARS) or 2 (AdamW) arrays of `count`, array k at
 * state + k * state_stride. */
typedef struct {
    float *weight;
    float *gradient;
    float *state;
    size_t state_stride;
    size_t count;
    bool decayed; /* weight decay and LARS adaptation apply (matrices: yes; biases and norm scale and shift: no) */
} sb_parameter;

typedef enum { SB_UPDATE_SGD, SB_UPDATE_LARS, SB_UPDATE_ADAMW } sb_update_rule;
typedef struct {
    sb_update_rule rule;
    float lr, momentum, weight_decay;
    float trust;                  /* LARS: local lr = trust |w| / |g + wd w| (1 if either norm is 0) */
    double beta1, beta2;          /* AdamW; in f32, 1 - beta2 would keep five digits */
    float epsilon;
    int64_t step;                 /* AdamW's bias correction: 1 for the first */
} sb_update_values;
typedef struct sb_update sb_update; /* planned over a table of parameters */

/* Parameters of one view of a tile, drawn on the host (augment/view.h). Order of work: crop, resize, flip, jitter, grey, blur,
 * solarise; arithmetic f32 on [0, 1] with torchvision's formulas and clamps; rounded to 8 bits once, at the write. */
typedef struct {
    int left, top, width, height; /* the crop, in pixels of the tile */
    int size;                     /* pixels of the view's side */
    int flip, grey;               /* 0 or 1 */
    int jitter;                   /* 0: the four below are not applied */
    int order[4];                 /* of 0 brightness, 1 contrast, 2 saturation, 3 hue */
    float brightness, contrast, saturation, hue; /* factors; hue in turns, -0.5 .. 0.5 */
    float blur;                   /* sigma in pixels of the view; 0: none */
    float solarise;               /* threshold; >= 2: none */
} sb_view_params;

typedef struct sb_device sb_device;
struct sb_device {
    char description[192]; /* "CPU, 2 threads, oneDNN 2.6.3 for AVX2, no bf16" */
    char reason[512];      /* why it is this one and no other (sb_device_open) */
    char planning[1024];   /* how what was created so far was planned, for a note; "": there is nothing to say */
    int threads;
    bool bf16;        /* bf16 convolutions are native here. Where they are not nothing asks for them: conv_create may refuse, and the
                         trainer computes in f32. All other operations take bf16 on any device. */
    sb_type conv_gradient; /* what a call's weight gradient of a bf16 convolution is rounded to before it is written or added in f32 */
    bool host_memory; /* host addresses are the device's too: nothing is copied for its sake */

    void (*close)(sb_device *device);

    /* Memory and transfers. available: the bytes that may be taken by alloc, as far as can be known (SIZE_MAX: not): what is free, less a
     * reserve for other processes and for what comes later. For who trains: it first opens the libraries of matrix products, so that their share
     * is gone already, as that of convolutions is once they are planned. alloc: 64-byte aligned (256 on a GPU); it may dip into the reserve. */
    int (*available)(sb_device *device, size_t *bytes);
    int (*alloc)(sb_device *device, size_t bytes, void **out);
    void (*release)(sb_device *device, void *memory);
    int (*pin)(sb_device *device, void *host, size_t bytes); /* host memory for DMA; unpinned with the device */
    int (*copy)(sb_device *device, sb_stream stream, void *to, const void *from, size_t bytes, sb_direction direction);
    int (*zero)(sb_device *device, void *memory, size_t bytes);
    int (*order)(sb_device *device, sb_stream later, sb_stream earlier); /* what follows on `later` waits for `earlier` so far */
    int (*wait)(sb_device *device, sb_stream stream);                    /* the host waits */
    int (*mark)(sb_device *device, sb_stream stream, int mark);          /* names what `stream` was given so far: 0 .. SB_MARKS - 1 */
    int (*wait_mark)(sb_device *device, int mark);                       /* the host waits for that */

    /* Convolution. `scratch` has at least conv_scratch bytes, `packed` conv_packed bytes. */
    int (*conv_create)(sb_device *device, const sb_conv_shape *shape, sb_conv **out);
    void (*conv_destroy)(sb_device *device, sb_conv *conv);
    size_t (*conv_packed)(const sb_conv *conv);
    size_t (*conv_scratch)(const sb_conv *conv);
    int (*conv_pack)(sb_device *device, sb_conv *conv, const float *weight, void *packed, void *scratch);
    int (*conv_forward)(sb_device *device, sb_conv *conv, const void *x, const void *packed, void *y, void *scratch);
    int (*conv_backward_data)(sb_device *device, sb_conv *conv, const void *dy, const void *packed, void *dx, void *scratch);
    int (*conv_backward_weight)(sb_device *device, sb_conv *conv, const void *x, const void *dy, float *dweight, bool accumulate,
                                void *scratch);

    /* Batch norm. gamma and beta may be NULL (1 and 0). mean and variance (biased) are written [channels].
     * backward: dy, plus dy_more where a second consumer exists (else NULL); y is needed where relu and residual (without residual what
     * the ReLU let through follows from x, and y need not be kept: NULL); dresidual where residual (it is then also the place of the
     * masked sum; it may be the same memory as dy). dgamma, dbeta: NULL where gamma, beta are. */
    size_t (*norm_scratch)(sb_device *device, const sb_norm_shape *shape);
    int (*norm_forward)(sb_device *device, const sb_norm_shape *shape, const void *x, const void *residual, const float *gamma,
                        const float *beta, void *y, float *mean, float *variance, void *scratch);
    int (*norm_apply)(sb_device *device, const sb_norm_shape *shape, const void *x, const void *residual, const float *gamma,
                      const float *beta, const float *mean, const float *variance, void *y,
                      void *scratch); /* with given statistics (evaluation) */
    int (*norm_backward)(sb_device *device, const sb_norm_shape *shape, const void *x, const void *y, const void *dy,
                         const void *dy_more, const float *gamma, const float *beta, const float *mean, const float *variance,
                         void *dx, void *dresidual, float *dgamma, float *dbeta, bool accumulate, void *scratch);
    /* running = (1 - momentum) running + momentum batch, the variance made unbiased with rows / (rows - 1). */
    int (*norm_running)(sb_device *device, int channels, int rows, float momentum, const float *mean, const float *variance,
                        float *running_mean, float *running_variance);

    /* Pooling. argmax [n, oh, ow, c]: place 0 .. 8 in the window, first maximum wins. avgpool: -> f32 [n, c]. */
    int (*maxpool_forward)(sb_device *device, const sb_pool_shape *shape, const void *x, void *y, uint8_t *argmax);
    int (*maxpool_backward)(sb_device *device, const sb_pool_shape *shape, const uint8_t *argmax, const void *dy,
                            const void *dy_more, void *dx);
    int (*avgpool_forward)(sb_device *device, const sb_pool_shape *shape, const void *x, float *y);
    int (*avgpool_backward)(sb_device *device, const sb_pool_shape *shape, const float *dy, void *dx);

    /* 8-bit pixels [n, side, side, c] -> (pixel / 255 - mean) / std of `type`. mean, std: [c], c <= 4, in the host's memory. */
    int (*input)(sb_device *device, int n, int side, int c, const uint8_t *pixels, const float *mean, const float *std, sb_type type,
                 void *x);

    /* f32 matrices, row-major and dense. matmul: C[m, n] = alpha op(A)[m, k] op(B)[k, n] + beta C. */
    int (*matmul)(sb_device *device, bool transpose_a, bool transpose_b, int m, int n, int k, float alpha, const float *a,
                  const float *b, float beta, float *c);
    int (*bias_add)(sb_device *device, int rows, int columns, const float *bias, float *x);
    int (*column_sum)(sb_device *device, int rows, int columns, const float *x, float *out, bool accumulate);
    int (*relu_backward)(sb_device *device, size_t count, const float *y, const float *dy, float *dx);
    int (*relu_forward)(sb_device *device, size_t count, const float *x, float *y);
    int (*axpy)(sb_device *device, size_t count, float alpha, const float *x, float *y); /* y += alpha x */
    int (*axpy_rows)(sb_device *device, int rows, int columns, float alpha, const float *factor, const float *x,
                     float *y); /* y_r += alpha factor_r x_r */
    int (*row_dot)(sb_device *device, int rows, int columns, const float *a, const float *b, float *out);
    /* softplus = log(1 + exp(x)) and its derivative sigmoid = 1 / (1 + exp(-x)), both to the last digits on both sides; 0 at -INFINITY. */
    int (*logistic)(sb_device *device, size_t count, const float *x, float *softplus, float *sigmoid);

    /* z = x / max(|x|, 1e-12) by row, and dx = (dz - z <dz, z>) / norm. */
    int (*rownorm_forward)(sb_device *device, int rows, int columns, const float *x, float *z, float *norm);
    int (*rownorm_backward)(sb_device *device, int rows, int columns, const float *z, const float *norm, const float *dz, float *dx);

    /* Masked similarities without the M x M matrix (M = views * samples). skip: NULL, or bytes [samples, samples], symmetric, in
     * device memory; non-zero = these two samples are never each other's negatives (the diagonal is not looked at).
     * lse[i] = log sum_j exp(<z_i, z_j> / temperature) over the columns left; -INFINITY where none is left.
     * gradient: dz_i += scale / temperature * sum_j (P_ij + P_ji) z_j, with P_ij = exp(s_ij / temperature - lse_i), 0 where left out:
     * the gradient of scale * sum_i lse_i. */
    int (*similarity_lse)(sb_device *device, const sb_similarity_shape *shape, const float *z, const uint8_t *skip, float *lse);
    int (*similarity_gradient)(sb_device *device, const sb_similarity_shape *shape, const float *z, const uint8_t *skip,
                               const float *lse, float scale, float *dz);

    /* Optimiser steps over all parameters at once. SGD: PyTorch's (g + wd w; m = momentum m + g; w -= lr m), no decay where not
     * `decayed`. LARS (You et al. 2017, as the released code of Barlow Twins and VICReg has it): the momentum buffer holds updates
     * without the learning rate. AdamW: PyTorch's. */
    int (*update_create)(sb_device *device, const sb_parameter *parameters, int count, sb_update **out);
    void (*update_destroy)(sb_device *device, sb_update *update);
    int (*update_run)(sb_device *device, sb_update *update, const sb_update_values *values);

    /* Views of a tile: 8-bit HWC [tile_height, tile_width, channels] in, `count` views out, out[i] = [size, size, channels].
     * Scratch is for up to `count` views of up to `max_size`. */
    size_t (*view_scratch)(sb_device *device, int tile_width, int tile_height, int channels, int max_size, int count);
    int (*view)(sb_device *device, const uint8_t *tile, int tile_width, int tile_height, int channels, const sb_view_params *params,
                int count, uint8_t *const *out, void *scratch);
};

/* The CPU device with `threads` compute threads (0: all cores). Refuses OMP_DYNAMIC=true and an OMP_THREAD_LIMIT below `threads`, with
 * which oneDNN hangs. */
int sb_device_cpu(sb_device **out, int threads);

/* Closes and NULLs; tolerates NULL. */
void sb_device_close(sb_device **device);

#endif
