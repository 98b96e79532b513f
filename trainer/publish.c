/* publish.c: see publish.h. */
#include "trainer/publish.h"

#include <string.h>

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

int sb_publish_weights(sb_publisher *p, int64_t step, const float *weight, const float *statistic)
{
    p->head.step = step;
    const sb_broadcast_part parts[] = { { &p->head, sizeof p->head },
                                        { weight, p->head.weight_floats * sizeof *weight },
                                        { statistic, p->head.statistic_floats * sizeof *statistic } };
    return sb_broadcast_write(&p->weights, parts, 3);
}
