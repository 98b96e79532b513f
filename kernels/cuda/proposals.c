/* proposals.c: see proposals.h. Engines come by list: the heuristics' best guesses and, if none of those will
 * do, the fallback. */
#include "kernels/cuda/proposals.h"

#include <stdio.h>
#include <string.h>

#define READ_MOST 64 /* of each list of the heuristics */

static bool get(cudnnBackendDescriptor_t from, cudnnBackendAttributeName_t name,
                cudnnBackendAttributeType_t type, int64_t room, int64_t *count, void *out)
{
    return cudnnBackendGetAttribute(from, name, type, room, count, out) == CUDNN_STATUS_SUCCESS;
}

/* Whether an engine gives the same bits every time, in the precision asked for. Of f32 an engine with tensor
 * cores makes TF32, and one that converts inputs down less than that. */
static bool acceptable(cudnnBackendDescriptor_t engine, sb_type type, bool rounds)
{
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    int64_t count = 0;
    bool fine = get(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                    CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, notes);
    for (int64_t i = 0; fine && i < count; i++) {
        bool rough = notes[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC ||
                     notes[i] == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION ||
                     notes[i] == CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13;
        bool less = type == SB_F32 && (notes[i] == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS ||
                                       (notes[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE && !rounds));
        fine = !rough && !less;
    }
    return fine;
}

/* Appends "_kTYPE=VALUE" of every knob of a configuration. cuDNN gives as many knobs as there is room for and
 * does not say how many there are, so there is room for all. */
static bool name_knobs(cudnnBackendDescriptor_t configuration,
                       cudnnBackendDescriptor_t knobs[CUDNN_KNOB_TYPE_COUNTS], char *name, size_t room,
                       size_t used)
{
    int64_t count = 0, one = 0, value = 0;
    cudnnBackendKnobType_t type;
    bool fine = get(configuration, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                    CUDNN_KNOB_TYPE_COUNTS, &count, knobs);
    for (int64_t i = 0; fine && i < count; i++) {
        fine = get(knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &one, &type) &&
               get(knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &one, &value);
        if (fine)
            used += (size_t)snprintf(name + used, room - used, "_k%d=%lld", (int)type, (long long)value);
        fine = fine && used < room;
    }
    return fine;
}

/* Whether a configuration will do, and its name. */
static bool examine(cudnnBackendDescriptor_t configuration,
                    cudnnBackendDescriptor_t knobs[CUDNN_KNOB_TYPE_COUNTS], sb_type type, bool rounds,
                    sb_cuda_proposal *p)
{
    cudnnBackendDescriptor_t engine;
    int64_t count = 0, index = 0;
    if (sb_cuda_dnn_create(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine) != 0)
        return false;
    bool fine = get(configuration, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count,
                    &engine) &&
                acceptable(engine, type, rounds);
    bool named = fine && get(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &count, &index);
    sb_cuda_dnn_destroy(&engine);
    size_t used = named ? (size_t)snprintf(p->name, sizeof p->name, "eng%lld", (long long)index) : 0;
    if (!named || !name_knobs(configuration, knobs, p->name, sizeof p->name, used))
        p->name[0] = '\0';
    return fine;
}

/* Whether one of the others has this name. */
static bool is_among(const char *name, const sb_cuda_proposal *others, int count)
{
    while (count > 0)
        if (strcmp(others[--count].name, name) == 0)
            return true;
    return false;
}

/* Whether the plan can be built and its workspace is small enough. */
static bool build(cudnnHandle_t handle, cudnnBackendDescriptor_t configuration, size_t workspace_most,
                  sb_cuda_proposal *p)
{
    int64_t bytes = 0, count = 0;
    if (sb_cuda_dnn_create(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &p->plan) == 0 &&
        sb_cuda_dnn_set(p->plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle) == 0 &&
        sb_cuda_dnn_set(p->plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                        &configuration) == 0 &&
        cudnnBackendFinalize(p->plan) == CUDNN_STATUS_SUCCESS &&
        get(p->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &count, &bytes) &&
        (size_t)bytes <= workspace_most) {
        p->workspace = (size_t)bytes;
        return true;
    }
    sb_cuda_dnn_destroy(&p->plan);
    return false;
}

/* Builds those plans of one list that will do. cuDNN tells the list's length beforehand only as an upper
 * bound. */
static int read_list(cudnnHandle_t handle, cudnnBackendHeurMode_t mode, cudnnBackendDescriptor_t graph,
                     sb_type type, bool rounds, size_t workspace_most, const char *name,
                     sb_cuda_proposal *out, int room)
{
    cudnnBackendDescriptor_t heuristics = NULL, configurations[READ_MOST] = { NULL },
                             knobs[CUDNN_KNOB_TYPE_COUNTS] = { NULL };
    int64_t count = 0;
    int made = 0, built = 0;
    for (int i = 0; i < CUDNN_KNOB_TYPE_COUNTS; i++)
        if (sb_cuda_dnn_create(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, &knobs[i]) != 0)
            goto out;
    if (sb_cuda_dnn_create(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &heuristics) != 0 ||
        sb_cuda_dnn_set(heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                        &graph) != 0 ||
        sb_cuda_dnn_set(heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode) != 0 ||
        cudnnBackendFinalize(heuristics) != CUDNN_STATUS_SUCCESS)
        goto out; /* no proposals: the next list may have some */
    if (!get(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, NULL))
        goto out;
    int most = count < READ_MOST ? (int)count : READ_MOST;
    while (made < most && sb_cuda_dnn_create(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &configurations[made]) == 0)
        made++;
    if (made == 0 || !get(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, made,
                          &count, configurations))
        goto out;
    for (int64_t i = 0; built < room && i < count && i < made; i++) {
        sb_cuda_proposal *p = &out[built];
        if (examine(configurations[i], knobs, type, rounds, p) && (!name || strcmp(p->name, name) == 0) &&
            !is_among(p->name, out, built) && build(handle, configurations[i], workspace_most, p))
            built++;
    }
out:
    for (int i = 0; i < made; i++)
        sb_cuda_dnn_destroy(&configurations[i]);
    for (int i = 0; i < CUDNN_KNOB_TYPE_COUNTS; i++)
        sb_cuda_dnn_destroy(&knobs[i]);
    sb_cuda_dnn_destroy(&heuristics);
    return built;
}

int sb_cuda_propose(cudnnHandle_t handle, cudnnBackendDescriptor_t graph, sb_type type, bool rounds,
                    size_t workspace, size_t workspace_most, const char *name, sb_cuda_proposal *out,
                    int room)
{
    const cudnnBackendHeurMode_t lists[] = { CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK };
    const size_t bounds[] = { workspace < workspace_most ? workspace : workspace_most, workspace_most };
    int built = 0;
    for (int i = 0; i < 4 && built == 0; i++)
        built = read_list(handle, lists[i % 2], graph, type, rounds, bounds[i / 2], name, out, room);
    return built;
}
