/* conv.c: convolution through oneDNN (2.6 or later, or 3), and where that is faster by Winograd's algorithm
 * (winograd.h), or with a weight's gradient of our own (gradient_bf16.h).
 *
 * Activations lie in rows, or in blocks of eight channels where those are faster (`layout`). Weights are in
 * whatever layout oneDNN prefers for each direction: packed from the f32 OIHW master into scratch by each
 * call, so that no copy is kept. Primitives and memory objects are made once; executing sets their addresses.
 * One user scratchpad; behind it lies what oneDNN cannot add to what is there: gradients, before they are
 * added.
 *
 * How much oneDNN works in, and how much it pads weights, is known only of a primitive. So that a plan's size
 * is arithmetic, both have a bound that follows from the shapes (`promise`), and an implementation that wants
 * more is passed over for the next one. The bound holds for what was measured (oneDNN 2.6.3, SSE4.1 to AVX2,
 * f32, 1 to 64 threads, the ResNets' convolutions and odd ones); for AVX-512, AMX and bf16 it has room for
 * what their implementations are known to keep: a thread's copy of an image, and its share of the weights. */
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/bias.h"
#include "kernels/cpu/gradient_bf16.h"
#include "kernels/cpu/winograd.h"
#include "kernels/op/conv.h"
#include "proto/error.h"
#include "proto/memory.h"

#define ALIGN 64

/* A primitive with its arguments, as dnnl_primitive_execute takes them. */
typedef struct {
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t args[5];
    int arg_count;
    size_t scratch;
} operation;

/* In bytes: what a convolution takes of memory. */
typedef struct {
    size_t forward, data;  /* packed weights; data: 0 where no data gradient is planned */
    size_t gradient;       /* the weight's gradient in oneDNN's layout; 0 where it is ours */
    size_t scratchpad, dx; /* the most of all operations; of the data gradient and of packing for it */
    size_t planes;         /* x in planes; 0 where it is read as it lies */
} sizes;

/* What `plan` makes; by Winograd's algorithm, nothing. */
typedef struct {
    operation forward;
    operation data;                            /* without a primitive where no data gradient is planned */
    operation weight;                          /* without one where it is ours */
    operation pack_forward, pack_data, unpack; /* reorders: master -> packed, gradient -> OIHW */
    operation to_planes;                       /* x in rows -> in planes; without a primitive: not needed */
    sizes sizes;
} convolution;

static size_t align(size_t bytes) { return (bytes + ALIGN - 1) / ALIGN * ALIGN; }

static size_t rounded(int n, size_t unit) { return ((size_t)n + unit - 1) / unit * unit; }

/* Floats of the OIHW master. */
static size_t weights_of(const sb_call *call)
{
    const sb_conv_how *how = call->how;
    return (size_t)how->out * (size_t)call->xs[0].c * (size_t)how->kernel * (size_t)how->kernel;
}

/* oneDNN has no kernel of its own for one of the directions: it multiplies the columns of an image by the
 * weights. */
static bool by_columns(const sb_call *call)
{
    const sb_conv_how *how = call->how;
    const sb_shape *x = &call->xs[0];
    return (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx2) != dnnl_cpu_isa_avx2 || x->h < how->kernel ||
           x->w < how->kernel || (call->gradient[0] && x->c % 8 != 0);
}

/* Whether Winograd's algorithm computes it. It multiplies 36 times for a tile of 4 x 4 outputs, of which on
 * average half must be of the image, where the others multiply 9 times for each; and it transforms all
 * weights, whatever the number of tiles is. Of bf16 it multiplies in f32, at half the rate of AVX512_BF16 and
 * a small part of AMX's: it is faster than the former alone, and with more tiles. */
#define WINOGRAD_CHANNELS 32 /* at least */
#define WINOGRAD_TILES 32
#define WINOGRAD_TILES_BF16 64
static bool by_winograd(const sb_call *call)
{
    const sb_conv_how *how = call->how;
    const sb_shape *x = &call->xs[0];
    const size_t side = 4, of_image = (((size_t)x->h + side - 1) / side) * (((size_t)x->w + side - 1) / side),
                 places = (size_t)x->h * (size_t)x->w, tiles = (size_t)x->n * of_image;
    const bool narrow = x->type == SB_BF16 && sb_cpu_own_bf16();
    return (x->type == SB_F32 || narrow) && how->kernel == 3 && how->stride == 1 && how->pad == 1 &&
           x->c % 8 == 0 && how->out % 8 == 0 && x->c >= WINOGRAD_CHANNELS && how->out >= WINOGRAD_CHANNELS &&
           2 * places >= side * side * of_image && tiles >= (narrow ? WINOGRAD_TILES_BF16 : WINOGRAD_TILES);
}

