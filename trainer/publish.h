/* publish.h: what a live trainer tells evaluators: the embeddings of every step, while an evaluator is there,
 * and now and then all weights of the backbone. These are two broadcasts (proto/broadcast.h): the trainer
 * overwrites old records and never waits, and a reader counts the records it missed. */
#ifndef SB_TRAINER_PUBLISH_H
#define SB_TRAINER_PUBLISH_H

#include "proto/broadcast.h"
#include "trainer/graph/store.h"

#define SB_SNAPSHOT_TEXT 16384

/* A record of the embedding ring: this, then `width` floats, as the projector gives them. */
typedef struct {
    int64_t step; /* that used the view: 1 for the first */
    uint32_t epoch, position, view;
    uint32_t image;          /* row of the index */
    int32_t left, top, side; /* the tile */
    uint32_t label;          /* row of the index' labels, UINT32_MAX none */
    uint32_t width;
    uint32_t padding;
} sb_embedding_head;

/* A record of the weights snapshot: this, then the backbone's weights, then its running statistics, laid out
 * as in a section. */
typedef struct {
    int64_t step; /* steps finished */
    uint64_t weight_floats, statistic_floats;
    char config[SB_SNAPSHOT_TEXT]; /* sb_settings_of_run: names architecture and all that the weights
                                      depend on */
} sb_snapshot_head;

typedef struct {
    sb_broadcast embeddings, weights;
    sb_snapshot_head head;
} sb_publisher;

/* Creates both. floats: of the backbone, by sb_entry_kind. `rows` embeddings of `width` floats are made in a
 * step (the ring holds at least two steps and 2048). */
int sb_publisher_create(sb_publisher *out, const size_t *floats, const char *config_text, int rows,
                        int width);
void sb_publisher_close(sb_publisher *publisher);

int sb_publish_embedding(sb_publisher *publisher, const sb_embedding_head *head, const float *embedding);

/* The backbone of a section, from the device's memory. */
int sb_publish_weights(sb_publisher *publisher, sb_device *device, int64_t step, const sb_section *section);

#endif
