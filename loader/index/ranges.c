/* ranges.c: see ranges.h. */
#include "loader/index/ranges.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/memory.h"

#define WIDE_MAX 4096 /* pages that are looked at, where samples are not 8 bits */
#define NARROW_MAX 32 /* where they are: the range is no question, and decoding takes time */
#define NAMED_MAX 20  /* in remarks of one kind */
#define LOWEST 0.001  /* of the samples are below a percentile's range, */
#define HIGHEST 0.999 /* or not above it */

/* A page that was looked at, without its values. */
typedef struct {
    const sb_image *image;
    sb_levels levels;
    sb_quantiles seen;
} looked;

typedef struct {
    sb_builder *build;
    const sb_samples_keys *samples;
    looked *pages;
    size_t count;
    uint64_t *histogram; /* of the wide ones' samples */
} look;

static int remark(sb_index *x, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int remark(sb_index *x, const char *format, ...)
{
    char *text = NULL;
    char **grown = sb_grown(x->remarks, x->remark_count + 1, sizeof *grown, "the remarks on the data");
    if (!grown)
        return -1;
    x->remarks = grown;
    va_list arguments;
    va_start(arguments, format);
    const int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0)
        return sb_fail("out of memory for a remark on the data");
    sb_text_clean(text);
    grown[x->remark_count++] = text;
    return 0;
}

static const char *name_of(const look *l, const sb_image *image, char *out)
{
    snprintf(out, PATH_MAX, "%s", l->build->names + image->name);
    if (image->page > 0)
        snprintf(out + strlen(out), PATH_MAX - strlen(out), ", page %d", image->page);
    return out;
}

/* Is row i the first of its page, and of the kind? */
static bool is_page(const sb_builder *b, uint32_t i, bool wide)
{
    return b->rows[i].wide == wide && (i == 0 || b->rows[i - 1].image.page != b->rows[i].image.page ||
                                       !sb_builder_same_file(b, &b->rows[i - 1], &b->rows[i]));
}

static int look_at(look *l, sb_prober *prober, const sb_row *row, double *values)
{
    looked *p = &l->pages[l->count];
    char path[PATH_MAX];
    *p = (looked){ .image = &row->image, .levels = { .values = values } };
    const sb_decode_source source = { .path = sb_builder_path(l->build, row, path),
                                      .page = row->image.page,
                                      .bytes = row->image.bytes,
                                      .width = row->image.width,
                                      .height = row->image.height,
                                      .random_access = row->image.random_access };
    const int rc = sb_prober_levels(prober, &source, &p->levels);
    if (rc != 0) /* serving says what is wrong with it */
        return rc < 0 ? -1 : 0;
    if (p->levels.wide)
        sb_levels_count(&p->levels, l->histogram);
    p->seen = sb_levels_quantiles(&p->levels);
    p->levels.values = NULL;
    l->count++;
    return 0;
}

/* Up to `most` pages of the kind, evenly spread. */
static int look_at_all(look *l, sb_prober *prober, bool wide, uint64_t most, double *values)
{
    uint64_t all = 0, number = 0;
    for (uint32_t i = 0; i < l->build->count; i++)
        all += is_page(l->build, i, wide);
    most = all < most ? all : most;
    for (uint32_t i = 0; i < l->build->count; i++)
        if (is_page(l->build, i, wide)) {
            const bool chosen = number * most / all != (number + 1) * most / all;
            number++;
            if (chosen && look_at(l, prober, &l->build->rows[i], values) != 0)
                return -1;
        }
    return 0;
}

/* ---- settling --------------------------------------------------------------------------------------------- */

static int settle(look *l, double low, double high, const char *why)
{
    sb_index *x = l->build->index;
    sb_range_text(low, high, x->range);
    for (size_t i = 0; i < l->count; i++)
        if (l->pages[i].levels.wide) {
            l->pages[i].levels.low = low;
            l->pages[i].levels.high = high;
            l->pages[i].levels.light = false;
        }
    return remark(x, "data.range=%s: %s", x->range, why);
}

static int settle_percentile(look *l)
{
    double least = INFINITY, most = -INFINITY;
    bool whole = true;
    for (size_t i = 0; i < l->count; i++)
        if (l->pages[i].levels.wide && l->pages[i].levels.count > 0) {
            whole = whole && l->pages[i].levels.format_high > 0;
            least = fmin(least, l->pages[i].seen.least);
            most = fmax(most, l->pages[i].seen.most);
        }
    if (least > most)
        return 0; /* 8 bits alone */
    double low = fmax(least, sb_levels_share(l->histogram, LOWEST, false)),
           high = fmin(most, sb_levels_share(l->histogram, HIGHEST, true));
    low = whole ? floor(low) : low;
    high = whole ? ceil(high) : high;
    return settle(l, low, high > low ? high : low + 1, "0.1 and 99.9 % of the samples that were looked at");
}

/* 16 bits of which every file says how many are used. What contradicts it is remarked on, not believed. */
static int settle_said(look *l)
{
    double said = 0;
    bool all = true;
    for (size_t i = 0; i < l->count; i++) {
        const sb_levels *v = &l->pages[i].levels;
        if (!v->wide || v->count == 0)
            continue;
        all = all && v->said > 0 && v->format_high == UINT16_MAX && l->pages[i].seen.most <= v->said;
        said = fmax(said, v->said);
    }
    if (!all || said <= 0)
        return 0;
    double low, high;
    sb_levels_suggest(0, said, true, &low, &high);
    return high < UINT16_MAX ? settle(l, low, high, "the files say so (SMaxSampleValue)") : 0;
}

