/* decode.c: see decode.h. Pixels come from libvips; the cache of whole images is ours, since its bound is a promise. */
#include "loader/decode.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vips/vips.h>

#include "proto/error.h"
#include "proto/process.h"

#define CACHED_MAX 4096
#define FILE_BYTES_MAX (8ll << 30)
#define PIXELS_MAX (1ll << 31)

typedef struct {
    char *path;
    int page, width, height;
    uint8_t *pixels;
    size_t bytes;
    uint64_t used; /* clock of the last use */
} cached;

struct sb_decoder {
    int channels;
    size_t cache_bytes, cached_bytes;
    cached images[CACHED_MAX];
    int count;
    uint64_t clock;
};

/* libvips' error buffer as our error, in one line. */
static int fail_vips(const char *path)
{
    char text[512];
    snprintf(text, sizeof text, "%s", vips_error_buffer());
    vips_error_clear();
    size_t length = strlen(text);
    while (length > 0 && text[length - 1] == '\n')
        text[--length] = '\0';
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
    return sb_fail("%s: %s", path, text[0] ? text : "cannot be decoded");
}

int sb_decoder_create(sb_decoder **out, int channels, size_t cache_bytes, bool untrusted)
{
    if (VIPS_INIT("smallbatch") != 0)
        return fail_vips("libvips");
    vips_concurrency_set(1);
    vips_cache_set_max(0);
    vips_block_untrusted_set(!untrusted);
    sb_decoder *d = calloc(1, sizeof *d);
    if (!d)
        return sb_fail("out of memory");
    d->channels = channels;
    d->cache_bytes = cache_bytes;
    *out = d;
    return 0;
}

static void drop(sb_decoder *d, int i)
{
    d->cached_bytes -= d->images[i].bytes;
    free(d->images[i].path);
    g_free(d->images[i].pixels);
    d->images[i] = d->images[--d->count];
}

void sb_decoder_destroy(sb_decoder **decoder)
{
    if (!*decoder)
        return;
    while ((*decoder)->count > 0)
        drop(*decoder, 0);
    free(*decoder);
    *decoder = NULL;
}

/* ---- opening ---------------------------------------------------------------------------------------------------------------------- */

/* The whole file in memory: a pipe, directory or device is refused, not waited for. */
static int read_file(const char *path, uint8_t **data, size_t *bytes)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return sb_fail_errno("%s", path);
    int rc = fstat(fd, &info) != 0            ? sb_fail_errno("%s", path)
             : !S_ISREG(info.st_mode)         ? sb_fail("%s: not a regular file", path)
             : info.st_size == 0              ? sb_fail("%s: the file is empty", path)
             : info.st_size > FILE_BYTES_MAX ? sb_fail("%s: %lld bytes are too many", path, (long long)info.st_size)
                                              : 0;
    *bytes = rc == 0 ? (size_t)info.st_size : 0;
    *data = rc == 0 ? malloc(*bytes) : NULL;
    if (rc == 0 && !*data)
        rc = sb_fail("%s: out of memory for %zu bytes", path, *bytes);
    size_t got = 0;
    while (rc == 0 && got < *bytes) {
        ssize_t n = read(fd, *data + got, *bytes - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = sb_fail_errno("%s", path);
        if (n == 0)
            rc = sb_fail("%s: the file became shorter while it was read", path);
        if (n > 0)
            got += (size_t)n;
    }
    close(fd);
    if (rc != 0) {
        free(*data);
        *data = NULL;
    }
    return rc;
}

static bool has_page(const char *operation)
{
    return operation && (strstr(operation, "Tiff") || strstr(operation, "Webp") || strstr(operation, "Gif"));
}

/* Takes ownership of *image and gives what the operation made of it; `status` is the operation's. */
#define STEP(image, call)               \
    do {                                \
        VipsImage *next = NULL;         \
        if ((call) != 0)                \
            return -1;                  \
        g_object_unref(*(image));       \
        *(image) = next;                \
    } while (0)

/* Upright, 8-bit, `channels` bands. An embedded profile is followed for CMYK; for RGB it would cost as much as decoding and is left
 * aside. Transparency becomes white. */
