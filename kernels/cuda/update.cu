/* update.cu: the optimisers' steps on a GPU.
 *
 * The arrays are cut into chunks of CHUNK elements, one block each; the tables of arrays and of chunks are
 * what is packed. LARS first sums the squares of every chunk in f32, then each array's chunks in order in
 * f64. Arrays whose state is coded have a kernel of their own, which reads and writes whole blocks of codes.
 *
 * A thread has four weights at a time, 16 bytes of each array, wherever an array of weights, its gradient and
 * its state begin alike; what lies in front of the first whole 16 bytes of a chunk and behind the last goes
 * one by one, and so does all of an array whose parts do not begin alike. AdamW's values of an array, which
 * take powers in f64, are made once in a step by a thread each. */
#include <stdlib.h>

#include "kernels/cuda/vector.h"
#include "kernels/op/update.h"
#include "kernels/share/codes.h"
#include "kernels/share/optimiser.h"

#define CHUNK 4096
#define EACH (SB_CODES_BLOCK / THREADS) /* values of a block of codes that a thread has in registers */
static_assert(CHUNK % SB_CODES_BLOCK == 0 && THREADS == SB_CODES,
              "chunks are whole blocks; a thread fills a row of the tables");

typedef struct {
    int array;
    size_t begin;
} chunk;

/* Where all of it lies in what is packed. */
typedef struct {
    int count, chunk_count;
    size_t bytes;
    sb_update_array *arrays; /* [count] */
    chunk *chunks;           /* [chunk_count]; an array's lie together */
    int *first;              /* [count + 1]: where an array's chunks begin */
    float *squares;          /* [chunk_count, 2]: of weights, of updates */
    float *trust;            /* [count] */
    sb_adamw_values *adamw;  /* [count] */
} tables;

typedef struct {
    float lr, steady_lr, momentum, weight_decay;
    bool adapt; /* LARS */
    int64_t step;
    double beta1, beta2;
    sb_adamw_values adamw; /* of an array that was never frozen and is not steady */
} values;

/* A chunk of an array: `lead` weights, then `vectors` times four whose 16 bytes are whole, then the rest. */
typedef struct {
    size_t begin;
    unsigned count, lead, vectors;
} part;

static __device__ inline unsigned words_into(const float *p) { return (unsigned)((uintptr_t)p / 4 % 4); }

static __device__ inline part part_of(const chunk *c, const sb_update_array *a, bool alike)
{
    part p;
    p.begin = c->begin;
    p.count = (unsigned)(a->count - c->begin < CHUNK ? a->count - c->begin : CHUNK);
    p.lead = alike ? (4 - words_into(a->weight + c->begin)) % 4 : p.count;
    p.lead = p.lead < p.count ? p.lead : p.count;
    p.vectors = (p.count - p.lead) / 4;
    return p;
}

/* Those that go one by one: place k of them. */
static __device__ inline unsigned singles_of(const part *p) { return p->count - 4 * p->vectors; }
static __device__ inline size_t single_at(const part *p, unsigned k)
{
    return p->begin + (k < p->lead ? k : k + 4 * p->vectors);
}

static __device__ inline float4 *four(float *x, const part *p, unsigned i)
{
    return (float4 *)(x + p->begin + p->lead) + i;
}
static __device__ inline float4 four_of(const float *x, const part *p, unsigned i)
{
    return ((const float4 *)(x + p->begin + p->lead))[i];
}

/* w^2 and (g + decay w)^2, added to two sums of a few. */
static __device__ inline void add_squares(float w, float g, float decay, float *weight, float *update)
{
    const float u = g + decay * w;
    *weight += w * w;
    *update += u * u;
}

