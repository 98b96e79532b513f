/* decoder.c: a decoder comes and goes, looks at files, and chooses how an image is read. See decoder.h. */
#include "loader/readers/decoder.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "loader/readers/pages.h"
#include "loader/readers/reader.h"
#include "loader/readers/samples.h"
#include "loader/readers/source.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "proto/process.h"

#define KEPT_BLOCK (32 << 20) /* the most that glibc takes */
#define KEPT_IN_ALL (256 << 20)

/* What matters of a warning fails the decoding and is in its error; the rest (unknown TIFF tags) would fill
 * the log, tile by tile. */
static void drop_warning(const gchar *domain, GLogLevelFlags level, const gchar *message, gpointer data)
{
    (void)domain, (void)level, (void)message, (void)data;
}

/* Decoders take and give back the same tens of megabytes for every image. Left to itself the allocator
 * returns them to the system each time. */
static void keep_memory(void)
{
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, KEPT_BLOCK);
    mallopt(M_TRIM_THRESHOLD, KEPT_IN_ALL);
}

int sb_decoder_create(sb_decoder **out, int channels, size_t cache_bytes, bool untrusted)
{
    if (VIPS_INIT("smallbatch") != 0)
        return sb_reader_fail("libvips");
    vips_concurrency_set(1);
    vips_cache_set_max(0);
    vips_block_untrusted_set(!untrusted);
    g_log_set_handler("VIPS", G_LOG_LEVEL_WARNING, drop_warning, NULL);
    keep_memory();
    sb_decoder *d = sb_zeroed(1, sizeof *d, "a decoder");
    if (!d)
        return -1;
    d->channels = channels;
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
    free(*decoder);
    *decoder = NULL;
}

int sb_decoder_probe(sb_decoder *d, const char *path, int page, sb_decode_header *out)
{
    struct stat info;
    int fd;
    if (sb_source_open(path, &fd, &info) != 0)
        return -1;
    size_t bytes = (size_t)info.st_size;
    void *file = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (file == MAP_FAILED)
        return sb_fail_errno("%s", path);
    VipsImage *image = sb_reader_open(path, page, file, bytes);
    int rc = image ? 0 : -1;
    if (rc == 0) {
        bool tiff = strncmp(sb_reader_loader(image), "tiff", 4) == 0;
        size_t tile = tiff ? sb_pages_tile_bytes(path, page) : 0;
        *out = (sb_decode_header){ .bytes = info.st_size,
                                   .mtime_ns = (int64_t)info.st_mtim.tv_sec * 1000000000 +
                                               info.st_mtim.tv_nsec };
        out->pages = tiff ? vips_image_get_n_pages(image) : 1;
        out->random_access = tile > 0 && tile <= d->cache.most && vips_image_get_orientation(image) <= 1;
        rc = sb_samples_normalise(&image, d->channels) == 0 ? 0 : sb_reader_fail(path);
    }
    if (rc == 0) {
        out->width = image->Xsize;
        out->height = image->Ysize;
        double needed = (double)image->Xsize * image->Ysize * d->channels, most = (double)d->cache.most;
        if (!out->random_access && (needed > most || (double)bytes > most))
            rc = sb_fail("%s: %d x %d pixels in %zu bytes do not fit %zu MiB (loader.cache_mb; auto: an "
                         "eighth of the memory that may be used): raise it, or save a tiled TIFF",
                         path, out->width, out->height, bytes, d->cache.most >> 20);
    }
    if (image)
        g_object_unref(image);
    munmap(file, bytes);
    return rc;
}

int sb_decoder_tile(sb_decoder *d, const sb_decode_source *s, int left, int top, int side, uint8_t *out,
                    uint64_t *read_ns, uint64_t *decode_ns)
{
    if (left < 0 || top < 0 || left >= s->width || top >= s->height || side < 1) {
        sb_fail("%s: a tile of %d pixels at (%d, %d) is outside %d x %d", s->path, side, left, top, s->width,
                s->height);
        return 2;
    }
    return s->random_access ? sb_tiled_tile(d, s, left, top, side, out, decode_ns)
                            : sb_whole_tile(d, s, left, top, side, out, read_ns, decode_ns);
}
