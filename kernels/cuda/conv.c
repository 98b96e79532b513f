/* conv.c: convolutions through cuDNN. Plans are built when a convolution is created and kept.
 *
 * cuDNN sees NHWC activations whose channels are padded to 16 bytes (the stem's 3 become 8 in bf16: a copy in scratch), and filters
 * [out, k, k, in], packed once a step. A plan is the first of the heuristics' proposals that can be built, gives the same bits every time, and
 * keeps the precision asked for: f32 means no TF32. The weight's gradient comes in f32 where cuDNN has that, else in the compute type. */
#include <stdlib.h>

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/graph.h"
#include "kernels/cuda/layout.h"

#define ALIGN 256
#define PROPOSALS 64                         /* read of each list of the heuristics */
#define WORKSPACE_MOST ((size_t)1 << 30)     /* of a plan */

typedef struct {
    sb_cuda_graph graph;
    cudnnBackendDescriptor_t plan;
    size_t workspace;
} plan;

struct sb_conv {
    sb_conv_shape shape; /* as asked for */
    sb_conv_shape seen;  /* as cuDNN sees it: channels padded */
    plan forward, data, weight;
    sb_type gradient;      /* of cuDNN's weight gradient */
    size_t packed;         /* bytes of the filter */
    size_t padded;         /* bytes of x with padded channels; 0: as it is */
    size_t gradient_bytes; /* of cuDNN's weight gradient */
    size_t workspace;      /* the most of the plans */
};

static size_t align(size_t bytes) { return (bytes + ALIGN - 1) / ALIGN * ALIGN; }

/* ---- plans ------------------------------------------------------------------------------------------------------------------------------- */

/* Whether the engine of a configuration gives the same bits every time, in the precision asked for. */
static bool acceptable(cudnnBackendDescriptor_t configuration, sb_type type)
{
    cudnnBackendDescriptor_t engine;
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    int64_t count = 0;
    if (sb_cuda_dnn_create(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine) != 0)
        return false;
    bool fine = cudnnBackendGetAttribute(configuration, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine) ==
                    CUDNN_STATUS_SUCCESS &&
                cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                         CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, notes) == CUDNN_STATUS_SUCCESS;
    for (int64_t i = 0; fine && i < count; i++) {
        bool rough = notes[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC || notes[i] == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION ||
                     notes[i] == CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13;
        bool tf32 = type == SB_F32 &&
                    (notes[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE || notes[i] == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS);
        fine = !rough && !tf32;
    }
    sb_cuda_dnn_destroy(&engine);
    return fine;
}

/* 0 where the plan can be built and fits. */
static int build(cudnnHandle_t handle, cudnnBackendDescriptor_t configuration, plan *p)
{
    int64_t bytes = 0, count = 0;
    if (sb_cuda_dnn_create(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &p->plan) == 0 &&
        sb_cuda_dnn_set(p->plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle) == 0 &&
        sb_cuda_dnn_set(p->plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &configuration) == 0 &&
        cudnnBackendFinalize(p->plan) == CUDNN_STATUS_SUCCESS &&
        cudnnBackendGetAttribute(p->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &count, &bytes) ==
            CUDNN_STATUS_SUCCESS &&
        (size_t)bytes <= WORKSPACE_MOST) {
        p->workspace = (size_t)bytes;
        return 0;
    }
    sb_cuda_dnn_destroy(&p->plan);
    return -1;
}

/* Takes the first acceptable plan of one list of proposals. 1: none, 0: taken. */
static int take_from(cudnnHandle_t handle, cudnnBackendHeurMode_t mode, sb_type type, plan *p)
{
    cudnnBackendDescriptor_t heuristics = NULL, configurations[PROPOSALS] = { NULL };
    int64_t count = 0;
    int rc = 1, made = 0;
    if (sb_cuda_dnn_create(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &heuristics) != 0 ||
        sb_cuda_dnn_set(heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &p->graph.graph) != 0 ||
        sb_cuda_dnn_set(heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode) != 0 ||
        cudnnBackendFinalize(heuristics) != CUDNN_STATUS_SUCCESS)
        goto out; /* no proposals: the next list may have some */
    if (cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, NULL) !=
        CUDNN_STATUS_SUCCESS)
        goto out;
    int most = count < PROPOSALS ? (int)count : PROPOSALS;
    while (made < most && sb_cuda_dnn_create(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &configurations[made]) == 0)
        made++;
    if (made == 0 || cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, made, &count,
                                              configurations) != CUDNN_STATUS_SUCCESS)
        goto out;
    for (int64_t i = 0; rc == 1 && i < count && i < made; i++)
        if (acceptable(configurations[i], type) && build(handle, configurations[i], p) == 0)
            rc = 0;
