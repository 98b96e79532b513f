/* cudnn.c: the calls of cuDNN's graph API that kernels/cuda makes, on the CPU: descriptors, heuristics that
 * propose what should not be taken, plans, and convolutions as im2col and oneDNN's f32 product. Tensors must
 * be NHWC without gaps. It answers as the real cuDNN does: tests/cuda/test_answers.c asks both and
 * compares. */
#include <dnnl.h>
#include <stdlib.h>
#include <string.h>

#include <cudnn.h>

#include "kernels/share/half.h"
#include "tests/emulated/emulation.h"

#define HANDLE_TAG 0x646E6E68u
#define DESCRIPTOR_TAG 0x646E6E64u
#define ATTRIBUTES_MAX 12

struct cudnnContext {
    uint32_t tag;
    cudaStream_t stream;
};

typedef struct {
    cudnnBackendAttributeName_t name;
    cudnnBackendAttributeType_t type;
    int64_t count;
    void *values;
} attribute;

/* A convolution, whatever of it is computed. */
typedef struct {
    cudnnBackendDescriptorType_t operation;
    int n, in, h, w, out, kernel, oh, ow, stride, pad;
    cudnnDataType_t type, filter_type;
    int64_t x_name, w_name, y_name;
} convolution;

typedef struct {
    uint32_t tag;
    cudnnBackendDescriptorType_t type;
    bool finalised;
    int count;
    attribute attributes[ATTRIBUTES_MAX];
    convolution convolution; /* operation, graph, plan */
    int engine, slices;      /* configuration, engine, plan, choice of a knob */
} descriptor;

/* What the heuristics propose, in their order: the first is fast and wrong for us, the second cannot be
 * built, the third is TF32 for f32, then come emulation_plans, of one engine with its knob at 1, 2, ...
 * slices of a sum. A kernel of one place gets those from the fallback alone. */
enum { ENGINE_NONDETERMINISTIC, ENGINE_UNBUILDABLE, ENGINE_TENSOR_CORE, ENGINE_PLAIN, ENGINES };
#define SLICES_KNOB CUDNN_KNOB_TYPE_SPLIT_K_SLC
#define TENSOR_CORE_WORKSPACE 1000

emulation_plan emulation_plans[EMULATION_PLANS];

void emulation_reset_plans(void)
{
    for (int i = 0; i < EMULATION_PLANS; i++)
        emulation_plans[i] = (emulation_plan){ .milliseconds = 1, .workspace = 1000 * (size_t)i };
}

__attribute__((constructor)) static void read_environment(void)
{
    emulation_reset_plans();
    char *times = getenv("SB_EMULATION_TIMES");
    for (int i = 0; i < EMULATION_PLANS && times && *times; i++, times += *times == ',')
        emulation_plans[i].milliseconds = strtof(times, &times);
}

static const emulation_plan *script_of(const descriptor *d)
{
    return d->engine == ENGINE_PLAIN ? &emulation_plans[d->slices - 1] : NULL;
}

static size_t workspace_of(const descriptor *d)
{
    return script_of(d) ? script_of(d)->workspace : TENSOR_CORE_WORKSPACE;
}

/* ---- descriptors --------------------------------------------------------------------------------------- */

static descriptor *check(cudnnBackendDescriptor_t handle)
{
    descriptor *d = handle;
    if (!d || d->tag != DESCRIPTOR_TAG)
        emulation_die("%p is no descriptor of cuDNN", handle);
    return d;
}

static size_t bytes_of(cudnnBackendAttributeType_t type)
{
    switch (type) {
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR: return 8;
    default: return 4;
    }
}

static const attribute *find(const descriptor *d, cudnnBackendAttributeName_t name)
{
    for (int i = 0; i < d->count; i++)
        if (d->attributes[i].name == name)
            return &d->attributes[i];
    return NULL;
}

static const attribute *need(const descriptor *d, cudnnBackendAttributeName_t name,
                             cudnnBackendAttributeType_t type, int64_t count)
{
    const attribute *a = find(d, name);
    if (!a || a->type != type || a->count != count)
        emulation_die("a descriptor of type %d without a sound attribute %d", (int)d->type, (int)name);
    return a;
}

