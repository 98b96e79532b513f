/* check.c: whether an index is one: its rows may come from a file that was damaged. */
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "loader/index/index.h"
#include "proto/error.h"

#define SIDE_MAX (INT_MAX / 4)

static bool is_part(const sb_region *r, const sb_image *m, int tile)
{
    if (r->width == 0)
        return true;
    if (m->placed)
        return r->left == m->left && r->top == m->top && r->width == tile && r->height == tile;
    return r->left >= 0 && r->top >= 0 && r->width > 0 && r->height > 0 && r->left <= m->width - r->width &&
           r->top <= m->height - r->height;
}

static bool is_number(uint32_t number, uint32_t count) { return number == UINT32_MAX || number < count; }

static bool share_pixels(const sb_region *a, const sb_region *b)
{
    return a->width > 0 && b->width > 0 && a->left < b->left + b->width && b->left < a->left + a->width &&
           a->top < b->top + b->height && b->top < a->top + a->height;
}

static int fail_shared(const sb_index *x, const sb_image *a, const sb_image *b)
{
    return sb_fail("%s: pixels at (%d, %d) are both trained on and held out: give every tile of a file the "
                   "same split or leave room between them",
                   sb_index_name(x, a), b->train.left, b->train.top);
}

static bool is_row(const sb_index *x, uint32_t row)
{
    const sb_image *m = &x->images[row];
    bool good = m->bytes >= 0 && m->page >= 0 && m->width >= 1 && m->width <= SIDE_MAX && m->height >= 1 &&
                m->height <= SIDE_MAX && m->left >= 0 && m->left < m->width && m->top >= 0 &&
                m->top < m->height && m->random_access <= 1 && m->placed <= 1 && m->unused == 0 &&
                m->file <= row && is_number(m->label, x->label_count) && m->group != UINT32_MAX &&
                m->tiles == sb_image_tiles(m, x->tile) && is_part(&m->train, m, x->tile) &&
                is_part(&m->test, m, x->tile);
    for (int k = 0; k < SB_GUIDES_MAX; k++)
        good = good && is_number(m->value[k], k < x->column_count ? x->columns[k].count : 0);
    return good;
}

static int check_name(const sb_index *x, uint32_t row)
{
    char path[PATH_MAX];
    const sb_image *m = &x->images[row];
    if (m->name >= x->name_bytes)
        return sb_fail("row %" PRIu32 " of the index is damaged: it has no name", row);
    return sb_index_path(x, sb_index_name(x, m), path) == 0 ? 0
                                                            : sb_context("row %" PRIu32 " of the index", row);
}

/* All but its name. */
static int check_place(const sb_index *x, uint32_t row)
{
    const sb_image *m = &x->images[row];
    if (!is_row(x, row))
        return sb_fail("%s: row %" PRIu32 " of the index is damaged", sb_index_name(x, m), row);
    return share_pixels(&m->train, &m->test) ? fail_shared(x, m, m) : 0;
}

int sb_index_check_row(const sb_index *x, uint32_t row)
{
    if (row >= x->count)
        return sb_fail("row %" PRIu32 " of an index of %" PRIu32, row, x->count);
    return check_name(x, row) == 0 ? check_place(x, row) : -1;
}

static int compare(const sb_index *x, const sb_image *a, const sb_image *b)
{
    int order = a->name == b->name ? 0 : strcmp(sb_index_name(x, a), sb_index_name(x, b));
    order = order ? order : a->page - b->page;
    order = order ? order : a->top - b->top;
    return order ? order : a->left - b->left;
}

/* Sorted rows: no row twice, no pixel both trained on and held out. The rows of a file lie together, its
 * tiles by their top, and share a name. */
int sb_index_check(const sb_index *x)
{
    for (uint32_t i = 0; i < x->count; i++) {
        const sb_image *a = &x->images[i];
        const bool same_name = i > 0 && a->name == (a - 1)->name;
        if ((!same_name && check_name(x, i) != 0) || check_place(x, i) != 0)
            return -1;
        const int order = i > 0 ? compare(x, a - 1, a) : -1;
        const char *name = sb_index_name(x, a);
        if (order > 0)
            return sb_fail("%s: its row is out of order", name);
        if (order == 0)
            return a->placed ? sb_fail("%s: its tile at (%d, %d) is there twice", name, a->left, a->top)
                             : sb_fail("%s: it is there twice", name);
        for (uint32_t j = i; j-- > a->file && a->top - x->images[j].top < x->tile;)
            if (share_pixels(&x->images[j].train, &a->test) || share_pixels(&a->train, &x->images[j].test))
                return fail_shared(x, a, &x->images[j]);
    }
    return 0;
}
