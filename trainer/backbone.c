/* backbone.c: see backbone.h. */
#include "trainer/backbone.h"

#include <string.h>

#include "proto/error.h"
#include "trainer/graph/build.h"

/* Cells along a side of the map at most; 0: nobody wants it. */
static int grid_of(const sb_settings *c)
{
    const bool places = c->dense.weight > 0 && !c->method->mask; /* a part of a view is no map */
    return c->method->map ? c->method->map(c->method_keys) : places ? c->dense.grid : 0;
}

/* The maps of encoder and teacher in the cells of the coarser one, as it is for the views of this run. The
 * graph's nominal shapes are others, and alike in both. */
static int add_places(const sb_backbone *b, const sb_settings *c, const sb_encoder_map *map, sb_inside *in)
{
    sb_graph *g = b->graph;
    const int side = c->views[0].side;
    const sb_shape pixels = { 1, side, side, c->data.channels, SB_U8 };
    sb_shape of_teacher, own;
    if (sb_teacher_shape(&b->teacher, 1, side, SB_TEACHER_MAP, &of_teacher) != 0 ||
        sb_graph_shape(g, &pixels, map->map, &own) != 0)
        return -1;
    const sb_gridpool_how how = { .first = map->prefix, .most = of_teacher.h };
    const int grid = sb_gridpool_of(&how, &own).grid;
    in->places = sb_gridpool(g, map->map, .first = map->prefix, .most = grid);
    const int nominal = sb_shape_of(g, in->places).h;
    in->teacher = sb_leaf(g, "teacher's map", (sb_shape){ 1, nominal, nominal, of_teacher.c, SB_F32 }, false);
    in->teacher = sb_gridpool(g, in->teacher, .most = grid);
    return in->places < 0 || in->teacher < 0 ? -1 : 0;
}

/* The map of a teacher that sees what is hidden: the encoder, which does not, has none. */
static int add_whole(const sb_backbone *b, sb_inside *in)
{
    const sb_teacher *t = &b->teacher;
    in->teacher = sb_leaf(b->graph, "teacher's map", sb_shape_of(t->graph, t->graph->outputs[SB_TEACHER_MAP]),
                          false);
    return in->teacher < 0 ? -1 : 0;
}

/* Whether views of each size that the run will have can be masked. */
static int check_masks(const sb_settings *c)
{
    for (int v = 0; v < c->view_count; v++)
        for (int i = 0; i < c->views[v].size.count; i++) {
            sb_masks masks;
            if (sb_backbone_masks(c, c->views[v].size.sides[i], &masks) != 0)
                return -1;
            sb_masks_free(&masks);
        }
    return 0;
}

int sb_backbone_build(sb_backbone *b, sb_graph *g, const sb_settings *c, sb_type type)
{
    const sb_method_kind *method = c->method;
    const sb_shape any = { 1, 1, 1, 1, SB_I32 };
    sb_encoder_map map;
    *b = (sb_backbone){ .graph = g, .outputs = { [SB_ROW_MAP] = -1, [SB_ROW_LOSS] = -1 } };
    if (method->mask && !c->encoder->cell)
        return sb_fail("method %s: encoder %s cannot encode the visible part of a view alone: "
                       "ViT, ConvNeXt and ResNet can",
                       method->name, c->encoder->name);
    if (method->mask && check_masks(c) != 0)
        return -1;
    if (sb_encoder_build_map(g, c->encoder, c->encoder_keys, c, type, method->mask, &map) < 0)
        return sb_context("the encoder");
    memcpy(b->floats, g->store->floats, sizeof b->floats);
    if (method->teacher && sb_teacher_build(&b->teacher, g->store->device, c, type, grid_of(c)) != 0)
        return -1;
    if (grid_of(c) > 0 && !method->teacher) {
        b->outputs[SB_ROW_MAP] = g->output_count;
        if (sb_output(g, sb_gridpool(g, map.map, .first = map.prefix, .most = grid_of(c)), true) < 0)
            return sb_context("the encoder's map");
    }
    if (method->inside && (!method->teacher || b->teacher.places)) {
        sb_inside in = { .graph = g,
                         .pixels = g->leaves[0],
                         .map = map.map,
                         .prefix = map.prefix,
                         .cell = c->encoder->cell ? c->encoder->cell(c->encoder_keys) : 0,
                         .visible = method->mask ? g->leaves[1] : SB_NONE,
                         .predicted = method->mask ? sb_leaf(g, "predicted cells", any, false) : SB_NONE,
                         .places = SB_NONE,
                         .teacher = SB_NONE };
        if (b->teacher.places && (method->mask ? add_whole(b, &in) : add_places(b, c, &map, &in)) != 0)
            return sb_context("the encoder's map and the teacher's");
        b->outputs[SB_ROW_LOSS] = g->output_count;
        if (sb_output(g, method->inside(c->method_keys, &in), true) < 0)
            return sb_context("method %s", method->name);
    }
    b->weights = g->store->floats[SB_ENTRY_WEIGHT];
    return 0;
}

