/* order.c: see order.h. The order of one epoch is held (16 bytes a sample) and made again whenever a sample
 * of another is asked for. */
#include "augment/order.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/memory.h"
#include "proto/random.h"

#define DEALT UINT32_MAX /* the image of an entry that is in a batch */

typedef struct {
    uint32_t image;
    uint32_t repeat; /* which of the image's samples */
} entry;

/* Where a group stands while an epoch is dealt; batches are numbered by how many are left, from the last, 1.
 */
typedef struct {
    uint64_t left;   /* entries that are not dealt yet */
    uint64_t taken;  /* the last batch that has one */
    uint64_t urgent; /* the last batch that had to */
} group_state;

struct sb_order {
    const sb_index *index;
    const sb_augment_keys *keys;
    uint64_t total; /* samples before the last partial batch is dropped */
    uint64_t kept;
    uint32_t epoch;   /* that `entries` holds; UINT32_MAX none */
    entry *entries;   /* [total] */
    uint32_t *images; /* [count]: permuted */

    /* distinct groups only */
    entry *spare;    /* [total] */
    uint32_t *group; /* [count]: of an image, numbered from 0 without gaps */
    uint32_t group_count;
    group_state *groups; /* [group_count] */
    uint64_t most_left;  /* of any group, or more */
};

static uint32_t samples_of(const sb_order *o, uint32_t image)
{
    return o->index->images[image].tiles * (uint32_t)o->keys->data.tiles_per_image;
}

/* Fisher and Yates over any array of entries. */
static void shuffle(entry *entries, uint64_t count, sb_random *random)
{
    for (uint64_t i = count; i > 1; i--) {
        uint64_t j = sb_random_below(random, (uint32_t)i);
        entry kept = entries[i - 1];
        entries[i - 1] = entries[j];
        entries[j] = kept;
    }
}

/* Groups with as many entries left as there are batches, or more: each batch must have one of each, or some
 * cannot be filled. */
static uint64_t mark_urgent(sb_order *o, uint64_t batches)
{
    uint64_t urgent = 0;
    if (o->most_left < batches)
        return 0;
    o->most_left = 0;
    for (uint32_t g = 0; g < o->group_count; g++) {
        o->most_left = o->groups[g].left > o->most_left ? o->groups[g].left : o->most_left;
        if (o->groups[g].left >= batches) {
            o->groups[g].urgent = batches;
            urgent++;
        }
    }
    return urgent;
}

/* Deals the entries into batches so that no batch has two of one group: the urgent groups, else always the
 * earliest entry whose group is not in the batch yet. False if some batch cannot be filled, which then no
 * other order could either: with r batches left, sum over groups of min(entries left, r) must be r batches'
 * worth, and dealing a batch like this takes from it no more than a batch, or leaves only urgent groups, a
 * batch of them or more. */
static bool make_distinct(sb_order *o)
{
    uint64_t batch = (uint64_t)o->keys->trainer.batch, made = 0, first = 0;
    memset(o->groups, 0, o->group_count * sizeof *o->groups);
    o->most_left = UINT64_MAX;
    for (uint64_t i = 0; i < o->total; i++)
        o->groups[o->group[o->entries[i].image]].left++;
    for (uint64_t batches = o->kept / batch; batches > 0; batches--) {
        uint64_t urgent = mark_urgent(o, batches), others = urgent < batch ? batch - urgent : 0, filled = 0;
        for (uint64_t i = first; i < o->total && filled < batch; i++) {
            entry *e = &o->entries[i];
            group_state *g = e->image == DEALT ? NULL : &o->groups[o->group[e->image]];
            if (!g || g->taken == batches || (g->urgent != batches && others == 0))
                continue;
            others -= g->urgent != batches;
            g->taken = batches;
            g->left--;
            o->spare[made + filled++] = *e;
            e->image = DEALT;
        }
        if (filled < batch)
            return false;
        made += batch;
        while (first < o->total && o->entries[first].image == DEALT)
            first++;
    }
    entry *swap = o->entries;
    o->entries = o->spare;
    o->spare = swap;
    return true;
}

static int make_epoch(sb_order *o, uint32_t epoch)
{
    uint32_t count = o->index->count, window = (uint32_t)o->keys->data.window;
    sb_random random;
    sb_random_init(&random, o->keys->common.seed, SB_RANDOM_IMAGES, epoch, 0, 0);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t j = sb_random_below(&random, i + 1);
        o->images[i] = o->images[j];
        o->images[j] = i;
    }
    uint64_t used = 0;
    for (uint32_t first = 0, number = 0; first < count; first += window, number++) {
        uint64_t begin = used;
        for (uint32_t i = first; i < count && i - first < window; i++)
            for (uint32_t repeat = 0; repeat < samples_of(o, o->images[i]); repeat++)
                o->entries[used++] = (entry){ .image = o->images[i], .repeat = repeat };
        sb_random_init(&random, o->keys->common.seed, SB_RANDOM_TILES, epoch, number, 0);
        shuffle(o->entries + begin, used - begin, &random);
    }
    o->epoch = epoch;
    if (o->keys->batch.groups == SB_GROUPS_DISTINCT && !make_distinct(o))
        return sb_fail("batch.groups = distinct: epoch %" PRIu32
                       " cannot be dealt into batches of %d without two tiles of one group; "
                       "lower trainer.batch or add images",
                       epoch, o->keys->trainer.batch);
    return 0;
}

