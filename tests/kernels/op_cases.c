/* op_cases.c: see op_cases.h. A case's parameters are what sb_op_case_add was given; its arrays stand in the
 * order below. */
#include "tests/kernels/op_cases.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const sb_op_test *test;
    sb_shape xs[SB_INPUTS_MAX];
    sb_op_options options;
    bool backward;
    unsigned add; /* a bit for each input whose gradient is added */
    int came;     /* in blocks of so many channels; 0: rows, whatever the device would like better */
    _Alignas(16) unsigned char how[SB_HOW_MAX];
} op_case;

enum {
    X,
    W = X + SB_INPUTS_MAX,
    Y = W + SB_WEIGHTS_MAX,
    AUX,
    DY,
    DX,
    DW = DX + SB_INPUTS_MAX,
    ARRAYS = DW + SB_WEIGHTS_MAX
};
_Static_assert(ARRAYS <= SB_ARRAYS_MAX, "every array of a call has its place");

static const op_case *of(const sb_trial *t) { return t->parameters; }
static const sb_op *op_of(const op_case *c) { return sb_ops[c->test->op]; }

/* Shapes and values as the reference sees them. */
static sb_reference reference_of(const sb_trial *t)
{
    const op_case *c = of(t);
    const sb_op *op = op_of(c);
    sb_reference r = { .how = c->how };
    memcpy(r.xs, c->xs, sizeof r.xs);
    if (op->shape(c->how, c->xs, &r.ys) != 0)
        abort();
    if (op->aux && !c->options.forward_only)
        r.auxs = op->aux(c->how, c->xs);
    if (op->weights)
        op->weights(c->how, c->xs, r.ws);
    for (int i = 0; i < SB_WEIGHTS_MAX; i++)
        if (c->options.without >> i & 1)
            r.ws[i].dims = 0;
    if (t->array_count == ARRAYS) {
        for (int i = 0; i < SB_INPUTS_MAX; i++)
            r.x[i] = t->arrays[X + i].value;
        for (int i = 0; i < SB_WEIGHTS_MAX; i++)
            r.w[i] = t->arrays[W + i].value;
    }
    return r;
}

/* Whether a backward call gives dx[i]. */
static bool gradient_wanted(const op_case *c, int i)
{
    bool none = c->options.forward_only || (c->options.no_dx >> i & 1);
    return op_of(c)->keeps && c->xs[i].n > 0 && sb_array_real(sb_array_type_of(c->xs[i].type)) && !none;
}

static sb_array *declare(sb_trial *t, const char *name, const sb_shape *shape, sb_array_role role, bool there)
{
    return sb_array_add(t, name, sb_array_type_of(shape->type), role, there ? sb_shape_elements(shape) : 0);
}

static sb_call call_of(const sb_trial *t)
{
    const op_case *c = of(t);
    sb_reference r = reference_of(t);
    sb_call call = { .how = c->how, .ys = r.ys };
    memcpy(call.xs, r.xs, sizeof call.xs);
    for (int i = 0; i < SB_INPUTS_MAX; i++) {
        call.gradient[i] = gradient_wanted(c, i);
        call.add[i] = c->add >> i & 1;
    }
    return call;
}

