/* cache.c: see cache.h. */
#include "loader/readers/cache.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/memory.h"

static void drop(sb_cache *c, int i)
{
    c->bytes -= c->images[i].bytes;
    free(c->images[i].path);
    if (c->images[i].bytes > c->spare_bytes) {
        free(c->spare);
        c->spare = c->images[i].pixels;
        c->spare_bytes = c->images[i].bytes;
    } else {
        free(c->images[i].pixels);
    }
    c->images[i] = c->images[--c->count];
}

static void drop_spare(sb_cache *c)
{
    free(c->spare);
    c->spare = NULL;
    c->spare_bytes = 0;
}

const sb_cached *sb_cache_find(sb_cache *c, const char *path, int page)
{
    for (int i = 0; i < c->count; i++)
        if (c->images[i].page == page && strcmp(c->images[i].path, path) == 0) {
            c->images[i].used = ++c->clock;
            return &c->images[i];
        }
    return NULL;
}

void sb_cache_make_room(sb_cache *c, size_t bytes)
{
    while (c->count > 0 && (c->bytes + bytes > c->most || c->count == SB_CACHE_IMAGES)) {
        int oldest = 0;
        for (int i = 1; i < c->count; i++)
            if (c->images[i].used < c->images[oldest].used)
                oldest = i;
        drop(c, oldest);
    }
}

uint8_t *sb_cache_take(sb_cache *c, size_t size, size_t *bytes)
{
    if (c->spare && c->spare_bytes >= size && c->bytes + c->spare_bytes <= c->most) {
        uint8_t *pixels = c->spare;
        *bytes = c->spare_bytes;
        c->spare = NULL;
        c->spare_bytes = 0;
        return pixels;
    }
    drop_spare(c);
    *bytes = size;
    return sb_grown(NULL, size, 1, "an image's pixels");
}

const sb_cached *sb_cache_keep(sb_cache *c, const sb_cached *image)
{
    char *path = strdup(image->path);
    if (!path) {
        free(image->pixels);
        sb_fail("out of memory for an image's path");
        return NULL;
    }
    sb_cached *kept = &c->images[c->count++];
    *kept = *image;
    kept->path = path;
    kept->used = ++c->clock;
    c->bytes += kept->bytes;
    return kept;
}

void sb_cache_bound(sb_cache *c, size_t most)
{
    const int count = c->count;
    c->most = most;
    sb_cache_make_room(c, 0);
    if (c->count == count)
        return;
    drop_spare(c);
    malloc_trim(0);
}

void sb_cache_free(sb_cache *c)
{
    while (c->count > 0)
        drop(c, 0);
    drop_spare(c);
}
