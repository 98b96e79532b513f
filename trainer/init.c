/* init.c: see init.h. All that is wanted is looked for in the file, then the first of it is taken. */
#include "trainer/init.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/op/standard_rows.h"
#include "kernels/staging.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "proto/rundir.h"
#include "trainer/resize.h"
#include "trainer/safetensors.h"

#define NAMED 6 /* names of a kind in a report */
#define PIECE (SB_STAGING_BYTES / sizeof(float))

/* What becomes of a wanted tensor. */
typedef enum { NEW, TAKEN, RESIZED, OTHER } fate;

typedef struct {
    sb_tensor tensor; /* its name and shape; data: device memory */
    const sb_entry *entry;
    const sb_tensor *found; /* in the file, under its name; NULL: none */
    fate fate;
    bool changed; /* its rows are made standard in use, and those of the file are not */
} wanted;

typedef struct {
    const char *path;
    sb_safetensors file;
    sb_staging staging;
    wanted *list;
    int count;
    const char *prefix; /* of its names */
    bool *used;         /* [file.count]: tensors that were found */
    void *raw;          /* a piece as the file has it; NULL: none was needed yet */
} taking;

/* ---- pickles ------------------------------------------------------------------------------------------- */

/* The name has an ending that PyTorch's users give; *stem is its length without that. */
static bool named_pickle(const char *path, size_t *stem)
{
    static const char *const endings[] = { ".pth.tar", ".pth", ".pt", ".bin", ".ckpt", ".pkl", ".tar" };
    const size_t length = strlen(path);
    *stem = length;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        const size_t n = strlen(endings[i]);
        if (length > n && strcmp(path + length - n, endings[i]) == 0) {
            *stem = length - n;
            return true;
        }
    }
    return false;
}

/* Whether a file begins as a pickle does, or as the zip archive in which PyTorch keeps one; a safetensors
 * file has '{' behind its header's length. 1, 0, -1. */
static int holds_pickle(const char *path)
{
    unsigned char head[9] = { 0 };
    size_t bytes;
    const int fd = sb_file_open(path, SIZE_MAX >> 1, &bytes);
    if (fd < 0)
        return -1;
    const ssize_t got = pread(fd, head, sizeof head, 0);
    close(fd);
    if (got < 0)
        return sb_fail_errno("reading %s", path);
    const bool zip = memcmp(head, "PK\3\4", 4) == 0, pickle = head[0] == 0x80 && head[1] >= 2 && head[1] <= 5;
    return got == sizeof head && head[8] != '{' && (zip || pickle);
}

/* As a word of the shell's. */
static const char *quoted(char *out, size_t bytes, const char *text)
{
    size_t used = 0;
    out[used++] = '\'';
    for (; *text && used + 6 < bytes; text++)
        if (*text == '\'') {
            memcpy(out + used, "'\\''", 4);
            used += 4;
        } else {
            out[used++] = *text;
        }
    memcpy(out + used, "'", 2);
    return out;
}

/* Always -1. why: "" or what is wrong with it beside. */
static int refuse_pickle(const char *path, const char *why)
{
    char from[PATH_MAX], to[PATH_MAX], made[PATH_MAX];
    size_t stem;
    named_pickle(path, &stem);
    if (snprintf(made, sizeof made, "%.*s.safetensors", (int)stem, path) >= (int)sizeof made)
        return sb_fail("%s is a pickle of PyTorch's, and safetensors was expected", path);
    return sb_fail("%s is a pickle of PyTorch's, and safetensors was expected%s. With PyTorch 1.13 or later "
                   "and pip install safetensors, this converts it: python3 -c 'import sys, torch, "
                   "safetensors.torch; w = torch.load(sys.argv[1], map_location=\"cpu\", "
                   "weights_only=True); w = w.get(\"state_dict\", w.get(\"model\", w)); "
                   "safetensors.torch.save_file({k: v.clone().contiguous() for k, v in w.items() if "
                   "torch.is_tensor(v)}, sys.argv[2])' %s %s",
                   path, why, quoted(from, sizeof from, path), quoted(to, sizeof to, made));
}

