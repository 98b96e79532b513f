/* method.c: see method.h. */
#include "trainer/method.h"

#include <stdio.h>
#include <string.h>

#include "proto/error.h"
#include "trainer/configuration.h"
#include "trainer/dense.h"
#include "trainer/graph/build.h"
#include "trainer/heads/guide.h"

const sb_method_kind *const sb_methods[] = {
#define SB_METHOD(name) &sb_method_##name,
#include "trainer/methods/methods.def"
#undef SB_METHOD
    NULL
};

static bool together(const sb_method *m) { return m->config->projector.views == SB_VIEWS_TOGETHER; }

/* ---- leaves -------------------------------------------------------------------------------------------- */

static sb_t leaf(sb_method *m, const char *name, sb_shape shape, sb_given given)
{
    int index = m->graph->leaf_count;
    sb_t t = sb_leaf(m->graph, name, shape, false);
    if (t >= 0)
        m->given[index] = given;
    return t;
}

sb_t sb_places(sb_method *m)
{
    return leaf(m, "places", (sb_shape){ m->samples, 1, 1, SB_SQUARE_NUMBERS, SB_I32 },
                (sb_given){ .kind = SB_GIVEN_PLACES });
}

sb_t sb_number(sb_method *m, sb_schedule number)
{
    return leaf(m, "number", (sb_shape){ 1, 1, 1, 1, SB_F32 },
                (sb_given){ .kind = SB_GIVEN_NUMBER, .number = number });
}

static double one(const sb_method *m, int64_t step, int64_t steps)
{
    return (void)m, (void)step, (void)steps, 1;
}

sb_t sb_one(sb_method *m) { return sb_number(m, one); }

sb_t sb_normal(sb_method *m, int rows, int width)
{
    return leaf(m, "normal numbers", (sb_shape){ rows, 1, 1, width, SB_F32 },
                (sb_given){ .kind = SB_GIVEN_NORMAL });
}

sb_t sb_learnt(sb_method *m, const char *name)
{
    sb_t t = sb_linear(m->graph, sb_one(m), name, .out = 1);
    sb_entry *e = sb_weight_of(m->graph, t, 0);
    if (e) {
        e->extent.init = SB_INIT_ZERO;
        e->extent.decayed = false;
    }
    return t;
}

/* The number of a leaf. */
static int number_of(const sb_method *m, sb_t t)
{
    int leaf = 0;
    while (m->graph->leaves[leaf] != t)
        leaf++;
    return leaf;
}

/* Rows that are zeros at first, and then what a step pushed. */
static sb_t keep(sb_method *m, const char *name, int rows, int width)
{
    const sb_extent extent = { .dims = 2, .side = { rows, width }, .init = SB_INIT_ZERO };
    int entry = sb_store_add(m->graph->store, name, SB_ENTRY_STATE, &extent);
    if (entry < 0)
        return SB_FAILED;
    return leaf(m, name, (sb_shape){ rows, 1, 1, width, SB_F32 },
                (sb_given){ .kind = SB_GIVEN_STATE, .index = entry });
}

/* Fails where there is a bank: what a method keeps beside it. */
static int check_bank(const sb_method *m, const char *what)
{
    return m->config->bank == 0 ? 0
                                : sb_fail("method.bank = %d: %s keeps %s from batch to batch already",
                                          m->config->bank, m->kind->name, what);
}

/* ---- embeddings ---------------------------------------------------------------------------------------- */

/* All these rows, in their order; halves first, so that few are copied often. */
static sb_t concat_all(sb_graph *g, const sb_t *parts, int count)
{
    return count == 1 ? parts[0]
                      : sb_concat(g, concat_all(g, parts, count / 2),
                                  concat_all(g, parts + count / 2, count - count / 2));
}

/* What stands before the layers of a head: of a projector, what the encoder has behind its features. */
typedef sb_t (*before)(sb_graph *graph, sb_t features, bool untracked);

static sb_t whole(sb_graph *g, sb_t x, const char *name, before head, const sb_mlp_how *how)
{
    return sb_mlp(g, head ? head(g, x, how->untracked) : x, name, how);
}

