/* quarantine.h: quarantine.jsonl of a run directory: the files that could not be used, and why.
 *
 * One object a line: path (a name of the index), page, reason, and left and top where only a tile is meant.
 * It names the files that the index left out and those that failed later, but none that only could not be
 * read. The run reads it back, so a file that was out stays out, whatever happened to it meanwhile, until
 * somebody has it tried again (recheck.h). */
#ifndef SB_LOADER_QUARANTINE_H
#define SB_LOADER_QUARANTINE_H

#include "loader/index/index.h"

/* Appends a line. tile: the only tile that is meant, NULL: the whole image. Any text is taken; what is not
 * UTF-8 in it is replaced. */
int sb_quarantine_append(const char *run_dir, const char *name, int page, const sb_tile *tile,
                         const char *reason);

/* The reason without the file's path in front, for who names the file beside it. */
const char *sb_quarantine_reason(const char *name, const char *reason);

/* Calls `on_line` for each, passing over what is no such line (jsonl.h). tile: the only tile that is meant,
 * whose image is not set; NULL: the whole image. */
int sb_quarantine_read(const char *run_dir,
                       void (*on_line)(void *context, const char *name, int page, const sb_tile *tile),
                       void *context);

/* Takes the lines of an image out, whole or of its tiles, all at once or none. */
int sb_quarantine_drop(const char *run_dir, bool (*drops)(void *context, const char *name, int page),
                       void *context);

#endif