/* ---- remarks ---------------------------------------------------------------------------------------------- */

/* A range that spreads the samples of all pages in trouble that are of one format. */
static void suggest(const look *l, const sb_levels *like, char *out)
{
    double least = INFINITY, most = -INFINITY, low, high;
    for (size_t i = 0; i < l->count; i++) {
        const sb_levels *v = &l->pages[i].levels;
        const sb_quantiles *q = &l->pages[i].seen;
        if (!v->wide || v->format_high != like->format_high || !sb_levels_trouble(v, q))
            continue;
        /* A few dead pixels at the format's end say nothing of the range. */
        const bool dead = v->format_high > 0 && q->most > 0.99 * v->format_high;
        least = fmin(least, q->least);
        most = fmax(most, dead ? q->high : q->most);
    }
    sb_levels_suggest(least, most, like->format_high > 0, &low, &high);
    sb_range_text(low, high, out);
}

static int remark_on_levels(look *l)
{
    char name[PATH_MAX], range[SB_RANGE_TEXT];
    uint32_t wide = 0, narrow = 0;
    for (size_t i = 0; i < l->count; i++) {
        const sb_levels *v = &l->pages[i].levels;
        const sb_quantiles *q = &l->pages[i].seen;
        const char *trouble = sb_levels_trouble(v, q);
        if (!trouble || ++*(v->wide ? &wide : &narrow) > NAMED_MAX)
            continue;
        name_of(l, l->pages[i].image, name);
        if (v->wide)
            suggest(l, v, range);
        if (v->wide
                ? remark(
                      l->build->index,
                      "%s: %s: its samples are %.6g to %.6g, and %.6g is black and %.6g white: data.range=%s "
                      "spreads them (data.range=full: they are as they should be)",
                      name, trouble, q->least, q->most, v->low, v->high, range)
                : remark(l->build->index, "%s: %s: its 8-bit samples are %.0f to %.0f, which no key spreads",
                         name, trouble, q->least, q->most))
            return -1;
    }
    const uint32_t more = (wide > NAMED_MAX ? wide - NAMED_MAX : 0) +
                          (narrow > NAMED_MAX ? narrow - NAMED_MAX : 0);
    return more > 0 ? remark(l->build->index, "nearly black, nearly white or of few levels: %" PRIu32 " more",
                             more)
                    : 0;
}

static int remark_on_numbers(look *l)
{
    char name[PATH_MAX];
    uint64_t pages = 0, bad = 0;
    for (size_t i = 0; i < l->count; i++)
        if (l->pages[i].levels.not_finite > 0 && pages++ == 0) {
            name_of(l, l->pages[i].image, name);
            bad = l->pages[i].levels.not_finite;
        }
    return pages == 0
               ? 0
               : remark(l->build->index,
                        "samples that are infinite or no number: in %" PRIu64 " image%s, such as %s (%" PRIu64
                        " of those looked at): no number becomes black",
                        pages, sb_plural(pages), name, bad);
}

static int remark_on_left_out(look *l)
{
    char name[PATH_MAX];
    uint64_t pages = 0;
    int left_out = 0;
    for (uint32_t i = 0; i < l->build->count; i++)
        if (l->build->rows[i].left_out > 0 && is_page(l->build, i, l->build->rows[i].wide) && pages++ == 0) {
            name_of(l, &l->build->rows[i].image, name);
            left_out = l->build->rows[i].left_out;
        }
    return pages == 0 ? 0
                      : remark(l->build->index,
                               "samples of which the file does not say what they are: in %" PRIu64
                               " image%s, such as %s "
                               "(%d beside the colour): they are left out; data.bands takes them",
                               pages, sb_plural(pages), name, left_out);
}

int sb_scan_ranges(sb_builder *b, sb_prober *prober)
{
    const sb_samples_keys *samples = &prober->data->samples;
    double *values = sb_grown(NULL, SB_LEVELS_SAMPLES, sizeof *values, "samples of a page");
    look l = { .build = b,
               .samples = samples,
               .pages = sb_zeroed(WIDE_MAX + NARROW_MAX, sizeof *l.pages, "the pages that are looked at"),
               .histogram = sb_zeroed(SB_LEVELS_STEPS, sizeof *l.histogram, "a histogram of samples") };
    int rc = values && l.pages && l.histogram ? 0 : -1;
    if (rc == 0)
        rc = look_at_all(&l, prober, true, WIDE_MAX, values);
    if (rc == 0)
        rc = look_at_all(&l, prober, false, NARROW_MAX, values);
    if (rc == 0 && samples->range == SB_RANGE_PERCENTILE)
        rc = settle_percentile(&l);
    if (rc == 0 && samples->range == SB_RANGE_AUTO)
        rc = settle_said(&l);
    if (rc == 0 && samples->range != SB_RANGE_FULL)
        rc = remark_on_levels(&l);
    if (rc == 0)
        rc = remark_on_numbers(&l);
    if (rc == 0)
        rc = remark_on_left_out(&l);
    free(values);
    free(l.pages);
    free(l.histogram);
    return rc;
}
