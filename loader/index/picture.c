/* picture.c: see picture.h. libvips shrinks, letters and joins. */
#include "loader/index/picture.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vips/vips.h>

#include "loader/readers/decoder.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "proto/rundir.h"

#define CELLS 60
#define PIXELS_MOST 5e8 /* of images that are decoded whole: some seconds */
#define ACROSS 6
#define SIDE 200   /* of a small picture */
#define ABOVE 4    /* a caption, white */
#define CAPTION 72 /* pixels below it */
#define TITLE 48   /* pixels above all */
#define MARGIN 10
#define NAME_BYTES 26  /* of a name, from its end */
#define TITLE_BYTES 90 /* of data.path, from its end */

typedef struct {
    const sb_index *index;
    const sb_data_keys *data;
    unsigned timeout; /* seconds that an image may take */
    sb_decoder *decoder;
    uint8_t *tile;  /* [data.tile, data.tile, channels] */
    double *values; /* [SB_LEVELS_SAMPLES] */
} page;

/* White, where nothing can be shown. */
static VipsImage *blank(int width, int height)
{
    VipsImage *black = NULL, *white = NULL;
    if (vips_black(&black, width, height, "bands", 3, NULL) == 0)
        vips_invert(black, &white, NULL);
    if (black)
        g_object_unref(black);
    return white;
}

/* Takes `in` and gives what the call made of it; NULL where there is none, or it fails. */
#define THEN(in, call)           \
    do {                         \
        VipsImage *next = NULL;  \
        if ((in) && (call) != 0) \
            next = NULL;         \
        if (in)                  \
            g_object_unref(in);  \
        (in) = next;             \
    } while (0)

/* The tile, of one channel or of the first three, as a small picture. */
static VipsImage *shrink(const page *p)
{
    const int channels = p->data->channels, side = p->data->tile;
    const size_t bytes = (size_t)side * (size_t)side * (size_t)channels;
    VipsImage *image = vips_image_new_from_memory_copy(p->tile, bytes, side, side, channels,
                                                       VIPS_FORMAT_UCHAR);
    THEN(image, vips_extract_band(image, &next, 0, "n", channels >= 3 ? 3 : 1, NULL));
    THEN(image, vips_copy(image, &next, "interpretation",
                          channels >= 3 ? VIPS_INTERPRETATION_sRGB : VIPS_INTERPRETATION_B_W, NULL));
    THEN(image, vips_thumbnail_image(image, &next, SIDE, "height", SIDE, "size", VIPS_SIZE_FORCE, NULL));
    THEN(image, vips_colourspace(image, &next, VIPS_INTERPRETATION_sRGB, NULL));
    return image;
}

static VipsImage *decode(const page *p, const sb_image *m)
{
    char path[PATH_MAX];
    uint64_t ignored = 0;
    const sb_region *r = m->train.width > 0 ? &m->train : &m->test;
    const int side = p->data->tile,
              left = m->placed ? m->left : r->left + (r->width > side ? (r->width - side) / 2 : 0),
              top = m->placed ? m->top : r->top + (r->height > side ? (r->height - side) / 2 : 0);
    const sb_decode_source source = sb_index_source(p->index, m, path);
    return sb_decoder_tile(p->decoder, &source, left, top, side, p->tile, &ignored, &ignored) == 0 ? shrink(p)
                                                                                                   : NULL;
}

/* Text, black on white, in an area. */
static VipsImage *letter(const char *text, int width, int height)
{
    VipsImage *image = NULL;
    char *marked = g_markup_escape_text(text, -1); /* names are no markup */
    if (vips_text(&image, marked, "font", "sans 8", "width", width, "dpi", 96, NULL) != 0)
        image = NULL;
    g_free(marked);
    THEN(image, vips_invert(image, &next, NULL));
    THEN(image, vips_embed(image, &next, 0, ABOVE, width, height, "extend", VIPS_EXTEND_WHITE, NULL));
    THEN(image, vips_colourspace(image, &next, VIPS_INTERPRETATION_sRGB, NULL));
    vips_error_clear();
    return image ? image : blank(width, height);
}

