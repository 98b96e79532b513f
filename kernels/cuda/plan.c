/* plan.c: see plan.h. The engines are asked for by list: the heuristics' best guesses, and if none of those will do, the fallback. */
#include "kernels/cuda/plan.h"

#define PROPOSALS 64                         /* read of each list of the heuristics */
#define WORKSPACE_MOST ((size_t)1 << 30)     /* of a plan */

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
static int build(cudnnHandle_t handle, cudnnBackendDescriptor_t configuration, sb_cuda_plan *p)
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
static int take_from(cudnnHandle_t handle, cudnnBackendHeurMode_t mode, sb_type type, sb_cuda_plan *p)
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

void sb_cuda_plan_destroy(sb_cuda_plan *p)
{
    sb_cuda_dnn_destroy(&p->plan);
    sb_cuda_graph_destroy(&p->graph);
}

int sb_cuda_plan_create(sb_cuda *cuda, const sb_conv_shape *s, sb_cuda_direction direction, sb_type filter, sb_cuda_plan *p)
{
    static const char *const names[] = { "forward", "data gradient", "weight gradient" };
    *p = (sb_cuda_plan){ 0 };
    if (start(cuda) != 0 || sb_cuda_graph_create(cuda->dnn, s, direction, filter, &p->graph) != 0)
        return -1;
    if (take_from(cuda->dnn, CUDNN_HEUR_MODE_A, s->type, p) == 0 || take_from(cuda->dnn, CUDNN_HEUR_MODE_FALLBACK, s->type, p) == 0)
        return 0;
    sb_cuda_plan_destroy(p);
    return sb_fail("cuDNN %zu has no deterministic plan (%s) for a convolution of [%d, %d, %d, %d] to %d channels with kernel %d, stride %d, "
                   "pad %d in %s", cudnnGetVersion(), names[direction], s->n, s->h, s->w, s->in, s->out, s->kernel, s->stride, s->pad,
                   s->type == SB_F32 ? "f32" : "bf16");
}

int sb_cuda_plan_run(sb_cuda *cuda, const sb_cuda_plan *p, const void *x, const void *w, const void *y, void *workspace)
{
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