static int open_file(taking *t)
{
    size_t stem;
    const int pickle = holds_pickle(t->path);
    if (pickle != 0)
        return pickle < 0 ? -1 : refuse_pickle(t->path, "");
    if (sb_safetensors_open(&t->file, t->path) == 0)
        return 0;
    if (!named_pickle(t->path, &stem))
        return -1;
    char why[SB_ERROR_MAX];
    snprintf(why, sizeof why, " (%s)", sb_error());
    return refuse_pickle(t->path, why);
}

/* ---- what is wanted ------------------------------------------------------------------------------------ */

static int want(taking *t, const sb_entry *e, int dims, const int64_t *shape, const float *data,
                const char *suffix)
{
    wanted *w = &t->list[t->count++];
    *w = (wanted){ .entry = e, .tensor = { .type = SB_TENSOR_F32, .dims = dims, .data = data } };
    size_t count = 1;
    for (int d = 0; d < dims; d++) {
        w->tensor.shape[d] = shape[d];
        count *= (size_t)shape[d];
    }
    w->tensor.bytes = count * sizeof(float);
    return snprintf(w->tensor.name, sizeof w->tensor.name, "%s%s", e->name, suffix) <
                   (int)sizeof w->tensor.name
               ? 0
               : sb_fail("tensor name %s%s is too long", e->name, suffix);
}

static int want_entry(taking *t, const sb_entry *e, const float *data)
{
    if (e->kind == SB_ENTRY_WEIGHT)
        return want(t, e, e->extent.dims, e->extent.side, data, "");
    const int64_t channels = e->extent.side[1];
    return want(t, e, 1, &channels, data, ".running_mean") != 0
               ? -1
               : want(t, e, 1, &channels, data + channels, ".running_var");
}

static int want_all(taking *t, const sb_checkpoint_view *v)
{
    t->list = sb_zeroed(2 * (size_t)v->part_count * (size_t)v->store->count, sizeof *t->list,
                        "the list of what init may have");
    if (!t->list)
        return -1;
    for (int p = 0; p < v->part_count; p++) {
        const sb_checkpoint_part *part = &v->parts[p];
        for (int i = 0; part->prefix[0] == '\0' && part->kind != SB_ENTRY_STATE && i < v->store->count; i++) {
            const sb_entry *e = &v->store->entries[i];
            if (e->kind == part->kind && !e->adapter && e->offset + e->count <= part->floats &&
                want_entry(t, e, part->memory + e->offset) != 0)
                return -1;
        }
    }
    return 0;
}

/* ---- what is found ------------------------------------------------------------------------------------- */

static bool is_float(const sb_tensor *t)
{
    return t->type == SB_TENSOR_F32 || t->type == SB_TENSOR_F16 || t->type == SB_TENSOR_BF16 ||
           t->type == SB_TENSOR_F64;
}

static bool same_shape(const sb_tensor *a, const sb_tensor *b)
{
    bool same = a->dims == b->dims;
    for (int d = 0; same && d < a->dims; d++)
        same = a->shape[d] == b->shape[d];
    return same;
}

/* How the rows of a table of positions lie: that of the class token, if there is one, those of registers, and
 * those of side x side places. side = 0: it is no table. */
typedef struct {
    int64_t class_token, registers, side;
} table;

static int64_t in_front(const table *t) { return t->class_token + t->registers; }

static int64_t root(int64_t square)
{
    const int64_t side = square > 0 ? (int64_t)lround(sqrt((double)square)) : 0;
    return side * side == square ? side : 0;
}

/* What the file has under the name of w, or another name in its place; NULL: nothing. */
static const sb_tensor *beside(const taking *t, const wanted *w, const char *name)
{
    char full[SB_TENSOR_NAME];
    const int prefix = (int)(strlen(w->found->name) - strlen(w->tensor.name));
    return snprintf(full, sizeof full, "%.*s%s", prefix, w->found->name, name) < (int)sizeof full
               ? sb_safetensors_find(&t->file, full)
               : NULL;
}

/* Of the file: what it has of tokens stands in front, or only places have positions (timm's no_embed_class).
 */
static table table_in_file(const taking *t, const wanted *w)
{
    const int64_t *is = w->found->shape, *be = w->tensor.shape;
    if (w->entry->grid == 0 || w->found->dims != 3 || is[0] != 1 || is[2] != be[2])
        return (table){ 0 };
    const sb_tensor *registers = beside(t, w, "reg_token");
    table of = { .class_token = beside(t, w, "cls_token") != NULL,
                 .registers = registers && registers->dims == 3 ? registers->shape[1] : 0 };
    of.side = root(is[1] - in_front(&of));
    return of.side > 0 ? of : (table){ .side = root(is[1]) };
}

