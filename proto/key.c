/* key.c: see key.h. */
#include "proto/key.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"

const char *sb_key_name(const sb_key_table *table, const sb_key *key, char *out)
{
    snprintf(out, SB_KEY_NAME_MAX, "%s%s%s", table->section, table->section[0] ? "." : "", key->name);
    return out;
}

/* The place of `text` among "a|b|c", or -1. */
static int choice_of(const char *choices, const char *text)
{
    size_t length = strlen(text);
    for (int i = 0; *choices; i++) {
        size_t here = strcspn(choices, "|");
        if (here == length && strncmp(choices, text, length) == 0)
            return i;
        choices += here + (choices[here] == '|');
    }
    return -1;
}

/* "SIDE" or "SIDE@SHARE"; moves *text behind it and the spaces that follow. NULL, or what is wrong with it.
 */
static const char *parse_side(const sb_key *k, const char **text, sb_sides *out)
{
    const int at = out->count;
    char *end;
    if (at == SB_SIDES_MAX)
        return "there are more";
    if (!isdigit((unsigned char)**text))
        return "something else than a size stands there";
    const unsigned long side = strtoul(*text, &end, 10);
    if (errno || (double)side < k->least || (double)side > k->most)
        return "a size is beyond that range";
    if ((*end == '@') != (at > 0))
        return at > 0 ? "one behind the first has no @share" : "the first has a share";
    double from = 0;
    if (at > 0) {
        if (!isdigit((unsigned char)end[1]) && end[1] != '.')
            return "a share is no number";
        from = strtod(end + 1, &end);
        if (errno || !(from > out->from[at - 1] && from < 1))
            return "a share is not between that before it and 1";
    }
    if (*end && *end != ' ')
        return "something else stands behind a size";
    out->sides[at] = (int)side;
    out->from[at] = from;
    out->count++;
    *text = end + strspn(end, " ");
    return NULL;
}

/* As parse_side. */
static const char *parse_sides(const sb_key *k, const char *text, sb_sides *out)
{
    const char *wrong = NULL;
    *out = (sb_sides){ .count = strcmp(text, "0") == 0 };
    if (out->count > 0)
        return NULL;
    do
        wrong = parse_side(k, &text, out);
    while (!wrong && *text);
    return wrong;
}

/* With as many digits as bring the same number back. */
static void print_real(double value, char *out, size_t bytes)
{
    snprintf(out, bytes, "%.15g", value);
    if (strtod(out, NULL) != value)
        snprintf(out, bytes, "%.17g", value);
}

static void print_sides(const sb_sides *s, char *out, size_t bytes)
{
    size_t used = (size_t)snprintf(out, bytes, "%d", s->sides[0]);
    for (int i = 1; i < s->count && used < bytes; i++) {
        char share[32];
        print_real(s->from[i], share, sizeof share);
        used += (size_t)snprintf(out + used, bytes - used, " %d@%s", s->sides[i], share);
    }
}

int sb_key_parse(const sb_key *k, const char *text, void *at)
{
    char *end;
    errno = 0;
    bool empty = text[0] == '\0' || isspace((unsigned char)text[0]);
    if (k->automatic && strcmp(text, "auto") == 0)
        return *(int *)at = 0, 0;
    switch (k->kind) {
    case SB_KIND_INT:
    case SB_KIND_SIDE:
    case SB_KIND_INT64: {
        long long value = strtoll(text, &end, 10);
        bool in_range = ((double)value >= k->least && (double)value <= k->most) ||
                        (value == 0 && k->kind == SB_KIND_SIDE);
        if (empty || errno || *end || !in_range)
            return -1;
        if (k->kind != SB_KIND_INT64)
            *(int *)at = (int)value;
        else
            *(int64_t *)at = value;
        return 0;
    }
    case SB_KIND_SIDES: return parse_sides(k, text, at) ? -1 : 0;
    case SB_KIND_UINT64: {
        unsigned long long value = strtoull(text, &end, 10);
        if (empty || errno || *end || text[0] == '-' || (double)value > k->most)
            return -1;
        *(uint64_t *)at = value;
        return 0;
    }
    case SB_KIND_REAL: {
        double value = strtod(text, &end);
        if (empty || errno == ERANGE || *end || !isfinite(value) || value < k->least || value > k->most)
            return -1;
        *(double *)at = value;
        return 0;
    }
    case SB_KIND_BOOL:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            return -1;
        *(bool *)at = text[0] == 't';
        return 0;
    case SB_KIND_TEXT: {
        char clean[PATH_MAX];
        if (snprintf(clean, sizeof clean, "%s", text) >= PATH_MAX || sb_text_clean(clean) > 0)
            return -1;
        memcpy(at, text, strlen(text) + 1);
        return 0;
    }
    case SB_KIND_CHOICE: {
        int value = choice_of(k->choices, text);
        if (value < 0)
            return -1;
        *(int *)at = value; /* an enum without negative values has the size of an int */
        return 0;
    }
    }
    return -1;
}

