/* op_cases.h: cases of operations (kernels/op.h). An operation's file, tests/kernels/NAME.c, has its
 * reference in double, the bounds, and shapes; how a case is run on a device follows here from the
 * operation's description, and so does every gradient case from its forward case.
 *
 * A forward case gives x and w, and looks at y and aux. A gradient case gives dy, and of x, y and aux only
 * what the operation says that it keeps: a kernel that reads more finds NULL. dx is written in one case, to
 * memory of its own and then over all that the operation allows (`over`), and added to what an earlier
 * consumer left in another; dw is added to what is there. The reference's gradient itself is compared with
 * finite differences of its forward. */
#ifndef SB_TESTS_OP_CASES_H
#define SB_TESTS_OP_CASES_H

#include "kernels/op.h"
#include "tests/kernels/cases.h"

/* One call in double. Arrays are NULL where there is none; a bound is NULL where only values are wanted (for
 * finite differences). */
typedef struct {
    const void *how;
    sb_shape xs[SB_INPUTS_MAX], ys, auxs;
    sb_extent ws[SB_WEIGHTS_MAX]; /* dims = 0 where the case leaves the weight out */
    double *x[SB_INPUTS_MAX], *w[SB_WEIGHTS_MAX], *y, *aux, *dy, *dx[SB_INPUTS_MAX], *dw[SB_WEIGHTS_MAX];
    const double *dx_held[SB_INPUTS_MAX],
        *dw_held[SB_WEIGHTS_MAX]; /* what they are added to; NULL: they are written */
    double *y_bound, *aux_bound, *dx_bound[SB_INPUTS_MAX], *dw_bound[SB_WEIGHTS_MAX];
} sb_reference;

typedef struct {
    sb_op_id op;
    bool updates; /* y holds something before the call: `fill` gives it too, and `forward` finds it in y */
    size_t how_bytes; /* of what `how` points to; at most SB_HOW_MAX */

    /* Gives x and w values that the case needs; NULL: all normal, of mean 0 and deviation 1. They are rounded
     * to their types afterwards. */
    void (*fill)(sb_trial *t, sb_reference *r);

    /* Sets y and aux, and their bounds: what a result may be off before it is rounded to its type. A bound of
     * 0 is already there. */
    void (*forward)(sb_reference *r);

    /* Sets dx and dw, without what they held before, and their bounds. The roundings of adding it once are in
     * the bound already; a kernel that sums on top of what was held rounds that with every term. NULL: there
     * is no gradient. */
    void (*backward)(sb_reference *r);

    /* Why the device cannot do this at all; NULL: it can. A case is skipped with this reason. */
    const char *(*lacks)(const sb_shape *xs, const sb_device *device);
} sb_op_test;

#define SB_HOW_MAX 96

/* |what element i is added to|; 0 where it is written. */
static inline double sb_held(const double *held, size_t i) { return held ? __builtin_fabs(held[i]) : 0; }

typedef struct {
    bool timed; /* its shape is a real one: for time mode alone */
    bool
        no_differences; /* not smooth at these values: the gradient is not compared with finite differences */
    bool nan;           /* NaN comes in, and has to come out */
    bool forward_only;  /* no backward follows (evaluation): aux is NULL, and there is no gradient case */
    unsigned no_dx;     /* a bit for each input whose gradient is not wanted; 1: the first layer's */
    unsigned without;   /* a bit for each weight that is NULL */
    unsigned in_place;  /* a bit for the input that y is written over; no gradient case follows */
} sb_op_options;

/* The arrays that `fill` gives values. */
static inline sb_array *sb_array_x(sb_trial *t, int i) { return &t->arrays[i]; }
static inline sb_array *sb_array_w(sb_trial *t, int i) { return &t->arrays[SB_INPUTS_MAX + i]; }

/* Adds the forward case and its gradient cases. xs: as many as the operation has inputs; n = 0 leaves an
 * optional one out. `how` is copied. */
void sb_op_case_add(const sb_op_test *test, const void *how, const sb_shape *xs, sb_op_options options,
                    const char *format, ...) __attribute__((format(printf, 5, 6)));

#endif