/* Layers over x, of one view or of all, for each replica alone. */
static sb_t layers(const sb_method *m, sb_graph *g, sb_t x, const char *name, before head,
                   const sb_mlp_how *how)
{
    const int replicas = m->config->trainer.replicas, share = m->batch / replicas;
    if (replicas == 1 || x < 0)
        return whole(g, x, name, head, how);
    const int views = sb_shape_of(g, x).n / m->batch;
    sb_t parts[SB_VIEWS_MAX * SB_REPLICAS_MAX] = { 0 }, mine[SB_VIEWS_MAX] = { 0 };
    for (int r = 0; r < replicas; r++) {
        sb_mlp_how one = *how;
        one.untracked = r > 0;
        for (int v = 0; v < views; v++)
            mine[v] = sb_rows(g, x, .first = v * m->batch + r * share, .count = share);
        sb_t y = whole(g, concat_all(g, mine, views), name, head, &one);
        for (int v = 0; v < views; v++)
            parts[v * replicas + r] = sb_rows(g, y, .first = v * share, .count = share);
    }
    return concat_all(g, parts, views * replicas);
}

/* The projector over rows of the features, which are leaf 0 of g. SB_FAILED. */
static sb_t project(const sb_method *m, sb_graph *g, int view)
{
    const sb_mlp_how how = { .layers = m->config->projector.layers,
                             .hidden = m->config->projector.hidden,
                             .out = m->config->projector.out,
                             .last = m->config->projector.last };
    const bool all = together(m);
    sb_t x = g->leaves[0];
    if (!all || how.layers == 0) /* without a layer the output is a copy */
        x = sb_rows(g, x, .first = all ? 0 : view * m->batch, .count = all ? m->views * m->batch : m->batch);
    return layers(m, g, x, "projector", how.layers > 0 ? m->config->encoder->head : NULL, &how);
}

sb_t sb_head(const sb_method *m, sb_t x, const char *name, const sb_mlp_how *how)
{
    return layers(m, m->graph, x, name, NULL, how);
}

/* The batch's embeddings, of all views together or of one. They are outputs: others look at them, too. */
static sb_t of_batch(sb_method *m, int view)
{
    if (m->embeddings[view] == SB_NONE) {
        m->embedding_outputs[view] = m->graph->output_count;
        m->embeddings[view] = sb_output(m->graph, project(m, m->graph, view), false);
    }
    return m->embeddings[view];
}

/* Those of one view, and behind them the bank's, which they go into. */
static sb_t with_bank(sb_method *m, int view)
{
    const int earlier = m->samples - m->batch;
    sb_t z = of_batch(m, together(m) ? 0 : view);
    if (together(m))
        z = sb_rows(m->graph, z, .first = view * m->batch, .count = m->batch);
    char name[32];
    snprintf(name, sizeof name, "bank.%d", view);
    sb_t bank = z < 0 ? SB_FAILED : keep(m, name, earlier, sb_shape_of(m->graph, z).c);
    return sb_push(m, bank, z) < 0 ? SB_FAILED : sb_concat(m->graph, z, bank);
}

sb_t sb_embeddings(sb_method *m)
{
    if (!together(m))
        return sb_fail("projector.views = apart: method %s takes the embeddings of all views together",
                       m->kind->name);
    if (m->config->bank == 0)
        return of_batch(m, 0);
    if (m->compared[0] == SB_NONE)
        m->compared[0] = with_bank(m, 0);
    for (int v = 1; v < m->views && m->compared[v] == SB_NONE; v++) {
        sb_t more = with_bank(m, v);
        m->compared[0] = sb_concat(m->graph, m->compared[0], more);
        m->compared[v] = more;
    }
    return m->compared[0];
}

sb_t sb_embedding(sb_method *m, int view)
{
    if (together(m))
        return sb_view_rows(m, sb_embeddings(m), view);
    if (m->config->bank == 0)
        return of_batch(m, view);
    if (m->compared[view] == SB_NONE)
        m->compared[view] = with_bank(m, view);
    return m->compared[view];
}

sb_t sb_target_output(sb_method *m, sb_t t, const char *name)
{
    const int index = m->target->output_count;
    t = sb_output(m->target, t, false);
    return t < 0 ? SB_FAILED
                 : leaf(m, name, sb_shape_of(m->target, t),
                        (sb_given){ .kind = SB_GIVEN_TARGET, .index = index });
}

/* The outputs of the target's graph as leaves of the method's: the first to ask adds them all, in the order
 * of the views, which is that in which the target's norms gather. */
static sb_t target(sb_method *m, int view)
{
    for (int v = 0; v < (together(m) ? 1 : m->views) && m->targets[v] == SB_NONE; v++) {
        const sb_t z = project(m, m->target, v);
        m->targets[v] = sb_target_output(m, m->kind->head ? m->kind->head(m, m->target, z) : z,
                                         "target embeddings");
    }
    return m->targets[view];
}

sb_t sb_target_embedding(sb_method *m, int view)
{
    return together(m) ? sb_view_rows(m, target(m, 0), view) : target(m, view);
}

