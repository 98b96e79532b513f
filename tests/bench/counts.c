/* counts.c: see counts.h. */
#include "tests/bench/counts.h"

#include <string.h>

#include "proto/error.h"
#include "trainer/backbone.h"
#include "trainer/graph/plan.h"
#include "trainer/method.h"
#include "trainer/precision.h"

/* ---- a device that prepares nothing -------------------------------------------------------------------- */

static const sb_kernel nothing;
#define SB_OP(NAME, name) [SB_OP_##NAME] = &nothing,
static const sb_kernel *const kernels[SB_OPS] = {
#include "kernels/ops.def"
};
#undef SB_OP
static sb_device paper = { .kernels = kernels, .bf16 = true, .f16 = true, .tf32 = true };

/* ---- tallies ------------------------------------------------------------------------------------------- */

typedef struct {
    const sb_peak *peaks;
    int peak_count;
    sb_type type; /* of the activations */
    sb_counts *out;
} counter;

void sb_tally_add(sb_tally *to, const sb_tally *from)
{
    to->calls += from->calls;
    to->bytes += from->bytes;
    to->operations += from->operations;
    for (int p = 0; p < SB_PEAKS_MAX; p++)
        to->bound[p] += from->bound[p];
}

static void count(const counter *c, sb_tally *to, double bytes, double operations, sb_type type)
{
    sb_tally now = { .calls = 1, .bytes = bytes, .operations = operations };
    for (int p = 0; p < c->peak_count; p++)
        now.bound[p] = sb_peak_bound(&c->peaks[p], bytes, operations, type);
    sb_tally_add(to, &now);
}

static void count_call(void *context, sb_op_id op, const sb_call *call, bool backward)
{
    const counter *c = context;
    sb_cost cost = sb_ops[op]->cost(call->how, call->xs, backward);
    if (backward && !call->gradient[0]) { /* the pixels' gradient: a product as large as the forward one */
        cost.operations -= sb_ops[op]->cost(call->how, call->xs, false).operations;
        cost.bytes -= (double)sb_shape_bytes(&call->xs[0]);
    }
    count(c, backward ? &c->out->backward[op] : &c->out->forward[op], cost.bytes, cost.operations,
          call->xs[0].type);
}

sb_tally sb_counts_sum(const sb_counts *n)
{
    sb_tally all = n->pack;
    sb_tally_add(&all, &n->rows);
    for (int op = 0; op < SB_OPS; op++) {
        if (op == SB_OP_VIEW)
            continue;
        sb_tally_add(&all, &n->forward[op]);
        sb_tally_add(&all, &n->backward[op]);
    }
    return all;
}

/* ---- a step -------------------------------------------------------------------------------------------- */

typedef struct {
    sb_store store;
    sb_graph *encoder, *loss, *target;
    sb_backbone backbone;
    sb_method method;
    sb_shape rows[SB_METHOD_ROWS];
} graphs;

static void free_graphs(graphs *g)
{
    sb_graph_destroy(&g->encoder);
    sb_graph_destroy(&g->loss);
    sb_graph_destroy(&g->target);
    sb_backbone_free(&g->backbone);
    sb_store_free(&g->store);
}

static int build(graphs *g, const sb_settings *config, sb_type type)
{
    *g = (graphs){ 0 };
    sb_store_init(&g->store, &paper);
    if (sb_graph_create(&g->encoder, &g->store) != 0 || sb_graph_create(&g->loss, &g->store) != 0 ||
        sb_graph_create(&g->target, &g->store) != 0)
        return -1;
    if (sb_backbone_build(&g->backbone, g->encoder, config, type) != 0 ||
        sb_backbone_rows(&g->backbone, config, g->rows) != 0)
        return -1;
    return sb_method_build(&g->method, g->loss, g->target, config, g->rows);
}

/* The teacher over a chunk of n views. */
static int count_teacher(const counter *c, const sb_teacher *teacher, int n, int side, int passes,
                         size_t *arena)
{
    const sb_shape pixels = sb_teacher_pixels(teacher, n, side);
    sb_plan *plan;
    if (sb_plan_create(&plan, teacher->graph, &pixels, &(sb_plan_options){ 0 }) != 0)
        return -1;
    for (int i = 0; i < (teacher->places ? passes : 1); i++)
        sb_plan_visit(plan, false, count_call, (void *)(uintptr_t)c);
    *arena = sb_plan_arena_bytes(plan) > *arena ? sb_plan_arena_bytes(plan) : *arena;
    sb_plan_destroy(&plan);
    return 0;
}

/* A chunk of n views: there and back, and there once more where the batch has several. */
static int count_chunk(const counter *c, const graphs *g, const sb_settings *config, int n, int side,
                       int passes, size_t *arena)
{
    sb_shape leaves[SB_LEAVES_MAX];
    const sb_plan_options options = { .training = true };
    sb_plan *plan;
    if ((g->backbone.teacher.graph && count_teacher(c, &g->backbone.teacher, n, side, passes, arena) != 0) ||
        sb_backbone_leaves(&g->backbone, config, n, side, leaves) < 0 ||
        sb_plan_create(&plan, g->encoder, leaves, &options) != 0)
        return -1;
    for (int i = 0; i < passes; i++)
        sb_plan_visit(plan, false, count_call, (void *)(uintptr_t)c);
    sb_plan_visit(plan, true, count_call, (void *)(uintptr_t)c);
    const sb_shape index = { n, 1, 1, 1, SB_I32 };
    for (int k = 0; k < SB_BACKBONE_ROWS; k++) { /* features out, their gradient in */
        const sb_shape moved[] = { index, { n, g->rows[k].h, g->rows[k].w, g->rows[k].c, SB_F32 } };
        if (g->rows[k].c > 0)
            count(c, &c->out->rows,
                  sb_op_scatter.cost(NULL, moved, false).bytes + sb_op_gather.cost(NULL, moved, false).bytes,
                  0, SB_F32);
    }
    c->out->index += (double)sb_shape_bytes(&index);
    c->out->pixels += (double)passes * (double)sb_shape_bytes(&leaves[0]);
    *arena = sb_plan_arena_bytes(plan) > *arena ? sb_plan_arena_bytes(plan) : *arena;
    sb_plan_destroy(&plan);
    return 0;
}

