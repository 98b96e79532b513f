/* norm.c: how long a step's gradient is, and where it is not finite (step.h). A ReLU, a maximum or a share of
 * 0 can keep what is not finite from the loss; the squares of all gradients cannot. */
#include <math.h>
#include <stdlib.h>

#include "kernels/op/row_dot.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "trainer/step/private.h"

#define PIECE 4096 /* gradients whose squares are added up on the device */

size_t sb_step_norm_pieces(const sb_step *s)
{
    return (s->store.floats[SB_ENTRY_WEIGHT] + PIECE - 1) / PIECE;
}

/* The squares of rows of `columns` gradients from `at` on. */
static int add_squares(const sb_step *s, size_t at, size_t rows, size_t columns, float *to)
{
    const sb_shape x = { (int)rows, 1, 1, (int)columns, SB_F32 }, y = { (int)rows, 1, 1, 1, SB_F32 };
    const float *gradient = s->section.gradient + at;
    const sb_call call = { .xs = { x, x }, .ys = y, .x = { gradient, gradient }, .y = to };
    return rows > 0 && columns > 0 ? sb_forward(s->device, SB_OP_ROW_DOT, &call) : 0;
}

/* Whether a gradient of an entry is not finite; -1. */
static int is_wrong(const sb_step *s, const sb_entry *e, float *host)
{
    sb_device *d = s->device;
    bool wrong = false;
    if (d->copy(d, SB_STREAM_COMPUTE, host, s->section.gradient + e->offset, e->count * sizeof *host,
                SB_TO_HOST) != 0 ||
        d->wait(d, SB_STREAM_COMPUTE) != 0)
        return -1;
    for (size_t i = 0; i < e->count && !wrong; i++)
        wrong = !isfinite(host[i]);
    return wrong;
}

/* Says in which tensors a gradient is not finite. Always -1. */
static int fail(const sb_step *s)
{
    const char *first = NULL;
    int wrong = 0, all = 0;
    float *host = sb_zeroed(s->store.floats[SB_ENTRY_WEIGHT], sizeof *host, "a gradient");
    for (int i = 0; i < s->store.count && host; i++) {
        const sb_entry *e = &s->store.entries[i];
        if (e->kind != SB_ENTRY_WEIGHT)
            continue;
        const int rc = is_wrong(s, e, host);
        if (rc < 0)
            break;
        all++;
        wrong += rc;
        first = rc && !first ? e->name : first;
    }
    free(host);
    return first ? sb_fail("its gradient is not finite in %d of %d tensors, of which %s is the first: lower "
                           "optimiser.lr or raise optimiser.warmup",
                           wrong, all, first)
                 : sb_fail("its gradient is longer than f32 can say: lower optimiser.lr or raise "
                           "optimiser.warmup");
}

int sb_step_measure_gradient(sb_step *s)
{
    sb_device *d = s->device;
    const size_t all = s->store.floats[SB_ENTRY_WEIGHT], whole = all / PIECE, pieces = sb_step_norm_pieces(s);
    double squares = 0;
    if (add_squares(s, 0, whole, PIECE, s->squares) != 0 ||
        add_squares(s, whole * PIECE, 1, all % PIECE, s->squares + whole) != 0 ||
        d->copy(d, SB_STREAM_COMPUTE, s->squares_host, s->squares, pieces * sizeof *s->squares, SB_TO_HOST) !=
            0 ||
        d->wait(d, SB_STREAM_COMPUTE) != 0)
        return -1;
    for (size_t i = 0; i < pieces; i++)
        squares += (double)s->squares_host[i];
    s->gradient_norm = sqrt(squares);
    return isfinite(squares) ? 0 : fail(s);
}

double sb_step_gradient_norm(const sb_step *s) { return s->gradient_norm; }
