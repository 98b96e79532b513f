/* shares.c: see shares.h. */
#include "trainer/shares.h"

#include <limits.h>
#include <stdio.h>

#include "proto/error.h"
#include "proto/process.h"

#define PROCESS ((size_t)48 << 20)  /* code, stacks, libraries: 5 to 25 were seen */
#define CONTEXT ((size_t)512 << 20) /* of host memory, what the libraries of a GPU take */
#define MIB(bytes) ((bytes) >> 20)

sb_memory_limits sb_shares_look(void)
{
    sb_memory_limits m = sb_memory_look();
    if (m.available > 0)
        m.available += sb_process_siblings_hold();
    return m;
}

size_t sb_shares_process(bool host_memory) { return host_memory ? PROCESS : PROCESS + CONTEXT; }

/* "1590 MiB may be used (control group): trainer 433, rings 201, augment 48" */
static void say_taken(const sb_shares *s, char *out, size_t bytes)
{
    snprintf(out, bytes, "%zu MiB may be used (%s): trainer %zu, rings %zu, augment %zu",
             MIB(s->may.available), s->may.grouped ? "control group" : "the machine", MIB(s->trainer),
             MIB(s->rings), MIB(s->augment));
}

int sb_shares_divide(const sb_shares *s, const sb_index *index, int channels, sb_shares_loaders *out)
{
    const size_t all = s->may.available, count = (size_t)s->loaders,
                 taken = s->trainer + s->rings + s->augment, planned = all - all / 8,
                 left = planned > taken ? planned - taken : 0, beside = sb_index_beside(index),
                 largest = sb_index_largest(index, channels), least = beside + largest;
    char text[256];
    *out = (sb_shares_loaders){ 0 };
    if (all == 0)
        return 0;
    say_taken(s, text, sizeof text);
    if (s->cache > 0) {
        const bool fits = count * (beside + s->cache) <= left;
        sb_note("memory: %s, %d loader%s %zu each (loader.cache_mb)%s", text, s->loaders,
                sb_plural((uint64_t)s->loaders), MIB(beside + s->cache),
                fits ? ""
                     : ". That is more than seven eighths of it: processes may be killed for lack of memory; "
                       "lower loader.cache_mb");
        return 0;
    }
    if (taken + count * least > all && s->again) {
        sb_note(
            "memory: %s, %d loader%s %zu each, which is more. The run had begun, and goes on with the least "
            "that it needs: processes may be killed for lack of memory, with fewer loaders (./run scale "
            "loaders=N) less likely",
            text, s->loaders, sb_plural((uint64_t)s->loaders), MIB(least));
        *out = (sb_shares_loaders){ count * least, s->loaders };
        return 0;
    }
    if (taken + count * least > all) {
        const sb_image *image = sb_index_check_row(index, index->largest) == 0
                                    ? &index->images[index->largest]
                                    : NULL;
        char path[PATH_MAX];
        return sb_fail("memory: %s, and each of run.loaders = %d takes %zu MiB to have %s decoded (%d x %d): "
                       "lower run.loaders, trainer.batch or trainer.chunk, or leave large images out with "
                       "loader.cache_mb",
                       text, s->loaders, MIB(least),
                       image ? sb_index_path_of(index, image, path) : "an image", image ? image->width : 0,
                       image ? image->height : 0);
    }
    out->bytes = left > count * least ? left : count * least;
    out->most = out->bytes / least < INT_MAX ? (int)(out->bytes / least) : INT_MAX;
    const size_t window = (size_t)s->window < index->count ? (size_t)s->window : index->count,
                 wanted = least + window * largest, part = out->bytes / count;
    sb_note("memory: %s, %d loader%s up to %zu each", text, s->loaders, sb_plural((uint64_t)s->loaders),
            MIB(part < wanted ? part : wanted));
    return 0;
}