static int normalise(VipsImage **image, int channels)
{
    VipsInterpretation wanted = channels == 3 ? VIPS_INTERPRETATION_sRGB : VIPS_INTERPRETATION_B_W;
    STEP(image, vips_autorot(*image, &next, NULL));
    if (vips_image_get_interpretation(*image) == VIPS_INTERPRETATION_CMYK && vips_image_get_typeof(*image, VIPS_META_ICC_NAME))
        STEP(image, vips_icc_transform(*image, &next, "srgb", "embedded", TRUE, NULL));
    if (vips_image_hasalpha(*image)) {
        bool wide = (*image)->Type == VIPS_INTERPRETATION_RGB16 || (*image)->Type == VIPS_INTERPRETATION_GREY16;
        VipsArrayDouble *white = vips_array_double_newv(1, wide ? 65535.0 : 255.0);
        VipsImage *next = NULL;
        int status = vips_flatten(*image, &next, "background", white, NULL);
        vips_area_unref(VIPS_AREA(white));
        if (status != 0)
            return -1;
        g_object_unref(*image);
        *image = next;
    }
    if (vips_image_get_interpretation(*image) != wanted)
        STEP(image, vips_colourspace(*image, &next, wanted, NULL));
    if ((*image)->BandFmt != VIPS_FORMAT_UCHAR)
        STEP(image, vips_cast_uchar(*image, &next, NULL));
    if ((*image)->Bands > channels)
        STEP(image, vips_extract_band(*image, &next, 0, "n", channels, NULL));
    if ((*image)->Bands < channels) {
        VipsImage *bands[3] = { *image, *image, *image };
        STEP(image, vips_bandjoin(bands, &next, channels, NULL));
    }
    return 0;
}

/* Opened for decoding a region at a time (path) or whole (data); NULL: sb_error. */
static VipsImage *open_image(const char *path, int page, const uint8_t *data, size_t bytes, int channels)
{
    VipsImage *image = NULL;
    const char *loader = data ? vips_foreign_find_load_buffer(data, bytes) : vips_foreign_find_load(path);
    if (!loader) {
        fail_vips(path);
        return NULL;
    }
    VipsAccess access = data ? VIPS_ACCESS_SEQUENTIAL : VIPS_ACCESS_RANDOM;
    if (data)
        image = has_page(loader) ? vips_image_new_from_buffer(data, bytes, "", "access", access, "fail_on", VIPS_FAIL_ON_WARNING, "page", page, NULL)
                                 : vips_image_new_from_buffer(data, bytes, "", "access", access, "fail_on", VIPS_FAIL_ON_WARNING, NULL);
    else
        image = has_page(loader) ? vips_image_new_from_file(path, "access", access, "fail_on", VIPS_FAIL_ON_WARNING, "page", page, NULL)
                                 : vips_image_new_from_file(path, "access", access, "fail_on", VIPS_FAIL_ON_WARNING, NULL);
    if (!image || normalise(&image, channels) != 0) {
        fail_vips(path);
        if (image)
            g_object_unref(image);
        return NULL;
    }
    return image;
}

int sb_decoder_probe(sb_decoder *d, const char *path, int *width, int *height, int *pages, bool *random_access)
{
    (void)d;
    struct stat info;
    if (stat(path, &info) != 0)
        return sb_fail_errno("%s", path);
    if (!S_ISREG(info.st_mode) || info.st_size == 0)
        return sb_fail("%s: %s", path, S_ISREG(info.st_mode) ? "the file is empty" : "not a regular file");
    VipsImage *image = vips_image_new_from_file(path, NULL);
    if (!image)
        return fail_vips(path);
    bool swapped = vips_image_get_orientation_swap(image);
    *width = swapped ? image->Ysize : image->Xsize;
    *height = swapped ? image->Xsize : image->Ysize;
    *pages = vips_image_get_n_pages(image);
    const char *loader = NULL;
    int tile_width = 0;
    if (vips_image_get_typeof(image, VIPS_META_LOADER) && vips_image_get_string(image, VIPS_META_LOADER, &loader) != 0)
        vips_error_clear();
    if (vips_image_get_typeof(image, "tile-width") && vips_image_get_int(image, "tile-width", &tile_width) != 0)
        vips_error_clear();
    *random_access = loader && strncmp(loader, "tiff", 4) == 0 && tile_width > 0 && vips_image_get_orientation(image) <= 1;
    bool large = (int64_t)image->Xsize * image->Ysize > PIXELS_MAX, tiff = loader && strncmp(loader, "tiff", 4) == 0;
    g_object_unref(image);
    if (large && !*random_access)
        return sb_fail("%s: %d x %d pixels are too many to decode whole; save it as a tiled TIFF", path, *width, *height);
    if (!tiff)
        *pages = 1; /* the frames of an animation are not pages of a scan */
    return 0;
}

/* ---- tiles ------------------------------------------------------------------------------------------------------------------------ */

/* Mirrors an index into 0 .. size - 1, as often as needed. */
static int mirror(int i, int size)
{
    int period = 2 * size;
    i %= period;
    return i < size ? i : period - 1 - i;
}