/* Whether the weight's gradient is ours, which has to have columns enough (SPEED.md). */
#define COLUMNS 96 /* at least */
static bool own_gradient(const sb_call *call)
{
    const sb_conv_how *how = call->how;
    return call->xs[0].type == SB_BF16 && how->kernel * call->xs[0].c >= COLUMNS && sb_cpu_own_bf16();
}

/* Whether the data gradient is computed as a convolution forward, of dy with the weights transposed, which is
 * the same where a place of one meets one of the other. Forward oneDNN adds to what is there; back it does
 * not, and the sum would take two passes more. Its kernel that goes back is a tenth faster: nothing else goes
 * so. */
static bool goes_forward(const sb_call *call)
{
    const sb_conv_how *how = call->how;
    return call->gradient[0] && call->add[0] && how->kernel == 1 && how->stride == 1 && how->pad == 0;
}

/* Images of three channels whose output lies in blocks come in rows, and are read in planes, which is what
 * oneDNN's kernel for them takes. */
static bool reads_planes(const sb_call *call) { return call->ys.block > 0 && call->xs[0].block == 0; }

/* oneDNN's kernels of f32 in rows are slower than those in blocks by 1.2 to 4.6 where the processor has AVX2
 * and not AVX-512, and as fast where it has. Blocks are for what was tried: for large kernels, and where it
 * multiplies by columns, oneDNN has no fast kernel in blocks. One of 1 x 1 gains less than converting costs,
 * and one with a bias stands between operations that take rows (LayerNorm, GELU). */
#define BLOCK 8
#define KERNEL_MOST 7
static void layout(sb_device *device, sb_call *call)
{
    const sb_conv_how *how = call->how;
    sb_shape *x = &call->xs[0];
    const dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
    const bool slow = x->type == SB_F32 && (isa & dnnl_cpu_isa_avx512_core) != dnnl_cpu_isa_avx512_core,
               fast = !by_columns(call) && how->kernel <= KERNEL_MOST && how->out % BLOCK == 0,
               wanted = how->kernel > 1 ? !how->bias : x->block == BLOCK, whole = x->c % BLOCK == 0,
               image = x->c == 3 && !call->gradient[0], blocks = slow && fast && wanted && (whole || image);
    (void)device;
    if (by_winograd(call)) { /* as it comes */
        x->block = call->ys.block = x->block == BLOCK ? BLOCK : 0;
        return;
    }
    x->block = blocks && whole ? BLOCK : 0;
    call->ys.block = blocks ? BLOCK : 0;
}

/* At most. Weights are padded to blocks of 32 channels of the input and 64 of the output; where the data
 * gradient goes forward, x is an output, too. A thread works in an image of x and of y and its share of the
 * weights' gradient; by columns, in these and three more shares. All are f32, as sums are. */
static sizes promise(const sb_device *device, const sb_call *call)
{
    const sb_conv_how *how = call->how;
    const sb_shape *x = &call->xs[0], *y = &call->ys;
    size_t area = (size_t)how->kernel * (size_t)how->kernel, in = rounded(x->c, goes_forward(call) ? 64 : 32),
           out = rounded(how->out, 64), weights = in * out * area, pixels = (size_t)y->h * (size_t)y->w;
    size_t image = (size_t)x->h * (size_t)x->w * (size_t)x->c + pixels * (size_t)how->out,
           thread = image + weights + 4096;
    if (by_columns(call))
        thread += 3 * weights + (size_t)x->c * area * pixels;
    size_t scratchpad = align((size_t)device->threads * thread * sizeof(float)),
           packed = align(weights * sb_type_bytes(x->type));
    return (sizes){ .forward = packed,
                    .data = call->gradient[0] ? packed : 0,
                    .gradient = own_gradient(call) ? 0 : align(weights * sizeof(float)),
                    .scratchpad = scratchpad,
                    .dx = scratchpad,
                    .planes = reads_planes(call) ? align(sb_shape_bytes(x)) : 0 };
}

