/* nearest_row.cu: the nearest rows of a queue on a GPU. The products are cuBLAS', a band at a time; only the
 * device knows how many rows are in use, so bands behind those are computed, and not looked at. A row is one
 * block's. */
#include "kernels/cuda/blas.h"
#include "kernels/cuda/launch.h"
#include "kernels/op/nearest_row.h"

/* Of two products, the larger one; of equal ones that of the earlier row. */
static __device__ inline void take(float *best, int *at, float other, int its)
{
    if (its >= 0 && (*at < 0 || other > *best || (other == *best && its < *at))) {
        *best = other;
        *at = its;
    }
}

/* best, at [rows]: the largest product so far, and of which row of the queue; -1: of none. products [rows,
 * count], of the queue's rows from `first` on. */
static __global__ void nearest_row_look(int first, int count, int queue, const float *used,
                                        const float *products, float *best, int *at)
{
    __shared__ float bests[THREADS];
    __shared__ int places[THREADS];
    const int thread = (int)threadIdx.x, left = sb_used(used, queue, 0) - first;
    const float *mine = products + (size_t)blockIdx.x * (size_t)count;
    float most = -INFINITY;
    int place = -1;
    for (int c = thread; c < count && c < left; c += THREADS)
        if (mine[c] > most) {
            most = mine[c];
            place = first + c;
        }
    bests[thread] = most;
    places[thread] = place;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (thread < half)
            take(&bests[thread], &places[thread], bests[thread + half], places[thread + half]);
        __syncthreads();
    }
    if (thread != 0)
        return;
    if (first == 0)
        at[blockIdx.x] = -1;
    take(&best[blockIdx.x], &at[blockIdx.x], bests[0], places[0]);
}

static __global__ void nearest_row_copy(int columns, const float *x, const float *queue, const int *at,
                                        float *y)
{
    const size_t row = blockIdx.x;
    const float *from = at[row] < 0 ? x + row * (size_t)columns : queue + (size_t)at[row] * (size_t)columns;
    for (int c = (int)threadIdx.x; c < columns; c += THREADS)
        y[row * (size_t)columns + (size_t)c] = from[c];
}

static size_t scratch(sb_device *device, const sb_call *c)
{
    (void)device;
    const sb_nearest_row s = sb_nearest_row_of(c);
    return sb_cuda_align((size_t)s.rows * sizeof(float)) + sb_cuda_align((size_t)s.rows * sizeof(int)) +
           (size_t)s.rows * (size_t)s.band * sizeof(float);
}

static int forward(sb_device *device, const sb_call *c)
{
    const sb_nearest_row s = sb_nearest_row_of(c);
    const float *x = (const float *)c->x[0], *queue = (const float *)c->x[1];
    char *memory = (char *)c->scratch;
    float *best = (float *)memory;
    int *at = (int *)(memory + sb_cuda_align((size_t)s.rows * sizeof(float)));
    float *products = (float *)((char *)at + sb_cuda_align((size_t)s.rows * sizeof(int)));
    for (int first = 0; first < s.queue; first += s.band) {
        const int count = s.queue - first < s.band ? s.queue - first : s.band;
        if (sb_cuda_sgemm(device, false, true, s.rows, count, s.columns, 1, x,
                          queue + (size_t)first * (size_t)s.columns, 0, products) != 0)
            return -1;
        LAUNCH(nearest_row_look, (unsigned)s.rows, THREADS, 0, sb_cuda_compute(device), first, count, s.queue,
               (const float *)c->x[2], products, best, at);
        if (sb_cuda_launched("nearest_row_look") != 0)
            return -1;
    }
    LAUNCH(nearest_row_copy, (unsigned)s.rows, THREADS, 0, sb_cuda_compute(device), s.columns, x, queue, at,
           (float *)c->y);
    return sb_cuda_launched("nearest_row_copy");
}

extern "C" const sb_kernel sb_cuda_nearest_row = { .scratch = scratch, .forward = forward };
