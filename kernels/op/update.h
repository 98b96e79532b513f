/* update.h: an optimiser's step over a table of arrays at once, in f32. It is no node of a graph: it has no
 * tensors, and `how` names what it reads and changes. w: weight, g: its gradient, m and s: its state, wd:
 * weight decay, which is 0 for an array that is not `decayed`. lr: the learning rate times the array's
 * `rate`; for an array that is `steady`, steady_lr times it.
 *
 *   SGD     PyTorch's: m = momentum m + g + wd w; w -= lr m.
 *
 *   LARS    the same with trust |w| / |g + wd w| (g + wd w) in place of g + wd w. The factor is 1
 *           where either norm is 0 and where the array is not decayed. You et al. 2017, as the
 *           released code of Barlow Twins and VICReg has it: the momentum buffer holds updates
 *           without the learning rate.
 *
 *   AdamW   PyTorch's: m = beta1 m + (1 - beta1) g; s = beta2 s + (1 - beta2) g^2; w -= lr wd w;
 *           w -= lr m / (1 - beta1^k) / (sqrt(s / (1 - beta2^k)) + epsilon), k = step - frozen_until.
 *
 * Through step `frozen_until` of an array, neither it nor its state is touched.
 *
 * The state of an array that is `coded` is codes of 8 bits and the largest magnitudes of their blocks
 * (share/codes.h): a step reads them into f32, is made as above, and its new state goes back into codes.
 *
 * `packed` are the bytes of the table as a device wants it, which follow from the arrays' counts alone;
 * `pack` makes it. `forward` makes a step over the table that was packed, with the values that `how` holds
 * when it is called. */
#ifndef SB_KERNELS_OP_UPDATE_H
#define SB_KERNELS_OP_UPDATE_H

#include "kernels/op.h"

#define SB_UPDATE_STATES 2

/* One array of weights. The optimiser's state is 1 (SGD, LARS) or 2 (AdamW) arrays of `count`: array k at
 * state + k * state_stride, or, coded, in codes[k] [count] and maxima[k] [blocks]. */
typedef struct {
    float *weight;
    const float *gradient;
    float *state;
    size_t state_stride;
    uint8_t *codes[SB_UPDATE_STATES];
    float *maxima[SB_UPDATE_STATES];
    bool coded;
    size_t count;
    bool decayed;         /* weight decay and LARS's factor apply: to matrices, not to biases nor to norms */
    float rate;           /* of the learning rate; 1 is all of it */
    bool steady;          /* the learning rate is steady_lr */
    int64_t frozen_until; /* a step's number; 0: never */
} sb_update_array;

typedef enum { SB_UPDATE_SGD, SB_UPDATE_LARS, SB_UPDATE_ADAMW } sb_update_rule;

typedef struct {
    sb_update_rule rule;
    float lr, steady_lr, momentum, weight_decay;
    float trust;         /* LARS */
    double beta1, beta2; /* AdamW; in f32, 1 - beta2 would keep five digits */
    float epsilon;
    int64_t step; /* 1 for the first */
} sb_update_values;

typedef struct {
    const sb_update_array *arrays; /* [count], in host memory; what they point to is the device's */
    int count;
    sb_update_values values;
} sb_update_how;

/* The learning rate of an array, without its `rate`. */
SB_SHARED float sb_update_lr(const sb_update_array *array, float lr, float steady_lr)
{
    return array->steady ? steady_lr : lr;
}

#endif
