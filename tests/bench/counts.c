/* counts.c: see counts.h. */
#include "tests/bench/counts.h"

#include <stdio.h>
#include <string.h>

#include "proto/error.h"
#include "trainer/planner.h"
#include "trainer/precision.h"
#include "trainer/step/private.h"

/* ---- a device that prepares nothing -------------------------------------------------------------------- */

static const sb_kernel nothing;
#define SB_OP(NAME, name) [SB_OP_##NAME] = &nothing,
static const sb_kernel *const kernels[SB_OPS] = {
#include "kernels/ops.def"
};
#undef SB_OP

static size_t paper_bytes;
static int available(sb_device *device, size_t *bytes) { return (void)device, *bytes = paper_bytes, 0; }

static sb_device paper = {
    .kernels = kernels, .bf16 = true, .f16 = true, .tf32 = true, .available = available
};

sb_device *sb_counts_paper(size_t bytes)
{
    paper_bytes = bytes;
    return &paper;
}

int sb_counts_settings(sb_settings *out, sb_device *device, const char *recipe,
                       const char *const *assignments, int count)
{
    sb_config config;
    sb_config_init(&config);
    int rc = recipe ? sb_config_read(&config, recipe) : 0;
    for (int i = 0; rc == 0 && i < count; i++)
        rc = sb_config_set(&config, assignments[i]);
    if (rc == 0 && (sb_settings_read(out, &config) != 0 || sb_planner_settle_on(device, out, &config) != 0))
        rc = -1;
    sb_config_free(&config);
    return rc;
}

/* ---- the steps that are predicted --------------------------------------------------------------------- */

const sb_counts_case sb_counts_cases[] = { { "ResNet-18 at 224", "resnet18", 224, 128 },
                                           { "ResNet-50 at 224", "resnet50", 224, 128 },
                                           { "ResNet-18 at 1024", "resnet18", 1024, 64 },
                                           { "ResNet-50 at 1024", "resnet50", 1024, 64 } };
const int sb_counts_case_count = (int)(sizeof sb_counts_cases / sizeof *sb_counts_cases);

int sb_counts_case_settings(sb_settings *out, sb_device *device, const sb_counts_case *c,
                            const char *precision, const char *const *more, int count)
{
    enum { OWN = 5, MORE = 16 };
    char text[OWN][64];
    const char *assignments[OWN + MORE] = { text[0], text[1], text[2], text[3], text[4] };
    if (count > MORE)
        return sb_fail("more than %d keys", MORE);
    snprintf(text[0], sizeof text[0], "data.path=none");
    snprintf(text[1], sizeof text[1], "encoder.name=%s", c->encoder);
    snprintf(text[2], sizeof text[2], "data.view=%d", c->pixels);
    snprintf(text[3], sizeof text[3], "trainer.batch=%d", c->batch);
    snprintf(text[4], sizeof text[4], "trainer.precision=%s", precision);
    for (int i = 0; i < count; i++)
        assignments[OWN + i] = more[i];
    return sb_counts_settings(out, device, "recipes/demo.yaml", assignments, OWN + count);
}

/* ---- tallies ------------------------------------------------------------------------------------------- */

typedef struct {
    const sb_peak *peaks;
    int peak_count;
    bool gathers; /* after this pass norms update what is running: mean and variance, read twice, written */
    sb_counts *out;
} counter;

static void add_tally(sb_tally *to, const sb_tally *from)
{
    to->calls += from->calls;
    to->bytes += from->bytes;
    to->operations += from->operations;
    to->kernels += from->kernels;
    to->libraries += from->libraries;
    for (int p = 0; p < SB_PEAKS_MAX; p++) {
        to->bound[p] += from->bound[p];
        to->model[p] += from->model[p];
    }
}

static void count(const counter *c, sb_tally *to, const sb_work *w)
{
    const sb_assumption *a = &sb_assumed[w->kind];
    sb_tally now = { .calls = 1,
                     .bytes = w->cost.bytes,
                     .operations = w->cost.operations,
                     .kernels = a->kernels[w->backward],
                     .libraries = a->libraries[w->backward] };
    for (int p = 0; p < c->peak_count; p++) {
        now.bound[p] = sb_work_bound(&c->peaks[p], w);
        now.model[p] = sb_work_seconds(&c->peaks[p], w);
    }
    add_tally(to, &now);
}

