/* probe.c: what a file is: its headers, no pixels. See decoder.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tiffio.h>

#include "loader/readers/kinds.h"
#include "loader/readers/reader.h"
#include "loader/readers/samples.h"
#include "proto/error.h"
#include "proto/memory.h"

#define SEEN_MAX 16    /* structures of pages that are remembered */
#define TAG_LENS 65421 /* Hamamatsu's */
#define EXTRAS_MAX 16

/* What libvips' verdict on a page follows from. Compared byte by byte, so that all of it is set to zero
 * first. */
typedef struct {
    uint32_t width, height, tile_width, tile_height, profile_bytes;
    uint16_t bits, format, samples, photometric, planar, compression, orientation, subsampling[2];
    uint16_t extra_count, extras[EXTRAS_MAX];
} structure;

typedef struct {
    structure of;
    const sb_decode_page *page; /* the first of this structure */
} seen;

/* The pages of one TIFF file, looked at one after another. Two readers, since libtiff keeps its place in the
 * first while libvips is shown pages by the second. */
typedef struct {
    sb_decoder *decoder;
    sb_source directories, shown;
    TIFF *tiff;
    sb_kinds kinds;
    seen seen[SEEN_MAX];
    int seen_count;
} looker;

const char *sb_page_kind_name(sb_page_kind kind)
{
    static const char *const names[SB_PAGE_KINDS] = { "image",     "reduced", "mask",
                                                      "thumbnail", "label",   "macro" };
    return names[kind];
}

/* Whether an image that is decoded whole has room. bytes: of its file, where that is read at once. 0; 1. */
static int check_room(const sb_decoder *d, const char *path, int width, int height, int64_t bytes)
{
    const double needed = (double)width * height * d->samples.channels, most = (double)d->cache.most;
    if (needed <= most && (double)bytes <= most)
        return 0;
    sb_fail("%s: %d x %d pixels in %lld bytes do not fit %zu MiB (loader.cache_mb; auto: an eighth of the "
            "memory that may be used): raise it, or save a tiled TIFF",
            path, width, height, (long long)bytes, d->cache.most >> 20);
    return 1;
}

/* What an opened image, which it frees, is as it is trained on: its size, and what is open about its samples.
 * 0; 1. */
static int measure(const sb_decoder *d, sb_source *from, VipsImage *image, sb_decode_page *out)
{
    sb_samples_keys samples = d->samples;
    if (samples.range == SB_RANGE_PERCENTILE) { /* it is not known yet, and no pixel is decoded */
        samples.range = SB_RANGE_GIVEN;
        samples.high = 1;
    }
    out->wide = sb_samples_wide(image);
    const int rc = sb_samples_normalise(&image, &samples, from, &out->left_out) == 0
                       ? 0
                       : sb_reader_fail(from->path);
    out->width = image->Xsize;
    out->height = image->Ysize;
    g_object_unref(image);
    return rc;
}

/* ---- files of one image --------------------------------------------------------------------------------- */

/* Opened by what libvips has for streams; else in memory, which *file keeps: some formats are read there
 * alone. NULL: sb_error. */
static VipsImage *open_header(const sb_decoder *d, sb_source *from, uint8_t **file)
{
    VipsSource *source = sb_source_for_vips(from);
    VipsImage *image = NULL;
    const char *loader = source ? vips_foreign_find_load_source(source) : NULL;
    const bool stream = loader != NULL;
    if (stream)
        image = vips_image_new_from_source(source, "", "access", VIPS_ACCESS_SEQUENTIAL, "fail_on",
                                           sb_samples_fail_on(&d->samples, loader), NULL);
    if (source)
        g_object_unref(source);
    if (stream && !image)
        sb_reader_fail(from->path);
    if (stream)
        return image;
    vips_error_clear();
    if ((size_t)from->bytes > d->cache.most) {
        sb_fail(
            "%s: %lld bytes of a format that libvips reads from memory alone, if at all, do not fit %zu MiB "
            "(loader.cache_mb)",
            from->path, (long long)from->bytes, d->cache.most >> 20);
        return NULL;
    }
    if (sb_source_whole(from, file) != 0)
        return NULL;
    return sb_reader_open(&d->samples, from->path, *file, (size_t)from->bytes);
}

static int look_at_file(const sb_decoder *d, sb_source *from, sb_decode_page *out)
{
    uint8_t *file = NULL;
    VipsImage *image = open_header(d, from, &file);
    int rc = image ? measure(d, from, image, out) : 1;
    out->read_whole = from->bytes;
    if (rc == 0)
        rc = check_room(d, from->path, out->width, out->height, from->bytes);
    free(file);
    return rc;
}

/* ---- pages of TIFF files -------------------------------------------------------------------------------- */

static const char *text_of(TIFF *tiff, uint32_t tag)
{
    char *text = NULL;
    return TIFFGetField(tiff, tag, &text) && text ? text : "";
}

