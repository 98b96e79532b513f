/* viewer.c: see viewer.h. */
#include "augment/viewer.h"

#include <stdlib.h>

#include "proto/error.h"
#include "proto/memory.h"

/* Device memory of one tile under way. */
typedef struct {
    uint8_t *tile;
    uint8_t *views; /* [all views, largest size, largest size, channels] */
} buffers;

struct sb_viewer {
    sb_device *device;
    int channels, views;
    int largest;       /* side of a view */
    size_t view_bytes; /* of the largest */
    void *scratch;     /* one: tiles are worked on one after another */
    buffers under_way[SB_VIEWER_DEPTH];
    unsigned begun, ended;
};

static int allocate(sb_viewer *v, size_t bytes, uint8_t **out)
{
    void *memory;
    int rc = v->device->alloc(v->device, bytes, &memory);
    if (rc == 0)
        *out = memory;
    return rc;
}

static int take_all(sb_viewer *v, int tile, int largest)
{
    size_t tile_bytes = (size_t)tile * (size_t)tile * (size_t)v->channels,
           views_bytes = (size_t)v->views * v->view_bytes;
    size_t scratch = sb_view_scratch(v->device, sb_view_tile(tile, tile, v->channels), v->views, largest),
           all = scratch;
    int depth = v->device->host_memory ? 0 : SB_VIEWER_DEPTH,
        rc = v->device->alloc(v->device, scratch, &v->scratch);
    all += (size_t)depth * (tile_bytes + views_bytes);
    for (int i = 0; rc == 0 && i < depth; i++) {
        rc = allocate(v, tile_bytes, &v->under_way[i].tile);
        if (rc == 0)
            rc = allocate(v, views_bytes, &v->under_way[i].views);
    }
    if (rc == SB_DEVICE_FULL)
        sb_context("views need %zu MiB beside the trainer; lower data.tile or views.N.size, or "
                   "trainer.chunk, which leaves them more",
                   all >> 20);
    return rc;
}

int sb_viewer_create(sb_viewer **out, sb_device *device, const sb_augment_keys *keys)
{
    int sizes[SB_VIEWS_MAX], count = sb_view_sizes(keys->views, keys->view_count, sizes),
                             largest = sizes[count - 1], tile = keys->data.tile;
    sb_viewer *v = sb_zeroed(1, sizeof *v, "the maker of views");
    if (!v)
        return -1;
    *v = (sb_viewer){ .device = device,
                      .channels = keys->data.channels,
                      .views = keys->view_count,
                      .largest = largest,
                      .view_bytes = (size_t)largest * (size_t)largest * (size_t)keys->data.channels };
    const int rc = take_all(v, tile, largest);
    if (rc != 0) {
        sb_viewer_destroy(&v);
        sb_context("memory for views");
        return rc;
    }
    *out = v;
    return 0;
}

void sb_viewer_destroy(sb_viewer **viewer)
{
    sb_viewer *v = *viewer;
    if (!v)
        return;
    if (v->begun != v->ended)
        v->device->wait(v->device,
                        SB_STREAM_DOWNLOAD); /* it writes to memory that the caller gives back next */
    for (int i = 0; i < SB_VIEWER_DEPTH; i++) {
        if (v->under_way[i].tile)
            v->device->release(v->device, v->under_way[i].tile);
        if (v->under_way[i].views)
            v->device->release(v->device, v->under_way[i].views);
    }
    if (v->scratch)
        v->device->release(v->device, v->scratch);
    free(v);
    *viewer = NULL;
}

int sb_viewer_depth(const sb_viewer *v) { return v->device->host_memory ? 1 : SB_VIEWER_DEPTH; }

int sb_viewer_begin(sb_viewer *v, const uint8_t *tile, int width, int height, const sb_view_params *params,
                    int count, uint8_t *const *out)
{
    sb_device *d = v->device;
    if (count > v->views)
        return sb_fail("%d views of a tile, planned for %d", count, v->views);
    int mark = (int)(v->begun % SB_VIEWER_DEPTH);
    sb_shape shape = sb_view_tile(height, width, v->channels);
    sb_view_how how = { .params = params, .count = count, .out = out, .max_size = v->largest };
    if (d->host_memory) {
        v->begun++;
        return sb_view(d, &how, shape, tile, v->scratch);
    }
    /* The buffers are free: the tile that had them before was waited for. */
    buffers *p = &v->under_way[mark];
    uint8_t *made[SB_VIEWS_MAX];
    for (int i = 0; i < count; i++)
        made[i] = p->views + (size_t)i * v->view_bytes;
    how.out = made;
    if (d->copy(d, SB_STREAM_UPLOAD, p->tile, tile, (size_t)width * (size_t)height * (size_t)v->channels,
                SB_TO_DEVICE) != 0 ||
        d->order(d, SB_STREAM_COMPUTE, SB_STREAM_UPLOAD) != 0 ||
        sb_view(d, &how, shape, p->tile, v->scratch) != 0 ||
        d->order(d, SB_STREAM_DOWNLOAD, SB_STREAM_COMPUTE) != 0)
        return -1;
    for (int i = 0; i < count; i++)
        if (d->copy(d, SB_STREAM_DOWNLOAD, out[i], made[i],
                    (size_t)params[i].size * (size_t)params[i].size * (size_t)v->channels, SB_TO_HOST) != 0)
            return -1;
    v->begun++;
    return d->mark(d, SB_STREAM_DOWNLOAD, mark);
}

int sb_viewer_end(sb_viewer *v)
{
    int mark = (int)(v->ended++ % SB_VIEWER_DEPTH);
    return v->device->wait_mark(v->device, mark); /* the views are published next */
}
