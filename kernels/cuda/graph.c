/* graph.c: see graph.h. cuDNN 9 marks the older convolution calls deprecated; this is its graph ("backend")
 * API, which is plain C. */
#include "kernels/cuda/graph.h"

#include "proto/error.h"

#define ALIGNMENT \
    16 /* bytes: what cuDNN's fast engines ask of a pixel's channels. Addresses are aligned to 256. */

sb_cuda_shape sb_cuda_shape_of(const sb_shape *x, const sb_shape *y, const sb_conv_how *how)
{
    int unit = ALIGNMENT / (int)sb_type_bytes(x->type);
    return (sb_cuda_shape){ .n = x->n,
                            .h = x->h,
                            .w = x->w,
                            .in = (x->c + unit - 1) / unit * unit,
                            .oh = y->h,
                            .ow = y->w,
                            .out = how->out,
                            .kernel = how->kernel,
                            .stride = how->stride,
                            .pad = how->pad,
                            .type = x->type };
}

int sb_cuda_dnn_check(cudnnStatus_t status, const char *what)
{
    if (status == CUDNN_STATUS_SUCCESS)
        return 0;
    char more[256] = "";
    cudnnGetLastErrorString(more, sizeof more);
    return sb_fail("%s: %s%s%s", what, cudnnGetErrorString(status), more[0] ? ": " : "", more);
}

int sb_cuda_dnn_create(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *out)
{
    *out = NULL;
    cudnnStatus_t status = cudnnBackendCreateDescriptor(type, out);
    if (status != CUDNN_STATUS_SUCCESS)
        *out = NULL;
    return sb_cuda_dnn_check(status, "creating a descriptor of cuDNN");
}

void sb_cuda_dnn_destroy(cudnnBackendDescriptor_t *descriptor)
{
    if (*descriptor)
        cudnnBackendDestroyDescriptor(*descriptor);
    *descriptor = NULL;
}

int sb_cuda_dnn_set(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                    cudnnBackendAttributeType_t type, int64_t count, const void *values)
{
    if (sb_cuda_dnn_check(cudnnBackendSetAttribute(descriptor, name, type, count, values),
                          "describing a convolution to cuDNN") != 0)
        return sb_context("attribute %d", (int)name);
    return 0;
}

/* cuDNN names dimensions n, c, h, w; the strides say that channels lie next to each other. */
static int make_tensor(cudnnBackendDescriptor_t *out, sb_cuda_tensor name, sb_type type, int n, int c, int h,
                       int w)
{
    int64_t uid = name, alignment = ALIGNMENT, dims[] = { n, c, h, w };
    int64_t strides[] = { (int64_t)h * w * c, 1, (int64_t)w * c, c };
    cudnnDataType_t data = type == SB_F32    ? CUDNN_DATA_FLOAT
                           : type == SB_BF16 ? CUDNN_DATA_BFLOAT16
                                             : CUDNN_DATA_HALF;
    if (sb_cuda_dnn_create(CUDNN_BACKEND_TENSOR_DESCRIPTOR, out) != 0 ||
        sb_cuda_dnn_set(*out, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid) != 0 ||
        sb_cuda_dnn_set(*out, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &data) != 0 ||
        sb_cuda_dnn_set(*out, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment) != 0 ||
        sb_cuda_dnn_set(*out, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims) != 0 ||
        sb_cuda_dnn_set(*out, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides) != 0)
        return -1;
    return sb_cuda_dnn_check(cudnnBackendFinalize(*out), "finalising a tensor");
}

