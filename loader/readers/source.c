/* source.c: see source.h. */
#include "loader/readers/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tiffio.h>
#include <unistd.h>

#include "proto/error.h"
#include "proto/memory.h"
#include "proto/process.h"

/* Too few descriptors or too little memory is no fault of the file, and no failure of its disk. */
static int fail_system(const char *path, int number)
{
    errno = number;
    sb_fail_errno("%s", path);
    return number == EMFILE || number == ENFILE || number == ENOMEM ? -1 : 3;
}

static uint64_t begin_reading(sb_reading *r)
{
    r->now = 1;
    return sb_now();
}

/* errno stays. */
static void end_reading(sb_reading *r, uint64_t begin)
{
    r->ns += sb_now() - begin;
    r->now = 0;
}

/* Opened, and asked what it is. 0, or errno. */
static int open_file(sb_source *s, struct stat *info)
{
    const uint64_t begin = begin_reading(s->reading);
    s->fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int number = s->fd < 0 ? errno : 0;
    if (number == 0 && fstat(s->fd, info) != 0) {
        number = errno;
        close(s->fd);
    }
    end_reading(s->reading, begin);
    return number;
}

int sb_source_open(sb_source *s, const char *path, int64_t indexed, sb_reading *reading)
{
    struct stat info = { 0 };
    s->path = path;
    s->reading = reading;
    s->failed = s->patch_count = 0;
    s->at = s->block_at = 0;
    s->block_bytes = 0;
    const int number = open_file(s, &info);
    if (number != 0)
        return fail_system(path, number);
    s->bytes = info.st_size;
    s->mtime_ns = (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec;
    if (!S_ISREG(info.st_mode))
        sb_fail("%s: not a regular file", path);
    else if (info.st_size == 0)
        sb_fail("%s: the file is empty", path);
    else if (indexed > 0 && info.st_size != indexed)
        sb_fail("%s: %lld bytes, %lld when it was indexed: the file has changed", path, (long long)s->bytes,
                (long long)indexed);
    else
        return 0;
    sb_source_close(s);
    return 1;
}

void sb_source_close(sb_source *s)
{
    close(s->fd);
    s->fd = -1;
}

/* From the disk: all `bytes` of them, fewer at the end of the file; -1 with errno. */
static int64_t read_disk(sb_source *s, int64_t at, uint8_t *out, size_t bytes)
{
    const uint64_t begin = begin_reading(s->reading);
    size_t got = 0;
    ssize_t n = 1;
    while (got < bytes && n > 0) {
        n = pread(s->fd, out + got, bytes - got, at + (int64_t)got);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n > 0)
            got += (size_t)n;
    }
    end_reading(s->reading, begin);
    if (n < 0 && s->failed == 0)
        s->failed = errno;
    return n < 0 ? -1 : (int64_t)got;
}

/* Of a place, what the block that has it gives. */
static int64_t read_block(sb_source *s, int64_t at, uint8_t *out, size_t bytes)
{
    if (s->block_bytes == 0 || at < s->block_at || at >= s->block_at + (int64_t)s->block_bytes) {
        const int64_t block_at = at - at % SB_SOURCE_BLOCK,
                      got = read_disk(s, block_at, s->block, SB_SOURCE_BLOCK);
        s->block_bytes = got > 0 ? (size_t)got : 0;
        s->block_at = block_at;
        if (got < 0 || at >= block_at + got)
            return got < 0 ? -1 : 0;
    }
    const size_t there = s->block_bytes - (size_t)(at - s->block_at), n = bytes < there ? bytes : there;
    memcpy(out, s->block + (at - s->block_at), n);
    return (int64_t)n;
}

static void apply(const sb_patch *p, int64_t at, uint8_t *out, size_t bytes)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->at + (int64_t)i >= at && p->at + (int64_t)i < at + (int64_t)bytes)
            out[p->at + (int64_t)i - at] = p->bytes[i];
}

int64_t sb_source_read(sb_source *s, int64_t at, void *out, size_t bytes)
{
    size_t got = 0;
    if (at < 0 || at >= s->bytes)
        return 0;
    while (got < bytes) {
        const size_t left = bytes - got;
        const int64_t n = left >= SB_SOURCE_BLOCK
                              ? read_disk(s, at + (int64_t)got, (uint8_t *)out + got, left)
                              : read_block(s, at + (int64_t)got, (uint8_t *)out + got, left);
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        got += (size_t)n;
    }
    for (int i = 0; i < s->patch_count; i++)
        apply(&s->patches[i], at, out, got);
    return (int64_t)got;
}

int sb_source_whole(sb_source *s, uint8_t **data)
{
    *data = sb_grown(NULL, (size_t)s->bytes, 1, s->path);
    if (!*data)
        return -1;
    const int64_t got = read_disk(s, 0, *data, (size_t)s->bytes);
    if (got == s->bytes)
        return 0;
    free(*data);
    *data = NULL;
    if (got < 0)
        return fail_system(s->path, s->failed);
    sb_fail("%s: the file became shorter while it was read", s->path);
    return 1;
}

/* ---- as libraries read ---------------------------------------------------------------------------------- */

static int64_t read_on(sb_source *s, void *out, int64_t bytes)
{
    const int64_t got = bytes > 0 ? sb_source_read(s, s->at, out, (size_t)bytes) : 0;
    s->at += got > 0 ? got : 0;
    return got;
}

static int64_t seek(sb_source *s, int64_t offset, int whence)
{
    const int64_t from = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? s->at : s->bytes;
    if ((offset > 0 && from > INT64_MAX - offset) || from + offset < 0) {
        errno = EINVAL;
        return -1;
    }
    return s->at = from + offset;
}

static gint64 vips_reads(VipsSourceCustom *custom, void *out, gint64 bytes, void *source)
{
    (void)custom;
    return read_on(source, out, bytes);
}

static gint64 vips_seeks(VipsSourceCustom *custom, gint64 offset, int whence, void *source)
{
    (void)custom;
    return seek(source, offset, whence);
}

VipsSource *sb_source_for_vips(sb_source *s)
{
    VipsSourceCustom *custom = vips_source_custom_new();
    s->at = 0;
    if (!custom)
        return NULL;
    g_signal_connect(custom, "read", G_CALLBACK(vips_reads), s);
    g_signal_connect(custom, "seek", G_CALLBACK(vips_seeks), s);
    return VIPS_SOURCE(custom);
}

static tmsize_t tiff_reads(thandle_t source, void *out, tmsize_t bytes)
{
    return (tmsize_t)read_on((sb_source *)source, out, bytes);
}

static tmsize_t tiff_writes(thandle_t source, void *data, tmsize_t bytes)
{
    (void)source, (void)data, (void)bytes;
    return -1;
}

static toff_t tiff_seeks(thandle_t source, toff_t offset, int whence)
{
    return offset > INT64_MAX ? (toff_t)-1 : (toff_t)seek((sb_source *)source, (int64_t)offset, whence);
}

static int tiff_closes(thandle_t source)
{
    (void)source;
    return 0;
}

static toff_t tiff_asks_size(thandle_t source) { return (toff_t)((sb_source *)source)->bytes; }

TIFF *sb_source_for_tiff(sb_source *s, const char *mode)
{
    s->at = 0;
    return TIFFClientOpen(s->path, mode, s, tiff_reads, tiff_writes, tiff_seeks, tiff_closes, tiff_asks_size,
                          NULL, NULL);
}

int sb_source_verdict(const sb_source *s, int damaged)
{
    return s->failed != 0 ? fail_system(s->path, s->failed) : damaged;
}
