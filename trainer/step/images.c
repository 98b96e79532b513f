/* images.c: what a method keeps for each image (method.h), in a step: which image each sample is of, the rows
 * that the loss is given and what it puts in their place, and the vectors that learn by themselves. */
#include "kernels/op/combine.h"
#include "kernels/op/gather.h"
#include "kernels/op/scatter.h"
#include "proto/error.h"
#include "proto/random.h"
#include "trainer/step/private.h"

/* ---- numbers of images --------------------------------------------------------------------------------- */

static int32_t *given_numbers(const sb_step *s, int leaf)
{
    return (int32_t *)(void *)(s->given_host + s->given_offset[leaf]);
}

/* The image of each sample. */
static int ask_source(sb_step *s, const sb_step_source *source, int32_t *index)
{
    const int samples = s->method.samples, images = s->method.images;
    for (int i = 0; i < samples && !source->images; i++)
        index[i] = i % images;
    if (source->images && source->images(source->context, index) != 0)
        return -1;
    for (int i = 0; i < samples; i++)
        if (index[i] < 0 || index[i] >= images)
            return sb_fail("sample %d of the batch is of image %d, of %d", i, (int)index[i], images);
    return 0;
}

static bool has(const int32_t *numbers, int count, int32_t number)
{
    int i = 0;
    while (i < count && numbers[i] != number)
        i++;
    return i < count;
}

/* Images that are not in `index`, each once: the beginning of a permutation of all, which is made in
 * s->all_images (Fisher and Yates) and taken back. */
static void draw_others(sb_step *s, int leaf, const int32_t *index)
{
    const int count = sb_shape_of(s->loss, s->loss->leaves[leaf]).n, images = s->method.images;
    int32_t *all = s->all_images, *out = given_numbers(s, leaf);
    int drawn = 0, made = 0;
    sb_random random;
    sb_random_init(&random, s->config->common.seed, SB_RANDOM_METHOD, (uint32_t)s->batch_number,
                   (uint32_t)(s->batch_number >> 32), (uint32_t)leaf);
    for (; drawn < count; made++) {
        int from = made + (int)sb_random_below(&random, (uint32_t)(images - made));
        int32_t image = all[from];
        all[from] = all[made];
        all[made] = image;
        s->swapped[made] = from;
        if (!has(index, s->method.samples, image))
            out[drawn++] = image;
    }
    while (made-- > 0) {
        int32_t image = all[made];
        all[made] = all[s->swapped[made]];
        all[s->swapped[made]] = image;
    }
}

static int leaf_of_index(const sb_step *s)
{
    int leaf = 0;
    while (leaf < s->loss->leaf_count && s->method.given[leaf].kind != SB_GIVEN_IMAGES)
        leaf++;
    return leaf;
}

int sb_step_number_images(sb_step *s, const sb_step_source *source)
{
    const int leaf = leaf_of_index(s);
    if (leaf == s->loss->leaf_count)
        return 0;
    int32_t *index = given_numbers(s, leaf);
    if (ask_source(s, source, index) != 0)
        return -1;
    for (int k = 0; k < s->loss->leaf_count; k++)
        if (s->method.given[k].kind == SB_GIVEN_OTHERS)
            draw_others(s, k, index);
    return 0;
}

/* ---- rows ---------------------------------------------------------------------------------------------- */

typedef struct {
    sb_shape index, all, rows; /* of the index; of an entry; of its rows of the batch's images */
    const int32_t *numbers;
    float *array;
} image_rows;

/* Entry `entry` and the batch's images. */
static image_rows rows_of(const sb_step *s, int entry)
{
    const sb_entry *e = &s->store.entries[entry];
    const int samples = s->method.samples, width = (int)e->extent.side[1];
    return (
        image_rows){ .index = { samples, 1, 1, 1, SB_I32 },
                     .all = { (int)e->extent.side[0], 1, 1, width, SB_F32 },
                     .rows = { samples, 1, 1, width, SB_F32 },
                     .numbers = (const int32_t *)(const void *)(s->given + s->given_offset[leaf_of_index(s)]),
                     .array = s->section.state + e->offset };
}

static int get_rows(sb_step *s, const image_rows *p, float *rows)
{
    const sb_call call = {
        .xs = { p->index, p->all }, .ys = p->rows, .x = { p->numbers, p->array }, .y = rows
    };
    return sb_forward(s->device, SB_OP_GATHER, &call);
}

static int put_rows(sb_step *s, const image_rows *p, const float *rows)
{
    const sb_scatter_how how = { .rows = p->all.n };
    const sb_call call = {
        .how = &how, .xs = { p->index, p->rows }, .ys = p->all, .x = { p->numbers, rows }, .y = p->array
    };
    return sb_forward(s->device, SB_OP_SCATTER, &call);
}

int sb_step_get_rows(sb_step *s)
{
    for (int t = 0; t < s->method.table_count; t++) {
        const image_rows p = rows_of(s, s->method.tables[t].entry);
        if (get_rows(s, &p, s->table_rows + s->table_offset[t]) != 0)
            return -1;
    }
    return 0;
}

/* e <- unit(e - rate lr g), g the sum over the samples of e's image. */
static int learn(sb_step *s, int table, double lr)
{
    const sb_image_table *t = &s->method.tables[table];
    const image_rows p = rows_of(s, t->entry);
    float *rows = s->table_rows + s->table_offset[table], *g = s->table_gradient + s->table_offset[table];
    const sb_combine_how how = { .alpha = (float)(-t->rate * lr) };
    const sb_call scale = { .how = &how, .xs = { p.rows }, .ys = p.rows, .x = { g }, .y = g },
                  add = { .xs = { p.index, p.all },
                          .ys = p.rows,
                          .x = { p.numbers },
                          .dy = g,
                          .dx = { NULL, p.array },
                          .add = { false, true } },
                  unit = { .xs = { p.rows }, .ys = p.rows, .x = { rows }, .y = rows, .aux = s->lengths };
    if (sb_forward(s->device, SB_OP_COMBINE, &scale) != 0 ||
        sb_backward(s->device, SB_OP_GATHER, &add) != 0 || get_rows(s, &p, rows) != 0 ||
        sb_forward(s->device, SB_OP_UNIT_ROWS, &unit) != 0)
        return -1;
    return put_rows(s, &p, rows);
}

int sb_step_keep_rows(sb_step *s, double lr)
{
    for (int i = 0; i < s->method.put_count; i++) {
        const sb_image_put *put = &s->method.puts[i];
        const image_rows p = rows_of(s, put->entry);
        if (put_rows(s, &p, sb_plan_output(s->heads, put->output)) != 0)
            return -1;
    }
    for (int t = 0; t < s->method.table_count; t++)
        if (learn(s, t, lr) != 0)
            return sb_context("%s", s->store.entries[s->method.tables[t].entry].name);
    return 0;
}
