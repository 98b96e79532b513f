/* config.c: the configuration (config.h). One table has every key with its place, default, range and meaning;
 * reading, checking, writing and the documentation all follow it. YAML is libyaml's. */
#include "proto/config.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#include "proto/error.h"
#include "proto/memory.h"

/* SIDE: an int, 0 or in its range. */
typedef enum {
    KIND_INT,
    KIND_SIDE,
    KIND_INT64,
    KIND_UINT64,
    KIND_DOUBLE,
    KIND_BOOL,
    KIND_TEXT,
    KIND_CHOICE
} key_kind;

typedef struct {
    const char *name;
    key_kind kind;
    size_t offset;
    const char *initial;
    double min, max;
    const char *choices; /* CHOICE: "a|b|c", in the enum's order */
    const char *meaning;
} key;

#define AT(member) offsetof(sb_config, member)
#define VIEW(member) offsetof(sb_view_config, member)
#define LARGEST 9007199254740992.0

static const key keys[] = {
    { "seed", KIND_UINT64, AT(seed), "1", 0, LARGEST, NULL,
      "every random number of the run follows from it" },
    { "device", KIND_CHOICE, AT(device), "auto", 0, 0, "auto|cpu|cuda",
      "what computes; auto: a GPU if there is one" },
    { "cuda.plugin", KIND_TEXT, AT(cuda_plugin), "", 0, 0, NULL,
      "the CUDA device's file; empty: sb_cuda.so beside the program" },
    { "init", KIND_TEXT, AT(init), "", 0, 0, NULL,
      "safetensors file to start from (torchvision or timm names)" },
    { "run.dir", KIND_TEXT, AT(run.dir), "", 0, 0, NULL, "the run directory; empty: runs/DATE-RECIPE" },
    { "run.loaders", KIND_INT, AT(loaders), "2", 1, 256, NULL,
      "loaders at the start; ./run scale changes it" },
    { "data.path", KIND_TEXT, AT(data.path), "", 0, 0, NULL, "folder of images, or CSV manifest" },
    { "data.tile", KIND_INT, AT(data.tile), "1024", 16, 16384, NULL,
      "side of a tile, in pixels of the image" },
    { "data.view", KIND_INT, AT(data.view), "128", 16, 1024, NULL, "side of a view that names no size" },
    { "data.window", KIND_INT, AT(data.window), "16", 1, 1 << 20, NULL,
      "images whose tiles are mixed with one another" },
    { "data.channels", KIND_INT, AT(data.channels), "3", 1, 3, NULL, "3: colour, 1: grey" },
    { "data.place", KIND_CHOICE, AT(data.place), "random", 0, 0, "random|grid", "where tiles lie" },
    { "data.tiles_per_image", KIND_INT, AT(data.tiles_per_image), "1", 1, 1 << 20, NULL,
      "multiplies the tiles of an image in an epoch" },
    { "data.untrusted", KIND_BOOL, AT(data.untrusted), "false", 0, 0, NULL,
      "allow image formats that libvips marks untrusted" },
    { "data.max_bad", KIND_DOUBLE, AT(data.max_bad), "0.1", 0, 1, NULL,
      "share of the images that may be unusable" },
    { "loader.cache_mb", KIND_INT, AT(loader.cache_mb), "0", 0, 1 << 20, NULL,
      "MiB of decoded images in each loader; 0: a window's" },
    { "loader.timeout", KIND_DOUBLE, AT(loader.timeout), "60", 0.1, 86400, NULL,
      "seconds without progress until a loader is killed; waiting for a busy processor does not count" },
    { "loader.slots", KIND_INT, AT(loader.slots), "0", 0, 65536, NULL, "tiles decoded ahead; 0: chosen" },
    { "batch.groups", KIND_CHOICE, AT(batch.groups), "any", 0, 0, "any|distinct",
      "distinct: no two tiles of a group in a batch" },
    { "method.name", KIND_CHOICE, AT(method), "dcl", 0, 0, "simclr|dcl", "the self-supervised method" },
    { "method.temperature", KIND_DOUBLE, AT(temperature), "0.1", 0.001, 100, NULL,
      "of the softmax over similarities" },
    { "encoder.name", KIND_CHOICE, AT(encoder.name), "resnet18", 0, 0, "resnet18|resnet34|resnet50",
      "the backbone" },
    { "encoder.stem", KIND_CHOICE, AT(encoder.stem), "imagenet", 0, 0, "imagenet|small",
      "small: 3 x 3 without pooling, for small views" },
    { "projector.layers", KIND_INT, AT(projector.layers), "2", 1, 8, NULL, "linear layers of the head" },
    { "projector.hidden", KIND_INT, AT(projector.hidden), "0", 0, 65536, NULL,
      "width of its hidden layers; 0: the backbone's" },
    { "projector.out", KIND_INT, AT(projector.out), "128", 1, 65536, NULL, "width of an embedding" },
    { "projector.last", KIND_CHOICE, AT(projector.last), "norm", 0, 0, "norm|bias|plain",
      "its last layer has a batch norm without shift behind it, a bias, or neither" },
    { "projector.views", KIND_CHOICE, AT(projector.views), "together", 0, 0, "together|apart",
      "its norms see all views together, or each view alone" },
    { "trainer.batch", KIND_INT, AT(trainer.batch), "16", 1, 65536, NULL, "samples of an optimiser step" },
    { "trainer.chunk", KIND_INT, AT(trainer.chunk), "0", 0, 1 << 20, NULL,
      "views in the backbone at once; 0: all of a size" },
    { "trainer.steps", KIND_INT64, AT(trainer.steps), "1000", 1, 1e12, NULL, "optimiser steps of the run" },
    { "trainer.threads", KIND_INT, AT(trainer.threads), "0", 0, 1024, NULL,
      "compute threads, part of the result; 0: all cores" },
    { "trainer.precision", KIND_CHOICE, AT(trainer.precision), "f32", 0, 0, "f32|bf16",
      "of the backbone's activations; bf16 where the device has it" },
    { "trainer.checkpoint_every", KIND_INT, AT(trainer.checkpoint_every), "50", 1, 1 << 30, NULL,
      "steps between checkpoints" },
    { "trainer.checkpoint_keep", KIND_INT, AT(trainer.checkpoint_keep), "3", 1, 1 << 20, NULL,
      "checkpoints that are kept" },
    { "optimiser.name", KIND_CHOICE, AT(optimiser.name), "sgd", 0, 0, "sgd|lars|adamw", "the optimiser" },
    { "optimiser.lr", KIND_DOUBLE, AT(optimiser.lr), "0.03", 0, 1000, NULL, "learning rate before scaling" },
    { "optimiser.scaling", KIND_CHOICE, AT(optimiser.scaling), "linear", 0, 0, "none|linear|sqrt",
      "lr; lr batch / 256; lr sqrt(batch)" },
    { "optimiser.warmup", KIND_DOUBLE, AT(optimiser.warmup), "0.1", 0, 1, NULL,
      "share of the steps, linear from 0" },
    { "optimiser.final_lr", KIND_DOUBLE, AT(optimiser.final_lr), "0", 0, 1, NULL,
      "share of the peak where the cosine ends" },
    { "optimiser.momentum", KIND_DOUBLE, AT(optimiser.momentum), "0.9", 0, 1, NULL, "SGD and LARS" },
    { "optimiser.weight_decay", KIND_DOUBLE, AT(optimiser.weight_decay), "0.0001", 0, 10, NULL,
      "of matrices; not of biases and norms" },
    { "optimiser.trust", KIND_DOUBLE, AT(optimiser.trust), "0.001", 0, 10, NULL, "LARS: trust coefficient" },
    { "optimiser.beta1", KIND_DOUBLE, AT(optimiser.beta1), "0.9", 0, 0.999999, NULL, "AdamW" },
    { "optimiser.beta2", KIND_DOUBLE, AT(optimiser.beta2), "0.999", 0, 0.999999, NULL, "AdamW" },
    { "optimiser.epsilon", KIND_DOUBLE, AT(optimiser.epsilon), "1e-08", 0, 1, NULL, "AdamW" },
    { "evaluate.views", KIND_INT, AT(evaluate.views), "8", 1, 16, NULL,
      "distorted views of each held-out tile" },
    { "evaluate.size", KIND_SIDE, AT(evaluate.size), "0", 16, 1024, NULL,
      "side of an evaluation's views; 0: data.view" },
    { "evaluate.snapshot_every", KIND_INT, AT(evaluate.snapshot_every), "50", 1, 1 << 30, NULL,
      "steps between weights for evaluators" },
    { "evaluate.max_tiles", KIND_INT, AT(evaluate.max_tiles), "256", 2, 65536, NULL,
      "held-out tiles that are used" },
};
#define KEYS (sizeof keys / sizeof *keys)

