/* decoder.c: see decoder.h. Pixels come from libvips, those of plain JPEG files from libjpeg; the cache of
 * whole images is ours, since its bound is a promise. */
#include "loader/readers/decoder.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <tiffio.h>
#include <unistd.h>
#include <vips/vips.h>

#include "loader/readers/jpeg.h"
#include "loader/readers/samples.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "proto/process.h"

#define CACHED_MAX 4096
#define STRIP 16              /* rows that are decoded at once: they stay in the second cache */
#define KEPT_BLOCK (32 << 20) /* the most that glibc takes */
#define KEPT_IN_ALL (256 << 20)

typedef struct {
    char *path;
    int page, width, height;
    uint8_t *pixels;
    size_t bytes;  /* of the memory behind pixels, which may have held a larger image before */
    uint64_t used; /* clock of the last use */
} cached;

struct sb_decoder {
    sb_samples_keys samples;
    size_t cache_bytes, cached_bytes;
    cached images[CACHED_MAX];
    int count;
    uint64_t clock;
    uint8_t *spare; /* memory of an image that was dropped for the next: fresh pages would cost a third as
                       much as decoding into them */
    size_t spare_bytes;
};

/* libvips' error buffer as our error, in one line. */
static int fail_vips(const char *path)
{
    char text[512];
    snprintf(text, sizeof text, "%s", vips_error_buffer());
    vips_error_clear();
    g_strchomp(text);
    sb_text_clean(text);
    return sb_fail("%s: %s", path, text[0] ? text : "cannot be decoded");
}

/* The last warning of a TIFF's decoders, which libtiff gives beside pixels that it calls sound. Where other
 * readers warn of what matters, the decoding fails. Nothing is logged: tags would fill the log, tile by tile.
 */
static char last_warning[256];

static void take_warning(const gchar *domain, GLogLevelFlags level, const gchar *message, gpointer data)
{
    (void)domain, (void)level, (void)data;
    if (sb_samples_warning_matters(message))
        snprintf(last_warning, sizeof last_warning, "%s", message);
}

/* After the pixels of a TIFF: 0, or -1 where its decoders warned and that is refused. */
static int check_warning(const sb_samples_keys *samples, const char *path)
{
    if (last_warning[0] == '\0' || samples->warnings == SB_WARNINGS_ACCEPT)
        return 0;
    sb_text_clean(last_warning);
    return sb_fail("%s: %s (data.warnings)", path, last_warning);
}

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
    if (VIPS_INIT("smallbatch") != 0)
        return fail_vips("libvips");
    vips_concurrency_set(1);
    vips_cache_set_max(0);
    vips_block_untrusted_set(!untrusted);
    g_log_set_handler("VIPS", G_LOG_LEVEL_WARNING, take_warning, NULL);
    keep_memory();
    sb_decoder *d = sb_zeroed(1, sizeof *d, "a decoder");
    if (!d)
        return -1;
    d->samples = *samples;
    d->cache_bytes = cache_bytes;
    *out = d;
    return 0;
}

size_t sb_decoder_most(void)
{
    const size_t limit = sb_memory_look().limit;
    return (limit > 0 ? limit : (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE)) / 8;
}

static void drop(sb_decoder *d, int i)
{
    d->cached_bytes -= d->images[i].bytes;
    free(d->images[i].path);
    if (d->images[i].bytes > d->spare_bytes) {
        free(d->spare);
        d->spare = d->images[i].pixels;
        d->spare_bytes = d->images[i].bytes;
    } else {
        free(d->images[i].pixels);
    }
    d->images[i] = d->images[--d->count];
}

void sb_decoder_destroy(sb_decoder **decoder)
{
    if (!*decoder)
        return;
    while ((*decoder)->count > 0)
        drop(*decoder, 0);
    free((*decoder)->spare);
    free(*decoder);
    *decoder = NULL;
}

/* ---- opening ------------------------------------------------------------------------------------------- */

/* Too few descriptors or too little memory is no fault of the file. */
static int fail_open(const char *path)
{
    bool ours = errno == EMFILE || errno == ENFILE || errno == ENOMEM;
    sb_fail_errno("%s", path);
    return ours ? -1 : 1;
}

/* A descriptor of a regular file: a pipe, directory or device is refused, not waited for. 0; 1: the file
 * cannot be used; -1. */