static int64_t number(const descriptor *d, cudnnBackendAttributeName_t name, int64_t count, int i)
{
    return ((const int64_t *)need(d, name, CUDNN_TYPE_INT64, count)->values)[i];
}

static const descriptor *child(const descriptor *d, cudnnBackendAttributeName_t name)
{
    descriptor *c = check(
        *(cudnnBackendDescriptor_t *)need(d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1)->values);
    if (!c->finalised)
        emulation_die("attribute %d is not finalised", (int)name);
    return c;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *out)
{
    if (emulation_fails())
        return CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
    descriptor *d = calloc(1, sizeof *d);
    if (!d)
        return CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
    d->tag = DESCRIPTOR_TAG;
    d->type = type;
    emulation_born();
    *out = d;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t handle)
{
    descriptor *d = check(handle);
    for (int i = 0; i < d->count; i++)
        free(d->attributes[i].values);
    d->tag = 0;
    free(d);
    emulation_gone();
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t handle, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count, const void *values)
{
    descriptor *d = check(handle);
    if (d->finalised)
        emulation_die("attribute %d is set after the end", (int)name);
    if (emulation_fails())
        return CUDNN_STATUS_BAD_PARAM;
    if (d->count == ATTRIBUTES_MAX || find(d, name))
        emulation_die("attribute %d is one too many", (int)name);
    attribute *a = &d->attributes[d->count++];
    *a = (attribute){
        .name = name, .type = type, .count = count, .values = malloc((size_t)count * bytes_of(type))
    };
    if (!a->values)
        emulation_die("out of memory");
    memcpy(a->values, values, (size_t)count * bytes_of(type));
    return CUDNN_STATUS_SUCCESS;
}

/* ---- finalising ---------------------------------------------------------------------------------------- */

static cudnnDataType_t type_of(const descriptor *tensor)
{
    return *(cudnnDataType_t *)need(tensor, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1)->values;
}

static int64_t dim(const descriptor *tensor, int i)
{
    return number(tensor, CUDNN_ATTR_TENSOR_DIMENSIONS, 4, i);
}

static void finalise_tensor(const descriptor *d)
{
    int64_t n = dim(d, 0), c = dim(d, 1), h = dim(d, 2), w = dim(d, 3),
            strides[] = { h * w * c, 1, w * c, c };
    for (int i = 0; i < 4; i++)
        if (number(d, CUDNN_ATTR_TENSOR_STRIDES, 4, i) != strides[i])
            emulation_die("a tensor that is not NHWC without gaps");
    if (n < 1 || c < 1 || h < 1 || w < 1 || number(d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 1, 0) < 16 ||
        (type_of(d) != CUDNN_DATA_FLOAT && type_of(d) != CUDNN_DATA_BFLOAT16 &&
         type_of(d) != CUDNN_DATA_HALF))
        emulation_die("a tensor of [%ld, %ld, %ld, %ld]", (long)n, (long)c, (long)h, (long)w);
}

typedef struct {
    cudnnBackendAttributeName_t convolution, x, w, y, alpha, beta;
} roles;

static roles roles_of(cudnnBackendDescriptorType_t operation)
{
    if (operation == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR)
        return (roles){
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA
        };
    if (operation == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR)
        return (roles){ CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA };
    return (roles){ CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA };
}

