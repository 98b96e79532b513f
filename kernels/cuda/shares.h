/* shares.h: how the threads of a GPU share a tensor [sets, rows, channels] that memory bounds, and sums over
 * the rows of a set, channel by channel, for statistics and gradients of weights. Private to kernels/cuda.
 *
 * A thread has N channels (vector.h) in every `lanes`-th row of a run of rows of a set; a block has `wide`
 * such threads side by side. What it reads for its channels serves all of its rows. A block's partial sums
 * are f32 and go to scratch, [sets, runs, channels]; a second kernel adds up the runs of a channel in f64, a
 * few threads for each. The order of all sums is fixed by the shape. */
#ifndef SB_KERNELS_CUDA_SHARES_H
#define SB_KERNELS_CUDA_SHARES_H

#include "kernels/cuda/vector.h"

/* Blocks of a launch at most, about, where there are no more sets than that: enough to fill the largest GPUs,
 * and few enough that adding their sums up stays short. A number of the code's and not of the GPU's, since
 * sums depend on it. */
#define BLOCKS_MOST 1024
#define ROWS_LEAST 4 /* of a thread */

typedef struct {
    int sets, rows, channels;
    int vectors;     /* of a row */
    int wide, lanes; /* threads side by side in a row of a block; its rows at a time */
    int tiles;       /* blocks side by side that share a row */
    int run, runs;   /* rows of a block; runs of a set */
} shares;

/* In at most about so many blocks. */
static inline shares shares_within(int blocks, sb_type type, int sets, int rows, int channels)
{
    shares d = { sets, rows, channels };
    d.vectors = channels / values_at_once(type, channels);
    d.tiles = (d.vectors + WARP - 1) / WARP;
    d.wide = (d.vectors + d.tiles - 1) / d.tiles;
    d.lanes = THREADS / d.wide;
    const long long all = (long long)sets * rows, most = (blocks + d.tiles - 1) / d.tiles;
    const int run = (int)((all + most - 1) / most), least = ROWS_LEAST * d.lanes;
    d.run = run > least ? run : least;
    d.runs = (rows + d.run - 1) / d.run;
    return d;
}

static inline shares shares_of(sb_type type, int sets, int rows, int channels)
{
    return shares_within(BLOCKS_MOST, type, sets, rows, channels);
}

/* Of a tensor whose rows are one set. */
static inline shares shares_of_rows(const sb_shape *s)
{
    return shares_of(s->type, 1, (int)sb_shape_rows(s), s->c);
}

/* Of one whose images are sets. */
static inline shares shares_of_images(const sb_shape *s)
{
    return shares_of(s->type, s->n, s->h * s->w, s->c);
}

static inline unsigned blocks_of(const shares *d) { return (unsigned)(d->sets * d->runs * d->tiles); }

/* A thread's part: the rows row, row + lanes, ... < end, counted through all sets; none for one that is left
 * over. */
typedef struct {
    int set, column; /* column: its vector of a row */
    int channel;     /* the first of N */
    int row, end;
} span;

template <int N> static __device__ inline span my_span(const shares *d)
{
    span p;
    const int t = (int)threadIdx.x, lane = t / d->wide, run = (int)blockIdx.x / d->tiles;
    p.set = run / d->runs;
    p.column = (int)blockIdx.x % d->tiles * d->wide + t % d->wide;
    p.channel = p.column * N;
    const int begin = run % d->runs * d->run, left = d->rows - begin;
    p.row = p.set * d->rows + begin + lane;
    p.end = p.row - lane + (left < d->run ? left : d->run);
    if (lane >= d->lanes || p.column >= d->vectors)
        p.end = p.row; /* but it has to reach every barrier */
    return p;
}

/* A thread's vector in a row, which is counted through all sets. */
static __device__ inline size_t vector_at(const shares *d, const span *p, int row)
{
    return (size_t)row * (size_t)d->vectors + (size_t)p->column;
}

/* N weights of a thread's channels; NULL: all are `otherwise`. */
template <int N>
static __device__ inline void read_weights(const float *w, int channel, float otherwise, float out[N])
{
    UNROLLED
    for (int k = 0; k < N; k++)
        out[k] = w ? w[channel + k] : otherwise;
}

/* Calls f(i, at) for each of a thread's next ROWS rows that there is, at being its vector. */
template <int ROWS, typename F> static __device__ inline void next_rows(const shares *d, const span *p, F f)
{
    UNROLLED
    for (int i = 0; i < ROWS; i++)
        if (p->row + i * d->lanes < p->end)
            f(i, vector_at(d, p, p->row + i * d->lanes));
}

/* y = f(x, k) in all of a thread's rows, value by value, k being which of its N channels it is in. ROWS rows
 * are fetched before the first is used. */
