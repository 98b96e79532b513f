/* pages.c: see pages.h. Numbers in a TIFF file have the order of bytes that its first two say; a big TIFF has
 * offsets of 8 bytes in the place of 4. */
#include "loader/readers/pages.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/memory.h"

#define PAGES_MAX (1 << 20) /* as libtiff */

/* How a file's numbers lie. */
typedef struct {
    bool big, backwards; /* backwards: the most significant byte first */
} layout;

static uint64_t number(const layout *l, const uint8_t *bytes, size_t count)
{
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++)
        value |= (uint64_t)bytes[i] << 8 * (l->backwards ? count - 1 - i : i);
    return value;
}

/* A number of `count` bytes in the file; 0 where it has none. */
static uint64_t read_number(sb_source *s, const layout *l, int64_t at, size_t count)
{
    uint8_t bytes[8];
    return sb_source_read(s, at, bytes, count) == (int64_t)count ? number(l, bytes, count) : 0;
}

static bool read_layout(sb_source *s, layout *out)
{
    uint8_t head[4];
    if (sb_source_read(s, 0, head, sizeof head) != sizeof head || head[0] != head[1] ||
        (head[0] != 'I' && head[0] != 'M'))
        return false;
    out->backwards = head[0] == 'M';
    const uint64_t version = number(out, head + 2, 2);
    out->big = version == 43;
    return version == 42 || version == 43;
}

bool sb_pages_tiff(sb_source *s)
{
    layout l;
    return read_layout(s, &l);
}

/* Where the link to the first directory is, and how long links are. */
static int64_t first_link(const layout *l) { return l->big ? 8 : 4; }
static size_t link_bytes(const layout *l) { return l->big ? 8 : 4; }

/* Where the link to the next directory is, behind this one's entries. */
static int64_t next_link(sb_source *s, const layout *l, int64_t at)
{
    const uint64_t entries = read_number(s, l, at, l->big ? 8 : 2);
    return entries > UINT16_MAX ? s->bytes
                                : at + (l->big ? 8 + 20 * (int64_t)entries : 2 + 12 * (int64_t)entries);
}

/* The directory that a link names; 0: none that lies in the file. */
static int64_t follow(sb_source *s, const layout *l, int64_t link)
{
    const uint64_t at = read_number(s, l, link, link_bytes(l));
    return at < (uint64_t)s->bytes ? (int64_t)at : 0;
}

int sb_pages_walk(sb_source *s, int64_t **out, int *count)
{
    layout l;
    GHashTable *met = g_hash_table_new(NULL, NULL);
    int64_t next = read_layout(s, &l) ? follow(s, &l, first_link(&l)) : 0, *at = NULL;
    int n = 0, room = 0, rc = 0;
    while (next > 0 && n < PAGES_MAX && s->failed == 0 &&
           g_hash_table_add(met, GSIZE_TO_POINTER((gsize)next))) {
        if (n == room) {
            int64_t *grown = sb_grown(at, (size_t)(room = 2 * room + 16), sizeof *at,
                                      "the places of a file's pages");
            if (!grown) {
                rc = -1;
                break;
            }
            at = grown;
        }
        at[n++] = next;
        next = follow(s, &l, next_link(s, &l, next));
    }
    g_hash_table_destroy(met);
    *out = at;
    *count = n;
    return rc;
}

/* The chain of the source's file: remembered, or walked in the place of the least used. NULL: sb_error. */
static const sb_chain *find_chain(sb_chains *c, sb_source *s)
{
    sb_chain *oldest = &c->chains[0];
    for (int i = 0; i < SB_CHAINS; i++) {
        sb_chain *k = &c->chains[i];
        if (k->path && strcmp(k->path, s->path) == 0 && k->bytes == s->bytes && k->mtime_ns == s->mtime_ns) {
            k->used = ++c->clock;
            return k;
        }
        oldest = k->used < oldest->used ? k : oldest;
    }
    sb_chain fresh = {
        .path = strdup(s->path), .bytes = s->bytes, .mtime_ns = s->mtime_ns, .used = ++c->clock
    };
    if (!fresh.path) {
        sb_fail("out of memory for a file's path");
        return NULL;
    }
    if (sb_pages_walk(s, &fresh.at, &fresh.count) != 0 || s->failed != 0) {
        free(fresh.path);
        free(fresh.at);
        return NULL;
    }
    free(oldest->path);
    free(oldest->at);
    *oldest = fresh;
    return oldest;
}

int sb_pages_find(sb_chains *c, sb_source *s, int page, int64_t *at)
{
    layout l;
    *at = page == 0 && read_layout(s, &l) ? follow(s, &l, first_link(&l)) : 0;
    if (page > 0) {
        const sb_chain *chain = find_chain(c, s);
        if (!chain && s->failed == 0)
            return -1;
        *at = chain && page < chain->count ? chain->at[page] : 0;
    }
    if (s->failed == 0 && *at == 0)
        sb_fail("%s: there is no page %d", s->path, page);
    return sb_source_verdict(s, *at == 0);
}

static void patch(sb_source *s, const layout *l, int64_t at, int64_t value)
{
    sb_patch *p = &s->patches[s->patch_count++];
    *p = (sb_patch){ .at = at, .count = link_bytes(l) };
    for (size_t i = 0; i < p->count; i++)
        p->bytes[i] = (uint8_t)((uint64_t)value >> 8 * (l->backwards ? p->count - 1 - i : i));
}

void sb_pages_show(sb_source *s, int64_t at)
{
    layout l;
    s->patch_count = 0;
    if (!read_layout(s, &l))
        return;
    const int64_t end = next_link(s, &l, at);
    patch(s, &l, first_link(&l), at);
    patch(s, &l, end, 0);
}

void sb_chains_free(sb_chains *c)
{
    for (int i = 0; i < SB_CHAINS; i++) {
        free(c->chains[i].path);
        free(c->chains[i].at);
    }
}
