/* conv.c: convolution through oneDNN (2.6 or later, or 3).
 *
 * Activations are plain NHWC. Weights are in whatever layout oneDNN prefers for each direction: two packed copies, made from the f32
 * OIHW master once a step. Primitives and memory objects are made once; executing sets their addresses. One user scratchpad. */
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/cpu.h"
#include "kernels/shapes.h"
#include "proto/error.h"

#define ALIGN 64

/* A primitive with its arguments, as dnnl_primitive_execute takes them. */
typedef struct {
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t args[4];
    int arg_count;
    size_t scratch;
} operation;

struct sb_conv {
    sb_conv_shape shape;
    size_t weights; /* floats of the OIHW master */
    operation forward, data, weight;
    operation pack_forward, pack_data, unpack; /* reorders: master -> packed, gradient -> OIHW */
    size_t forward_bytes, data_bytes, gradient_bytes;
    size_t scratch;
};

static size_t align(size_t bytes) { return (bytes + ALIGN - 1) / ALIGN * ALIGN; }

static dnnl_data_type_t type_of(sb_type type) { return type == SB_F32 ? dnnl_f32 : dnnl_bf16; }

/* ---- the two APIs -------------------------------------------------------------------------------------------------------------- */

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t md_handle;
typedef const_dnnl_memory_desc_t md_query;
static size_t md_bytes(md_query md) { return dnnl_memory_desc_get_size(md); }
static void md_free(md_handle md) { dnnl_memory_desc_destroy(md); }
static int md_make(md_handle *md, int dims, const dnnl_dims_t shape, dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_create_with_tag(md, dims, shape, type, tag) == dnnl_success ? 0 : -1;
}
#else
typedef dnnl_memory_desc_t md_handle;
typedef const dnnl_memory_desc_t *md_query;
#define md_bytes dnnl_memory_desc_get_size
static void md_free(md_handle md) { (void)md; }
static int md_make(md_handle *md, int dims, const dnnl_dims_t shape, dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_init_by_tag(md, dims, shape, type, tag) == dnnl_success ? 0 : -1;
}
#endif

typedef enum { FORWARD, BACKWARD_DATA, BACKWARD_WEIGHT } direction;

typedef struct {
    md_handle x, y, weight, weight_f32; /* weight: compute type, any layout; weight_f32: any layout */
    dnnl_dims_t strides, dilates, padding;
} descriptors;

static int make_desc(sb_cpu *cpu, const descriptors *d, direction which, dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *out)
{
    dnnl_primitive_attr_t attr;
    if (dnnl_primitive_attr_create(&attr) != dnnl_success)
        return -1;
    dnnl_status_t status = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
#if DNNL_VERSION_MAJOR >= 3
    if (status == dnnl_success && which == FORWARD)
        status = dnnl_convolution_forward_primitive_desc_create(out, cpu->engine, dnnl_forward_training, dnnl_convolution_direct, d->x,
                                                                d->weight, NULL, d->y, d->strides, d->dilates, d->padding,
                                                                d->padding, attr);
    if (status == dnnl_success && which == BACKWARD_DATA)
        status = dnnl_convolution_backward_data_primitive_desc_create(out, cpu->engine, dnnl_convolution_direct, d->x, d->weight, d->y,
                                                                      d->strides, d->dilates, d->padding, d->padding, hint, attr);
    if (status == dnnl_success && which == BACKWARD_WEIGHT)
        status = dnnl_convolution_backward_weights_primitive_desc_create(out, cpu->engine, dnnl_convolution_direct, d->x, d->weight_f32,
                                                                         NULL, d->y, d->strides, d->dilates, d->padding, d->padding,
                                                                         hint, attr);
#else
    dnnl_convolution_desc_t c;
    if (status == dnnl_success && which == FORWARD)
        status = dnnl_dilated_convolution_forward_desc_init(&c, dnnl_forward_training, dnnl_convolution_direct, &d->x, &d->weight, NULL,
                                                            &d->y, d->strides, d->dilates, d->padding, d->padding);
    if (status == dnnl_success && which == BACKWARD_DATA)
        status = dnnl_dilated_convolution_backward_data_desc_init(&c, dnnl_convolution_direct, &d->x, &d->weight, &d->y, d->strides,
                                                                  d->dilates, d->padding, d->padding);
    if (status == dnnl_success && which == BACKWARD_WEIGHT)
        status = dnnl_dilated_convolution_backward_weights_desc_init(&c, dnnl_convolution_direct, &d->x, &d->weight_f32, NULL, &d->y,
                                                                     d->strides, d->dilates, d->padding, d->padding);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(out, &c, attr, cpu->engine, hint);
#endif
    dnnl_primitive_attr_destroy(attr);
    return status == dnnl_success ? 0 : -1;
}

