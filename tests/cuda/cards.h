/* cards.h: GPUs that need not be there. cuDNN builds plans for a device property, which is a text. So the
 * real library can be asked what it would do on cards that people own. The cards' figures are the published
 * ones. What a card would compute, and how fast, is not known here.
 *
 * A program that links cards.c has its calls of cuDNN wrapped (WRAPPED in kernels/cuda/rules.mk): handles are
 * made without a driver, plans and heuristics get the property of the card that is in use in place of the
 * handle, and nothing is executed. The rest is the library's own. */
#ifndef SB_TESTS_CUDA_CARDS_H
#define SB_TESTS_CUDA_CARDS_H

#include <stddef.h>

typedef struct {
    const char *name;
    int capability; /* 89: sm_89 */
    int processors; /* multiprocessors (SM), each with these: */
    int threads, blocks;
    int shared, reserved;    /* bytes of shared memory: a block may ask for; the system keeps beside it */
    int memory, cache;       /* MiB; the cache is L2 */
    int clock, memory_clock; /* MHz: boost; as drivers report it */
} sb_card;

#define SB_CARDS 6
extern const sb_card sb_cards[SB_CARDS];

/* Uses this card from now on; before the first call, the last of sb_cards is used. 0, or -1 with sb_error. */
int sb_card_use(const sb_card *card);

#endif
