/* match.cu: the most similar places on a GPU. The products are cuBLAS', a band at a time; a place is one
 * block's. */
#include "kernels/cuda/blas.h"
#include "kernels/cuda/launch.h"
#include "kernels/op/match.h"

/* Of two products, the larger one; of equal ones that of the earlier place. */
static __device__ inline void take(float *best, int *at, float other, int its)
{
    if (other > *best || (other == *best && its < *at)) {
        *best = other;
        *at = its;
    }
}

/* products [blocks, others], v [others, out], y [blocks, out]. */
static __global__ void match_take(int others, int out, const float *products, const float *v, float *y)
{
    __shared__ float bests[THREADS];
    __shared__ int places[THREADS];
    const int thread = (int)threadIdx.x;
    const float *mine = products + (size_t)blockIdx.x * (size_t)others;
    float most = -INFINITY;
    int at = others; /* of none */
    for (int j = thread; j < others; j += THREADS)
        if (mine[j] > most) {
            most = mine[j];
            at = j;
        }
    bests[thread] = most;
    places[thread] = at;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (thread < half)
            take(&bests[thread], &places[thread], bests[thread + half], places[thread + half]);
        __syncthreads();
    }
    const int from = places[0] < others ? places[0] : 0;
    for (int c = thread; c < out; c += THREADS)
        y[(size_t)blockIdx.x * (size_t)out + (size_t)c] = v[(size_t)from * (size_t)out + (size_t)c];
}

static size_t scratch(sb_device *device, const sb_call *c)
{
    (void)device;
    const sb_match s = sb_match_of(c);
    return sb_match_bytes(&s);
}

static int forward(sb_device *device, const sb_call *c)
{
    const sb_match s = sb_match_of(c);
    const size_t columns = (size_t)s.columns, out = (size_t)s.out, others = (size_t)s.others;
    float *products = (float *)c->scratch;
    for (size_t n = 0; n < (size_t)s.images; n++)
        for (int first = 0; first < s.places; first += s.band) {
            const int count = s.places - first < s.band ? s.places - first : s.band;
            const size_t row = n * (size_t)s.places + (size_t)first;
            if (sb_cuda_sgemm(device, false, true, count, s.others, s.columns, 1,
                              (const float *)c->x[0] + row * columns,
                              (const float *)c->x[1] + n * others * columns, 0, products) != 0)
                return -1;
            LAUNCH(match_take, (unsigned)count, THREADS, 0, sb_cuda_compute(device), s.others, s.out,
                   products, (const float *)c->x[2] + n * others * out, (float *)c->y + row * out);
            if (sb_cuda_launched("match_take") != 0)
                return -1;
        }
    return 0;
}

extern "C" const sb_kernel sb_cuda_match = { .scratch = scratch, .forward = forward };
