/* store.h: every array of a network by name: weights, the statistics that norms gather, and what a method
 * keeps from step to step.
 *
 * DESIGN. A graph adds its entries while it is built (graph.h); a name that is there already, with the same
 * sides, is shared. All entries of a kind lie in one flat array, in the order in which they were added, each
 * at its offset. A section is one set of such arrays: training has one, a target network is a second section
 * of the same store, and a plan is run with a section. Checkpoints, snapshots, exports and `init` select
 * entries by name. Names are torchvision's; a head's begin with its own ("projector.0.weight"). */
#ifndef SB_TRAINER_STORE_H
#define SB_TRAINER_STORE_H

#include <stdint.h>

#include "kernels/op.h"

#define SB_ENTRY_NAME 128

/* WEIGHT: learnt, has a gradient. STATISTIC: gathered by a norm: means [c], then variances [c]; its sides are
 * [2, c]. STATE: of a method: written after each step (a queue), without a gradient of the optimiser's. */
typedef enum { SB_ENTRY_WEIGHT, SB_ENTRY_STATISTIC, SB_ENTRY_STATE, SB_ENTRY_KINDS } sb_entry_kind;

typedef struct {
    char name[SB_ENTRY_NAME]; /* "layer1.0.conv1.weight"; a statistic's is the norm's, "layer1.0.bn1" */
    sb_extent extent;         /* sides, initialisation, whether weight decay applies */
    size_t offset, count;     /* floats, in the array of its kind */
    sb_entry_kind kind;

    /* Of a weight. Whoever builds the graph may set these eight after the builder was called
     * (sb_weight_of). */
    int64_t frozen_until; /* it stays as it is for so many steps; 0; where it was given, all */
    float rate;           /* its learning rate is the optimiser's times this; 1 */
    int grid;             /* of a table of positions, [1, rows, c]: the side of the grid of places that its
                             last rows are of, which `init` may resize; 0: it is none */
    bool steady;          /* it learns at the schedule's peak throughout: no warm-up, no decay */
    bool stem;            /* filters over pixels: `init` may resize others to them (init.h) */
    bool fixed;           /* it never learns, and no optimiser keeps anything of it */
    bool adapter;         /* it belongs to the run, not to a network: `init` leaves it (step/lora.c) */
    bool unit_rows;       /* its rows [side[0]] have length 1, from the start on and after each step. Of a
                             method's state: from the start on */
} sb_entry;

/* Whether a norm gathers it from batch to batch. */
static inline bool sb_entry_gathered(const sb_entry *e)
{
    return e->kind == SB_ENTRY_STATISTIC && !e->extent.given;
}

typedef struct {
    sb_device *device;
    sb_entry *entries;
    int count;
    size_t floats[SB_ENTRY_KINDS]; /* of a section's arrays */
    bool closed;                   /* a section was made: no entry can be added any more */
} sb_store;

/* Device memory: an array for each kind of entry [floats of the kind], and the gradient of the weights, which
 * is NULL where the section is not trained. A section may have only the beginning of each array: a target
 * network has backbone and projector, which come first in the store. */
typedef struct {
    size_t floats[SB_ENTRY_KINDS];
    union { /* NULL where there are no entries of the kind */
        struct {
            float *weight, *statistic, *state;
        };
        float *array[SB_ENTRY_KINDS];
    };
    float *gradient;
    void *own; /* what lies under all of them; NULL: it is another's */
} sb_section;

void sb_store_init(sb_store *store, sb_device *device);
void sb_store_free(sb_store *store); /* sections are freed before; tolerates zeroes */

/* The entry of this name, added where there is none. Returns its index; -1: other sides under the same name,
 * too late, or out of memory. */
int sb_store_add(sb_store *store, const char *name, sb_entry_kind kind, const sb_extent *extent);

/* What a section of so many floats takes. trained: with a gradient. */
size_t sb_section_bytes(const size_t floats[SB_ENTRY_KINDS], bool trained);

/* A section, initialised from `seed`: entry i of a kind draws from stream (WEIGHTS, i, kind); gradients are
 * 0, running means 0 and variances 1. floats: how much of each array it has, to the end of an entry; NULL:
 * all. memory: as much as sb_section_bytes says, aligned to 256 bytes, which stays the caller's; NULL: the
 * section takes its own. */
int sb_section_create(sb_section *out, sb_store *store, const size_t floats[SB_ENTRY_KINDS], bool trained,
                      uint64_t seed, void *memory);

/* Copies as much of another section as this one has. */
int sb_section_assign(const sb_section *to, sb_store *store, const sb_section *from);
void sb_section_free(sb_section *section, sb_store *store);

#endif
