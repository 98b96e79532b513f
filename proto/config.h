/* config.h: the configuration of a run, as text: which key was set to what, and where.
 *
 * Sources, later ones win: the tables' defaults, the defaults that a choice suggests, a YAML recipe,
 * `key=value` overrides. A key is a dotted path ("data.tile", "views.0.blur"). Tables (key.h) say which keys
 * there are: each owner of keys has its own table, from which its own struct is filled. This file knows no
 * key by name, except the list `views`. An unknown key or a bad value is an error that names key, file and
 * line, the nearest known key and the range. The place where a key was set is kept with its value, so an
 * error about two keys can name both places. */
#ifndef SB_PROTO_CONFIG_H
#define SB_PROTO_CONFIG_H

#include "proto/key.h"

#define SB_VIEWS_MAX 16

/* One key that was set. value is NULL for the list "views". */
typedef struct {
    char *name, *value, *place;
} sb_setting;

typedef struct {
    sb_setting *settings; /* [count]; of two with one name the later counts */
    int count, room;
    int view_count; /* of the list `views`; two where none is given */
    bool views_given;
} sb_config;

/* Nothing is set. */
void sb_config_init(sb_config *config);
void sb_config_free(sb_config *config);

/* Reads a YAML file over what is there. Refuses a file that is not YAML or has a key twice. Whether a key
 * exists and allows its value is checked later, by sb_config_check. */
int sb_config_read(sb_config *config, const char *path);

/* The same of text, which errors call `name`. */
int sb_config_read_text(sb_config *config, const char *text, const char *name);

/* The configuration of a run directory: what every process of the run reads. `config` need not be
 * initialised; what it held before is not freed. */
int sb_config_read_run(sb_config *config, const char *run_dir);

/* Applies one "key=value" of the command line. */
int sb_config_set(sb_config *config, const char *assignment);

/* Applies one "key=value" as a default, over which all that was set wins; an error about it names `place`. */
int sb_config_suggest(sb_config *config, const char *place, const char *assignment);

/* As if no key of this section ("method", with all below it) had been set. */
void sb_config_forget(sb_config *config, const char *section);

/* Replaces name and value of a setting; its place stays. */
int sb_config_replace(sb_config *config, int setting, const char *name, const char *value);

/* Replaces a key's value by one that follows from it (0: chosen). The place of the old value stays. */
int sb_config_settle(sb_config *config, const char *name, const char *value);

/* The same in the file of a run directory, in which every key has a line; nothing else of it changes. The
 * value is written as it is: a word or numbers. */
int sb_config_settle_run(const char *run_dir, const char *name, const char *value);

/* Checks that every key that was set is in a table, and that the table allows its value. A key that belongs
 * only to a choice that was not made is refused; the error names the choices it belongs to. `tables` ends
 * with NULL. What was set for a section becomes its own key's (sb_key_table). A path becomes whole: "~/" is
 * the user's home, and a relative one lies in the folder that the process works in. */
int sb_config_check(sb_config *config, const sb_key_table *const *tables);

/* Fills an owner's struct (`table->bytes`) with its keys' values. An error names the key and its place. */
int sb_config_fill(const sb_config *config, const sb_key_table *table, void *out);

/* As sb_config_fill, with the keys of entry `view` of the list. */
int sb_config_fill_view(const sb_config *config, const sb_key_table *table, int view, void *out);

/* Of an open table, the key that comes as number `number` in the order of their first settings: its name
 * behind the section and its value. 1; 0: there are no more; -1. The name is valid until the configuration
 * changes. */
int sb_config_fill_open(const sb_config *config, const sb_key_table *table, int number, const char **name,
                        void *out);

/* Where a key (or the list "views") was set, for an error about it: "recipe.yaml:3", "command line", "method
 * byol" or "default". Valid until the configuration changes. */
const char *sb_config_place(const sb_config *config, const char *name);

/* A key that has another value in one configuration than in another, each in the one way in which it is
 * written (1e-1 is 0.1). NULL: the key is not there: it belongs to another choice or to a view more, or is an
 * open table's. */
typedef struct {
    const sb_key *key;
    char name[SB_KEY_NAME_MAX];
    char *before, *after;
} sb_config_change;

/* All of them, in the order of the tables; *out malloc'ed. Both configurations were checked. Returns how
 * many; -1. */
int sb_config_changes(const sb_config *before, const sb_config *after, const sb_key_table *const *tables,
                      sb_config_change **out);
void sb_config_changes_free(sb_config_change *changes, int count);

/* Every key of the tables in force with its value, as YAML that reads back to the same; malloc'ed, the caller
 * frees. result_only: only the keys that the result of a run depends on. */
char *sb_config_text(const sb_config *config, const sb_key_table *const *tables, bool result_only);

#endif
