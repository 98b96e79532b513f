/* jsonl.h: the logs of a run directory that have one JSON object a line (metrics, evaluations, quarantine);
 * rundir.h appends to them.
 *
 * A missing log counts as empty. A line that is not whole, or is no object, is passed over: a full disk may
 * have cut it off, or a power failure left zeros in its place. */
#ifndef SB_PROTO_JSONL_H
#define SB_PROTO_JSONL_H

#include <jansson.h>
#include <stdbool.h>

/* Calls `on_object` for each object of DIR/NAME. */
int sb_jsonl_read(const char *run_dir, const char *name,
                  void (*on_object)(void *context, const json_t *object), void *context);

/* Keeps the lines whose object `keep` accepts. All others are dropped, lines that are no object among
 * them. */
int sb_jsonl_keep(const char *run_dir, const char *name,
                  bool (*keep)(const void *context, const json_t *object), const void *context);

/* A number of the object; NAN where it has none of that name. */
double sb_jsonl_number(const json_t *object, const char *key);

/* Any text as JSON, with what is no UTF-8 or moves a cursor replaced (sb_text_clean), cut at PATH_MAX. The
 * caller's; NULL: there is no memory. */
json_t *sb_jsonl_text(const char *any);

#endif
