/* epps_pulley.h: how far each column of a matrix is from normal numbers of mean 0 and deviation 1: the
 * statistic of Epps and Pulley 1983 as LeJEPA's SIGReg has it (Balestriero and LeCun 2025), f32. x [V N, M]
 * is V views of N rows, rows n h w; y [V, M] has one number for each view and column. At knots t_j =
 * j step, step = last / (knots - 1), the means over a view's rows of cos(t_j x) and sin(t_j x) are compared
 * with a normal's, phi_j = exp(-t_j^2 / 2) and 0:
 *   y = N sum_j w_j (d_j^2 + s_j^2), d_j = mean cos(t_j x) - phi_j, s_j = mean sin(t_j x),
 * w_j = 2 step phi_j, and half of that at both ends.
 * aux [V, knots, 2, M]: d_j, s_j.
 * backward: dx = 2 dy sum_j w_j t_j (s_j cos(t_j x) - d_j sin(t_j x)).
 *
 * An angle t_j x is rounded in f64: beyond 1e9 it begins to lose digits that f32 has, and beyond 1e15 its
 * sine means nothing. */
#ifndef SB_KERNELS_OP_EPPS_PULLEY_H
#define SB_KERNELS_OP_EPPS_PULLEY_H

#include <math.h>

#include "kernels/op.h"

#define SB_KNOTS_MAX 1024

typedef struct {
    int samples; /* N */
    int knots;   /* 2 .. SB_KNOTS_MAX */
    float last;
} sb_epps_pulley_how;

/* A call as the devices see it. */
typedef struct {
    int views, samples, columns, knots;
    double step;
} sb_epps_pulley;

static inline sb_epps_pulley sb_epps_pulley_of(const sb_call *call)
{
    const sb_epps_pulley_how *how = (const sb_epps_pulley_how *)call->how;
    sb_epps_pulley s = { call->ys.n, how->samples, call->ys.c, how->knots,
                         (double)how->last / (how->knots - 1) };
    return s;
}

/* phi_j. */
SB_SHARED double sb_epps_pulley_normal(const sb_epps_pulley *s, int knot)
{
    double t = knot * s->step;
    return exp(-t * t / 2);
}

/* w_j. */
SB_SHARED double sb_epps_pulley_weight(const sb_epps_pulley *s, int knot)
{
    double share = knot == 0 || knot == s->knots - 1 ? s->step : 2 * s->step;
    return share * sb_epps_pulley_normal(s, knot);
}

#endif
