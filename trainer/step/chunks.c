/* chunks.c: which views go through the backbone together, in what order, and how they come to the device
 * (step.h). */
#include "kernels/op/gather.h"
#include "kernels/op/scatter.h"
#include "proto/error.h"
#include "proto/random.h"
#include "trainer/step/private.h"

int sb_step_cannot_plan(const sb_step *s, int n, int side)
{
    sb_shape one[SB_LEAVES_MAX];
    sb_plan_bytes bytes;
    if (sb_backbone_leaves(&s->backbone, s->config, 1, side, one) < 0 ||
        sb_plan_size(&bytes, s->encoder, one, &(sb_plan_options){ .training = true, .again = s->again }) != 0)
        return sb_context("views of %d x %d (data.view, views.N.size) cannot go through the encoder, not one",
                          side, side);
    return sb_context("a chunk of %d views of %d x %d cannot be planned; lower trainer.chunk or "
                      "trainer.batch",
                      n, side, side);
}

static sb_step_plan *plan_for(sb_step *s, int side, int n)
{
    for (int i = 0; i < s->plan_count; i++)
        if (s->plans[i].side == side && s->plans[i].n == n)
            return &s->plans[i];
    sb_step_plan *p = &s->plans[s->plan_count];
    sb_shape leaves[SB_LEAVES_MAX];
    const sb_plan_options options = { .training = true, .again = s->again };
    *p = (sb_step_plan){ .side = side, .n = n };
    if (sb_backbone_leaves(&s->backbone, s->config, n, side, leaves) < 0 ||
        sb_plan_create(&p->plan, s->encoder, leaves, &options) != 0) {
        sb_step_cannot_plan(s, n, side);
        return NULL;
    }
    if (sb_step_plan_teacher(s, p) != 0 || sb_backbone_masks(s->config, side, &p->masks) != 0) {
        sb_plan_destroy(&p->plan);
        sb_plan_destroy(&p->teacher);
        return NULL;
    }
    s->plan_count++;
    return p;
}

void sb_step_drop_plans(sb_step *s)
{
    for (int i = 0; i < s->plan_count; i++) {
        sb_plan_destroy(&s->plans[i].plan);
        sb_plan_destroy(&s->plans[i].teacher);
        sb_masks_free(&s->plans[i].masks);
    }
    s->plan_count = 0;
}

int sb_step_cut_batch(const sb_settings *config, int most, sb_step_cut out[SB_VIEWS_MAX])
{
    int sizes[SB_VIEWS_MAX], count = sb_view_sizes(config->views, config->view_count, sizes);
    for (int c = 0; c < count; c++) {
        int rows = 0;
        for (int v = 0; v < config->view_count; v++)
            rows += config->views[v].side == sizes[c] ? config->trainer.batch : 0;
        const int all = rows / config->trainer.replicas, whole = most > 0 && most < all ? most : all;
        out[c] = (sb_step_cut){ sizes[c], rows, whole, whole > 0 ? rows % whole : 0 };
    }
    return count;
}

int sb_step_largest_chunk(const sb_settings *config)
{
    sb_step_cut cuts[SB_VIEWS_MAX];
    int count = sb_step_cut_batch(config, 0, cuts), most = 0;
    for (int c = 0; c < count; c++)
        most = cuts[c].whole > most ? cuts[c].whole : most;
    return most;
}

/* Replica after replica, of each its views in their order, then samples. */
static void list_inputs(sb_step *s, int side, int start)
{
    const sb_settings *config = s->config;
    const int share = config->trainer.batch / config->trainer.replicas;
    for (int first = 0; first < config->trainer.batch; first += share)
        for (int v = 0; v < config->view_count; v++)
            for (int i = 0; i < share && config->views[v].side == side; i++)
                s->inputs[start++] = (sb_step_input){ .view = v, .sample = first + i };
}

int sb_step_lay_out(sb_step *s, int most)
{
    sb_step_cut cuts[SB_VIEWS_MAX];
    int count = sb_step_cut_batch(s->config, most, cuts), start = 0;
    sb_step_drop_plans(s);
    s->chunk_count = 0;
    for (int c = 0; c < count; c++) {
        list_inputs(s, cuts[c].side, start);
        for (int end = start + cuts[c].rows, n; start < end; start += n) {
            n = end - start < cuts[c].whole ? cuts[c].rest : cuts[c].whole;
            sb_step_plan *p = plan_for(s, cuts[c].side, n);
            if (!p)
                return -1;
            p->chunks++;
            s->chunks[s->chunk_count++] = (sb_chunk){ .plan = p, .start = start, .n = n };
        }
    }
    return 0;
}

/* A view's samples in the order in which they go through the backbone, into s->permutation. */
static void permute(sb_step *s, int64_t batch_number, int view, sb_step_grouping grouping)
{
    const int batch = s->config->trainer.batch;
    const bool given = view == 0 || s->chunk_count == 1 ||
                       (grouping == SB_GROUP_STEP && s->config->trainer.replicas > 1);
    sb_random random;
    sb_random_init(&random, s->config->common.seed, SB_RANDOM_CHUNKS, (uint32_t)batch_number,
                   (uint32_t)(batch_number >> 32), (uint32_t)view | (uint32_t)grouping << 16);
    for (int i = 0; i < batch; i++) {
        const uint32_t j = given ? (uint32_t)i : sb_random_below(&random, (uint32_t)i + 1);
        s->permutation[i] = s->permutation[j];
        s->permutation[j] = (uint32_t)i;
    }
}

