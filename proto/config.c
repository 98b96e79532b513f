/* config.c: see config.h. YAML is libyaml's. */
#include "proto/config.h"

#include <ctype.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "proto/error.h"
#include "proto/memory.h"
#include "proto/path.h"
#include "proto/rundir.h"

#define VIEWS "views.N" /* the section of a table whose keys each entry of the list has */
#define VIEW_PREFIX "views."
#define CONFIG_MAX (1 << 20) /* bytes of a file */
#define PLACE_MAX (PATH_MAX + 32)
#define COMMAND_LINE "command line"

/* What any one value needs. */
typedef union {
    char text[PATH_MAX];
    int64_t integer;
    double real;
    sb_sides sides;
} any_value;

/* ---- settings ------------------------------------------------------------------------------------------ */

void sb_config_init(sb_config *config) { *config = (sb_config){ .view_count = 2 }; }

static void free_setting(const sb_setting *s)
{
    free(s->name);
    free(s->value);
    free(s->place);
}

void sb_config_free(sb_config *config)
{
    for (int i = 0; i < config->count; i++)
        free_setting(&config->settings[i]);
    free(config->settings);
    sb_config_init(config);
}

static char *copy_of(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = sb_zeroed(bytes, 1, "a key of the configuration");
    return copy ? memcpy(copy, text, bytes) : NULL;
}

/* Puts a setting before number `at`. value: NULL for the list of views. */
static int put(sb_config *c, int at, const char *place, const char *name, const char *value)
{
    if (c->count == c->room) {
        int room = 2 * c->room + 64;
        sb_setting *grown = sb_grown(c->settings, (size_t)room, sizeof *grown,
                                     "the keys of the configuration");
        if (!grown)
            return -1;
        c->settings = grown;
        c->room = room;
    }
    sb_setting s = { copy_of(name), value ? copy_of(value) : NULL, copy_of(place) };
    if (!s.name || !s.place || (value && !s.value)) {
        free_setting(&s);
        return -1;
    }
    memmove(c->settings + at + 1, c->settings + at, (size_t)(c->count - at) * sizeof s);
    c->settings[at] = s;
    c->count++;
    return 0;
}

/* The setting that counts, or NULL. */
static sb_setting *find(const sb_config *c, const char *name)
{
    for (int i = c->count - 1; i >= 0; i--)
        if (strcmp(c->settings[i].name, name) == 0)
            return &c->settings[i];
    return NULL;
}

const char *sb_config_place(const sb_config *config, const char *name)
{
    const sb_setting *s = find(config, name);
    return s ? s->place : "default";
}

void sb_config_forget(sb_config *config, const char *section)
{
    const size_t length = strlen(section);
    int kept = 0;
    for (int i = 0; i < config->count; i++) {
        const sb_setting *s = &config->settings[i];
        if (strncmp(s->name, section, length) == 0 && s->name[length] == '.')
            free_setting(s);
        else
            config->settings[kept++] = *s;
    }
    config->count = kept;
}

int sb_config_replace(sb_config *config, int setting, const char *name, const char *value)
{
    sb_setting *s = &config->settings[setting], now = { copy_of(name), copy_of(value), s->place };
    if (!now.name || !now.value) {
        free(now.name);
        free(now.value);
        return -1;
    }
    free(s->name);
    free(s->value);
    *s = now;
    return 0;
}

int sb_config_settle(sb_config *config, const char *name, const char *value)
{
    sb_setting *s = find(config, name);
    return s ? sb_config_replace(config, (int)(s - config->settings), name, value)
             : put(config, 0, "default", name, value);
}

static bool is_of_view(const char *name) { return strncmp(name, VIEW_PREFIX, sizeof VIEW_PREFIX - 1) == 0; }

/* The number in "views.NUMBER.KEY", or -1. */
static int view_of(const sb_config *config, const char *name)
{
    char *end;
    const char *number_text = name + sizeof VIEW_PREFIX - 1;
    if (!isdigit((unsigned char)number_text[0]))
        return -1;
    long number = strtol(number_text, &end, 10);
    if (*end != '.' || number >= config->view_count)
        return -1;
    return (int)number;
}