/* ---- operations ----------------------------------------------------------------------------------------------------------------- */

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

static md_query query(const operation *o, dnnl_query_t what) { return dnnl_primitive_desc_query_md(o->desc, what, 0); }

/* Arguments in the order first, second, output, scratchpad. */
static int make_convolution(sb_cpu *cpu, operation *o, const int arguments[3], const dnnl_query_t queries[3])
{
    if (dnnl_primitive_create(&o->primitive, o->desc) != dnnl_success)
        return -1;
    for (int i = 0; i < 3; i++)
        if (add_argument(cpu, o, arguments[i], query(o, queries[i])) != 0)
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

/* ---- create --------------------------------------------------------------------------------------------------------------------- */

static int make(sb_cpu *cpu, sb_conv *c, const descriptors *d, md_query master, md_query master_gradient)
{
    if (make_desc(cpu, d, FORWARD, NULL, &c->forward.desc) != 0 ||
        make_convolution(cpu, &c->forward, (int[]){ DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST },
                         (dnnl_query_t[]){ dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md }) != 0 ||
        make_reorder(cpu, &c->pack_forward, master, query(&c->forward, dnnl_query_weights_md)) != 0)
        return -1;
    c->forward_bytes = align(md_bytes(query(&c->forward, dnnl_query_weights_md)));
    if (c->shape.data_gradient) {
        if (make_desc(cpu, d, BACKWARD_DATA, c->forward.desc, &c->data.desc) != 0 ||
            make_convolution(cpu, &c->data, (int[]){ DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_SRC },
                             (dnnl_query_t[]){ dnnl_query_diff_dst_md, dnnl_query_weights_md, dnnl_query_diff_src_md }) != 0 ||
            make_reorder(cpu, &c->pack_data, master, query(&c->data, dnnl_query_weights_md)) != 0)
            return -1;
        c->data_bytes = align(md_bytes(query(&c->data, dnnl_query_weights_md)));
    }
    if (make_desc(cpu, d, BACKWARD_WEIGHT, c->forward.desc, &c->weight.desc) != 0 ||
        make_convolution(cpu, &c->weight, (int[]){ DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS },
                         (dnnl_query_t[]){ dnnl_query_src_md, dnnl_query_diff_dst_md, dnnl_query_diff_weights_md }) != 0 ||
        make_reorder(cpu, &c->unpack, query(&c->weight, dnnl_query_diff_weights_md), master_gradient) != 0)
        return -1;
    c->gradient_bytes = align(md_bytes(query(&c->weight, dnnl_query_diff_weights_md)));
    return 0;
}

int sb_cpu_conv_create(sb_device *device, const sb_conv_shape *s, sb_conv **out)
{
    if (sb_conv_check(s) != 0)
        return -1;
    if (s->type == SB_BF16 && !device->bf16)
        return sb_fail("this processor has no bf16 convolutions: set trainer.precision=f32");
    sb_cpu *cpu = (sb_cpu *)device;
    sb_conv *c = calloc(1, sizeof *c);
    if (!c)
        return sb_fail("out of memory");
    c->shape = *s;
    c->weights = (size_t)s->out * (size_t)s->in * (size_t)s->kernel * (size_t)s->kernel;
    int oh = sb_conv_side(s, s->h), ow = sb_conv_side(s, s->w);
    dnnl_dims_t x = { s->n, s->in, s->h, s->w }, y = { s->n, s->out, oh, ow }, w = { s->out, s->in, s->kernel, s->kernel };
    descriptors d = { .strides = { s->stride, s->stride }, .padding = { s->pad, s->pad } };
    md_handle master;
    int rc = md_make(&d.x, 4, x, type_of(s->type), dnnl_nhwc) || md_make(&d.y, 4, y, type_of(s->type), dnnl_nhwc) ||
             md_make(&d.weight, 4, w, type_of(s->type), dnnl_format_tag_any) ||
             md_make(&d.weight_f32, 4, w, dnnl_f32, dnnl_format_tag_any) || md_make(&master, 4, w, dnnl_f32, dnnl_oihw);
#if DNNL_VERSION_MAJOR >= 3
    rc = rc || make(cpu, c, &d, master, master) != 0;
#else
    rc = rc || make(cpu, c, &d, &master, &master) != 0;
#endif
    md_free(d.x);
    md_free(d.y);
    md_free(d.weight);
    md_free(d.weight_f32);
    md_free(master);
    if (rc) {
        sb_cpu_conv_destroy(device, c);
        return sb_fail("oneDNN has no convolution of [%d, %d, %d, %d] to %d channels with kernel %d, stride %d, pad %d in %s", s->n, s->h,
                       s->w, s->in, s->out, s->kernel, s->stride, s->pad, s->type == SB_F32 ? "f32" : "bf16");
    }
    const operation *all[] = { &c->forward, &c->data, &c->weight, &c->pack_forward, &c->pack_data, &c->unpack };
    size_t most = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        most = all[i]->scratch > most ? all[i]->scratch : most;
    /* Behind the scratchpad: the gradient in oneDNN's layout, then in OIHW. */
    c->scratch = align(most) + c->gradient_bytes + align(c->weights * sizeof(float));
    *out = c;
    return 0;
}

void sb_cpu_conv_destroy(sb_device *device, sb_conv *c)
{
    (void)device;
    if (!c)
        return;
    operation *all[] = { &c->forward, &c->data, &c->weight, &c->pack_forward, &c->pack_data, &c->unpack };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free_operation(all[i]);
    free(c);
}

size_t sb_cpu_conv_packed(const sb_conv *c) { return c->forward_bytes + c->data_bytes; }

size_t sb_cpu_conv_scratch(const sb_conv *c) { return c->scratch; }

int sb_cpu_conv_pack(sb_device *device, sb_conv *c, const float *weight, void *packed, void *scratch)
{
    if (execute(device, &c->pack_forward, (const void *[]){ weight, packed }, 2, scratch) != 0)
        return -1;
    if (!c->shape.data_gradient)
        return 0;
    return execute(device, &c->pack_data, (const void *[]){ weight, (char *)packed + c->forward_bytes }, 2, scratch);
}

int sb_cpu_conv_forward(sb_device *device, sb_conv *c, const void *x, const void *packed, void *y, void *scratch)
{
    return execute(device, &c->forward, (const void *[]){ x, packed, y }, 3, scratch);
}

int sb_cpu_conv_backward_data(sb_device *device, sb_conv *c, const void *dy, const void *packed, void *dx, void *scratch)
{
    if (!c->shape.data_gradient)
        return sb_fail("this convolution was planned without a data gradient");
    return execute(device, &c->data, (const void *[]){ dy, (const char *)packed + c->forward_bytes, dx }, 3, scratch);
}

int sb_cpu_conv_backward_weight(sb_device *device, sb_conv *c, const void *x, const void *dy, float *dweight, bool accumulate,
                                void *scratch)
{
    char *plain = (char *)scratch + c->scratch - align(c->weights * sizeof(float));
    char *gradient = plain - c->gradient_bytes;
    /* For images of one pixel oneDNN multiplies parts of its scratchpad that it never wrote by zero (seen in 2.6.3, bf16, stride 2): what lies
     * there must not be NaN. */
    if (c->shape.h == 1 || c->shape.w == 1)
        memset(scratch, 0, c->weight.scratch);
    if (execute(device, &c->weight, (const void *[]){ x, dy, gradient }, 3, scratch) != 0 ||
        execute(device, &c->unpack, (const void *[]){ gradient, accumulate ? (void *)plain : (void *)dweight }, 2, scratch) != 0)
        return -1;
    return accumulate ? sb_cpu_axpy(device, c->weights, 1, (const float *)(void *)plain, dweight) : 0;
}