static void finalise_operation(descriptor *d)
{
    roles r = roles_of(d->type);
    const descriptor *c = child(d, r.convolution), *x = child(d, r.x), *w = child(d, r.w), *y = child(d, r.y);
    float alpha = *(float *)need(d, r.alpha, CUDNN_TYPE_FLOAT, 1)->values,
          beta = *(float *)need(d, r.beta, CUDNN_TYPE_FLOAT, 1)->values;
    int stride = (int)number(c, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, 2, 0),
        pad = (int)number(c, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, 2, 0);
    cudnnDataType_t compute =
        *(cudnnDataType_t *)need(c, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1)->values;
    cudnnConvolutionMode_t mode = *(cudnnConvolutionMode_t *)need(c, CUDNN_ATTR_CONVOLUTION_CONV_MODE,
                                                                  CUDNN_TYPE_CONVOLUTION_MODE, 1)
                                       ->values;
    d->convolution = (convolution){
        .operation = d->type,
        .n = (int)dim(x, 0),
        .in = (int)dim(x, 1),
        .h = (int)dim(x, 2),
        .w = (int)dim(x, 3),
        .out = (int)dim(w, 0),
        .kernel = (int)dim(w, 2),
        .oh = (int)dim(y, 2),
        .ow = (int)dim(y, 3),
        .stride = stride,
        .pad = pad,
        .type = type_of(x),
        .filter_type = type_of(w),
        .x_name = number(x, CUDNN_ATTR_TENSOR_UNIQUE_ID, 1, 0),
        .w_name = number(w, CUDNN_ATTR_TENSOR_UNIQUE_ID, 1, 0),
        .y_name = number(y, CUDNN_ATTR_TENSOR_UNIQUE_ID, 1, 0),
    };
    const convolution *s = &d->convolution;
    if (dim(w, 1) != s->in)
        emulation_die("a filter of %ld channels for an input of %d is a grouped convolution", (long)dim(w, 1),
                      s->in);
    if (dim(y, 0) != s->n || dim(y, 1) != s->out || dim(w, 3) != s->kernel ||
        s->oh != (s->h + 2 * pad - s->kernel) / stride + 1 ||
        s->ow != (s->w + 2 * pad - s->kernel) / stride + 1)
        emulation_die("a convolution's tensors do not fit each other");
    if (alpha != 1 || beta != 0 || compute != CUDNN_DATA_FLOAT || mode != CUDNN_CROSS_CORRELATION ||
        type_of(y) != s->type || number(c, CUDNN_ATTR_CONVOLUTION_DILATIONS, 2, 0) != 1 ||
        number(c, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, 2, 1) != pad ||
        number(c, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 1, 0) != 2)
        emulation_die("a convolution that is not emulated");
}

