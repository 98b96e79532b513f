/* recheck.c: see recheck.h. */
#include "loader/recheck.h"

#include <glib.h>
#include <string.h>
#include <unistd.h>

#include "loader/index/index.h"
#include "loader/index/prober.h"
#include "loader/quarantine.h"
#include "proto/error.h"
#include "proto/request.h"
#include "proto/rundir.h"

typedef struct {
    sb_index index;
    sb_prober prober;
    GPtrArray *images; /* of sb_rechecked, each once, with texts of their own */
} recheck;

static void free_image(void *image)
{
    sb_rechecked *r = image;
    g_free((char *)r->name);
    g_free((char *)r->reason);
    g_free(r);
}

static sb_rechecked *find(const recheck *c, const char *name, int page)
{
    for (guint i = 0; i < c->images->len; i++) {
        sb_rechecked *r = g_ptr_array_index(c->images, i);
        if (r->page == page && strcmp(r->name, name) == 0)
            return r;
    }
    return NULL;
}

static void on_line(void *context, const char *name, int page, const sb_tile *tile)
{
    recheck *c = context;
    (void)tile;
    if (find(c, name, page))
        return;
    sb_rechecked *r = g_new0(sb_rechecked, 1);
    *r = (sb_rechecked){ .name = g_strdup(name), .page = page };
    g_ptr_array_add(c->images, r);
}

/* Why the page is not what the index has, and whole. NULL: it is. */
static const char *what_is_wrong(const sb_image *m, const sb_probe *probe, const sb_probe_page *pages)
{
    if (probe->verdict != SB_PROBE_GOOD)
        return probe->reason;
    if ((uint32_t)m->page >= probe->count)
        return "it has fewer pages than when it was indexed";
    const sb_probe_page *p = &pages[m->page];
    if (p->verdict != SB_PROBE_GOOD)
        return p->reason;
    return p->header.bytes == m->bytes && p->header.width == m->width && p->header.height == m->height &&
                   p->header.random_access == (m->random_access != 0)
               ? NULL
               : "it has another size than when it was indexed";
}

static int look(recheck *c, sb_rechecked *r)
{
    const uint32_t row = sb_index_find(&c->index, r->name, r->page);
    sb_probe probe;
    char path[PATH_MAX];
    const char *wrong =
        "the index of this run, which does not change, was made without it; a new run takes it";
    if (row != UINT32_MAX) {
        const sb_image *m = &c->index.images[row];
        if (sb_prober_look(&c->prober, sb_index_path_of(&c->index, m, path), true, &probe) != 0)
            return -1;
        wrong = what_is_wrong(m, &probe, c->prober.pages);
    }
    r->back = wrong == NULL;
    r->reason = g_strdup(wrong ? wrong : "");
    return 0;
}

static bool drops(void *context, const char *name, int page)
{
    const sb_rechecked *r = find(context, name, page);
    return r && r->back;
}

int sb_recheck(const char *run_dir, const sb_data_keys *data, const sb_loader_keys *keys,
               void (*say)(void *context, const sb_rechecked *image), void *context)
{
    if (sb_request_heard(run_dir))
        return sb_fail(
            "%s is live: its quarantine can be looked at again when it has stopped (./run stop %s)", run_dir,
            run_dir);
    const int lock = sb_rundir_lock(run_dir, "lock"); /* nor does it start meanwhile */
    if (lock < 0)
        return -1;
    recheck c = { .prober = { .data = data,
                              .timeout = keys->timeout,
                              .cache_bytes = keys->cache_mb > 0 ? (size_t)keys->cache_mb << 20
                                                                : sb_decoder_most(),
                              .decode = true },
                  .images = g_ptr_array_new_with_free_func(free_image) };
    int rc = sb_index_read(&c.index, run_dir, data);
    if (rc == 0)
        rc = sb_quarantine_read(run_dir, on_line, &c);
    for (guint i = 0; rc == 0 && i < c.images->len; i++)
        rc = look(&c, g_ptr_array_index(c.images, i));
    if (rc == 0)
        rc = sb_quarantine_drop(run_dir, drops, &c);
    for (guint i = 0; rc == 0 && i < c.images->len; i++)
        say(context, g_ptr_array_index(c.images, i));
    g_ptr_array_free(c.images, TRUE);
    sb_prober_end(&c.prober);
    sb_index_free(&c.index);
    close(lock);
    return rc;
}