sb_t sb_map_of_views(sb_method *m) { return m->rows[SB_ROW_MAP]; }

sb_t sb_losses_of_views(sb_method *m) { return m->rows[SB_ROW_LOSS]; }

sb_t sb_teacher_features(sb_method *m) { return m->rows[SB_ROW_TEACHER]; }

sb_t sb_target_map(sb_method *m)
{
    if (m->target_map == SB_NONE)
        m->target_map = leaf(m, "target map", sb_shape_of(m->graph, m->rows[SB_ROW_MAP]),
                             (sb_given){ .kind = SB_GIVEN_TARGET_MAP });
    return m->target_map;
}

sb_t sb_view_rows(sb_method *m, sb_t t, int view)
{
    return sb_rows(m->graph, t, .first = view * m->samples, .count = m->samples);
}

/* ---- guides ------------------------------------------------------------------------------------------- */

static double lambda(const sb_method *m, int64_t step, int64_t steps)
{
    (void)m;
    return sb_guide_lambda(step, steps);
}

static sb_t said(sb_method *m, int guide)
{
    return leaf(m, "a guide's samples", (sb_shape){ m->batch, 1, 1, 1, SB_F32 },
                (sb_given){ .kind = SB_GIVEN_SAID, .index = guide });
}

static sb_t told(sb_method *m, int guide)
{
    return leaf(m, "a guide's column", (sb_shape){ m->batch, 1, 1, sb_told_width(m, guide), SB_F32 },
                (sb_given){ .kind = SB_GIVEN_TOLD, .index = guide });
}

/* The loss of a guide is an output, which others look at. */
static sb_t put_out(sb_method *m, int guide, sb_t own)
{
    m->guide_outputs[guide] = m->graph->output_count;
    return sb_output(m->graph, own, false);
}

int sb_told_width(const sb_method *m, int guide)
{
    return m->config->guides[guide].classes > 0 ? m->config->guides[guide].classes : 1;
}

sb_t sb_told_error(sb_method *m, int guide, sb_t x)
{
    sb_t of = said(m, guide), target = told(m, guide);
    return put_out(m, guide, sb_guide_error(m->graph, x, of, target, &m->config->guides[guide]));
}

/* The method's loss, and those of the columns that guide. */
static sb_t add_guides(sb_method *m, sb_t loss)
{
    sb_graph *g = m->graph;
    const int count = m->kind->told ? 0 : m->config->guide_count;
    const sb_t how_much = count > 0 ? sb_number(m, lambda) : SB_NONE;
    for (int i = 0; i < count; i++) {
        const sb_guide_how *how = &m->config->guides[i];
        char name[32];
        snprintf(name, sizeof name, "guide.%d", i);
        sb_t of = said(m, i), target = told(m, i);
        sb_t own = put_out(m, i, sb_guide(g, g->leaves[0], how_much, of, target, name, how));
        loss = sb_combine(g, loss, own, .alpha = 1, .beta = (float)sb_guide_share(how));
    }
    return loss;
}

/* ---- the whole ---------------------------------------------------------------------------------------- */

bool sb_method_fills(const sb_method *m, int64_t step) { return step < m->samples / m->batch - 1; }

/* The leaves that the backbone gives, in the order of its rows. */
static int add_rows(sb_method *m, const sb_shape rows[SB_METHOD_ROWS])
{
    static const char *const names[] = { "features", "map", "losses", "teacher's features" };
    for (int k = 0; k < SB_METHOD_ROWS; k++) {
        sb_shape all = rows[k];
        all.n = m->views * m->batch;
        m->rows[k] = SB_NONE;
        if (all.c == 0)
            continue;
        m->given[m->graph->leaf_count] = (sb_given){ .kind = SB_GIVEN_BACKBONE, .index = k };
        m->rows[k] = sb_leaf(m->graph, names[k], all, k < SB_BACKBONE_ROWS);
        if (m->rows[k] < 0 ||
            (m->kind->momentum && k < SB_ROW_LOSS && sb_leaf(m->target, names[k], all, false) < 0))
            return -1;
    }
    return 0;
}