/* Copies the tile out of an area [height, width, channels] whose corner is pixel (0, 0); beyond right and lower edge: mirrored. */
static void copy_tile(const uint8_t *area, int width, int height, int channels, int left, int top, int side, uint8_t *out)
{
    size_t c = (size_t)channels, pitch = (size_t)width * c;
    int inside = width - left < side ? width - left : side;
    for (int y = 0; y < side; y++) {
        const uint8_t *from = area + (size_t)mirror(top + y, height) * pitch;
        uint8_t *to = out + (size_t)y * (size_t)side * c;
        memcpy(to, from + (size_t)left * c, (size_t)inside * c);
        for (int x = inside; x < side; x++)
            memcpy(to + (size_t)x * c, from + (size_t)mirror(left + x, width) * c, c);
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

/* Decodes the whole image into the cache. NULL: it cannot be used (sb_error). */
static cached *decode_whole(sb_decoder *d, const sb_decode_source *s, uint64_t *read_ns, uint64_t *decode_ns)
{
    uint64_t begin = sb_now();
    uint8_t *file, *pixels = NULL;
    size_t bytes = 0, size = 0;
    int rc = read_file(s->path, &file, &bytes);
    uint64_t middle = sb_now();
    *read_ns += middle - begin;
    if (rc != 0)
        return NULL;
    make_room(d, (size_t)s->width * (size_t)s->height * (size_t)d->channels);
    VipsImage *image = open_image(s->path, s->page, file, bytes, d->channels);
    if (image && (image->Xsize != s->width || image->Ysize != s->height)) {
        sb_fail("%s: %d x %d pixels, the index says %d x %d: the file has changed", s->path, image->Xsize, image->Ysize, s->width, s->height);
    } else if (image) {
        pixels = vips_image_write_to_memory(image, &size);
        if (!pixels)
            fail_vips(s->path);
    }
    if (image)
        g_object_unref(image);
    free(file);
    *decode_ns += sb_now() - middle;
    if (!pixels)
        return NULL;
    cached *c = &d->images[d->count];
    *c = (cached){ .path = strdup(s->path), .page = s->page, .width = s->width, .height = s->height, .pixels = pixels, .bytes = size };
    if (!c->path) {
        g_free(pixels);
        sb_fail("out of memory");
        return NULL;
    }
    d->cached_bytes += size;
    d->count++;
    return c;
}

/* Only the region of the tile. */
static int decode_region(sb_decoder *d, const sb_decode_source *s, int left, int top, int side, uint8_t *out, uint64_t *decode_ns)
{
    uint64_t begin = sb_now();
    int width = s->width - left < side ? s->width - left : side, height = s->height - top < side ? s->height - top : side;
    VipsImage *image = open_image(s->path, s->page, NULL, 0, d->channels), *region = NULL;
    int rc = image ? 0 : 1;
    if (rc == 0 && (image->Xsize != s->width || image->Ysize != s->height)) {
        sb_fail("%s: %d x %d pixels, the index says %d x %d: the file has changed", s->path, image->Xsize, image->Ysize, s->width, s->height);
        rc = 1;
    }
    if (rc == 0 && vips_extract_area(image, &region, left, top, width, height, NULL) != 0) {
        fail_vips(s->path);
        rc = 2;
    }
    if (rc == 0) {
        size_t size;
        uint8_t *pixels = vips_image_write_to_memory(region, &size);
        if (pixels) {
            copy_tile(pixels, width, height, d->channels, 0, 0, side, out);
            g_free(pixels);
        } else {
            fail_vips(s->path);
            rc = 2;
        }
    }
    if (region)
        g_object_unref(region);
    if (image)
        g_object_unref(image);
    *decode_ns += sb_now() - begin;
    return rc;
}

int sb_decoder_tile(sb_decoder *d, const sb_decode_source *s, int left, int top, int side, uint8_t *out, uint64_t *read_ns,
                    uint64_t *decode_ns)
{
    if (left < 0 || top < 0 || left >= s->width || top >= s->height || side < 1) {
        sb_fail("%s: a tile of %d pixels at (%d, %d) is outside %d x %d", s->path, side, left, top, s->width, s->height);
        return 2;
    }
    if (s->random_access)
        return decode_region(d, s, left, top, side, out, decode_ns);
    cached *c = find(d, s);
    if (!c)
        c = decode_whole(d, s, read_ns, decode_ns);
    if (!c)
        return 1;
    c->used = ++d->clock;
    uint64_t begin = sb_now();
    copy_tile(c->pixels, c->width, c->height, d->channels, left, top, side, out);
    *decode_ns += sb_now() - begin;
    return 0;
}