/* A private tag is of whatever type the file says. */
static double lens_of(TIFF *tiff)
{
    const TIFFField *field = TIFFFindField(tiff, TAG_LENS, TIFF_ANY);
    uint32_t count = 0;
    const float *value = NULL;
    return field && TIFFFieldDataType(field) == TIFF_FLOAT && TIFFFieldPassCount(field) &&
                   TIFFGetField(tiff, TAG_LENS, &count, &value) && count > 0 && value
               ? (double)value[0]
               : 0;
}

static void read_structure(TIFF *tiff, structure *s)
{
    const uint16_t *extras = NULL;
    const void *profile = NULL;
    memset(s, 0, sizeof *s);
    TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &s->width);
    TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &s->height);
    if (TIFFIsTiled(tiff)) {
        TIFFGetField(tiff, TIFFTAG_TILEWIDTH, &s->tile_width);
        TIFFGetField(tiff, TIFFTAG_TILELENGTH, &s->tile_height);
    }
    TIFFGetField(tiff, TIFFTAG_ICCPROFILE, &s->profile_bytes, &profile);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &s->bits);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLEFORMAT, &s->format);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &s->samples);
    TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &s->photometric);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &s->planar);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &s->compression);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_ORIENTATION, &s->orientation);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_YCBCRSUBSAMPLING, &s->subsampling[0], &s->subsampling[1]);
    if (TIFFGetField(tiff, TIFFTAG_EXTRASAMPLES, &s->extra_count, &extras))
        memcpy(s->extras, extras,
               (s->extra_count < EXTRAS_MAX ? s->extra_count : EXTRAS_MAX) * sizeof *extras);
}

static sb_page_facts read_facts(TIFF *tiff, const structure *s)
{
    sb_page_facts facts = { .width = s->width,
                            .height = s->height,
                            .tiled = s->tile_width > 0,
                            .mask = s->photometric == PHOTOMETRIC_MASK,
                            .description = text_of(tiff, TIFFTAG_IMAGEDESCRIPTION),
                            .make = text_of(tiff, TIFFTAG_MAKE),
                            .software = text_of(tiff, TIFFTAG_SOFTWARE),
                            .lens = lens_of(tiff) };
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SUBFILETYPE, &facts.subfile);
    return facts;
}

static const sb_decode_page *find_seen(const looker *l, const structure *s)
{
    for (int i = 0; i < l->seen_count; i++)
        if (memcmp(&l->seen[i].of, s, sizeof *s) == 0)
            return l->seen[i].page;
    return NULL;
}

/* libvips' verdict on the page whose directory is there. 0; 1. */
static int ask_libvips(looker *l, const structure *s, int64_t at, sb_decode_page *out)
{
    const sb_decoder *d = l->decoder;
    sb_pages_show(&l->shown, at);
    VipsImage *image = sb_reader_open_tiff(&d->samples, &l->shown, VIPS_ACCESS_RANDOM);
    if (!image)
        return 1;
    const tmsize_t tile = s->tile_width > 0 ? TIFFTileSize(l->tiff) : 0;
    out->random_access = tile > 0 && (size_t)tile <= d->cache.most && vips_image_get_orientation(image) <= 1;
    const int rc = measure(d, &l->shown, image, out);
    return rc != 0 || out->random_access ? rc : check_room(d, l->shown.path, out->width, out->height, 0);
}

/* A page, whose kind may be any. 0; 1: it cannot be used. Where a read failed, the looker's sources say so.
 */
static int look_at_page(looker *l, int page, int64_t at, sb_decode_page *out, bool any_kind)
{
    const char *why = NULL;
    structure s;
    if (!TIFFSetSubDirectory(l->tiff, (toff_t)at))
        return sb_reader_fail(l->directories.path);
    vips_error_clear(); /* libvips takes libtiff's messages */
    read_structure(l->tiff, &s);
    const sb_page_facts facts = read_facts(l->tiff, &s);
    out->kind = sb_kinds_next(&l->kinds, page, &facts, &why);
    if (out->kind != SB_PAGE_IMAGE && !any_kind) {
        out->reason = strdup(why);
        return out->reason ? 0 : sb_fail("out of memory for what a page is");
    }
    const sb_decode_page *same = find_seen(l, &s);
    if (same) {
        out->width = same->width;
        out->height = same->height;
        out->random_access = same->random_access;
        out->wide = same->wide;
        out->left_out = same->left_out;
        return 0;
    }
    const int rc = ask_libvips(l, &s, at, out);
    if (rc == 0 && l->seen_count < SEEN_MAX)
        l->seen[l->seen_count++] = (seen){ .of = s, .page = out };
    return rc;
}

/* 0; 1; 3; -1. With 0 it needs an end. */
static int begin_looking(looker *l, sb_decoder *d, const char *path)
{
    *l = (looker){ .decoder = d };
    int rc = sb_source_open(&l->directories, path, 0, &d->reading);
    if (rc != 0)
        return rc;
    rc = sb_source_open(&l->shown, path, l->directories.bytes, &d->reading);
    if (rc != 0) {
        sb_source_close(&l->directories);
        return rc;
    }
    l->tiff = sb_source_for_tiff(&l->directories,
                                 "rhmCD"); /* no first directory, no map, no strips' places */
    if (l->tiff)
        return 0;
    rc = sb_source_verdict(&l->directories, sb_reader_fail(path));
    sb_source_close(&l->shown);
    sb_source_close(&l->directories);
    return rc;
}