static __global__ void sum_squares(const sb_update_array *__restrict__ arrays,
                                   const chunk *__restrict__ chunks, float decay, float *__restrict__ squares)
{
    __shared__ float parts[THREADS / WARP], more[THREADS / WARP];
    const chunk c = chunks[blockIdx.x];
    const sb_update_array *a = &arrays[c.array];
    const float *weights = a->weight, *gradients = a->gradient;
    const part p = part_of(&c, a, words_into(gradients) == words_into(weights));
    float weight = 0, update = 0;
    for (unsigned i = threadIdx.x; i < p.vectors; i += THREADS) {
        const float4 w = four_of(weights, &p, i), g = four_of(gradients, &p, i);
        add_squares(w.x, g.x, decay, &weight, &update);
        add_squares(w.y, g.y, decay, &weight, &update);
        add_squares(w.z, g.z, decay, &weight, &update);
        add_squares(w.w, g.w, decay, &weight, &update);
    }
    for (unsigned k = threadIdx.x; k < singles_of(&p); k += THREADS) {
        const size_t i = single_at(&p, k);
        add_squares(weights[i], gradients[i], decay, &weight, &update);
    }
    weight = quick_sum(weight, parts);
    update = quick_sum(update, more);
    if (threadIdx.x == 0) {
        squares[2 * blockIdx.x] = weight;
        squares[2 * blockIdx.x + 1] = update;
    }
}

static __global__ void trust_of(int count, const int *first, const float *squares, float trust, float *out)
{
    int a = (int)global_thread();
    if (a >= count)
        return;
    double weight = 0, update = 0;
    for (int c = first[a]; c < first[a + 1]; c++) {
        weight += squares[2 * c];
        update += squares[2 * c + 1];
    }
    out[a] = weight > 0 && update > 0 ? (float)(trust * sqrt(weight) / sqrt(update)) : 1.0f;
}

static __global__ void momentum_step(const sb_update_array *__restrict__ arrays,
                                     const chunk *__restrict__ chunks, values v,
                                     const float *__restrict__ trust)
{
    const chunk c = chunks[blockIdx.x];
    const sb_update_array *a = &arrays[c.array];
    if (v.step <= a->frozen_until || a->coded)
        return;
    float *weight = a->weight, *state = a->state;
    const float *gradient = a->gradient;
    const unsigned into = words_into(weight);
    const part p = part_of(&c, a, words_into(gradient) == into && words_into(state) == into);
    const float decay = a->decayed ? v.weight_decay : 0, scale = v.adapt && a->decayed ? trust[c.array] : 1,
                lr = sb_update_lr(a, v.lr, v.steady_lr) * a->rate;
    ROLLED
    for (unsigned i = threadIdx.x; i < p.vectors; i += THREADS) {
        float4 w = four_of(weight, &p, i), m = four_of(state, &p, i);
        const float4 g = four_of(gradient, &p, i);
        sb_momentum_element(&w.x, &m.x, g.x, lr, v.momentum, decay, scale);
        sb_momentum_element(&w.y, &m.y, g.y, lr, v.momentum, decay, scale);
        sb_momentum_element(&w.z, &m.z, g.z, lr, v.momentum, decay, scale);
        sb_momentum_element(&w.w, &m.w, g.w, lr, v.momentum, decay, scale);
        *four(weight, &p, i) = w;
        *four(state, &p, i) = m;
    }
    ROLLED
    for (unsigned k = threadIdx.x; k < singles_of(&p); k += THREADS) {
        const size_t i = single_at(&p, k);
        float w = weight[i], m = state[i];
        sb_momentum_element(&w, &m, gradient[i], lr, v.momentum, decay, scale);
        weight[i] = w;
        state[i] = m;
    }
}

/* A thread: an array. */
static __global__ void adamw_values(int count, const sb_update_array *__restrict__ arrays, values v,
                                    sb_adamw_values *__restrict__ out)
{
    const int i = (int)global_thread();
    if (i >= count)
        return;
    const sb_update_array *a = &arrays[i];
    const float lr = sb_update_lr(a, v.lr, v.steady_lr);
    sb_adamw_values mine = v.adamw;
    if (a->frozen_until > 0 || a->steady)
        mine = sb_adamw_of(v.beta1, v.beta2, mine.epsilon, lr, (double)(v.step - a->frozen_until));
    out[i] = sb_adamw_at(mine, lr, a->decayed ? v.weight_decay : 0, a->rate);
}

