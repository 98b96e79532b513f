/* relations.cu: relations of places against a teacher's on a GPU. The products are cuBLAS', a band of places
 * of an image at a time; a place is one block's, its sums in f64. Bands are added in their order. */
#include "kernels/cuda/blas.h"
#include "kernels/cuda/launch.h"
#include "kernels/op/relations.h"

/* log sum exp of `count` logits, in every thread of the block. */
static __device__ inline double logsumexp(const float *logits, int count)
{
    __shared__ double parts[THREADS / WARP];
    __shared__ float mosts[THREADS / WARP];
    float most = -INFINITY;
    for (int j = (int)threadIdx.x; j < count; j += THREADS)
        most = fmaxf(most, logits[j]);
    most = block_max(most, mosts);
    double sum = 0;
    for (int j = (int)threadIdx.x; j < count; j += THREADS)
        sum += exp((double)logits[j] - most);
    sum = block_sum(sum, parts);
    __syncthreads();
    return most + log(sum < 1 ? 1 : sum);
}

/* Of the places of a band: logits [blocks, places], y [blocks], aux [blocks, 2]. */
static __global__ void relations_forward(int places, const float *of_s, const float *of_t, float *y,
                                         float *aux)
{
    __shared__ double parts[THREADS / WARP];
    const float *s = of_s + (size_t)blockIdx.x * (size_t)places,
                *t = of_t + (size_t)blockIdx.x * (size_t)places;
    const double lse_s = logsumexp(s, places), lse_t = logsumexp(t, places);
    double sum = 0;
    for (int j = (int)threadIdx.x; j < places; j += THREADS)
        sum += exp(t[j] - lse_t) * ((t[j] - lse_t) - (s[j] - lse_s));
    sum = block_sum(sum, parts);
    if (threadIdx.x != 0)
        return;
    y[blockIdx.x] = (float)sum;
    if (aux) {
        aux[2 * blockIdx.x] = (float)lse_s;
        aux[2 * blockIdx.x + 1] = (float)lse_t;
    }
}

/* of_s <- G. */
static __global__ void relations_weigh(size_t count, int places, float scale, float *of_s, const float *of_t,
                                       const float *dy, const float *aux)
{
    const size_t i = global_thread();
    if (i >= count)
        return;
    const size_t r = i / (size_t)places;
    of_s[i] = dy[r] * scale * (expf(of_s[i] - aux[2 * r]) - expf(of_t[i] - aux[2 * r + 1]));
}

static size_t scratch(sb_device *device, const sb_call *c)
{
    (void)device;
    const sb_relations s = sb_relations_of(c);
    return 2 * sb_relations_floats(&s) * sizeof(float);
}

/* A band of an image: its places, and where everything of it lies. */
typedef struct {
    int count;
    size_t row;              /* of the first place, in the batch */
    const float *all, *mine; /* the image's rows of s, and the band's */
    float *of_s, *of_t;      /* [count, places]: logits */
} band;

static int find_band(sb_device *device, const sb_call *c, const sb_relations *s, int n, int first, band *b)
{
    const size_t width = (size_t)s->width, teacher = (size_t)s->teacher,
                 image = (size_t)n * (size_t)s->places;
    const float *t = (const float *)c->x[1];
    b->count = s->places - first < s->band ? s->places - first : s->band;
    b->row = image + (size_t)first;
    b->all = (const float *)c->x[0] + image * width;
    b->mine = b->all + (size_t)first * width;
    b->of_s = (float *)c->scratch;
    b->of_t = b->of_s + sb_relations_floats(s);
    if (sb_cuda_sgemm(device, false, true, b->count, s->places, s->width, s->scale, b->mine, b->all, 0,
                      b->of_s) != 0)
        return -1;
    return sb_cuda_sgemm(device, false, true, b->count, s->places, s->teacher, s->scale, t + b->row * teacher,
                         t + image * teacher, 0, b->of_t);
}

static int forward(sb_device *device, const sb_call *c)
{
    const sb_relations s = sb_relations_of(c);
    band b;
    for (int n = 0; n < s.images; n++)
        for (int first = 0; first < s.places; first += s.band) {
            if (find_band(device, c, &s, n, first, &b) != 0)
                return -1;
            LAUNCH(relations_forward, (unsigned)b.count, THREADS, 0, sb_cuda_compute(device), s.places,
                   b.of_s, b.of_t, (float *)c->y + b.row, c->aux ? (float *)c->aux + 2 * b.row : NULL);
            if (sb_cuda_launched("relations_forward") != 0)
                return -1;
        }
    return 0;
}

static int backward(sb_device *device, const sb_call *c)
{
    const sb_relations s = sb_relations_of(c);
    const size_t width = (size_t)s.width;
    float *dx = (float *)c->dx[0];
    if (!c->add[0] && device->zero(device, dx, sb_shape_bytes(&c->xs[0])) != 0)
        return -1;
    band b;
    for (int n = 0; n < s.images; n++)
        for (int first = 0; first < s.places; first += s.band) {
            if (find_band(device, c, &s, n, first, &b) != 0)
                return -1;
            const size_t count = (size_t)b.count * (size_t)s.places;
            LAUNCH(relations_weigh, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, s.places,
                   s.scale, b.of_s, b.of_t, (const float *)c->dy + b.row, (const float *)c->aux + 2 * b.row);
            float *image = dx + (size_t)n * (size_t)s.places * width;
            if (sb_cuda_launched("relations_weigh") != 0 ||
                sb_cuda_sgemm(device, false, false, b.count, s.width, s.places, 1, b.of_s, b.all, 1,
                              image + (size_t)first * width) != 0 ||
                sb_cuda_sgemm(device, true, false, s.places, s.width, b.count, 1, b.of_s, b.mine, 1, image) !=
                    0)
                return -1;
        }
    return 0;
}

extern "C" const sb_kernel sb_cuda_relations = { .scratch = scratch,
                                                 .forward = forward,
                                                 .backward = backward };
