/* update.cu: the optimisers' steps over all parameters at once.
 *
 * The parameters are cut into chunks of CHUNK elements, one block each; the table of chunks lies on the device. LARS first sums the squares
 * of every chunk in f64, then each parameter's chunks in order. */
#include <stdlib.h>

#include "kernels/cuda/launch.h"
#include "kernels/optimiser.h"

#define CHUNK 4096

typedef struct {
    int parameter;
    size_t begin;
} chunk;

struct sb_update {
    int count, chunk_count;
    sb_parameter *parameters; /* [count], device */
    chunk *chunks;            /* [chunk_count], device; a parameter's lie together */
    int *first;               /* [count + 1], device: where a parameter's chunks begin */
    double *squares;          /* [chunk_count, 2], device: of weights, of updates */
    float *trust;             /* [count], device */
};

typedef struct {
    float lr, momentum, weight_decay;
    bool adapt; /* LARS */
    sb_adamw_values adamw;
} values;

static __global__ void sum_squares(const sb_parameter *parameters, const chunk *chunks, float weight_decay, double *squares)
{
    __shared__ double parts[THREADS / WARP], more[THREADS / WARP];
    chunk c = chunks[blockIdx.x];
    const sb_parameter *p = &parameters[c.parameter];
    size_t end = c.begin + CHUNK < p->count ? c.begin + CHUNK : p->count;
    double weight = 0, update = 0;
    for (size_t i = c.begin + threadIdx.x; i < end; i += THREADS) {
        double w = p->weight[i], u = (double)p->gradient[i] + (double)weight_decay * w;
        weight += w * w;
        update += u * u;
    }
    weight = block_sum(weight, parts);
    update = block_sum(update, more);
    if (threadIdx.x == 0) {
        squares[2 * blockIdx.x] = weight;
        squares[2 * blockIdx.x + 1] = update;
    }
}

static __global__ void trust_of(int count, const int *first, const double *squares, float trust, float *out)
{
    int p = (int)global_thread();
    if (p >= count)
        return;
    double weight = 0, update = 0;
    for (int c = first[p]; c < first[p + 1]; c++) {
        weight += squares[2 * c];
        update += squares[2 * c + 1];
    }
    out[p] = weight > 0 && update > 0 ? (float)(trust * sqrt(weight) / sqrt(update)) : 1.0f;
}

static __global__ void momentum_step(const sb_parameter *parameters, const chunk *chunks, values v, const float *trust)
{
    chunk c = chunks[blockIdx.x];
    const sb_parameter *p = &parameters[c.parameter];
    size_t end = c.begin + CHUNK < p->count ? c.begin + CHUNK : p->count;
    float decay = p->decayed ? v.weight_decay : 0, scale = v.adapt && p->decayed ? trust[c.parameter] : 1;
    for (size_t i = c.begin + threadIdx.x; i < end; i += THREADS)
        sb_momentum_element(&p->weight[i], &p->state[i], p->gradient[i], v.lr, v.momentum, decay, scale);
}

static __global__ void adamw_step(const sb_parameter *parameters, const chunk *chunks, values v)
{
    chunk c = chunks[blockIdx.x];
    const sb_parameter *p = &parameters[c.parameter];
    size_t end = c.begin + CHUNK < p->count ? c.begin + CHUNK : p->count;
    if (!p->decayed)
        v.adamw.left = 1;
    for (size_t i = c.begin + threadIdx.x; i < end; i += THREADS)
        sb_adamw_element(&p->weight[i], &p->state[i], &p->state[p->state_stride + i], p->gradient[i], &v.adamw);
}

/* ---- host ------------------------------------------------------------------------------------------------------------------------------- */

static int chunks_of(const sb_parameter *p) { return (int)((p->count + CHUNK - 1) / CHUNK); }