static int assign(sb_config *config, int at, const char *place, const char *assignment)
{
    const char *equals = strchr(assignment, '=');
    if (!equals || equals == assignment)
        return sb_fail("%s: `%s` is not KEY=VALUE", place, assignment);
    char *name = copy_of(assignment);
    if (!name)
        return -1;
    name[equals - assignment] = '\0';
    int rc = 0;
    if (is_of_view(name) && view_of(config, name) < 0)
        rc = sb_fail("%s: %s: views are numbered from 0, as views.0.blur, and the configuration has %d",
                     place, name, config->view_count);
    else
        rc = put(config, at, place, name, equals + 1);
    free(name);
    return rc;
}

int sb_config_set(sb_config *config, const char *assignment)
{
    return assign(config, config->count, COMMAND_LINE, assignment);
}

int sb_config_suggest(sb_config *config, const char *place, const char *assignment)
{
    return assign(config, 0, place, assignment);
}

/* ---- YAML ---------------------------------------------------------------------------------------------- */

typedef struct {
    sb_config *config;
    const char *path;
    yaml_document_t document;
    int first; /* of the file's settings */
} reader;

static void place_of(const reader *r, const yaml_node_t *node, char *out, size_t bytes)
{
    snprintf(out, bytes, "%s:%d", r->path, (int)node->start_mark.line + 1);
}

static int scalar(const reader *r, const yaml_node_t *node, const char **out)
{
    char place[PLACE_MAX];
    place_of(r, node, place, sizeof place);
    if (node->type != YAML_SCALAR_NODE)
        return sb_fail("%s: a single value belongs here", place);
    *out = (const char *)node->data.scalar.value;
    return strlen(*out) == node->data.scalar.length ? 0 : sb_fail("%s: the value holds a zero byte", place);
}

/* One key of the file; each may stand there once. said: as the file has it. */
static int put_once(reader *r, const char *place, const char *said, const char *name, const char *value)
{
    for (int i = r->first; i < r->config->count; i++)
        if (strcmp(r->config->settings[i].name, name) == 0)
            return sb_fail("%s: %s stands here twice", place, said);
    return put(r->config, r->config->count, place, name, value);
}

/* An entry of the list: `count` views with the same keys. */
static int read_view(reader *r, yaml_node_t *node)
{
    static const sb_key count_key = {
        .name = "count", .kind = SB_KIND_INT, .least = 1, .most = SB_VIEWS_MAX
    };
    char place[PLACE_MAX], full[SB_KEY_NAME_MAX];
    place_of(r, node, place, sizeof place);
    if (node->type != YAML_MAPPING_NODE)
        return sb_fail("%s: a view is a mapping, as {size: 128, blur: 0.5}", place);
    const int first = r->config->view_count;
    if (first == SB_VIEWS_MAX)
        return sb_fail("%s: more than %d views", place, SB_VIEWS_MAX);
    int count = 1, begin = r->config->count;
    bool counted = false;
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top;
         pair++) {
        yaml_node_t *name_node = yaml_document_get_node(&r->document, pair->key);
        const char *name = NULL, *value = NULL;
        place_of(r, name_node, place, sizeof place);
        if (scalar(r, name_node, &name) != 0 ||
            scalar(r, yaml_document_get_node(&r->document, pair->value), &value) != 0)
            return -1;
        if (strcmp(name, "count") == 0) {
            if (counted)
                return sb_fail("%s: count stands here twice", place);
            counted = true;
            if (sb_key_parse(&count_key, value, &count) != 0)
                return sb_fail("%s: count = %s: must be a whole number from 1 to %d", place, value,
                               SB_VIEWS_MAX);
            continue;
        }
        snprintf(full, sizeof full, "views.%d.%.64s", first, name);
        if (put_once(r, place, name, full, value) != 0)
            return -1;
    }
    if (first + count > SB_VIEWS_MAX)
        return sb_fail("%s: more than %d views", place, SB_VIEWS_MAX);
    for (int view = first + 1, end = r->config->count; view < first + count; view++)
        for (int i = begin; i < end; i++) {
            const sb_setting *s = &r->config->settings[i];
            snprintf(full, sizeof full, "views.%d.%s", view,
                     strchr(s->name + sizeof VIEW_PREFIX - 1, '.') + 1);
            if (put(r->config, r->config->count, s->place, full, s->value) != 0)
                return -1;
        }
    r->config->view_count += count;
    return 0;
}