int sb_backbone_teacher_leaf(const sb_settings *c) { return c->method->mask ? 3 : 1; }

void sb_backbone_limit_target(const sb_backbone *b, sb_method *m)
{
    if (m->kind->teacher == SB_TEACHER_AVERAGE)
        memcpy(m->projector, b->teacher.store.floats, sizeof m->projector);
}

void sb_backbone_free(sb_backbone *b) { sb_teacher_free(&b->teacher); }

int sb_backbone_leaves(const sb_backbone *b, const sb_settings *c, int n, int side,
                       sb_shape leaves[SB_LEAVES_MAX])
{
    sb_masks masks;
    if (sb_backbone_masks(c, side, &masks) != 0)
        return -1;
    leaves[0] = (sb_shape){ n, side, side, c->data.channels, SB_U8 };
    leaves[1] = (sb_shape){ n, 1, masks.visible_count, 1, SB_I32 };
    leaves[2] = (sb_shape){ n, 1, masks.predicted_count, 1, SB_I32 };
    sb_masks_free(&masks);
    return b->teacher.places
               ? sb_teacher_shape(&b->teacher, n, side, SB_TEACHER_MAP, &leaves[sb_backbone_teacher_leaf(c)])
               : 0;
}

int sb_backbone_masks(const sb_settings *c, int side, sb_masks *out)
{
    *out = (sb_masks){ 0 };
    if (!c->method->mask)
        return 0;
    const int cell = c->encoder->cell(c->encoder_keys);
    if (side % cell != 0)
        return sb_fail(
            "views of %d x %d (data.view, views.N.size): method %s hides cells of %d x %d pixels of "
            "encoder %s, and a side has to be a multiple of that",
            side, side, c->method->name, cell, cell, c->encoder->name);
    out->rows = out->columns = side / cell;
    const sb_mask_keys *keys = c->method->mask(c->method_keys);
    out->block = keys->block;
    out->hidden = keys->hidden;
    out->predicted = keys->predicted;
    return sb_masks_create(out) == 0 ? 0 : sb_context("views of %d x %d", side, side);
}

/* Of the views of one side. */
static int rows_of(const sb_backbone *b, const sb_settings *c, int side, sb_shape rows[SB_METHOD_ROWS])
{
    sb_shape leaves[SB_LEAVES_MAX];
    if (sb_backbone_leaves(b, c, 1, side, leaves) < 0)
        return -1;
    for (int k = 0; k < SB_BACKBONE_ROWS; k++) {
        rows[k] = (sb_shape){ 0 };
        if (b->outputs[k] >= 0 &&
            sb_graph_shape(b->graph, leaves, b->graph->outputs[b->outputs[k]], &rows[k]) != 0)
            return sb_context(
                "views of %d x %d (data.view, views.N.size) cannot go through the encoder, not one", side,
                side);
    }
    rows[SB_ROW_TEACHER] = (sb_shape){ 0 };
    return c->method->teacher == SB_TEACHER_FILE
               ? sb_teacher_shape(&b->teacher, 1, side, SB_TEACHER_FEATURES, &rows[SB_ROW_TEACHER])
               : 0;
}

int sb_backbone_rows(const sb_backbone *b, const sb_settings *c, sb_shape rows[SB_METHOD_ROWS])
{
    sb_shape others[SB_METHOD_ROWS];
    if (rows_of(b, c, c->views[0].side, rows) != 0)
        return -1;
    for (int v = 1; v < c->view_count; v++) {
        if (rows_of(b, c, c->views[v].side, others) != 0)
            return -1;
        if (memcmp(&rows[SB_ROW_MAP], &others[SB_ROW_MAP], sizeof *rows) != 0)
            return sb_fail("the loss (method %s) compares maps, and views of %d x %d have one of %d x %d "
                           "cells, those of %d x %d "
                           "one of %d x %d: lower the side of its grid, or give all views one size",
                           c->method->name, c->views[0].side, c->views[0].side, rows[SB_ROW_MAP].h,
                           rows[SB_ROW_MAP].w, c->views[v].side, c->views[v].side, others[SB_ROW_MAP].h,
                           others[SB_ROW_MAP].w);
    }
    return 0;
}