static int count_encoder(const counter *c, const graphs *g, const sb_settings *config, size_t *arena)
{
    int sizes[SB_VIEWS_MAX], size_count = sb_view_sizes(config->views, config->view_count, sizes);
    for (int s = 0; s < size_count; s++) {
        int rows = 0, most = config->trainer.chunk;
        for (int v = 0; v < config->view_count; v++)
            rows += config->views[v].side == sizes[s] ? config->trainer.batch : 0;
        most = most < 1 || most > rows ? rows : most;
        for (int done = 0; done < rows; done += most) {
            int n = rows - done < most ? rows - done : most;
            bool last = s == size_count - 1 && done + n == rows; /* still there for the way back */
            c->out->chunks++;
            if (count_chunk(c, g, config, n, sizes[s], last ? 1 : 2, arena) != 0)
                return -1;
        }
    }
    return 0;
}

static int count_heads(const counter *c, const graphs *g, size_t *arena)
{
    sb_shape leaves[SB_LEAVES_MAX] = { 0 };
    size_t given = 0;
    for (int k = 0; k < g->loss->leaf_count; k++) {
        leaves[k] = sb_shape_of(g->loss, g->loss->leaves[k]);
        given += sb_shape_bytes(&leaves[k]);
        c->out->numbers += (double)sb_given_bytes(g->method.given[k].kind, &leaves[k]);
    }
    const sb_plan_options options = { .training = true };
    sb_plan *plan;
    if (sb_plan_create(&plan, g->loss, leaves, &options) != 0)
        return -1;
    sb_plan_visit(plan, false, count_call, (void *)(uintptr_t)c);
    sb_plan_visit(plan, true, count_call, (void *)(uintptr_t)c);
    *arena = sb_plan_arena_bytes(plan) + given + sb_shape_bytes(&leaves[0]); /* the features' gradient */
    sb_plan_destroy(&plan);
    return 0;
}

/* The optimiser reads and writes each weight and its state and reads the gradient, which was zeroed before;
 * LARS reads weight and gradient once more for their norms. The encoder's convolutions get their weights in
 * the compute type. */
static void count_weights(const counter *c, const graphs *g, const sb_settings *config, int state_arrays)
{
    double weights = (double)g->store.floats[SB_ENTRY_WEIGHT], packed = 0;
    for (int i = 0; i < g->store.count; i++)
        packed += g->store.entries[i].extent.dims == 4 ? (double)g->store.entries[i].count : 0;
    int lars = config->optimiser_kind->rule == SB_UPDATE_LARS;
    count(c, &c->out->forward[SB_OP_UPDATE], 4 * weights * (4 + 2 * state_arrays + 2 * lars), 0, SB_F32);
    count(c, &c->out->forward[SB_OP_ROW_DOT], 4 * weights, 2 * weights, SB_F32); /* its length */
    count(c, &c->out->pack, packed * (4.0 + (double)sb_type_bytes(c->type)), 0, SB_F32);
}

/* The views of a batch, from whole tiles and all blurred: each plane is made by rows and columns, changed,
 * and blurred in both directions. */
static void count_views(const counter *c, const sb_settings *config)
{
    double channels = config->data.channels, tile = (double)config->data.tile * config->data.tile * channels,
           bytes = 0, views = 0;
    for (int v = 0; v < config->view_count; v++) {
        double size = config->views[v].side, plane = 4 * size * size * channels,
               rows = 4 * size * config->data.tile * channels;
        bytes += tile + 2 * rows + plane + 2 * plane + 2 * plane + plane + size * size * channels;
        views += size * size * channels;
    }
    for (int i = 0; i < config->trainer.batch; i++)
        count(c, &c->out->forward[SB_OP_VIEW], bytes, 0, SB_F32);
    c->out->tiles = tile * config->trainer.batch;
    c->out->views = views * config->trainer.batch;
}

int sb_counts_step(const sb_settings *config, const sb_peak *peaks, int peak_count, sb_counts *out)
{
    memset(out, 0, sizeof *out);
    const sb_type type = sb_precision_type(config->trainer.precision);
    const counter c = { .peaks = peaks, .peak_count = peak_count, .type = type, .out = out };
    size_t arena = 0, batch = 0;
    int state_arrays = config->optimiser_kind->state_arrays;
    graphs g;
    int rc = build(&g, config, type);
    if (rc == 0)
        rc = count_encoder(&c, &g, config, &arena) != 0 ? -1 : count_heads(&c, &g, &batch);
    if (rc == 0) {
        count_weights(&c, &g, config, state_arrays);
        count_views(&c, config);
        out->memory = (double)(arena + batch +
                               ((2 + (size_t)state_arrays) * g.store.floats[SB_ENTRY_WEIGHT]) *
                                   sizeof(float));
    }
    free_graphs(&g);
    return rc;
}
