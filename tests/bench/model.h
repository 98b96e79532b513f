/* model.h: what a call of an operation should take on a GPU.
 *
 * A model, and no measurement: the bound of peak.h cannot be beaten, and this says how far from it each kind
 * of kernel is assumed to stay. All that is assumed stands in sb_assumed, with where it comes from.
 * tests/gpu.sh sets beside it what a GPU measures (beside.h).
 *
 *     seconds of a call = launches SB_MODEL_GAP + what is moved beside, at the bandwidth of a copy
 *                         + the longer of bytes / (bandwidth share) and operations / (peak share)
 *
 * A step takes what its calls take, one after the other, or what the host needs to queue them, or what its
 * pixels need to come up, whatever is longest: these go on beside each other. Left aside: what the GPU's
 * cache keeps from one call to the next, clocks that fall under load, other processes on the GPU. */
#ifndef SB_TESTS_BENCH_MODEL_H
#define SB_TESTS_BENCH_MODEL_H

#include "kernels/op.h"
#include "tests/bench/peak.h"

/* What was measured is as predicted if it is at most so many times more or less. */
#define SB_MODEL_FACTOR 1.5

#define SB_MODEL_GAP 1e-6     /* seconds on the GPU between two kernels that wait for each other */
#define SB_MODEL_QUEUE 3e-6   /* of the host, to queue a kernel of our own */
#define SB_MODEL_EXECUTE 8e-6 /* of the host, to queue a call of cuDNN or cuBLAS */
#define SB_MODEL_LINK 0.87    /* share of PCIe's bandwidth */

typedef enum {
    SB_KIND_VALUES,
    SB_KIND_NORM,
    SB_KIND_POOL,
    SB_KIND_WEIGHTS,
    SB_KIND_VIEW,
    SB_KIND_STEM,
    SB_KIND_POINT,
    SB_KIND_WINDOW,
    SB_KIND_DEPTHWISE,
    SB_KIND_ATTENTION,
    SB_KIND_PRODUCT,
    SB_KIND_PAIRS,
    SB_KINDS
} sb_kind;

typedef struct {
    const char *name;
    double bandwidth, f32, half; /* the shares that are reached; half: of the peak in bf16 and f16 */
    double moved;                /* in f32: bytes that are moved beside, in parts of the call's */
    double kernels[2];           /* launches of a call, forward and back: of our own, about; */
    double libraries[2];         /* and of cuDNN and cuBLAS */
    const char *source;          /* of the shares */
} sb_assumption;

extern const sb_assumption sb_assumed[SB_KINDS];

/* What a call asks. The type is that of the activations. */
typedef struct {
    sb_kind kind;
    bool backward;
    sb_type type;
    sb_cost cost;
} sb_work;

/* Of a call whose xs, `how` and `gradient` are known. */
sb_work sb_work_of(sb_op_id op, const sb_call *call, bool backward);

/* What a view of a crop asks: made by rows and columns, changed, and blurred in both directions or not. */
sb_cost sb_cost_of_view(int height, int width, int channels, int size, bool blurred);

double sb_work_bound(const sb_peak *gpu, const sb_work *w);   /* seconds at least */
double sb_work_seconds(const sb_peak *gpu, const sb_work *w); /* seconds as modelled */

/* Which share its seconds depend on, and what is assumed of it. */
typedef enum { SB_SHARE_BANDWIDTH, SB_SHARE_F32, SB_SHARE_HALF, SB_SHARES } sb_share;
sb_share sb_work_share(const sb_peak *gpu, const sb_work *w);
double sb_assumed_share(sb_kind kind, sb_share share);

/* The share with which the model would have given so many seconds. 0: launches, and what is moved beside, are
 * half of them or more, which say little of it. */
double sb_work_reached(const sb_peak *gpu, const sb_work *w, double seconds);

/* Prints what is assumed, as Markdown. */
void sb_model_print(void);

#endif
