/* look.c: what the named files are: each is looked at once, however many rows and names it has. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/index/scan.h"
#include "proto/error.h"
#include "proto/progress.h"

/* Has it a name as images have? Others that are no images are passed over without being held against the
 * data. */
static bool has_image_name(const char *path)
{
    static const char *const suffixes[] = { "jpg",  "jpeg", "jpe", "jfif", "png",  "tif", "tiff", "webp",
                                            "gif",  "bmp",  "tga", "ppm",  "pgm",  "jp2", "j2k",  "avif",
                                            "heic", "heif", "jxl", "svs",  "ndpi", "vms", "scn",  "mrxs",
                                            "dds",  "exr",  "hdr", "v",    "vips" };
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof suffixes / sizeof *suffixes; i++)
        if (strcasecmp(dot + 1, suffixes[i]) == 0)
            return true;
    return false;
}

/* A row's page is this one. What a manifest says of it is checked now that its size is known. */
static int take_page(const sb_builder *b, sb_row *row, int page, const sb_decode_header *h)
{
    sb_image *m = &row->image;
    if (m->placed && (m->left >= h->width || m->top >= h->height)) {
        const bool left = m->left >= h->width;
        return sb_fail("%s:%d: %s = %d: must be from 0 to %d, as %s has %d x %d pixels", b->source, row->line,
                       left ? "left" : "top", left ? m->left : m->top, (left ? h->width : h->height) - 1,
                       b->names + m->name, h->width, h->height);
    }
    m->page = page;
    m->bytes = h->bytes;
    m->mtime_ns = h->mtime_ns;
    m->width = h->width;
    m->height = h->height;
    m->random_access = h->random_access;
    row->wide = h->wide;
    row->left_out = h->left_out;
    row->read_whole = h->read_whole;
    return 0;
}

/* Further rows for a further page, as the file's first `count` rows. */
static int add_page(sb_builder *b, uint32_t first, uint32_t count, int page, const sb_decode_header *h)
{
    for (uint32_t i = first; i < first + count; i++) {
        sb_row *row = sb_builder_copy(b, i);
        if (!row || take_page(b, row, page, h) != 0)
            return -1;
    }
    return 0;
}

/* Rows of one path, which are neighbours. */
typedef struct {
    uint32_t first, count;
    uint64_t device, node; /* 0, 0: it cannot be asked */
    bool link;
} named_file;

static int by_identity(const void *a, const void *b)
{
    const named_file *x = a, *y = b;
    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    if (x->node != y->node)
        return x->node < y->node ? -1 : 1;
    if (x->link != y->link)
        return x->link ? 1 : -1;
    return x->first < y->first ? -1 : x->first > y->first;
}

