/* view.cu: views of a tile on a GPU, in seven launches for all of them.
 *
 *   weights          the filters of every view, a thread for each output of an axis and each tap of the blur
 *   rows             the crop's 8-bit rows added up with their weights: [size, width of the crop, channels]
 *                    f32
 *   columns          the same along x, flipped if so; then the jitter up to contrast, which needs the mean
 *                    of the whole view: partial sums
 *   mean             the sums of a view's blocks
 *   colours          the rest of the colours; the end, where there is no blur
 *   blur_y, blur_x   and the end
 *
 * Between them a view lies in planes [channel][y][x]. Arithmetic is that of kernels/cpu/view.c, operation by
 * operation, and rounded to 8 bits once; only the mean is summed in another order, within a block in f32.
 * Weights are computed in f64, as there; pixels are not. A view is blockIdx.z. */
#include "kernels/cuda/vector.h"
#include "kernels/share/colour.h"
#include "kernels/share/resample.h"

extern "C" {
#include "kernels/op/view.h"
}

#define AT_ONCE 16 /* views of one launch: their parameters are arguments of the kernels */

typedef struct {
    int tile_width, channels, colours, max_size; /* colours: sb_view_colours */
    sb_view_params view[AT_ONCE];
    uint8_t *out[AT_ONCE];
    char *scratch;
    size_t axis_bytes, blur_bytes, rows_bytes, plane_bytes, sums_bytes; /* parts of a view's scratch */
    size_t stride;                                                      /* all of it */
} batch;

/* Weights of one axis: output i has count[i] of them, from weight[i taps], for inputs from first[i]. */
typedef struct {
    int *first, *count;
    float *weight;
} axis;

typedef struct {
    axis x, y;
    float *blur;    /* [blur width] */
    float *rows;    /* [size, crop width, channels] */
    float *planes;  /* [size, size] each, `plane` values apart: an array of pointers would be local memory */
    float *blurred; /* the same, after blur_y */
    float *sums;    /* [blocks of pixels]: partial sums of the luma; behind them the mean */
    size_t plane;
    size_t green; /* from red to green, and from green to blue: 0 where there is one colour */
} work;

/* The taps of all outputs of an axis: fewer outputs have more taps each. */
static size_t weights_most(int in, int max_size) { return 2 * (size_t)in + 5 * (size_t)max_size; }

static void size_up(batch *b, const sb_shape *tile, int max_size)
{
    size_t size = (size_t)max_size;
    int longer = tile->w > tile->h ? tile->w : tile->h;
    b->tile_width = tile->w;
    b->channels = tile->c;
    b->colours = sb_view_colours(tile->c);
    b->max_size = max_size;
    b->axis_bytes = sb_cuda_align(2 * size * sizeof(int) + weights_most(longer, max_size) * sizeof(float));
    b->blur_bytes = sb_cuda_align((size_t)sb_blur_width(max_size) * sizeof(float));
    b->rows_bytes = sb_cuda_align(size * (size_t)tile->w * (size_t)tile->c * sizeof(float));
    b->plane_bytes = sb_cuda_align(size * size * sizeof(float));
    b->sums_bytes = sb_cuda_align((blocks_for(size * size) + 1) * sizeof(float));
    b->stride = 2 * b->axis_bytes + b->blur_bytes + b->rows_bytes + 2 * (size_t)tile->c * b->plane_bytes +
                b->sums_bytes;
}

static __device__ inline work lay_out_work(const batch *b, int view)
{
    work w;
    char *p = b->scratch + (size_t)view * b->stride;
    w.sums = (float *)p;
    p += b->sums_bytes;
    w.x.first = (int *)p;
    w.x.count = w.x.first + b->max_size;
    w.x.weight = (float *)(w.x.count + b->max_size);
    p += b->axis_bytes;
    w.y.first = (int *)p;
    w.y.count = w.y.first + b->max_size;
    w.y.weight = (float *)(w.y.count + b->max_size);
    p += b->axis_bytes;
    w.blur = (float *)p;
    p += b->blur_bytes;
    w.rows = (float *)p;
    p += b->rows_bytes;
    w.planes = (float *)p;
    w.blurred = (float *)(p + (size_t)b->channels * b->plane_bytes);
    w.plane = b->plane_bytes / sizeof(float);
    w.green = b->colours == 3 ? w.plane : 0;
    return w;
}

/* ---- kernels ------------------------------------------------------------------------------------------- */