/* Keys of one view, behind "views.N.". */
static const key view_keys[] = {
    { "size", KIND_SIDE, VIEW(size), "0", 16, 1024, NULL, "side in pixels; 0: data.view" },
    { "crop_min", KIND_DOUBLE, VIEW(crop_min), "0.2", 0.0001, 1, NULL, "smallest share of the tile's area" },
    { "crop_max", KIND_DOUBLE, VIEW(crop_max), "1", 0.0001, 1, NULL, "largest share of the tile's area" },
    { "ratio_min", KIND_DOUBLE, VIEW(ratio_min), "0.75", 0.05, 20, NULL, "narrowest crop: width / height" },
    { "ratio_max", KIND_DOUBLE, VIEW(ratio_max), "1.3333333333333333", 0.05, 20, NULL, "widest crop" },
    { "flip", KIND_DOUBLE, VIEW(flip), "0.5", 0, 1, NULL, "probability of a mirror image" },
    { "jitter", KIND_DOUBLE, VIEW(jitter), "0.8", 0, 1, NULL,
      "probability of the four colour changes, in random order" },
    { "brightness", KIND_DOUBLE, VIEW(brightness), "0.4", 0, 10, NULL, "strength" },
    { "contrast", KIND_DOUBLE, VIEW(contrast), "0.4", 0, 10, NULL, "strength" },
    { "saturation", KIND_DOUBLE, VIEW(saturation), "0.4", 0, 10, NULL, "strength" },
    { "hue", KIND_DOUBLE, VIEW(hue), "0.1", 0, 0.5, NULL, "strength, in turns" },
    { "grey", KIND_DOUBLE, VIEW(grey), "0.2", 0, 1, NULL, "probability" },
    { "blur", KIND_DOUBLE, VIEW(blur), "0.5", 0, 1, NULL, "probability of a Gaussian blur" },
    { "blur_min", KIND_DOUBLE, VIEW(blur_min), "0.1", 0.01, 100, NULL,
      "smallest sigma, in pixels of the view" },
    { "blur_max", KIND_DOUBLE, VIEW(blur_max), "2", 0.01, 100, NULL, "largest sigma" },
    { "solarise", KIND_DOUBLE, VIEW(solarise), "0", 0, 1, NULL, "probability" },
    { "solarise_threshold", KIND_DOUBLE, VIEW(solarise_threshold), "0.5", 0, 1, NULL,
      "values at or above are inverted" },
};
#define VIEW_KEYS (sizeof view_keys / sizeof *view_keys)

