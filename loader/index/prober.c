/* prober.c: see prober.h. The child answers one request after another through a socket, and ends with its
 * parent. */
#include "loader/index/prober.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loader/readers/sniff.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "proto/process.h"

#define TRIED 256 /* the side of a tile where every pixel is read */
#define SLICE_MS 100
#define DECODING 60 /* so many times as long may it take to read every pixel of a page */

typedef struct {
    char path[PATH_MAX];
    bool claims;
    bool levels;             /* samples of an image are asked for, and not what the file is */
    sb_decode_source source; /* of that image, but for its path */
} request;

typedef struct {
    int32_t verdict; /* 0: `levels.count` values follow */
    sb_levels levels;
} levels_answer;

static int write_all(int fd, const void *data, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        const ssize_t n = send(fd, (const char *)data + done, bytes - done, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return -1;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* 0; 1: the other end is gone. */
static int read_all(int fd, void *data, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        const ssize_t n = recv(fd, (char *)data + done, bytes - done, 0);
        if (n == 0 || (n < 0 && errno != EINTR))
            return 1;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* ---- the child ----------------------------------------------------------------------------------------- */

typedef struct {
    const sb_prober *prober;
    sb_decoder *decoder;
    uint8_t *pixels; /* of a tile */
    double *values;  /* [SB_LEVELS_SAMPLES] */
    int socket;
} child;

/* What the pixels of a page say, as far as they are asked for. A verdict. */
static int try_pixels(const child *c, const sb_decode_source *s)
{
    const int side = TRIED;
    uint64_t ignored = 0;
    if (!c->prober->decode) /* a whole image is read when it is trained on */
        return s->random_access ? sb_decoder_try(c->decoder, s) : SB_DECODE_OK;
    for (int top = 0; top < s->height; top += side)
        for (int left = 0; left < s->width; left += side) {
            const int rc = sb_decoder_tile(c->decoder, s, left, top, side, c->pixels, &ignored, &ignored);
            if (rc != 0 || !s->random_access) /* the others are of the same image */
                return rc;
        }
    return SB_DECODE_OK;
}

static int answer_page(const child *c, const char *path, int page, const sb_decode_pages *all)
{
    const sb_decode_page *p = &all->pages[page];
    sb_probe_page out = { .verdict = SB_PROBE_GOOD,
                          .header = { .width = p->width,
                                      .height = p->height,
                                      .pages = all->count,
                                      .bytes = all->bytes,
                                      .mtime_ns = all->mtime_ns,
                                      .random_access = p->random_access,
                                      .wide = p->wide,
                                      .left_out = p->left_out,
                                      .read_whole = p->read_whole } };
    const sb_decode_source source = { .path = path,
                                      .page = page,
                                      .bytes = all->bytes,
                                      .width = p->width,
                                      .height = p->height,
                                      .random_access = p->random_access };
    if (p->kind != SB_PAGE_IMAGE) {
        out.verdict = SB_PROBE_NO_IMAGE;
        snprintf(out.reason, sizeof out.reason, "a page that is no image of its own (%s): %s",
                 sb_page_kind_name(p->kind), p->reason);
    } else if (p->reason || try_pixels(c, &source) != 0) {
        out.verdict = SB_PROBE_BAD;
        snprintf(out.reason, sizeof out.reason, "%s", p->reason ? p->reason : sb_error());
    }
    return write_all(c->socket, &out, sizeof out);
}

static int answer(const child *c, const request *r)
{
    sb_decode_pages pages = { 0 };
    sb_probe out = { .verdict = SB_PROBE_BAD };
    const char *format;
    bool trusted;
    const sb_sniffed kind = sb_sniff(r->path, c->prober->data->untrusted, &format, &trusted);
    const bool blocked = !trusted && !c->prober->data->untrusted;
    if (kind == SB_SNIFF_NONE && !r->claims) {
        out.verdict = SB_PROBE_NO_IMAGE;
        snprintf(out.reason, sizeof out.reason, "no image that libvips knows");
    } else if (kind == SB_SNIFF_DOCUMENT && !r->claims) {
        out.verdict = SB_PROBE_NO_IMAGE;
        snprintf(out.reason, sizeof out.reason, "%s: it has no pixels of its own", format);
    } else if (blocked) {
        out.verdict = r->claims ? SB_PROBE_BAD : SB_PROBE_NO_IMAGE;
        snprintf(out.reason, sizeof out.reason,
                 "%.300s%s%s, whose reader libvips does not trust: data.untrusted=true reads it",
                 r->claims ? r->path : "", r->claims ? ": " : "", format);
    } else if (sb_decoder_pages(c->decoder, r->path, &pages) != 0) {
        out.verdict = r->claims || trusted ? SB_PROBE_BAD
                                           : SB_PROBE_NO_IMAGE; /* a text may begin as an image does */
        snprintf(out.reason, sizeof out.reason, "%s", sb_error());
    } else if (pages.count == 1 && pages.pages[0].reason && pages.pages[0].kind == SB_PAGE_IMAGE) {
        out.verdict = r->claims || trusted ? SB_PROBE_BAD : SB_PROBE_NO_IMAGE;
        snprintf(out.reason, sizeof out.reason, "%s", pages.pages[0].reason);
    } else {
        out.verdict = SB_PROBE_GOOD;
        out.count = (uint32_t)pages.count;
    }
    int rc = write_all(c->socket, &out, sizeof out);
    for (int page = 0; rc == 0 && out.verdict == SB_PROBE_GOOD && page < pages.count; page++)
        rc = answer_page(c, r->path, page, &pages);
    sb_decode_pages_free(&pages);
    return rc;
}

static int answer_levels(const child *c, const request *r)
{
    sb_decode_source source = r->source;
    levels_answer out = { .levels = { .values = c->values } };
    source.path = r->path;
    out.verdict = sb_decoder_look(c->decoder, &source, &out.levels);
    if (write_all(c->socket, &out, sizeof out) != 0)
        return -1;
    return out.verdict != 0 ? 0 : write_all(c->socket, c->values, out.levels.count * sizeof *c->values);
}

/* Serves until the parent closes its end. */
static void serve(const sb_prober *p, int socket)
{
    static request r;
    child c = { .prober = p, .socket = socket };
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    c.pixels = sb_zeroed((size_t)TRIED * TRIED, (size_t)p->data->channels, "a tile");
    c.values = sb_grown(NULL, SB_LEVELS_SAMPLES, sizeof *c.values, "samples of a page");
    if (c.pixels && c.values &&
        sb_decoder_create(&c.decoder, &p->data->samples, p->cache_bytes, p->data->untrusted) == 0 &&
        write_all(socket, "", 1) == 0) /* it is ready */
        while (read_all(socket, &r, sizeof r) == 0 &&
               (r.levels ? answer_levels(&c, &r) : answer(&c, &r)) == 0)
            continue;
    _exit(0);
}

/* ---- the parent ---------------------------------------------------------------------------------------- */

/* Ends the child, and says how it ended. */
static int reap(sb_prober *p, bool kill_it)
{
    int status = 0;
    if (kill_it)
        kill(p->pid, SIGKILL);
    close(p->socket);
    while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    p->pid = 0;
    return status;
}

void sb_prober_end(sb_prober *p)
{
    if (p->pid > 0)
        reap(p, true);
    free(p->pages);
    p->pages = NULL;
    p->room = 0;
}

/* Waits for the child to say something. false: for longer than the limit it has not, and was not kept from it
 * by others. */
static bool speaks(const sb_prober *p)
{
    const double limit = p->timeout * (p->decode ? DECODING : 1) * 1e9;
    const uint64_t began = sb_now();
    sb_process_time first, now;
    struct pollfd wait = { .fd = p->socket, .events = POLLIN };
    if (poll(&wait, 1, SLICE_MS) > 0) /* nearly always */
        return true;
    const bool known = sb_process_times(p->pid, &first);
    for (;;) {
        if (poll(&wait, 1, SLICE_MS) > 0)
            return true;
        const double kept = known && sb_process_times(p->pid, &now) ? (double)(now.kept - first.kept) : 0;
        if ((double)(sb_now() - began) - kept > limit)
            return false;
    }
}

static int start(sb_prober *p)
{
    int ends[2];
    if (p->pid > 0)
        return 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return sb_fail_errno("a socket for the process that looks at files");
    p->pid = fork();
    if (p->pid == 0) {
        close(ends[0]);
        serve(p, ends[1]);
    }
    close(ends[1]);
    p->socket = ends[0];
    if (p->pid < 0) {
        close(ends[0]);
        p->pid = 0;
        return sb_fail_errno("starting a process that looks at files");
    }
    char ready;
    if (speaks(p) && read_all(p->socket, &ready, 1) == 0)
        return 0;
    reap(p, true);
    return sb_fail("the process that looks at files cannot start");
}

/* The child did not answer: it hangs, or is gone. */
static void blame(sb_prober *p, const char *path, bool hangs, sb_probe *out)
{
    const int status = reap(p, true);
    *out = (sb_probe){ .verdict = SB_PROBE_BAD };
    if (hangs)
        snprintf(out->reason, sizeof out->reason,
                 "%.400s: looking at it took longer than loader.timeout = %g s", path, p->timeout);
    else
        snprintf(out->reason, sizeof out->reason, "%.400s: the decoder crashed on it (%s)", path,
                 WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "it ended");
}

/* 0; 1: the child is gone; 2: it hangs; -1. */
static int read_answer(sb_prober *p, sb_probe *out)
{
    if (!speaks(p))
        return 2;
    if (read_all(p->socket, out, sizeof *out) != 0)
        return 1;
    if (out->count > p->room) {
        sb_probe_page *grown = sb_grown(p->pages, out->count, sizeof *grown, "the pages of a file");
        if (!grown)
            return -1;
        p->pages = grown;
        p->room = out->count;
    }
    for (uint32_t i = 0; i < out->count; i++) {
        if (!speaks(p))
            return 2;
        if (read_all(p->socket, &p->pages[i], sizeof *p->pages) != 0)
            return 1;
    }
    return 0;
}

int sb_prober_look(sb_prober *p, const char *path, bool claims, sb_probe *out)
{
    static request r; /* whole: it is one write */
    r = (request){ .claims = claims };
    snprintf(r.path, sizeof r.path, "%s", path);
    if (start(p) != 0)
        return -1;
    const int rc = write_all(p->socket, &r, sizeof r) != 0 ? 1 : read_answer(p, out);
    if (rc > 0)
        blame(p, path, rc == 2, out);
    return rc < 0 ? -1 : 0;
}

int sb_prober_levels(sb_prober *p, const sb_decode_source *source, sb_levels *levels)
{
    static request r;
    double *values = levels->values;
    levels_answer in;
    r = (request){ .levels = true, .source = *source };
    snprintf(r.path, sizeof r.path, "%s", source->path);
    if (start(p) != 0)
        return -1;
    if (write_all(p->socket, &r, sizeof r) != 0 || !speaks(p) || read_all(p->socket, &in, sizeof in) != 0 ||
        (in.verdict == 0 && (in.levels.count > SB_LEVELS_SAMPLES ||
                             read_all(p->socket, values, in.levels.count * sizeof *values) != 0))) {
        reap(p, true); /* it crashed, or hangs: serving says so */
        return 1;
    }
    *levels = in.levels;
    levels->values = values;
    return in.verdict == 0 ? 0 : 1;
}
