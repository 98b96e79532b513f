/* split.c: which part of the data is held out. The rules are in index.h. */
#include <string.h>

#include "loader/index/builder.h"

#define GROUPS_FOR_SPLIT 10

static sb_region whole(const sb_image *image, int tile)
{
    if (image->placed)
        return (sb_region){ image->left, image->top, tile, tile };
    return (sb_region){ 0, 0, image->width, image->height };
}

/* Train on all but the last part of the longer side and a guard band of a tile before it. */
static bool cut_strip(sb_image *image, int tile)
{
    bool wide = image->width >= image->height;
    int side = wide ? image->width : image->height;
    int strip = side >= 5 * tile ? 2 * tile : tile;
    strip = side / 6 > strip ? side / 6 : strip;
    if (image->placed || side - strip - tile < tile)
        return false;
    int kept = side - strip - tile;
    image->train = (sb_region){ 0, 0, wide ? kept : image->width, wide ? image->height : kept };
    image->test = wide ? (sb_region){ side - strip, 0, strip, image->height }
                       : (sb_region){ 0, side - strip, image->width, strip };
    return true;
}

/* Of the path below the root, with its slash: a folder and a manifest in it hold the same files out. */
static uint32_t hash_of(const char *name)
{
    const char *slash = strncmp(name, "../", 3) == 0 ? name + 2 : name;
    uint32_t hash = 2166136261u; /* FNV-1a */
    if (slash[0] != '/')
        hash = (hash ^ '/') * 16777619u;
    for (; *slash; slash++)
        hash = (hash ^ (unsigned char)*slash) * 16777619u;
    return hash;
}

void sb_hold_out(sb_builder *b, int tile)
{
    uint32_t files = 0;
    bool strips = false, given = b->has_split || g_hash_table_size(b->groups) >= GROUPS_FOR_SPLIT;
    for (uint32_t i = 0; i < b->count; i++) {
        sb_image *image = &b->rows[i].image;
        image->train = whole(image, tile);
        files += i == 0 || !sb_builder_same_file(b, &b->rows[i], &b->rows[i - 1]);
        if (given) {
            bool group = image->group != UINT32_MAX &&
                         image->group % GROUPS_FOR_SPLIT == GROUPS_FOR_SPLIT - 1;
            if (b->has_split ? b->rows[i].held : group) {
                image->test = image->train;
                image->train = (sb_region){ 0 };
            }
        } else {
            strips = cut_strip(image, tile) || strips;
        }
    }
    if (given || strips || files < 10)
        return;
    /* Every row of a file goes the same way, so that no pixel is in both parts. */
    for (uint32_t i = 0; i < b->count; i++) {
        const uint32_t twin = b->rows[i].twin;
        const sb_image *named = twin == UINT32_MAX ? &b->rows[i].image : &b->rows[twin].image;
        sb_image *image = &b->rows[i].image;
        if (hash_of(b->names + named->name) % 10 == 9) {
            image->test = image->train;
            image->train = (sb_region){ 0 };
        }
    }
}
