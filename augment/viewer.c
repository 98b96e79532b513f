/* viewer.c: see viewer.h. */
#include "augment/viewer.h"

#include <stdlib.h>

#include "proto/error.h"

/* Device memory of one tile under way. */
typedef struct {
    uint8_t *tile;
    uint8_t *views; /* [all views, largest size, largest size, channels] */
} place;

struct sb_viewer {
    sb_device *device;
    int channels, views;
    size_t view_bytes; /* of the largest */
    void *scratch;     /* one: tiles are worked on one after another */
    place places[SB_VIEWER_DEPTH];
    unsigned begun, ended;
};

static int take(sb_viewer *v, size_t bytes, uint8_t **out)
{
    void *memory;
    if (v->device->alloc(v->device, bytes, &memory) != 0)
        return -1;
    *out = memory;
    return 0;
}

int sb_viewer_create(sb_viewer **out, sb_device *device, const sb_config *config)
{
    int sizes[SB_VIEWS_MAX], count = sb_config_view_sizes(config, sizes), largest = sizes[count - 1], tile = config->data.tile;
    sb_viewer *v = calloc(1, sizeof *v);
    if (!v)
        return sb_fail("out of memory");
    *v = (sb_viewer){ .device = device, .channels = config->data.channels, .views = config->view_count,
                      .view_bytes = (size_t)largest * (size_t)largest * (size_t)config->data.channels };
    size_t tile_bytes = (size_t)tile * (size_t)tile * (size_t)v->channels;
    int rc = device->alloc(device, device->view_scratch(device, tile, tile, v->channels, largest, v->views), &v->scratch);
    for (int i = 0; rc == 0 && !device->host_memory && i < SB_VIEWER_DEPTH; i++)
        if (take(v, tile_bytes, &v->places[i].tile) != 0 || take(v, (size_t)v->views * v->view_bytes, &v->places[i].views) != 0)
            rc = -1;
    if (rc != 0) {
        sb_viewer_destroy(&v);
        return sb_context("memory for views");
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
        v->device->wait(v->device, SB_STREAM_DOWNLOAD); /* it writes to memory that the caller gives back next */
    for (int i = 0; i < SB_VIEWER_DEPTH; i++) {
        if (v->places[i].tile)
            v->device->release(v->device, v->places[i].tile);
        if (v->places[i].views)
            v->device->release(v->device, v->places[i].views);
    }
    if (v->scratch)
        v->device->release(v->device, v->scratch);
    free(v);
    *viewer = NULL;
}

int sb_viewer_depth(const sb_viewer *v) { return v->device->host_memory ? 1 : SB_VIEWER_DEPTH; }

int sb_viewer_begin(sb_viewer *v, const uint8_t *tile, int width, int height, const sb_view_params *params, int count,
                    uint8_t *const *out)
{
    sb_device *d = v->device;
    if (count > v->views)
        return sb_fail("%d views of a tile, planned for %d", count, v->views);
    int mark = (int)(v->begun % SB_VIEWER_DEPTH);
    if (d->host_memory) {
        v->begun++;
        return d->view(d, tile, width, height, v->channels, params, count, out, v->scratch);
    }
    /* The place is free: who had it before was waited for. */
    place *p = &v->places[mark];
    uint8_t *made[SB_VIEWS_MAX];
    for (int i = 0; i < count; i++)
        made[i] = p->views + (size_t)i * v->view_bytes;
    if (d->copy(d, SB_STREAM_UPLOAD, p->tile, tile, (size_t)width * (size_t)height * (size_t)v->channels, SB_TO_DEVICE) != 0 ||
        d->order(d, SB_STREAM_COMPUTE, SB_STREAM_UPLOAD) != 0 ||
        d->view(d, p->tile, width, height, v->channels, params, count, made, v->scratch) != 0 ||
        d->order(d, SB_STREAM_DOWNLOAD, SB_STREAM_COMPUTE) != 0)
        return -1;
    for (int i = 0; i < count; i++)
        if (d->copy(d, SB_STREAM_DOWNLOAD, out[i], made[i], (size_t)params[i].size * (size_t)params[i].size * (size_t)v->channels,
                    SB_TO_HOST) != 0)
            return -1;
    v->begun++;
    return d->mark(d, SB_STREAM_DOWNLOAD, mark);
}

int sb_viewer_end(sb_viewer *v)
{
    int mark = (int)(v->ended++ % SB_VIEWER_DEPTH);
    return v->device->wait_mark(v->device, mark); /* the views are published next */
}
