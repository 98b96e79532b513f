/* unit_columns.cu: columns of unit length on a GPU, in f64. */
#include "kernels/cuda/columns.h"
#include "kernels/op/unit_columns.h"

/* Column c of row r of the stack. */
static __device__ double value_of(const sb_unit_columns *s, const float *x, const float *earlier, int r,
                                  int c)
{
    size_t columns = (size_t)s->columns;
    return r < s->samples ? x[(size_t)r * columns + (size_t)c]
                          : earlier[(size_t)(r - s->samples) * columns + (size_t)c];
}

static __global__ void unit_columns_forward(sb_unit_columns s, const float *x, const float *earlier,
                                            const float *used, float *y, float *aux)
{
    __shared__ double parts[LANES][WARP];
    int c = (int)(blockIdx.y * WARP + threadIdx.x), rows = sb_unit_columns_rows(&s, used);
    bool inside = c < s.columns;
    double sum = 0, squares = 0;
    for (int r = (int)threadIdx.y; r < rows && inside; r += LANES)
        sum += value_of(&s, x, earlier, r, c);
    double mean = column_sum(sum, parts) / rows;
    for (int r = (int)threadIdx.y; r < rows && inside; r += LANES) {
        double off = value_of(&s, x, earlier, r, c) - mean;
        squares += off * off;
    }
    double length = sqrt(column_sum(squares, parts) + (double)rows * s.epsilon);
    if (!inside)
        return;
    if (threadIdx.y == 0)
        aux[c] = (float)length;
    for (int r = (int)threadIdx.y; r < s.samples + s.earlier; r += LANES) {
        double off = r < rows ? value_of(&s, x, earlier, r, c) - mean : 0;
        y[(size_t)r * (size_t)s.columns + (size_t)c] = length == 0 ? 0 : (float)(off / length);
    }
}

static __global__ void unit_columns_backward(sb_unit_columns s, const float *used, const float *y,
                                             const float *aux, const float *dy, float *dx, bool add)
{
    __shared__ double parts[LANES][WARP];
    int c = (int)(blockIdx.y * WARP + threadIdx.x), rows = sb_unit_columns_rows(&s, used);
    bool inside = c < s.columns;
    size_t columns = (size_t)s.columns;
    double sum = 0, product = 0;
    for (int r = (int)threadIdx.y; r < rows && inside; r += LANES) {
        size_t i = (size_t)r * columns + (size_t)c;
        sum += dy[i];
        product += (double)y[i] * dy[i];
    }
    double mean = column_sum(sum, parts) / rows, along = column_sum(product, parts);
    for (int r = (int)threadIdx.y; r < s.samples && inside; r += LANES) {
        size_t i = (size_t)r * columns + (size_t)c;
        double inward = dy[i] - mean - y[i] * along;
        give(dx, SB_F32, i, aux[c] == 0 ? 0 : (float)(inward / aux[c]), add);
    }
}

static int forward(sb_device *device, const sb_call *c)
{
    sb_unit_columns s = sb_unit_columns_of(c);
    LAUNCH(unit_columns_forward, column_blocks(1, s.columns), dim3(WARP, LANES), 0, sb_cuda_compute(device),
           s, (const float *)c->x[0], (const float *)c->x[1], (const float *)c->x[2], (float *)c->y,
           (float *)c->aux);
    return sb_cuda_launched("unit_columns_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    sb_unit_columns s = sb_unit_columns_of(c);
    LAUNCH(unit_columns_backward, column_blocks(1, s.columns), dim3(WARP, LANES), 0, sb_cuda_compute(device),
           s, (const float *)c->x[2], (const float *)c->y, (const float *)c->aux, (const float *)c->dy,
           (float *)c->dx[0], c->add[0]);
    return sb_cuda_launched("unit_columns_backward");
}

extern "C" const sb_kernel sb_cuda_unit_columns = { .forward = forward, .backward = backward };