/* What moves f32 alone. */
static void count_moved(const counter *c, sb_tally *to, sb_kind kind, double bytes)
{
    count(c, to, &(sb_work){ .kind = kind, .type = SB_F32, .cost = { .bytes = bytes } });
}

static void count_call(void *context, sb_op_id op, const sb_call *call, bool backward)
{
    const counter *c = context;
    const sb_work w = sb_work_of(op, call, backward);
    count(c, backward ? &c->out->backward[op] : &c->out->forward[op], &w);
    if (c->gathers && op == SB_OP_BATCHNORM && !backward)
        count_moved(c, &c->out->forward[SB_OP_RUNNING], SB_KIND_WEIGHTS, 24.0 * call->xs[0].c);
}

/* A way forth and others, and a way back. */
static void count_plan(const counter *c, const sb_plan *plan, int passes)
{
    counter first = *c;
    first.gathers = true;
    for (int i = 0; i < passes; i++)
        sb_plan_visit(plan, false, count_call, i == 0 ? &first : (void *)(uintptr_t)c);
    sb_plan_visit(plan, true, count_call, (void *)(uintptr_t)c);
}

sb_tally sb_counts_sum(const sb_counts *n)
{
    sb_tally all = n->pack;
    add_tally(&all, &n->rows);
    for (int op = 0; op < SB_OPS; op++) {
        if (op == SB_OP_VIEW)
            continue;
        add_tally(&all, &n->forward[op]);
        add_tally(&all, &n->backward[op]);
    }
    return all;
}

/* ---- a step -------------------------------------------------------------------------------------------- */

/* The teacher over a chunk of n views. */
static int count_teacher(const counter *c, const sb_teacher *teacher, int n, int side, int passes)
{
    const sb_shape pixels = sb_teacher_pixels(teacher, n, side);
    sb_plan *plan;
    if (sb_plan_create(&plan, teacher->graph, &pixels, &(sb_plan_options){ 0 }) != 0)
        return -1;
    for (int i = 0; i < (teacher->places ? passes : 1); i++)
        sb_plan_visit(plan, false, count_call, (void *)(uintptr_t)c);
    sb_plan_destroy(&plan);
    return 0;
}

/* A chunk of n views: there so many times, and back. */
static int count_chunk(const counter *c, const sb_step *s, int n, int side, int passes)
{
    sb_shape leaves[SB_LEAVES_MAX], rows[SB_METHOD_ROWS];
    const sb_plan_options options = { .training = true, .again = s->again };
    sb_plan *plan;
    if ((s->backbone.teacher.graph && count_teacher(c, &s->backbone.teacher, n, side, passes) != 0) ||
        sb_backbone_rows(&s->backbone, s->config, rows) != 0 ||
        sb_backbone_leaves(&s->backbone, s->config, n, side, leaves) < 0 ||
        sb_plan_create(&plan, s->encoder, leaves, &options) != 0)
        return -1;
    count_plan(c, plan, passes);
    const sb_shape index = { n, 1, 1, 1, SB_I32 };
    for (int k = 0; k < SB_BACKBONE_ROWS; k++) { /* features out, their gradient in */
        const sb_shape moved[] = { index, { n, rows[k].h, rows[k].w, rows[k].c, SB_F32 } };
        if (rows[k].c > 0) {
            count_moved(c, &c->out->rows, SB_KIND_VALUES, sb_op_scatter.cost(NULL, moved, false).bytes);
            count_moved(c, &c->out->rows, SB_KIND_VALUES, sb_op_gather.cost(NULL, moved, false).bytes);
        }
    }
    c->out->index += (double)sb_shape_bytes(&index);
    c->out->pixels += (double)passes * (double)sb_shape_bytes(&leaves[0]);
    sb_plan_destroy(&plan);
    return 0;
}

/* The last chunk is still there for its way back, unless heads and loss needed its memory. */
static int count_encoder(const counter *c, const sb_step *s)
{
    sb_step_cut cuts[SB_VIEWS_MAX];
    const int sizes = sb_step_cut_batch(s->config, s->config->trainer.chunk, cuts);
    for (int k = 0; k < sizes; k++)
        for (int done = 0; done < cuts[k].rows;) {
            const int left = cuts[k].rows - done, n = left < cuts[k].whole ? left : cuts[k].whole;
            done += n;
            const bool last = k == sizes - 1 && done == cuts[k].rows;
            c->out->chunks++;
            if (count_chunk(c, s, n, cuts[k].side, last && !s->shares ? 1 : 2) != 0)
                return -1;
        }
    return 0;
}