static cudnnStatus_t finalise_plan(descriptor *d)
{
    const descriptor *configuration = child(d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
    cudnnHandle_t handle =
        *(cudnnHandle_t *)need(d, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1)->values;
    if (!handle || handle->tag != HANDLE_TAG)
        emulation_die("a plan without a handle");
    d->convolution = configuration->convolution;
    d->engine = configuration->engine;
    d->slices = configuration->slices;
    if (d->engine == ENGINE_NONDETERMINISTIC ||
        (d->engine == ENGINE_TENSOR_CORE && d->convolution.type == CUDNN_DATA_FLOAT && !emulation_tf32))
        emulation_die("a plan of an engine that %s",
                      d->engine == ENGINE_TENSOR_CORE ? "rounds f32 to TF32" : "gives other bits each time");
    return d->engine == ENGINE_UNBUILDABLE || (script_of(d) && script_of(d)->unbuildable)
               ? CUDNN_STATUS_NOT_SUPPORTED
               : CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t handle)
{
    descriptor *d = check(handle);
    if (emulation_fails())
        return CUDNN_STATUS_INTERNAL_ERROR;
    switch (d->type) {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR: finalise_tensor(d); break;
    case CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR: break; /* read by its operation */
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR: finalise_operation(d); break;
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR:
        d->convolution = child(d, CUDNN_ATTR_OPERATIONGRAPH_OPS)->convolution;
        break;
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
        d->convolution = child(d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH)->convolution;
        break;
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR: {
        cudnnStatus_t status = finalise_plan(d);
        if (status != CUDNN_STATUS_SUCCESS)
            return status;
        break;
    }
    case CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR: break; /* read when it is used */
    default: emulation_die("a descriptor of type %d is finalised", (int)d->type);
    }
    d->finalised = true;
    return CUDNN_STATUS_SUCCESS;
}

/* ---- asking -------------------------------------------------------------------------------------------- */

/* A list is said to be one longer than it is. For an operation of mixed types it is empty then. What was
 * filled before is not filled again. */
static void propose(const descriptor *heuristics, int64_t room, int64_t *count, cudnnBackendDescriptor_t *out)
{
    cudnnBackendHeurMode_t mode = *(cudnnBackendHeurMode_t *)need(heuristics, CUDNN_ATTR_ENGINEHEUR_MODE,
                                                                  CUDNN_TYPE_HEUR_MODE, 1)
                                       ->values;
    const convolution *s = &heuristics->convolution;
    bool best = mode == CUDNN_HEUR_MODE_A, plain = best == (s->kernel > 1);
    int others = best ? ENGINE_PLAIN : 0, length = others + (plain ? EMULATION_PLANS : 0);
    *count = length + 1;
    if (room == 0)
        return;
    *count = 0;
    for (int i = 0; i < length && i < room && s->filter_type == s->type; i++) {
        descriptor *configuration = check(out[i]);
        if (configuration->finalised)
            continue;
        ++*count;
        configuration->convolution = *s;
        configuration->engine = i < others ? i : ENGINE_PLAIN;
        configuration->slices = i < others ? 1 : 1 + i - others;
        configuration->finalised = true;
    }
}

/* One knob, of one engine; as many as there is room for. */
static void give_knobs(const descriptor *configuration, int64_t room, int64_t *count,
                       cudnnBackendDescriptor_t *out)
{
    *count = room > 0 && configuration->engine == ENGINE_PLAIN;
    if (*count == 0)
        return;
    descriptor *choice = check(out[0]);
    choice->slices = configuration->slices - script_of(configuration)->twin;
    choice->finalised = true;
}

/* There is room for one, or the number is asked for. */
static cudnnStatus_t give_one(int64_t room, void *out, const void *value, size_t bytes)
{
    if (room != (out ? 1 : 0))
        return CUDNN_STATUS_BAD_PARAM;
    if (out)
        memcpy(out, value, bytes);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t handle, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t room, int64_t *count,
                                       void *out)
{
    descriptor *d = check(handle);
    if (emulation_fails())
        return CUDNN_STATUS_INTERNAL_ERROR;
    if (!d->finalised)
        emulation_die("attribute %d is asked for before the end", (int)name);
    const cudnnBackendKnobType_t knob = SLICES_KNOB;
    int64_t number = d->engine;
    *count = 1;
    if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS && type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
        propose(d, room, count, out);
    } else if (name == CUDNN_ATTR_ENGINECFG_KNOB_CHOICES && type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
        give_knobs(d, room, count, out);
    } else if (name == CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE && type == CUDNN_TYPE_KNOB_TYPE) {
        return give_one(room, out, &knob, sizeof knob);
    } else if (name == CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE && type == CUDNN_TYPE_INT64) {
        number = d->slices;
        return give_one(room, out, &number, sizeof number);
    } else if (name == CUDNN_ATTR_ENGINECFG_ENGINE && type == CUDNN_TYPE_BACKEND_DESCRIPTOR && room == 1) {
        descriptor *engine = check(*(cudnnBackendDescriptor_t *)out);
        engine->engine = d->engine;
        engine->finalised = true;
    } else if (name == CUDNN_ATTR_ENGINE_GLOBAL_INDEX && type == CUDNN_TYPE_INT64) {
        return give_one(room, out, &number, sizeof number);
    } else if (name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE && type == CUDNN_TYPE_NUMERICAL_NOTE &&
               room == CUDNN_NUMERICAL_NOTE_TYPE_COUNT) {
        *count = d->engine == ENGINE_NONDETERMINISTIC || d->engine == ENGINE_TENSOR_CORE;
        *(cudnnBackendNumericalNote_t *)out = d->engine == ENGINE_NONDETERMINISTIC
                                                  ? CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC
                                                  : CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
    } else if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE && type == CUDNN_TYPE_INT64) {
        number = (int64_t)workspace_of(d);
        return give_one(room, out, &number, sizeof number);
    } else if (name == CUDNN_ATTR_OPERATIONGRAPH_ENGINE_GLOBAL_COUNT && type == CUDNN_TYPE_INT64) {
        number = ENGINES;
        return give_one(room, out, &number, sizeof number);
    } else {
        emulation_die("attribute %d is asked for with room for %ld", (int)name, (long)room);
    }
    return CUDNN_STATUS_SUCCESS;
}

/* ---- running ------------------------------------------------------------------------------------------- */