static void prepare(sb_trial *t)
{
    static const char *const x_names[] = { "x0", "x1", "x2" }, *const dx_names[] = { "dx0", "dx1", "dx2" };
    static const char *const w_names[] = { "w0", "w1", "w2" }, *const dw_names[] = { "dw0", "dw1", "dw2" };
    const op_case *c = of(t);
    sb_reference r = reference_of(t);
    t->nan = c->options.nan;
    sb_array_role made = c->backward ? SB_ARRAY_GIVEN : SB_ARRAY_WRITTEN;
    for (int i = 0; i < SB_INPUTS_MAX; i++)
        declare(t, x_names[i], &r.xs[i], SB_ARRAY_GIVEN, true);
    for (int i = 0; i < SB_WEIGHTS_MAX; i++)
        sb_array_add(t, w_names[i], SB_ARRAY_F32, SB_ARRAY_GIVEN, sb_extent_count(&r.ws[i]));
    declare(t, "y", &r.ys, c->test->updates || c->options.in_place ? SB_ARRAY_UPDATED : made, true);
    declare(t, "aux", &r.auxs, made, true);
    declare(t, "dy", &r.ys, SB_ARRAY_GIVEN, c->backward);
    for (int i = 0; i < SB_INPUTS_MAX; i++) {
        bool wanted = c->backward && gradient_wanted(c, i);
        sb_array *dx = declare(t, dx_names[i], &r.xs[i],
                               c->add >> i & 1 ? SB_ARRAY_UPDATED : SB_ARRAY_WRITTEN, wanted);
        dx->gradient_of = c->options.no_differences || c->options.nan ? -1 : X + i;
        if (c->add >> i & 1)
            sb_fill_normal(t, dx, 0, 1);
    }
    for (int i = 0; i < SB_WEIGHTS_MAX; i++) {
        sb_array *dw = sb_array_add(t, dw_names[i], SB_ARRAY_F32, SB_ARRAY_UPDATED,
                                    c->backward && !r.ws[i].given ? sb_extent_count(&r.ws[i]) : 0);
        dw->gradient_of = c->options.no_differences || c->options.nan ? -1 : W + i;
        sb_fill_normal(t, dw, 0, 1);
    }
    const sb_call call = call_of(t);
    t->work = sb_work_of(c->test->op, &call, c->backward);
    r = reference_of(t);
    r.y = t->arrays[Y].value;
    if (c->test->fill)
        c->test->fill(t, &r);
    for (int i = X; i < (c->test->updates ? AUX : Y); i++) {
        if (!c->test->fill)
            sb_fill_normal(t, &t->arrays[i], 0, 1);
        sb_array_round(&t->arrays[i]);
    }
    for (int i = 0; i < SB_INPUTS_MAX; i++)
        if (c->options.in_place >> i & 1)
            memcpy(t->arrays[Y].value, t->arrays[X + i].value, t->arrays[Y].count * sizeof(double));
    if (!c->backward)
        return;
    sb_fill_normal(t, &t->arrays[DY], 0.1, 1);
    if (c->options.timed && !(op_of(c)->keeps(c->how, c->xs) & (SB_KEEPS_Y | SB_KEEPS_AUX)))
        return; /* a real shape takes the reference long, and nothing reads what it would leave */
    r.y = t->arrays[Y].value; /* what the forward call left */
    r.aux = t->arrays[AUX].value;
    c->test->forward(&r);
    sb_array_round(&t->arrays[Y]);
    sb_array_round(&t->arrays[AUX]);
}

/* ---- on a device --------------------------------------------------------------------------------------- */

/* The layouts that the device wants where all inputs come in blocks of `came`. Its tensors are rows apart
 * from that. */
static void lay_out(sb_device *device, sb_op_id op, int came, sb_call *call)
{
    for (int i = 0; i < SB_INPUTS_MAX; i++)
        call->xs[i].block = call->xs[i].n > 0 ? came : 0;
    device->kernels[op]->layout(device, call);
}

/* Where a case comes in blocks: whether the device takes it in such, and they are whole: every place has a
 * value. */
static bool concerns(const void *parameters, sb_device *device)
{
    const op_case *c = parameters;
    const sb_kernel *k = device->kernels[c->test->op];
    sb_call call = { .how = c->how };
    bool blocks = false, whole = true;
    if (c->came == 0)
        return true;
    if (!k->layout)
        return false;
    memcpy(call.xs, c->xs, sizeof call.xs);
    for (int i = 0; i < SB_INPUTS_MAX; i++)
        call.gradient[i] = gradient_wanted(c, i);
    if (op_of(c)->shape(c->how, c->xs, &call.ys) != 0)
        abort();
    lay_out(device, c->test->op, c->came, &call);
    for (int i = 0; i <= SB_INPUTS_MAX; i++) {
        const sb_shape *s = i < SB_INPUTS_MAX ? &call.xs[i] : &call.ys;
        blocks = blocks || s->block == c->came;
        whole = whole && sb_shape_channels(s) == (size_t)s->c;
    }
    return blocks && whole;
}

/* The call in the layouts that the device wants, and its arrays likewise. */
static void lay_out_trial(sb_trial *t, sb_device *device, sb_call *call)
{
    lay_out(device, of(t)->test->op, of(t)->came, call);
    for (int i = 0; i < SB_INPUTS_MAX; i++)
        t->arrays[X + i].shape = t->arrays[DX + i].shape = call->xs[i];
    t->arrays[Y].shape = t->arrays[DY].shape = call->ys;
}

static int open_op(sb_trial *t, sb_device *device)
{
    const sb_kernel *k = device->kernels[of(t)->test->op];
    sb_call *call = malloc(sizeof *call);
    if (!call)
        abort();
    *call = call_of(t);
    t->plan = call;
    if (of(t)->came > 0)
        lay_out_trial(t, device, call);
    if (k->plan && k->plan(device, call) != 0)
        return -1;
    t->scratch_bytes = k->scratch ? k->scratch(device, call) : 0;
    t->packed_bytes = k->packed ? k->packed(device, call) : 0;
    return 0;
}

