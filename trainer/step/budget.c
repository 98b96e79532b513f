/* budget.c: how much of the device's memory a step takes, and taking it; and the error where there is less
 * (step.h).
 *
 * All of it is one piece, divided here. Before it is taken the libraries are open and all plans are made, so
 * that what they hold no longer counts as free; what `available` then leaves is a reserve for others. Nothing
 * of the device is taken afterwards but for recordings (plan.h), which a step can do without: what fits at
 * the start fits to the end.
 *
 * Where a batch has many chunks, what heads and loss work in would be most of what grows with it. They run
 * when every chunk has been there, so they may have the arena of the chunks: all but their outputs, which are
 * read later. Then the last chunk, which else is still there, has to go forth once more: at most some 3 %
 * of a step and no bit of its result, and the memory hardly grows with the batch. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/memory.h"
#include "trainer/step/private.h"

#define ALIGN 256
#define SHARING_CHUNKS 8 /* from so many on one pass more is some 3 % of a step, or less */
#define SHARING_GAIN 16  /* the chunk's arena over this is what sharing it has to save */

/* A piece of memory, and where its address goes. */
typedef struct {
    size_t bytes;
    void *to;        /* of the pointer that is to be set */
    size_t *account; /* of the budget */
} want;

enum { WANTS_MAX = 32 + 4 * SB_BACKBONE_ROWS + 3 * SB_STEP_PLANS_MAX }; /* more than list_wants has */

/* A chunk, how many there are of its kind, and what its plan takes. */
typedef struct {
    int side, n, chunks;
    sb_plan_bytes bytes, teacher;
    size_t cells, map; /* bytes of which are visible and predicted; of the teacher's map */
    void *packed, *target_packed, *teacher_packed; /* of the pointers that are to be set; NULL: a question
                                                      alone */
} piece;

static size_t align(size_t bytes) { return (bytes + ALIGN - 1) / ALIGN * ALIGN; }

static size_t cells_of(const sb_masks *m, int n)
{
    return (size_t)n * ((size_t)m->visible_count + (size_t)m->predicted_count) * sizeof(int32_t);
}

static sb_plan_bytes bytes_of(const sb_plan *plan)
{
    return (sb_plan_bytes){ sb_plan_arena_bytes(plan), sb_plan_kept_bytes(plan), sb_plan_packed_bytes(plan) };
}

/* The chunks as they are laid out. Returns how many differ. */
static int planned_pieces(sb_step *s, piece list[SB_STEP_PLANS_MAX])
{
    for (int i = 0; i < s->plan_count; i++) {
        sb_step_plan *p = &s->plans[i];
        list[i] = (piece){ .side = p->side,
                           .n = p->n,
                           .chunks = p->chunks,
                           .bytes = bytes_of(p->plan),
                           .cells = cells_of(&p->masks, p->n),
                           .packed = &p->packed,
                           .target_packed = &p->target_packed,
                           .teacher_packed = &p->teacher_packed };
        if (p->teacher)
            list[i].teacher = bytes_of(p->teacher);
        if (p->teacher && s->backbone.teacher.places) {
            const sb_shape map = sb_plan_output_shape(p->teacher, SB_TEACHER_MAP);
            list[i].map = sb_shape_bytes(&map);
        }
    }
    return s->plan_count;
}

/* Chunks of at most `most` inputs, by arithmetic alone: of each size whole ones, and the rest. -1. */
static int sized_pieces(const sb_step *s, int most, piece list[SB_STEP_PLANS_MAX])
{
    sb_step_cut cuts[SB_VIEWS_MAX];
    int sizes = sb_step_cut_batch(s->config, most, cuts), count = 0;
    for (int c = 0; c < 2 * sizes; c++) {
        const int side = cuts[c / 2].side, n = c % 2 ? cuts[c / 2].rest : cuts[c / 2].whole;
        sb_shape leaves[SB_LEAVES_MAX];
        if (n == 0)
            continue;
        piece *p = &list[count++];
        *p = (piece){ .side = side, .n = n, .chunks = c % 2 ? 1 : cuts[c / 2].rows / n };
        sb_masks masks;
        if (sb_backbone_masks(s->config, side, &masks) != 0)
            return -1;
        p->cells = cells_of(&masks, n);
        sb_masks_free(&masks);
        if (sb_backbone_leaves(&s->backbone, s->config, n, side, leaves) < 0 ||
            sb_step_size_teacher(s, n, side, &p->teacher, &p->map) != 0 ||
            sb_plan_size(&p->bytes, s->encoder, leaves,
                         &(sb_plan_options){ .training = true, .again = s->again }) != 0)
            return sb_step_cannot_plan(s, n, side);
    }
    return count;
}