static __global__ void adamw_step(const sb_update_array *__restrict__ arrays,
                                  const chunk *__restrict__ chunks, int64_t step,
                                  const sb_adamw_values *__restrict__ all)
{
    const chunk c = chunks[blockIdx.x];
    const sb_update_array *a = &arrays[c.array];
    if (step <= a->frozen_until || a->coded)
        return;
    float *weight = a->weight, *first = a->state, *second = a->state + a->state_stride;
    const float *gradient = a->gradient;
    const unsigned into = words_into(weight);
    const part p = part_of(
        &c, a, words_into(gradient) == into && words_into(first) == into && words_into(second) == into);
    const sb_adamw_values mine = all[c.array];
    ROLLED
    for (unsigned i = threadIdx.x; i < p.vectors; i += THREADS) {
        float4 w = four_of(weight, &p, i), m = four_of(first, &p, i), s = four_of(second, &p, i);
        const float4 g = four_of(gradient, &p, i);
        sb_adamw_element(&w.x, &m.x, &s.x, g.x, &mine);
        sb_adamw_element(&w.y, &m.y, &s.y, g.y, &mine);
        sb_adamw_element(&w.z, &m.z, &s.z, g.z, &mine);
        sb_adamw_element(&w.w, &m.w, &s.w, g.w, &mine);
        *four(weight, &p, i) = w;
        *four(first, &p, i) = m;
        *four(second, &p, i) = s;
    }
    ROLLED
    for (unsigned k = threadIdx.x; k < singles_of(&p); k += THREADS) {
        const size_t i = single_at(&p, k);
        float w = weight[i], m = first[i], s = second[i];
        sb_adamw_element(&w, &m, &s, gradient[i], &mine);
        weight[i] = w;
        first[i] = m;
        second[i] = s;
    }
}

/* The largest magnitude of a block's values, in every thread. */
static __device__ inline float largest(const float values[EACH], uint32_t parts[THREADS / WARP])
{
    uint32_t most = 0;
    for (int k = 0; k < EACH; k++) {
        uint32_t bits = sb_magnitude_bits(values[k]);
        most = bits > most ? bits : most;
    }
    for (int distance = WARP / 2; distance > 0; distance /= 2) {
        uint32_t other = __shfl_xor_sync(0xFFFFFFFFu, most, distance);
        most = other > most ? other : most;
    }
    __syncthreads(); /* parts: of the block of codes before */
    if (threadIdx.x % WARP == 0)
        parts[threadIdx.x / WARP] = most;
    __syncthreads();
    for (int w = 0; w < THREADS / WARP; w++)
        most = parts[w] > most ? parts[w] : most;
    return sb_magnitude_from(most);
}

/* Of the largest magnitude of a block; where that is 0, so are all. */
static __device__ inline float share_of(float value, float most) { return most != 0 ? value / most : 0; }