static int open_file(const char *path, int *fd, struct stat *info)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0)
        return fail_open(path);
    if (fstat(*fd, info) == 0 && S_ISREG(info->st_mode) && info->st_size > 0)
        return 0;
    sb_fail("%s: %s", path, S_ISREG(info->st_mode) ? "the file is empty" : "not a regular file");
    close(*fd);
    return 1;
}

static int fail_changed(const sb_decode_source *s, int64_t bytes)
{
    sb_fail("%s: %lld bytes, %lld when it was indexed: the file has changed", s->path, (long long)bytes,
            (long long)s->bytes);
    return 1;
}

/* The whole file in memory. 0; 1: the file cannot be used; -1: a fault of the process. */
static int read_file(const sb_decode_source *s, uint8_t **data, size_t *bytes)
{
    struct stat info;
    int fd, rc = open_file(s->path, &fd, &info);
    *data = NULL;
    if (rc != 0)
        return rc;
    *bytes = (size_t)info.st_size;
    if (info.st_size != s->bytes)
        rc = fail_changed(s, info.st_size);
    else if (!(*data = sb_grown(NULL, *bytes, 1, s->path)))
        rc = -1;
    size_t got = 0;
    while (rc == 0 && got < *bytes) {
        ssize_t n = read(fd, *data + got, *bytes - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = fail_open(s->path);
        else if (n == 0)
            rc = fail_changed(s, (int64_t)got);
        else
            got += (size_t)n;
    }
    close(fd);
    if (rc != 0) {
        free(*data);
        *data = NULL;
    }
    return rc;
}

/* Page `page` of a file in memory, as it is stored. NULL: sb_error. */
static VipsImage *open_memory(const sb_samples_keys *samples, const char *path, int page, const uint8_t *data,
                              size_t bytes)
{
    const char *loader = vips_foreign_find_load_buffer(data, bytes);
    bool paged = loader && (strstr(loader, "Tiff") || strstr(loader, "Webp") || strstr(loader, "Gif"));
    const VipsFailOn fail_on = sb_samples_fail_on(samples, loader ? loader : "");
    VipsImage *image = NULL;
    if (paged)
        image = vips_image_new_from_buffer(data, bytes, "", "access", VIPS_ACCESS_SEQUENTIAL, "fail_on",
                                           fail_on, "page", page, NULL);
    else if (loader)
        image = vips_image_new_from_buffer(data, bytes, "", "access", VIPS_ACCESS_SEQUENTIAL, "fail_on",
                                           fail_on, NULL);
    if (!image)
        fail_vips(path);
    return image;
}

/* What libvips calls the reader of an image's file: "jpegload_buffer", "tiffload", ... */
static const char *reader(VipsImage *image)
{
    const char *name = "";
    if (vips_image_get_string(image, VIPS_META_LOADER, &name) != 0)
        vips_error_clear();
    return name;
}

/* Bytes of a tile of a page of a TIFF file; 0: it is not tiled. libvips does not tell. */
static size_t tile_bytes(const char *path, int page)
{
    TIFF *file = TIFFOpen(path, "rm"); /* not mapped */
    tmsize_t bytes = file && TIFFSetDirectory(file, (tdir_t)page) && TIFFIsTiled(file) ? TIFFTileSize(file)
                                                                                       : 0;
    if (file)
        TIFFClose(file);
    vips_error_clear(); /* libvips takes libtiff's messages */
    return bytes > 0 ? (size_t)bytes : 0;
}

int sb_decoder_probe(sb_decoder *d, const char *path, int page, sb_decode_header *out)
{
    struct stat info;
    int fd;
    if (open_file(path, &fd, &info) != 0)
        return -1;
    size_t bytes = (size_t)info.st_size;
    void *file = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (file == MAP_FAILED)
        return sb_fail_errno("%s", path);
    VipsImage *image = open_memory(&d->samples, path, page, file, bytes);
    int rc = image ? 0 : -1;
    if (rc == 0) {
        bool tiff = strncmp(reader(image), "tiff", 4) == 0;
        size_t tile = tiff ? tile_bytes(path, page) : 0;
        *out = (sb_decode_header){ .bytes = info.st_size,
                                   .mtime_ns = (int64_t)info.st_mtim.tv_sec * 1000000000 +
                                               info.st_mtim.tv_nsec };
        out->pages = tiff ? vips_image_get_n_pages(image) : 1;
        out->random_access = tile > 0 && tile <= d->cache_bytes && vips_image_get_orientation(image) <= 1;
        const sb_samples_file stored = { path, page, file, bytes };
        sb_samples_keys samples = d->samples;
        if (samples.range == SB_RANGE_PERCENTILE) { /* it is not known yet, and no pixel is decoded */
            samples.range = SB_RANGE_GIVEN;
            samples.high = 1;
        }
        out->wide = sb_samples_wide(image);
        rc = sb_samples_normalise(&image, &samples, &stored, &out->left_out) == 0 ? 0 : fail_vips(path);
    }
    if (rc == 0) {
        out->width = image->Xsize;
        out->height = image->Ysize;
        double needed = (double)image->Xsize * image->Ysize * d->samples.channels,
               most = (double)d->cache_bytes;
        if (!out->random_access && (needed > most || (double)bytes > most))
            rc = sb_fail("%s: %d x %d pixels in %zu bytes do not fit %zu MiB (loader.cache_mb; auto: an "
                         "eighth of the memory that may be used): raise it, or save a tiled TIFF",
                         path, out->width, out->height, bytes, d->cache_bytes >> 20);
    }
    if (image)
        g_object_unref(image);
    munmap(file, bytes);
    return rc;
}

/* ---- tiles --------------------------------------------------------------------------------------------- */

/* Mirrors an index into 0 .. size - 1, as often as needed. */
static int mirror(int i, int size)
{
    int period = 2 * size;
    i %= period;
    return i < size ? i : period - 1 - i;
}

/* Copies the tile out of an area [height, width, channels] whose corner is pixel (0, 0); what is beyond the
 * right and lower edge mirrors what of the tile is inside. */
static void copy_tile(const uint8_t *area, int width, int height, int channels, int left, int top, int side,
                      uint8_t *out)
{
    size_t c = (size_t)channels, pitch = (size_t)width * c;
    int across = width - left < side ? width - left : side, down = height - top < side ? height - top : side;
    for (int y = 0; y < side; y++) {
        const uint8_t *from = area + (size_t)(top + mirror(y, down)) * pitch + (size_t)left * c;
        uint8_t *to = out + (size_t)y * (size_t)side * c;
        memcpy(to, from, (size_t)across * c);
        for (int x = across; x < side; x++)
            memcpy(to + (size_t)x * c, from + (size_t)mirror(x, across) * c, c);
    }
}

static cached *find(sb_decoder *d, const sb_decode_source *s)
{
    for (int i = 0; i < d->count; i++)
        if (d->images[i].page == s->page && strcmp(d->images[i].path, s->path) == 0)
            return &d->images[i];
    return NULL;
}

static void make_room(sb_decoder *d, size_t bytes)
{
    while (d->count > 0 && (d->cached_bytes + bytes > d->cache_bytes || d->count == CACHED_MAX)) {
        int oldest = 0;
        for (int i = 1; i < d->count; i++)
            if (d->images[i].used < d->images[oldest].used)
                oldest = i;
        drop(d, oldest);
    }
}

void sb_decoder_bound(sb_decoder *d, size_t cache_bytes)
{
    const int count = d->count;
    d->cache_bytes = cache_bytes;
    make_room(d, 0);
    if (d->count == count)
        return;
    free(d->spare);
    d->spare = NULL;
    d->spare_bytes = 0;
    malloc_trim(0);
}

/* Memory for `size` bytes of pixels: the spare, if that is large enough and the cache has room for all of it.
 * NULL: sb_error. */
static uint8_t *take_pixels(sb_decoder *d, size_t size, size_t *bytes)
{
    uint8_t *pixels = d->spare;
    *bytes = d->spare_bytes;
    if (!pixels || d->spare_bytes < size || d->cached_bytes + d->spare_bytes > d->cache_bytes) {
        free(pixels);
        *bytes = size;
        pixels = sb_grown(NULL, size, 1, "an image's pixels");
    }
    d->spare = NULL;
    d->spare_bytes = 0;
    return pixels;
}

/* Computes the image into `pixels`, strip by strip from the top and in this thread: libvips' own sinks hand
 * every strip to another. 0, or -1 with libvips' error. */
static int write_pixels(VipsImage *image, uint8_t *pixels)
{
    size_t bytes = (size_t)image->Xsize * (size_t)image->Ysize * (size_t)image->Bands;
    VipsImage *target = vips_image_new_from_memory(pixels, bytes, image->Xsize, image->Ysize, image->Bands,
                                                   VIPS_FORMAT_UCHAR);
    VipsRegion *from = vips_region_new(image), *to = target ? vips_region_new(target) : NULL;
    int rc = from && to ? 0 : -1;
    for (int top = 0; rc == 0 && top < image->Ysize; top += STRIP) {
        VipsRect strip = { 0, top, image->Xsize, image->Ysize - top < STRIP ? image->Ysize - top : STRIP };
        if (vips_region_image(to, &strip) != 0 ||
            vips_region_prepare_to(from, to, &strip, strip.left, strip.top) != 0)
            rc = -1;
    }
    if (to)
        g_object_unref(to);
    if (from)
        g_object_unref(from);
    if (target)
        g_object_unref(target);
    return rc;
}

static int fail_size(const sb_decode_source *s, const VipsImage *image)
{
    sb_fail("%s: %d x %d pixels, %d x %d when it was indexed: the file has changed", s->path, image->Xsize,
            image->Ysize, s->width, s->height);
    return 1;
}

/* Decodes the file at `file` into `pixels`. 0; 1: the image cannot be used. */
static int decode_file(const sb_samples_keys *samples, const sb_decode_source *s, const uint8_t *file,
                       size_t bytes, uint8_t *pixels)
{
    const sb_samples_file stored = { s->path, s->page, file, bytes };
    VipsImage *opened = open_memory(samples, s->path, s->page, file, bytes), *image = opened;
    if (image)
        g_object_ref(image);
    int rc = !image || (sb_samples_normalise(&image, samples, &stored, NULL) != 0 && fail_vips(s->path)) ? 1
                                                                                                         : 0;
    if (rc == 0 && (image->Xsize != s->width || image->Ysize != s->height))
        rc = fail_size(s, image);
    const bool plain = rc == 0 && image == opened && strncmp(reader(image), "jpeg", 4) == 0,
               tiff = rc == 0 && strncmp(reader(image), "tiff", 4) == 0;
    last_warning[0] = '\0';
    const int direct = plain ? sb_jpeg_pixels(file, bytes, s->width, s->height, samples->channels, pixels)
                             : 1;
    if (direct < 0 && samples->warnings == SB_WARNINGS_REFUSE) {
        sb_context("%s", s->path);
        rc = 1;
    }
    if (rc == 0 && direct != 0 && write_pixels(image, pixels) != 0) {
        fail_vips(s->path);
        rc = 1;
    }
    if (tiff && rc == 0 && check_warning(samples, s->path) != 0)
        rc = 1;
    if (opened)
        g_object_unref(opened);
    if (image)
        g_object_unref(image);
    return rc;
}

/* Decodes the whole image into the cache. 0; 1: it cannot be used; -1: a fault of the process. */
static int decode_whole(sb_decoder *d, const sb_decode_source *s, cached **out, uint64_t *read_ns,
                        uint64_t *decode_ns)
{
    uint64_t begin = sb_now();
    uint8_t *file, *pixels = NULL;
    size_t bytes = 0, kept = 0, size = (size_t)s->width * (size_t)s->height * (size_t)d->samples.channels;
    if (size > d->cache_bytes) {
        sb_fail("%s: %d x %d pixels do not fit %zu MiB (loader.cache_mb)", s->path, s->width, s->height,
                d->cache_bytes >> 20);
        return 1;
    }
    int rc = read_file(s, &file, &bytes);
    uint64_t middle = sb_now();
    *read_ns += middle - begin;
    if (rc != 0)
        return rc;
    make_room(d, size);
    pixels = take_pixels(d, size, &kept);
    rc = pixels ? decode_file(&d->samples, s, file, bytes, pixels) : -1;
    if (rc == 1 && sb_jpeg_sound(file, bytes)) { /* its warnings are of those that never matter */
        sb_samples_keys lenient = d->samples;
        lenient.warnings = SB_WARNINGS_ACCEPT;
        rc = decode_file(&lenient, s, file, bytes, pixels);
    }
    free(file);
    *decode_ns += sb_now() - middle;
    char *path = rc == 0 ? strdup(s->path) : NULL;
    if (!path) {
        free(pixels);
        return rc != 0 ? rc : sb_fail("out of memory for an image's path");
    }
    cached *c = &d->images[d->count++];
    *c = (cached){
        .path = path, .page = s->page, .width = s->width, .height = s->height, .pixels = pixels, .bytes = kept
    };
    d->cached_bytes += kept;
    *out = c;
    return 0;
}

/* Only the region of the tile: all of it that lies inside the image straight into `out`, or through a copy
 * where it is to be completed. */
static int decode_region(sb_decoder *d, const sb_decode_source *s, int left, int top, int side, uint8_t *out,
                         uint64_t *decode_ns)
{
    uint64_t begin = sb_now();
    int width = s->width - left < side ? s->width - left : side,
        height = s->height - top < side ? s->height - top : side;
    VipsImage *image = NULL, *region = NULL;
    struct stat info;
    int fd, rc = open_file(s->path, &fd, &info);
    if (rc == 0)
        close(fd);
    if (rc == 0 && info.st_size != s->bytes)
        rc = fail_changed(s, info.st_size);
    const sb_samples_file stored = { .path = s->path, .page = s->page };
    if (rc == 0 && (vips_tiffload(s->path, &image, "access", VIPS_ACCESS_RANDOM, "fail_on",
                                  sb_samples_fail_on(&d->samples, "Tiff"), "page", s->page, NULL) != 0 ||
                    sb_samples_normalise(&image, &d->samples, &stored, NULL) != 0)) {
        fail_vips(s->path);
        rc = 1;
    }
    if (rc == 0 && (image->Xsize != s->width || image->Ysize != s->height))
        rc = fail_size(s, image);
    bool inside = width == side && height == side;
    uint8_t *pixels = inside ? out : NULL;
    size_t size = (size_t)width * (size_t)height * (size_t)d->samples.channels;
    if (rc == 0 && !inside && !(pixels = sb_grown(NULL, size, 1, "a tile's pixels")))
        rc = -1;
    last_warning[0] = '\0';
    if (rc == 0 && (vips_extract_area(image, &region, left, top, width, height, NULL) != 0 ||
                    write_pixels(region, pixels) != 0)) {
        fail_vips(s->path);
        rc = 2;
    }
    if (rc == 0 && check_warning(&d->samples, s->path) != 0)
        rc = 2;
    if (rc == 0 && !inside)
        copy_tile(pixels, width, height, d->samples.channels, 0, 0, side, out);
    if (!inside)
        free(pixels);
    if (region)
        g_object_unref(region);
    if (image)
        g_object_unref(image);
    *decode_ns += sb_now() - begin;
    return rc;
}

int sb_decoder_look(sb_decoder *d, const sb_decode_source *s, sb_levels *levels)
{
    uint8_t *file = NULL;
    size_t bytes = 0;
    VipsImage *image = NULL;
    int rc = s->random_access ? 0 : read_file(s, &file, &bytes);
    if (rc == 0 && s->random_access)
        rc = vips_tiffload(s->path, &image, "access", VIPS_ACCESS_RANDOM, "page", s->page, NULL) != 0 &&
                     fail_vips(s->path)
                 ? 1
                 : 0;
    else if (rc == 0)
        rc = (image = open_memory(&d->samples, s->path, s->page, file, bytes)) ? 0 : 1;
    const sb_samples_file stored = { s->path, s->page, file, bytes };
    if (rc == 0 && sb_samples_look(&image, &d->samples, &stored, s->random_access, levels) != 0) {
        fail_vips(s->path);
        rc = 1;
    }
    if (image)
        g_object_unref(image);
    free(file);
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
    if (s->random_access)
        return decode_region(d, s, left, top, side, out, decode_ns);
    cached *c = find(d, s);
    int rc = c ? 0 : decode_whole(d, s, &c, read_ns, decode_ns);
    if (rc != 0)
        return rc;
    c->used = ++d->clock;
    uint64_t begin = sb_now();
    copy_tile(c->pixels, c->width, c->height, d->samples.channels, left, top, side, out);
    *decode_ns += sb_now() - begin;
    return 0;
}
