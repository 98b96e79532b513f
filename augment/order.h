/* order.h: which tile is sample (epoch, position). A pure function of seed, index and configuration.
 *
 * Images are permuted by a key of (seed, epoch), taken in windows of data.window images; the tiles of a
 * window are permuted. So the tiles of a photograph lie near one another in an epoch, and it is decoded once.
 * The order needs no saved state. batch.groups = distinct rearranges the epoch so that no batch has two tiles
 * of one group. The last partial batch of an epoch is dropped. */
#ifndef SB_AUGMENT_ORDER_H
#define SB_AUGMENT_ORDER_H

#include <stdint.h>

#include "augment/keys.h"
#include "loader/index/index.h"

typedef struct sb_order sb_order;

/* -1 if an epoch has fewer samples than a batch (the error names the keys), or distinct groups cannot fill a
 * batch. Keeps pointers. */
int sb_order_create(sb_order **out, const sb_index *index, const sb_augment_keys *keys);
void sb_order_destroy(sb_order **order);

/* Samples of an epoch: a multiple of the batch. Sample number n is epoch n / this, position n % this. */
uint64_t sb_order_epoch_samples(const sb_order *order);

/* The tile of sample number n. attempt 0 is the planned one; attempt k > 0 is the k-th replacement, drawn
 * from (seed, epoch, position, k) over all images, for when the image before it is quarantined. Recomputes
 * the epoch's order when n enters another. */
int sb_order_sample(sb_order *order, uint64_t n, uint32_t attempt, sb_tile *out);

#endif
