/* publish.c: see publish.h. */
#include "trainer/publish.h"

#include <string.h>

#include "kernels/staging.h"
#include "proto/error.h"

#define EMBEDDINGS_MIN 2048
#define SNAPSHOTS 2 /* one to read while the next is written */

int sb_publisher_create(sb_publisher *p, const size_t *floats, const char *config_text, int rows, int width)
{
    *p = (sb_publisher){ .embeddings = { .segment = { .fd = -1 } }, .weights = { .segment = { .fd = -1 } } };
    size_t length = strlen(config_text);
    if (length >= sizeof p->head.config)
        return sb_fail("the configuration has %zu bytes, a snapshot has room for %d", length,
                       SB_SNAPSHOT_TEXT - 1);
    memcpy(p->head.config, config_text, length + 1);
    p->head.weight_floats = floats[SB_ENTRY_WEIGHT];
    p->head.statistic_floats = floats[SB_ENTRY_STATISTIC];
    uint32_t records = 2 * (uint32_t)rows > EMBEDDINGS_MIN ? 2 * (uint32_t)rows : EMBEDDINGS_MIN;
    size_t embedding = sizeof(sb_embedding_head) + (size_t)width * sizeof(float);
    size_t snapshot = sizeof(sb_snapshot_head) +
                      (p->head.weight_floats + p->head.statistic_floats) * sizeof(float);
    if (sb_broadcast_create(&p->embeddings, SB_SEGMENT_EMBEDDINGS, records, embedding) != 0)
        return sb_context("embedding ring");
    if (sb_broadcast_create(&p->weights, SB_SEGMENT_WEIGHTS, SNAPSHOTS, snapshot) != 0)
        return sb_context("weights snapshot");
    return 0;
}

void sb_publisher_close(sb_publisher *p)
{
    sb_broadcast_close(&p->embeddings);
    sb_broadcast_close(&p->weights);
}

int sb_publish_embedding(sb_publisher *p, const sb_embedding_head *head, const float *embedding)
{
    const sb_broadcast_part parts[] = { { head, sizeof *head },
                                        { embedding, head->width * sizeof *embedding } };
    return sb_broadcast_write(&p->embeddings, parts, 2);
}

/* `floats` floats of device memory. */
static int add_floats(sb_publisher *p, sb_staging *staging, const float *from, size_t floats)
{
    const size_t most = SB_STAGING_BYTES / sizeof *from;
    for (size_t at = 0, n; at < floats; at += n) {
        n = floats - at < most ? floats - at : most;
        const void *piece = sb_staging_fetch(staging, from + at, n * sizeof *from);
        if (!piece || sb_broadcast_add(&p->weights, piece, n * sizeof *from) != 0)
            return -1;
    }
    return 0;
}

int sb_publish_weights(sb_publisher *p, sb_device *device, int64_t step, const sb_section *section)
{
    sb_staging staging;
    if (sb_staging_open(&staging, device) != 0)
        return -1;
    p->head.step = step;
    sb_broadcast_begin(&p->weights);
    int rc = sb_broadcast_add(&p->weights, &p->head, sizeof p->head);
    if (rc == 0)
        rc = add_floats(p, &staging, section->weight, p->head.weight_floats);
    if (rc == 0)
        rc = add_floats(p, &staging, section->statistic, p->head.statistic_floats);
    if (rc == 0)
        sb_broadcast_end(&p->weights);
    sb_staging_close(&staging);
    return rc;
}