static dnnl_data_type_t type_of(sb_type type) { return type == SB_F32 ? dnnl_f32 : dnnl_bf16; }

static dnnl_format_tag_t tag_of(const sb_shape *s) { return s->block ? dnnl_nChw8c : dnnl_nhwc; }

/* ---- the two APIs -------------------------------------------------------------------------------------- */

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t md_handle;
typedef const_dnnl_memory_desc_t md_query;
static size_t md_bytes(md_query md) { return dnnl_memory_desc_get_size(md); }
static void md_free(md_handle md) { dnnl_memory_desc_destroy(md); }
static int md_make(md_handle *md, int dims, const dnnl_dims_t shape, dnnl_data_type_t type,
                   dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_create_with_tag(md, dims, shape, type, tag) == dnnl_success ? 0 : -1;
}
#else
typedef dnnl_memory_desc_t md_handle;
typedef const dnnl_memory_desc_t *md_query;
#define md_bytes dnnl_memory_desc_get_size
static void md_free(md_handle md) { (void)md; }
static int md_make(md_handle *md, int dims, const dnnl_dims_t shape, dnnl_data_type_t type,
                   dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_init_by_tag(md, dims, shape, type, tag) == dnnl_success ? 0 : -1;
}
#endif

typedef enum { FORWARD, BACKWARD_DATA, BACKWARD_WEIGHT } direction;

typedef struct {
    md_handle x, y, weight, weight_f32; /* weight: compute type, any layout; weight_f32: any layout */
    md_handle bias;                     /* forward's */
    bool biased;                        /* else `bias` is empty */
    bool blocks;                        /* y, and x or planes of it, instead of rows */
    bool adds;                          /* forward, as a data gradient: to what y holds */
    dnnl_dims_t strides, dilates, padding;
} descriptors;

/* Whether it is one of oneDNN's references, which have no vectors and take hundreds of times as long. */
static bool is_reference(const_dnnl_primitive_desc_t desc)
{
    const char *name = "ref";
    dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, (void *)&name);
    return strncmp(name, "ref", 3) == 0;
}

/* Whether an implementation keeps within what was promised. Blocks are not asked for where they are slow; in
 * rows there may be nothing but the reference (patches of 16 x 16 pixels of eight channels). */
static bool fits(const_dnnl_primitive_desc_t desc, direction which, const descriptors *d, const sizes *most)
{
    if (d->blocks && is_reference(desc))
        return false;
    dnnl_query_t weights = which == BACKWARD_WEIGHT ? dnnl_query_diff_weights_md : dnnl_query_weights_md;
    return md_bytes(dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0)) <= most->scratchpad &&
           md_bytes(dnnl_primitive_desc_query_md(desc, weights, 0)) <=
               (which == BACKWARD_WEIGHT ? most->gradient : most->forward);
}

static dnnl_status_t add_to_output(dnnl_primitive_attr_t attr)
{
    dnnl_post_ops_t operations;
    dnnl_status_t status = dnnl_post_ops_create(&operations);
    if (status != dnnl_success)
        return status;
#if DNNL_VERSION_MAJOR >= 3
    status = dnnl_post_ops_append_sum(operations, 1, 0, dnnl_data_type_undef);
#else
    status = dnnl_post_ops_append_sum(operations, 1);
#endif
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(attr, operations);
    dnnl_post_ops_destroy(operations);
    return status;
}

