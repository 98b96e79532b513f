/* random.h: counter-based random streams (Philox 4x32-10; Salmon et al., "Parallel random numbers: as easy as
 * 1, 2, 3", 2011).
 *
 * A stream is a pure function of (seed, purpose, a, b, c): no state is ever saved, and any process or device
 * can draw the same numbers again. Plain integer arithmetic, so that C and CUDA C compile this same file and
 * agree bit by bit. */
#ifndef SB_PROTO_RANDOM_H
#define SB_PROTO_RANDOM_H

#include <stdint.h>

#ifdef __CUDACC__
#define SB_RANDOM_FN static inline __host__ __device__
#else
#define SB_RANDOM_FN static inline
#endif

/* What a stream is for. Values are part of what makes a run repeatable: never renumber. */
typedef enum {
    SB_RANDOM_WEIGHTS = 1,  /* initial weights: a = parameter index; a method's state: the same, and b = 2 */
    SB_RANDOM_IMAGES = 2,   /* order of the images: a = epoch */
    SB_RANDOM_TILES = 3,    /* order of the tiles of a window: a = epoch, b = window */
    SB_RANDOM_CROP = 4,     /* where a tile lies: a = epoch, b = position, c = attempt */
    SB_RANDOM_VIEW = 5,     /* parameters of a view: a = epoch, b = position, c = view */
    SB_RANDOM_CHUNKS = 6,   /* the second view's permutation over the chunks: a = step */
    SB_RANDOM_REPLACE = 7,  /* replacement of a bad image: a = epoch, b = position, c = attempt */
    SB_RANDOM_EVALUATE = 8, /* views of the evaluator: a = tile, b = view; c = 1: what its measures draw */
    SB_RANDOM_METHOD = 9,   /* what a method draws: a, b = step, c = which */
    SB_RANDOM_MASK = 10     /* which cells of a view are hidden: a = batch, b = view, c = sample */
} sb_random_purpose;

typedef struct {
    uint32_t key[2];
    uint32_t counter[4]; /* counter[0] counts blocks of four numbers within the stream */
    uint32_t block[4];
    int used; /* numbers of `block` given out; 4 = none left */
} sb_random;

SB_RANDOM_FN void sb_philox(const uint32_t key_in[2], const uint32_t counter[4], uint32_t out[4])
{
    uint32_t k0 = key_in[0], k1 = key_in[1];
    uint32_t x0 = counter[0], x1 = counter[1], x2 = counter[2], x3 = counter[3];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * x0, p1 = (uint64_t)0xCD9E8D57u * x2;
        uint32_t y0 = (uint32_t)(p1 >> 32) ^ x1 ^ k0, y2 = (uint32_t)(p0 >> 32) ^ x3 ^ k1;
        x1 = (uint32_t)p1;
        x3 = (uint32_t)p0;
        x0 = y0;
        x2 = y2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = x0;
    out[1] = x1;
    out[2] = x2;
    out[3] = x3;
}

/* Starts the stream of (seed, purpose, a, b, c). One Philox block hashes them into the key, so that no two
 * streams overlap. */
SB_RANDOM_FN void sb_random_init(sb_random *r, uint64_t seed, sb_random_purpose purpose, uint32_t a,
                                 uint32_t b, uint32_t c)
{
    uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) }, counter[4] = { a, b, c, (uint32_t)purpose },
             hash[4];
    sb_philox(key, counter, hash);
    r->key[0] = hash[0];
    r->key[1] = hash[1];
    r->counter[0] = 0;
    r->counter[1] = hash[2];
    r->counter[2] = hash[3];
    r->counter[3] = (uint32_t)purpose;
    r->block[0] = r->block[1] = r->block[2] = r->block[3] = 0;
    r->used = 4;
}

SB_RANDOM_FN uint32_t sb_random_u32(sb_random *r)
{
    if (r->used == 4) {
        sb_philox(r->key, r->counter, r->block);
        r->counter[0]++;
        r->used = 0;
    }
    return r->block[r->used++];
}

/* Uniform in [0, 1), 24 bits: exact in float. */
SB_RANDOM_FN float sb_random_uniform(sb_random *r)
{
    return (float)(sb_random_u32(r) >> 8) * (1.0f / 16777216.0f);
}

/* Uniform in 0 .. n-1 without bias (Lemire 2019); n >= 1. */
SB_RANDOM_FN uint32_t sb_random_below(sb_random *r, uint32_t n)
{
    uint64_t product = (uint64_t)sb_random_u32(r) * n;
    if ((uint32_t)product < n) {
        uint32_t threshold = (uint32_t)(-n) % n;
        while ((uint32_t)product < threshold)
            product = (uint64_t)sb_random_u32(r) * n;
    }
    return (uint32_t)(product >> 32);
}

#endif
