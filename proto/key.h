/* key.h: tables of configuration keys.
 *
 * Whoever reads a key owns it: a room, a method, an encoder or an optimiser has a small struct and a table
 * with a row for each of its fields. A key's name is its section, a dot and its field's name
 * ("trainer.batch"); the row says what values are allowed, the default and the meaning. Nothing else has to
 * know the key: reading, checking, writing and documenting (config.h) work over lists of tables. */
#ifndef SB_PROTO_KEY_H
#define SB_PROTO_KEY_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A side of an image that may change in the course of a run: sides[k] from the share from[k] of its steps on.
 * As text "256 512@0.6 1024@0.9"; shares ascend, the first is 0. */
#define SB_SIDES_MAX 8
typedef struct {
    int count;
    int sides[SB_SIDES_MAX];
    double from[SB_SIDES_MAX];
} sb_sides;

/* SIDE: an int, 0 or in its range. SIDES: one such side, or several in the range. TEXT: char[PATH_MAX].
 * CHOICE: an enum, or an int. */
typedef enum {
    SB_KIND_INT,
    SB_KIND_SIDE,
    SB_KIND_SIDES,
    SB_KIND_INT64,
    SB_KIND_UINT64,
    SB_KIND_REAL,
    SB_KIND_BOOL,
    SB_KIND_TEXT,
    SB_KIND_CHOICE
} sb_key_kind;

typedef struct {
    const char *name;
    size_t offset; /* of the field in the owner's struct */
    const char *initial;
    double least, most;
    const char *choices; /* CHOICE: "a|b|c", in the enum's order */
    const char *meaning;
    sb_key_kind kind;
    bool automatic; /* INT: `auto` is allowed, too, and is 0 in the struct */
    bool path;      /* TEXT: of a file or folder, made whole when it is read (sb_config_check) */
    bool
        apart; /* the result of a run does not depend on it: where it lies, how fast it is, what it reports */
} sb_key;

typedef struct {
    const char
        *section; /* "trainer"; "": its keys have no dot; "views.N": the keys of each entry of the list */
    const char *choice; /* in force only where SECTION.name has this value; NULL: always */
    const sb_key *keys;
    int count;
    size_t bytes;    /* of the owner's struct */
    bool open;       /* the one row stands for keys of any name, and its field is the struct */
    const char *own; /* a BOOL key that SECTION = VALUE sets, too, and that is true by default where another
                        key of the section is set; NULL: none */
} sb_key_table;

/* The rows. `type` is the owner's struct; a field of another type than the kind's does not compile. `.apart =
 * true` and `.path = true` may follow the meaning. */
#define SB_KEY_INT(type, field, initial, least, most, ...) \
    SB_KEY_RANGED(SB_KIND_INT, int, type, field, initial, least, most, __VA_ARGS__)
#define SB_KEY_SIDE(type, field, initial, least, most, ...) \
    SB_KEY_RANGED(SB_KIND_SIDE, int, type, field, initial, least, most, __VA_ARGS__)
#define SB_KEY_SIDES(type, field, initial, least, most, ...) \
    SB_KEY_RANGED(SB_KIND_SIDES, sb_sides, type, field, initial, least, most, __VA_ARGS__)
#define SB_KEY_INT64(type, field, initial, least, most, ...) \
    SB_KEY_RANGED(SB_KIND_INT64, int64_t, type, field, initial, least, most, __VA_ARGS__)
#define SB_KEY_UINT64(type, field, initial, least, most, ...) \
    SB_KEY_RANGED(SB_KIND_UINT64, uint64_t, type, field, initial, least, most, __VA_ARGS__)
#define SB_KEY_REAL(type, field, initial, least, most, ...) \
    SB_KEY_RANGED(SB_KIND_REAL, double, type, field, initial, least, most, __VA_ARGS__)
#define SB_KEY_BOOL(type, field, initial, ...) \
    SB_KEY_RANGED(SB_KIND_BOOL, bool, type, field, initial, 0, 0, __VA_ARGS__)
#define SB_KEY_TEXT(type, field, first, ...)                                                                \
    {                                                                                                       \
        .name = #field, .kind = SB_KIND_TEXT, .initial = (first), .meaning = __VA_ARGS__,                   \
        .offset = offsetof(type, field) + sizeof(char[sizeof(((type *)0)->field) == PATH_MAX ? 1 : -1]) - 1 \
    }
#define SB_KEY_CHOICE(type, field, first, list, ...)                                          \
    {                                                                                         \
        .name = #field, .kind = SB_KIND_CHOICE, .initial = (first), .choices = (list),        \
        .meaning = __VA_ARGS__,                                                               \
        .offset = offsetof(type, field) + _Generic(((type *)0)->field, int : 0, unsigned : 0) \
    }
#define SB_KEY_RANGED(kind_, c_type, type, field, first, low, high, ...)                                   \
    {                                                                                                      \
        .name = #field, .kind = (kind_), .initial = (first), .least = (low), .most = (high),               \
        .meaning = __VA_ARGS__, .offset = offsetof(type, field) + _Generic(((type *)0)->field, c_type : 0) \
    }
#define SB_KEY_LARGEST 9007199254740992.0 /* 2^53: what a double, and so a range, counts to */

/* A table's initialiser; `rows` is an array of sb_key, `of` a choice or NULL. */
#define SB_KEY_TABLE(section_, of, type, rows)                               \
    {                                                                        \
        .section = (section_), .choice = (of), .keys = (rows),               \
        .count = (int)(sizeof(rows) / sizeof *(rows)), .bytes = sizeof(type) \
    }
/* The table of a choice that brings no keys. */
#define SB_KEY_TABLE_EMPTY(section_, of)      \
    {                                         \
        .section = (section_), .choice = (of) \
    }

/* The key's whole name, "trainer.batch", into out[SB_KEY_NAME_MAX]; returns it. */
#define SB_KEY_NAME_MAX 128
const char *sb_key_name(const sb_key_table *table, const sb_key *key, char *out);

/* Parses a value into the key's field. 0, or -1 without an error text: the caller, who knows where the value
 * was set, writes it. */
int sb_key_parse(const sb_key *key, const char *text, void *field);

/* A value as sb_key_parse reads it back to the same bits. */
void sb_key_print(const sb_key *key, const void *field, char *out, size_t bytes);

/* What is wrong with a text that sb_key_parse refuses: "must be a whole number from 1 to 65536" and the like.
 */
void sb_key_say_wrong(const sb_key *key, const char *text, char *out, size_t bytes);

/* Prints every key with default, range and meaning as a Markdown table. `tables` ends with NULL. choice: only
 * the keys that this choice brings; NULL: all. Equal rows of several choices are printed once. */
void sb_keys_document(const sb_key_table *const *tables, const char *choice);

#endif