/* The most rows that are to have length 1 at once: of a weight, or of a batch in a table. */
static size_t unit_rows(const sb_step *s)
{
    size_t most = s->method.table_count > 0 ? (size_t)s->method.samples : 0;
    for (int i = 0; i < s->store.count; i++) {
        const sb_entry *e = &s->store.entries[i];
        if (e->unit_rows && e->kind == SB_ENTRY_WEIGHT && (size_t)e->extent.side[0] > most)
            most = (size_t)e->extent.side[0];
    }
    return most;
}

/* All that a step with these chunks needs. Returns the bytes, and fills the list. */
static size_t list_wants(sb_step *s, const piece pieces[], int piece_count, want list[WANTS_MAX], int *count)
{
    const size_t rows = (size_t)s->rows, statistics = s->store.floats[SB_ENTRY_STATISTIC];
    size_t arena = 0, pixels = 0, cells = 0, map = 0, largest = 0, total = 0;
    int chunks = 0;
    const sb_method_kind *kind = s->method.kind;
    const bool target = kind->momentum != NULL, teacher = kind->teacher != SB_TEACHER_NONE,
               target_network = sb_method_mirrored(kind);
    const sb_plan_bytes heads = s->heads_bytes, target_heads = s->target_heads_bytes;
    const size_t passing = heads.arena - heads.kept +
                           target_heads.arena; /* gone when the gradient is there */
    *count = 0;
    for (int i = 0; i < piece_count; i++) {
        const piece *p = &pieces[i];
        size_t side = (size_t)p->side, n = (size_t)p->n;
        size_t views = n * side * side * (size_t)s->config->data.channels;
        arena = p->bytes.arena > arena ? p->bytes.arena : arena;
        pixels = views > pixels ? views : pixels;
        arena = p->teacher.arena > arena ? p->teacher.arena : arena; /* before the backbone has it */
        cells = p->cells > cells ? p->cells : cells;
        map = p->map > map ? p->map : map;
        largest = n > largest ? n : largest;
        chunks += p->chunks;
        list[(*count)++] = (want){ p->bytes.packed, p->packed, &s->budget.packed };
        if (target_network)
            list[(*count)++] = (want){ p->bytes.packed, p->target_packed, &s->budget.packed };
        if (teacher)
            list[(*count)++] = (want){ p->teacher.packed, p->teacher_packed, &s->budget.packed };
    }
    s->shares = chunks >= SHARING_CHUNKS && passing > arena / SHARING_GAIN;
    if (s->shares && passing > arena)
        arena = passing;
    const want others[] = {
        { sb_section_bytes(s->store.floats, true), &s->section_memory, &s->budget.weights },
        { (size_t)s->state_arrays * s->state_layout.floats * sizeof(float), &s->state, &s->budget.weights },
        { s->update_bytes[0], &s->update_packed[0], &s->budget.weights },
        { s->update_bytes[1], &s->update_packed[1], &s->budget.weights },
        { statistics * sizeof(float), &s->running, &s->budget.weights },
        { s->shares ? heads.kept : heads.arena, &s->heads_arena, &s->budget.batch },
        { arena, &s->arena, &s->budget.activations }, /* behind what the heads keep */
        { pixels, &s->pixels[0], &s->budget.activations },
        { pixels, &s->pixels[1], &s->budget.activations },
        { cells, &s->cells[0], &s->budget.activations },
        { cells, &s->cells[1], &s->budget.activations },
        { rows * sizeof(int32_t), &s->index, &s->budget.batch },
        { heads.packed, &s->heads_packed, &s->budget.packed },
        { sizeof(float), &s->share, &s->budget.batch },
        { 2 * sizeof(int32_t), &s->wrong, &s->budget.batch },
        { sb_step_norm_pieces(s) * sizeof(float), &s->squares, &s->budget.batch },
        { s->given_floats * sizeof(float), &s->given, &s->budget.batch },
        { s->table_floats * sizeof(float), &s->table_rows, &s->budget.batch },
        { s->table_floats * sizeof(float), &s->table_gradient, &s->budget.batch },
        { unit_rows(s) * sizeof(float), &s->lengths, &s->budget.batch },
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        list[(*count)++] = others[i];
    for (int i = 0; i < SB_BACKBONE_ROWS; i++) {
        sb_step_rows *r = &s->given_rows[i];
        const size_t bytes = r->width * sizeof(float);
        if (bytes == 0)
            continue;
        list[(*count)++] = (want){ largest * bytes, &r->chunk_drows, &s->budget.activations };
        list[(*count)++] = (want){ rows * bytes, &r->rows, &s->budget.batch };
        list[(*count)++] = (want){ rows * bytes, &r->drows, &s->budget.batch };
        if (target_network && i != SB_ROW_LOSS)
            list[(*count)++] = (want){ rows * bytes, &r->target, &s->budget.batch };
    }
    const want of_target[] = {
        { sb_section_bytes(s->method.projector, false), &s->target_memory, &s->budget.weights },
        { s->method.projector[SB_ENTRY_STATISTIC] * sizeof(float), &s->target_running, &s->budget.weights },
        { s->shares ? 0 : target_heads.arena, &s->target_arena, &s->budget.batch },
        { target_heads.packed, &s->target_packed, &s->budget.packed },
    };
    for (size_t i = 0; target && i < sizeof of_target / sizeof *of_target; i++)
        list[(*count)++] = of_target[i];
    const want of_teacher[] = {
        { target ? 0 : sb_section_bytes(s->backbone.teacher.store.floats, false), &s->teacher_memory,
          &s->budget.weights },
        { map, &s->teacher_map, &s->budget.activations },
        { rows * s->given_rows[SB_ROW_TEACHER].width * sizeof(float), &s->given_rows[SB_ROW_TEACHER].rows,
          &s->budget.batch },
    };
    for (size_t i = 0; teacher && i < sizeof of_teacher / sizeof *of_teacher; i++)
        list[(*count)++] = of_teacher[i];
    for (int i = 0; i < *count; i++)
        total += list[i].bytes = align(list[i].bytes);
    return total;
}

/* What it comes to, by account. */
static void add_up(sb_step *s, const want list[], int count)
{
    s->budget = (sb_step_budget){ 0 };
    for (int i = 0; i < count; i++)
        *list[i].account += list[i].bytes;
}

/* Whether chunks of this size fit. Those that cannot be planned are too large, too. */
static bool chunk_fits(sb_step *s, int most, size_t available)
{
    piece pieces[SB_STEP_PLANS_MAX];
    want list[WANTS_MAX];
    int count = sized_pieces(s, most, pieces), wants;
    return count >= 0 && list_wants(s, pieces, count, list, &wants) <= available;
}

/* The largest chunk below `fails`, which does not fit, that does; 0: none. A chunk that divides the
 * batch has no rest to be planned for, so it may fit where smaller ones do not. */
static int largest_chunk(sb_step *s, int fails, size_t available)
{
    int fits = 0, known = fails, batch = s->config->trainer.batch;
    while (known - fits > 1) {
        int middle = fits + (known - fits) / 2;
        if (chunk_fits(s, middle, available))
            fits = middle;
        else
            known = middle;
    }
    for (int most = fails - 1; most > known; most--)
        if ((s->rows % most == 0 || batch % most == 0) && chunk_fits(s, most, available))
            return most;
    return fits;
}

/* `needed` bytes are not there: names the largest chunk that would fit. SB_DEVICE_FULL. */
static int fail_memory(sb_step *s, size_t needed, size_t available)
{
    int wanted = 1;
    for (int i = 0; i < s->chunk_count; i++)
        wanted = s->chunks[i].n > wanted ? s->chunks[i].n : wanted;
    const bool replicas = s->config->trainer.replicas > 1;
    int fits = replicas ? 0 : largest_chunk(s, wanted, available);
    char advice[128];
    if (fits > 0)
        snprintf(advice, sizeof advice,
                 "trainer.chunk=%d would fit, and gives the gradient of the whole batch", fits);
    else
        snprintf(advice, sizeof advice, "%s: lower trainer.batch or the views' sizes",
                 replicas ? "it is what a replica has" : "no trainer.chunk fits");
    sb_fail("trainer.batch = %d with %d views in the backbone at once needs %zu MiB of memory, and "
            "%zu are free beside a reserve: %s",
            s->config->trainer.batch, wanted, needed >> 20, available >> 20, advice);
    return SB_DEVICE_FULL;
}

/* All images' numbers, where others than the batch's are drawn. */
static int take_images(sb_step *s)
{
    const size_t images = (size_t)s->method.images;
    bool drawn = false;
    for (int k = 0; k < s->loss->leaf_count; k++)
        drawn = drawn || s->method.given[k].kind == SB_GIVEN_OTHERS;
    if (!drawn)
        return 0;
    s->all_images = sb_zeroed(images, sizeof *s->all_images, "the images of a data set");
    s->swapped = sb_zeroed(images, sizeof *s->swapped, "the images of a data set");
    for (size_t i = 0; i < images && s->all_images; i++)
        s->all_images[i] = (int32_t)i;
    return s->all_images && s->swapped ? 0 : -1;
}

int sb_step_size(sb_step *s, int chunk, sb_recompute recompute, sb_step_budget *out)
{
    piece pieces[SB_STEP_PLANS_MAX];
    want list[WANTS_MAX];
    int wants;
    sb_step_recompute(s, recompute);
    const int count = sized_pieces(s, chunk, pieces);
    if (count < 0)
        return -1;
    list_wants(s, pieces, count, list, &wants);
    add_up(s, list, wants);
    for (int i = 0; i < count; i++)
        s->budget.chunks += pieces[i].chunks;
    *out = s->budget;
    return 0;
}

/* Whether each size of view is cut into equal chunks. */
static bool even(const sb_step *s, int chunk)
{
    sb_step_cut cuts[SB_VIEWS_MAX];
    const int count = sb_step_cut_batch(s->config, chunk, cuts);
    for (int c = 0; c < count; c++)
        if (cuts[c].rest > 0)
            return false;
    return true;
}

int sb_step_fit(sb_step *s, sb_recompute recompute, size_t available)
{
    sb_step_recompute(s, recompute);
    const int largest = largest_chunk(s, sb_step_largest_chunk(s->config) + 1, available);
    for (int chunk = largest; chunk > 0 && chunk >= largest / 2; chunk--)
        if (even(s, chunk) && chunk_fits(s, chunk, available))
            return chunk;
    return largest;
}

/* Takes `bytes` in one piece, if `available` allows it. Another process may be first even so: then the error
 * says what would fit now. */
static int take(sb_step *s, size_t bytes)
{
    size_t available;
    if (s->device->available(s->device, &available) != 0)
        return -1;
    if (bytes > available)
        return fail_memory(s, bytes, available);
    int rc = s->device->alloc(s->device, bytes, &s->memory);
    if (rc == SB_DEVICE_FULL && s->device->available(s->device, &available) == 0)
        return fail_memory(s, bytes, available);
    return rc;
}

/* Which cells of a chunk are visible and predicted. */
static int take_cells(sb_step *s)
{
    size_t most = 0;
    for (int i = 0; i < s->plan_count; i++) {
        const size_t bytes = cells_of(&s->plans[i].masks, s->plans[i].n);
        most = bytes > most ? bytes : most;
    }
    for (int i = 0; i < 2 && most > 0; i++) {
        s->cells_host[i] = sb_zeroed(most, 1, "the masks of a chunk");
        if (!s->cells_host[i])
            return -1;
    }
    return 0;
}

/* What the host keeps beside it. */
static int take_host_memory(sb_step *s)
{
    const size_t batch = (size_t)s->method.batch;
    s->index_host = sb_zeroed((size_t)s->rows, sizeof *s->index_host, "the order of a batch");
    s->permutation = sb_zeroed(batch, sizeof *s->permutation, "the permutation of a batch");
    s->places_sorted = sb_zeroed(batch, sizeof *s->places_sorted, "the places of a batch");
    s->said_host = sb_zeroed(batch, sizeof *s->said_host, "what a column says of a batch");
    s->given_host = sb_zeroed(s->given_floats + 1, sizeof *s->given_host, "a method's numbers of a step");
    s->squares_host = sb_zeroed(sb_step_norm_pieces(s) + 1, sizeof *s->squares_host, "a gradient's squares");
    if (take_images(s) != 0 || take_cells(s) != 0)
        return -1;
    return s->squares_host && s->index_host && s->permutation && s->places_sorted && s->said_host &&
                   s->given_host
               ? 0
               : -1;
}

int sb_step_take_memory(sb_step *s)
{
    int count;
    piece pieces[SB_STEP_PLANS_MAX];
    want list[WANTS_MAX];
    const size_t bytes = list_wants(s, pieces, planned_pieces(s, pieces), list, &count);
    const int rc = take(s, bytes);
    if (rc != 0)
        return rc;
    char *at = s->memory;
    for (int i = 0; i < count; at += list[i++].bytes)
        memcpy(list[i].to, &at, sizeof at);
    if (s->shares)
        s->target_arena = (char *)s->arena + s->heads_bytes.arena - s->heads_bytes.kept;
    add_up(s, list, count);
    s->budget.chunks = s->chunk_count;
    for (int i = 0; i < s->plan_count; i++) {
        sb_plan_bind(s->plans[i].plan, s->arena, s->plans[i].packed);
        if (s->plans[i].teacher)
            sb_plan_bind(s->plans[i].teacher, s->arena, s->plans[i].teacher_packed);
    }
    sb_plan_bind(s->heads, s->heads_arena, s->heads_packed);
    if (s->target_heads)
        sb_plan_bind(s->target_heads, s->target_arena, s->target_packed);
    return take_host_memory(s);
}

void sb_step_free_memory(sb_step *s)
{
    if (s->memory)
        s->device->release(s->device, s->memory);
    free(s->index_host);
    free(s->squares_host);
    free(s->cells_host[0]);
    free(s->cells_host[1]);
    free(s->permutation);
    free(s->given_host);
    free(s->said_host);
    free(s->places_sorted);
    free(s->all_images);
    free(s->swapped);
}
