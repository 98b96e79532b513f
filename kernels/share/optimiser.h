/* optimiser.h: what the optimisers do to one element, f32, the same on every device (C and CUDA C compile
 * this file, without contraction). */
#ifndef SB_KERNELS_OPTIMISER_H
#define SB_KERNELS_OPTIMISER_H

#include <math.h>

#include "kernels/share/share.h"

/* m = momentum m + scale (g + decay w); w -= lr m */
SB_SHARED void sb_momentum_element(float *w, float *m, float g, float lr, float momentum, float decay,
                                   float scale)
{
    *m = momentum * *m + scale * (g + decay * *w);
    *w -= lr * *m;
}

/* AdamW's values of a step: a moving average is keep * old + take * new. left: what decay leaves of a weight;
 * size: lr / (1 - beta1^t); root: sqrt(1 - beta2^t). From f64, since 1 - beta2 in f32 would keep five digits.
 */
typedef struct {
    float keep1, take1, keep2, take2, epsilon, left, size, root;
} sb_adamw_values;

/* The values for an array at rate 1 that is not decayed. */
SB_SHARED sb_adamw_values sb_adamw_of(double beta1, double beta2, float epsilon, float lr, double step)
{
    sb_adamw_values v;
    v.keep1 = (float)beta1;
    v.take1 = (float)(1 - beta1);
    v.keep2 = (float)beta2;
    v.take2 = (float)(1 - beta2);
    v.epsilon = epsilon;
    v.left = 1;
    v.size = (float)(lr / (1 - pow(beta1, step)));
    v.root = (float)sqrt(1 - pow(beta2, step));
    return v;
}

/* The same with an array's own decay and rate. */
SB_SHARED sb_adamw_values sb_adamw_at(sb_adamw_values v, float lr, float decay, float rate)
{
    v.left = 1 - lr * rate * decay;
    v.size *= rate;
    return v;
}

SB_SHARED void sb_adamw_element(float *w, float *m, float *s, float g, const sb_adamw_values *v)
{
    *m = v->keep1 * *m + v->take1 * g;
    *s = v->keep2 * *s + v->take2 * g * g;
    *w = *w * v->left - v->size * *m / (sqrtf(*s) / v->root + v->epsilon);
}

#endif
