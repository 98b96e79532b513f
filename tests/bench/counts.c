/* counts.c: see counts.h. */
#include "tests/bench/counts.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kernels/shapes.h"
#include "proto/error.h"

const char *const sb_count_names[SB_COUNT_KINDS] = { "convolution", "its data gradient", "its weight gradient", "packing weights",
                                                     "norm, residual, ReLU", "their gradient", "pooling", "input", "matrix products",
                                                     "similarities", "rows, vectors, copies", "optimiser", "views" };

/* The device that counts. */
typedef struct {
    sb_device base;
    const sb_peak *peaks;
    int peak_count;
    sb_counts *counts;
} counter;

#define KERNELS(n) ((sb_launches){ .kernels = (n) })
#define LIBRARY ((sb_launches){ .libraries = 1 })
#define FILL ((sb_launches){ .fills = 1 })

static int count(sb_device *d, sb_count_kind kind, sb_launches launches, double bytes, double operations, sb_type type)
{
    const counter *c = (const counter *)d;
    sb_tally now = { .calls = 1, .launches = launches, .bytes = bytes, .operations = operations };
    for (int p = 0; p < c->peak_count; p++)
        now.bound[p] = sb_peak_bound(&c->peaks[p], bytes, operations, type);
    sb_tally_add(&c->counts->of[kind], &now);
    return 0;
}

void sb_tally_add(sb_tally *to, const sb_tally *from)
{
    to->calls += from->calls;
    to->launches.kernels += from->launches.kernels;
    to->launches.libraries += from->launches.libraries;
    to->launches.fills += from->launches.fills;
    to->bytes += from->bytes;
    to->operations += from->operations;
    for (int p = 0; p < SB_PEAKS_MAX; p++)
        to->bound[p] += from->bound[p];
}

/* ---- its operations ---------------------------------------------------------------------------------------------------------------------- */

struct sb_conv {
    sb_conv_shape shape;
};

static int d_available(sb_device *d, size_t *bytes) { return (void)d, *bytes = SIZE_MAX, 0; }