template <sb_type T, int N, int ROWS, typename F>
static __device__ inline void map_rows(const shares *d, span p, const void *x, void *y, F f)
{
    ROLLED
    for (; p.row < p.end; p.row += ROWS * d->lanes) {
        vector<T, N> xs[ROWS] = {};
        next_rows<ROWS>(d, &p, [&](int i, size_t at) { xs[i] = fetch<T, N>(x, at); });
        next_rows<ROWS>(d, &p, [&](int i, size_t at) {
            float value[N];
            UNROLLED
            for (int k = 0; k < N; k++)
                value[k] = f(value_of<T, N>(xs[i], k), k);
            put<T, N>(y, at, vector_of<T, N>(value));
        });
    }
}

/* ---- sums ---------------------------------------------------------------------------------------------- */

/* An index into an array [sets, channels], or, `set` being a run of all sets', [sets, runs, channels]. */
static __device__ inline size_t place(const shares *d, int set, int channel)
{
    return (size_t)set * (size_t)d->channels + (size_t)channel;
}

/* How many numbers the partial sums of one value are. */
static inline size_t partial_sums(const shares *d)
{
    return (size_t)d->sets * (size_t)d->runs * (size_t)d->channels;
}

/* Adds a sum up over the lanes of each channel, in order, and writes the block's partial sums. All threads of
 * the block take part. */
template <int N>
static __device__ inline void write_partial(const shares *d, const float value[N], float *partial)
{
    __shared__ float parts[THREADS * N];
    __syncthreads(); /* parts: of the sum before */
    UNROLLED
    for (int k = 0; k < N; k++)
        parts[threadIdx.x * N + k] = value[k];
    __syncthreads();
    const int width = d->wide * N, t = (int)threadIdx.x, channel = (int)blockIdx.x % d->tiles * width + t;
    if (t >= width || channel >= d->channels)
        return;
    float sum = parts[t];
    for (int lane = 1; lane < d->lanes; lane++)
        sum += parts[lane * width + t];
    partial[place(d, (int)blockIdx.x / d->tiles, channel)] = sum;
}

/* A block that adds up has FOLDED columns (channels, or groups of them), each with FOLDERS threads. */
#define FOLDED 8
#define FOLDERS (THREADS / FOLDED)

typedef struct {
    double first, second;
} two_sums;

static inline unsigned folds_of(int columns) { return (unsigned)((columns + FOLDED - 1) / FOLDED); }

static __device__ inline int my_column(void) { return (int)(blockIdx.x * FOLDED + threadIdx.x); }

/* Two sums of a channel over the runs of a set, in every thread of the column; second: NULL for one that is
 * 0. All threads of the block take part; one that is not `mine` adds nothing. */
static __device__ inline two_sums fold(const shares *d, const float *first, const float *second, bool mine,
                                       int set, int channel)
{
    __shared__ double a[FOLDERS][FOLDED], b[FOLDERS][FOLDED];
    const int x = (int)threadIdx.x, y = (int)threadIdx.y;
    two_sums sum = {};
    for (int run = y; mine && run < d->runs; run += FOLDERS) {
        const size_t at = place(d, set * d->runs + run, channel);
        sum.first += first[at];
        sum.second += second ? second[at] : 0;
    }
    __syncthreads(); /* a and b: of the channel before */
    a[y][x] = sum.first;
    b[y][x] = sum.second;
    for (int half = FOLDERS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (y < half) {
            a[y][x] += a[y + half][x];
            b[y][x] += b[y + half][x];
        }
    }
    __syncthreads();
    sum.first = a[0][x];
    sum.second = b[0][x];
    return sum;
}

/* Over all sets. */
static __global__ void fold_runs(shares d, const float *first, const float *second, float *to_first,
                                 float *to_second)
{
    const int c = my_column();
    two_sums sum = {};
    for (int set = 0; set < d.sets; set++) {
        const two_sums more = fold(&d, first, second, c < d.channels, set, c);
        sum.first += more.first;
        sum.second += more.second;
    }
    if (c >= d.channels || threadIdx.y != 0)
        return;
    if (to_first)
        to_first[c] += (float)sum.first;
    if (to_second)
        to_second[c] += (float)sum.second;
}

/* Adds partial sums over all rows of all sets to gradients [channels], each NULL where it is not wanted. */
static inline void add_runs(sb_device *device, const shares *d, const float *first, const float *second,
                            float *to_first, float *to_second)
{
    if (to_first || to_second)
        LAUNCH(fold_runs, folds_of(d->channels), dim3(FOLDED, FOLDERS), 0, sb_cuda_compute(device), *d, first,
               second, to_first, to_second);
}

#endif