static int read_views(reader *r, yaml_node_t *node)
{
    char place[PLACE_MAX];
    place_of(r, node, place, sizeof place);
    if (node->type != YAML_SEQUENCE_NODE || node->data.sequence.items.start == node->data.sequence.items.top)
        return sb_fail("%s: views is a list of one view or more", place);
    r->config->view_count = 0;
    r->config->views_given = true;
    for (yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top;
         item++)
        if (read_view(r, yaml_document_get_node(&r->document, *item)) != 0)
            return -1;
    return 0;
}

/* A mapping at `prefix` ("" or "data."). */
static int read_mapping(reader *r, yaml_node_t *node, const char *prefix)
{
    char place[PLACE_MAX], full[2 * SB_KEY_NAME_MAX];
    place_of(r, node, place, sizeof place);
    if (node->type != YAML_MAPPING_NODE)
        return sb_fail("%s: keys and values belong here", place);
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top;
         pair++) {
        yaml_node_t *name_node = yaml_document_get_node(&r->document, pair->key);
        yaml_node_t *value_node = yaml_document_get_node(&r->document, pair->value);
        const char *name = NULL, *value = NULL;
        place_of(r, name_node, place, sizeof place);
        if (scalar(r, name_node, &name) != 0)
            return -1;
        snprintf(full, sizeof full, "%s%.100s", prefix, name);
        if (is_of_view(full))
            return sb_fail("%s: %s: the keys of a view belong in the list `views`", place, full);
        if (strcmp(full, "views") == 0) {
            if (put_once(r, place, full, full, NULL) != 0 || read_views(r, value_node) != 0)
                return -1;
            continue;
        }
        if (value_node->type == YAML_MAPPING_NODE && prefix[0] == '\0') {
            char deeper[SB_KEY_NAME_MAX];
            snprintf(deeper, sizeof deeper, "%.100s.", name);
            if (read_mapping(r, value_node, deeper) != 0)
                return -1;
            continue;
        }
        if (scalar(r, value_node, &value) != 0 || put_once(r, place, full, full, value) != 0)
            return -1;
    }
    return 0;
}

/* file: or else the text. */
static int read_yaml(sb_config *config, const char *path, FILE *file, const char *text)
{
    yaml_parser_t parser;
    reader r = { .config = config, .path = path, .first = config->count };
    if (!yaml_parser_initialize(&parser))
        return sb_fail("out of memory for reading %s", path);
    if (file)
        yaml_parser_set_input_file(&parser, file);
    else
        yaml_parser_set_input_string(&parser, (const unsigned char *)text, strlen(text));
    int rc;
    if (!yaml_parser_load(&parser, &r.document)) {
        rc = sb_fail("%s:%zu: not YAML: %s", path, parser.problem_mark.line + 1,
                     parser.problem ? parser.problem : "cannot be read");
    } else {
        yaml_node_t *root = yaml_document_get_root_node(&r.document);
        rc = root ? read_mapping(&r, root, "") : 0; /* an empty file sets nothing */
        yaml_document_delete(&r.document);
    }
    yaml_parser_delete(&parser);
    return rc;
}

int sb_config_read(sb_config *config, const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return sb_fail_errno("%s", path);
    const int rc = read_yaml(config, path, file, NULL);
    fclose(file);
    return rc;
}

int sb_config_read_text(sb_config *config, const char *text, const char *name)
{
    return read_yaml(config, name, NULL, text);
}

int sb_config_read_run(sb_config *config, const char *run_dir)
{
    char path[PATH_MAX];
    sb_config_init(config);
    return sb_rundir_check(run_dir) != 0 || sb_rundir_path(path, run_dir, "config.yaml") != 0
               ? -1
               : sb_config_read(config, path);
}

/* ---- over tables --------------------------------------------------------------------------------------- */

static bool of_views(const sb_key_table *table) { return strcmp(table->section, VIEWS) == 0; }

/* The name of a table's key as it is set, for a view by number, into out[SB_KEY_NAME_MAX]. */
static const char *name_of(const sb_key_table *table, const sb_key *key, int view, char *out)
{
    if (of_views(table))
        snprintf(out, SB_KEY_NAME_MAX, "views.%d.%s", view, key->name);
    else
        sb_key_name(table, key, out);
    return out;
}