/* Fills the tables on the host and copies them over. */
static int fill(sb_device *device, sb_update *u, const sb_parameter *parameters)
{
    chunk *chunks = (chunk *)malloc((size_t)u->chunk_count * sizeof *chunks);
    int *first = (int *)malloc(((size_t)u->count + 1) * sizeof *first);
    int rc = chunks && first ? 0 : sb_fail("out of memory");
    for (int p = 0, c = 0; rc == 0 && p < u->count; p++) {
        first[p] = c;
        for (int k = 0; k < chunks_of(&parameters[p]); k++, c++) {
            chunks[c].parameter = p;
            chunks[c].begin = (size_t)k * CHUNK;
        }
        first[p + 1] = c;
    }
    if (rc == 0 && (device->copy(device, SB_STREAM_COMPUTE, u->parameters, parameters, (size_t)u->count * sizeof *parameters, SB_TO_DEVICE) != 0 ||
                    device->copy(device, SB_STREAM_COMPUTE, u->chunks, chunks, (size_t)u->chunk_count * sizeof *chunks, SB_TO_DEVICE) != 0 ||
                    device->copy(device, SB_STREAM_COMPUTE, u->first, first, ((size_t)u->count + 1) * sizeof *first, SB_TO_DEVICE) != 0 ||
                    device->wait(device, SB_STREAM_COMPUTE) != 0)) /* the tables are freed here */
        rc = -1;
    free(chunks);
    free(first);
    return rc;
}

int sb_cuda_update_create(sb_device *device, const sb_parameter *parameters, int count, sb_update **out)
{
    sb_update *u = (sb_update *)calloc(1, sizeof *u);
    if (!u)
        return sb_fail("out of memory");
    u->count = count;
    for (int p = 0; p < count; p++)
        u->chunk_count += chunks_of(&parameters[p]);
    size_t chunks = (size_t)u->chunk_count, n = (size_t)count;
    if (device->alloc(device, n * sizeof *u->parameters, (void **)&u->parameters) != 0 ||
        device->alloc(device, chunks * sizeof *u->chunks, (void **)&u->chunks) != 0 ||
        device->alloc(device, (n + 1) * sizeof *u->first, (void **)&u->first) != 0 ||
        device->alloc(device, 2 * chunks * sizeof *u->squares, (void **)&u->squares) != 0 ||
        device->alloc(device, n * sizeof *u->trust, (void **)&u->trust) != 0 || fill(device, u, parameters) != 0) {
        sb_cuda_update_destroy(device, u);
        return -1;
    }
    *out = u;
    return 0;
}

void sb_cuda_update_destroy(sb_device *device, sb_update *u)
{
    if (!u)
        return;
    device->release(device, u->parameters);
    device->release(device, u->chunks);
    device->release(device, u->first);
    device->release(device, u->squares);
    device->release(device, u->trust);
    free(u);
}

int sb_cuda_update_run(sb_device *device, sb_update *u, const sb_update_values *v)
{
    if (u->chunk_count == 0)
        return 0;
    cudaStream_t stream = sb_cuda_compute(device);
    unsigned blocks = (unsigned)u->chunk_count;
    values now = {};
    now.lr = v->lr;
    now.momentum = v->momentum;
    now.weight_decay = v->weight_decay;
    now.adapt = v->rule == SB_UPDATE_LARS;
    if (v->rule == SB_UPDATE_ADAMW) {
        now.adamw = sb_adamw_of(v->beta1, v->beta2, v->epsilon, v->lr, v->weight_decay, (double)v->step);
        LAUNCH(adamw_step, blocks, THREADS, 0, stream, u->parameters, u->chunks, now);
        return sb_cuda_launched("adamw_step");
    }
    if (now.adapt) {
        LAUNCH(sum_squares, blocks, THREADS, 0, stream, u->parameters, u->chunks, v->weight_decay, u->squares);
        LAUNCH(trust_of, blocks_for((size_t)u->count), THREADS, 0, stream, u->count, u->first, u->squares, v->trust, u->trust);
    }
    LAUNCH(momentum_step, blocks, THREADS, 0, stream, u->parameters, u->chunks, now, u->trust);
    return sb_cuda_launched("momentum_step");
}