/* The bits of sb_blur_weights, by one block: a tap a thread, and their sum in order by the first one. */
static __device__ inline void blur_weights(const sb_view_params *v, float *weight)
{
    __shared__ double total;
    const int width = sb_blur_width(v->size);
    for (int k = (int)threadIdx.x; k < width; k += THREADS)
        weight[k] = sb_blur_weight(width, v->blur, k);
    __syncthreads();
    if (threadIdx.x == 0) {
        total = 0;
        for (int k = 0; k < width; k++)
            total += weight[k];
    }
    __syncthreads();
    for (int k = (int)threadIdx.x; k < width; k += THREADS)
        weight[k] = (float)(weight[k] / total);
}

/* blockIdx.y: 0 the x axis, 1 the y axis, 2 the blur. */
static __global__ void weights(batch b)
{
    const sb_view_params *v = &b.view[blockIdx.z];
    work w = lay_out_work(&b, (int)blockIdx.z);
    int i = (int)global_thread();
    if (blockIdx.y == 2) {
        if (blockIdx.x == 0 && v->blur > 0)
            blur_weights(v, w.blur);
        return;
    }
    if (i >= v->size)
        return;
    axis a = blockIdx.y == 0 ? w.x : w.y;
    int in = blockIdx.y == 0 ? v->width : v->height;
    a.count[i] = sb_resize_weights(in, v->size, i, &a.first[i],
                                   a.weight + (size_t)i * (size_t)sb_resize_taps(in, v->size));
}

/* blockIdx.y: the view's row. A thread: one value of it. */
static __global__ void rows(batch b, const uint8_t *tile)
{
    const sb_view_params *v = &b.view[blockIdx.z];
    int i = (int)global_thread(), y = (int)blockIdx.y, values = v->width * b.channels;
    if (i >= values || y >= v->size)
        return;
    work w = lay_out_work(&b, (int)blockIdx.z);
    size_t pitch = (size_t)b.tile_width * (size_t)b.channels;
    const float *weight = w.y.weight + (size_t)y * (size_t)sb_resize_taps(v->height, v->size);
    const uint8_t *from = tile + (size_t)(v->top + w.y.first[y]) * pitch +
                          (size_t)v->left * (size_t)b.channels + (size_t)i;
    float sum = 0;
    for (int k = 0; k < w.y.count[y]; k++)
        sum += weight[k] * (float)from[(size_t)k * pitch];
    w.rows[(size_t)y * (size_t)values + (size_t)i] = sum;
}

/* One operation of the jitter. */
static __device__ inline sb_rgb jitter(const sb_view_params *v, int operation, int colours, float mean,
                                       sb_rgb p)
{
    if (operation == 0) {
        p.r = sb_clamp01(p.r * v->brightness);
        p.g = sb_clamp01(p.g * v->brightness);
        p.b = sb_clamp01(p.b * v->brightness);
    } else if (operation == 1) {
        p.r = sb_blend(p.r, mean, v->contrast);
        p.g = sb_blend(p.g, mean, v->contrast);
        p.b = sb_blend(p.b, mean, v->contrast);
    } else if (operation == 2 && colours == 3) {
        float luma = sb_luma(p.r, p.g, p.b);
        p.r = sb_blend(p.r, luma, v->saturation);
        p.g = sb_blend(p.g, luma, v->saturation);
        p.b = sb_blend(p.b, luma, v->saturation);
    } else if (operation == 3 && colours == 3) {
        p = sb_turn_hue(p.r, p.g, p.b, v->hue);
    }
    return p;
}

static __device__ inline void put(uint8_t *out, int channels, size_t i, int channel, float value)
{
    out[i * (size_t)channels + (size_t)channel] = (uint8_t)(sb_clamp01(value) * 255.0f + 0.5f);
}

static __device__ inline float solarised(const sb_view_params *v, float value)
{
    return v->solarise < 2 && value >= v->solarise ? 1.0f - value : value;
}

/* Solarises, rounds and writes the colours of pixel i. */
static __device__ inline void finish(const sb_view_params *v, const batch *b, size_t i, sb_rgb p,
                                     uint8_t *out)
{
    float value[3] = { p.r, p.g, p.b };
    for (int c = 0; c < 3; c++)
        if (c < b->colours)
            put(out, b->channels, i, c, solarised(v, value[c]));
}