static int make_convolution(cudnnBackendDescriptor_t *out, const sb_cuda_shape *s)
{
    int64_t two = 2, ones[] = { 1, 1 }, strides[] = { s->stride, s->stride }, pads[] = { s->pad, s->pad };
    cudnnDataType_t compute = CUDNN_DATA_FLOAT;
    cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    if (sb_cuda_dnn_create(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, out) != 0 ||
        sb_cuda_dnn_set(*out, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &compute) != 0 ||
        sb_cuda_dnn_set(*out, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode) != 0 ||
        sb_cuda_dnn_set(*out, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &two) != 0 ||
        sb_cuda_dnn_set(*out, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, ones) != 0 ||
        sb_cuda_dnn_set(*out, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, strides) != 0 ||
        sb_cuda_dnn_set(*out, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, pads) != 0 ||
        sb_cuda_dnn_set(*out, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, pads) != 0)
        return -1;
    return sb_cuda_dnn_check(cudnnBackendFinalize(*out), "finalising a convolution");
}

/* The three operations differ in the names of their attributes only. */
static const struct {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t alpha, beta, convolution, x, w, y;
} names[] = {
    [SB_CUDA_FORWARD] = { CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y },
    [SB_CUDA_BACKWARD_DATA] = { CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY },
    [SB_CUDA_BACKWARD_WEIGHT] = { CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY },
};

static int make_operation(sb_cuda_graph *g, sb_cuda_direction direction)
{
    float one = 1, zero = 0;
    if (sb_cuda_dnn_create(names[direction].type, &g->operation) != 0 ||
        sb_cuda_dnn_set(g->operation, names[direction].alpha, CUDNN_TYPE_FLOAT, 1, &one) != 0 ||
        sb_cuda_dnn_set(g->operation, names[direction].beta, CUDNN_TYPE_FLOAT, 1, &zero) != 0 ||
        sb_cuda_dnn_set(g->operation, names[direction].convolution, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                        &g->convolution) != 0 ||
        sb_cuda_dnn_set(g->operation, names[direction].x, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &g->x) != 0 ||
        sb_cuda_dnn_set(g->operation, names[direction].w, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &g->w) != 0 ||
        sb_cuda_dnn_set(g->operation, names[direction].y, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &g->y) != 0)
        return -1;
    return sb_cuda_dnn_check(cudnnBackendFinalize(g->operation), "finalising a convolution's operation");
}

static int make_graph(sb_cuda_graph *g, cudnnHandle_t handle)
{
    if (sb_cuda_dnn_create(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, &g->graph) != 0 ||
        sb_cuda_dnn_set(g->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                        &g->operation) != 0 ||
        (handle &&
         sb_cuda_dnn_set(g->graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle) != 0))
        return -1;
    return sb_cuda_dnn_check(cudnnBackendFinalize(g->graph), "finalising a convolution's graph");
}

int sb_cuda_graph_create(cudnnHandle_t handle, const sb_cuda_shape *s, sb_cuda_direction direction,
                         sb_cuda_graph *out)
{
    *out = (sb_cuda_graph){ 0 };
    if (make_tensor(&out->x, SB_CUDA_X, s->type, s->n, s->in, s->h, s->w) != 0 ||
        make_tensor(&out->w, SB_CUDA_W, s->type, s->out, s->in, s->kernel, s->kernel) != 0 ||
        make_tensor(&out->y, SB_CUDA_Y, s->type, s->n, s->out, s->oh, s->ow) != 0 ||
        make_convolution(&out->convolution, s) != 0 || make_operation(out, direction) != 0 ||
        make_graph(out, handle) != 0) {
        sb_cuda_graph_destroy(out);
        return sb_context(
            "a convolution of [%d, %d, %d, %d] to %d channels with kernel %d, stride %d, pad %d", s->n, s->h,
            s->w, s->in, s->out, s->kernel, s->stride, s->pad);
    }
    return 0;
}

void sb_cuda_graph_destroy(sb_cuda_graph *g)
{
    sb_cuda_dnn_destroy(&g->graph);
    sb_cuda_dnn_destroy(&g->operation);
    sb_cuda_dnn_destroy(&g->convolution);
    sb_cuda_dnn_destroy(&g->y);
    sb_cuda_dnn_destroy(&g->w);
    sb_cuda_dnn_destroy(&g->x);
}
