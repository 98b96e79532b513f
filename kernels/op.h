/* op.h: what an operation is, and what one call of it may touch.
 *
 * DESIGN. An operation (convolution, batch norm, linear, ...) is described once, in op/NAME.c, and computed
 * once for each device, in cpu/NAME.c and cuda/NAME.cu. All operations have the same signature, so that a
 * graph, a plan, a count and a test know none of them by name. op/NAME.h says what it computes and declares
 * `how`: the typed numbers that a call needs beside its tensors (kernel size, stride, temperature). Adding
 * one means these four files, its cases in tests/kernels/NAME.c, and its line in ops.def.
 *
 * Conventions. Activations are f32, bf16 or f16, and lie in rows (NHWC, row-major) or in blocks of channels,
 * as the device chooses for each call (`layout`). What an operation is does not depend on that: its `shape`,
 * `aux` and weights are of rows, and a kernel that has no `layout` is given rows alone. Weights, their
 * gradients, statistics, and everything behind the backbone are f32. A gradient dx is written, or added to
 * where an earlier consumer of x has written it already (`add`). A gradient dw is always added to what is
 * there. Sums have a fixed order that depends only on shapes and on the number of threads: the same call
 * gives the same bytes. Functions return 0, or -1 with sb_error set. */
#ifndef SB_KERNELS_OP_H
#define SB_KERNELS_OP_H

#include "kernels/device.h"
#include "kernels/share/share.h"

#define SB_INPUTS_MAX 3
#define SB_WEIGHTS_MAX 3

/* A tensor: n images of h x w places of c channels. A matrix of n rows and c columns has h = w = 1; any
 * tensor is one of n h w rows and c columns. n = 0: there is none (an optional input).
 *
 * block: how it lies in memory. 0: rows, [n][h][w][c]. 8 or 16: [n][c / block][h][w][block], with c rounded
 * up to whole blocks. The channels behind c are zeros, in values and in gradients: whoever writes such a
 * tensor writes them, whoever reads it may count on them. */
typedef struct {
    int n, h, w, c;
    sb_type type;
    int block;
} sb_shape;

SB_SHARED size_t sb_shape_rows(const sb_shape *s) { return (size_t)s->n * (size_t)s->h * (size_t)s->w; }

/* The types that are computed with. */
SB_SHARED bool sb_type_real(sb_type type) { return type == SB_F32 || type == SB_BF16 || type == SB_F16; }

static inline bool sb_block_known(int block) { return block == 0 || block == 8 || block == 16; }

/* Of a row as it lies in memory: c, or what fills the blocks. */
SB_SHARED size_t sb_shape_channels(const sb_shape *s)
{
    size_t block = s->block > 0 ? (size_t)s->block : 1;
    return ((size_t)s->c + block - 1) / block * block;
}

/* What it takes in memory. */
SB_SHARED size_t sb_shape_elements(const sb_shape *s) { return sb_shape_rows(s) * sb_shape_channels(s); }
SB_SHARED size_t sb_shape_bytes(const sb_shape *s) { return sb_shape_elements(s) * sb_type_bytes(s->type); }

/* Where a channel of a row (place `row % (h w)` of image `row / (h w)`) lies: an index of elements. */
SB_SHARED size_t sb_shape_at(const sb_shape *s, size_t row, size_t channel)
{
    size_t channels = sb_shape_channels(s), block = s->block > 0 ? (size_t)s->block : channels,
           places = (size_t)s->h * (size_t)s->w;
    return row / places * places * channels + (channel / block * places + row % places) * block +
           channel % block;
}

/* How an entry begins: zeros; ones; all `size`; normal numbers of deviation `size`; normal numbers after He
 * et al. 2015, by the values that meet in an output (fan-in, side[1] and what follows) or that an input goes
 * to (fan-out, side[0] and from side[2]); uniform ones from -`size` to `size`; the fixed positions of a grid
 * (share/sincos.h) behind rows of zeros; means of 0 and variances of 1, for what a norm gathers and nobody
 * learns. */
typedef enum {
    SB_INIT_ZERO,
    SB_INIT_ONE,
    SB_INIT_CONSTANT,
    SB_INIT_NORMAL,
    SB_INIT_FAN_IN,
    SB_INIT_FAN_OUT,
    SB_INIT_UNIFORM,
    SB_INIT_POSITIONS,
    SB_INIT_STATISTIC
} sb_init;

/* A weight: an f32 array in the order of sides in which a checkpoint has it. dims = 0: there is none. */
typedef struct {
    int dims;
    int64_t side[4];
    const char *name; /* behind the node's: "weight" */
    sb_init init;
    float size;        /* of init, where it says so */
    bool decayed;      /* weight decay and LARS' adaptation apply to it */
    bool standardised; /* what computes with it makes its rows standard first (standard_rows.h) */
    bool given; /* it stays as it was given and has no gradient; a statistic is used in training, too */
} sb_extent;

static inline size_t sb_extent_count(const sb_extent *e)
{
    size_t count = e->dims > 0;
    for (int d = 0; d < e->dims; d++)
        count *= (size_t)e->side[d];
    return count;
}

/* What a backward call reads, beside dy: a bit for each input, one for the output, one for aux. */
#define SB_KEEPS_X(i) (1u << (i))
#define SB_KEEPS_Y (1u << 3)
#define SB_KEEPS_AUX (1u << 4)

/* Beside these, for `over`: dy. */
#define SB_OVER_DY (1u << 5)

/* What a call moves and computes at least, if each value that it needs is read once: for predictions, not for
 * timing. */
typedef struct {
    double bytes, operations;
} sb_cost;