_Static_assert(KEYS <= SB_KEYS_MAX && VIEW_KEYS <= SB_VIEW_KEYS_MAX, "every key has a place");
#define COMMAND_LINE (-1)

/* ---- one value ----------------------------------------------------------------------------------------- */

/* "must be 2 to 65536" and the like. */
static void say_range(const key *k, char *out, size_t bytes)
{
    if (k->kind == KIND_CHOICE)
        snprintf(out, bytes, "must be one of %s", k->choices);
    else if (k->kind == KIND_BOOL)
        snprintf(out, bytes, "must be true or false");
    else if (k->kind == KIND_TEXT)
        snprintf(out, bytes, "must be UTF-8 text of at most %d bytes without line breaks", PATH_MAX - 1);
    else
        snprintf(out, bytes, "must be %s%s from %.16g to %.16g", k->kind == KIND_SIDE ? "0 or " : "",
                 k->kind == KIND_DOUBLE ? "a number" : "a whole number", k->min, k->max);
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

/* 0, or -1 without an error text: the caller knows the place. */
static int parse_value(const key *k, const char *text, void *at)
{
    char *end;
    errno = 0;
    bool empty = text[0] == '\0' || isspace((unsigned char)text[0]);
    switch (k->kind) {
    case KIND_INT:
    case KIND_SIDE:
    case KIND_INT64: {
        long long value = strtoll(text, &end, 10);
        bool in_range = ((double)value >= k->min && (double)value <= k->max) ||
                        (value == 0 && k->kind == KIND_SIDE);
        if (empty || errno || *end || !in_range)
            return -1;
        if (k->kind != KIND_INT64)
            *(int *)at = (int)value;
        else
            *(int64_t *)at = value;
        return 0;
    }
    case KIND_UINT64: {
        unsigned long long value = strtoull(text, &end, 10);
        if (empty || errno || *end || text[0] == '-' || (double)value > k->max)
            return -1;
        *(uint64_t *)at = value;
        return 0;
    }
    case KIND_DOUBLE: {
        double value = strtod(text, &end);
        if (empty || errno == ERANGE || *end || !isfinite(value) || value < k->min || value > k->max)
            return -1;
        *(double *)at = value;
        return 0;
    }
    case KIND_BOOL:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            return -1;
        *(bool *)at = text[0] == 't';
        return 0;
    case KIND_TEXT: {
        char clean[PATH_MAX];
        if (snprintf(clean, sizeof clean, "%s", text) >= PATH_MAX || sb_text_clean(clean) > 0)
            return -1;
        memcpy(at, text, strlen(text) + 1);
        return 0;
    }
    case KIND_CHOICE: {
        int value = choice_of(k->choices, text);
        if (value < 0)
            return -1;
        *(int *)at = value; /* enums are ints here (checked below) */
        return 0;
    }
    }
    return -1;
}

_Static_assert(sizeof(sb_place) == sizeof(int) && sizeof(sb_lr_scaling) == sizeof(int),
               "parse_value writes enums as ints");

static void print_value(const key *k, const void *at, char *out, size_t bytes)
{
    switch (k->kind) {
    case KIND_INT:
    case KIND_SIDE: snprintf(out, bytes, "%d", *(const int *)at); break;
    case KIND_INT64: snprintf(out, bytes, "%lld", (long long)*(const int64_t *)at); break;
    case KIND_UINT64: snprintf(out, bytes, "%llu", (unsigned long long)*(const uint64_t *)at); break;
    case KIND_DOUBLE: snprintf(out, bytes, "%.17g", *(const double *)at); break;
    case KIND_BOOL: snprintf(out, bytes, "%s", *(const bool *)at ? "true" : "false"); break;
    case KIND_TEXT: snprintf(out, bytes, "%s", (const char *)at); break;
    case KIND_CHOICE: {
        const char *c = k->choices;
        for (int i = 0; i < *(const int *)at; i++)
            c += strcspn(c, "|") + 1;
        snprintf(out, bytes, "%.*s", (int)strcspn(c, "|"), c);
        break;
    }
    }
}

static void view_defaults(sb_view_config *view)
{
    *view = (sb_view_config){ 0 };
    for (size_t i = 0; i < VIEW_KEYS; i++)
        parse_value(&view_keys[i], view_keys[i].initial, (char *)view + view_keys[i].offset);
}

void sb_config_defaults(sb_config *config)
{
    *config = (sb_config){ .view_count = 2 };
    for (size_t i = 0; i < KEYS; i++)
        parse_value(&keys[i], keys[i].initial, (char *)config + keys[i].offset);
    for (int v = 0; v < SB_VIEWS_MAX; v++)
        view_defaults(&config->views[v]);
}

/* ---- setting keys -------------------------------------------------------------------------------------- */

/* Levenshtein distance, for "did you mean"; names are short. */
static int distance(const char *a, const char *b)
{
    int row[128], length = (int)strlen(b);
    if (length > 126)
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

static int no_such_key(const char *place, const char *name, const key *table, size_t count,
                       const char *prefix)
{
    const char *nearest = table[0].name, *tail = name + strlen(prefix);
    for (size_t i = 1; i < count; i++)
        if (distance(tail, table[i].name) < distance(tail, nearest))
            nearest = table[i].name;
    return sb_fail("%s: there is no key %s; the nearest is %s%s (./run help keys lists all)", place, name,
                   prefix, nearest);
}

/* lines: of the table's keys; that of the one that is set becomes `line`. */
static int set_in(const char *place, int line, const char *name, const char *value, const key *table,
                  size_t count, const char *prefix, void *base, int *lines)
{
    const char *tail = name + strlen(prefix);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(table[i].name, tail) != 0)
            continue;
        if (parse_value(&table[i], value, (char *)base + table[i].offset) == 0) {
            lines[i] = line;
            return 0;
        }
        char range[256];
        say_range(&table[i], range, sizeof range);
        return sb_fail("%s: %s = %s: %s", place, name, value, range);
    }
    return no_such_key(place, name, table, count, prefix);
}

