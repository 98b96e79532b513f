/* kinds.c: see kinds.h. */
#include "loader/readers/kinds.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

/* TIFF's own bits of NewSubfileType. */
enum { SUBFILE_REDUCED = 1, SUBFILE_MASK = 4 };

static sb_page_kind say(sb_page_kind kind, const char *reason, const char **why)
{
    *why = reason;
    return kind;
}

static bool begins(const char *text, const char *with) { return strncmp(text, with, strlen(with)) == 0; }

/* "label 387x463", or "Label" alone: the word stands at the beginning of a line. */
static bool has_word(const char *text, const char *word)
{
    const size_t length = strlen(word);
    for (const char *line = text; line; line = strpbrk(line, "\r\n")) {
        line += strspn(line, "\r\n \t");
        if (g_ascii_strncasecmp(line, word, length) == 0 && !g_ascii_isalpha(line[length]))
            return true;
    }
    return false;
}

/* A slide's picture, by a word in its description. SB_PAGE_IMAGE: no such word. */
static sb_page_kind picture(const char *description, const char **why)
{
    if (has_word(description, "label"))
        return say(SB_PAGE_LABEL, "its description says label", why);
    if (has_word(description, "macro"))
        return say(SB_PAGE_MACRO, "its description says macro", why);
    if (has_word(description, "thumbnail"))
        return say(SB_PAGE_THUMBNAIL, "its description says thumbnail", why);
    return SB_PAGE_IMAGE;
}

/* ---- Leica: which pages are of which image stands in the first description ------------------------------ */

typedef struct {
    sb_kinds *kinds;
    char whole_x[32], whole_y[32];                             /* of the collection: the glass */
    bool glass;                                                /* the image that is read shows all of it */
    int ifds[SB_KINDS_LISTED], levels[SB_KINDS_LISTED], count; /* of that image */
} leica;

static const char *attribute(const char **names, const char **values, const char *name)
{
    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], name) == 0)
            return values[i];
    return "";
}

static void leica_begins(GMarkupParseContext *parser, const char *name, const char **names,
                         const char **values, void *context, GError **error)
{
    leica *l = context;
    (void)parser, (void)error;
    if (strcmp(name, "collection") == 0) {
        g_strlcpy(l->whole_x, attribute(names, values, "sizeX"), sizeof l->whole_x);
        g_strlcpy(l->whole_y, attribute(names, values, "sizeY"), sizeof l->whole_y);
    } else if (strcmp(name, "image") == 0) {
        l->count = 0;
        l->glass = false;
    } else if (strcmp(name, "view") == 0) {
        l->glass = strcmp(attribute(names, values, "sizeX"), l->whole_x) == 0 &&
                   strcmp(attribute(names, values, "sizeY"), l->whole_y) == 0;
    } else if (strcmp(name, "dimension") == 0 && l->count < SB_KINDS_LISTED) {
        l->ifds[l->count] = atoi(attribute(names, values, "ifd"));
        l->levels[l->count++] = atoi(attribute(names, values, "r"));
    }
}

static void leica_ends(GMarkupParseContext *parser, const char *name, void *context, GError **error)
{
    leica *l = context;
    (void)parser, (void)error;
    if (strcmp(name, "image") != 0)
        return;
    for (int i = 0; i < l->count; i++)
        if (l->ifds[i] >= 0 && l->ifds[i] < SB_KINDS_LISTED)
            l->kinds->listed[l->ifds[i]] = l->glass           ? SB_PAGE_MACRO
                                           : l->levels[i] > 0 ? SB_PAGE_REDUCED
                                                              : SB_PAGE_IMAGE;
}

static void read_leica(sb_kinds *kinds, const char *xml)
{
    static const GMarkupParser parser = { .start_element = leica_begins, .end_element = leica_ends };
    leica l = { .kinds = kinds };
    memset(kinds->listed, SB_PAGE_MACRO,
           sizeof kinds->listed); /* what it does not list is none to train on */
    GMarkupParseContext *context = g_markup_parse_context_new(&parser, 0, &l, NULL);
    g_markup_parse_context_parse(context, xml, (gssize)strlen(xml), NULL);
    g_markup_parse_context_free(context);
}

/* ---- who made the file, and what its pages are ---------------------------------------------------------- */

