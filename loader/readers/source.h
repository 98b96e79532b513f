/* source.h: a file on disk that images are read from. Private to loader/readers. */
#ifndef SB_LOADER_READERS_SOURCE_H
#define SB_LOADER_READERS_SOURCE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* A descriptor of a regular file that is not empty: a pipe, directory or device is refused, not waited for.
 * 0; 1: the file cannot be used; -1: a fault of the process. */
int sb_source_open(const char *path, int *fd, struct stat *info);

/* It has another size than when it was indexed. Returns 1. */
int sb_source_changed(const char *path, int64_t bytes, int64_t indexed);

/* The whole file of `indexed` bytes in memory, which the caller frees. 0; 1; -1. */
int sb_source_read(const char *path, int64_t indexed, uint8_t **data);

#endif
