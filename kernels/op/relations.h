/* relations.h: how far the places of an image are from relating to each other as a teacher's do, place by
 * place: the divergence of the student's relations from the teacher's, f32:
 *
 *     p_m. = softmax(<t_m, t_.> / T),   q_m. = softmax(<s_m, s_.> / T)   over all places of the image, m too
 *     y_m  = sum_j p_mj log(p_mj / q_mj)
 *     dS   = (G + G') S,   G_mj = dy_m / T (q_mj - p_mj),   S: the rows s_m of the image
 *
 * x[0]: s [n, h, w, d]. x[1]: t [n, h, w, e], through which no gradient goes: who builds a graph stops it
 * there (build.h does). y [n, h, w, 1]. aux, f32 [n, h, w, 2]: log sum_j exp of the logits of s, and of t.
 * The matrices are in memory for SB_RELATIONS_BAND places of one image at a time. (The local term of
 * LightlyTrain's distillation.) */
#ifndef SB_KERNELS_OP_RELATIONS_H
#define SB_KERNELS_OP_RELATIONS_H

#include "kernels/op.h"

#define SB_RELATIONS_BAND 256

typedef struct {
    float temperature;
} sb_relations_how;

/* A call as the devices see it. */
typedef struct {
    int images, places;
    int width, teacher; /* d, e */
    int band;           /* places whose relations are in memory at once */
    float scale;        /* 1 / temperature */
} sb_relations;

static inline sb_relations sb_relations_of(const sb_call *call)
{
    const sb_shape *x = &call->xs[0];
    const int places = x->h * x->w;
    sb_relations s = { x->n,
                       places,
                       x->c,
                       call->xs[1].c,
                       places < SB_RELATIONS_BAND ? places : SB_RELATIONS_BAND,
                       1 / ((const sb_relations_how *)call->how)->temperature };
    return s;
}

/* Of one of the two matrices. */
static inline size_t sb_relations_floats(const sb_relations *s)
{
    return (size_t)s->band * (size_t)s->places;
}

#endif
