/* warnings.h: what libvips warns of while pixels are decoded. Private to loader/readers. */
#ifndef SB_LOADER_READERS_WARNINGS_H
#define SB_LOADER_READERS_WARNINGS_H

#include "loader/keys.h"

/* Takes libvips' warnings from now on. Nothing of them is logged: tags would fill the log, tile by tile. */
void sb_warnings_take(void);

/* Before the pixels of a TIFF: forgets what was. */
void sb_warnings_forget(void);

/* After them: 0, or -1 where its decoders warned of what may matter, beside pixels that they call sound, and
 * that is refused. Where other readers warn, the decoding fails. */
int sb_warnings_check(const sb_samples_keys *samples, const char *path);

#endif