/* The steps of coded arrays, by all rules: blocks of codes one after the other, in registers between. */
static __global__ void __launch_bounds__(THREADS, 4)
    coded_step(const sb_update_array *arrays, const chunk *chunks, values v, bool adamw, const float *trust,
               const sb_adamw_values *all)
{
    __shared__ float plain[SB_CODES], with_sign[SB_CODES];
    __shared__ uint32_t parts[THREADS / WARP];
    chunk c = chunks[blockIdx.x];
    const sb_update_array *a = &arrays[c.array];
    size_t end = c.begin + CHUNK < a->count ? c.begin + CHUNK : a->count;
    if (v.step <= a->frozen_until || !a->coded)
        return;
    plain[threadIdx.x] = sb_unsigned_value((int)threadIdx.x);
    with_sign[threadIdx.x] = sb_signed_value((int)threadIdx.x);
    __syncthreads();
    const sb_adamw_values mine = adamw ? all[c.array] : v.adamw;
    float decay = a->decayed ? v.weight_decay : 0, scale = v.adapt && a->decayed ? trust[c.array] : 1,
          lr = sb_update_lr(a, v.lr, v.steady_lr) * a->rate;
    float *weight = a->weight, *maxima[SB_UPDATE_STATES] = { a->maxima[0], a->maxima[1] };
    const float *gradient = a->gradient;
    uint8_t *first = a->codes[0], *second = a->codes[1];
    ROLLED
    for (size_t begin = c.begin; begin < end; begin += SB_CODES_BLOCK) {
        const size_t block = begin / SB_CODES_BLOCK;
        const float m_most = maxima[0][block], s_most = adamw ? maxima[1][block] : 0;
        float m[EACH] = {}, s[EACH] = {}, w[EACH] = {}, g[EACH] = {};
        UNROLLED
        for (int k = 0; k < EACH; k++) {
            const size_t i = begin + (size_t)k * THREADS + threadIdx.x;
            if (i < end) {
                w[k] = weight[i];
                g[k] = gradient[i];
                m[k] = with_sign[first[i]] * m_most;
                if (adamw)
                    s[k] = plain[second[i]] * s_most;
            }
        }
        UNROLLED
        for (int k = 0; k < EACH; k++) { /* of zeros, behind the end, zeros come */
            const size_t i = begin + (size_t)k * THREADS + threadIdx.x;
            if (adamw)
                sb_adamw_element(&w[k], &m[k], &s[k], g[k], &mine);
            else
                sb_momentum_element(&w[k], &m[k], g[k], lr, v.momentum, decay, scale);
            if (i < end)
                weight[i] = w[k];
        }
        const float m_new = largest(m, parts), s_new = largest(s, parts);
        if (threadIdx.x == 0) {
            maxima[0][block] = m_new;
            if (adamw)
                maxima[1][block] = s_new;
        }
        UNROLLED
        for (int k = 0; k < EACH; k++) {
            size_t i = begin + (size_t)k * THREADS + threadIdx.x;
            if (i >= end)
                continue;
            first[i] = (uint8_t)sb_signed_code(share_of(m[k], m_new));
            if (adamw)
                second[i] = (uint8_t)sb_unsigned_code(share_of(s[k], s_new));
        }
    }
}

/* ---- host ---------------------------------------------------------------------------------------------- */

static int chunks_of(const sb_update_array *a) { return (int)((a->count + CHUNK - 1) / CHUNK); }

/* The next piece of so many bytes. */
static void *next(const sb_call *call, tables *t, size_t bytes)
{
    size_t at = t->bytes;
    t->bytes += sb_cuda_align(bytes);
    return call->packed ? (char *)call->packed + at : NULL;
}

static tables tables_of(const sb_call *call)
{
    const sb_update_how *how = (const sb_update_how *)call->how;
    tables t = {};
    t.count = how->count;
    for (int a = 0; a < how->count; a++)
        t.chunk_count += chunks_of(&how->arrays[a]);
    size_t chunks = (size_t)t.chunk_count, n = (size_t)how->count;
    t.arrays = (sb_update_array *)next(call, &t, n * sizeof *t.arrays);
    t.chunks = (chunk *)next(call, &t, chunks * sizeof *t.chunks);
    t.first = (int *)next(call, &t, (n + 1) * sizeof *t.first);
    t.squares = (float *)next(call, &t, 2 * chunks * sizeof *t.squares);
    t.trust = (float *)next(call, &t, n * sizeof *t.trust);
    t.adamw = (sb_adamw_values *)next(call, &t, n * sizeof *t.adamw);
    return t;
}

static size_t packed(sb_device *device, const sb_call *call)
{
    (void)device;
    return tables_of(call).bytes;
}