static const char *token_name(bool class_token) { return class_token ? "cls_token" : "reg_token"; }

/* Of the network. */
static table table_wanted(const taking *t, const wanted *w)
{
    table of = { .side = w->entry->grid };
    for (int i = 0; i < t->count; i++)
        of.class_token |= strcmp(t->list[i].tensor.name, "cls_token") == 0;
    of.registers = w->tensor.shape[1] - of.side * of.side - of.class_token;
    return of;
}

/* Whether what the file has can become what is wanted: filters [out, in, height, width], or positions. */
static bool resizable(const taking *t, const wanted *w)
{
    const int64_t *is = w->found->shape, *be = w->tensor.shape;
    if (table_in_file(t, w).side > 0)
        return true;
    return w->entry->stem && w->found->dims == 4 && w->tensor.dims == 4 && is[0] == be[0] &&
           (is[1] == be[1] || is[1] == 1 || be[1] == 1 || (is[1] == 3 && be[1] > 3)) && is[1] > 0 &&
           is[2] > 0 && is[3] > 0;
}

/* Row for row; tables of one shape may be of other tokens. */
static bool same(const taking *t, const wanted *w)
{
    if (!same_shape(w->found, &w->tensor) || w->entry->grid == 0)
        return same_shape(w->found, &w->tensor);
    const table is = table_in_file(t, w), be = table_wanted(t, w);
    return is.class_token == be.class_token && is.registers == be.registers;
}

static const sb_tensor *find(const taking *t, const char *prefix, const wanted *w)
{
    char full[SB_TENSOR_NAME];
    return snprintf(full, sizeof full, "%s%s", prefix, w->tensor.name) < (int)sizeof full
               ? sb_safetensors_find(&t->file, full)
               : NULL;
}

static const char *choose_prefix(const taking *t)
{
    static const char *const prefixes[] = {
        "",           "module.",           "backbone.",       "encoder.",        "model.",
        "encoder_q.", "module.encoder_q.", "module.encoder.", "module.backbone."
    };
    const char *best = "";
    for (size_t p = 0, most = 0; p < sizeof prefixes / sizeof *prefixes; p++) {
        size_t found = 0;
        for (int i = 0; i < t->count; i++)
            found += find(t, prefixes[p], &t->list[i]) != NULL;
        if (found > most) {
            most = found;
            best = prefixes[p];
        }
    }
    return best;
}

static void find_all(taking *t)
{
    t->prefix = choose_prefix(t);
    for (int i = 0; i < t->count; i++) {
        wanted *w = &t->list[i];
        w->found = find(t, t->prefix, w);
        if (!w->found)
            continue;
        t->used[w->found - t->file.tensors] = true;
        w->fate = !is_float(w->found) ? OTHER : same(t, w) ? TAKEN : resizable(t, w) ? RESIZED : OTHER;
    }
}

static int count_of(const taking *t, fate which)
{
    int count = 0;
    for (int i = 0; i < t->count; i++)
        count += t->list[i].fate == which;
    return count;
}

/* Fails where too little was found. */
static int check(const taking *t, const size_t *whole)
{
    if (count_of(t, TAKEN) == 0)
        return sb_fail("none of its %d tensors has a name and shape of this encoder", t->file.count);
    for (int i = 0; i < t->count; i++) {
        const wanted *w = &t->list[i];
        if (w->fate == TAKEN || w->fate == RESIZED)
            continue;
        char has[SB_TENSOR_DESCRIBED] = "none", needs[SB_TENSOR_DESCRIBED];
        if (w->found)
            sb_tensor_describe(w->found, has);
        if (w->entry->extent.given)
            return sb_fail("tensor %s stays as the file has it, and the file has %s", w->tensor.name, has);
        if (whole && w->entry->offset + w->entry->count <= whole[w->entry->kind])
            return sb_fail("a whole network is needed: of tensor %s %s the file has %s", w->tensor.name,
                           sb_tensor_describe(&w->tensor, needs), has);
    }
    return 0;
}