/* The table's key of this name, or NULL. */
static const sb_key *key_of(const sb_key_table *table, const char *name)
{
    size_t section = strlen(table->section);
    const char *tail = name;
    if (of_views(table))
        tail = is_of_view(name) ? strchr(name + sizeof VIEW_PREFIX - 1, '.') : NULL;
    else if (section > 0)
        tail = strncmp(name, table->section, section) == 0 && name[section] == '.' ? name + section : NULL;
    if (tail && tail != name)
        tail++; /* behind the dot */
    if (table->open)
        return tail && tail[0] ? &table->keys[0] : NULL;
    for (int i = 0; tail && i < table->count; i++)
        if (strcmp(table->keys[i].name, tail) == 0)
            return &table->keys[i];
    return NULL;
}

/* The value of a key as text. */
static const char *value_of(const sb_config *c, const sb_key_table *table, const sb_key *key, int view)
{
    char name[SB_KEY_NAME_MAX];
    const sb_setting *s = find(c, name_of(table, key, view, name));
    return s ? s->value : key->initial;
}

/* What was chosen in `section`: the value of SECTION.name. */
static const char *choice_in(const sb_config *c, const sb_key_table *const *tables, const char *section)
{
    for (; *tables; tables++)
        for (int i = 0; strcmp((*tables)->section, section) == 0 && i < (*tables)->count; i++)
            if (strcmp((*tables)->keys[i].name, "name") == 0)
                return value_of(c, *tables, &(*tables)->keys[i], 0);
    return "";
}

static bool in_force(const sb_config *c, const sb_key_table *const *tables, const sb_key_table *table)
{
    return !table->choice || strcmp(choice_in(c, tables, table->section), table->choice) == 0;
}

/* Levenshtein distance, for "the nearest is"; names are short. */
static int distance(const char *a, const char *b)
{
    int row[SB_KEY_NAME_MAX], length = (int)strlen(b);
    if (length > SB_KEY_NAME_MAX - 2)
        return 1000;
    for (int j = 0; j <= length; j++)
        row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= length; j++) {
            int change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            int least = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            row[j] = change < least ? change : least;
        }
    }
    return row[length];
}

static int no_such_key(const sb_config *c, const sb_key_table *const *tables, const sb_setting *s)
{
    char name[SB_KEY_NAME_MAX], nearest[SB_KEY_NAME_MAX] = "";
    bool view = is_of_view(s->name);
    for (const sb_key_table *const *t = tables; *t; t++) {
        for (int i = 0; i < (*t)->count && of_views(*t) == view && in_force(c, tables, *t); i++) {
            name_of(*t, &(*t)->keys[i], view ? view_of(c, s->name) : 0, name);
            if (nearest[0] == '\0' || distance(s->name, name) < distance(s->name, nearest))
                memcpy(nearest, name, sizeof nearest);
        }
    }
    return sb_fail("%s: there is no key %s; the nearest is %s (./run help keys lists all)", s->place, s->name,
                   nearest);
}

/* A key that only other choices bring. */
static int not_chosen(const sb_config *c, const sb_key_table *const *tables, const sb_setting *s,
                      const char *section)
{
    char owners[512] = "";
    for (const sb_key_table *const *t = tables; *t; t++) {
        size_t used = strlen(owners);
        if (key_of(*t, s->name))
            snprintf(owners + used, sizeof owners - used, "%s%s", used ? ", " : "", (*t)->choice);
    }
    return sb_fail("%s: there is no key %s with %s %s: it belongs to %s", s->place, s->name, section,
                   choice_in(c, tables, section), owners);
}

static int check_value(const sb_key *key, const sb_setting *s)
{
    any_value value;
    char wrong[1024];
    if (sb_key_parse(key, s->value, &value) == 0)
        return 0;
    sb_key_say_wrong(key, s->value, wrong, sizeof wrong);
    return sb_fail("%s: %s = %s: %s", s->place, s->name, s->value, wrong);
}

/* chosen: only keys that a choice brings; else only others. */
static int check_setting(const sb_config *c, const sb_key_table *const *tables, const sb_setting *s,
                         bool chosen)
{
    const char *section = NULL; /* of a table that has the key and is not in force */
    for (const sb_key_table *const *t = tables; *t; t++) {
        const sb_key *key = key_of(*t, s->name);
        if (!key)
            continue;
        if (((*t)->choice != NULL) != chosen)
            return 0;
        if (in_force(c, tables, *t))
            return check_value(key, s);
        section = (*t)->section;
    }
    if (section)
        return not_chosen(c, tables, s, section);
    return chosen ? 0 : no_such_key(c, tables, s);
}

