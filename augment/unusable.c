/* unusable.c: see unusable.h. Only images with which something is wrong take memory, beside a bit for each.
 */
#include "augment/unusable.h"

#include <glib.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/quarantine.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "proto/process.h"

#define FAULTS_MAX 3 /* times that a decoder crashes or hangs before what it was on is quarantined */
#define TILES_MAX 3  /* of a file that are written down */
#define NAMED_MAX 20 /* files whose going and coming is said by name */
#define PAUSE_NS 1000000000ull
#define PAUSES_MAX 7   /* each twice as long as the one before: 64 s at most */
#define TIMEOUTS_MAX 5 /* so many times loader.timeout are files waited for that are away */

typedef struct {
    int left, top;
    uint8_t faults; /* of decoders on this tile */
    bool out;
} tile_trouble;

/* What is wrong with an image. */
typedef struct {
    bool out; /* for good */
    uint8_t faults;
    tile_trouble tiles[TILES_MAX];
    int tile_count, failed; /* tiles known; those that failed since this process began */
    int pauses;             /* since it was away; 0: it is there */
    uint64_t until;         /* ns: it is left alone */
} trouble;

struct sb_unusable {
    const char *run_dir;
    const sb_index *index;
    const sb_augment_keys *keys;
    GHashTable *troubles; /* by the first row of a file and page: what happens to one row happens to all */
    uint8_t *decoded;     /* [files / 8]: a bit for each of whose tiles one was decoded */
    uint32_t files, quarantined, away, named;
    uint64_t progress; /* ns: when files that are away were not all that there was to do */
};

static uint32_t file_of(const sb_unusable *u, uint32_t image) { return u->index->images[image].file; }

static trouble *find(const sb_unusable *u, uint32_t image)
{
    return g_hash_table_lookup(u->troubles, GUINT_TO_POINTER(file_of(u, image)));
}

static trouble *find_or_add(sb_unusable *u, uint32_t image)
{
    trouble *t = find(u, image);
    if (!t) {
        t = g_new0(trouble, 1);
        g_hash_table_insert(u->troubles, GUINT_TO_POINTER(file_of(u, image)), t);
    }
    return t;
}

static tile_trouble *find_tile(trouble *t, const sb_tile *tile)
{
    for (int i = 0; i < t->tile_count; i++)
        if (t->tiles[i].left == tile->left && t->tiles[i].top == tile->top)
            return &t->tiles[i];
    return NULL;
}

/* The tile's own trouble, in the place of one that is not out, if need be. NULL: of this file enough are out.
 */
static tile_trouble *find_or_add_tile(trouble *t, const sb_tile *tile)
{
    tile_trouble *place = find_tile(t, tile);
    if (place)
        return place;
    if (t->tile_count < TILES_MAX)
        place = &t->tiles[t->tile_count++];
    for (int i = 0; !place && i < TILES_MAX; i++)
        if (!t->tiles[i].out)
            place = &t->tiles[i];
    if (place)
        *place = (tile_trouble){ .left = tile->left, .top = tile->top };
    return place;
}

/* ---- create -------------------------------------------------------------------------------------------- */

static int check(const sb_unusable *u)
{
    const double share = (double)u->quarantined / u->files, most = u->keys->data.max_bad;
    if (share <= most && u->quarantined < u->files)
        return 0;
    char way[PATH_MAX + 64] = "";
    if (u->quarantined < u->files) /* twice as many: what is bad is found one by one */
        snprintf(way, sizeof way, "; to go on without them: ./run resume %s data.max_bad=%g", u->run_dir,
                 fmin(ceil(200 * share) / 100, 1));
    return sb_fail("%" PRIu32 " of %" PRIu32 " image%s cannot be used, more than data.max_bad = %g allows; "
                   "%s/quarantine.jsonl says which and why. Once files are mended: ./run index %s --recheck, "
                   "and resume%s",
                   u->quarantined, u->files, sb_plural(u->files), most, u->run_dir, u->run_dir, way);
}

static void keep_out(void *context, const char *name, int page, const sb_tile *tile)
{
    sb_unusable *u = context;
    const uint32_t file = sb_index_find(u->index, name, page);
    if (file == UINT32_MAX) {
        if (!tile) { /* the index left it out */
            u->files++;
            u->quarantined++;
        }
        return;
    }
    trouble *t = find_or_add(u, file);
    if (tile) {
        tile_trouble *known = find_or_add_tile(t, tile);
        if (known)
            known->out = true;
    } else if (!t->out) {
        t->out = true;
        u->quarantined++;
    }
}

int sb_unusable_create(sb_unusable **out, const char *run_dir, const sb_index *index,
                       const sb_augment_keys *keys)
{
    sb_unusable *u = sb_zeroed(1, sizeof *u, "what cannot be used");
    if (!u)
        return -1;
    *u = (sb_unusable){ .run_dir = run_dir, .index = index, .keys = keys, .progress = sb_now() };
    u->troubles = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    u->decoded = sb_zeroed(index->count / 8 + 1, 1, "the images that were decoded");
    for (uint32_t i = 0; i < index->count; i++)
        u->files += index->images[i].file == i;
    if (!u->decoded || sb_quarantine_read(run_dir, keep_out, u) != 0 || check(u) != 0) {
        sb_unusable_destroy(&u);
        return -1;
    }
    *out = u;
    return 0;
}

void sb_unusable_destroy(sb_unusable **unusable)
{
    if (!*unusable)
        return;
    g_hash_table_destroy((*unusable)->troubles);
    free((*unusable)->decoded);
    free(*unusable);
    *unusable = NULL;
}

/* ---- what is asked ------------------------------------------------------------------------------------- */

static bool too_many_away(const sb_unusable *u) { return u->away > u->keys->data.max_bad * u->files; }