out:
    for (int i = 0; i < made; i++)
        sb_cuda_dnn_destroy(&configurations[i]);
    sb_cuda_dnn_destroy(&heuristics);
    return rc;
}

static void destroy_plan(plan *p)
{
    sb_cuda_dnn_destroy(&p->plan);
    sb_cuda_graph_destroy(&p->graph);
}

static int make_plan(cudnnHandle_t handle, const sb_conv_shape *s, sb_cuda_direction direction, sb_type filter, plan *p)
{
    static const char *const names[] = { "forward", "data gradient", "weight gradient" };
    if (sb_cuda_graph_create(handle, s, direction, filter, &p->graph) != 0)
        return -1;
    if (take_from(handle, CUDNN_HEUR_MODE_A, s->type, p) == 0 || take_from(handle, CUDNN_HEUR_MODE_FALLBACK, s->type, p) == 0)
        return 0;
    destroy_plan(p);
    return sb_fail("cuDNN %zu has no deterministic plan (%s) for a convolution of [%d, %d, %d, %d] to %d channels with kernel %d, stride %d, "
                   "pad %d in %s", cudnnGetVersion(), names[direction], s->n, s->h, s->w, s->in, s->out, s->kernel, s->stride, s->pad,
                   s->type == SB_F32 ? "f32" : "bf16");
}

/* The tensors by sb_cuda_tensor: x, w, y. */
static int execute(sb_device *device, const plan *p, const void *x, const void *w, const void *y, void *workspace)
{
    sb_cuda *cuda = (sb_cuda *)device;
    cudnnBackendDescriptor_t pack;
    int64_t names[] = { SB_CUDA_X, SB_CUDA_W, SB_CUDA_Y };
    const void *tensors[] = { x, w, y };
    int rc = sb_cuda_dnn_create(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack);
    if (rc == 0 && (sb_cuda_dnn_set(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 3, names) != 0 ||
                    sb_cuda_dnn_set(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3, tensors) != 0 ||
                    sb_cuda_dnn_set(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace) != 0 ||
                    sb_cuda_dnn_check(cudnnBackendFinalize(pack), "a convolution's arguments") != 0 ||
                    sb_cuda_dnn_check(cudnnBackendExecute(cuda->dnn, p->plan, pack), "running a convolution") != 0))
        rc = -1;
    sb_cuda_dnn_destroy(&pack);
    return rc;
}

/* ---- create ------------------------------------------------------------------------------------------------------------------------------ */

/* At the first convolution: augment, which has none, is spared the library's memory. */
static int start(sb_cuda *cuda)
{
    if (cuda->dnn)
        return 0;
    if (sb_cuda_dnn_check(cudnnCreate(&cuda->dnn), "starting cuDNN") != 0) {
        cuda->dnn = NULL;
        return -1;
    }
    return sb_cuda_dnn_check(cudnnSetStream(cuda->dnn, cuda->stream[SB_STREAM_COMPUTE]), "starting cuDNN");
}

static int make_plans(sb_cuda *cuda, sb_conv *c)
{
    const sb_conv_shape *s = &c->seen;
    if (make_plan(cuda->dnn, s, SB_CUDA_FORWARD, s->type, &c->forward) != 0 ||
        (s->data_gradient && make_plan(cuda->dnn, s, SB_CUDA_BACKWARD_DATA, s->type, &c->data) != 0))
        return -1;
    c->gradient = SB_F32;
    if (make_plan(cuda->dnn, s, SB_CUDA_BACKWARD_WEIGHT, SB_F32, &c->weight) == 0)
        return 0;
    c->gradient = s->type;
    return s->type == SB_F32 ? -1 : make_plan(cuda->dnn, s, SB_CUDA_BACKWARD_WEIGHT, s->type, &c->weight);
}