static void end_looking(looker *l)
{
    TIFFClose(l->tiff);
    sb_source_close(&l->shown);
    sb_source_close(&l->directories);
}

/* What failed, if a read did: 3; else rc. */
static int verdict(const looker *l, int rc)
{
    return rc < 0 ? rc : sb_source_verdict(&l->directories, sb_source_verdict(&l->shown, rc));
}

/* All pages into `out`, whose `pages` has room for them. 0; 3; -1. */
static int look_at_pages(looker *l, const int64_t *at, sb_decode_pages *out)
{
    for (int page = 0; page < out->count; page++) {
        sb_decode_page *p = &out->pages[page];
        const int rc = verdict(l, look_at_page(l, page, at[page], p, false));
        if (rc == SB_DECODE_AWAY || rc < 0)
            return rc;
        if (rc == 0)
            continue;
        p->width = p->height = 0;
        if (!(p->reason = strdup(sb_error())))
            return sb_fail("out of memory for what is wrong with a page");
    }
    return 0;
}

static int look_at_tiff(sb_decoder *d, const char *path, sb_decode_pages *out)
{
    looker l;
    int64_t *at = NULL;
    int rc = begin_looking(&l, d, path);
    if (rc != 0)
        return rc;
    rc = verdict(&l, sb_pages_walk(&l.directories, &at, &out->count));
    if (rc == 0 && out->count == 0) {
        sb_fail("%s: no page: the place of its first directory is outside the file", path);
        rc = SB_DECODE_IMAGE;
    }
    if (rc == 0 && !(out->pages = sb_zeroed((size_t)out->count, sizeof *out->pages, "the pages of a file")))
        rc = -1;
    if (rc == 0)
        rc = look_at_pages(&l, at, out);
    free(at);
    end_looking(&l);
    return rc;
}

/* ---- what decoder.h promises ---------------------------------------------------------------------------- */

int sb_decoder_pages(sb_decoder *d, const char *path, sb_decode_pages *out)
{
    sb_source from;
    *out = (sb_decode_pages){ 0 };
    int rc = sb_source_open(&from, path, 0, &d->reading);
    if (rc != 0)
        return rc;
    out->bytes = from.bytes;
    out->mtime_ns = from.mtime_ns;
    const bool tiff = sb_pages_tiff(&from);
    if (!tiff) {
        out->count = 1;
        out->pages = sb_zeroed(1, sizeof *out->pages, "the page of a file");
        rc = out->pages ? sb_source_verdict(&from, look_at_file(d, &from, out->pages)) : SB_DECODE_FAULT;
    }
    sb_source_close(&from);
    if (tiff)
        rc = look_at_tiff(d, path, out);
    if (rc != 0)
        sb_decode_pages_free(out);
    return rc;
}

/* One page, and how many there are. */
static int probe_tiff(sb_decoder *d, const char *path, int page, sb_decode_page *out, int *count)
{
    looker l;
    int64_t *at = NULL;
    int rc = begin_looking(&l, d, path);
    if (rc != 0)
        return rc;
    rc = verdict(&l, sb_pages_walk(&l.directories, &at, count));
    if (rc == 0 && page >= *count) {
        sb_fail("%s: it has %d pages, and no page %d", path, *count, page);
        rc = SB_DECODE_IMAGE;
    }
    if (rc == 0)
        rc = verdict(&l, look_at_page(&l, page, at[page], out, true));
    free(at);
    end_looking(&l);
    return rc;
}

int sb_decoder_probe(sb_decoder *d, const char *path, int page, sb_decode_header *out)
{
    sb_source from;
    sb_decode_page found = { 0 };
    int rc = sb_source_open(&from, path, 0, &d->reading), count = 1;
    if (rc != 0)
        return rc;
    const bool tiff = sb_pages_tiff(&from);
    if (!tiff)
        rc = sb_source_verdict(&from, look_at_file(d, &from, &found));
    *out = (sb_decode_header){ .bytes = from.bytes, .mtime_ns = from.mtime_ns };
    sb_source_close(&from);
    if (tiff)
        rc = probe_tiff(d, path, page, &found, &count);
    out->pages = count;
    out->width = found.width;
    out->height = found.height;
    out->random_access = found.random_access;
    out->wide = found.wide;
    out->left_out = found.left_out;
    out->read_whole = found.read_whole;
    return rc;
}

void sb_decode_pages_free(sb_decode_pages *pages)
{
    for (int i = 0; pages->pages && i < pages->count; i++)
        free(pages->pages[i].reason);
    free(pages->pages);
    *pages = (sb_decode_pages){ 0 };
}