/* The number in "views.NUMBER.KEY", or -1. */
static int view_of(const sb_config *config, const char *name)
{
    char *end;
    long number = strtol(name + 6, &end, 10);
    if (end == name + 6 || *end != '.' || number < 0 || number >= config->view_count)
        return -1;
    return (int)number;
}

static int set_key(sb_config *config, const char *name, const char *value)
{
    const char *place = "command line";
    if (strncmp(name, "views.", 6) != 0)
        return set_in(place, COMMAND_LINE, name, value, keys, KEYS, "", config, config->places.keys);
    char prefix[32];
    int number = view_of(config, name);
    if (number < 0)
        return sb_fail("%s: %s: views are numbered from 0, as views.0.blur, and the configuration has %d",
                       place, name, config->view_count);
    snprintf(prefix, sizeof prefix, "views.%d.", number);
    return set_in(place, COMMAND_LINE, name, value, view_keys, VIEW_KEYS, prefix, &config->views[number],
                  config->places.views[number]);
}

int sb_config_set(sb_config *config, const char *assignment)
{
    const char *equals = strchr(assignment, '=');
    if (!equals || equals == assignment)
        return sb_fail("command line: `%s` is not KEY=VALUE", assignment);
    char *name = strndup(assignment, (size_t)(equals - assignment));
    if (!name)
        return sb_fail("out of memory for a key's name");
    int rc = set_key(config, name, equals + 1);
    free(name);
    return rc;
}

