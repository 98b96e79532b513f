/* vector.c: the small f32 operations on vectors and rows behind the backbone. */
#include <math.h>

#include "kernels/cpu/cpu.h"

int sb_cpu_bias_add(sb_device *device, int rows, int columns, const float *bias, float *x)
{
    (void)device;
#pragma omp parallel for schedule(static)
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++)
            x[(size_t)r * (size_t)columns + (size_t)c] += bias[c];
    return 0;
}

int sb_cpu_column_sum(sb_device *device, int rows, int columns, const float *x, float *out, bool accumulate)
{
    (void)device;
#pragma omp parallel for schedule(static)
    for (int c = 0; c < columns; c++) {
        double sum = 0;
        for (int r = 0; r < rows; r++)
            sum += x[(size_t)r * (size_t)columns + (size_t)c];
        out[c] = (accumulate ? out[c] : 0) + (float)sum;
    }
    return 0;
}

int sb_cpu_relu_forward(sb_device *device, size_t count, const float *x, float *y)
{
    (void)device;
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++)
        y[i] = x[i] > 0 ? x[i] : 0;
    return 0;
}

int sb_cpu_relu_backward(sb_device *device, size_t count, const float *y, const float *dy, float *dx)
{
    (void)device;
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++)
        dx[i] = y[i] > 0 ? dy[i] : 0;
    return 0;
}

int sb_cpu_axpy(sb_device *device, size_t count, float alpha, const float *x, float *y)
{
    (void)device;
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++)
        y[i] += alpha * x[i];
    return 0;
}

int sb_cpu_axpy_rows(sb_device *device, int rows, int columns, float alpha, const float *factor, const float *x, float *y)
{
    (void)device;
    size_t width = (size_t)columns;
#pragma omp parallel for schedule(static)
    for (int r = 0; r < rows; r++) {
        const float *from = x + (size_t)r * width;
        float *to = y + (size_t)r * width, scale = alpha * factor[r];
        for (size_t c = 0; c < width; c++)
            to[c] += scale * from[c];
    }
    return 0;
}

int sb_cpu_logistic(sb_device *device, size_t count, const float *x, float *softplus, float *sigmoid)
{
    (void)device;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++) {
        float e = expf(-fabsf(x[i])), above = x[i] > 0 ? x[i] : 0;
        sigmoid[i] = (x[i] > 0 ? 1 : e) / (1 + e);
        softplus[i] = above + log1pf(e);
    }
    return 0;
}

static double dot(const float *a, const float *b, int columns)
{
    double sum = 0;
    for (int c = 0; c < columns; c++)
        sum += (double)a[c] * b[c];
    return sum;
}

int sb_cpu_row_dot(sb_device *device, int rows, int columns, const float *a, const float *b, float *out)
{
    (void)device;
#pragma omp parallel for schedule(static)
    for (int r = 0; r < rows; r++)
        out[r] = (float)dot(a + (size_t)r * (size_t)columns, b + (size_t)r * (size_t)columns, columns);
    return 0;
}

int sb_cpu_rownorm_forward(sb_device *device, int rows, int columns, const float *x, float *z, float *norm)
{
    (void)device;
#pragma omp parallel for schedule(static)
    for (int r = 0; r < rows; r++) {
        const float *from = x + (size_t)r * (size_t)columns;
        norm[r] = (float)fmax(sqrt(dot(from, from, columns)), 1e-12);
        for (int c = 0; c < columns; c++)
            z[(size_t)r * (size_t)columns + (size_t)c] = from[c] / norm[r];
    }
    return 0;
}

int sb_cpu_rownorm_backward(sb_device *device, int rows, int columns, const float *z, const float *norm, const float *dz, float *dx)
{
    (void)device;
#pragma omp parallel for schedule(static)
    for (int r = 0; r < rows; r++) {
        size_t at = (size_t)r * (size_t)columns;
        float along = (float)dot(z + at, dz + at, columns);
        for (int c = 0; c < columns; c++)
            dx[at + (size_t)c] = (dz[at + (size_t)c] - z[at + (size_t)c] * along) / norm[r];
    }
    return 0;
}
