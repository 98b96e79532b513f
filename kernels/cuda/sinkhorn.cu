/* sinkhorn.cu: codes over prototypes on a GPU. E is kept in f32, its scalings and all sums in f64. Row r of E
 * is row r of the earlier scores where r < m, and row r - m of x from there on; earlier rows that are not in
 * use have a scaling of 0 and are passed over. Sums over rows are those of blocks of rows, added in order. */
#include "kernels/cuda/launch.h"
#include "kernels/op/sinkhorn.h"

#define LANES (THREADS / WARP)
#define BLOCK_ROWS 256

typedef struct {
    double *row, *column; /* [rows], [K]: the scalings; y = row E column */
    double *partial;      /* [blocks of rows, K] */
    float *most;          /* [rows]: largest scores */
    float *e;             /* [rows, K] */
} work;

static int rows_of(const sb_sinkhorn *s) { return s->earlier + s->samples; }
static int blocks_of(const sb_sinkhorn *s) { return (rows_of(s) + BLOCK_ROWS - 1) / BLOCK_ROWS; }

static size_t scratch(sb_device *device, const sb_call *c)
{
    (void)device;
    sb_sinkhorn s = sb_sinkhorn_of(c);
    size_t rows = (size_t)rows_of(&s), k = (size_t)s.columns, blocks = (size_t)blocks_of(&s);
    return (rows + k + blocks * k) * sizeof(double) + rows * (1 + k) * sizeof(float);
}

static work lay_out_work(const sb_sinkhorn *s, void *memory)
{
    size_t rows = (size_t)rows_of(s), k = (size_t)s->columns, blocks = (size_t)blocks_of(s);
    work w;
    w.row = (double *)memory;
    w.column = w.row + rows;
    w.partial = w.column + k;
    w.most = (float *)(w.partial + blocks * k);
    w.e = w.most + rows;
    return w;
}

static __device__ inline bool passed_over(const sb_sinkhorn *s, const float *used, int row)
{
    return row < s->earlier && row >= sb_sinkhorn_used(s, used);
}

/* A block has a row. */
static __global__ void exponentials(sb_sinkhorn s, const float *x, const float *earlier, const float *used,
                                    work w)
{
    __shared__ float parts[THREADS / WARP];
    int r = (int)blockIdx.x;
    if (passed_over(&s, used, r))
        return;
    size_t k = (size_t)s.columns;
    const float *score = r < s.earlier ? earlier + (size_t)r * k : x + (size_t)(r - s.earlier) * k;
    float most = -INFINITY;
    for (int c = (int)threadIdx.x; c < s.columns; c += THREADS)
        most = fmaxf(most, score[c]);
    most = block_max(most, parts);
    for (int c = (int)threadIdx.x; c < s.columns; c += THREADS)
        w.e[(size_t)r * k + (size_t)c] = (float)exp(((double)score[c] - most) / s.epsilon);
    if (threadIdx.x == 0)
        w.most[r] = most;
}

/* One block. */
static __global__ void first_scaling(sb_sinkhorn s, const float *used, work w)
{
    __shared__ float parts[THREADS / WARP];
    int rows = s.earlier + s.samples;
    float most = -INFINITY;
    for (int r = (int)threadIdx.x; r < rows; r += THREADS)
        most = passed_over(&s, used, r) ? most : fmaxf(most, w.most[r]);
    most = block_max(most, parts);
    for (int r = (int)threadIdx.x; r < rows; r += THREADS)
        w.row[r] = passed_over(&s, used, r)
                       ? 0
                       : fmax(exp(((double)w.most[r] - most) / s.epsilon), SB_SINKHORN_LEAST);
}

/* A block has WARP columns and BLOCK_ROWS rows, LANES of them at a time. */
static __global__ void column_sums(sb_sinkhorn s, work w)
{
    __shared__ double part[LANES][WARP];
    int lane = (int)threadIdx.y, column = (int)(blockIdx.y * WARP + threadIdx.x),
        begin = (int)blockIdx.x * BLOCK_ROWS, end = s.earlier + s.samples;
    end = end - begin > BLOCK_ROWS ? begin + BLOCK_ROWS : end;
    double sum = 0;
    for (int r = begin + lane; r < end && column < s.columns; r += LANES)
        if (w.row[r] != 0)
            sum += w.row[r] * w.e[(size_t)r * (size_t)s.columns + (size_t)column];
    part[lane][threadIdx.x] = sum;
    __syncthreads();
    if (lane != 0 || column >= s.columns)
        return;
    for (int l = 1; l < LANES; l++)
        sum += part[l][threadIdx.x];
    w.partial[(size_t)blockIdx.x * (size_t)s.columns + (size_t)column] = sum;
}

static __global__ void scale_columns(int columns, int blocks, work w)
{
    int c = (int)global_thread();
    if (c >= columns)
        return;
    double sum = 0;
    for (int b = 0; b < blocks; b++)
        sum += w.partial[(size_t)b * (size_t)columns + (size_t)c];
    w.column[c] = sum == 0 ? 0 : 1 / sum;
}

/* A block has a row. y: NULL, or where x's rows go. */
static __global__ void scale_rows(sb_sinkhorn s, float *y, work w)
{
    __shared__ double parts[THREADS / WARP];
    int r = (int)blockIdx.x;
    if (w.row[r] == 0) /* passed over */
        return;
    const float *e = w.e + (size_t)r * (size_t)s.columns;
    double sum = 0;
    for (int c = (int)threadIdx.x; c < s.columns; c += THREADS)
        sum += e[c] * w.column[c];
    double row = 1 / block_sum(sum, parts);
    if (threadIdx.x == 0)
        w.row[r] = row;
    if (!y || r < s.earlier)
        return;
    for (int c = (int)threadIdx.x; c < s.columns; c += THREADS)
        y[(size_t)(r - s.earlier) * (size_t)s.columns + (size_t)c] = (float)(row * e[c] * w.column[c]);
}

static int forward(sb_device *device, const sb_call *c)
{
    cudaStream_t stream = sb_cuda_compute(device);
    sb_sinkhorn s = sb_sinkhorn_of(c);
    work w = lay_out_work(&s, c->scratch);
    const float *used = (const float *)c->x[2];
    unsigned rows = (unsigned)rows_of(&s), blocks = (unsigned)blocks_of(&s);
    int iterations = ((const sb_sinkhorn_how *)c->how)->iterations;
    dim3 tiles(blocks, (unsigned)(s.columns + WARP - 1) / WARP);
    LAUNCH(exponentials, rows, THREADS, 0, stream, s, (const float *)c->x[0], (const float *)c->x[1], used,
           w);
    LAUNCH(first_scaling, 1, THREADS, 0, stream, s, used, w);
    for (int i = 0; i < iterations; i++) {
        LAUNCH(column_sums, tiles, dim3(WARP, LANES), 0, stream, s, w);
        LAUNCH(scale_columns, blocks_for((size_t)s.columns), THREADS, 0, stream, s.columns, (int)blocks, w);
        LAUNCH(scale_rows, rows, THREADS, 0, stream, s, i == iterations - 1 ? (float *)c->y : NULL, w);
    }
    return sb_cuda_launched("sinkhorn");
}

extern "C" const sb_kernel sb_cuda_sinkhorn = { .scratch = scratch, .forward = forward };
