/* cache.h: whole images in memory, the least used dropped first. Its bound is a promise: nothing that is kept
 * is beyond it. Private to loader/readers. */
#ifndef SB_LOADER_READERS_CACHE_H
#define SB_LOADER_READERS_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SB_CACHE_IMAGES 4096

typedef struct {
    char *path;
    int page, width, height;
    uint8_t *pixels; /* [height, width, channels] */
    size_t bytes;    /* of the memory behind pixels, which may have held a larger image before */
    uint64_t used;   /* clock of the last use */
} sb_cached;

typedef struct {
    size_t most, bytes; /* the bound; what is kept */
    sb_cached images[SB_CACHE_IMAGES];
    int count;
    uint64_t clock;
    uint8_t *spare; /* memory of an image that was dropped for the next: fresh pages would cost a third as
                       much as decoding into them */
    size_t spare_bytes;
} sb_cache;

/* The image, which counts as used now. NULL: it is not kept. The pointer holds until the next call. */
const sb_cached *sb_cache_find(sb_cache *cache, const char *path, int page);

/* Drops images until `bytes` more fit the bound. */
void sb_cache_make_room(sb_cache *cache, size_t bytes);

/* Memory for `size` bytes of pixels, of *bytes in all, for which there is room. NULL: sb_error. */
uint8_t *sb_cache_take(sb_cache *cache, size_t size, size_t *bytes);

/* Keeps an image whose pixels were taken, or frees these. NULL: sb_error. */
const sb_cached *sb_cache_keep(sb_cache *cache, const sb_cached *image);

/* Has another bound from now on: what is above it is given back to the system at once. */
void sb_cache_bound(sb_cache *cache, size_t most);

void sb_cache_free(sb_cache *cache);

#endif