/* The first implementation, in oneDNN's order, that keeps within `most`. */
static int make_desc(sb_cpu *cpu, const descriptors *d, direction which, dnnl_primitive_desc_t hint,
                     const sizes *most, dnnl_primitive_desc_t *out)
{
    dnnl_primitive_attr_t attr;
    if (dnnl_primitive_attr_create(&attr) != dnnl_success)
        return -1;
    dnnl_status_t status = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (status == dnnl_success && d->adds)
        status = add_to_output(attr);
#if DNNL_VERSION_MAJOR >= 3
    if (status == dnnl_success && which == FORWARD)
        status = dnnl_convolution_forward_primitive_desc_create(
            out, cpu->engine, dnnl_forward_training, dnnl_convolution_direct, d->x, d->weight, d->bias, d->y,
            d->strides, d->dilates, d->padding, d->padding, attr);
    if (status == dnnl_success && which == BACKWARD_DATA)
        status = dnnl_convolution_backward_data_primitive_desc_create(
            out, cpu->engine, dnnl_convolution_direct, d->x, d->weight, d->y, d->strides, d->dilates,
            d->padding, d->padding, hint, attr);
    if (status == dnnl_success && which == BACKWARD_WEIGHT)
        status = dnnl_convolution_backward_weights_primitive_desc_create(
            out, cpu->engine, dnnl_convolution_direct, d->x, d->weight_f32, NULL, d->y, d->strides,
            d->dilates, d->padding, d->padding, hint, attr);
    while (status == dnnl_success && !fits(*out, which, d, most))
        status = dnnl_primitive_desc_next_impl(*out);
#else
    dnnl_convolution_desc_t c;
    if (status == dnnl_success && which == FORWARD)
        status = dnnl_dilated_convolution_forward_desc_init(
            &c, dnnl_forward_training, dnnl_convolution_direct, &d->x, &d->weight, &d->bias, &d->y,
            d->strides, d->dilates, d->padding, d->padding);
    if (status == dnnl_success && which == BACKWARD_DATA)
        status = dnnl_dilated_convolution_backward_data_desc_init(&c, dnnl_convolution_direct, &d->x,
                                                                  &d->weight, &d->y, d->strides, d->dilates,
                                                                  d->padding, d->padding);
    if (status == dnnl_success && which == BACKWARD_WEIGHT)
        status = dnnl_dilated_convolution_backward_weights_desc_init(&c, dnnl_convolution_direct, &d->x,
                                                                     &d->weight_f32, NULL, &d->y, d->strides,
                                                                     d->dilates, d->padding, d->padding);
    dnnl_primitive_desc_iterator_t all = NULL;
    if (status == dnnl_success)
        status = dnnl_primitive_desc_iterator_create(&all, &c, attr, cpu->engine, hint);
    for (; status == dnnl_success; status = dnnl_primitive_desc_iterator_next(all)) {
        *out = dnnl_primitive_desc_iterator_fetch(all);
        if (*out && fits(*out, which, d, most))
            break;
        dnnl_primitive_desc_destroy(*out);
        *out = NULL;
    }
    dnnl_primitive_desc_iterator_destroy(all);
#endif
    dnnl_primitive_attr_destroy(attr);
    return status == dnnl_success ? 0 : -1;
}

/* ---- operations ---------------------------------------------------------------------------------------- */

static int add_argument(sb_cpu *cpu, operation *o, int argument, md_query md)
{
    dnnl_exec_arg_t *a = &o->args[o->arg_count];
    a->arg = argument;
    if (dnnl_memory_create(&a->memory, md, cpu->engine, DNNL_MEMORY_NONE) != dnnl_success)
        return -1;
    o->arg_count++;
    return 0;
}

static void free_operation(operation *o)
{
    for (int i = 0; i < o->arg_count; i++)
        dnnl_memory_destroy(o->args[i].memory);
    if (o->primitive)
        dnnl_primitive_destroy(o->primitive);
    if (o->desc)
        dnnl_primitive_desc_destroy(o->desc);
}

static md_query query(const operation *o, dnnl_query_t what)
{
    return dnnl_primitive_desc_query_md(o->desc, what, 0);
}

/* By direction: two inputs, the output; behind them execute sets the bias, if there is one, and the
 * scratchpad. */
static const int arguments[3][3] = {
    [FORWARD] = { DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST },
    [BACKWARD_DATA] = { DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_SRC },
    [BACKWARD_WEIGHT] = { DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS },
};
static const dnnl_query_t queries[3][3] = {
    [FORWARD] = { dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md },
    [BACKWARD_DATA] = { dnnl_query_diff_dst_md, dnnl_query_weights_md, dnnl_query_diff_src_md },
    [BACKWARD_WEIGHT] = { dnnl_query_src_md, dnnl_query_diff_dst_md, dnnl_query_diff_weights_md },
};