/* The end of a text, of so many bytes or few more. */
static const char *end_of(const char *text, size_t bytes)
{
    const size_t length = strlen(text);
    const char *shown = length > bytes ? text + length - bytes : text;
    while (((unsigned char)*shown & 0xc0) == 0x80) /* not in the middle of a character */
        shown++;
    return shown;
}

/* "samples 102 to 3980", where they are not 8 bits; "": they are, or cannot be looked at. */
static void describe_samples(const page *p, const sb_image *m, char *out, size_t bytes)
{
    char path[PATH_MAX];
    sb_decode_header header;
    sb_levels levels = { .values = p->values };
    const sb_decode_source source = sb_index_source(p->index, m, path);
    out[0] = '\0';
    if (sb_decoder_probe(p->decoder, path, m->page, &header) != 0 || !header.wide ||
        sb_decoder_look(p->decoder, &source, &levels) != 0 || levels.count == 0)
        return;
    const sb_quantiles seen = sb_levels_quantiles(&levels);
    snprintf(out, bytes, "\nsamples %.6g to %.6g", seen.least, seen.most);
}

static VipsImage *caption(const page *p, const sb_image *m)
{
    char text[256], samples[64];
    const char *name = sb_index_name(p->index, m), *shown = end_of(name, NAME_BYTES);
    describe_samples(p, m, samples, sizeof samples);
    snprintf(text, sizeof text, "%s%s\n%d x %d, %" PRIu32 " tile%s, group %" PRIu32 "\n%s%s",
             shown == name ? "" : "…", shown, m->width, m->height, m->tiles, sb_plural(m->tiles), m->group,
             m->train.width == 0 ? "held out"
             : m->test.width > 0 ? "a strip held out"
                                 : "trained on",
             samples);
    return letter(text, SIDE, CAPTION);
}

/* What holds for all. */
static VipsImage *title(const page *p, int width)
{
    const sb_index *x = p->index;
    const sb_samples_keys *samples = &p->data->samples;
    const char *path = end_of(p->data->path, TITLE_BYTES);
    char text[512], range[96] = "";
    uint32_t trained = 0, held = 0;
    for (uint32_t i = 0; i < x->count; i++) {
        trained += x->images[i].tiles > 0;
        held += x->images[i].test.width > 0;
    }
    if (samples->range == SB_RANGE_GIVEN)
        snprintf(range, sizeof range, "; of samples that are not 8 bits %.6g is black and %.6g white",
                 samples->low, samples->high);
    snprintf(text, sizeof text,
             "%s%s\n%" PRIu32 " image%s: %" PRIu32 " trained on, in %" PRIu64 " tiles of %d x %d; of %" PRIu32
             " a part or all is held out%s",
             path == p->data->path ? "" : "…", path, x->count, sb_plural(x->count), trained, x->samples,
             x->tile, x->tile, held, range);
    return letter(text, width, TITLE);
}

/* The picture and its caption, one above the other, with a margin. */
static VipsImage *cell(const page *p, const sb_image *m)
{
    alarm(p->timeout);
    VipsImage *parts[2] = { decode(p, m), caption(p, m) }, *joined = NULL;
    if (!parts[0])
        parts[0] = letter("cannot be decoded", SIDE, SIDE);
    if (parts[0] && parts[1])
        vips_join(parts[0], parts[1], &joined, VIPS_DIRECTION_VERTICAL, NULL);
    for (int i = 0; i < 2; i++)
        if (parts[i])
            g_object_unref(parts[i]);
    THEN(joined, vips_embed(joined, &next, MARGIN, MARGIN, SIDE + 2 * MARGIN, SIDE + CAPTION + 2 * MARGIN,
                            "extend", VIPS_EXTEND_WHITE, NULL));
    /* drawn now, so that one image is decoded after another */
    THEN(joined, (next = vips_image_copy_memory(joined)) ? 0 : -1);
    return joined;
}