/* ---- YAML ---------------------------------------------------------------------------------------------- */

typedef struct {
    sb_config *config;
    const char *path;
    yaml_document_t document;
    bool seen[KEYS];
} reader;

static int line_of(const yaml_node_t *node) { return (int)node->start_mark.line + 1; }

static void place_of(const reader *r, const yaml_node_t *node, char *out, size_t bytes)
{
    snprintf(out, bytes, "%s:%d", r->path, line_of(node));
}

static int scalar(const reader *r, const yaml_node_t *node, const char **out)
{
    char place[PATH_MAX + 32];
    place_of(r, node, place, sizeof place);
    if (node->type != YAML_SCALAR_NODE)
        return sb_fail("%s: a single value belongs here", place);
    *out = (const char *)node->data.scalar.value;
    return strlen(*out) == node->data.scalar.length ? 0 : sb_fail("%s: the value holds a zero byte", place);
}

static int read_view(reader *r, yaml_node_t *node)
{
    char place[PATH_MAX + 32];
    place_of(r, node, place, sizeof place);
    if (node->type != YAML_MAPPING_NODE)
        return sb_fail("%s: a view is a mapping, as {size: 128, blur: 0.5}", place);
    int first = r->config->view_count, count = 1, lines[SB_VIEW_KEYS_MAX] = { 0 };
    sb_view_config view;
    view_defaults(&view);
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top;
         pair++) {
        yaml_node_t *name_node = yaml_document_get_node(&r->document, pair->key);
        const char *name = NULL, *value = NULL;
        char full[128];
        place_of(r, name_node, place, sizeof place);
        if (scalar(r, name_node, &name) != 0 ||
            scalar(r, yaml_document_get_node(&r->document, pair->value), &value) != 0)
            return -1;
        for (yaml_node_pair_t *other = node->data.mapping.pairs.start; other < pair; other++)
            if (strcmp((const char *)yaml_document_get_node(&r->document, other->key)->data.scalar.value,
                       name) == 0)
                return sb_fail("%s: %s stands here twice", place, name);
        if (strcmp(name, "count") == 0) {
            const key limits = { .name = "count", .kind = KIND_INT, .min = 1, .max = SB_VIEWS_MAX };
            if (parse_value(&limits, value, &count) != 0)
                return sb_fail("%s: count = %s: must be a whole number from 1 to %d", place, value,
                               SB_VIEWS_MAX);
            continue;
        }
        snprintf(full, sizeof full, "views.%d.%.64s", first, name);
        char prefix[32];
        snprintf(prefix, sizeof prefix, "views.%d.", first);
        if (set_in(place, line_of(name_node), full, value, view_keys, VIEW_KEYS, prefix, &view, lines) != 0)
            return -1;
    }
    if (first + count > SB_VIEWS_MAX)
        return sb_fail("%s: more than %d views", place, SB_VIEWS_MAX);
    for (int i = 0; i < count; i++) {
        r->config->views[first + i] = view;
        memcpy(r->config->places.views[first + i], lines, sizeof lines);
    }
    r->config->view_count += count;
    return 0;
}

