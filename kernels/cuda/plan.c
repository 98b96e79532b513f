/* plan.c: see plan.h. Engines come by list: the heuristics' best guesses and, if none of those will do, the fallback. */
#include "kernels/cuda/plan.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/choices.h"

#define PROPOSALS 64                         /* read of each list of the heuristics */
#define WORKSPACE_MOST ((size_t)1 << 30)     /* of a plan */
#define CANDIDATES 4                         /* plans of a graph that are timed */
#define ROUNDS 3                             /* the best of which counts */
#define NOISE 1.05f                          /* times that are closer are the same */
#define NAME_MAX_BYTES 512

struct sb_cuda_planner {
    cudnnHandle_t dnn;
    cudaEvent_t timer[2];
    sb_cuda_choices choices;
    int timed;                       /* plans */
    int chosen, found, lost, untimed; /* operations: by time; as kept; whose kept plan is none any more; by the heuristics alone */
};

/* A plan of a graph. */
typedef struct {
    cudnnBackendDescriptor_t plan;
    size_t workspace;
    char name[NAME_MAX_BYTES]; /* "": cuDNN would not say */
} candidate;

/* ---- the planner ------------------------------------------------------------------------------------------------------------------------- */

void sb_cuda_planner_close(sb_cuda_planner *p)
{
    if (!p)
        return;
    sb_cuda_choices_close(&p->choices);
    for (int i = 0; i < 2; i++)
        if (p->timer[i])
            cudaEventDestroy(p->timer[i]);
    if (p->dnn)
        cudnnDestroy(p->dnn);
    free(p);
}

/* At the first convolution: augment, which has none, is spared the library's memory. */
static int start(sb_cuda *cuda)
{
    if (cuda->planner)
        return 0;
    char machine[sizeof cuda->base.description + 32];
    sb_cuda_planner *p = calloc(1, sizeof *p);
    if (!p)
        return sb_fail("out of memory");
    if (sb_cuda_dnn_check(cudnnCreate(&p->dnn), "starting cuDNN") != 0 ||
        sb_cuda_dnn_check(cudnnSetStream(p->dnn, cuda->stream[SB_STREAM_COMPUTE]), "starting cuDNN") != 0 ||
        sb_cuda_check(cudaEventCreateWithFlags(&p->timer[0], cudaEventDefault), "making an event") != 0 ||
        sb_cuda_check(cudaEventCreateWithFlags(&p->timer[1], cudaEventDefault), "making an event") != 0) {
        sb_cuda_planner_close(p);
        return -1;
    }
    snprintf(machine, sizeof machine, "%s, cuDNN %zu", cuda->base.description, cudnnGetVersion());
    sb_cuda_choices_open(&p->choices, machine);
    cuda->planner = p;
    return 0;
}