static int upload(sb_device *device, void *to, const void *from, size_t bytes)
{
    return device->copy(device, SB_STREAM_COMPUTE, to, from, bytes, SB_TO_DEVICE);
}

/* Fills the tables on the host and copies them over. */
static int pack(sb_device *device, const sb_call *call)
{
    const sb_update_array *arrays = ((const sb_update_how *)call->how)->arrays;
    const tables t = tables_of(call);
    size_t count = (size_t)t.count, chunk_count = (size_t)t.chunk_count;
    chunk *chunks = (chunk *)sb_zeroed(chunk_count, sizeof *chunks, "the optimiser's chunks");
    int *first = (int *)sb_zeroed(count + 1, sizeof *first, "the optimiser's arrays");
    int rc = chunks && first ? 0 : -1;
    for (int a = 0, c = 0; rc == 0 && a < t.count; a++) {
        first[a] = c;
        for (int k = 0; k < chunks_of(&arrays[a]); k++, c++) {
            chunks[c].array = a;
            chunks[c].begin = (size_t)k * CHUNK;
        }
        first[a + 1] = c;
    }
    if (rc == 0 && (upload(device, t.arrays, arrays, count * sizeof *arrays) != 0 ||
                    upload(device, t.chunks, chunks, chunk_count * sizeof *chunks) != 0 ||
                    upload(device, t.first, first, (count + 1) * sizeof *first) != 0 ||
                    device->wait(device, SB_STREAM_COMPUTE) != 0)) /* the tables are freed here */
        rc = -1;
    free(chunks);
    free(first);
    return rc;
}

static bool any_coded(const sb_update_how *how)
{
    for (int a = 0; a < how->count; a++)
        if (how->arrays[a].coded)
            return true;
    return false;
}

static int forward(sb_device *device, const sb_call *call)
{
    const sb_update_how *how = (const sb_update_how *)call->how;
    const sb_update_values *v = &how->values;
    const bool adamw = v->rule == SB_UPDATE_ADAMW;
    const tables t = tables_of(call);
    if (t.chunk_count == 0)
        return 0;
    cudaStream_t stream = sb_cuda_compute(device);
    unsigned blocks = (unsigned)t.chunk_count;
    values now = {};
    now.lr = v->lr;
    now.steady_lr = v->steady_lr;
    now.momentum = v->momentum;
    now.weight_decay = v->weight_decay;
    now.adapt = v->rule == SB_UPDATE_LARS;
    now.step = v->step;
    now.beta1 = v->beta1;
    now.beta2 = v->beta2;
    if (adamw)
        now.adamw = sb_adamw_of(v->beta1, v->beta2, v->epsilon, v->lr, (double)v->step);
    if (now.adapt) {
        LAUNCH(sum_squares, blocks, THREADS, 0, stream, t.arrays, t.chunks, v->weight_decay, t.squares);
        LAUNCH(trust_of, blocks_for((size_t)t.count), THREADS, 0, stream, t.count, t.first, t.squares,
               v->trust, t.trust);
    }
    if (adamw)
        LAUNCH(adamw_values, blocks_for((size_t)t.count), THREADS, 0, stream, t.count, t.arrays, now,
               t.adamw);
    if (any_coded(how))
        LAUNCH(coded_step, blocks, THREADS, 0, stream, t.arrays, t.chunks, now, adamw, t.trust, t.adamw);
    if (adamw)
        LAUNCH(adamw_step, blocks, THREADS, 0, stream, t.arrays, t.chunks, now.step, t.adamw);
    else
        LAUNCH(momentum_step, blocks, THREADS, 0, stream, t.arrays, t.chunks, now, t.trust);
    return sb_cuda_launched(adamw ? "adamw_step" : "momentum_step");
}

extern "C" const sb_kernel sb_cuda_update = { .packed = packed, .pack = pack, .forward = forward };
