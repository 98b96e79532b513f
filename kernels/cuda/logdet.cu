/* logdet.cu: the volume of a view's rows on a GPU, in f64. A view is one block's where it is factorised. */
#include "kernels/cuda/cholesky.h"
#include "kernels/op/logdet.h"

/* A view's piece of the scratch. */
typedef struct {
    double *matrix, *diagonal, *columns;
} work;

static __device__ work lay_out_work(const sb_logdet *s, size_t view, double *memory)
{
    size_t count = (size_t)s->count;
    work w;
    w.matrix = memory + view * sb_logdet_scratch(s);
    w.diagonal = w.matrix + count * count;
    w.columns = w.diagonal + count;
    return w;
}

/* I + scale X X^T: a thread has a value. Views are y. */
static __global__ void gram(sb_logdet s, const float *x, double *scratch)
{
    work w = lay_out_work(&s, blockIdx.y, scratch);
    size_t at = global_thread(), count = (size_t)s.count;
    if (at >= count * count)
        return;
    const float *a = x + blockIdx.y * s.whole + at / count * s.across,
                *b = x + blockIdx.y * s.whole + at % count * s.across;
    double sum = 0;
    for (size_t j = 0; j < (size_t)s.length; j++)
        sum += (double)a[j * s.along] * b[j * s.along];
    w.matrix[at] = s.scale * sum + (at / count == at % count ? 1 : 0);
}

/* A block for each view. */
static __global__ void factorise(sb_logdet s, float *y, double *scratch)
{
    __shared__ double parts[THREADS / WARP];
    work w = lay_out_work(&s, blockIdx.x, scratch);
    block_cholesky(w.matrix, w.diagonal, s.count);
    double sum = 0;
    for (int i = (int)threadIdx.x; i < s.count; i += THREADS)
        sum += 2 * log(w.matrix[(size_t)i * (size_t)s.count + (size_t)i]);
    sum = block_sum(sum, parts);
    if (threadIdx.x == 0)
        y[blockIdx.x] = (float)sum;
}

/* A thread has a column of the longer side. Views are y. */
static __global__ void solve(sb_logdet s, const float *x, float *aux, double *scratch)
{
    work w = lay_out_work(&s, blockIdx.y, scratch);
    size_t j = global_thread(), count = (size_t)s.count, length = (size_t)s.length;
    if (j >= length)
        return;
    x += blockIdx.y * s.whole + j * s.along;
    aux += blockIdx.y * s.whole + j * s.along;
    for (size_t i = 0; i < count; i++)
        w.columns[i * length + j] = x[i * s.across];
    solve_lower(w.matrix, s.count, w.columns + j, length);
    solve_upper(w.matrix, s.count, w.columns + j, length);
    for (size_t i = 0; i < count; i++)
        aux[i * s.across] = (float)(2 * s.scale * w.columns[i * length + j]);
}

static __global__ void logdet_backward(size_t count, size_t whole, const float *aux, const float *dy,
                                       float *dx, bool add)
{
    size_t i = global_thread();
    if (i < count)
        give(dx, SB_F32, i, dy[i / whole] * aux[i], add);
}

static size_t scratch(sb_device *device, const sb_call *c)
{
    (void)device;
    sb_logdet s = sb_logdet_of(c);
    return (size_t)s.views * sb_logdet_scratch(&s) * sizeof(double);
}

static int forward(sb_device *device, const sb_call *c)
{
    cudaStream_t stream = sb_cuda_compute(device);
    sb_logdet s = sb_logdet_of(c);
    unsigned views = (unsigned)s.views;
    const float *x = (const float *)c->x[0];
    LAUNCH(gram, dim3(blocks_for((size_t)s.count * (size_t)s.count), views), THREADS, 0, stream, s, x,
           (double *)c->scratch);
    LAUNCH(factorise, views, THREADS, 0, stream, s, (float *)c->y, (double *)c->scratch);
    LAUNCH(solve, dim3(blocks_for((size_t)s.length), views), THREADS, 0, stream, s, x, (float *)c->aux,
           (double *)c->scratch);
    return sb_cuda_launched("logdet");
}

static int backward(sb_device *device, const sb_call *c)
{
    size_t count = sb_shape_elements(&c->xs[0]);
    sb_logdet s = sb_logdet_of(c);
    LAUNCH(logdet_backward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, s.whole,
           (const float *)c->aux, (const float *)c->dy, (float *)c->dx[0], c->add[0]);
    return sb_cuda_launched("logdet_backward");
}

extern "C" const sb_kernel sb_cuda_logdet = { .scratch = scratch, .forward = forward, .backward = backward };