static void say(sb_device *device, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(sb_device *device, const char *format, ...)
{
    size_t used = strlen(device->planning);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(device->planning + used, sizeof device->planning - used, format, arguments);
    va_end(arguments);
}

/* What was planned so far, for the program's note. */
static void describe_planning(sb_cuda *cuda)
{
    const sb_cuda_planner *p = cuda->planner;
    const sb_cuda_choices *c = &p->choices;
    cuda->base.planning[0] = '\0';
    say(&cuda->base, "cuDNN: %d plans timed for %d operations, %d operations as kept in %s", p->timed, p->chosen, p->found,
        c->path[0] != '\0' ? c->path : "no file");
    if (p->lost > 0)
        say(&cuda->base, "; %d kept plans are no longer to be had: chosen anew, results may differ", p->lost);
    if (!c->keeps)
        say(&cuda->base, "; no choice is kept (%s): %d operations take the heuristics' first plan, untimed", c->trouble, p->untimed);
    else if (c->trouble[0] != '\0')
        say(&cuda->base, "; %s: chosen anew, results may differ", c->trouble);
}

/* ---- proposals --------------------------------------------------------------------------------------------------------------------------- */

static bool get(cudnnBackendDescriptor_t from, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t room, int64_t *count,
                void *out)
{
    return cudnnBackendGetAttribute(from, name, type, room, count, out) == CUDNN_STATUS_SUCCESS;
}

/* Whether an engine gives the same bits every time, in the precision asked for. */
static bool acceptable(cudnnBackendDescriptor_t engine, sb_type type)
{
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    int64_t count = 0;
    bool fine = get(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, notes);
    for (int64_t i = 0; fine && i < count; i++) {
        bool rough = notes[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC || notes[i] == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION ||
                     notes[i] == CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13;
        bool tf32 = type == SB_F32 &&
                    (notes[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE || notes[i] == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS);
        fine = !rough && !tf32;
    }
    return fine;
}

/* Appends "_kTYPE=VALUE" of every knob of a configuration. */
static bool name_knobs(cudnnBackendDescriptor_t configuration, char name[NAME_MAX_BYTES], size_t used)
{
    cudnnBackendDescriptor_t knobs[CUDNN_KNOB_TYPE_COUNTS] = { NULL };
    int64_t count = 0, one = 0, value = 0;
    cudnnBackendKnobType_t type;
    bool fine = get(configuration, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, NULL) &&
                count <= CUDNN_KNOB_TYPE_COUNTS;
    for (int64_t i = 0; fine && i < count; i++)
        fine = sb_cuda_dnn_create(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, &knobs[i]) == 0;
    if (fine && count > 0)
        fine = get(configuration, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, &one, knobs);
    for (int64_t i = 0; fine && i < count; i++) {
        fine = get(knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &one, &type) &&
               get(knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &one, &value);
        if (fine)
            used += (size_t)snprintf(name + used, NAME_MAX_BYTES - used, "_k%d=%lld", (int)type, (long long)value);
        fine = fine && used < NAME_MAX_BYTES;
    }
    for (int i = 0; i < CUDNN_KNOB_TYPE_COUNTS; i++)
        sb_cuda_dnn_destroy(&knobs[i]);
    return fine;
}

/* Whether a configuration will do, and its name. */
static bool examine(cudnnBackendDescriptor_t configuration, sb_type type, char name[NAME_MAX_BYTES])
{
    cudnnBackendDescriptor_t engine;
    int64_t count = 0, index = 0;
    if (sb_cuda_dnn_create(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine) != 0)
        return false;
    bool fine = get(configuration, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine) && acceptable(engine, type);
    bool named = fine && get(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &count, &index);
    sb_cuda_dnn_destroy(&engine);
    if (!named || !name_knobs(configuration, name, (size_t)snprintf(name, NAME_MAX_BYTES, "eng%lld", (long long)index)))
        name[0] = '\0';
    return fine;
}

/* Whether the plan can be built and fits. */
static bool build(cudnnHandle_t handle, cudnnBackendDescriptor_t configuration, candidate *c)
{
    int64_t bytes = 0, count = 0;
    if (sb_cuda_dnn_create(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &c->plan) == 0 &&
        sb_cuda_dnn_set(c->plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle) == 0 &&
        sb_cuda_dnn_set(c->plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &configuration) == 0 &&
        cudnnBackendFinalize(c->plan) == CUDNN_STATUS_SUCCESS &&
        get(c->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &count, &bytes) && (size_t)bytes <= WORKSPACE_MOST) {
        c->workspace = (size_t)bytes;
        return true;
    }
    sb_cuda_dnn_destroy(&c->plan);
    return false;
}

/* Builds the first acceptable plans of one list of proposals, up to `room`; only the one of this name, unless that is NULL. Returns how many. */
static int propose(cudnnHandle_t handle, cudnnBackendHeurMode_t mode, sb_type type, cudnnBackendDescriptor_t graph, const char *name,
                   candidate *out, int room)
{
    cudnnBackendDescriptor_t heuristics = NULL, configurations[PROPOSALS] = { NULL };
    int64_t count = 0;
    int made = 0, built = 0;
    if (sb_cuda_dnn_create(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &heuristics) != 0 ||
        sb_cuda_dnn_set(heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph) != 0 ||
        sb_cuda_dnn_set(heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode) != 0 ||
        cudnnBackendFinalize(heuristics) != CUDNN_STATUS_SUCCESS)
        goto out; /* no proposals: the next list may have some */
    if (!get(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, NULL))
        goto out;
    int most = count < PROPOSALS ? (int)count : PROPOSALS;
    while (made < most && sb_cuda_dnn_create(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &configurations[made]) == 0)
        made++;
    if (made == 0 || !get(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, made, &count, configurations))
        goto out;
    for (int64_t i = 0; built < room && i < count && i < made; i++) {
        candidate *c = &out[built];
        if (examine(configurations[i], type, c->name) && (!name || strcmp(c->name, name) == 0) && build(handle, configurations[i], c))
            built++;
    }
out:
    for (int i = 0; i < made; i++)
        sb_cuda_dnn_destroy(&configurations[i]);
    sb_cuda_dnn_destroy(&heuristics);
    return built;
}

static int propose_any(cudnnHandle_t handle, sb_type type, cudnnBackendDescriptor_t graph, const char *name, candidate *out, int room)
{
    int built = propose(handle, CUDNN_HEUR_MODE_A, type, graph, name, out, room);
    return built > 0 ? built : propose(handle, CUDNN_HEUR_MODE_FALLBACK, type, graph, name, out, room);
}

/* ---- running ----------------------------------------------------------------------------------------------------------------------------- */

static int run(const sb_cuda_planner *p, cudnnBackendDescriptor_t plan, const void *x, const void *w, const void *y, void *workspace)
{
    cudnnBackendDescriptor_t pack;
    int64_t names[] = { SB_CUDA_X, SB_CUDA_W, SB_CUDA_Y };
    const void *tensors[] = { x, w, y };
    int rc = sb_cuda_dnn_create(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack);
    if (rc == 0 && (sb_cuda_dnn_set(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 3, names) != 0 ||
                    sb_cuda_dnn_set(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3, tensors) != 0 ||
                    sb_cuda_dnn_set(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace) != 0 ||
                    sb_cuda_dnn_check(cudnnBackendFinalize(pack), "a convolution's arguments") != 0 ||
                    sb_cuda_dnn_check(cudnnBackendExecute(p->dnn, plan, pack), "running a convolution") != 0))
        rc = -1;
    sb_cuda_dnn_destroy(&pack);
    return rc;
}

int sb_cuda_plan_run(sb_cuda *cuda, const sb_cuda_plan *p, const void *x, const void *w, const void *y, void *workspace)
{
    return run(cuda->planner, p->plan, x, w, y, workspace);
}

/* ---- timing ------------------------------------------------------------------------------------------------------------------------------ */

/* Memory that candidates are timed on. */
typedef struct {
    void *workspace, *x, *w, *y; /* the workspace begins it */
    size_t workspace_bytes;
} trial;

/* The largest workspace of the candidates below `bound`; SIZE_MAX: there is none. */
static size_t largest_workspace(const candidate *c, int count, size_t bound)
{
    size_t largest = SIZE_MAX;
    for (int i = 0; i < count; i++)
        if (c[i].workspace < bound && (largest == SIZE_MAX || c[i].workspace > largest))
            largest = c[i].workspace;
    return largest;
}

/* Takes memory for all workspaces or, where that is too much, for the smaller ones. */
static int reserve(sb_device *device, const sb_conv_shape *s, sb_type filter, const candidate *c, int count, trial *t)
{
    size_t in = (size_t)s->in, out = (size_t)s->out, kernel = (size_t)s->kernel, n = (size_t)s->n;
    size_t x = sb_cuda_align(n * (size_t)s->h * (size_t)s->w * in * sb_type_bytes(s->type));
    size_t w = sb_cuda_align(out * kernel * kernel * in * sb_type_bytes(filter));
    size_t y = sb_cuda_align(n * (size_t)sb_conv_side(s, s->h) * (size_t)sb_conv_side(s, s->w) * out * sb_type_bytes(s->type));
    size_t workspace = SIZE_MAX;
    do {
        workspace = largest_workspace(c, count, workspace);
        if (workspace == SIZE_MAX)
            return -1;
    } while (device->alloc(device, sb_cuda_align(workspace) + x + w + y, &t->workspace) != 0);
    t->workspace_bytes = workspace;
    t->x = (char *)t->workspace + sb_cuda_align(workspace);
    t->w = (char *)t->x + x;
    t->y = (char *)t->w + w;
    if (device->zero(device, t->x, x + w + y) == 0)
        return 0;
    device->release(device, t->workspace);
    return -1;
}

/* The run before the one that counts warms caches and keeps the GPU busy until that is queued. */
static int time_once(sb_cuda *cuda, const candidate *c, const trial *t, float *milliseconds)
{
    sb_cuda_planner *p = cuda->planner;
    if (run(p, c->plan, t->x, t->w, t->y, t->workspace) != 0 ||
        sb_cuda_check(cudaEventRecord(p->timer[0], sb_cuda_compute(&cuda->base)), "timing a plan") != 0 ||
        run(p, c->plan, t->x, t->w, t->y, t->workspace) != 0 ||
        sb_cuda_check(cudaEventRecord(p->timer[1], sb_cuda_compute(&cuda->base)), "timing a plan") != 0 ||
        sb_cuda_check(cudaEventSynchronize(p->timer[1]), "timing a plan") != 0)
        return -1;
    return sb_cuda_check(cudaEventElapsedTime(milliseconds, p->timer[0], p->timer[1]), "timing a plan");
}

/* The fastest of the candidates; of equals the first. They take turns, so that a GPU that wakes up or grows hot does so for all of them. One that
 * fails is left out. -1: all do. Without memory to time them on, the first, and the planner stops timing: what is planned will not fit either. */
static int fastest(sb_cuda *cuda, const sb_conv_shape *s, sb_type filter, const candidate *c, int count)
{
    trial t;
    bool runs[CANDIDATES];
    float best[CANDIDATES], least = INFINITY;
    if (reserve(&cuda->base, s, filter, c, count, &t) != 0) {
        sb_context("timing plans");
        sb_cuda_choices_stop(&cuda->planner->choices, sb_error());
        return 0;
    }
    for (int i = 0; i < count; i++) {
        runs[i] = c[i].workspace <= t.workspace_bytes;
        best[i] = INFINITY;
    }
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < count; i++) {
            float milliseconds;
            runs[i] = runs[i] && time_once(cuda, &c[i], &t, &milliseconds) == 0;
            if (runs[i])
                best[i] = fminf(best[i], milliseconds);
        }
    cuda->base.release(&cuda->base, t.workspace);
    for (int i = 0; i < count; i++)
        if (runs[i]) {
            cuda->planner->timed++;
            least = fminf(least, best[i]);
        }
    for (int i = 0; i < count; i++)
        if (runs[i] && best[i] <= NOISE * least)
            return i;
    return sb_context("none of %d plans runs", count);
}

/* ---- choosing ---------------------------------------------------------------------------------------------------------------------------- */

/* Candidates [CANDIDATES] for an operation, and which of them is taken; -1: none. Without a place to keep it no choice is made by time: it
 * might be another one the next time. */
static int choose(sb_cuda *cuda, const sb_conv_shape *s, sb_type filter, cudnnBackendDescriptor_t graph, const char *operation, candidate *c,
                  int *count)
{
    sb_cuda_planner *p = cuda->planner;
    const char *name = sb_cuda_choices_find(&p->choices, operation);
    *count = name ? propose_any(p->dnn, s->type, graph, name, c, 1) : 0;
    if (*count > 0) {
        p->found++;
        return 0;
    }
    p->lost += name != NULL;
    *count = propose_any(p->dnn, s->type, graph, NULL, c, p->choices.keeps ? CANDIDATES : 1);
    if (*count == 0)
        return sb_fail("cuDNN %zu has no deterministic plan for a convolution, %s", cudnnGetVersion(), operation);
    int best = *count > 1 ? fastest(cuda, s, filter, c, *count) : 0;
    if (best < 0)
        return sb_context("a convolution, %s", operation);
    name = sb_cuda_choices_keep(&p->choices, operation, c[best].name);
    if (!name) {
        p->untimed++;
        return 0;
    }
    p->chosen++;
    for (int i = 0; i < *count; i++)
        if (strcmp(c[i].name, name) == 0) /* another process may have been first */
            return i;
    return best;
}

int sb_cuda_plan_create(sb_cuda *cuda, const sb_conv_shape *s, sb_cuda_direction direction, sb_type filter, sb_cuda_plan *out)
{
    static const char *const directions[] = { "forward", "data gradient", "weight gradient" }, *const types[] = { "f32", "bf16" };
    char operation[192];
    candidate c[CANDIDATES];
    int count = 0;
    *out = (sb_cuda_plan){ 0 };
    if (start(cuda) != 0 || sb_cuda_graph_create(cuda->planner->dnn, s, direction, filter, &out->graph) != 0)
        return -1;
    snprintf(operation, sizeof operation, "%s of [%d, %d, %d, %d] to %d channels, kernel %d, stride %d, pad %d, in %s with filters in %s",
             directions[direction], s->n, s->h, s->w, s->in, s->out, s->kernel, s->stride, s->pad, types[s->type], types[filter]);
    int chosen = choose(cuda, s, filter, out->graph.graph, operation, c, &count);
    for (int i = 0; i < count; i++) {
        if (i == chosen) {
            out->plan = c[i].plan;
            out->workspace = c[i].workspace;
        } else {
            sb_cuda_dnn_destroy(&c[i].plan);
        }
    }
    describe_planning(cuda);
    if (chosen >= 0)
        return 0;
    sb_cuda_plan_destroy(out);
    return -1;
}

void sb_cuda_plan_destroy(sb_cuda_plan *p)
{
    sb_cuda_dnn_destroy(&p->plan);
    sb_cuda_graph_destroy(&p->graph);
}