static int read_views(reader *r, yaml_node_t *node)
{
    char place[PATH_MAX + 32];
    place_of(r, node, place, sizeof place);
    if (node->type != YAML_SEQUENCE_NODE || node->data.sequence.items.start == node->data.sequence.items.top)
        return sb_fail("%s: views is a list of one view or more", place);
    r->config->view_count = 0;
    for (yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top;
         item++)
        if (read_view(r, yaml_document_get_node(&r->document, *item)) != 0)
            return -1;
    return 0;
}

/* A mapping at `prefix` ("" or "data."). */
static int read_mapping(reader *r, yaml_node_t *node, const char *prefix)
{
    char place[PATH_MAX + 32], full[160];
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
        if (strcmp(full, "views") == 0) {
            r->config->places.view_list = line_of(name_node);
            if (read_views(r, value_node) != 0)
                return -1;
            continue;
        }
        if (value_node->type == YAML_MAPPING_NODE && prefix[0] == '\0') {
            char deeper[128];
            snprintf(deeper, sizeof deeper, "%.100s.", name);
            if (read_mapping(r, value_node, deeper) != 0)
                return -1;
            continue;
        }
        for (size_t i = 0; i < KEYS; i++) {
            if (strcmp(keys[i].name, full) != 0)
                continue;
            if (r->seen[i])
                return sb_fail("%s: %s stands here twice", place, full);
            r->seen[i] = true;
        }
        if (scalar(r, value_node, &value) != 0 || set_in(place, line_of(name_node), full, value, keys, KEYS,
                                                         "", r->config, r->config->places.keys) != 0)
            return -1;
    }
    return 0;
}

int sb_config_read(sb_config *config, const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return sb_fail_errno("%s", path);
    yaml_parser_t parser;
    reader r = { .config = config, .path = path };
    snprintf(config->places.file, sizeof config->places.file, "%s", path);
    if (!yaml_parser_initialize(&parser)) {
        fclose(file);
        return sb_fail("out of memory for reading %s", path);
    }
    yaml_parser_set_input_file(&parser, file);
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
    fclose(file);
    return rc;
}

/* ---- the whole ----------------------------------------------------------------------------------------- */