/* A section that was set itself sets its own key; one with any other key set has it true by default. */
static int settle_own(sb_config *c, const sb_key_table *table)
{
    char own[SB_KEY_NAME_MAX];
    const sb_setting *other = NULL;
    snprintf(own, sizeof own, "%s.%s", table->section, table->own);
    for (int i = 0; i < c->count; i++) {
        sb_setting *s = &c->settings[i];
        if (strcmp(s->name, table->section) == 0) {
            char *name = copy_of(own);
            if (!name)
                return -1;
            free(s->name);
            s->name = name;
        } else if (key_of(table, s->name) && strcmp(s->name, own) != 0) {
            other = s;
        }
    }
    return other && !find(c, own) ? put(c, 0, other->place, own, "true") : 0;
}

/* Makes paths whole. */
static int settle_paths(sb_config *c, const sb_key_table *const *tables)
{
    char whole[PATH_MAX];
    for (int i = 0; i < c->count; i++) {
        sb_setting *s = &c->settings[i];
        bool path = false;
        for (const sb_key_table *const *t = tables; *t && s->value && !path; t++) {
            const sb_key *key = key_of(*t, s->name);
            path = key && key->path && s->value[0] != '\0';
        }
        if (!path)
            continue;
        if (sb_path_whole(s->value, whole) != 0)
            return sb_context("%s: %s = %s", s->place, s->name, s->value);
        char *value = copy_of(whole);
        if (!value)
            return -1;
        free(s->value);
        s->value = value;
    }
    return 0;
}

int sb_config_check(sb_config *config, const sb_key_table *const *tables)
{
    for (const sb_key_table *const *t = tables; *t; t++)
        if ((*t)->own && settle_own(config, *t) != 0)
            return -1;
    /* Choices are made by keys of the first pass: it tells a wrong choice before the second tells what that
     * choice does not have. */
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < config->count; i++)
            if (config->settings[i].value &&
                check_setting(config, tables, &config->settings[i], pass == 1) != 0)
                return -1;
    return settle_paths(config, tables);
}

int sb_config_fill_view(const sb_config *config, const sb_key_table *table, int view, void *out)
{
    memset(out, 0, table->bytes);
    for (int i = 0; i < table->count; i++) {
        const sb_key *key = &table->keys[i];
        char name[SB_KEY_NAME_MAX];
        const char *value = value_of(config, table, key, view);
        if (sb_key_parse(key, value, (char *)out + key->offset) == 0)
            continue;
        name_of(table, key, view, name);
        char wrong[1024];
        sb_key_say_wrong(key, value, wrong, sizeof wrong);
        return sb_fail("%s: %s = %s: %s", sb_config_place(config, name), name, value, wrong);
    }
    return 0;
}

/* Of an open table: the setting that counts of the key that was the number-th to be set; NULL: none. */
static const sb_setting *open_setting(const sb_config *c, const sb_key_table *table, int number)
{
    for (int i = 0; i < c->count; i++) {
        const char *name = c->settings[i].name;
        bool first = key_of(table, name) != NULL;
        for (int j = 0; first && j < i; j++)
            first = strcmp(c->settings[j].name, name) != 0;
        if (first && number-- == 0)
            return find(c, name);
    }
    return NULL;
}

int sb_config_fill_open(const sb_config *config, const sb_key_table *table, int number, const char **name,
                        void *out)
{
    const sb_setting *s = open_setting(config, table, number);
    if (!s)
        return 0;
    *name = s->name + strlen(table->section) + 1;
    memset(out, 0, table->bytes);
    return check_value(&table->keys[0], s) != 0 || sb_key_parse(&table->keys[0], s->value, out) != 0 ? -1 : 1;
}

int sb_config_fill(const sb_config *config, const sb_key_table *table, void *out)
{
    return sb_config_fill_view(config, table, 0, out);
}

/* ---- as text ------------------------------------------------------------------------------------------- */

/* Growing text. */
typedef struct {
    char *data;
    size_t used, room;
    bool failed;
} text;