void sb_key_print(const sb_key *k, const void *at, char *out, size_t bytes)
{
    switch (k->kind) {
    case SB_KIND_INT:
    case SB_KIND_SIDE:
        if (k->automatic && *(const int *)at == 0)
            snprintf(out, bytes, "auto");
        else
            snprintf(out, bytes, "%d", *(const int *)at);
        break;
    case SB_KIND_SIDES: print_sides(at, out, bytes); break;
    case SB_KIND_INT64: snprintf(out, bytes, "%lld", (long long)*(const int64_t *)at); break;
    case SB_KIND_UINT64: snprintf(out, bytes, "%llu", (unsigned long long)*(const uint64_t *)at); break;
    case SB_KIND_REAL: print_real(*(const double *)at, out, bytes); break;
    case SB_KIND_BOOL: snprintf(out, bytes, "%s", *(const bool *)at ? "true" : "false"); break;
    case SB_KIND_TEXT: snprintf(out, bytes, "%s", (const char *)at); break;
    case SB_KIND_CHOICE: {
        const char *c = k->choices;
        for (int i = 0; i < *(const int *)at; i++)
            c += strcspn(c, "|") + 1;
        snprintf(out, bytes, "%.*s", (int)strcspn(c, "|"), c);
        break;
    }
    }
}

void sb_key_say_wrong(const sb_key *k, const char *text, char *out, size_t bytes)
{
    sb_sides sides;
    errno = 0;
    const char *wrong = k->kind == SB_KIND_SIDES ? parse_sides(k, text, &sides) : NULL;
    if (k->kind == SB_KIND_CHOICE)
        snprintf(out, bytes, "must be one of %s", k->choices);
    else if (k->kind == SB_KIND_BOOL)
        snprintf(out, bytes, "must be true or false");
    else if (k->kind == SB_KIND_TEXT)
        snprintf(out, bytes, "must be UTF-8 text of at most %d bytes without line breaks", PATH_MAX - 1);
    else if (wrong)
        snprintf(out, bytes,
                 "%s: must be 0 or a whole number from %.16g to %.16g, or up to %d of them with the share of "
                 "the run from which each is in force, ascending (256 512@0.6 1024@0.9)",
                 wrong, k->least, k->most, SB_SIDES_MAX);
    else
        snprintf(out, bytes, "must be %s%s from %.16g to %.16g",
                 k->kind == SB_KIND_SIDE ? "0 or "
                 : k->automatic          ? "auto or "
                                         : "",
                 k->kind == SB_KIND_REAL ? "a number" : "a whole number", k->least, k->most);
}

/* ---- documentation ------------------------------------------------------------------------------------- */

static void say_allowed(const sb_key *k, char *out, size_t bytes)
{
    if (k->kind == SB_KIND_CHOICE)
        snprintf(out, bytes, "%s", k->choices);
    else if (k->kind == SB_KIND_BOOL)
        snprintf(out, bytes, "true, false");
    else if (k->kind == SB_KIND_TEXT)
        snprintf(out, bytes, "text");
    else
        snprintf(out, bytes, "%s%.16g to %.16g",
                 k->kind == SB_KIND_SIDE || k->kind == SB_KIND_SIDES ? "0, "
                 : k->automatic                                      ? "auto, "
                                                                     : "",
                 k->least, k->most);
    for (char *bar = out; (bar = strchr(bar, '|'));)
        *bar = '/';
}

/* The row of `table` that says the same of a key of this section as `key`, or NULL. */
static const sb_key *same_row(const sb_key_table *table, const char *section, const sb_key *key)
{
    char here[512], there[512];
    for (int i = 0; i < table->count && strcmp(table->section, section) == 0; i++) {
        const sb_key *k = &table->keys[i];
        say_allowed(k, there, sizeof there);
        say_allowed(key, here, sizeof here);
        if (strcmp(k->name, key->name) == 0 && strcmp(k->initial, key->initial) == 0 &&
            strcmp(k->meaning, key->meaning) == 0 && strcmp(here, there) == 0)
            return k;
    }
    return NULL;
}

/* One row, headed in its meaning by the choices that bring it. */
static void print_row(const sb_key_table *const *tables, const sb_key_table *table, const sb_key *k,
                      bool named)
{
    char name[SB_KEY_NAME_MAX], allowed[512];
    say_allowed(k, allowed, sizeof allowed);
    printf("| `%s` | %s | %s | ", sb_key_name(table, k, name), k->initial[0] ? k->initial : "(empty)",
           allowed);
    const char *comma = "";
    for (; named && table->choice && *tables; tables++) {
        if (!(*tables)->choice || !same_row(*tables, table->section, k))
            continue;
        printf("%s%s", comma, (*tables)->choice);
        comma = ", ";
    }
    printf("%s%s |\n", comma[0] ? ": " : "", k->meaning);
}

void sb_keys_document(const sb_key_table *const *tables, const char *choice)
{
    printf("| key | default | allowed | meaning |\n|---|---|---|---|\n");
    for (const sb_key_table *const *t = tables; *t; t++) {
        if (choice && (!(*t)->choice || strcmp((*t)->choice, choice) != 0))
            continue;
        for (int i = 0; i < (*t)->count; i++) {
            bool printed = false;
            for (const sb_key_table *const *before = tables; !choice && (*t)->choice && before < t; before++)
                printed = printed || ((*before)->choice && same_row(*before, (*t)->section, &(*t)->keys[i]));
            if (!printed)
                print_row(tables, *t, &(*t)->keys[i], !choice);
        }
    }
}
