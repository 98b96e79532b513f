/* vector.cu: the small f32 operations on vectors and rows behind the backbone. A row's sum is one warp's work, in f64. */
#include "kernels/cuda/launch.h"

static __global__ void bias_add(size_t count, int columns, const float *bias, float *x)
{
    size_t i = global_thread();
    if (i < count)
        x[i] += bias[i % (size_t)columns];
}

static __global__ void relu_forward(size_t count, const float *x, float *y)
{
    size_t i = global_thread();
    if (i < count)
        y[i] = x[i] > 0 ? x[i] : 0;
}

static __global__ void relu_backward(size_t count, const float *y, const float *dy, float *dx)
{
    size_t i = global_thread();
    if (i < count)
        dx[i] = y[i] > 0 ? dy[i] : 0;
}

static __global__ void axpy(size_t count, float alpha, const float *x, float *y)
{
    size_t i = global_thread();
    if (i < count)
        y[i] += alpha * x[i];
}

static __global__ void axpy_rows(size_t count, int columns, float alpha, const float *factor, const float *x, float *y)
{
    size_t i = global_thread();
    if (i < count)
        y[i] += alpha * factor[i / (size_t)columns] * x[i];
}

static __global__ void logistic(size_t count, const float *x, float *softplus, float *sigmoid)
{
    size_t i = global_thread();
    if (i >= count)
        return;
    float value = x[i], e = expf(-fabsf(value)), above = value > 0 ? value : 0;
    sigmoid[i] = (value > 0 ? 1 : e) / (1 + e);
    softplus[i] = above + log1pf(e);
}

/* ---- columns: a block has WARP columns and walks the rows, THREADS / WARP of them at a time ------------------------------------------- */

#define LANES (THREADS / WARP)

static __global__ void column_sum(int rows, int columns, const float *x, float *out, bool accumulate)
{
    __shared__ double part[LANES][WARP];
    int lane = (int)threadIdx.y, column = (int)(blockIdx.x * WARP + threadIdx.x);
    double sum = 0;
    for (int r = lane; r < rows && column < columns; r += LANES)
        sum += x[(size_t)r * (size_t)columns + (size_t)column];
    part[lane][threadIdx.x] = sum;
    __syncthreads();
    if (lane != 0 || column >= columns)
        return;
    for (int l = 1; l < LANES; l++)
        sum += part[l][threadIdx.x];
    out[column] = (accumulate ? out[column] : 0) + (float)sum;
}

/* ---- rows: one warp each ---------------------------------------------------------------------------------------------------------------- */

static __device__ inline int warp_row(void) { return (int)(global_thread() / WARP); }

/* In every lane of the warp. */
static __device__ inline double dot(const float *a, const float *b, int columns)
{
    double sum = 0;
    for (int c = (int)(threadIdx.x % WARP); c < columns; c += WARP)
        sum += (double)a[c] * b[c];
    return warp_sum(sum);
}

static __global__ void row_dot(int rows, int columns, const float *a, const float *b, float *out)
{
    int r = warp_row();
    if (r >= rows) /* a whole warp leaves or stays */
        return;
    size_t at = (size_t)r * (size_t)columns;
    double sum = dot(a + at, b + at, columns);
    if (threadIdx.x % WARP == 0)
        out[r] = (float)sum;
}

static __global__ void rownorm_forward(int rows, int columns, const float *x, float *z, float *norm)
{
    int r = warp_row();
    if (r >= rows)
        return;
    size_t at = (size_t)r * (size_t)columns;
    float length = (float)fmax(sqrt(dot(x + at, x + at, columns)), 1e-12);
    for (int c = (int)(threadIdx.x % WARP); c < columns; c += WARP)
        z[at + (size_t)c] = x[at + (size_t)c] / length;
    if (threadIdx.x % WARP == 0)
        norm[r] = length;
}

static __global__ void rownorm_backward(int rows, int columns, const float *z, const float *norm, const float *dz, float *dx)
{
    int r = warp_row();
    if (r >= rows)
        return;
    size_t at = (size_t)r * (size_t)columns;
    float along = (float)dot(z + at, dz + at, columns), length = norm[r];
    for (int c = (int)(threadIdx.x % WARP); c < columns; c += WARP)
        dx[at + (size_t)c] = (dz[at + (size_t)c] - z[at + (size_t)c] * along) / length;
}

/* ---- host ------------------------------------------------------------------------------------------------------------------------------- */

int sb_cuda_bias_add(sb_device *device, int rows, int columns, const float *bias, float *x)
{
    size_t count = (size_t)rows * (size_t)columns;
    LAUNCH(bias_add, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, columns, bias, x);
    return sb_cuda_launched("bias_add");
}

int sb_cuda_relu_forward(sb_device *device, size_t count, const float *x, float *y)
{
    LAUNCH(relu_forward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, x, y);
    return sb_cuda_launched("relu_forward");
}

int sb_cuda_relu_backward(sb_device *device, size_t count, const float *y, const float *dy, float *dx)
{
    LAUNCH(relu_backward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, y, dy, dx);
    return sb_cuda_launched("relu_backward");
}

int sb_cuda_axpy(sb_device *device, size_t count, float alpha, const float *x, float *y)
{
    LAUNCH(axpy, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, alpha, x, y);
    return sb_cuda_launched("axpy");
}

int sb_cuda_axpy_rows(sb_device *device, int rows, int columns, float alpha, const float *factor, const float *x, float *y)
{
    size_t count = (size_t)rows * (size_t)columns;
    LAUNCH(axpy_rows, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, columns, alpha, factor, x, y);
    return sb_cuda_launched("axpy_rows");
}

int sb_cuda_logistic(sb_device *device, size_t count, const float *x, float *softplus, float *sigmoid)
{
    LAUNCH(logistic, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, x, softplus, sigmoid);
    return sb_cuda_launched("logistic");
}

int sb_cuda_column_sum(sb_device *device, int rows, int columns, const float *x, float *out, bool accumulate)
{
    LAUNCH(column_sum, (columns + WARP - 1) / WARP, dim3(WARP, LANES), 0, sb_cuda_compute(device), rows, columns, x, out, accumulate);
    return sb_cuda_launched("column_sum");
}

int sb_cuda_row_dot(sb_device *device, int rows, int columns, const float *a, const float *b, float *out)
{
    LAUNCH(row_dot, blocks_for((size_t)rows * WARP), THREADS, 0, sb_cuda_compute(device), rows, columns, a, b, out);
    return sb_cuda_launched("row_dot");
}

int sb_cuda_rownorm_forward(sb_device *device, int rows, int columns, const float *x, float *z, float *norm)
{
    LAUNCH(rownorm_forward, blocks_for((size_t)rows * WARP), THREADS, 0, sb_cuda_compute(device), rows, columns, x, z, norm);
    return sb_cuda_launched("rownorm_forward");
}

int sb_cuda_rownorm_backward(sb_device *device, int rows, int columns, const float *z, const float *norm, const float *dz, float *dx)
{
    LAUNCH(rownorm_backward, blocks_for((size_t)rows * WARP), THREADS, 0, sb_cuda_compute(device), rows, columns, z, norm, dz, dx);
    return sb_cuda_launched("rownorm_backward");
}