static int make_convolution(sb_cpu *cpu, operation *o, const descriptors *d, direction which,
                            dnnl_primitive_desc_t hint, const sizes *most)
{
    if (make_desc(cpu, d, which, hint, most, &o->desc) != 0 ||
        dnnl_primitive_create(&o->primitive, o->desc) != dnnl_success)
        return -1;
    for (int i = 0; i < 3; i++)
        if (add_argument(cpu, o, arguments[which][i], query(o, queries[which][i])) != 0)
            return -1;
    if (which == FORWARD && d->biased &&
        add_argument(cpu, o, DNNL_ARG_BIAS,
                     dnnl_primitive_desc_query_md(o->desc, dnnl_query_weights_md, 1)) != 0)
        return -1;
    o->scratch = md_bytes(query(o, dnnl_query_scratchpad_md));
    return add_argument(cpu, o, DNNL_ARG_SCRATCHPAD, query(o, dnnl_query_scratchpad_md));
}

static int make_reorder(sb_cpu *cpu, operation *o, md_query from, md_query to)
{
    dnnl_primitive_attr_t attr;
    if (dnnl_primitive_attr_create(&attr) != dnnl_success)
        return -1;
    dnnl_status_t status = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (status == dnnl_success)
        status = dnnl_reorder_primitive_desc_create(&o->desc, from, cpu->engine, to, cpu->engine, attr);
    dnnl_primitive_attr_destroy(attr);
    if (status != dnnl_success || dnnl_primitive_create(&o->primitive, o->desc) != dnnl_success ||
        add_argument(cpu, o, DNNL_ARG_FROM, from) != 0 || add_argument(cpu, o, DNNL_ARG_TO, to) != 0)
        return -1;
    o->scratch = md_bytes(query(o, dnnl_query_scratchpad_md));
    return add_argument(cpu, o, DNNL_ARG_SCRATCHPAD, query(o, dnnl_query_scratchpad_md));
}

static int execute(sb_device *device, operation *o, const void *const addresses[], int count, void *scratch)
{
    sb_cpu *cpu = (sb_cpu *)device;
    for (int i = 0; i < count; i++)
        if (dnnl_memory_set_data_handle(o->args[i].memory, (void *)(uintptr_t)addresses[i]) != dnnl_success)
            return sb_fail("oneDNN refuses an address");
    if (dnnl_memory_set_data_handle(o->args[count].memory, scratch) != dnnl_success ||
        dnnl_primitive_execute(o->primitive, cpu->stream, o->arg_count, o->args) != dnnl_success ||
        dnnl_stream_wait(cpu->stream) != dnnl_success)
        return sb_fail("oneDNN failed to run a convolution");
    return 0;
}

/* ---- plan ---------------------------------------------------------------------------------------------- */

/* Each direction with the reorder of what it reads or gives. back: of the data gradient, which goes forward
 * if it adds, and the master as it reads that; NULL: there is none. */
static int make(sb_cpu *cpu, convolution *c, const descriptors *d, const descriptors *back, md_query master,
                md_query master_back, md_query rows, const sizes *most)
{
    sizes *s = &c->sizes;
    if (make_convolution(cpu, &c->forward, d, FORWARD, NULL, most) != 0 ||
        make_reorder(cpu, &c->pack_forward, master, query(&c->forward, dnnl_query_weights_md)) != 0)
        return -1;
    s->forward = align(md_bytes(query(&c->forward, dnnl_query_weights_md)));
    if (back) {
        if ((back->adds ? make_convolution(cpu, &c->data, back, FORWARD, NULL, most)
                        : make_convolution(cpu, &c->data, back, BACKWARD_DATA, c->forward.desc, most)) != 0 ||
            make_reorder(cpu, &c->pack_data, master_back, query(&c->data, dnnl_query_weights_md)) != 0)
            return -1;
        s->data = align(md_bytes(query(&c->data, dnnl_query_weights_md)));
    }
    if (most->gradient) {
        if (make_convolution(cpu, &c->weight, d, BACKWARD_WEIGHT, c->forward.desc, most) != 0 ||
            make_reorder(cpu, &c->unpack, query(&c->weight, dnnl_query_diff_weights_md), master) != 0)
            return -1;
        s->gradient = align(md_bytes(query(&c->weight, dnnl_query_diff_weights_md)));
    }
    if (most->planes && make_reorder(cpu, &c->to_planes, rows, query(&c->forward, dnnl_query_src_md)) != 0)
        return -1;
    s->planes = most->planes;
    const operation *all[] = { &c->forward,   &c->data,   &c->weight,   &c->pack_forward,
                               &c->pack_data, &c->unpack, &c->to_planes };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        s->scratchpad = all[i]->scratch > s->scratchpad ? all[i]->scratch : s->scratchpad;
    s->scratchpad = align(s->scratchpad);
    s->dx = align(c->data.scratch > c->pack_data.scratch ? c->data.scratch : c->pack_data.scratch);
    return s->scratchpad <= most->scratchpad ? 0 : -1;
}

