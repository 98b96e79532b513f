/* whiten.cu: whitening on a GPU, in f64. A group is one block's: its matrices are small. */
#include "kernels/cuda/cholesky.h"
#include "kernels/op/whiten.h"

/* A block's piece of the scratch. */
typedef struct {
    double *rows, *factor, *f, *diagonal;
} work;

static __device__ work lay_out_work(const sb_whiten *s, double *memory)
{
    size_t d = (size_t)s->columns;
    work w;
    w.rows = memory + blockIdx.x * sb_whiten_scratch(s);
    w.factor = w.rows + (size_t)s->samples * d;
    w.f = w.factor + d * d;
    w.diagonal = w.f + d * d;
    return w;
}

/* Rows less their columns' means, for the whole block. */
static __device__ void centre(int n, int d, double *rows)
{
    __syncthreads();
    for (int c = (int)threadIdx.x; c < d; c += THREADS) {
        double mean = 0;
        for (int r = 0; r < n; r++)
            mean += rows[(size_t)r * (size_t)d + (size_t)c];
        mean /= n;
        for (int r = 0; r < n; r++)
            rows[(size_t)r * (size_t)d + (size_t)c] -= mean;
    }
    __syncthreads();
}

/* The group's rows without means, and the factor of their covariance, for the whole block. */
static __device__ void factorise(const sb_whiten *s, const float *x, const work *w)
{
    int n = s->samples, d = s->columns;
    size_t width = (size_t)d;
    for (size_t i = threadIdx.x; i < (size_t)n * width; i += THREADS)
        w->rows[i] = x[i];
    centre(n, d, w->rows);
    for (int at = (int)threadIdx.x; at < d * d; at += THREADS) {
        int i = at / d, k = at % d;
        double sum = 0;
        for (int r = 0; r < n && k <= i; r++)
            sum += w->rows[(size_t)r * width + (size_t)i] * w->rows[(size_t)r * width + (size_t)k];
        w->factor[at] = sum / (n - 1);
    }
    __syncthreads();
    block_cholesky(w->factor, w->diagonal, d);
}

/* Four blocks a multiprocessor, as 64 registers allow: left alone, nvcc takes 66 and 72, and it is three. */
static __global__ void __launch_bounds__(THREADS, 4)
    whiten_forward(sb_whiten s, const float *x, float *y, double *scratch)
{
    work w = lay_out_work(&s, scratch);
    size_t d = (size_t)s.columns, first = (size_t)blockIdx.x * (size_t)s.samples * d;
    factorise(&s, x + first, &w);
    for (int r = (int)threadIdx.x; r < s.samples; r += THREADS) {
        double *row = w.rows + (size_t)r * d;
        solve_lower(w.factor, s.columns, row, 1);
        for (size_t c = 0; c < d; c++)
            y[first + (size_t)r * d + c] = (float)row[c];
    }
}

static __global__ void __launch_bounds__(THREADS, 4)
    whiten_backward(sb_whiten s, const float *x, const float *y, const float *dy, float *dx, bool add,
                    double *scratch)
{
    work w = lay_out_work(&s, scratch);
    int n = s.samples, d = s.columns;
    size_t width = (size_t)d, first = (size_t)blockIdx.x * (size_t)n * width;
    y += first;
    dy += first;
    factorise(&s, x + first, &w);
    for (int at = (int)threadIdx.x; at < d * d; at += THREADS) { /* F + F^T over (samples - 1) */
        int i = at / d, k = at % d, row = i > k ? i : k, column = i > k ? k : i;
        double sum = 0;
        for (int r = 0; r < n; r++)
            sum += (double)dy[(size_t)r * width + (size_t)row] * y[(size_t)r * width + (size_t)column];
        w.f[at] = sum / (n - 1);
    }
    __syncthreads();
    for (int at = (int)threadIdx.x; at < n * d; at += THREADS) {
        int r = at / d, c = at % d;
        double value = dy[at];
        for (int k = 0; k < d; k++)
            value -= y[(size_t)r * width + (size_t)k] * w.f[(size_t)k * width + (size_t)c];
        w.rows[at] = value;
    }
    __syncthreads();
    for (int r = (int)threadIdx.x; r < n; r += THREADS)
        solve_upper(w.factor, d, w.rows + (size_t)r * width, 1);
    centre(n, d, w.rows);
    for (size_t i = threadIdx.x; i < (size_t)n * width; i += THREADS)
        give(dx, SB_F32, first + i, (float)w.rows[i], add);
}

static size_t scratch(sb_device *device, const sb_call *c)
{
    (void)device;
    sb_whiten s = sb_whiten_of(c);
    return (size_t)s.groups * sb_whiten_scratch(&s) * sizeof(double);
}

static int forward(sb_device *device, const sb_call *c)
{
    sb_whiten s = sb_whiten_of(c);
    LAUNCH(whiten_forward, (unsigned)s.groups, THREADS, 0, sb_cuda_compute(device), s, (const float *)c->x[0],
           (float *)c->y, (double *)c->scratch);
    return sb_cuda_launched("whiten_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    sb_whiten s = sb_whiten_of(c);
    LAUNCH(whiten_backward, (unsigned)s.groups, THREADS, 0, sb_cuda_compute(device), s,
           (const float *)c->x[0], (const float *)c->y, (const float *)c->dy, (float *)c->dx[0], c->add[0],
           (double *)c->scratch);
    return sb_cuda_launched("whiten_backward");
}

extern "C" const sb_kernel sb_cuda_whiten = { .scratch = scratch, .forward = forward, .backward = backward };
