/* staging.c: see staging.h. */
#include "kernels/staging.h"

#include <stdlib.h>

#include "proto/error.h"
#include "proto/memory.h"

int sb_staging_open(sb_staging *s, sb_device *device)
{
    *s = (sb_staging){ .device = device };
    if (device->host_memory)
        return 0;
    s->buffer = sb_grown(NULL, SB_STAGING_BYTES, 1, "what passes between host and device");
    return s->buffer ? 0 : -1;
}

void sb_staging_close(sb_staging *s)
{
    free(s->buffer);
    *s = (sb_staging){ 0 };
}

static int copy(sb_staging *s, void *to, const void *from, size_t bytes, sb_direction direction)
{
    if (bytes > SB_STAGING_BYTES)
        return sb_fail("a piece of %zu bytes, at most %zu", bytes, SB_STAGING_BYTES);
    if (s->device->copy(s->device, SB_STREAM_COMPUTE, to, from, bytes, direction) != 0)
        return -1;
    return s->device->wait(s->device, SB_STREAM_COMPUTE);
}

const void *sb_staging_fetch(sb_staging *s, const void *from, size_t bytes)
{
    if (!s->buffer)
        return s->device->wait(s->device, SB_STREAM_COMPUTE) == 0 ? from : NULL;
    return copy(s, s->buffer, from, bytes, SB_TO_HOST) == 0 ? s->buffer : NULL;
}

void *sb_staging_room(sb_staging *s, void *to) { return s->buffer ? s->buffer : to; }

int sb_staging_send(sb_staging *s, void *to, size_t bytes)
{
    return s->buffer ? copy(s, to, s->buffer, bytes, SB_TO_DEVICE) : 0;
}