__attribute__((format(printf, 2, 3))) static void say(text *t, const char *format, ...)
{
    va_list arguments;
    for (;;) {
        va_start(arguments, format);
        int need = t->failed
                       ? 0
                       : vsnprintf(t->data ? t->data + t->used : NULL, t->room - t->used, format, arguments);
        va_end(arguments);
        if (t->failed || need < 0)
            return;
        if (t->data && (size_t)need < t->room - t->used) {
            t->used += (size_t)need;
            return;
        }
        char *grown = sb_grown(t->data, t->room + (size_t)need + 4096, 1, "the text of a configuration");
        t->failed = !grown;
        if (grown) {
            t->data = grown;
            t->room += (size_t)need + 4096;
        }
    }
}

/* In single quotes, with quotes doubled. */
static void say_quoted(text *t, const char *what)
{
    say(t, "'");
    for (; *what; what++)
        say(t, *what == '\'' ? "''" : "%c", *what);
    say(t, "'");
}

/* A value in the one way in which it is written. */
static void print_value(const sb_key *key, const char *set, char out[PATH_MAX])
{
    any_value value;
    if (sb_key_parse(key, set, &value) == 0)
        sb_key_print(key, &value, out, PATH_MAX);
    else
        snprintf(out, PATH_MAX, "%s", set);
}

/* A key and its value as YAML. */
static void say_key(text *t, const sb_config *c, const sb_key_table *table, const sb_key *key, int view)
{
    char printed[PATH_MAX];
    print_value(key, value_of(c, table, key, view), printed);
    say(t, "%s: ", key->name);
    if (key->kind != SB_KIND_TEXT) {
        say(t, "%s\n", printed);
        return;
    }
    say_quoted(t, printed);
    say(t, "\n");
}

/* The keys of an open table that were set. */
static void say_open(text *t, const sb_config *c, const sb_key_table *table, const char **section)
{
    const sb_setting *s;
    for (int i = 0; (s = open_setting(c, table, i)); i++) {
        if (strcmp(*section, table->section) != 0)
            say(t, "%s:\n", table->section);
        *section = table->section;
        say(t, "  ");
        say_quoted(t, s->name + strlen(table->section) + 1);
        say(t, ": %s\n", s->value);
    }
}

static void say_table(text *t, const sb_config *c, const sb_key_table *table, bool result_only,
                      const char **section)
{
    for (int i = 0; i < table->count; i++) {
        const sb_key *key = &table->keys[i];
        if (result_only && key->apart)
            continue;
        if (strcmp(*section, table->section) != 0) {
            *section = table->section;
            say(t, "%s%s", *section, **section ? ":\n" : "");
        }
        say(t, "%s", table->section[0] ? "  " : "");
        say_key(t, c, table, key, 0);
    }
}

static void say_views(text *t, const sb_config *c, const sb_key_table *table)
{
    say(t, "views:\n");
    for (int view = 0; view < c->view_count; view++)
        for (int i = 0; i < table->count; i++) {
            say(t, "%s", i == 0 ? "  - " : "    ");
            say_key(t, c, table, &table->keys[i], view);
        }
}

char *sb_config_text(const sb_config *config, const sb_key_table *const *tables, bool result_only)
{
    text t = { 0 };
    const char *section = "";
    for (int i = 0; tables[i]; i++) {
        if (of_views(tables[i]))
            say_views(&t, config, tables[i]);
        else if (tables[i]->open)
            say_open(&t, config, tables[i], &section);
        else if (in_force(config, tables, tables[i]))
            say_table(&t, config, tables[i], result_only, &section);
    }
    if (t.failed) {
        free(t.data);
        return NULL;
    }
    return t.data;
}

/* The line of a file's text in which a key was set, as its place says; NULL: not "KEY: VALUE" in a line of
 * its own. */
static char *line_of(char *file, const char *place, const char *name)
{
    const char *number = strrchr(place, ':'), *key = strrchr(name, '.');
    char *line = file;
    key = key ? key + 1 : name;
    for (long n = number ? strtol(number + 1, NULL, 10) : 0; n > 1 && line; n--)
        line = (line = strchr(line, '\n')) ? line + 1 : NULL;
    if (!number || !line)
        return NULL;
    line += strspn(line, " ");
    return strncmp(line, key, strlen(key)) == 0 && line[strlen(key)] == ':' ? line + strlen(key) + 1 : NULL;
}

