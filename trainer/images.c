/* images.c: see images.h. */
#include "trainer/images.h"

#include <inttypes.h>
#include <stdlib.h>

#include "loader/index/index.h"
#include "proto/error.h"
#include "proto/memory.h"

static int number_rows(sb_images *x, const sb_index *index)
{
    int64_t count = 0;
    for (uint32_t i = 0; i < index->count; i++) {
        const sb_image *m = &index->images[i];
        const bool grid = x->tile > 0 && !m->placed;
        x->rows[i] = (sb_images_row){ .first = (int32_t)count,
                                      .tiles = grid || m->tiles == 0 ? (int32_t)m->tiles : 1,
                                      .columns = grid ? sb_image_columns(m, x->tile) : 1,
                                      .left = m->train.left,
                                      .top = m->train.top };
        count += x->rows[i].tiles;
        if (count > INT32_MAX)
            return sb_fail("a data set of more than %d images to keep something for", INT32_MAX);
    }
    x->count = (int32_t)count;
    return 0;
}

int sb_images_read(sb_images *out, const char *run_dir, const sb_data_keys *data)
{
    sb_index index;
    *out = (sb_images){ .tile = data->place == SB_PLACE_GRID ? data->tile : 0 };
    if (sb_index_read(&index, run_dir, data) != 0)
        return -1;
    out->row_count = index.count;
    out->rows = sb_zeroed(index.count, sizeof *out->rows, "the images of a data set");
    int rc = out->rows ? number_rows(out, &index) : -1;
    sb_index_free(&index);
    return rc;
}

void sb_images_free(sb_images *x)
{
    free(x->rows);
    *x = (sb_images){ 0 };
}

int32_t sb_images_number(const sb_images *x, const sb_slot_meta *tile)
{
    const sb_images_row *r = tile->image < x->row_count ? &x->rows[tile->image] : NULL;
    if (!r || r->tiles == 0)
        return sb_fail("a tile is of image %" PRIu32 ", which the index does not train on", tile->image);
    if (r->tiles == 1)
        return r->first;
    const int32_t column = (tile->left - r->left) / x->tile, row = (tile->top - r->top) / x->tile;
    if (tile->left < r->left || tile->top < r->top || column >= r->columns || row >= r->tiles / r->columns)
        return sb_fail("a tile of image %" PRIu32 " at (%d, %d) is not on its grid", tile->image,
                       (int)tile->left, (int)tile->top);
    return r->first + row * r->columns + column;
}