/* A key by its name, its value and where that was set. */
typedef struct {
    const key *key;
    const void *at;
    int line;
} setting;

static setting find(const sb_config *c, const char *name)
{
    int view = strncmp(name, "views.", 6) == 0 ? view_of(c, name) : -1;
    const key *table = view < 0 ? keys : view_keys;
    const char *tail = view < 0 ? name : strchr(name + 6, '.') + 1;
    size_t count = view < 0 ? KEYS : VIEW_KEYS, i = 0;
    while (i + 1 < count && strcmp(table[i].name, tail) != 0)
        i++;
    const char *base = view < 0 ? (const char *)c : (const char *)&c->views[view];
    return (setting){ &table[i], base + table[i].offset,
                      view < 0 ? c->places.keys[i] : c->places.views[view][i] };
}

const char *sb_config_place(const sb_config *config, const char *name, char *out)
{
    int line = strcmp(name, "views") == 0 ? config->places.view_list : find(config, name).line;
    if (line > 0)
        snprintf(out, SB_PLACE_MAX, "%s:%d", config->places.file, line);
    else
        snprintf(out, SB_PLACE_MAX, "%s", line == COMMAND_LINE ? "command line" : "default");
    return out;
}

/* views.N.LOW must not be above views.N.HIGH. The one that was set is to blame, not a default. */
static int check_order(const sb_config *c, int view, const char *low, const char *high)
{
    char names[2][64], places[2][SB_PLACE_MAX];
    snprintf(names[0], sizeof names[0], "views.%d.%s", view, low);
    snprintf(names[1], sizeof names[1], "views.%d.%s", view, high);
    const setting s[2] = { find(c, names[0]), find(c, names[1]) };
    double values[2] = { *(const double *)s[0].at, *(const double *)s[1].at };
    if (values[0] <= values[1])
        return 0;
    int blamed = s[0].line == 0 && s[1].line != 0, other = !blamed;
    return sb_fail("%s: %s = %g: must not be %s %s = %g (%s)",
                   sb_config_place(c, names[blamed], places[blamed]), names[blamed], values[blamed],
                   blamed ? "below" : "above", names[other], values[other],
                   sb_config_place(c, names[other], places[other]));
}

int sb_config_finish(sb_config *c)
{
    char place[SB_PLACE_MAX], other[SB_PLACE_MAX];
    if (c->data.path[0] == '\0')
        return sb_fail(
            "data.path is not set: name a folder of images or a CSV manifest, as data.path=photos");
    char whole[PATH_MAX];
    if (realpath(c->data.path, whole))
        memcpy(c->data.path, whole, sizeof whole);
    if (c->data.channels == 2)
        return sb_fail("%s: data.channels = 2: must be 3 (colour) or 1 (grey)",
                       sb_config_place(c, "data.channels", place));
    for (int v = 0; v < c->view_count; v++) {
        if (c->views[v].size == 0)
            c->views[v].size = c->data.view;
        if (check_order(c, v, "crop_min", "crop_max") != 0 ||
            check_order(c, v, "ratio_min", "ratio_max") != 0 ||
            check_order(c, v, "blur_min", "blur_max") != 0)
            return -1;
    }
    if (c->trainer.chunk > c->trainer.batch * c->view_count)
        return sb_fail(
            "%s: trainer.chunk = %d: a batch has only %d views, %d of each sample of trainer.batch = %d (%s)",
            sb_config_place(c, "trainer.chunk", place), c->trainer.chunk, c->trainer.batch * c->view_count,
            c->view_count, c->trainer.batch, sb_config_place(c, "trainer.batch", other));
    if (c->trainer.threads == 0)
        c->trainer.threads = (int)sysconf(_SC_NPROCESSORS_ONLN);
    return 0;
}

/* Growing text. */
typedef struct {
    char *data;
    size_t used, room;
    bool failed;
} text;

__attribute__((format(printf, 2, 3))) static void put(text *t, const char *format, ...)
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