static void close_op(sb_trial *t, sb_device *device)
{
    const sb_kernel *k = device->kernels[of(t)->test->op];
    sb_call *call = t->plan;
    if (call && call->planned && k->unplan)
        k->unplan(device, call->planned);
    free(call);
    t->plan = NULL;
}

/* Hands the call its memory; of x, y and aux a gradient call only has what it keeps. */
static sb_call *bind(sb_trial *t)
{
    const op_case *c = of(t);
    sb_call *call = t->plan;
    unsigned keeps = c->backward ? op_of(c)->keeps(c->how, c->xs) : ~0u;
    for (int i = 0; i < SB_INPUTS_MAX; i++) {
        call->x[i] = keeps & SB_KEEPS_X(i) ? sb_memory(t, c->options.in_place >> i & 1 ? Y : X + i) : NULL;
        call->dx[i] = sb_memory(t, DX + i);
    }
    for (int i = 0; i < SB_WEIGHTS_MAX; i++) {
        call->w[i] = sb_memory(t, W + i);
        call->dw[i] = sb_memory(t, DW + i);
    }
    call->y = keeps & SB_KEEPS_Y ? sb_memory(t, Y) : NULL;
    call->aux = keeps & SB_KEEPS_AUX ? sb_memory(t, AUX) : NULL;
    call->dy = sb_memory(t, DY);
    call->packed = t->packed;
    call->scratch = t->scratch;
    return call;
}

static int before(sb_trial *t, sb_device *device)
{
    const sb_kernel *k = device->kernels[of(t)->test->op];
    sb_call *call = bind(t);
    return k->pack ? k->pack(device, call) : 0;
}

static int call_op(sb_trial *t, sb_device *device)
{
    const sb_kernel *k = device->kernels[of(t)->test->op];
    return of(t)->backward ? k->backward(device, t->plan) : k->forward(device, t->plan);
}

/* ---- in place ------------------------------------------------------------------------------------------ */

/* What a gradient may be written over (op.h, `over`). */
static const struct {
    unsigned bit;
    int array;
} under[] = { { 0, -1 },         { SB_KEEPS_X(0), X }, { SB_KEEPS_X(1), X + 1 }, { SB_KEEPS_X(2), X + 2 },
              { SB_KEEPS_Y, Y }, { SB_OVER_DY, DY } };
enum { UNDER = sizeof under / sizeof *under };

/* Each gradient over what its digit of the number says; whether that may be. */
static bool put_over(sb_trial *t, int number)
{
    const op_case *c = of(t);
    const unsigned read = op_of(c)->keeps(c->how, c->xs) | SB_OVER_DY;
    unsigned taken = 0;
    for (int k = 0; k < SB_INPUTS_MAX; k++, number /= UNDER) {
        const unsigned bit = under[number % UNDER].bit;
        sb_array *dx = &t->arrays[DX + k];
        dx->over = under[number % UNDER].array;
        if (bit && (dx->count == 0 || dx->role != SB_ARRAY_WRITTEN || bit & taken ||
                    !(bit & read & op_of(c)->over[k])))
            return false;
        taken |= bit;
    }
    return true;
}

static bool place(sb_trial *t, int way)
{
    for (int number = 1; number < UNDER * UNDER * UNDER; number++)
        if (put_over(t, number) && way-- == 0)
            return true;
    return false;
}

/* ---- the reference ------------------------------------------------------------------------------------- */

static void reference_forward(sb_trial *t)
{
    sb_reference r = reference_of(t);
    r.y = t->arrays[Y].wanted;
    r.aux = t->arrays[AUX].wanted;
    r.y_bound = t->arrays[Y].bound;
    r.aux_bound = t->arrays[AUX].bound;
    if (of(t)->test->updates)
        memcpy(r.y, t->arrays[Y].value, t->arrays[Y].count * sizeof *r.y);
    of(t)->test->forward(&r);
}

/* A gradient that is rounded to a type of 16 bits before it is added. */
static void round_before(sb_array *a, sb_array_type type)
{
    const double unit = sb_array_unit(type);
    for (size_t i = 0; i < a->count; i++)
        a->bound[i] = a->bound[i] * (1 + unit) + unit * fabs(a->wanted[i]) + sb_array_least(type);
}

/* What an array held before is added; the gradient itself may have been rounded to its type on the way. */
static void add_held(sb_array *a)
{
    for (size_t i = 0; a->role == SB_ARRAY_UPDATED && i < a->count; i++) {
        a->bound[i] += sb_array_unit(a->type) * fabs(a->wanted[i]) + sb_array_least(a->type);
        a->wanted[i] += a->value[i];
    }
}