typedef struct {
    uint32_t group, image;
} membership;

static int by_group(const void *a, const void *b)
{
    uint32_t x = ((const membership *)a)->group, y = ((const membership *)b)->group;
    return (x > y) - (x < y);
}

static int number_groups(sb_order *o)
{
    uint32_t count = o->index->count;
    membership *m = sb_zeroed(count, sizeof *m, "the groups of images");
    o->spare = sb_zeroed(o->total, sizeof *o->spare, "an epoch's samples by group");
    o->group = sb_zeroed(count, sizeof *o->group, "the groups of images");
    o->groups = sb_zeroed(count, sizeof *o->groups, "the list of groups");
    if (!m || !o->spare || !o->group || !o->groups) {
        free(m);
        return -1;
    }
    for (uint32_t i = 0; i < count; i++)
        m[i] = (membership){ o->index->images[i].group, i };
    qsort(m, count, sizeof *m, by_group);
    for (uint32_t i = 0; i < count; i++) {
        o->group_count += i == 0 || m[i].group != m[i - 1].group;
        o->group[m[i].image] = o->group_count - 1;
    }
    free(m);
    return 0;
}

int sb_order_create(sb_order **out, const sb_index *index, const sb_augment_keys *keys)
{
    sb_order *o = sb_zeroed(1, sizeof *o, "the order of samples");
    if (!o)
        return -1;
    *o = (sb_order){ .index = index, .keys = keys, .epoch = UINT32_MAX };
    for (uint32_t i = 0; i < index->count; i++)
        o->total += samples_of(o, i);
    uint64_t batch = (uint64_t)keys->trainer.batch;
    o->kept = o->total / batch * batch;
    if (o->kept == 0 || o->total >= UINT32_MAX) {
        sb_fail("an epoch has %" PRIu64
                " sample%s, a batch needs %d: lower trainer.batch or data.tile, raise "
                "data.tiles_per_image, or add "
                "images",
                o->total, sb_plural(o->total), keys->trainer.batch);
        free(o);
        return -1;
    }
    o->entries = sb_zeroed(o->total, sizeof *o->entries, "an epoch's samples");
    o->images = sb_zeroed(index->count, sizeof *o->images, "the order of images");
    if (!o->entries || !o->images) {
        sb_order_destroy(&o);
        return -1;
    }
    if ((keys->batch.groups == SB_GROUPS_DISTINCT && number_groups(o) != 0) || make_epoch(o, 0) != 0) {
        sb_order_destroy(&o);
        return -1;
    }
    *out = o;
    return 0;
}

void sb_order_destroy(sb_order **order)
{
    if (!*order)
        return;
    free((*order)->entries);
    free((*order)->spare);
    free((*order)->images);
    free((*order)->group);
    free((*order)->groups);
    free(*order);
    *order = NULL;
}

uint64_t sb_order_epoch_samples(const sb_order *o) { return o->kept; }

/* Where the tile lies: anywhere in the image's training region, or the repeat-th of its grid. */
static void locate_tile(const sb_order *o, uint32_t image, uint32_t repeat, sb_random *random, sb_tile *out)
{
    const sb_image *row = &o->index->images[image];
    int side = o->keys->data.tile, across = row->train.width - side, down = row->train.height - side;
    *out = (sb_tile){ .image = image, .left = row->train.left, .top = row->train.top };
    if (row->placed) {
        out->left = row->left;
        out->top = row->top;
    } else if (o->keys->data.place == SB_PLACE_GRID) {
        uint32_t columns = (uint32_t)sb_image_columns(row, side), tile = repeat % row->tiles;
        out->left += (int)(tile % columns) * side;
        out->top += (int)(tile / columns) * side;
    } else {
        uint32_t x = sb_random_below(random, across > 0 ? (uint32_t)across + 1 : 1);
        uint32_t y = sb_random_below(random, down > 0 ? (uint32_t)down + 1 : 1);
        out->left += (int)x;
        out->top += (int)y;
    }
}

int sb_order_sample(sb_order *o, uint64_t n, uint32_t attempt, sb_tile *out)
{
    uint64_t epoch = n / o->kept;
    uint32_t position = (uint32_t)(n % o->kept);
    if (epoch >= UINT32_MAX)
        return sb_fail("sample %" PRIu64 " is in epoch %" PRIu64 ", which is too far", n, epoch);
    sb_random random;
    if (attempt == 0) {
        if (o->epoch != epoch && make_epoch(o, (uint32_t)epoch) != 0)
            return -1;
        sb_random_init(&random, o->keys->common.seed, SB_RANDOM_CROP, (uint32_t)epoch, position, 0);
        locate_tile(o, o->entries[position].image, o->entries[position].repeat, &random, out);
        return 0;
    }
    sb_random_init(&random, o->keys->common.seed, SB_RANDOM_REPLACE, (uint32_t)epoch, position, attempt);
    for (int draws = 0; draws < 100000; draws++) {
        uint32_t image = sb_random_below(&random, o->index->count);
        if (samples_of(o, image) == 0)
            continue;
        locate_tile(o, image, sb_random_below(&random, samples_of(o, image)), &random, out);
        return 0;
    }
    return sb_fail("no image has a tile to train on");
}