sb_tile_state sb_unusable_tile_state(const sb_unusable *u, const sb_tile *tile, uint64_t now)
{
    trouble *t = find(u, tile->image);
    if (!t)
        return SB_TILE_USABLE;
    const tile_trouble *own = find_tile(t, tile);
    if (t->out || (own && own->out))
        return SB_TILE_OUT;
    if (t->pauses == 0 || now >= t->until)
        return SB_TILE_USABLE;
    return t->pauses == 1 || too_many_away(u) ? SB_TILE_WAITED_FOR : SB_TILE_OUT;
}

int sb_unusable_look(sb_unusable *u, bool waits, uint64_t now)
{
    if (!waits)
        u->progress = now;
    const double waited = (double)(now - u->progress) * 1e-9, most = TIMEOUTS_MAX * u->keys->loader.timeout;
    if (waited <= most)
        return 0;
    return sb_fail(
        "%" PRIu32 " of %" PRIu32
        " image%s cannot be read, more than data.max_bad = %g allows to be bad, and none could for "
        "%.0f s (%d times loader.timeout): ./run resume %s when they are back",
        u->away, u->files, sb_plural(u->files), u->keys->data.max_bad, waited, TIMEOUTS_MAX, u->run_dir);
}

uint32_t sb_unusable_quarantined(const sb_unusable *u) { return u->quarantined; }
uint32_t sb_unusable_away_count(const sb_unusable *u) { return u->away; }

/* ---- what was found ------------------------------------------------------------------------------------ */

static int write_down(const sb_unusable *u, const sb_tile *tile, bool only_tile, const char *reason)
{
    const sb_image *row = &u->index->images[tile->image];
    char path[PATH_MAX];
    sb_index_path_of(u->index, row, path);
    reason = sb_quarantine_reason(sb_index_name(u->index, row), reason);
    if (only_tile)
        sb_note("the tile at (%d, %d) of %s cannot be used: %s", tile->left, tile->top, path, reason);
    else
        sb_note("quarantined %s: %s", path, reason);
    return sb_quarantine_append(u->run_dir, sb_index_name(u->index, row), row->page, only_tile ? tile : NULL,
                                reason);
}

static void come_back(sb_unusable *u, trouble *t)
{
    u->away -= t->pauses > 0;
    t->pauses = 0;
}

int sb_unusable_image(sb_unusable *u, const sb_tile *tile, const char *reason)
{
    trouble *t = find_or_add(u, tile->image);
    if (t->out)
        return 0;
    come_back(u, t);
    t->out = true;
    u->quarantined++;
    return write_down(u, tile, false, reason) != 0 ? -1 : check(u);
}

int sb_unusable_tile(sb_unusable *u, const sb_tile *tile, const char *reason)
{
    const uint32_t file = file_of(u, tile->image);
    trouble *t = find_or_add(u, tile->image);
    tile_trouble *own = find_or_add_tile(t, tile);
    const bool fresh = !own || !own->out;
    come_back(u, t);
    if (own)
        own->out = true;
    if (t->out || !fresh)
        return 0;
    if (own && write_down(u, tile, true, reason) != 0)
        return -1;
    if (++t->failed < TILES_MAX || (u->decoded[file / 8] >> file % 8 & 1))
        return 0;
    char all[SB_ERROR_MAX];
    snprintf(all, sizeof all, "the first %d tiles that were tried cannot be decoded, the last one: %s",
             t->failed, reason);
    return sb_unusable_image(u, tile, all);
}

int sb_unusable_away(sb_unusable *u, const sb_tile *tile, const char *reason, uint64_t now)
{
    trouble *t = find_or_add(u, tile->image);
    if (t->out)
        return 0;
    if (t->pauses == 0) {
        const bool before = too_many_away(u);
        u->away++;
        if (u->named++ < NAMED_MAX)
            sb_note("cannot be read now, and is left out until it can: %s", reason);
        if (!before && too_many_away(u))
            sb_note(
                "%" PRIu32 " of %" PRIu32
                " image%s cannot be read, more than data.max_bad = %g allows to be bad: they are waited for",
                u->away, u->files, sb_plural(u->files), u->keys->data.max_bad);
    }
    if (t->until <= now) { /* several tiles of it may fail at once */
        t->until = now + (PAUSE_NS << (t->pauses < PAUSES_MAX ? t->pauses : PAUSES_MAX - 1));
        t->pauses++;
    }
    return 0;
}

void sb_unusable_decoded(sb_unusable *u, const sb_tile *tile)
{
    const uint32_t file = file_of(u, tile->image);
    u->decoded[file / 8] |= (uint8_t)(1u << file % 8);
    trouble *t = find(u, tile->image);
    char path[PATH_MAX];
    if (!t || t->pauses == 0)
        return;
    come_back(u, t);
    if (u->named <= NAMED_MAX)
        sb_note("%s can be read again", sb_index_path_of(u->index, &u->index->images[tile->image], path));
}

int sb_unusable_fault(sb_unusable *u, const sb_tile *tile, const char *how)
{
    const bool alone = u->index->images[tile->image].random_access;
    trouble *t = find_or_add(u, tile->image);
    tile_trouble *own = alone ? find_or_add_tile(t, tile) : NULL;
    uint8_t *faults = own ? &own->faults : &t->faults;
    char reason[256];
    if (t->out)
        return 1;
    snprintf(reason, sizeof reason, "the decoder failed on it %d times, the last time it %s", FAULTS_MAX,
             how);
    if (++*faults < FAULTS_MAX)
        return 0;
    const int rc = alone ? sb_unusable_tile(u, tile, reason) : sb_unusable_image(u, tile, reason);
    return rc != 0 ? rc : 1;
}