static void begin(sb_kinds *k, const sb_page_facts *p)
{
    if (begins(p->description, "Aperio"))
        k->scanner = SB_SCANNER_APERIO;
    else if (begins(p->make, "Hamamatsu") && p->lens != 0)
        k->scanner = SB_SCANNER_HAMAMATSU;
    else if (strstr(p->description, "<scn") && strstr(p->description, "leica-microsystems"))
        k->scanner = SB_SCANNER_LEICA;
    else if (begins(p->software, "ScanOutputManager") || begins(p->description, "level=") ||
             begins(p->description, "Label Image") || begins(p->description, "Label_Image"))
        k->scanner = SB_SCANNER_VENTANA;
    else if (begins(p->software, "Philips"))
        k->scanner = SB_SCANNER_PHILIPS;
    if (k->scanner == SB_SCANNER_LEICA)
        read_leica(k, p->description);
}

/* Levels of a scanner that says nothing of them but by their tiles. */
static sb_page_kind level_or_picture(const sb_page_facts *p, const char **why)
{
    return p->tiled
               ? say(SB_PAGE_REDUCED, "a slide's page of tiles behind its first: a level of its pyramid", why)
               : say(SB_PAGE_MACRO, "a slide's page without tiles: a picture of the glass", why);
}

static sb_page_kind of_aperio(const sb_kinds *k, int page, const sb_page_facts *p, const char **why)
{
    const sb_page_kind named = picture(p->description, why);
    if (named != SB_PAGE_IMAGE)
        return named;
    if (page == 0)
        return SB_PAGE_IMAGE;
    if (p->tiled && p->width == k->first.width && p->height == k->first.height)
        return SB_PAGE_IMAGE; /* another plane of focus */
    if (page == 1 && !p->tiled)
        return say(SB_PAGE_THUMBNAIL, "an Aperio slide's second page has no tiles: its thumbnail", why);
    return level_or_picture(p, why);
}

static sb_page_kind of_hamamatsu(const sb_kinds *k, const sb_page_facts *p, const char **why)
{
    if (p->lens == -1)
        return say(SB_PAGE_MACRO, "Hamamatsu's tag says macro", why);
    if (p->lens < 0)
        return say(SB_PAGE_THUMBNAIL, "Hamamatsu's tag says map", why);
    return p->lens == k->first.lens
               ? SB_PAGE_IMAGE
               : say(SB_PAGE_REDUCED, "Hamamatsu's tag says another lens than the first page's", why);
}

static sb_page_kind of_leica(const sb_kinds *k, int page, const char **why)
{
    const sb_page_kind kind = page < SB_KINDS_LISTED ? (sb_page_kind)k->listed[page] : SB_PAGE_MACRO;
    return kind == SB_PAGE_IMAGE ? kind
           : kind == SB_PAGE_REDUCED
               ? say(kind, "Leica's XML says a level of a pyramid", why)
               : say(kind, "Leica's XML says it shows all of the glass, or does not list it", why);
}

static sb_page_kind of_ventana(const sb_page_facts *p, const char **why)
{
    const sb_page_kind named = picture(p->description, why);
    if (named != SB_PAGE_IMAGE)
        return named;
    if (begins(p->description, "Probability"))
        return say(SB_PAGE_MASK, "its description says probabilities", why);
    if (begins(p->description, "level=0"))
        return SB_PAGE_IMAGE;
    return begins(p->description, "level=")
               ? say(SB_PAGE_REDUCED, "its description says a level above 0", why)
               : level_or_picture(p, why);
}

static sb_page_kind of_philips(int page, const sb_page_facts *p, const char **why)
{
    const sb_page_kind named = page == 0 ? SB_PAGE_IMAGE : picture(p->description, why);
    return named != SB_PAGE_IMAGE || page == 0 ? named : level_or_picture(p, why);
}

sb_page_kind sb_kinds_next(sb_kinds *k, int page, const sb_page_facts *p, const char **why)
{
    *why = NULL;
    if (page == 0) {
        begin(k, p);
        k->first = *p;
    }
    if (p->mask || (p->subfile & SUBFILE_MASK))
        return say(SB_PAGE_MASK, "the file says it is a mask", why);
    switch (k->scanner) {
    case SB_SCANNER_APERIO: return of_aperio(k, page, p, why);
    case SB_SCANNER_HAMAMATSU: return of_hamamatsu(k, p, why);
    case SB_SCANNER_LEICA: return of_leica(k, page, why);
    case SB_SCANNER_VENTANA: return of_ventana(p, why);
    case SB_SCANNER_PHILIPS: return of_philips(page, p, why);
    case SB_SCANNER_NONE: break;
    }
    if (p->subfile & SUBFILE_REDUCED)
        return say(SB_PAGE_REDUCED, "the file says it is a smaller copy of another page", why);
    return page > 0 && k->first.tiled && !p->tiled ? picture(p->description, why) : SB_PAGE_IMAGE;
}