static int by_first(const void *a, const void *b)
{
    const named_file *x = a, *y = b;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* The files that the rows name; those that cannot be asked are left to the prober, which says why. */
static int list_files(const sb_builder *b, sb_spool *list, named_file **out, uint32_t *count)
{
    struct stat info;
    named_file *files = sb_spool_add(list, ((size_t)b->count + 1) * sizeof *files);
    *out = files;
    *count = 0;
    if (!files)
        return -1;
    for (uint32_t i = 0; i < b->count; i++) {
        char path[PATH_MAX];
        if (i > 0 && sb_builder_same_file(b, &b->rows[i], &b->rows[i - 1])) {
            files[*count - 1].count++;
            continue;
        }
        sb_builder_path(b, &b->rows[i], path);
        named_file *f = &files[(*count)++];
        *f = (named_file){ .first = i, .count = 1 };
        f->link = lstat(path, &info) == 0 && S_ISLNK(info.st_mode);
        if (stat(path, &info) == 0) {
            f->device = info.st_dev;
            f->node = info.st_ino;
        }
    }
    return 0;
}

/* A file that has several names (links) is one image. The name that is no link, or else the first, stays. */
static int pass_links(sb_builder *b, named_file *files, uint32_t *count)
{
    uint32_t kept = 0;
    char path[PATH_MAX];
    qsort(files, *count, sizeof *files, by_identity);
    for (uint32_t i = 0; i < *count; i++) {
        const named_file *f = &files[i];
        const bool again = kept > 0 && f->node != 0 && files[kept - 1].node == f->node &&
                           files[kept - 1].device == f->device;
        if (!again)
            files[kept++] = *f;
        else if (sb_builder_pass(b, sb_builder_path(b, &b->rows[f->first], path),
                                 "another name of a file that is there") != 0)
            return -1;
    }
    *count = kept;
    qsort(files, *count, sizeof *files, by_first);
    return 0;
}

/* A page becomes the file's rows, if it is the first that does, or further ones. */
static int take_image(sb_builder *b, const named_file *f, int page, const sb_decode_header *h, bool *taken)
{
    if (*taken)
        return add_page(b, f->first, f->count, page, h);
    *taken = true;
    for (uint32_t i = f->first; i < f->first + f->count; i++)
        if (take_page(b, &b->rows[i], page, h) != 0)
            return -1;
    return 0;
}

/* What the prober says of a file becomes rows. Those of a file that cannot be used keep a width of 0.
 * claims: it is bad where no page is an image. */
static int take_file(sb_builder *b, const named_file *f, bool claims, const sb_probe *probe,
                     const sb_probe_page *pages)
{
    char path[PATH_MAX];
    sb_builder_path(b, &b->rows[f->first], path);
    if (probe->verdict == SB_PROBE_NO_IMAGE)
        return sb_builder_pass(b, path, probe->reason);
    if (probe->verdict == SB_PROBE_BAD)
        return sb_builder_skip(b, path, 0, probe->reason);
    int rc = 0;
    bool taken = false, bad = false;
    for (uint32_t page = 0; rc == 0 && page < probe->count; page++) {
        bad = bad || pages[page].verdict == SB_PROBE_BAD;
        if (pages[page].verdict == SB_PROBE_BAD)
            rc = sb_builder_skip(b, path, (int)page, pages[page].reason);
        else if (pages[page].verdict == SB_PROBE_NO_IMAGE)
            rc = sb_builder_pass(b, path, pages[page].reason);
        else
            rc = take_image(b, f, (int)page, &pages[page].header, &taken);
    }
    if (rc == 0 && claims && !taken && !bad) {
        sb_fail("%s: it has no page that is an image of its own", path);
        rc = sb_builder_skip(b, path, 0, sb_error());
    }
    return rc;
}

static int look_at(sb_builder *b, sb_prober *prober, const named_file *f)
{
    char clean[PATH_MAX], path[PATH_MAX];
    sb_builder_path(b, &b->rows[f->first], path);
    const bool claims = b->rows[f->first].line > 0 || has_image_name(path);
    sb_probe probe;
    snprintf(clean, sizeof clean, "%s", path);
    if (sb_text_clean(clean) > 0) {
        sb_fail("%s: the name is not UTF-8, or holds a line break or another control character", clean);
        return claims ? sb_builder_skip(b, path, 0, sb_error())
                      : sb_builder_pass(b, path, "a name that is not UTF-8");
    }
    if (sb_prober_look(prober, path, claims, &probe) != 0)
        return -1;
    return take_file(b, f, claims, &probe, prober->pages);
}

int sb_scan_look(sb_builder *b, sb_prober *prober)
{
    named_file *files;
    sb_spool list = { 0 };
    uint32_t count;
    sb_progress progress = sb_progress_begin("looking at files", true);
    int rc = list_files(b, &list, &files, &count);
    if (rc == 0)
        rc = pass_links(b, files, &count);
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        rc = look_at(b, prober, &files[i]); /* pages are added behind */
        sb_progress_show(&progress, i + 1, count);
    }
    sb_progress_end(&progress);
    sb_spool_free(&list);
    sb_builder_drop(b);
    return rc == 0 ? sb_builder_sort(b) : rc;
}
