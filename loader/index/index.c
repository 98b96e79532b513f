/* index.c: what an index answers. See index.h. */
#include "loader/index/index.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "loader/index/builder.h"
#include "loader/index/names.h"
#include "proto/error.h"
#include "proto/memory.h"

#define NOTED_MAX 20               /* files named on standard error */
#define PROCESS ((size_t)24 << 20) /* a loader: 15 were seen, libvips with it */

void sb_index_note_left_out(const sb_index *x)
{
    for (uint32_t i = 0; i < x->skipped_count && i < NOTED_MAX; i++)
        sb_note("not used: %s", x->skipped[i].reason);
    if (x->skipped_count > NOTED_MAX)
        sb_note("not used: %" PRIu32 " more", x->skipped_count - NOTED_MAX);
    for (uint32_t i = 0; i < x->passed_count; i++) {
        const sb_passed *p = &x->passed[i];
        sb_note("passed over: %" PRIu32 " %s: %s (%s)", p->count,
                p->suffix[0] ? p->suffix : "without a suffix", p->reason, p->first);
    }
    if (x->twins > 0)
        sb_note(
            "%" PRIu32
            " of the files have the same content as another (%s and %s): they stay in one part of the data",
            x->twins, x->twin_first, x->twin_other);
}

void sb_index_note_remarks(const sb_index *x)
{
    for (uint32_t i = 0; i < x->remark_count; i++)
        sb_note("%s", x->remarks[i]);
}

int sb_index_fail_held(int tiles, int tile)
{
    return sb_fail("%d held-out tile%s: an evaluation needs %d and should have 24. Images of three tiles "
                   "(data.tile = %d) or longer give a held-out strip each; of ten images or more some are "
                   "held out whole; a manifest's column `split` says which",
                   tiles, sb_plural((uint64_t)tiles), SB_HELD_LEAST, tile);
}

uint32_t sb_index_changed(const sb_index *x)
{
    uint32_t changed = 0, touched = 0;
    for (uint32_t i = 0; i < x->count; i++) {
        const sb_image *m = &x->images[i];
        struct stat info;
        char path[PATH_MAX];
        if (i > 0 && m->name == m[-1].name)
            continue;
        bool there = stat(sb_index_path_of(x, m, path), &info) == 0;
        if (there && info.st_size == m->bytes) {
            touched += (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec != m->mtime_ns;
            continue;
        }
        if (++changed <= NOTED_MAX)
            sb_note("%s %s since the run began", path, there ? "was changed" : "has vanished");
    }
    if (changed > NOTED_MAX)
        sb_note("more that were changed or have vanished: %" PRIu32, changed - NOTED_MAX);
    if (touched > 0) /* data that were moved may be copies */
        sb_note("%" PRIu32 " of the files have another time than when the run began, and the same size",
                touched);
    return changed + touched;
}

size_t sb_index_largest(const sb_index *x, int channels) { return x->largest_pixels * (size_t)channels; }

size_t sb_index_beside(const sb_index *x) { return PROCESS + x->largest_bytes; }

uint32_t sb_index_find(const sb_index *x, const char *name, int page)
{
    uint32_t low = 0, high = x->count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const sb_image *m = &x->images[middle];
        int order = strcmp(sb_index_name(x, m), name);
        order = order ? order : m->page - page;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < x->count && x->images[low].page == page &&
                   strcmp(sb_index_name(x, &x->images[low]), name) == 0
               ? low
               : UINT32_MAX;
}

sb_decode_source sb_index_source(const sb_index *x, const sb_image *m, char *path)
{
    return (sb_decode_source){ .path = sb_index_path_of(x, m, path),
                               .page = m->page,
                               .bytes = m->bytes,
                               .width = m->width,
                               .height = m->height,
                               .random_access = m->random_access };
}

/* How many tiles lie beside each other in `length` pixels; a region that is smaller than a tile has one,
 * which is completed by mirroring. */
static int64_t tiles_along(const sb_index *x, int length) { return length < x->tile ? 1 : length / x->tile; }

static int64_t tiles_of(const sb_index *x, const sb_region *r, int64_t *columns)
{
    *columns = tiles_along(x, r->width);
    return r->width > 0 ? *columns * tiles_along(x, r->height) : 0;
}

int sb_index_test_tiles(const sb_index *x, int max, sb_tile **out)
{
    int64_t total = 0, columns, before = 0;
    for (uint32_t i = 0; i < x->count && total < INT64_MAX / 2; i++) /* a file may claim any size */
        total += tiles_of(x, &x->images[i].test, &columns);
    const int64_t count = total < max ? total : max;
    *out = sb_grown(NULL, (size_t)(count > 0 ? count : 0), sizeof **out, "the held-out tiles");
    if (!*out)
        return -1;
    uint32_t image = 0;
    for (int64_t k = 1; k <= count; k++) {
        const int64_t at = total / count * k + total % count * k / count - 1; /* total k / count, rounded */
        int64_t here;
        while (at - before >= (here = tiles_of(x, &x->images[image].test, &columns))) {
            before += here;
            image++;
        }
        const sb_region *r = &x->images[image].test;
        (*out)[k - 1] = (sb_tile){ .image = image,
                                   .left = r->left + (int)((at - before) % columns) * x->tile,
                                   .top = r->top + (int)((at - before) / columns) * x->tile };
    }
    return (int)count;
}

void sb_index_free(sb_index *x)
{
    for (size_t i = 0; i < sizeof x->maps / sizeof *x->maps; i++)
        if (x->maps[i].data)
            munmap(x->maps[i].data, x->maps[i].bytes);
    free(x->labels);
    for (int k = 0; k < x->column_count; k++)
        free(x->columns[k].values);
    free(x->root);
    for (uint32_t i = 0; i < x->skipped_count; i++) {
        free(x->skipped[i].path);
        free(x->skipped[i].reason);
    }
    free(x->skipped);
    for (uint32_t i = 0; i < x->passed_count; i++) {
        free(x->passed[i].suffix);
        free(x->passed[i].reason);
        free(x->passed[i].first);
    }
    free(x->passed);
    free(x->twin_first);
    free(x->twin_other);
    for (uint32_t i = 0; i < x->remark_count; i++)
        free(x->remarks[i]);
    free(x->remarks);
    *x = (sb_index){ 0 };
}
