/* plan.c: see plan.h. */
#include "kernels/cuda/plan.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/choices.h"
#include "kernels/cuda/proposals.h"

#define WORKSPACE_SHARE 8 /* the GPU's memory over this is what a plan's workspace should keep within */
#define WORKSPACE_SUMS ((size_t)32 << 20) /* the most seen beside copies of tensors: 25 MiB */
#define CANDIDATES 4                      /* plans of a graph that are timed */
#define ROUNDS 3                          /* the best of which counts */
#define NEAR 1.1f                         /* of the least time: what the workspace decides among */

struct sb_cuda_planner {
    cudnnHandle_t dnn;
    cudaEvent_t timer[2];
    sb_cuda_choices choices;
    size_t workspace; /* bytes: a plan that needs more comes after the others */
    int timed;        /* plans */
    int chosen, found, lost,
        untimed; /* operations: by time; as kept; whose kept plan is none any more; by the heuristics alone */
};

/* ---- workspaces ---------------------------------------------------------------------------------------- */

/* Bytes of the tensors. */
static void measure(const sb_cuda_shape *s, size_t *x, size_t *w, size_t *y)
{
    size_t in = (size_t)s->in, out = (size_t)s->out, kernel = (size_t)s->kernel, n = (size_t)s->n;
    *x = sb_cuda_align(n * (size_t)s->h * (size_t)s->w * in * sb_type_bytes(s->type));
    *w = sb_cuda_align(out * kernel * kernel * in * sb_type_bytes(s->type));
    *y = sb_cuda_align(n * (size_t)s->oh * (size_t)s->ow * out * sb_type_bytes(s->type));
}

size_t sb_cuda_workspace_most(const sb_cuda_shape *s)
{
    size_t x, w, y;
    measure(s, &x, &w, &y);
    return w + WORKSPACE_SUMS + (s->type == SB_F32 ? x + y : 0);
}

/* ---- the planner --------------------------------------------------------------------------------------- */

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

int sb_cuda_planner_start(sb_cuda *cuda)
{
    if (cuda->planner)
        return 0;
    char machine[sizeof cuda->base.description + 32];
    sb_cuda_planner *p = sb_zeroed(1, sizeof *p, "the planner of convolutions");
    if (!p)
        return -1;
    if (sb_cuda_dnn_check(cudnnCreate(&p->dnn), "starting cuDNN") != 0 ||
        sb_cuda_dnn_check(cudnnSetStream(p->dnn, cuda->stream[SB_STREAM_COMPUTE]), "starting cuDNN") != 0 ||
        sb_cuda_check(cudaEventCreateWithFlags(&p->timer[0], cudaEventDefault), "making an event") != 0 ||
        sb_cuda_check(cudaEventCreateWithFlags(&p->timer[1], cudaEventDefault), "making an event") != 0) {
        sb_cuda_planner_close(p);
        return -1;
    }
    p->workspace = cuda->memory / WORKSPACE_SHARE;
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
    say(&cuda->base, "cuDNN: %d plan%s timed for %d operation%s, %d operation%s as kept in %s", p->timed,
        sb_plural((uint64_t)p->timed), p->chosen, sb_plural((uint64_t)p->chosen), p->found,
        sb_plural((uint64_t)p->found), c->path[0] != '\0' ? c->path : "no file");
    if (p->lost > 0)
        say(&cuda->base, "; %d kept plan%s no longer to be had: chosen anew, results may differ", p->lost,
            sb_plural((uint64_t)p->lost));
    if (!c->keeps)
        say(&cuda->base, "; no choice is kept (%s): the heuristics' first plan, untimed, for %d operation%s",
            c->trouble, p->untimed, sb_plural((uint64_t)p->untimed));
    else if (c->trouble[0] != '\0')
        say(&cuda->base, "; %s: chosen anew, results may differ", c->trouble);
}

/* ---- running ------------------------------------------------------------------------------------------- */

static int run(const sb_cuda_planner *p, cudnnBackendDescriptor_t plan, const void *x, const void *w,
               const void *y, void *workspace)
{
    cudnnBackendDescriptor_t pack;
    int64_t names[] = { SB_CUDA_X, SB_CUDA_W, SB_CUDA_Y };
    const void *tensors[] = { x, w, y };
    int rc = sb_cuda_dnn_create(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack);
    if (rc == 0 &&
        (sb_cuda_dnn_set(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 3, names) != 0 ||
         sb_cuda_dnn_set(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3, tensors) != 0 ||
         sb_cuda_dnn_set(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace) != 0 ||
         sb_cuda_dnn_check(cudnnBackendFinalize(pack), "a convolution's arguments") != 0 ||
         sb_cuda_dnn_check(cudnnBackendExecute(p->dnn, plan, pack), "running a convolution") != 0))
        rc = -1;
    sb_cuda_dnn_destroy(&pack);
    return rc;
}

int sb_cuda_plan_run(sb_cuda *cuda, const sb_cuda_plan *p, const void *x, const void *w, const void *y,
                     void *workspace)
{
    return run(cuda->planner, p->plan, x, w, y, workspace);
}