/* A tensor that only the file has. A count of batches is nothing that a network computes with. */
static bool left_over(const taking *t, int i)
{
    const char *dot = strrchr(t->file.tensors[i].name, '.');
    return !t->used[i] && !(dot && strcmp(dot, ".num_batches_tracked") == 0);
}

/* How much of a name stands before its second dot: "blocks.0" of "blocks.0.norm1.weight". */
static size_t block_of(const char *name)
{
    const char *dot = strchr(name, '.');
    dot = dot ? strchr(dot + 1, '.') : NULL;
    return dot ? (size_t)(dot - name) : 0;
}

/* Fails where a block of ours has more in the file: what is left out there (a scale of a layer, a norm) would
 * be missed. What the file has behind the encoder is nobody's. */
static int check_blocks(const taking *t)
{
    const size_t skip = strlen(t->prefix);
    for (int i = 0; i < t->file.count; i++) {
        const char *name = t->file.tensors[i].name;
        const size_t block = strncmp(name, t->prefix, skip) == 0 ? block_of(name + skip) : 0;
        for (int k = 0; k < t->count && block > 0 && left_over(t, i); k++)
            if (block_of(t->list[k].tensor.name) == block &&
                strncmp(t->list[k].tensor.name, name + skip, block) == 0)
                return sb_fail(
                    "the file has %s, and no layer of the encoder has that: it is another network's", name);
    }
    return 0;
}

/* ---- taking -------------------------------------------------------------------------------------------- */

