/* pages.h: where the pages of a TIFF file are.
 *
 * Its directories are a chain: each says where the next is. libvips walks all of it whenever it opens a page,
 * so that a file of n pages costs n * n. Here the chain is walked once, by reading nothing but its links, and
 * a page is then shown to libvips and libtiff as if it were the only one of its file. Private to
 * loader/readers. */
#ifndef SB_LOADER_READERS_PAGES_H
#define SB_LOADER_READERS_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "loader/readers/source.h"

#define SB_CHAINS 8 /* files whose chain is remembered */

/* The places of a file's directories, in their order. */
typedef struct {
    char *path;
    int64_t bytes, mtime_ns; /* of the file then */
    int64_t *at;             /* [count] */
    int count;
    uint64_t used; /* clock of the last use */
} sb_chain;

typedef struct {
    sb_chain chains[SB_CHAINS];
    uint64_t clock;
} sb_chains;

/* Does the file begin as a TIFF does (classic or big, of either order of bytes)? */
bool sb_pages_tiff(sb_source *source);

/* Walks the chain, as far as it is sound: a directory outside the file, or one that was met before, ends it.
 * 0: *at, malloc'ed, has *count places, which may be 0; -1 where memory lacks. Where a read failed, the
 * source says so. */
int sb_pages_walk(sb_source *source, int64_t **at, int *count);

/* Where the directory of a page is; the chain is walked where it is not remembered. 0; 1: there is no such
 * page; 3: it cannot be read now; -1. */
int sb_pages_find(sb_chains *chains, sb_source *source, int page, int64_t *at);

/* Has the source show the page whose directory is there as the only one of its file. */
void sb_pages_show(sb_source *source, int64_t at);

void sb_chains_free(sb_chains *chains);

#endif