static const double *held(const sb_array *a) { return a->role == SB_ARRAY_UPDATED ? a->value : NULL; }

static void reference_backward(sb_trial *t)
{
    sb_reference r = reference_of(t);
    r.y = t->arrays[Y].value;
    r.aux = t->arrays[AUX].value;
    r.dy = t->arrays[DY].value;
    for (int i = 0; i < SB_INPUTS_MAX; i++) {
        r.dx[i] = t->arrays[DX + i].wanted;
        r.dx_bound[i] = t->arrays[DX + i].bound;
        r.dx_held[i] = held(&t->arrays[DX + i]);
    }
    for (int i = 0; i < SB_WEIGHTS_MAX; i++) {
        r.dw[i] = t->arrays[DW + i].wanted;
        r.dw_bound[i] = t->arrays[DW + i].bound;
        r.dw_held[i] = held(&t->arrays[DW + i]);
    }
    of(t)->test->backward(&r);
    const sb_array_type type = sb_array_type_of(r.xs[0].type);
    for (int i = DW; i < ARRAYS && type != SB_ARRAY_F32 && t->kernels[of(t)->test->op]->rounds_dw; i++)
        round_before(&t->arrays[i], type);
    for (int i = DX; i < ARRAYS; i++)
        add_held(&t->arrays[i]);
}

/* <y, dy>, whose derivatives the gradients are. */
static double loss(const sb_trial *t)
{
    sb_reference r = reference_of(t);
    r.y = sb_doubles(sb_shape_elements(&r.ys));
    r.aux = sb_doubles(sb_shape_elements(&r.auxs));
    of(t)->test->forward(&r);
    double sum = 0;
    for (size_t i = 0; i < sb_shape_elements(&r.ys); i++)
        sum += r.y[i] * sb_value(t, DY)[i];
    free(r.y);
    free(r.aux);
    return sum;
}

/* ---- the list ------------------------------------------------------------------------------------------ */

static const char *lacks(const void *parameters, const sb_device *device)
{
    const op_case *c = parameters;
    return c->test->lacks ? c->test->lacks(c->xs, device) : NULL;
}

/* The operation's forward or backward as the list of cases knows it. */
static const sb_operation *operation_of(const sb_op_test *test, bool backward)
{
    static sb_operation made[SB_OPS][2];
    static char names[SB_OPS][2][48];
    sb_operation *o = &made[test->op][backward];
    snprintf(names[test->op][backward], sizeof names[0][0], "%s_%s", sb_ops[test->op]->name,
             backward ? "backward" : "forward");
    *o = (sb_operation){ .name = names[test->op][backward],
                         .prepare = prepare,
                         .open = open_op,
                         .before = before,
                         .call = call_op,
                         .close = close_op,
                         .reference = backward ? reference_backward : reference_forward,
                         .loss = backward ? loss : NULL,
                         .place = backward ? place : NULL,
                         .lacks = lacks,
                         .concerns = concerns };
    return o;
}

/* The forward case and its gradient cases, as `c` comes. */
static void add_cases(op_case c, const char *text)
{
    const sb_op_test *test = c.test;
    sb_case_add(operation_of(test, false), c.options.timed, &c, sizeof c, "%s", text);
    if (!test->backward || c.options.forward_only || c.options.in_place)
        return;
    c.backward = true;
    sb_case_add(operation_of(test, true), c.options.timed, &c, sizeof c, "%s", text);
    if (c.options.timed)
        return;
    c.add = ~0u;
    sb_case_add(operation_of(test, true), false, &c, sizeof c, "%s added", text);
    c.add = 1u << 1; /* dx[0] may lie over what dx[1] was made of */
    if (sb_ops[test->op]->over[0] && gradient_wanted(&c, 0) && gradient_wanted(&c, 1))
        sb_case_add(operation_of(test, true), false, &c, sizeof c, "%s, dx1 added", text);
}

void sb_op_case_add(const sb_op_test *test, const void *how, const sb_shape *xs, sb_op_options options,
                    const char *format, ...)
{
    op_case c = { .test = test, .options = options };
    char text[96], in_blocks[sizeof text + 24];
    va_list list;
    if (test->how_bytes > sizeof c.how)
        abort();
    if (how)
        memcpy(c.how, how, test->how_bytes);
    memcpy(c.xs, xs, (size_t)sb_ops[test->op]->inputs * sizeof *xs);
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    add_cases(c, text);
    for (c.came = 8; c.came <= 16 && test->op != SB_OP_REORDER; c.came *= 2) {
        snprintf(in_blocks, sizeof in_blocks, "%s, blocks of %d", text, c.came);
        add_cases(c, in_blocks);
    }
}
