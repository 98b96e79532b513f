/* nuclear_norm.cu: the sum of singular values on a GPU. One block turns the pairs of a round, a warp a pair
 * at a time, until a sweep has turned none. */
#include "kernels/cuda/launch.h"
#include "kernels/op/nuclear_norm.h"

typedef struct {
    double *vectors, *turns, *lengths;
} work;

static size_t scratch(sb_device *device, const sb_call *c)
{
    (void)device;
    sb_nuclear_norm s = sb_nuclear_norm_of(c);
    return sb_nuclear_norm_scratch(&s);
}

static work lay_out_work(const sb_nuclear_norm *s, void *memory)
{
    work w;
    w.vectors = (double *)memory;
    w.turns = w.vectors + (size_t)s->count * (size_t)s->length;
    w.lengths = w.turns + (size_t)s->count * (size_t)s->count;
    return w;
}

static __global__ void begin(sb_nuclear_norm s, const float *x, work w)
{
    size_t i = global_thread(), count = (size_t)s.count, length = (size_t)s.length;
    if (i < count * length)
        w.vectors[i] = x[i / length * s.across + i % length * s.along];
    if (i < count * count)
        w.turns[i] = i / count == i % count;
}

/* A warp's, in every lane. */
static __device__ double dot(const double *a, const double *b, int length)
{
    double sum = 0;
    for (int i = (int)(threadIdx.x % WARP); i < length; i += WARP)
        sum += a[i] * b[i];
    return warp_sum(sum);
}

static __device__ void turn(double *a, double *b, int length, double cosine, double sine)
{
    for (int i = (int)(threadIdx.x % WARP); i < length; i += WARP) {
        double x = a[i], y = b[i];
        a[i] = cosine * x - sine * y;
        b[i] = sine * x + cosine * y;
    }
}

/* One block. */
static __global__ void orthogonalise(sb_nuclear_norm s, work w)
{
    __shared__ bool turned[THREADS / WARP]; /* by this warp, in this sweep */
    int warp = (int)(threadIdx.x / WARP);
    bool again = true;
    for (int n = 0; n < SB_NUCLEAR_SWEEPS && again; n++) {
        bool mine = false;
        for (int round = 0; round < sb_nuclear_rounds(s.count); round++) {
            for (int p = warp; p < sb_nuclear_pairs(s.count); p += THREADS / WARP) {
                int i, j;
                double cosine, sine;
                if (!sb_nuclear_pair(s.count, round, p, &i, &j))
                    continue;
                double *a = w.vectors + (size_t)i * (size_t)s.length,
                       *b = w.vectors + (size_t)j * (size_t)s.length;
                double aa = dot(a, a, s.length), bb = dot(b, b, s.length), ab = dot(a, b, s.length);
                if (!sb_nuclear_turn(aa, bb, ab, &cosine, &sine))
                    continue;
                turn(a, b, s.length, cosine, sine);
                turn(w.turns + (size_t)i * (size_t)s.count, w.turns + (size_t)j * (size_t)s.count, s.count,
                     cosine, sine);
                mine = true;
            }
            __syncthreads();
        }
        if (threadIdx.x % WARP == 0)
            turned[warp] = mine;
        __syncthreads();
        again = false;
        for (int k = 0; k < THREADS / WARP; k++)
            again = again || turned[k];
        __syncthreads();
    }
}

/* One block: lengths, 0 where they are rounding, and their sum. */
static __global__ void measure(sb_nuclear_norm s, work w, float *y)
{
    __shared__ double parts[THREADS / WARP];
    __shared__ float largest[THREADS / WARP];
    float most = 0;
    for (int i = (int)(threadIdx.x / WARP); i < s.count; i += THREADS / WARP) {
        const double *a = w.vectors + (size_t)i * (size_t)s.length;
        double length = sqrt(dot(a, a, s.length));
        if (threadIdx.x % WARP == 0)
            w.lengths[i] = length;
        most = fmaxf(most, (float)length);
    }
    most = block_max(most, largest);
    double sum = 0;
    for (int i = (int)threadIdx.x; i < s.count; i += THREADS) {
        w.lengths[i] = w.lengths[i] <= SB_NUCLEAR_LEAST * most ? 0 : w.lengths[i];
        sum += w.lengths[i];
    }
    sum = block_sum(sum, parts);
    if (threadIdx.x == 0)
        *y = (float)sum;
}

static __global__ void directions(sb_nuclear_norm s, work w, float *aux)
{
    size_t at = global_thread(), count = (size_t)s.count, length = (size_t)s.length;
    if (at >= count * length)
        return;
    size_t i = at / length, j = at % length;
    double value = 0;
    for (size_t k = 0; k < count; k++)
        if (w.lengths[k] != 0)
            value += w.turns[k * count + i] * w.vectors[k * length + j] / w.lengths[k];
    aux[i * s.across + j * s.along] = (float)value;
}

static __global__ void nuclear_norm_backward(size_t count, const float *dy, const float *aux, float *dx,
                                             bool add)
{
    size_t i = global_thread();
    if (i < count)
        give(dx, SB_F32, i, *dy * aux[i], add);
}

static int forward(sb_device *device, const sb_call *c)
{
    cudaStream_t stream = sb_cuda_compute(device);
    sb_nuclear_norm s = sb_nuclear_norm_of(c);
    work w = lay_out_work(&s, c->scratch);
    size_t values = (size_t)s.count * (size_t)s.length; /* not fewer than the turns */
    LAUNCH(begin, blocks_for(values), THREADS, 0, stream, s, (const float *)c->x[0], w);
    LAUNCH(orthogonalise, 1, THREADS, 0, stream, s, w);
    LAUNCH(measure, 1, THREADS, 0, stream, s, w, (float *)c->y);
    LAUNCH(directions, blocks_for(values), THREADS, 0, stream, s, w, (float *)c->aux);
    return sb_cuda_launched("nuclear_norm");
}

static int backward(sb_device *device, const sb_call *c)
{
    size_t count = sb_shape_elements(&c->xs[0]);
    LAUNCH(nuclear_norm_backward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count,
           (const float *)c->dy, (const float *)c->aux, (float *)c->dx[0], c->add[0]);
    return sb_cuda_launched("nuclear_norm_backward");
}

extern "C" const sb_kernel sb_cuda_nuclear_norm = { .scratch = scratch,
                                                    .forward = forward,
                                                    .backward = backward };
