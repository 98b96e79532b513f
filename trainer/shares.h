/* shares.h: one memory budget for all processes of a run. What may be used is looked up when a trainer
 * starts; what trainer, rings and augment take follows from their plans; an eighth is left to what nobody
 * plans; the rest is the loaders', for decoded images. Augment tells each loader its part, by how many there
 * are (augment/dispatch.h).
 *
 * It is host memory. Files that the kernel keeps in memory do not count: they give way. */
#ifndef SB_TRAINER_SHARES_H
#define SB_TRAINER_SHARES_H

#include "loader/index/index.h"
#include "proto/memory.h"

typedef struct {
    sb_memory_limits may;  /* before this trainer took any */
    size_t trainer;        /* bytes of its own */
    size_t rings, augment; /* bytes of shared memory, of augment's own */
    int loaders;           /* processes that are planned for */
    int window;            /* images that each would keep decoded, if there are so many */
    bool again;            /* the run was under way: it goes on with the least, where that is not there */
    size_t cache;          /* bytes that each keeps of decoded images, as it was told; 0: what there is */
} sb_shares;

/* What there may be used now, by a trainer that has taken nothing yet: also what processes of its run hold
 * that are there already. */
sb_memory_limits sb_shares_look(void);

/* Bytes that a process of a run takes beside what is planned, on a device whose memory is the host's or its
 * own. */
size_t sb_shares_process(bool host_memory);

/* What loaders get. Zeros: unknown. */
typedef struct {
    size_t bytes; /* all of them together */
    int most;     /* of which so many have the largest image decoded */
} sb_shares_loaders;

/* Says how the memory is divided, in a line. -1: not all loaders can have the largest image decoded. Of those
 * that were told what to keep is only warned. */
int sb_shares_divide(const sb_shares *shares, const sb_index *index, int channels, sb_shares_loaders *out);

#endif
