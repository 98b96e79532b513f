/* prober.h: looks at files in a process of its own, so that one on which a decoder crashes or hangs is told
 * by name, and costs no more than itself. That process is a fork, so the caller has one thread: a lock that
 * another thread holds at that moment would stay locked in it for ever. Private to loader/index. */
#ifndef SB_LOADER_INDEX_PROBER_H
#define SB_LOADER_INDEX_PROBER_H

#include <stdint.h>
#include <sys/types.h>

#include "loader/keys.h"
#include "loader/readers/decoder.h"

typedef enum {
    SB_PROBE_GOOD,
    SB_PROBE_BAD,     /* it cannot be used */
    SB_PROBE_NO_IMAGE /* it is no image, and does not claim to be one; a page: none of its own */
} sb_probe_verdict;

typedef struct {
    sb_decode_header header;
    int32_t verdict;  /* of sb_probe_verdict */
    char reason[512]; /* why it is bad, which names the file, or no image */
} sb_probe_page;

typedef struct {
    int32_t verdict;
    uint32_t count;   /* of pages, where it is good */
    char reason[512]; /* where it is not good */
} sb_probe;

typedef struct {
    const sb_data_keys *data;
    double timeout; /* seconds for a page */
    size_t cache_bytes;
    bool decode; /* reads every pixel; otherwise the header, and one tile where tiles are read one by one */
    pid_t pid;   /* 0: it is not running */
    int socket;
    sb_probe_page *pages; /* of the last answer */
    uint32_t room;
} sb_prober;

/* Looks at a file. claims: it is named as an image, or by a manifest; another that is none is not bad. The
 * answer's pages are the prober's until the next. -1: a fault of the process. */
int sb_prober_look(sb_prober *prober, const char *path, bool claims, sb_probe *out);

/* Takes samples of an image (sb_decoder_look) into *levels, whose values are the caller's. 0; 1: they cannot
 * be had; -1. */
int sb_prober_levels(sb_prober *prober, const sb_decode_source *source, sb_levels *levels);

void sb_prober_end(sb_prober *prober);

#endif
