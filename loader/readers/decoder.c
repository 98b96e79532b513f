/* decoder.c: a decoder comes and goes, and chooses how an image is read. See decoder.h. */
#include "loader/readers/decoder.h"

#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#include "loader/readers/reader.h"
#include "loader/readers/warnings.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "proto/process.h"

#define KEPT_BLOCK (32 << 20) /* the most that glibc takes */
#define KEPT_IN_ALL (256 << 20)
#define TRIED 256 /* pixels: the side of a tile that is tried */

/* Decoders take and give back the same tens of megabytes for every image. Left to itself the allocator
 * returns them to the system each time. */
static void keep_memory(void)
{
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, KEPT_BLOCK);
    mallopt(M_TRIM_THRESHOLD, KEPT_IN_ALL);
}

int sb_decoder_create(sb_decoder **out, const sb_samples_keys *samples, size_t cache_bytes, bool untrusted)
{
    if (VIPS_INIT("smallbatch") != 0) {
        sb_reader_fail("libvips");
        return -1;
    }
    vips_concurrency_set(1);
    vips_cache_set_max(0);
    vips_block_untrusted_set(!untrusted);
    sb_warnings_take();
    keep_memory();
    sb_decoder *d = sb_zeroed(1, sizeof *d, "a decoder");
    if (!d)
        return -1;
    d->samples = *samples;
    d->cache.most = cache_bytes;
    *out = d;
    return 0;
}

size_t sb_decoder_most(void)
{
    const size_t limit = sb_memory_look().limit;
    return (limit > 0 ? limit : (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE)) / 8;
}

void sb_decoder_bound(sb_decoder *d, size_t cache_bytes) { sb_cache_bound(&d->cache, cache_bytes); }

void sb_decoder_destroy(sb_decoder **decoder)
{
    if (!*decoder)
        return;
    sb_cache_free(&(*decoder)->cache);
    sb_chains_free(&(*decoder)->chains);
    free(*decoder);
    *decoder = NULL;
}

bool sb_decoder_reads(const sb_decoder *d) { return d->reading.now != 0; }

int sb_decoder_tile(sb_decoder *d, const sb_decode_source *s, int left, int top, int side, uint8_t *out,
                    uint64_t *read_ns, uint64_t *decode_ns)
{
    if (left < 0 || top < 0 || left >= s->width || top >= s->height || side < 1) {
        sb_fail("%s: a tile of %d pixels at (%d, %d) is outside %d x %d", s->path, side, left, top, s->width,
                s->height);
        return SB_DECODE_TILE;
    }
    const uint64_t begin = sb_now(), before = d->reading.ns;
    const int verdict = s->random_access ? sb_tiled_tile(d, s, left, top, side, out)
                                         : sb_whole_tile(d, s, left, top, side, out);
    const uint64_t all = sb_now() - begin, reading = d->reading.ns - before;
    *read_ns += reading;
    *decode_ns += all > reading ? all - reading : 0;
    return verdict;
}

int sb_decoder_try(sb_decoder *d, const sb_decode_source *s)
{
    const int shorter = s->width < s->height ? s->width : s->height, side = shorter < TRIED ? shorter : TRIED;
    uint64_t ignored = 0;
    uint8_t *pixels = sb_grown(NULL, (size_t)side * (size_t)side, (size_t)d->samples.channels,
                               "a tile's pixels");
    if (!pixels)
        return SB_DECODE_FAULT;
    const int verdict = sb_decoder_tile(d, s, (s->width - side) / 2, (s->height - side) / 2, side, pixels,
                                        &ignored, &ignored);
    free(pixels);
    return verdict;
}

int sb_decoder_look(sb_decoder *d, const sb_decode_source *s, sb_levels *levels)
{
    sb_source from;
    int rc = sb_source_open(&from, s->path, s->bytes, &d->reading);
    if (rc != 0)
        return rc;
    rc = sb_source_verdict(&from, sb_reader_look(d, s, &from, levels));
    sb_source_close(&from);
    return rc;
}