static float from_bf16(uint16_t bits)
{
    const uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

static float from_f16(uint16_t bits)
{
    const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    const double size = exponent == 0    ? ldexp(mantissa, -24)
                        : exponent == 31 ? (mantissa ? NAN : INFINITY)
                                         : ldexp(1024 + mantissa, exponent - 25);
    return (float)(bits & 0x8000 ? -size : size);
}

/* Values first .. first + count - 1 of a tensor; at most PIECE. */
static int read_floats(taking *t, const sb_tensor *from, size_t first, size_t count, float *out)
{
    const size_t each = from->type == SB_TENSOR_F32 ? 4 : from->type == SB_TENSOR_F64 ? 8 : 2;
    if (from->type == SB_TENSOR_F32)
        return sb_safetensors_read(&t->file, from, first * each, out, count * each);
    if (!t->raw && !(t->raw = sb_grown(NULL, PIECE, sizeof(double), "a piece of a file")))
        return -1;
    if (sb_safetensors_read(&t->file, from, first * each, t->raw, count * each) != 0)
        return -1;
    const uint16_t *half = t->raw;
    const double *wide = t->raw;
    for (size_t i = 0; i < count; i++)
        out[i] = from->type == SB_TENSOR_F64    ? (float)wide[i]
                 : from->type == SB_TENSOR_BF16 ? from_bf16(half[i])
                                                : from_f16(half[i]);
    return 0;
}

/* The size of a piece from `at` on. */
static size_t piece_at(size_t at, size_t count) { return count - at < PIECE ? count - at : PIECE; }

static int take(taking *t, const wanted *w)
{
    float *to = (float *)(uintptr_t)w->tensor.data;
    const size_t count = w->tensor.bytes / sizeof(float);
    for (size_t at = 0, n; at < count; at += n) {
        n = piece_at(at, count);
        if (read_floats(t, w->found, at, n, sb_staging_room(&t->staging, to + at)) != 0 ||
            sb_staging_send(&t->staging, to + at, n * sizeof(float)) != 0)
            return -1;
    }
    return 0;
}

static int send(taking *t, const float *from, float *to, size_t count)
{
    int rc = 0;
    for (size_t at = 0, n; rc == 0 && at < count; at += n) {
        n = piece_at(at, count);
        memcpy(sb_staging_room(&t->staging, to + at), from + at, n * sizeof *from);
        rc = sb_staging_send(&t->staging, to + at, n * sizeof *from);
    }
    return rc;
}

/* Positions of tokens that the file has not stay as initialised; what it has of those that have none there is
 * 0. made: room for the grid's; nothing: as many zeros as a row. */
static int take_positions(taking *t, const wanted *w, const float *from, float *made, const float *nothing)
{
    const table is = table_in_file(t, w), be = table_wanted(t, w);
    const int64_t width = w->tensor.shape[2];
    float *to = (float *)(uintptr_t)w->tensor.data;
    for (int64_t row = 0; row < in_front(&be); row++) {
        const bool class_token = row < be.class_token;
        const int64_t number = row - be.class_token, old = class_token ? 0 : is.class_token + number;
        if (class_token ? is.class_token == 0 : number >= is.registers) {
            if (beside(t, w, token_name(class_token)) &&
                send(t, nothing, to + row * width, (size_t)width) != 0)
                return -1;
            continue;
        }
        if (send(t, from + old * width, to + row * width, (size_t)width) != 0)
            return -1;
    }
    if (sb_resize_grid(from + in_front(&is) * width, is.side, made, be.side, width) != 0)
        return -1;
    return send(t, made, to + in_front(&be) * width, (size_t)(be.side * be.side * width));
}

/* Filters over pixels and positions are small: both kinds lie in the host's memory as a whole. */
static int take_resized(taking *t, const wanted *w)
{
    size_t old = 1;
    for (int d = 0; d < w->found->dims; d++)
        old *= (size_t)w->found->shape[d];
    const size_t count = w->tensor.bytes / sizeof(float);
    float *from = sb_grown(NULL, old, sizeof *from, "what init has"),
          *made = sb_grown(NULL, count, sizeof *made, "what is made of it");
    int rc = from && made ? 0 : -1;
    for (size_t at = 0, n; rc == 0 && at < old; at += n) {
        n = piece_at(at, old);
        rc = read_floats(t, w->found, at, n, from + at);
    }
    if (rc == 0 && w->entry->grid > 0) {
        float *nothing = sb_zeroed((size_t)w->tensor.shape[2], sizeof *nothing, "a position");
        rc = nothing ? take_positions(t, w, from, made, nothing) : -1;
        free(nothing);
    } else if (rc == 0) {
        sb_resize_filters(from, w->found->shape, made, w->tensor.shape);
        rc = send(t, made, (float *)(uintptr_t)w->tensor.data, count);
    }
    free(from);
    free(made);
    return rc;
}

/* Whether the file is a checkpoint of a run whose network makes its filters standard, too. */
static bool standard_in_use(const sb_safetensors *file)
{
    const char *config = sb_safetensors_metadata(file, "smallbatch.config");
    return config && strstr(config, "\n  norm: group\n") && !strstr(config, "\n  standardise: false\n");
}

/* Looks at the first row, where what computes with it makes rows standard: whether that changes it. */
static int look_standard(taking *t, wanted *w)
{
    const size_t columns = w->tensor.bytes / sizeof(float) / (size_t)w->tensor.shape[0];
    if (!w->entry->extent.standardised || w->fate != TAKEN || columns > PIECE)
        return 0;
    float *row = sb_grown(NULL, 2 * columns, sizeof *row, "a filter of init");
    int rc = row ? read_floats(t, w->found, 0, columns, row) : -1;
    if (rc == 0)
        sb_standard_row(row, columns, row + columns);
    for (size_t i = 0; rc == 0 && i < columns; i++)
        w->changed = w->changed || fabsf(row[i] - row[columns + i]) > 1e-2F * fabsf(row[i]) + 1e-2F;
    free(row);
    return rc;
}

static int take_all(taking *t)
{
    const bool look = !standard_in_use(&t->file);
    for (int i = 0; i < t->count; i++) {
        wanted *w = &t->list[i];
        if ((look && look_standard(t, w) != 0) || (w->fate == TAKEN && take(t, w) != 0) ||
            (w->fate == RESIZED && take_resized(t, w) != 0))
            return sb_context("tensor %s", w->tensor.name);
    }
    return 0;
}

/* ---- the report ---------------------------------------------------------------------------------------- */

static void say_name(FILE *out, int number, const char *name)
{
    if (number <= NAMED)
        fprintf(out, "%s%s", number == 1 ? " (" : ", ", name);
}

static void say_rest(FILE *out, int count)
{
    if (count > NAMED)
        fprintf(out, " and %d more", count - NAMED);
    if (count > 0)
        fprintf(out, ")");
}

/* By which rules filters and positions were resized. */
static const char *rule_of(const taking *t, const wanted *w)
{
    const int64_t *is = w->found->shape, *be = w->tensor.shape;
    const bool size = is[2] != be[2] || is[3] != be[3];
    if (w->entry->grid > 0) {
        const table has = table_in_file(t, w), needs = table_wanted(t, w);
        const bool lacks = needs.class_token > has.class_token || needs.registers > has.registers,
                   known = (needs.class_token <= has.class_token || beside(t, w, token_name(true))) &&
                           (needs.registers <= has.registers || beside(t, w, token_name(false)));
        return lacks && known                        ? ", bicubic, and 0 for tokens that have none there"
               : lacks                               ? ", bicubic, those of new tokens as initialised"
               : has.class_token > needs.class_token ? ", bicubic, without the class token's"
                                                     : ", bicubic";
    }
    if (is[1] > be[1])
        return size ? ", sums over channels, sums over areas" : ", sums over channels";
    if (is[1] == 3 && be[1] > 3)
        return size ? ", the further channels 0, sums over areas" : ", the further channels 0";
    if (is[1] < be[1])
        return size ? ", shared by channels, sums over areas" : ", shared by channels";
    return ", sums over areas";
}

/* How many wanted tensors there are of a fate, and the first of them. */
static void say_fate(FILE *out, const taking *t, fate which, const char *what)
{
    char has[SB_TENSOR_DESCRIBED], needs[SB_TENSOR_DESCRIBED],
        text[SB_TENSOR_NAME + 2 * SB_TENSOR_DESCRIBED + 64];
    const int count = count_of(t, which);
    fprintf(out, "; %d %s", count, what);
    for (int i = 0, number = 0; i < t->count; i++) {
        const wanted *w = &t->list[i];
        if (w->fate != which)
            continue;
        if (w->found)
            snprintf(text, sizeof text, "%s: %s to %s%s", w->tensor.name, sb_tensor_describe(w->found, has),
                     sb_tensor_describe(&w->tensor, needs), which == RESIZED ? rule_of(t, w) : "");
        say_name(out, ++number, w->found ? text : w->tensor.name);
    }
    say_rest(out, count);
}

static int write_report(const taking *t, char **report)
{
    size_t bytes;
    FILE *out = open_memstream(report, &bytes);
    if (!out)
        return sb_fail_errno("the report on %s", t->path);
    fprintf(out, "%d tensor%s taken", count_of(t, TAKEN), sb_plural((uint64_t)count_of(t, TAKEN)));
    say_fate(out, t, RESIZED, "resized");
    say_fate(out, t, OTHER, "of another type or shape, and left as initialised");
    say_fate(out, t, NEW, "new: not in the file, and left as initialised");
    int count = 0;
    for (int i = 0; i < t->file.count; i++)
        count += left_over(t, i);
    fprintf(out, "; %d left over in the file", count);
    for (int i = 0, number = 0; i < t->file.count; i++)
        if (left_over(t, i))
            say_name(out, ++number, t->file.tensors[i].name);
    say_rest(out, count);
    count = 0;
    for (int i = 0; i < t->count; i++)
        count += t->list[i].changed;
    if (count > 0)
        fprintf(
            out,
            "; the filters of %d tensor%s are not standardised in the file and are in this network, which "
            "so computes something else: encoder.standardise=false computes what the file's does",
            count, sb_plural((uint64_t)count));
    return fclose(out) == 0 ? 0 : sb_fail_errno("the report on %s", t->path);
}

int sb_init_take(const sb_checkpoint_view *v, const char *path, const size_t *whole, bool exact,
                 char **report)
{
    taking t = { .path = path, .file = { .fd = -1 } };
    *report = NULL;
    int rc = open_file(&t);
    if (rc == 0) {
        t.used = sb_zeroed((size_t)t.file.count + 1, sizeof *t.used, "the list of a file's tensors");
        rc = t.used && sb_staging_open(&t.staging, v->store->device) == 0 ? want_all(&t, v) : -1;
        if (rc == 0)
            find_all(&t);
        if (rc == 0 && (check(&t, whole) != 0 || (exact && check_blocks(&t) != 0) || take_all(&t) != 0 ||
                        write_report(&t, report) != 0))
            rc = -1;
        if (rc != 0)
            sb_context("%s", path);
    }
    sb_staging_close(&t.staging);
    sb_safetensors_close(&t.file);
    free(t.list);
    free(t.used);
    free(t.raw);
    return rc;
}
