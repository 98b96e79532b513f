/* Takes the tiles that a run's loaders deliver and does nothing with them. Arguments: RUN_DIR LOADERS. It
 * waits until so many loaders have joined, then serves as worker.h says: one round is an epoch. At the end it
 * prints how often images were decoded whole, and the least number possible: once for each image and epoch
 * that has a tile of it. */
#include <stdlib.h>

#include "augment/dispatch.h"
#include "tests/bench/worker.h"

typedef struct {
    sb_augment_keys keys;
    sb_index index;
    sb_order *order;
    sb_dispatch *dispatch;
    uint64_t taken, needed;
    uint64_t *seen; /* [images]: the last epoch, plus one, that had a tile of it */
} bench;

static bool never_made(void *context, uint64_t sample)
{
    (void)context;
    (void)sample;
    return false;
}

static int epoch(void *context)
{
    bench *b = context;
    uint64_t until = b->taken + sb_order_epoch_samples(b->order);
    while (b->taken < until) {
        sb_dispatch_tile tile;
        if (sb_dispatch_turn(b->dispatch, 5, -1) != 0)
            return -1;
        while (b->taken < until && sb_dispatch_take(b->dispatch, &tile)) {
            uint64_t now = tile.sample / sb_order_epoch_samples(b->order) + 1;
            b->needed += b->seen[tile.meta->image] != now;
            b->seen[tile.meta->image] = now;
            if (sb_dispatch_give_back(b->dispatch, &tile, true) != 0)
                return -1;
            b->taken++;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    static bench b;
    sb_dispatch_counts counts = { 0 };
    int rc = sb_augment_keys_of_run(&b.keys, argv[1]) != 0 ||
             sb_index_read(&b.index, argv[1], &b.keys.data) != 0 ||
             sb_order_create(&b.order, &b.index, &b.keys) != 0 ||
             sb_dispatch_create(&b.dispatch, argv[1], &b.keys, &b.index, b.order, 0, 0, never_made, NULL) !=
                 0;
    if (rc == 0 && !(b.seen = calloc(b.index.count, sizeof *b.seen)))
        rc = sb_fail("out of memory");
    while (rc == 0 && counts.loaders < (uint32_t)atoi(argv[2])) {
        rc = sb_dispatch_turn(b.dispatch, 5, -1) != 0;
        sb_dispatch_count(b.dispatch, &counts);
    }
    if (rc != 0) {
        fprintf(stderr, "%s\n", sb_error());
        return 1;
    }
    rc = bench_serve(epoch, &b, 0);
    sb_dispatch_count(b.dispatch, &counts);
    printf("%llu %llu\n", (unsigned long long)counts.decoded, (unsigned long long)b.needed);
    free(b.seen);
    sb_dispatch_destroy(&b.dispatch);
    sb_order_destroy(&b.order);
    sb_index_free(&b.index);
    return rc;
}