/* A value as YAML: text in single quotes, with quotes doubled. */
static void put_value(text *t, const key *k, const void *at)
{
    char value[PATH_MAX];
    print_value(k, at, value, sizeof value);
    if (k->kind != KIND_TEXT) {
        put(t, "%s", value);
        return;
    }
    put(t, "'");
    for (const char *c = value; *c; c++)
        put(t, *c == '\'' ? "''" : "%c", *c);
    put(t, "'");
}

/* Where a run lies, how its loaders work, what is kept and how it is evaluated: the weights do not depend on
 * it. */
static bool shapes_result(const char *name)
{
    const char *others[] = { "run.",  "loader.",   "evaluate.",          "init",
                             "cuda.", "data.path", "trainer.checkpoint_" };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strncmp(name, others[i], strlen(others[i])) == 0)
            return false;
    return true;
}

static char *make_text(const sb_config *config, bool result_only)
{
    text t = { 0 };
    char section[64] = "";
    for (size_t i = 0; i < KEYS; i++) {
        if (result_only && !shapes_result(keys[i].name))
            continue;
        const char *dot = strchr(keys[i].name, '.');
        size_t head = dot ? (size_t)(dot - keys[i].name) : 0;
        if (dot && (strlen(section) != head || strncmp(section, keys[i].name, head) != 0)) {
            snprintf(section, sizeof section, "%.*s", (int)head, keys[i].name);
            put(&t, "%s:\n", section);
        }
        put(&t, "%s%s: ", dot ? "  " : "", dot ? dot + 1 : keys[i].name);
        put_value(&t, &keys[i], (const char *)config + keys[i].offset);
        put(&t, "\n");
    }
    put(&t, "views:\n");
    for (int v = 0; v < config->view_count; v++) {
        for (size_t i = 0; i < VIEW_KEYS; i++) {
            put(&t, "%s%s: ", i == 0 ? "  - " : "    ", view_keys[i].name);
            put_value(&t, &view_keys[i], (const char *)&config->views[v] + view_keys[i].offset);
            put(&t, "\n");
        }
    }
    if (t.failed) {
        free(t.data);
        return NULL;
    }
    return t.data;
}

char *sb_config_text(const sb_config *config) { return make_text(config, false); }

char *sb_config_result_text(const sb_config *config) { return make_text(config, true); }

int sb_config_document(void)
{
    printf("| key | default | allowed | meaning |\n|---|---|---|---|\n");
    const struct {
        const key *table;
        size_t count;
        const char *prefix;
    } tables[] = { { keys, KEYS, "" }, { view_keys, VIEW_KEYS, "views.N." } };
    for (size_t t = 0; t < 2; t++) {
        for (size_t i = 0; i < tables[t].count; i++) {
            const key *k = &tables[t].table[i];
            char allowed[256];
            if (k->kind == KIND_CHOICE)
                snprintf(allowed, sizeof allowed, "%s", k->choices);
            else if (k->kind == KIND_BOOL)
                snprintf(allowed, sizeof allowed, "true, false");
            else if (k->kind == KIND_TEXT)
                snprintf(allowed, sizeof allowed, "text");
            else
                snprintf(allowed, sizeof allowed, "%s%.16g to %.16g", k->kind == KIND_SIDE ? "0, " : "",
                         k->min, k->max);
            for (char *bar = allowed; (bar = strchr(bar, '|'));)
                *bar = '/';
            printf("| `%s%s` | %s | %s | %s |\n", tables[t].prefix, k->name,
                   k->initial[0] ? k->initial : "(empty)", allowed, k->meaning);
        }
    }
    return fflush(stdout) == 0 ? 0 : sb_fail_errno("writing");
}

int sb_config_view_sizes(const sb_config *config, int *sizes)
{
    int count = 0;
    for (int v = 0; v < config->view_count; v++) {
        int at = 0, size = config->views[v].size;
        while (at < count && sizes[at] < size)
            at++;
        if (at < count && sizes[at] == size)
            continue;
        memmove(sizes + at + 1, sizes + at, (size_t)(count - at) * sizeof *sizes);
        sizes[at] = size;
        count++;
    }
    return count;
}