/* Number i of the images that are drawn. */
static const sb_image *drawn(const sb_index *x, uint32_t i, uint32_t count)
{
    return &x->images[(uint64_t)i * x->count / count];
}

/* How many of the images are drawn: those that are decoded whole take their time. */
static uint32_t count_cells(const sb_index *x)
{
    for (uint32_t count = x->count < CELLS ? x->count : CELLS;; count--) {
        double pixels = 0;
        for (uint32_t i = 0; i < count; i++) {
            const sb_image *m = drawn(x, i, count), *before = i > 0 ? drawn(x, i - 1, count) : NULL;
            if (!m->random_access && !(before && before->file == m->file)) /* one file may have many rows */
                pixels += (double)m->width * m->height;
        }
        if (pixels <= PIXELS_MOST || count <= ACROSS)
            return count;
    }
}

/* The title above the cells. */
static VipsImage *head(const page *p, VipsImage *cells)
{
    VipsImage *above = title(p, cells->Xsize - 2 * MARGIN), *joined = NULL;
    THEN(above, vips_embed(above, &next, MARGIN, MARGIN, cells->Xsize, TITLE + MARGIN, "extend",
                           VIPS_EXTEND_WHITE, NULL));
    if (above) {
        vips_join(above, cells, &joined, VIPS_DIRECTION_VERTICAL, NULL);
        g_object_unref(above);
    }
    return joined;
}

static int draw(const page *p, void **png, size_t *bytes)
{
    const uint32_t count = count_cells(p->index);
    VipsImage *cells[CELLS] = { NULL }, *all = NULL, *whole = NULL;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < count; i++)
        if (!(cells[i] = cell(p, drawn(p->index, i, count))))
            rc = -1;
    alarm(0);
    VipsArrayDouble *white = vips_array_double_newv(1, 255.0);
    if (rc == 0)
        rc = vips_arrayjoin(cells, &all, (int)count, "across", ACROSS, "background", white, NULL);
    vips_area_unref(VIPS_AREA(white));
    if (rc == 0)
        rc = (whole = head(p, all)) ? vips_pngsave_buffer(whole, png, bytes, NULL) : -1;
    for (uint32_t i = 0; i < count; i++)
        if (cells[i])
            g_object_unref(cells[i]);
    if (all)
        g_object_unref(all);
    if (whole)
        g_object_unref(whole);
    return rc == 0 ? 0 : sb_fail("drawing the index: %s", vips_error_buffer());
}

static int write_page(const sb_index *x, const sb_data_keys *data, double timeout, const char *path)
{
    page p = { .index = x, .data = data, .timeout = 1 + (unsigned)timeout };
    void *png = NULL;
    size_t bytes = 0;
    p.tile = sb_grown(NULL, (size_t)data->tile * (size_t)data->tile, (size_t)data->channels, "a tile");
    p.values = sb_grown(NULL, SB_LEVELS_SAMPLES, sizeof *p.values, "samples of an image");
    int rc = !p.tile || !p.values ? -1
                                  : sb_decoder_create(&p.decoder, &data->samples,
                                                      sb_index_largest(x, data->channels), data->untrusted);
    if (rc == 0)
        rc = draw(&p, &png, &bytes);
    if (rc == 0)
        rc = sb_file_replace(path, png, bytes);
    g_free(png);
    sb_decoder_destroy(&p.decoder);
    free(p.tile);
    free(p.values);
    return rc;
}

int sb_index_picture(const sb_index *x, const sb_data_keys *data, double timeout, const char *path)
{
    int status = 0;
    const pid_t pid = fork();
    if (pid < 0)
        return sb_fail_errno("starting a process that draws the index");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        const int rc = write_page(x, data, timeout, path);
        if (rc != 0)
            sb_note("%s", sb_error());
        _exit(rc == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        return sb_fail("%s was not drawn: an image took longer than loader.timeout", path);
    return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS ? 0 : sb_fail("%s was not drawn", path);
}