typedef struct {
    convolution s;
    int slices;
    bool rounds; /* f32 to TF32 */
    size_t workspace_bytes;
    void *x, *w, *y, *workspace;
} call;

static void round_all(float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        values[i] = emulation_round_tf32(values[i]);
}

static float get(const void *memory, cudnnDataType_t type, size_t i)
{
    return type == CUDNN_DATA_FLOAT      ? ((const float *)memory)[i]
           : type == CUDNN_DATA_BFLOAT16 ? sb_from_bf16(((const uint16_t *)memory)[i])
                                         : sb_from_f16(((const uint16_t *)memory)[i]);
}

static void put(void *memory, cudnnDataType_t type, size_t i, float value)
{
    if (type == CUDNN_DATA_FLOAT)
        ((float *)memory)[i] = value;
    else
        ((uint16_t *)memory)[i] = type == CUDNN_DATA_BFLOAT16 ? sb_to_bf16(value) : sb_to_f16(value);
}

static float *floats(size_t count)
{
    float *f = malloc(count * sizeof *f);
    if (!f)
        emulation_die("out of memory");
    return f;
}

/* c [m, n] = a [m, k] b [k, n] + beta c, the sum over k slice by slice. */
static void product(int slices, char ta, char tb, int m, int n, int k, const float *a, const float *b,
                    float beta, float *c)
{
    int i = 0;
    do {
        size_t from = (size_t)(k * i / slices), to = (size_t)(k * (i + 1) / slices);
        if (dnnl_sgemm(ta, tb, m, n, (dnnl_dim_t)(to - from), 1, a + (ta == 'T' ? from * (size_t)m : from),
                       ta == 'T' ? m : k, b + (tb == 'T' ? from : from * (size_t)n), tb == 'T' ? k : n,
                       i == 0 ? beta : 1, c, n) != dnnl_success)
            emulation_die("oneDNN refuses a product");
    } while (++i < slices);
}

/* column[place of y][place in the kernel, channel]: to it from an image of x, or added back to an image. */
static void columns(const convolution *s, float *image, float *column, bool back)
{
    size_t in = (size_t)s->in;
    for (int i = 0; i < s->oh; i++)
        for (int j = 0; j < s->ow; j++)
            for (int a = 0; a < s->kernel; a++)
                for (int b = 0; b < s->kernel; b++, column += in) {
                    int row = i * s->stride - s->pad + a, col = j * s->stride - s->pad + b;
                    bool outside = row < 0 || row >= s->h || col < 0 || col >= s->w;
                    float *pixel = image + (outside ? 0 : ((size_t)row * (size_t)s->w + (size_t)col) * in);
                    for (size_t k = 0; k < in; k++) {
                        if (!back)
                            column[k] = outside ? 0 : pixel[k];
                        else if (!outside)
                            pixel[k] += column[k];
                    }
                }
}

static void run_convolution(void *p)
{
    call *c = p;
    const convolution *s = &c->s;
    size_t image = (size_t)s->h * (size_t)s->w * (size_t)s->in, places = (size_t)s->oh * (size_t)s->ow,
           taps = (size_t)(s->kernel * s->kernel * s->in);
    size_t filter = (size_t)s->out * taps, result = places * (size_t)s->out;
    float *x = floats(image), *w = floats(filter), *y = floats(result), *column = floats(places * taps);
    bool forward = s->operation == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR;
    bool weight = s->operation == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR;
    memset(c->workspace, 0xFF, c->workspace_bytes); /* it is ours meanwhile */
    for (size_t i = 0; i < filter; i++)
        w[i] = weight ? 0 : get(c->w, s->filter_type, i);
    if (c->rounds)
        round_all(w, filter);
    for (size_t n = 0; n < (size_t)s->n; n++) {
        for (size_t i = 0; i < image; i++)
            x[i] = forward || weight ? get(c->x, s->type, n * image + i) : 0;
        for (size_t i = 0; i < result && !forward; i++)
            y[i] = get(c->y, s->type, n * result + i);
        if (c->rounds && (forward || weight))
            round_all(x, image);
        if (c->rounds && !forward)
            round_all(y, result);
        if (forward || weight)
            columns(s, x, column, false);
        if (forward) {
            product(c->slices, 'N', 'T', (int)places, s->out, (int)taps, column, w, 0, y);
            for (size_t i = 0; i < result; i++)
                put(c->y, s->type, n * result + i, y[i]);
        } else if (weight) {
            product(c->slices, 'T', 'N', s->out, (int)taps, (int)places, y, column, 1, w);
        } else {
            product(c->slices, 'N', 'N', (int)places, (int)taps, s->out, y, w, 0, column);
            columns(s, x, column, true);
            for (size_t i = 0; i < image; i++)
                put(c->x, s->type, n * image + i, x[i]);
        }
    }
    for (size_t i = 0; i < filter && weight; i++)
        put(c->w, s->filter_type, i, w[i]);
    free(x);
    free(w);
    free(y);
    free(column);
}

