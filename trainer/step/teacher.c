/* teacher.c: the teacher in a step (teacher.h): it goes over a chunk before the backbone does, in the same
 * memory. Its features are kept for the batch, its map until the next chunk. */
#include "kernels/op/scatter.h"
#include "proto/error.h"
#include "trainer/step/private.h"

int sb_step_plan_teacher(sb_step *s, sb_step_plan *p)
{
    const sb_teacher *t = &s->backbone.teacher;
    if (!t->graph)
        return 0;
    const sb_shape pixels = sb_teacher_pixels(t, p->n, p->side);
    return sb_plan_create(&p->teacher, t->graph, &pixels, &(sb_plan_options){ 0 });
}

int sb_step_size_teacher(const sb_step *s, int n, int side, sb_plan_bytes *plan, size_t *map)
{
    const sb_teacher *t = &s->backbone.teacher;
    sb_shape shape = { 0 };
    *plan = (sb_plan_bytes){ 0 };
    *map = 0;
    if (!t->graph)
        return 0;
    if (t->places && sb_teacher_shape(t, n, side, SB_TEACHER_MAP, &shape) != 0)
        return -1;
    *map = t->places ? sb_shape_bytes(&shape) : 0;
    shape = sb_teacher_pixels(t, n, side);
    return sb_plan_size(plan, t->graph, &shape, &(sb_plan_options){ 0 });
}

int sb_step_pack_teacher(sb_step *s)
{
    for (int i = 0; i < s->plan_count; i++)
        if (s->plans[i].teacher && sb_plan_pack(s->plans[i].teacher, &s->teacher) != 0)
            return sb_context("the teacher");
    return 0;
}

static int keep_features(const sb_step *s, const sb_chunk *k, sb_plan *plan, const sb_step_rows *r)
{
    const sb_scatter_how how = { .rows = s->rows };
    const sb_call call = { .how = &how,
                           .xs = { { k->n, 1, 1, 1, SB_I32 }, { k->n, 1, 1, (int)r->width, SB_F32 } },
                           .ys = { s->rows, 1, 1, (int)r->width, SB_F32 },
                           .x = { s->index + k->start, sb_plan_output(plan, SB_TEACHER_FEATURES) },
                           .y = r->rows };
    return sb_forward(s->device, SB_OP_SCATTER, &call);
}

int sb_step_teach(sb_step *s, const sb_chunk *k)
{
    sb_plan *plan = k->plan->teacher;
    const sb_feed feed = { .section = &s->teacher, .leaf = { k->pixels } };
    const sb_step_rows *r = &s->given_rows[SB_ROW_TEACHER];
    if (sb_plan_infer(plan, &feed) != 0)
        return sb_context("the teacher");
    if (r->width > 0 && keep_features(s, k, plan, r) != 0)
        return -1;
    if (!s->backbone.teacher.places)
        return 0;
    const sb_shape map = sb_plan_output_shape(plan, SB_TEACHER_MAP);
    return s->device->copy(s->device, SB_STREAM_COMPUTE, s->teacher_map, sb_plan_output(plan, SB_TEACHER_MAP),
                           sb_shape_bytes(&map), SB_ON_DEVICE);
}

sb_checkpoint_view sb_step_teacher(const sb_step *s)
{
    const sb_section *t = &s->teacher;
    return (sb_checkpoint_view){ .store = &s->backbone.teacher.store,
                                 .parts = { { "", SB_ENTRY_WEIGHT, t->weight, t->floats[SB_ENTRY_WEIGHT] },
                                            { "", SB_ENTRY_STATISTIC, t->statistic,
                                              t->floats[SB_ENTRY_STATISTIC] } },
                                 .part_count = 2 };
}
