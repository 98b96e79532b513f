/* look.c: what the named files are: each is looked at once, however many rows name it. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/index/scan.h"
#include "proto/error.h"

/* Half, a quarter... of the first page, rounded either way: a level of a pyramid (as libvips, GDAL and Aperio
 * write them). */
static bool is_level(const sb_decode_header *first, const sb_decode_header *page)
{
    for (int scale = 2; scale <= first->width || scale <= first->height; scale *= 2) {
        int wide = page->width * scale - first->width, high = page->height * scale - first->height;
        if (abs(wide) < scale && abs(high) < scale)
            return true;
    }
    return false;
}

/* A row's page is this one. What a manifest says of it is checked now that its size is known. */
static int take_page(sb_builder *b, sb_row *row, int page, const sb_decode_header *h)
{
    sb_image *m = &row->image;
    if (m->placed && (m->left >= h->width || m->top >= h->height)) {
        const bool left = m->left >= h->width;
        return sb_fail("%s:%d: %s = %d: must be from 0 to %d, as %s has %d x %d pixels", b->source, row->line,
                       left ? "left" : "top", left ? m->left : m->top, (left ? h->width : h->height) - 1,
                       m->path, h->width, h->height);
    }
    m->page = page;
    m->bytes = h->bytes;
    m->mtime_ns = h->mtime_ns;
    m->width = h->width;
    m->height = h->height;
    m->random_access = h->random_access;
    row->wide = h->wide;
    row->left_out = h->left_out;
    return 0;
}

/* Further rows for a further page, as the file's first `count` rows. */
static int add_page(sb_builder *b, uint32_t first, uint32_t count, int page, const sb_decode_header *h)
{
    for (uint32_t i = first; i < first + count; i++) {
        sb_row *row = sb_builder_row(b, b->rows[i].image.path);
        if (!row)
            return -1;
        char *path = row->image.path;
        *row = b->rows[i];
        row->image.path = path;
        if (take_page(b, row, page, h) != 0)
            return -1;
    }
    return 0;
}

/* The rows [first, first + count) name one file. Those of a file that cannot be used keep a width of 0. */
static int look_at(sb_builder *b, sb_decoder *decoder, uint32_t first, uint32_t count)
{
    char path[PATH_MAX];
    sb_decode_header page0, h;
    snprintf(path, sizeof path, "%s", b->rows[first].image.path);
    if (sb_text_clean(path) > 0) {
        sb_fail("%s: the name is not UTF-8, or holds a line break or another control character", path);
        return sb_builder_skip(b, b->rows[first].image.path, 0, sb_error());
    }
    if (sb_decoder_probe(decoder, path, 0, &page0) != 0)
        return sb_builder_skip(b, path, 0, sb_error());
    int rc = 0;
    for (uint32_t i = first; rc == 0 && i < first + count; i++)
        rc = take_page(b, &b->rows[i], 0, &page0);
    for (int page = 1; rc == 0 && page < page0.pages; page++) {
        if (sb_decoder_probe(decoder, path, page, &h) != 0)
            rc = sb_builder_skip(b, path, page, sb_error());
        else if (!is_level(&page0, &h))
            rc = add_page(b, first, count, page, &h);
    }
    return rc;
}

static void drop_unusable(sb_builder *b)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < b->count; i++)
        if (b->rows[i].image.width > 0)
            b->rows[kept++] = b->rows[i];
        else
            free(b->rows[i].image.path);
    b->count = kept;
}

int sb_scan_look(sb_builder *b, sb_decoder *decoder)
{
    const uint32_t named = b->count; /* pages are added behind */
    int rc = 0;
    for (uint32_t first = 0, next; rc == 0 && first < named; first = next) {
        next = first + 1;
        while (next < named && strcmp(b->rows[next].image.path, b->rows[first].image.path) == 0)
            next++;
        rc = look_at(b, decoder, first, next - first);
    }
    drop_unusable(b);
    sb_builder_sort(b);
    return rc;
}
