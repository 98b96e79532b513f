/* source.h: a file on disk that images are read from.
 *
 * Read by pread on a descriptor, never mapped: what a disk cannot give is then the error of a read, with a
 * name, and no signal. The first such error is kept, since the libraries that read through here report what
 * they made of it: it tells a disk that fails from a file that is damaged. Small reads are answered from one
 * aligned block. Private to loader/readers. */
#ifndef SB_LOADER_READERS_SOURCE_H
#define SB_LOADER_READERS_SOURCE_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <vips/vips.h>

#define SB_SOURCE_BLOCK 4096
#define SB_SOURCE_PATCHES 2

/* What reading took, of one file or of many. */
typedef struct {
    volatile sig_atomic_t now; /* a read, or an open, is under way: a handler of signals may ask */
    uint64_t ns;
} sb_reading;

/* Bytes that are read in the place of those on disk. */
typedef struct {
    int64_t at;
    size_t count;
    uint8_t bytes[8];
} sb_patch;

typedef struct {
    const char *path; /* the caller's */
    sb_reading *reading;
    int fd;
    int64_t bytes, mtime_ns;
    int failed; /* errno of the first read that failed; 0: none has */
    sb_patch patches[SB_SOURCE_PATCHES];
    int patch_count;
    int64_t at; /* where a library reads next */
    int64_t block_at;
    size_t block_bytes;
    uint8_t block[SB_SOURCE_BLOCK];
} sb_source;

/* Opens a regular file that is not empty: a pipe, directory or device is refused, not waited for. indexed:
 * its size when it was indexed; 0: any. 0; 1: it cannot be used; 3: it cannot be read now; -1: a fault of the
 * process. With 0 it needs a close. Keeps the pointers. */
int sb_source_open(sb_source *source, const char *path, int64_t indexed, sb_reading *reading);
void sb_source_close(sb_source *source);

/* Reads up to `bytes` bytes at `at`: how many, fewer only at the end of the file; -1 with errno. */
int64_t sb_source_read(sb_source *source, int64_t at, void *out, size_t bytes);

/* The whole file in memory, which the caller frees. 0; 1; 3; -1. */
int sb_source_whole(sb_source *source, uint8_t **data);

/* The file as libvips and libtiff read it, which move `at`: one reader at a time. The source must outlive
 * them. NULL: libvips' error. */
VipsSource *sb_source_for_vips(sb_source *source);
struct tiff *sb_source_for_tiff(sb_source *source, const char *mode);

/* What a library's failure with this file means: 3, with the reason, if a read has failed; else `damaged`. */
int sb_source_verdict(const sb_source *source, int damaged);

#endif