static void unplan(sb_device *device, void *planned)
{
    (void)device;
    convolution *c = planned;
    operation *all[] = { &c->forward,   &c->data,   &c->weight,   &c->pack_forward,
                         &c->pack_data, &c->unpack, &c->to_planes };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free_operation(all[i]);
    free(c);
}

static int plan(sb_device *device, sb_call *call)
{
    const sb_type type = call->xs[0].type;
    if (type == SB_F16 || (type == SB_BF16 && !device->bf16))
        return sb_fail("this processor has no %s convolutions: set trainer.precision=f32",
                       sb_type_name(type));
    sb_cpu *cpu = (sb_cpu *)device;
    const sb_conv_how *how = call->how;
    const sb_shape *xs = &call->xs[0], *ys = &call->ys;
    if (by_winograd(call))
        return 0;
    const sizes most = promise(device, call);
    convolution *c = sb_zeroed(1, sizeof *c, "the plan of a convolution");
    if (!c)
        return -1;
    dnnl_dims_t x = { xs->n, xs->c, xs->h, xs->w }, y = { ys->n, ys->c, ys->h, ys->w };
    dnnl_dims_t w = { how->out, xs->c, how->kernel, how->kernel }, turned = { xs->c, how->out, 1, 1 };
    dnnl_dims_t b = { how->out };
    descriptors d = { .strides = { how->stride, how->stride },
                      .padding = { how->pad, how->pad },
                      .biased = how->bias,
                      .blocks = ys->block > 0 };
    descriptors forward_back = { .strides = { 1, 1 }, .blocks = d.blocks, .adds = true };
    const bool goes = goes_forward(call);
    const descriptors *back = goes ? &forward_back : call->gradient[0] ? &d : NULL;
    md_handle master = { 0 }, master_turned = { 0 }, rows = { 0 };
    const dnnl_format_tag_t lies = reads_planes(call) ? dnnl_nchw : tag_of(xs);
    int rc = md_make(&d.x, 4, x, type_of(xs->type), lies) ||
             md_make(&d.y, 4, y, type_of(xs->type), tag_of(ys)) ||
             md_make(&rows, 4, x, type_of(xs->type), dnnl_nhwc) ||
             md_make(&d.weight, 4, w, type_of(xs->type), dnnl_format_tag_any) ||
             md_make(&d.weight_f32, 4, w, dnnl_f32, dnnl_format_tag_any) ||
             (d.biased && md_make(&d.bias, 1, b, dnnl_f32, dnnl_x) != 0) ||
             md_make(&master, 4, w, dnnl_f32, dnnl_oihw) ||
             (goes &&
              (md_make(&forward_back.weight, 4, turned, type_of(xs->type), dnnl_format_tag_any) != 0 ||
               md_make(&master_turned, 4, turned, dnnl_f32, dnnl_iohw) != 0));
    forward_back.x = d.y;
    forward_back.y = d.x;
#if DNNL_VERSION_MAJOR >= 3
    rc = rc || make(cpu, c, &d, back, master, goes ? master_turned : master, rows, &most) != 0;
#else
    rc = rc || make(cpu, c, &d, back, &master, goes ? &master_turned : &master, &rows, &most) != 0;
#endif
    md_free(d.x);
    md_free(d.y);
    md_free(d.weight);
    md_free(d.weight_f32);
    if (d.biased)
        md_free(d.bias);
    md_free(master);
    md_free(forward_back.weight);
    md_free(master_turned);
    md_free(rows);
    if (rc) {
        unplan(device, c);
        return sb_fail("oneDNN has no convolution of %s [%d, %d, %d, %d] to %d channels with kernel %d, "
                       "stride %d, pad %d that works in %zu bytes",
                       sb_type_name(xs->type), xs->n, xs->h, xs->w, xs->c, how->out, how->kernel, how->stride,
                       how->pad, most.scratchpad);
    }
    call->planned = c;
    return 0;
}