/* Which samples the inputs are of. */
static void list_samples(sb_step *s, int64_t batch_number, sb_step_grouping grouping)
{
    for (int v = 0; v < s->config->view_count; v++) {
        permute(s, batch_number, v, grouping);
        for (int i = 0, k = 0; i < s->rows; i++)
            if (s->inputs[i].view == v)
                s->inputs[i].sample = (int)s->permutation[k++];
    }
    s->inputs_of = batch_number;
}

int sb_step_order(sb_step *s, sb_step_grouping grouping)
{
    list_samples(s, s->batch_number, grouping);
    for (int i = 0; i < s->rows; i++)
        s->index_host[i] = s->inputs[i].view * s->config->trainer.batch + s->inputs[i].sample;
    return s->device->copy(s->device, SB_STREAM_COMPUTE, s->index, s->index_host,
                           (size_t)s->rows * sizeof *s->index, SB_TO_DEVICE);
}

/* Which cells of a chunk's views are visible and predicted in its batch. */
static int upload_cells(sb_step *s, sb_chunk *k, int32_t *host, int32_t *to)
{
    sb_masks *m = &k->plan->masks;
    const size_t seen = (size_t)m->visible_count, predicted = (size_t)m->predicted_count, n = (size_t)k->n;
    k->cells = to;
    for (size_t i = 0; i < n; i++) {
        const sb_step_input *in = &s->inputs[(size_t)k->start + i];
        sb_masks_draw(m, s->config->common.seed, (uint32_t)s->inputs_of, (uint32_t)in->view,
                      (uint32_t)in->sample, host + i * seen, host + n * seen + i * predicted);
    }
    return s->device->copy(s->device, SB_STREAM_UPLOAD, to, host, n * (seen + predicted) * sizeof *host,
                           SB_TO_DEVICE);
}

int sb_step_upload(sb_step *s, const sb_step_source *source, int number)
{
    sb_chunk *k = &s->chunks[number];
    size_t bytes = (size_t)k->plan->side * (size_t)k->plan->side * (size_t)s->config->data.channels;
    const unsigned which = s->uploads % 2;
    uint8_t *to = s->pixels[which];
    for (int i = 0; i < k->n; i++) {
        const sb_step_input *in = &s->inputs[k->start + i];
        const uint8_t *pixels;
        int rc = source->fetch(source->context, in->view, in->sample, &pixels);
        if (rc != 0)
            return rc;
        if (s->device->copy(s->device, SB_STREAM_UPLOAD, to + (size_t)i * bytes, pixels, bytes,
                            SB_TO_DEVICE) != 0)
            return -1;
    }
    k->pixels = to;
    if (s->cells_host[which] && upload_cells(s, k, s->cells_host[which], s->cells[which]) != 0)
        return -1;
    s->uploads++;
    s->uploaded = true;
    return 0;
}

int sb_step_upload_ahead(sb_step *s, const sb_step_source *source)
{
    const sb_step_source next = { .context = source->context, .fetch = source->next };
    if (!next.fetch)
        return 0;
    list_samples(s, s->batch_number + 1, SB_GROUP_STEP);
    for (int i = 0; i < s->chunks[0].n; i++) { /* all or none: what is copied in part is copied again */
        const sb_step_input *in = &s->inputs[s->chunks[0].start + i];
        const uint8_t *pixels;
        if (next.fetch(next.context, in->view, in->sample, &pixels) != 0)
            return 0;
    }
    const int rc = sb_step_upload(s, &next, 0);
    if (rc == 0)
        s->ahead = s->inputs_of;
    return rc < 0 ? -1 : 0;
}

/* The buffer is the next one again: a copy that is still under way comes before what replaces it. */
void sb_step_forget_upload(sb_step *s)
{
    s->uploads -= s->uploaded;
    s->uploaded = false;
    s->ahead = -1;
}

/* The rows of a chunk among those of the batch. */
static const int32_t *index_of(const sb_step *s, const sb_chunk *k) { return s->index + k->start; }

int sb_step_gather(sb_step *s, const sb_chunk *k)
{
    for (int i = 0; i < SB_BACKBONE_ROWS; i++) {
        const sb_step_rows *r = &s->given_rows[i];
        const sb_shape index = { k->n, 1, 1, 1, SB_I32 }, x = { s->rows, 1, 1, (int)r->width, SB_F32 },
                       y = { k->n, 1, 1, (int)r->width, SB_F32 };
        const sb_call call = {
            .xs = { index, x }, .ys = y, .x = { index_of(s, k), r->drows }, .y = r->chunk_drows
        };
        if (r->width > 0 && sb_forward(s->device, SB_OP_GATHER, &call) != 0)
            return -1;
    }
    return 0;
}

int sb_step_scatter(sb_step *s, const sb_chunk *k, bool target)
{
    const sb_scatter_how how = { .rows = s->rows };
    for (int i = 0; i < SB_BACKBONE_ROWS; i++) {
        const sb_step_rows *r = &s->given_rows[i];
        if (r->width == 0 || (target && !r->target))
            continue;
        const sb_shape index = { k->n, 1, 1, 1, SB_I32 }, x = { k->n, 1, 1, (int)r->width, SB_F32 },
                       y = { s->rows, 1, 1, (int)r->width, SB_F32 };
        const sb_call call = { .how = &how,
                               .xs = { index, x },
                               .ys = y,
                               .x = { index_of(s, k), sb_plan_output(k->plan->plan, s->backbone.outputs[i]) },
                               .y = target ? r->target : r->rows };
        if (sb_forward(s->device, SB_OP_SCATTER, &call) != 0)
            return -1;
    }
    return 0;
}