static __device__ inline void store_pixel(const work *w, int colours, size_t i, sb_rgb p)
{
    if (colours > 0)
        w->planes[i] = p.r;
    if (colours == 3) {
        w->planes[w->green + i] = p.g;
        w->planes[2 * w->green + i] = p.b;
    }
}

/* Of values that lie `pitch` apart. */
static __device__ inline float one_sum(const float *weight, int count, const float *from, int pitch)
{
    float sum = 0;
    for (int k = 0; k < count; k++)
        sum += weight[k] * from[k * pitch];
    return sum;
}

/* A thread: a pixel. With one channel, r, g and b are the same plane. */
static __global__ void columns(batch b)
{
    __shared__ float parts[THREADS / WARP];
    const sb_view_params *v = &b.view[blockIdx.z];
    work w = lay_out_work(&b, (int)blockIdx.z);
    const unsigned i = blockIdx.x * THREADS + threadIdx.x, size = (unsigned)v->size;
    float luma = 0;
    if (i < size * size) {
        const unsigned y = i / size, x = i % size;
        const float *weight = w.x.weight + (size_t)x * (size_t)sb_resize_taps(v->width, v->size);
        const float *from = w.rows +
                            ((size_t)y * (size_t)v->width + (size_t)w.x.first[x]) * (size_t)b.channels;
        int count = w.x.count[x], green = b.colours == 3 ? 1 : 0, blue = b.colours == 3 ? 2 : 0;
        const unsigned to = y * size + (v->flip ? size - 1 - x : x);
        for (int c = b.colours; c < b.channels; c++)
            w.planes[(size_t)c * w.plane + to] = one_sum(weight, count, from + c, b.channels) *
                                                 (1.0f / 255.0f);
        sb_rgb p = {};
        for (int k = 0; k < count; k++, from += b.channels) {
            p.r += weight[k] * from[0];
            p.g += weight[k] * from[green];
            p.b += weight[k] * from[blue];
        }
        p.r *= 1.0f / 255.0f;
        p.g *= 1.0f / 255.0f;
        p.b *= 1.0f / 255.0f;
        for (int k = 0; v->jitter && v->order[k] != 1; k++)
            p = jitter(v, v->order[k], b.colours, 0, p);
        luma = b.colours == 3 ? sb_luma(p.r, p.g, p.b) : p.r;
        store_pixel(&w, b.colours, to, p);
    }
    luma = quick_sum(luma, parts);
    if (threadIdx.x == 0 && blockIdx.x * THREADS < size * size)
        w.sums[blockIdx.x] = luma;
}

static __device__ inline unsigned blocks_of_pixels(unsigned count) { return (count + THREADS - 1) / THREADS; }

/* A block for each view. */
static __global__ void mean(batch b)
{
    __shared__ double parts[THREADS / WARP];
    const sb_view_params *v = &b.view[blockIdx.z];
    work w = lay_out_work(&b, (int)blockIdx.z);
    const unsigned count = (unsigned)v->size * (unsigned)v->size, blocks = blocks_of_pixels(count);
    double sum = 0;
    for (unsigned k = threadIdx.x; v->jitter && k < blocks; k += THREADS)
        sum += w.sums[k];
    sum = block_sum(sum, parts);
    if (threadIdx.x == 0)
        w.sums[blocks] = (float)(sum / (double)count);
}

static __global__ void colours(batch b)
{
    const sb_view_params *v = &b.view[blockIdx.z];
    const unsigned i = blockIdx.x * THREADS + threadIdx.x, count = (unsigned)v->size * (unsigned)v->size;
    if (i >= count)
        return;
    work w = lay_out_work(&b, (int)blockIdx.z);
    const float mean = v->jitter ? w.sums[blocks_of_pixels(count)] : 0;
    sb_rgb p = {};
    p.r = w.planes[i];
    p.g = w.planes[w.green + i];
    p.b = w.planes[2 * w.green + i];
    bool passed = false;
    for (int k = 0; v->jitter && k < 4; k++) {
        passed = passed || v->order[k] == 1;
        if (passed)
            p = jitter(v, v->order[k], b.colours, mean, p);
    }
    if (v->grey && b.colours == 3)
        p.r = p.g = p.b = sb_luma(p.r, p.g, p.b);
    if (v->blur > 0) {
        store_pixel(&w, b.colours, i, p);
        return;
    }
    ROLLED
    for (int c = b.colours; c < b.channels; c++)
        put(b.out[blockIdx.z], b.channels, i, c, w.planes[(size_t)c * w.plane + i]);
    finish(v, &b, i, p, b.out[blockIdx.z]);
}