/* ---- timing -------------------------------------------------------------------------------------------- */

/* Memory that candidates are timed on. */
typedef struct {
    void *workspace, *x, *w, *y; /* the workspace begins it */
    size_t workspace_bytes;
} trial;

/* The largest workspace of the candidates below `bound`; SIZE_MAX: there is none. */
static size_t largest_workspace(const sb_cuda_proposal *c, int count, size_t bound)
{
    size_t largest = SIZE_MAX;
    for (int i = 0; i < count; i++)
        if (c[i].workspace < bound && (largest == SIZE_MAX || c[i].workspace > largest))
            largest = c[i].workspace;
    return largest;
}

/* Takes memory for all workspaces or, where that is too much, for the smaller ones. */
static int reserve(sb_device *device, const sb_cuda_shape *s, const sb_cuda_proposal *c, int count, trial *t)
{
    size_t x, w, y, workspace = SIZE_MAX;
    measure(s, &x, &w, &y);
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
static int time_once(sb_cuda *cuda, const sb_cuda_proposal *c, const trial *t, float *milliseconds)
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

/* Of the candidates within a tenth of the fastest the one with the smallest workspace, of equals the first:
 * its time is hardly worse, and the memory it leaves may hold more views. They take turns, so that a GPU that
 * wakes up or grows hot does so for all of them. One that fails is left out. -1: all do. Without memory to
 * time them on, the first, and the planner stops timing: what is planned will not fit either. */
static int best_of(sb_cuda *cuda, const sb_cuda_shape *s, const sb_cuda_proposal *c, int count)
{
    trial t;
    bool runs[CANDIDATES];
    float times[CANDIDATES], least = INFINITY;
    int best = -1;
    if (reserve(&cuda->base, s, c, count, &t) != 0) {
        sb_context("timing plans");
        sb_cuda_choices_stop(&cuda->planner->choices, sb_error());
        return 0;
    }
    for (int i = 0; i < count; i++) {
        runs[i] = c[i].workspace <= t.workspace_bytes;
        times[i] = INFINITY;
    }
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < count; i++) {
            float milliseconds;
            runs[i] = runs[i] && time_once(cuda, &c[i], &t, &milliseconds) == 0;
            if (runs[i])
                times[i] = fminf(times[i], milliseconds);
        }
    cuda->base.release(&cuda->base, t.workspace);
    for (int i = 0; i < count; i++)
        if (runs[i]) {
            cuda->planner->timed++;
            least = fminf(least, times[i]);
        }
    for (int i = 0; i < count; i++)
        if (runs[i] && times[i] <= NEAR * least && (best < 0 || c[i].workspace < c[best].workspace))
            best = i;
    return best >= 0 ? best : sb_context("none of %d plans runs", count);
}

/* ---- choosing ------------------------------------------------------------------------------------------ */

/* Candidates [CANDIDATES] for an operation, and which of them is taken; -1: none. Without a place to keep it
 * no choice is made by time: it might be another one the next time. */
static int choose(sb_cuda *cuda, const sb_cuda_shape *s, cudnnBackendDescriptor_t graph,
                  const char *operation, sb_cuda_proposal *c, int *count)
{
    sb_cuda_planner *p = cuda->planner;
    const char *name = sb_cuda_choices_find(&p->choices, operation);
    size_t most = sb_cuda_workspace_most(s);
    const bool rounds = cuda->base.rounds;
    *count = name ? sb_cuda_propose(p->dnn, graph, s->type, rounds, p->workspace, most, name, c, 1) : 0;
    if (*count > 0) {
        p->found++;
        return 0;
    }
    p->lost += name != NULL;
    *count = sb_cuda_propose(p->dnn, graph, s->type, rounds, p->workspace, most, NULL, c,
                             p->choices.keeps ? CANDIDATES : 1);
    if (*count == 0)
        return sb_fail("cuDNN %zu has no deterministic plan within %zu MiB for a convolution, %s",
                       cudnnGetVersion(), most >> 20, operation);
    int best = *count > 1 ? best_of(cuda, s, c, *count) : 0;
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

int sb_cuda_plan_create(sb_cuda *cuda, const sb_cuda_shape *s, sb_cuda_direction direction, sb_cuda_plan *out)
{
    static const char *const directions[] = { "forward", "data gradient", "weight gradient" };
    char operation[192];
    sb_cuda_proposal c[CANDIDATES];
    int count = 0;
    *out = (sb_cuda_plan){ 0 };
    if (sb_cuda_planner_start(cuda) != 0 ||
        sb_cuda_graph_create(cuda->planner->dnn, s, direction, &out->graph) != 0)
        return -1;
    snprintf(operation, sizeof operation,
             "%s of [%d, %d, %d, %d] to %d channels, kernel %d, stride %d, pad %d, in %s",
             directions[direction], s->n, s->h, s->w, s->in, s->out, s->kernel, s->stride, s->pad,
             s->type == SB_F32 && cuda->base.rounds ? "tf32" : sb_type_name(s->type));
    int chosen = choose(cuda, s, out->graph.graph, operation, c, &count);
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