int sb_config_settle_run(const char *run_dir, const char *name, const char *value)
{
    char path[PATH_MAX], *file = NULL, *at = NULL;
    size_t bytes;
    text t = { 0 };
    sb_config config;
    int rc = sb_config_read_run(&config, run_dir);
    if (rc == 0)
        rc = sb_rundir_path(path, run_dir, "config.yaml");
    if (rc == 0)
        rc = sb_file_read(path, CONFIG_MAX, &file, &bytes);
    if (rc == 0 && !(at = line_of(file, sb_config_place(&config, name), name)))
        rc = sb_fail("%s: %s = %s was found and has no line of its own there: set it", path, name, value);
    if (rc == 0) {
        const size_t rest = strcspn(at, "\n");
        const char *tail = at[rest] ? at + rest + 1 : "";
        *at = '\0';
        say(&t, "%s ", file);
        say_quoted(&t, value);
        say(&t, "\n%s", tail);
        rc = t.failed ? sb_fail("out of memory for %s", path) : sb_file_replace(path, t.data, strlen(t.data));
    }
    free(t.data);
    free(file);
    sb_config_free(&config);
    return rc;
}

/* ---- differences --------------------------------------------------------------------------------------- */

typedef struct {
    const sb_config *config[2]; /* before, after */
    const sb_key_table *const *tables;
    sb_config_change *changes;
    int count;
} comparison;

/* set: the key's value in each, NULL: it is not there. */
static int compare(comparison *c, const sb_key *key, const char *name, const char *const set[2])
{
    char printed[2][PATH_MAX];
    for (int i = 0; i < 2; i++)
        if (set[i])
            print_value(key, set[i], printed[i]);
    if ((!set[0] && !set[1]) || (set[0] && set[1] && strcmp(printed[0], printed[1]) == 0))
        return 0;
    sb_config_change *grown = sb_grown(c->changes, (size_t)c->count + 1, sizeof *grown,
                                       "what differs in a configuration");
    if (!grown)
        return -1;
    c->changes = grown;
    sb_config_change *change = &grown[c->count++];
    *change = (sb_config_change){ .key = key };
    snprintf(change->name, sizeof change->name, "%s", name);
    if (set[0] && !(change->before = copy_of(printed[0])))
        return -1;
    return set[1] && !(change->after = copy_of(printed[1])) ? -1 : 0;
}

static int compare_table(comparison *c, const sb_key_table *table)
{
    int views = 1;
    for (int i = 0; i < 2 && of_views(table); i++)
        views = c->config[i]->view_count > views ? c->config[i]->view_count : views;
    for (int k = 0; k < views * table->count; k++) {
        const sb_key *key = &table->keys[k % table->count];
        const char *set[2] = { NULL, NULL };
        char name[SB_KEY_NAME_MAX];
        const int view = k / table->count;
        for (int i = 0; i < 2; i++)
            if (in_force(c->config[i], c->tables, table) &&
                (!of_views(table) || view < c->config[i]->view_count))
                set[i] = value_of(c->config[i], table, key, view);
        if (compare(c, key, name_of(table, key, view, name), set) != 0)
            return -1;
    }
    return 0;
}

/* The keys that are set in either, each once. */
static int compare_open(comparison *c, const sb_key_table *table)
{
    for (int from = 0; from < 2; from++) {
        const sb_setting *s;
        for (int i = 0; (s = open_setting(c->config[from], table, i)); i++) {
            const sb_setting *found[2] = { find(c->config[0], s->name), find(c->config[1], s->name) };
            const char *set[2] = { found[0] ? found[0]->value : NULL, found[1] ? found[1]->value : NULL };
            if ((from == 0 || !set[0]) && compare(c, &table->keys[0], s->name, set) != 0)
                return -1;
        }
    }
    return 0;
}

int sb_config_changes(const sb_config *before, const sb_config *after, const sb_key_table *const *tables,
                      sb_config_change **out)
{
    comparison c = { .config = { before, after }, .tables = tables };
    int rc = 0;
    for (; *tables && rc == 0; tables++)
        rc = (*tables)->open ? compare_open(&c, *tables) : compare_table(&c, *tables);
    if (rc != 0) {
        sb_config_changes_free(c.changes, c.count);
        return -1;
    }
    *out = c.changes;
    return c.count;
}

void sb_config_changes_free(sb_config_change *changes, int count)
{
    for (int i = 0; i < count; i++) {
        free(changes[i].before);
        free(changes[i].after);
    }
    free(changes);
}