/* ---- blur ---------------------------------------------------------------------------------------------- */

/* A thread has EACH outputs side by side along the axis. A block keeps what they are made of in shared
 * memory, for TAPS taps at a time: a tap's weight and one new value a thread then serve EACH outputs. Sums go
 * through the taps in order, as on the CPU. */
#define EACH 8
#define TAPS 64
#define BLUR_LANES (THREADS / WARP)

/* Along y a block has WARP columns and TALL rows, along x BLUR_LANES rows and LONG columns. */
#define TALL (BLUR_LANES * EACH)
#define LONG (WARP * EACH)
#define MORE (TAPS + EACH) /* values beyond the outputs' that a thread reads */

/* Along x threads are EACH values apart: a hole behind each EACH keeps them in banks of their own. */
static __host__ __device__ constexpr int spaced(int i) { return i + i / EACH; }

/* Adds weight[k] x[j + k] to sum[j], for k < taps, a multiple of EACH. x[m] is at from[m * STEP], or, spaced,
 * at from[spaced(m)]. The last EACH values are in registers, value m in place m % EACH. */
template <int STEP, bool SPACED>
static __device__ inline void add_taps(const float *from, const float *weight, int taps, float sum[EACH])
{
    constexpr int next = SPACED ? EACH + 1 : EACH * STEP;
    float last[EACH];
    UNROLLED
    for (int m = 0; m < EACH; m++)
        last[m] = from[m * STEP];
    ROLLED
    for (int k = 0; k < taps; k += EACH) {
        from += next;
        UNROLLED
        for (int m = 0; m < EACH; m++) {
            const float factor = weight[k + m];
            UNROLLED
            for (int j = 0; j < EACH; j++)
                sum[j] += factor * last[(m + j) % EACH];
            last[m] = from[m * STEP];
        }
    }
}

/* Index i of an axis, mirrored; beyond what any output is made of, some index of it. */
static __device__ inline int mirrored(int i, int size)
{
    const int inside = sb_reflect(i, size);
    return inside < 0 ? 0 : inside < size ? inside : size - 1;
}

/* The taps from `begin` on, up to TAPS, and zeros behind the last, in shared memory. Returns how many, a
 * multiple of EACH. */
static __device__ inline int fetch_taps(const float *weight, int width, int begin, float taps[TAPS])
{
    const int t = (int)(threadIdx.y * WARP + threadIdx.x), left = width - begin;
    if (t < TAPS)
        taps[t] = t < left ? weight[begin + t] : 0;
    return left < TAPS ? (left + EACH - 1) / EACH * EACH : TAPS;
}

/* blockIdx.y: the channel. */
static __global__ void __launch_bounds__(THREADS, 4) blur_y(batch b)
{
    __shared__ float tile[TALL + MORE][WARP], taps[TAPS];
    const sb_view_params *v = &b.view[blockIdx.z];
    const int size = v->size, across = (size + WARP - 1) / WARP, column = (int)blockIdx.x % across * WARP,
              row = (int)blockIdx.x / across * TALL, x = column + (int)threadIdx.x,
              first = (int)threadIdx.y * EACH;
    if (row >= size || !(v->blur > 0))
        return;
    const work w = lay_out_work(&b, (int)blockIdx.z);
    const int width = sb_blur_width(size);
    const float *plane = w.planes + blockIdx.y * w.plane + (x < size ? x : size - 1);
    float sum[EACH] = {};
    ROLLED
    for (int k = 0; k < width; k += TAPS) {
        const int count = fetch_taps(w.blur, width, k, taps);
        for (int m = (int)threadIdx.y; m < TALL + count + EACH; m += BLUR_LANES)
            tile[m][threadIdx.x] = plane[(size_t)mirrored(row + k - width / 2 + m, size) * (size_t)size];
        __syncthreads();
        add_taps<WARP, false>(&tile[first][threadIdx.x], taps, count, sum);
        __syncthreads();
    }
    UNROLLED
    for (int j = 0; j < EACH; j++)
        if (x < size && row + first + j < size)
            w.blurred[blockIdx.y * w.plane + (size_t)(row + first + j) * (size_t)size + (size_t)x] = sum[j];
}