int sb_method_build(sb_method *m, sb_graph *graph, sb_graph *target, const sb_settings *config,
                    const sb_shape rows[SB_METHOD_ROWS])
{
    *m = (sb_method){ .kind = config->method,
                      .config = config,
                      .keys = config->method_keys,
                      .batch = config->trainer.batch,
                      .samples = config->bank > 0 ? config->bank : config->trainer.batch,
                      .step_samples = config->trainer.batch * config->trainer.accumulate,
                      .views = config->view_count,
                      .steps = config->trainer.steps,
                      .width = rows[SB_ROW_FEATURES].c,
                      .images = config->images,
                      .image_index = SB_NONE,
                      .target_map = SB_NONE,
                      .graph = graph,
                      .target = target };
    for (int v = 0; v < SB_VIEWS_MAX; v++)
        m->embeddings[v] = m->targets[v] = m->compared[v] = SB_NONE;
    if (!m->kind->build && config->projector.layers > 0)
        return sb_fail(
            "projector.layers = %d: the loss of method %s is not of embeddings, so it has no projector: "
            "set 0",
            config->projector.layers, m->kind->name);
    if (!m->kind->build && config->bank > 0)
        return sb_fail("method.bank = %d: method %s compares no samples with each other", config->bank,
                       m->kind->name);
    if ((m->kind->momentum && check_bank(m, "a target network") != 0) || add_rows(m, rows) != 0)
        return -1;
    /* Projector and head come first in the store, behind the backbone: a target network is the three. */
    for (int v = 0; v < (together(m) ? 1 : m->views); v++)
        if (of_batch(m, v) < 0)
            return -1;
    if (m->kind->head && m->kind->head(m, graph, m->embeddings[0]) < 0)
        return -1;
    sb_dense dense;
    const bool places = config->dense.weight > 0;
    if (places && sb_dense_begin(m, &dense) != 0)
        return -1;
    memcpy(m->projector, graph->store->floats, sizeof m->projector);
    sb_t own = m->kind->build ? m->kind->build(m) : sb_mean(graph, sb_losses_of_views(m));
    if (places)
        own = sb_combine(graph, own, sb_dense_loss(m, &dense), .alpha = (float)(1 - config->dense.weight),
                         .beta = (float)config->dense.weight);
    const sb_t loss = add_guides(m, own); /* all add outputs of their own */
    m->loss_output = graph->output_count;
    return sb_output(graph, loss, true) < 0 ? -1 : 0;
}

/* ---- what a step leaves behind ------------------------------------------------------------------------- */

sb_t sb_kept(sb_method *m, const char *name, int rows, int width)
{
    return check_bank(m, name) != 0 ? SB_FAILED : keep(m, name, rows, width);
}

sb_t sb_queue(sb_method *m, const char *name, int rows, int width)
{
    return rows % m->samples == 0
               ? sb_kept(m, name, rows, width)
               : sb_fail("%s: a queue of %d rows is no multiple of the %d samples that a step pushes", name,
                         rows, m->samples);
}

sb_t sb_push(sb_method *m, sb_t queue, sb_t t)
{
    if (queue < 0 || t < 0)
        return SB_FAILED;
    if (m->push_count == SB_PUSHES_MAX)
        return sb_fail("a method pushes to at most %d queues", SB_PUSHES_MAX);
    int output = 0; /* an embedding is one already */
    while (output < m->graph->output_count && m->graph->outputs[output] != t)
        output++;
    m->pushes[m->push_count++] = (sb_queue_push){ m->given[number_of(m, queue)].index, output };
    return output < m->graph->output_count ? t : sb_output(m->graph, t, false);
}

sb_t sb_prototypes(sb_method *m, sb_t x, int count, int64_t frozen)
{
    return sb_prototypes_in(m->graph, x, count, frozen);
}

sb_t sb_prototypes_in(sb_graph *graph, sb_t x, int count, int64_t frozen)
{
    sb_t t = sb_linear(graph, x, "prototypes", .out = count);
    sb_entry *e = sb_weight_of(graph, t, 0);
    if (e) {
        e->unit_rows = true;
        e->frozen_until = frozen;
    }
    return t;
}

void sb_vector_rate(sb_method *m, double rate)
{
    for (int i = 0; i < m->graph->store->count; i++) {
        sb_entry *e = &m->graph->store->entries[i];
        if (e->kind == SB_ENTRY_WEIGHT && !e->extent.decayed)
            e->rate = (float)rate;
    }
}

void sb_steady_rate(sb_method *m, const char *name)
{
    for (int i = 0; i < m->graph->store->count; i++) {
        sb_entry *e = &m->graph->store->entries[i];
        e->steady = e->steady || (e->kind == SB_ENTRY_WEIGHT && strncmp(e->name, name, strlen(name)) == 0);
    }
}

/* ---- what is kept for each image ----------------------------------------------------------------------- */