/* ---- run ----------------------------------------------------------------------------------------------- */

/* What it takes: once it is planned; before, at most. */
static sizes sizes_of(const sb_device *device, const sb_call *call)
{
    return call->planned ? ((const convolution *)call->planned)->sizes : promise(device, call);
}

/* What Winograd's algorithm works in; behind it standardised weights, or the gradient at them. */
static size_t winograd_scratch(const sb_device *device, const sb_call *call)
{
    return align(sb_winograd_scratch(device->threads, &call->xs[0], &call->ys));
}

/* What our own weight's gradient works in; behind it the gradient at standardised weights. */
static size_t own_scratch(const sb_device *device, const sb_call *call)
{
    return align(sb_gradient_bf16_scratch(device->threads, call->how, &call->xs[0], &call->ys));
}

/* One after the other, each behind the scratchpad. Forward: the weights in oneDNN's layout. The weight's
 * gradient: in oneDNN's layout, and then in OIHW. Behind either: x in planes. The data gradient, behind its
 * own scratchpad: the weights, and dx before it is added, where oneDNN does not add it. The weights come
 * behind what they were standardised to. What is ours, behind what it works in: standardised weights, or the
 * gradient at them. */
static size_t scratch(sb_device *device, const sb_call *call)
{
    const size_t plain = align(weights_of(call) * sizeof(float)),
                 standardised = ((const sb_conv_how *)call->how)->standardised ? plain : 0;
    if (by_winograd(call))
        return winograd_scratch(device, call) + standardised;
    const sizes s = sizes_of(device, call);
    const size_t sum = call->gradient[0] && call->add[0] && !goes_forward(call)
                           ? align(sb_shape_bytes(&call->xs[0]))
                           : 0;
    const size_t forward = s.scratchpad + standardised + s.forward + s.planes,
                 weight = own_gradient(call) ? own_scratch(device, call) + standardised
                                             : s.scratchpad + s.gradient + plain + s.planes,
                 data = call->gradient[0] ? s.dx + standardised + s.data + sum : 0;
    const size_t most = forward > weight ? forward : weight;
    return most > data ? most : data;
}

/* The weights in oneDNN's layout: NULL after a failure. `at`: in scratch, behind what the reorder and the
 * convolution work in. */
static void *packed(sb_device *device, const sb_call *call, operation *reorder, void *at)
{
    const bool standardised = ((const sb_conv_how *)call->how)->standardised;
    float *plain = at;
    char *to = (char *)at + (standardised ? align(weights_of(call) * sizeof(float)) : 0);
    const void *addresses[] = { standardised ? plain : call->w[0], to };
    if (standardised && sb_conv_standardise(device, call, plain) != 0)
        return NULL;
    return execute(device, reorder, addresses, 2, call->scratch) == 0 ? to : NULL;
}

/* x as the convolution reads it: as it lies, or in planes at `at`. NULL after a failure. */
static const void *read_x(sb_device *device, const sb_call *call, void *at)
{
    convolution *c = call->planned;
    const void *addresses[] = { call->x[0], at };
    if (!c->to_planes.primitive)
        return call->x[0];
    return execute(device, &c->to_planes, addresses, 2, call->scratch) == 0 ? at : NULL;
}

/* The weights of a call of Winograd's. NULL after a failure. */
static const float *filters(sb_device *device, const sb_call *call)
{
    float *plain = (float *)(void *)((char *)call->scratch + winograd_scratch(device, call));
    if (!((const sb_conv_how *)call->how)->standardised)
        return call->w[0];
    return sb_conv_standardise(device, call, plain) == 0 ? plain : NULL;
}

static int forward(sb_device *device, const sb_call *call)
{
    if (by_winograd(call)) {
        const float *w = filters(device, call);
        if (w)
            sb_winograd_forward(device->threads, &call->xs[0], &call->ys, call->x[0], w, call->w[1], call->y,
                                call->scratch);
        return w ? 0 : -1;
    }
    convolution *c = call->planned;
    char *weights = packed(device, call, &c->pack_forward, (char *)call->scratch + c->sizes.scratchpad);
    const void *x = weights ? read_x(device, call, weights + c->sizes.forward) : NULL;
    const void *addresses[] = { x, weights, call->y, call->w[1] };
    const int count = ((const sb_conv_how *)call->how)->bias ? 4 : 3;
    return x ? execute(device, &c->forward, addresses, count, call->scratch) : -1;
}