static __global__ void __launch_bounds__(THREADS, 4) blur_x(batch b)
{
    __shared__ float tile[BLUR_LANES][spaced(LONG + MORE)], taps[TAPS];
    const sb_view_params *v = &b.view[blockIdx.z];
    const int size = v->size, across = (size + LONG - 1) / LONG, column = (int)blockIdx.x % across * LONG,
              y = (int)blockIdx.x / across * BLUR_LANES + (int)threadIdx.y,
              first = column + (int)threadIdx.x * EACH;
    if ((int)blockIdx.x / across * BLUR_LANES >= size || !(v->blur > 0))
        return;
    const work w = lay_out_work(&b, (int)blockIdx.z);
    const int width = sb_blur_width(size);
    const size_t row = (size_t)(y < size ? y : size - 1) * (size_t)size;
    const float *from = w.blurred + row;
    ROLLED
    for (int c = 0; c < b.channels; c++, from += w.plane) {
        float sum[EACH] = {};
        ROLLED
        for (int k = 0; k < width; k += TAPS) {
            const int count = fetch_taps(w.blur, width, k, taps);
            for (int m = (int)threadIdx.x; m < LONG + count + EACH; m += WARP)
                tile[threadIdx.y][spaced(m)] = from[mirrored(column + k - width / 2 + m, size)];
            __syncthreads();
            add_taps<1, true>(&tile[threadIdx.y][spaced((int)threadIdx.x * EACH)], taps, count, sum);
            __syncthreads();
        }
        UNROLLED
        for (int j = 0; j < EACH; j++)
            if (y < size && first + j < size)
                put(b.out[blockIdx.z], b.channels, row + (size_t)(first + j), c,
                    c < b.colours ? solarised(v, sum[j]) : sum[j]);
    }
}

/* ---- host ---------------------------------------------------------------------------------------------- */

static size_t scratch(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_view_how *how = (const sb_view_how *)call->how;
    batch b;
    size_up(&b, &call->xs[0], how->max_size);
    return b.stride * (size_t)(how->count < AT_ONCE ? how->count : AT_ONCE);
}

/* Up to AT_ONCE views. */
static int make(sb_device *device, const uint8_t *tile, batch *b, const sb_view_params *params, int count,
                uint8_t *const *out)
{
    cudaStream_t stream = sb_cuda_compute(device);
    int size = 0, width = 0;
    bool blurred = false;
    for (int i = 0; i < count; i++) {
        b->view[i] = params[i];
        b->out[i] = out[i];
        size = params[i].size > size ? params[i].size : size;
        width = params[i].width > width ? params[i].width : width;
        blurred = blurred || params[i].blur > 0;
    }
    unsigned z = (unsigned)count, side = (unsigned)size;
    dim3 pixels(blocks_for((size_t)side * side), 1, z);
    LAUNCH(weights, dim3(blocks_for(side), 3, z), THREADS, 0, stream, *b);
    LAUNCH(rows, dim3(blocks_for((size_t)width * (size_t)b->channels), side, z), THREADS, 0, stream, *b,
           tile);
    LAUNCH(columns, pixels, THREADS, 0, stream, *b);
    LAUNCH(mean, dim3(1, 1, z), THREADS, 0, stream, *b);
    LAUNCH(colours, pixels, THREADS, 0, stream, *b);
    if (blurred) {
        const unsigned tall = (side + TALL - 1) / TALL * ((side + WARP - 1) / WARP),
                       lines = (side + BLUR_LANES - 1) / BLUR_LANES * ((side + LONG - 1) / LONG);
        LAUNCH(blur_y, dim3(tall, (unsigned)b->channels, z), dim3(WARP, BLUR_LANES), 0, stream, *b);
        LAUNCH(blur_x, dim3(lines, 1, z), dim3(WARP, BLUR_LANES), 0, stream, *b);
    }
    return sb_cuda_launched("view");
}

static int forward(sb_device *device, const sb_call *call)
{
    const sb_view_how *how = (const sb_view_how *)call->how;
    if (sb_view_check(how, &call->xs[0]) != 0)
        return -1;
    batch b;
    size_up(&b, &call->xs[0], how->max_size);
    b.scratch = (char *)call->scratch;
    for (int done = 0; done < how->count; done += AT_ONCE) {
        int count = how->count - done < AT_ONCE ? how->count - done : AT_ONCE;
        if (make(device, (const uint8_t *)call->x[0], &b, how->params + done, count, how->out + done) != 0)
            return -1;
    }
    return 0;
}

extern "C" const sb_kernel sb_cuda_view = { .scratch = scratch, .forward = forward };
