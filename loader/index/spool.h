/* spool.h: an array that grows in a file without a name, so that the kernel can take back the memory it lies
 * in. Private to loader/index: indexes may have tens of millions of rows. */
#ifndef SB_LOADER_INDEX_SPOOL_H
#define SB_LOADER_INDEX_SPOOL_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    void *data; /* moves when it grows */
    size_t bytes, room;
    int fd;
    bool open;
} sb_spool;

/* `bytes` more, cleared. NULL: sb_error, as where the disk (TMPDIR, or /var/tmp) is full. A spool that is all
 * zero is empty. */
void *sb_spool_add(sb_spool *spool, size_t bytes);

/* Closes the file; its mapping (data, room) is the caller's, to be given to munmap. */
void sb_spool_keep(sb_spool *spool);

/* Throws all away. */
void sb_spool_free(sb_spool *spool);

#endif