/* to += from. */
static void add_floats(size_t count, const float *from, float *to)
{
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++)
        to[i] += from[i];
}
static void add_bf16(size_t count, const void *from, void *to)
{
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++)
        sb_cpu_store(to, SB_BF16, i, sb_cpu_load(to, SB_BF16, i) + sb_cpu_load(from, SB_BF16, i));
}

/* No other type is planned. */
static void add_to(sb_type type, size_t count, const void *from, void *to)
{
    if (type == SB_F32)
        add_floats(count, from, to);
    else
        add_bf16(count, from, to);
}

static int backward_weight(sb_device *device, const sb_call *call)
{
    const bool standardised = ((const sb_conv_how *)call->how)->standardised, winograd = by_winograd(call);
    if (winograd || own_gradient(call)) {
        const size_t own = winograd ? winograd_scratch(device, call) : own_scratch(device, call);
        float *summed = (float *)(void *)((char *)call->scratch + own);
        float *to = standardised ? summed : call->dw[0];
        if (winograd)
            sb_winograd_weight(device->threads, &call->xs[0], &call->ys, call->x[0], call->dy, to,
                               !standardised, call->scratch);
        else
            sb_gradient_bf16(device->threads, call->how, &call->xs[0], &call->ys, call->x[0], call->dy, to,
                             !standardised, call->scratch);
        return standardised ? sb_conv_standardise_back(device, call, summed) : 0;
    }
    convolution *c = call->planned;
    char *gradient = (char *)call->scratch + c->sizes.scratchpad;
    float *plain = (float *)(void *)(gradient + c->sizes.gradient);
    const void *x = read_x(device, call, (char *)plain + align(weights_of(call) * sizeof(float)));
    const void *to_gradient[] = { x, call->dy, gradient }, *to_plain[] = { gradient, plain };
    if (!x)
        return -1;
    /* For images of one pixel oneDNN multiplies parts of its scratchpad that it never wrote by zero (seen
     * in 2.6.3, bf16, stride 2): what lies there must not be NaN. */
    if (call->xs[0].h == 1 || call->xs[0].w == 1)
        memset(call->scratch, 0, c->weight.scratch);
    if (execute(device, &c->weight, to_gradient, 3, call->scratch) != 0 ||
        execute(device, &c->unpack, to_plain, 2, call->scratch) != 0)
        return -1;
    if (standardised)
        return sb_conv_standardise_back(device, call, plain);
    add_floats(weights_of(call), plain, call->dw[0]);
    return 0;
}

static int backward_data(sb_device *device, const sb_call *call)
{
    if (by_winograd(call)) {
        const float *w = filters(device, call);
        if (w)
            sb_winograd_data(device->threads, &call->xs[0], &call->ys, call->dy, w, call->dx[0], call->add[0],
                             call->scratch);
        return w ? 0 : -1;
    }
    convolution *c = call->planned;
    if (!c->data.primitive)
        return sb_fail("this convolution was planned without a data gradient");
    char *weights = packed(device, call, &c->pack_data, (char *)call->scratch + c->sizes.dx);
    if (!weights)
        return -1;
    const bool apart = call->add[0] && !goes_forward(call);
    void *to = apart ? weights + c->sizes.data : call->dx[0];
    const void *addresses[] = { call->dy, weights, to };
    if (execute(device, &c->data, addresses, 3, call->scratch) != 0)
        return -1;
    if (apart)
        add_to(call->xs[0].type, sb_shape_elements(&call->xs[0]), to, call->dx[0]);
    return 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    if (((const sb_conv_how *)call->how)->bias && call->dw[1])
        sb_cpu_bias_back(&call->ys, call->dy, call->dw[1]);
    if (call->dw[0] && backward_weight(device, call) != 0)
        return -1;
    return call->dx[0] ? backward_data(device, call) : 0;
}

const sb_kernel sb_cpu_conv = { .layout = layout,
                                .scratch = scratch,
                                .plan = plan,
                                .unplan = unplan,
                                .forward = forward,
                                .backward = backward };