static int count_heads(const counter *c, const sb_step *s)
{
    sb_shape leaves[SB_LEAVES_MAX] = { 0 };
    for (int k = 0; k < s->loss->leaf_count; k++) {
        leaves[k] = sb_shape_of(s->loss, s->loss->leaves[k]);
        c->out->numbers += (double)sb_given_bytes(s->method.given[k].kind, &leaves[k]);
    }
    const sb_plan_options options = { .training = true };
    sb_plan *plan;
    if (sb_plan_create(&plan, s->loss, leaves, &options) != 0)
        return -1;
    count_plan(c, plan, 1);
    sb_plan_destroy(&plan);
    return 0;
}

/* The optimiser reads and writes each weight and its state and reads the gradient, which was zeroed before;
 * LARS reads weight and gradient once more for their norms. The encoder's convolutions get their weights in
 * the compute type. */
static void count_weights(const counter *c, const sb_step *s)
{
    const int lars = s->config->optimiser_kind->rule == SB_UPDATE_LARS,
              states = s->config->optimiser_kind->state_arrays;
    const double weights = (double)s->store.floats[SB_ENTRY_WEIGHT];
    count_moved(c, &c->out->forward[SB_OP_UPDATE], SB_KIND_WEIGHTS,
                4 * weights * (4 + 2 * states + 2 * lars));
    count_moved(c, &c->out->forward[SB_OP_ROW_DOT], SB_KIND_WEIGHTS, 4 * weights); /* its length */
    for (int i = 0; i < s->store.count; i++)
        if (s->store.entries[i].extent.dims == 4)
            count_moved(c, &c->out->pack, SB_KIND_VALUES,
                        (double)s->store.entries[i].count *
                            (double)(sizeof(float) + sb_type_bytes(sb_precision_type(s->precision))));
}

/* The views of a batch, from whole tiles and all blurred. */
static void count_views(const counter *c, const sb_settings *config)
{
    const int tile = config->data.tile, channels = config->data.channels;
    sb_work w = { .kind = SB_KIND_VIEW, .type = SB_F32 };
    for (int v = 0; v < config->view_count; v++) {
        const int side = config->views[v].side;
        const sb_cost cost = sb_cost_of_view(tile, tile, channels, side, true);
        w.cost.bytes += cost.bytes;
        w.cost.operations += cost.operations;
        c->out->views += (double)side * side * channels * config->trainer.batch;
    }
    for (int i = 0; i < config->trainer.batch; i++)
        count(c, &c->out->forward[SB_OP_VIEW], &w);
    c->out->tiles = (double)tile * tile * channels * config->trainer.batch;
}

int sb_counts_step(const sb_settings *config, const sb_peak *peaks, int peak_count, sb_counts *out)
{
    memset(out, 0, sizeof *out);
    const counter c = { .peaks = peaks, .peak_count = peak_count, .out = out };
    sb_step *step = NULL;
    sb_step_budget budget = { 0 };
    int rc = sb_step_sketch(&step, &paper, config);
    if (rc == 0)
        rc = sb_step_size(step, config->trainer.chunk, config->trainer.recompute, &budget);
    if (rc == 0)
        rc = count_encoder(&c, step) != 0 ? -1 : count_heads(&c, step);
    if (rc == 0) {
        count_weights(&c, step);
        count_views(&c, config);
        out->memory = (double)(budget.weights + budget.packed + budget.activations + budget.batch);
    }
    sb_step_destroy(&step);
    return rc;
}

double sb_counts_seconds(const sb_counts *counts, const sb_peak *peaks, int place)
{
    const sb_tally all = sb_counts_sum(counts);
    const double link = peaks[place].link * SB_MODEL_LINK,
                 up = counts->pixels + counts->index + counts->numbers, upload = link > 0 ? up / link : 0,
                 host = all.kernels * SB_MODEL_QUEUE + all.libraries * SB_MODEL_EXECUTE,
                 longer = host > upload ? host : upload;
    return all.model[place] > longer ? all.model[place] : longer;
}