static void *aligned(void *memory)
{
    if ((uintptr_t)memory % 256 != 0)
        emulation_die("a convolution is given %p, which is not aligned to 256 bytes", memory);
    return memory;
}

static void *tensor(const descriptor *pack, int64_t name, size_t count, cudnnDataType_t type)
{
    for (int i = 0; i < 3; i++)
        if (number(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, 3, i) == name) {
            void *memory = ((void **)need(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3)
                                ->values)[i];
            emulation_check_range("a convolution", memory, count * (type == CUDNN_DATA_FLOAT ? 4 : 2));
            return aligned(memory);
        }
    emulation_die("a convolution without its tensor %ld", (long)name);
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t arguments)
{
    const descriptor *d = check(plan), *pack = check(arguments);
    if (!handle || handle->tag != HANDLE_TAG || !handle->stream || !d->finalised || !pack->finalised)
        emulation_die("a convolution without handle, stream, plan or arguments");
    if (emulation_fails() || (script_of(d) && script_of(d)->fails))
        return CUDNN_STATUS_EXECUTION_FAILED;
    const convolution *s = &d->convolution;
    call *c = malloc(sizeof *c);
    if (!c)
        return CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
    *c = (call){
        .s = *s,
        .slices = d->slices,
        .rounds = d->engine == ENGINE_TENSOR_CORE && s->type == CUDNN_DATA_FLOAT,
        .workspace_bytes = workspace_of(d),
        .x = tensor(pack, s->x_name, (size_t)s->n * (size_t)s->h * (size_t)s->w * (size_t)s->in, s->type),
        .w = tensor(pack, s->w_name, (size_t)s->out * (size_t)(s->kernel * s->kernel * s->in),
                    s->filter_type),
        .y = tensor(pack, s->y_name, (size_t)s->n * (size_t)s->oh * (size_t)s->ow * (size_t)s->out, s->type),
        .workspace = aligned(
            *(void **)need(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1)->values)
    };
    emulation_check_range("a convolution's workspace", c->workspace, c->workspace_bytes);
    emulation_queue(handle->stream, run_convolution, c);
    emulation_spend(handle->stream, script_of(d) ? script_of(d)->milliseconds : 1);
    return CUDNN_STATUS_SUCCESS;
}

/* ---- the rest ------------------------------------------------------------------------------------------ */

cudnnStatus_t cudnnCreate(cudnnHandle_t *out)
{
    if (emulation_fails())
        return CUDNN_STATUS_NOT_INITIALIZED;
    cudnnHandle_t handle = calloc(1, sizeof *handle);
    if (!handle || !emulation_library_opens()) {
        free(handle);
        return CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
    }
    handle->tag = HANDLE_TAG;
    emulation_born();
    *out = handle;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle)
{
    if (!handle || handle->tag != HANDLE_TAG)
        emulation_die("cudnnDestroy of what is no handle");
    free(handle);
    emulation_library_closes();
    emulation_gone();
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream)
{
    if (emulation_fails())
        return CUDNN_STATUS_BAD_PARAM;
    handle->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

size_t cudnnGetVersion(void) { return CUDNN_VERSION; }

void cudnnGetLastErrorString(char *message, size_t bytes)
{
    if (bytes > 0)
        message[0] = '\0';
}

const char *cudnnGetErrorString(cudnnStatus_t status)
{
    return status == CUDNN_STATUS_SUCCESS ? "success" : "an emulated error";
}