/* Address space only: nothing of it is touched but what the loss reads. */
static int d_alloc(sb_device *d, size_t bytes, void **out)
{
    (void)d;
    size_t *memory = mmap(NULL, bytes + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return sb_fail("no address space");
    *memory = bytes + 4096;
    *out = (char *)memory + 4096;
    return 0;
}

static void d_release(sb_device *d, void *memory)
{
    (void)d;
    size_t *head = (size_t *)(void *)((char *)memory - 4096);
    munmap(head, *head);
}

static int d_copy(sb_device *d, sb_stream stream, void *to, const void *from, size_t bytes, sb_direction direction)
{
    (void)stream, (void)from;
    sb_counts *counts = ((counter *)d)->counts;
    if (direction == SB_ON_DEVICE)
        return count(d, SB_COUNT_VECTOR, FILL, 2.0 * (double)bytes, 0, SB_F32);
    *(direction == SB_TO_DEVICE ? &counts->uploads : &counts->downloads) += 1;
    *(direction == SB_TO_DEVICE ? &counts->uploaded : &counts->downloaded) += (double)bytes;
    if (direction == SB_TO_HOST)
        memset(to, 0, bytes);
    return 0;
}

static int d_pin(sb_device *d, void *host, size_t bytes) { return (void)d, (void)host, (void)bytes, 0; }
static int d_zero(sb_device *d, void *memory, size_t bytes) { return (void)memory, count(d, SB_COUNT_VECTOR, FILL, (double)bytes, 0, SB_F32); }
static int d_order(sb_device *d, sb_stream later, sb_stream earlier) { return (void)d, (void)later, (void)earlier, 0; }
static int d_wait(sb_device *d, sb_stream stream) { return (void)d, (void)stream, 0; }
static void d_close(sb_device *d) { (void)d; }

static int d_conv_create(sb_device *d, const sb_conv_shape *shape, sb_conv **out)
{
    (void)d;
    *out = malloc(sizeof **out);
    if (!*out)
        return sb_fail("out of memory");
    (*out)->shape = *shape;
    return 0;
}

static void d_conv_destroy(sb_device *d, sb_conv *c) { (void)d, free(c); }
static size_t d_conv_size(const sb_conv *c) { return (void)c, 256; }

static double weights_of(const sb_conv_shape *s) { return (double)s->out * s->in * s->kernel * s->kernel; }

/* All three directions move and compute as much; `filter` is the bytes of one weight, `kernels` are ours beside the one that pads the input's
 * channels. */
static int conv(sb_device *d, sb_count_kind kind, const sb_conv_shape *s, double filter, int kernels)
{
    double element = (double)sb_type_bytes(s->type), pixels = (double)s->n * s->h * s->w;
    double places = (double)s->n * sb_conv_side(s, s->h) * sb_conv_side(s, s->w);
    bool padded = s->in * (int)sb_type_bytes(s->type) % 16 != 0;
    int unit = 16 / (int)sb_type_bytes(s->type);
    double in = padded ? (s->in + unit - 1) / unit * unit : s->in;
    return count(d, kind, (sb_launches){ .kernels = kernels + padded, .libraries = 1 },
                 element * (pixels * (in + (padded ? s->in + in : 0)) + places * s->out) + filter * weights_of(s), 2 * places * weights_of(s),
                 s->type);
}

static int d_conv_pack(sb_device *d, sb_conv *c, const float *weight, void *packed, void *scratch)
{
    (void)weight, (void)packed, (void)scratch;
    return count(d, SB_COUNT_PACK, KERNELS(1), weights_of(&c->shape) * (4.0 + (double)sb_type_bytes(c->shape.type)), 0, SB_F32);
}

static int d_conv_forward(sb_device *d, sb_conv *c, const void *x, const void *packed, void *y, void *scratch)
{
    (void)x, (void)packed, (void)y, (void)scratch;
    return conv(d, SB_COUNT_CONV, &c->shape, (double)sb_type_bytes(c->shape.type), 0);
}

static int d_conv_data(sb_device *d, sb_conv *c, const void *dy, const void *packed, void *dx, void *scratch)
{
    (void)dy, (void)packed, (void)dx, (void)scratch;
    return conv(d, SB_COUNT_CONV_DATA, &c->shape, (double)sb_type_bytes(c->shape.type), 0);
}

/* The gradient is written in cuDNN's layout and the activations' type, read, and added to ours. */
static int d_conv_weight(sb_device *d, sb_conv *c, const void *x, const void *dy, float *dweight, bool accumulate, void *scratch)
{
    (void)x, (void)dy, (void)dweight, (void)scratch;
    return conv(d, SB_COUNT_CONV_WEIGHT, &c->shape, 2.0 * (double)sb_type_bytes(c->shape.type) + (accumulate ? 8 : 4), 1);
}

static size_t d_norm_scratch(sb_device *d, const sb_norm_shape *s) { return (void)d, (void)s, 256; }

static int d_norm_forward(sb_device *d, const sb_norm_shape *s, const void *x, const void *residual, const float *gamma, const float *beta,
                          void *y, float *mean, float *variance, void *scratch)
{
    (void)x, (void)residual, (void)gamma, (void)beta, (void)y, (void)mean, (void)variance, (void)scratch;
    double values = (double)s->rows * s->channels * (double)sb_type_bytes(s->type);
    return count(d, SB_COUNT_NORM, KERNELS(3), values * (3 + s->residual), 0, SB_F32);
}

static int d_norm_backward(sb_device *d, const sb_norm_shape *s, const void *x, const void *y, const void *dy, const void *more,
                           const float *gamma, const float *beta, const float *mean, const float *variance, void *dx, void *dresidual,
                           float *dgamma, float *dbeta, bool accumulate, void *scratch)
{
    (void)x, (void)y, (void)dy, (void)gamma, (void)beta, (void)mean, (void)variance, (void)dx, (void)dresidual, (void)dgamma, (void)dbeta;
    (void)accumulate, (void)scratch;
    double values = (double)s->rows * s->channels * (double)sb_type_bytes(s->type), incoming = 1 + (more != NULL) + (s->relu && s->residual);
    return count(d, SB_COUNT_NORM_BACKWARD, KERNELS(3),
                 values * (1 + incoming + (s->residual ? 1 : 0) + 1 + (s->residual ? 1 : incoming) + 1), 0, SB_F32);
}

static int d_norm_running(sb_device *d, int channels, int rows, float momentum, const float *mean, const float *variance, float *running_mean,
                          float *running_variance)
{
    (void)rows, (void)momentum, (void)mean, (void)variance, (void)running_mean, (void)running_variance;
    return count(d, SB_COUNT_VECTOR, KERNELS(1), 24.0 * channels, 0, SB_F32);
}

static double maps(const sb_pool_shape *s, int h, int w) { return (double)s->n * h * w * s->c; }

static int d_maxpool_forward(sb_device *d, const sb_pool_shape *s, const void *x, void *y, uint8_t *argmax)
{
    (void)x, (void)y, (void)argmax;
    double element = (double)sb_type_bytes(s->type), out = maps(s, sb_maxpool_side(s->h), sb_maxpool_side(s->w));
    return count(d, SB_COUNT_POOL, KERNELS(1), element * maps(s, s->h, s->w) + (element + 1) * out, 0, SB_F32);
}

static int d_maxpool_backward(sb_device *d, const sb_pool_shape *s, const uint8_t *argmax, const void *dy, const void *more, void *dx)
{
    (void)argmax, (void)dy, (void)dx;
    double element = (double)sb_type_bytes(s->type), out = maps(s, sb_maxpool_side(s->h), sb_maxpool_side(s->w));
    return count(d, SB_COUNT_POOL, KERNELS(1), element * maps(s, s->h, s->w) + (element * (1 + (more != NULL)) + 1) * out, 0, SB_F32);
}

static int avgpool(sb_device *d, const sb_pool_shape *s)
{
    return count(d, SB_COUNT_POOL, KERNELS(1), (double)sb_type_bytes(s->type) * maps(s, s->h, s->w) + 4.0 * s->n * s->c, 0, SB_F32);
}

static int d_avgpool_forward(sb_device *d, const sb_pool_shape *s, const void *x, float *y) { return (void)x, (void)y, avgpool(d, s); }
static int d_avgpool_backward(sb_device *d, const sb_pool_shape *s, const float *dy, void *dx) { return (void)dy, (void)dx, avgpool(d, s); }

static int d_input(sb_device *d, int n, int side, int c, const uint8_t *pixels, const float *mean, const float *std, sb_type type, void *x)
{
    (void)pixels, (void)mean, (void)std, (void)x;
    return count(d, SB_COUNT_INPUT, KERNELS(1), (double)n * side * side * c * (1 + (double)sb_type_bytes(type)), 0, SB_F32);
}

static int d_matmul(sb_device *d, bool ta, bool tb, int m, int n, int k, float alpha, const float *a, const float *b, float beta, float *c)
{
    (void)ta, (void)tb, (void)alpha, (void)a, (void)b, (void)c;
    return count(d, SB_COUNT_PRODUCT, LIBRARY, 4.0 * ((double)m * k + (double)k * n + (double)m * n * (beta != 0 ? 2 : 1)), 2.0 * m * n * k,
                 SB_F32);
}

static int vector(sb_device *d, double floats) { return count(d, SB_COUNT_VECTOR, KERNELS(1), 4 * floats, 0, SB_F32); }

static int d_bias_add(sb_device *d, int rows, int columns, const float *bias, float *x) { return (void)bias, (void)x, vector(d, 2.0 * rows * columns); }
static int d_column_sum(sb_device *d, int rows, int columns, const float *x, float *out, bool accumulate)
{
    return (void)x, (void)out, (void)accumulate, vector(d, (double)rows * columns);
}
static int d_relu_forward(sb_device *d, size_t n, const float *x, float *y) { return (void)x, (void)y, vector(d, 2.0 * (double)n); }
static int d_relu_backward(sb_device *d, size_t n, const float *y, const float *dy, float *dx)
{
    return (void)y, (void)dy, (void)dx, vector(d, 3.0 * (double)n);
}
static int d_axpy(sb_device *d, size_t n, float alpha, const float *x, float *y) { return (void)alpha, (void)x, (void)y, vector(d, 3.0 * (double)n); }
static int d_axpy_rows(sb_device *d, int rows, int columns, float alpha, const float *factor, const float *x, float *y)
{
    return (void)alpha, (void)factor, (void)x, (void)y, vector(d, 3.0 * rows * columns);
}
static int d_row_dot(sb_device *d, int rows, int columns, const float *a, const float *b, float *out)
{
    return (void)a, (void)b, (void)out, vector(d, 2.0 * rows * columns);
}
static int d_logistic(sb_device *d, size_t n, const float *x, float *softplus, float *sigmoid)
{
    return (void)x, (void)softplus, (void)sigmoid, vector(d, 3.0 * (double)n);
}
static int d_rownorm_forward(sb_device *d, int rows, int columns, const float *x, float *z, float *norm)
{
    return (void)x, (void)z, (void)norm, vector(d, 3.0 * rows * columns);
}
static int d_rownorm_backward(sb_device *d, int rows, int columns, const float *z, const float *norm, const float *dz, float *dx)
{
    return (void)z, (void)norm, (void)dz, (void)dx, vector(d, 5.0 * rows * columns);
}

/* Each block of 32 rows reads all rows, and its own again for each tile of columns. */
static double tile_reads(double rows, double width) { return 4 * 2 * (rows / 32) * rows * width; }

static int d_similarity_lse(sb_device *d, const sb_similarity_shape *s, const float *z, const uint8_t *skip, float *lse)
{
    (void)z, (void)skip, (void)lse;
    double rows = (double)s->samples * s->views;
    return count(d, SB_COUNT_SIMILARITY, KERNELS(1), tile_reads(rows, s->width), 2 * rows * rows * s->width, SB_F32);
}

static int d_similarity_gradient(sb_device *d, const sb_similarity_shape *s, const float *z, const uint8_t *skip, const float *lse,
                                 float scale, float *dz)
{
    (void)z, (void)skip, (void)lse, (void)scale, (void)dz;
    double rows = (double)s->samples * s->views;
    return count(d, SB_COUNT_SIMILARITY, KERNELS(1), 2.5 * tile_reads(rows, s->width), 4 * rows * rows * s->width, SB_F32);
}

struct sb_update {
    double weights;
};

static int d_update_create(sb_device *d, const sb_parameter *parameters, int n, sb_update **out)
{
    (void)d;
    *out = calloc(1, sizeof **out);
    if (!*out)
        return sb_fail("out of memory");
    for (int i = 0; i < n; i++)
        (*out)->weights += (double)parameters[i].count;
    return 0;
}

static void d_update_destroy(sb_device *d, sb_update *u) { (void)d, free(u); }

static int d_update_run(sb_device *d, sb_update *u, const sb_update_values *v)
{
    int lars = v->rule == SB_UPDATE_LARS, adamw = v->rule == SB_UPDATE_ADAMW;
    return count(d, SB_COUNT_UPDATE, KERNELS(lars ? 3 : 1), 4 * u->weights * (5 + 2 * adamw + 2 * lars), 0, SB_F32);
}

static const sb_device operations = {
    .description = "counts", .threads = 1, .bf16 = true, .close = d_close, .available = d_available, .alloc = d_alloc,
    .release = d_release, .pin = d_pin, .copy = d_copy, .zero = d_zero, .order = d_order, .wait = d_wait, .conv_create = d_conv_create,
    .conv_destroy = d_conv_destroy, .conv_packed = d_conv_size, .conv_scratch = d_conv_size, .conv_pack = d_conv_pack,
    .conv_forward = d_conv_forward, .conv_backward_data = d_conv_data, .conv_backward_weight = d_conv_weight,
    .norm_scratch = d_norm_scratch, .norm_forward = d_norm_forward, .norm_backward = d_norm_backward, .norm_running = d_norm_running,
    .maxpool_forward = d_maxpool_forward, .maxpool_backward = d_maxpool_backward, .avgpool_forward = d_avgpool_forward,
    .avgpool_backward = d_avgpool_backward, .input = d_input, .matmul = d_matmul, .bias_add = d_bias_add, .column_sum = d_column_sum,
    .relu_forward = d_relu_forward, .relu_backward = d_relu_backward, .axpy = d_axpy, .axpy_rows = d_axpy_rows, .row_dot = d_row_dot,
    .logistic = d_logistic, .rownorm_forward = d_rownorm_forward, .rownorm_backward = d_rownorm_backward,
    .similarity_lse = d_similarity_lse, .similarity_gradient = d_similarity_gradient, .update_create = d_update_create,
    .update_destroy = d_update_destroy, .update_run = d_update_run,
};

/* ---- a step ------------------------------------------------------------------------------------------------------------------------------ */

static int fetch(void *context, int view, int sample, const uint8_t **pixels)
{
    (void)view, (void)sample;
    *pixels = context; /* not looked at */
    return 0;
}

/* The views of a batch, from whole tiles and all blurred: kernels/cuda/view.cu's passes, at most. */
static void count_views(sb_device *d, const sb_config *c, sb_counts *out)
{
    double channels = c->data.channels, tile = (double)c->data.tile * c->data.tile * channels, bytes = 0, views = 0;
    for (int v = 0; v < c->view_count; v++) {
        double size = c->views[v].size, plane = 4 * size * size * channels, rows = 4 * size * c->data.tile * channels;
        bytes += tile + 2 * rows + plane + 2 * plane + 2 * plane + plane + size * size * channels;
        views += size * size * channels;
    }
    for (int i = 0; i < c->trainer.batch; i++)
        count(d, SB_COUNT_VIEW, KERNELS(6), bytes, 0, SB_F32);
    out->tiles = tile * c->trainer.batch;
    out->views = views * c->trainer.batch;
}

int sb_counts_step(const sb_config *config, const sb_peak *peaks, int peak_count, sb_counts *out)
{
    sb_counts planning = { 0 };
    counter c = { .base = operations, .peaks = peaks, .peak_count = peak_count, .counts = &planning };
    uint8_t nothing = 0;
    const sb_step_source source = { .context = &nothing, .fetch = fetch };
    sb_step *step;
    double loss;
    memset(out, 0, sizeof *out);
    if (sb_step_create(&step, &c.base, config) != 0)
        return -1;
    c.counts = out;
    int rc = sb_step_gradient(step, 0, &source, &loss) != 0 ? -1 : sb_step_commit(step, 0, 0.1);
    sb_step_measure(step, &out->budget);
    sb_step_destroy(&step);
    count_views(&c.base, config, out);
    return rc;
}