int sb_cuda_conv_create(sb_device *device, const sb_conv_shape *s, sb_conv **out)
{
    sb_cuda *cuda = (sb_cuda *)device;
    if (sb_conv_check(s) != 0 || start(cuda) != 0)
        return -1;
    sb_conv *c = calloc(1, sizeof *c);
    if (!c)
        return sb_fail("out of memory");
    c->shape = *s;
    c->seen = sb_cuda_padded(s);
    if (make_plans(cuda, c) != 0) {
        sb_cuda_conv_destroy(device, c);
        return -1;
    }
    size_t filter = (size_t)s->out * (size_t)s->kernel * (size_t)s->kernel * (size_t)c->seen.in;
    c->packed = align(filter * sb_type_bytes(s->type));
    c->gradient_bytes = align(filter * sb_type_bytes(c->gradient));
    if (c->seen.in != s->in)
        c->padded = align((size_t)s->n * (size_t)s->h * (size_t)s->w * (size_t)c->seen.in * sb_type_bytes(s->type));
    const plan *plans[] = { &c->forward, &c->data, &c->weight };
    for (int i = 0; i < 3; i++)
        c->workspace = plans[i]->workspace > c->workspace ? plans[i]->workspace : c->workspace;
    c->workspace = align(c->workspace);
    *out = c;
    return 0;
}

void sb_cuda_conv_destroy(sb_device *device, sb_conv *c)
{
    (void)device;
    if (!c)
        return;
    destroy_plan(&c->forward);
    destroy_plan(&c->data);
    destroy_plan(&c->weight);
    free(c);
}

/* ---- run --------------------------------------------------------------------------------------------------------------------------------- */

size_t sb_cuda_conv_packed(const sb_conv *c) { return c->packed; }

/* Scratch: cuDNN's workspace, x with padded channels, the weight's gradient in cuDNN's layout. */
size_t sb_cuda_conv_scratch(const sb_conv *c) { return c->workspace + c->padded + c->gradient_bytes; }

static void *padded_of(const sb_conv *c, void *scratch) { return (char *)scratch + c->workspace; }

static size_t pixels_of(const sb_conv *c) { return (size_t)c->shape.n * (size_t)c->shape.h * (size_t)c->shape.w; }

/* x as cuDNN wants it: as it is, or a padded copy. NULL: failed. */
static const void *seen_x(sb_device *device, const sb_conv *c, const void *x, void *scratch)
{
    if (!c->padded)
        return x;
    void *padded = padded_of(c, scratch);
    return sb_cuda_channels(device, pixels_of(c), c->shape.in, c->seen.in, c->shape.type, x, padded) == 0 ? padded : NULL;
}

int sb_cuda_conv_pack(sb_device *device, sb_conv *c, const float *weight, void *packed, void *scratch)
{
    (void)scratch;
    return sb_cuda_filter_pack(device, c->shape.out, c->shape.in, c->shape.kernel, c->seen.in, weight, c->shape.type, packed);
}

int sb_cuda_conv_forward(sb_device *device, sb_conv *c, const void *x, const void *packed, void *y, void *scratch)
{
    const void *seen = seen_x(device, c, x, scratch);
    return seen ? execute(device, &c->forward, seen, packed, y, scratch) : -1;
}

int sb_cuda_conv_backward_data(sb_device *device, sb_conv *c, const void *dy, const void *packed, void *dx, void *scratch)
{
    if (!c->shape.data_gradient)
        return sb_fail("this convolution was planned without a data gradient");
    void *seen = c->padded ? padded_of(c, scratch) : dx;
    if (execute(device, &c->data, seen, packed, dy, scratch) != 0)
        return -1;
    return c->padded ? sb_cuda_channels(device, pixels_of(c), c->seen.in, c->shape.in, c->shape.type, seen, dx) : 0;
}

int sb_cuda_conv_backward_weight(sb_device *device, sb_conv *c, const void *x, const void *dy, float *dweight, bool accumulate,
                                 void *scratch)
{
    const void *seen = seen_x(device, c, x, scratch);
    void *gradient = (char *)padded_of(c, scratch) + c->padded;
    if (!seen || execute(device, &c->weight, seen, gradient, dy, scratch) != 0)
        return -1;
    return sb_cuda_filter_unpack(device, c->shape.out, c->shape.in, c->shape.kernel, c->seen.in, c->gradient, gradient, accumulate, dweight);
}