/* What an operation is, the same for all devices. */
typedef struct {
    const char *name;
    int inputs; /* at most; optional ones come last */

    /* The output's shape, of inputs in rows; refuses what no device computes, with the numbers in the error.
     * NULL: no node of a graph (an optimiser's step). */
    int (*shape)(const void *how, const sb_shape *xs, sb_shape *y);

    /* SB_KEEPS_* of a backward call. NULL: there is no gradient. */
    unsigned (*keeps)(const void *how, const sb_shape *xs);

    /* What a backward call may write dx[i] over, SB_KEEPS_X and _Y and SB_OVER_DY, where dx[i] is written and
     * not added to: of one shape and layout with it, and no kernel of any device reads a value of it after it
     * has written the one of dx[i] in that place. Two gradients of a call are written over two tensors. */
    unsigned over[SB_INPUTS_MAX];

    /* What forward leaves for backward beside the output (places of maxima; mean and variance). NULL:
     * nothing. */
    sb_shape (*aux)(const void *how, const sb_shape *xs);

    /* The weights. NULL: none. */
    void (*weights)(const void *how, const sb_shape *xs, sb_extent w[SB_WEIGHTS_MAX]);

    /* Of a forward call, or of a backward call that gives every gradient. */
    sb_cost (*cost)(const void *how, const sb_shape *xs, bool backward);
} sb_op;

/* Everything that one call may touch, in device memory. Tensors, packed and scratch are aligned as `alloc`
 * aligns. Two inputs may be one tensor. For that case gradients are given from the last input to the first:
 * each one after the first that is given is added to what is there. */
typedef struct {
    const void *how;
    sb_shape xs[SB_INPUTS_MAX], ys;
    bool gradient[SB_INPUTS_MAX]; /* known when it is planned: dx[i] will be wanted */
    const void *x[SB_INPUTS_MAX]; /* backward: NULL where the operation does not keep it */
    void *y, *aux;
    const void *dy;
    void *dx[SB_INPUTS_MAX]; /* NULL: not wanted */
    bool add[SB_INPUTS_MAX]; /* known when it is planned: dx[i] holds an earlier consumer's, to be added to */
    const float *w[SB_WEIGHTS_MAX];
    float *dw[SB_WEIGHTS_MAX]; /* added to; NULL: not wanted */
    void *packed, *scratch, *planned;
} sb_call;

/* How one device computes an operation. NULL: not needed. */
struct sb_kernel {
    /* How it wants to be called: finds in the `block` of each input how that comes, and in the output's 0;
     * sets all of them. The plan converts what comes in another layout. A gradient lies as its tensor does.
     * Asked before all else: arithmetic on the call's shapes, `how` and `gradient`. NULL: rows. */
    void (*layout)(sb_device *device, sb_call *call);

    /* scratch: the bytes that forward, backward and pack work in. packed: the bytes of the weights in the
     * device's own form. For a call that is not planned yet, both are a promise: arithmetic on its shapes,
     * `how`, `gradient` and `add`, which creates nothing. For a planned call they are what it takes, which is
     * never more than was promised. */
    size_t (*scratch)(sb_device *device, const sb_call *call);
    size_t (*packed)(sb_device *device, const sb_call *call);

    /* To be called before the functions below. plan sets call->planned, which unplan frees. It does not
     * choose a way that takes more memory than was promised; where it has no other, it fails. */
    int (*plan)(sb_device *device, sb_call *call);
    void (*unplan)(sb_device *device, void *planned);

    /* w -> packed, after every change of the weights. */
    int (*pack)(sb_device *device, const sb_call *call);
    int (*forward)(sb_device *device, const sb_call *call);
    int (*backward)(sb_device *device, const sb_call *call);

    /* A call rounds its weight gradients to the type of x before it adds them to dw. */
    bool rounds_dw;
};

#define SB_OP(NAME, name) SB_OP_##NAME,
typedef enum {
#include "kernels/ops.def"
    SB_OPS
} sb_op_id;
#undef SB_OP

#define SB_OP(NAME, name) extern const sb_op sb_op_##name;
#include "kernels/ops.def"
#undef SB_OP

extern const sb_op *const sb_ops[SB_OPS];

/* The `shape` of an operation, for tensors that come from anywhere: refuses what does not lie in rows. */
int sb_op_shape(sb_op_id op, const void *how, const sb_shape *xs, sb_shape *y);

/* A check for the `shape` of an operation that takes f32 alone: -1, with x in the error, if x is empty, not
 * f32, or of more than INT_MAX rows. */
int sb_shape_check_f32(const char *operation, const sb_shape *x);

/* The same for the `shape` of one that takes bf16 and f16, too. */
int sb_shape_check_real(const char *operation, const sb_shape *x);

/* A check of places (share/overlap.h), which may be left out, beside pairs of so many rows and columns: -1 if
 * they are not those of one sample for each row, which is that of the column with its number, too. */
int sb_shape_check_places(const char *operation, const sb_shape *places, size_t rows, size_t columns);

/* As sb_shape_check_f32 where x and more must be of one shape. */
int sb_shape_check_alike(const char *operation, const sb_shape *x, const sb_shape *more);

static inline int sb_forward(sb_device *device, sb_op_id op, const sb_call *call)
{
    return device->kernels[op]->forward(device, call);
}
static inline int sb_backward(sb_device *device, sb_op_id op, const sb_call *call)
{
    return device->kernels[op]->backward(device, call);
}
static inline size_t sb_scratch(sb_device *device, sb_op_id op, const sb_call *call)
{
    return device->kernels[op]->scratch ? device->kernels[op]->scratch(device, call) : 0;
}

#endif
