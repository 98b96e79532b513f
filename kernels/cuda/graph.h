/* graph.h: a convolution as cuDNN's graph API describes it: tensors, one operation, the graph. Private to
 * kernels/cuda. */
#ifndef SB_KERNELS_CUDA_GRAPH_H
#define SB_KERNELS_CUDA_GRAPH_H

#include <cudnn.h>

#include "kernels/op/conv.h"

typedef enum { SB_CUDA_FORWARD, SB_CUDA_BACKWARD_DATA, SB_CUDA_BACKWARD_WEIGHT } sb_cuda_direction;

/* By what plans and their arguments name the tensors: activations x [n, h, w, in], filter w [out, k, k, in],
 * y [n, oh, ow, out]. */
typedef enum { SB_CUDA_X = 1, SB_CUDA_W, SB_CUDA_Y } sb_cuda_tensor;

typedef struct {
    cudnnBackendDescriptor_t x, w, y, convolution, operation, graph; /* NULL: not made */
} sb_cuda_graph;

/* A convolution as cuDNN is given it. */
typedef struct {
    int n, h, w, in, oh, ow, out; /* in: padded to 16 bytes, as its tensor cores want channels */
    int kernel, stride, pad;
    sb_type type; /* of all tensors */
} sb_cuda_shape;

sb_cuda_shape sb_cuda_shape_of(const sb_shape *x, const sb_shape *y, const sb_conv_how *how);

/* Builds and finalises all descriptors. Filters, gradients of filters among them, are of the activations'
 * type: cuDNN has no plans for others. The handle may be NULL: descriptors need no GPU. On failure nothing is
 * left. */
int sb_cuda_graph_create(cudnnHandle_t handle, const sb_cuda_shape *shape, sb_cuda_direction direction,
                         sb_cuda_graph *out);

/* Tolerates what is half made. */
void sb_cuda_graph_destroy(sb_cuda_graph *graph);

/* 0, or -1 with cuDNN's words. */
int sb_cuda_dnn_check(cudnnStatus_t status, const char *what);

/* Sets one attribute; `what` is for the error. */
int sb_cuda_dnn_set(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                    cudnnBackendAttributeType_t type, int64_t count, const void *values);

/* Creates a descriptor; NULLs *out on failure. */
int sb_cuda_dnn_create(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *out);

/* Destroys and NULLs; tolerates NULL. */
void sb_cuda_dnn_destroy(cudnnBackendDescriptor_t *descriptor);

#endif