/* An array with a row for each image. Returns its entry; -1. */
static int add_array(sb_method *m, const char *name, int width, sb_init init)
{
    const sb_extent extent = { .dims = 2, .side = { m->images, width }, .init = init };
    if (check_bank(m, name) != 0)
        return -1;
    if (!m->kind->images)
        return sb_fail("%s: method %s does not say that it keeps something for each image", name,
                       m->kind->name);
    return sb_store_add(m->graph->store, name, SB_ENTRY_STATE, &extent);
}

sb_t sb_image_index(sb_method *m)
{
    if (m->image_index == SB_NONE)
        m->image_index = leaf(m, "image index", (sb_shape){ m->samples, 1, 1, 1, SB_I32 },
                              (sb_given){ .kind = SB_GIVEN_IMAGES });
    return m->image_index;
}

/* Rows of an entry with a row for each image, which is a leaf. */
static sb_t rows_of_entry(sb_method *m, int entry, sb_t index)
{
    const sb_entry *e = &m->graph->store->entries[entry];
    sb_t all = leaf(m, e->name, (sb_shape){ m->images, 1, 1, (int)e->extent.side[1], SB_F32 },
                    (sb_given){ .kind = SB_GIVEN_STATE, .index = entry });
    return sb_gather(m->graph, index, all);
}

sb_t sb_per_image(sb_method *m, const char *name, int width)
{
    int entry = add_array(m, name, width, SB_INIT_ZERO);
    return entry < 0 ? SB_FAILED : rows_of_entry(m, entry, sb_image_index(m));
}

/* The entry of which `rows` are those of the batch's images; -1. */
static int entry_of(const sb_method *m, sb_t rows)
{
    const sb_node *n = &m->graph->nodes[rows % SB_STOPPED];
    if (n->leaf) {
        const sb_given *given = &m->given[number_of(m, rows % SB_STOPPED)];
        return given->kind == SB_GIVEN_ROWS ? m->tables[given->index].entry : -1;
    }
    return n->op == SB_OP_GATHER && m->graph->nodes[n->x[1]].leaf ? m->given[number_of(m, n->x[1])].index
                                                                  : -1;
}

sb_t sb_put(sb_method *m, sb_t rows, sb_t t)
{
    if (rows < 0 || t < 0)
        return SB_FAILED;
    const sb_shape to = sb_shape_of(m->graph, rows), from = sb_shape_of(m->graph, t);
    int entry = entry_of(m, rows);
    if (entry < 0 || m->graph->store->entries[entry].unit_rows || from.n != m->samples ||
        sb_shape_elements(&to) != sb_shape_elements(&from))
        return sb_fail("[%d, %d] is put where no rows of the batch's images of this width were", from.n,
                       from.c);
    if (m->put_count == SB_PUSHES_MAX)
        return sb_fail("a method puts rows into at most %d arrays", SB_PUSHES_MAX);
    m->puts[m->put_count++] = (sb_image_put){ entry, m->graph->output_count };
    return sb_output(m->graph, t, false);
}

sb_t sb_table(sb_method *m, const char *name, int width, double rate)
{
    int entry = add_array(m, name, width, SB_INIT_FAN_IN);
    if (entry < 0 || sb_image_index(m) < 0)
        return SB_FAILED;
    if (m->table_count == SB_TABLES_MAX)
        return sb_fail("a method has at most %d tables", SB_TABLES_MAX);
    m->graph->store->entries[entry].unit_rows = true;
    const int number = m->graph->leaf_count;
    sb_t t = sb_leaf(m->graph, name, (sb_shape){ m->samples, 1, 1, width, SB_F32 }, true);
    if (t < 0)
        return SB_FAILED;
    m->given[number] = (sb_given){ .kind = SB_GIVEN_ROWS, .index = m->table_count };
    m->tables[m->table_count++] = (sb_image_table){ .entry = entry, .leaf = number, .rate = rate };
    return t;
}

sb_t sb_other_images(sb_method *m, int most)
{
    const int others = m->images - m->samples, count = most < others ? most : others;
    if (count < 1 || sb_image_index(m) < 0)
        return count < 1 ? sb_fail("%d images beside a batch of %d, of a data set of %d", most, m->samples,
                                   m->images)
                         : SB_FAILED;
    return leaf(m, "other images", (sb_shape){ count, 1, 1, 1, SB_I32 },
                (sb_given){ .kind = SB_GIVEN_OTHERS });
}

sb_t sb_rows_of_images(sb_method *m, sb_t rows, sb_t index)
{
    if (rows < 0 || index < 0)
        return SB_FAILED;
    int entry = entry_of(m, rows);
    return entry < 0 ? sb_fail("rows of other images of what has none") : rows_of_entry(m, entry, index);
}
