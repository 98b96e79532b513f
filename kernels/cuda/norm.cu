/* norm.cu: batch and group normalisation on a GPU (kernels/op/norm.h).
 *
 * Three kernels each way (one, where statistics are given), by shares.h: partial sums of each channel; what
 * adds them up, over the runs of a set and the channels of a group; a pass that applies it. Forward, the sums
 * are of x - shift and its square, the shift being the set's first row. */
#include "kernels/cuda/norm.h"
#include "kernels/cuda/shares.h"

/* Rows that a thread fetches before it uses the first. */
#define SUMS_AT_ONCE 4
#define APPLIED_AT_ONCE 2

static shares shares_of_norm(const sb_norm *s) { return shares_of(s->type, s->sets, s->rows, s->channels); }

/* Scratch: partial sums, twice, then three rows [sets, channels]. */
typedef struct {
    float *first, *second;
    float *row[3];
} work;

extern "C" size_t sb_cuda_norm_scratch(const sb_norm *s)
{
    const shares d = shares_of_norm(s);
    return (2 * partial_sums(&d) + 3 * (size_t)s->sets * (size_t)s->channels) * sizeof(float);
}

static work lay_out_work(const sb_norm *s, void *memory)
{
    const shares d = shares_of_norm(s);
    work w;
    w.first = (float *)memory;
    w.second = w.first + partial_sums(&d);
    for (size_t i = 0; i < 3; i++)
        w.row[i] = w.second + partial_sums(&d) + i * (size_t)s->sets * (size_t)s->channels;
    return w;
}

/* The mean of a channel's group, in statistics [sets, 2, groups]; the variance lies `groups` behind it. */
static __device__ inline const float *mean_of(const sb_norm *s, const float *statistics, int set, int channel)
{
    int group = channel / (s->channels / s->groups);
    return statistics + (size_t)set * 2 * (size_t)s->groups + (size_t)group;
}

/* What normalising with these statistics does to N channels: x scale + offset. The same bits forward and
 * backward. gamma and beta [channels] may be NULL. */
template <int N> struct affine {
    float scale[N], offset[N];
};

template <int N>
static __device__ inline affine<N> affine_of(const sb_norm *s, const span *p, const float *gamma,
                                             const float *beta, const float *statistics)
{
    affine<N> a;
    UNROLLED
    for (int k = 0; k < N; k++) {
        const float *mean = mean_of(s, statistics, p->set, p->channel + k);
        a.scale[k] = (gamma ? gamma[p->channel + k] : 1.0f) / sqrtf(mean[s->groups] + s->epsilon);
        a.offset[k] = (beta ? beta[p->channel + k] : 0.0f) - *mean * a.scale[k];
    }
    return a;
}

/* ---- forward ------------------------------------------------------------------------------------------- */

static __device__ inline float shift_of(const sb_norm *s, const void *x, int set, int channel)
{
    return load(x, s->type, (size_t)set * (size_t)s->rows * (size_t)s->channels + (size_t)channel);
}

template <sb_type T, int N>
static __global__ void __launch_bounds__(THREADS, 4) forward_sums(shares d, const void *x, work w)
{
    span p = my_span<N>(&d);
    float shift[N] = {}, sum[N] = {}, square[N] = {};
    if (p.row < p.end) {
        const size_t first = vector_at(&d, &p, p.set * d.rows);
        const vector<T, N> row = fetch<T, N>(x, first);
        UNROLLED
        for (int k = 0; k < N; k++)
            shift[k] = value_of<T, N>(row, k);
    }
    ROLLED
    for (; p.row < p.end; p.row += SUMS_AT_ONCE * d.lanes) {
        vector<T, N> rows[SUMS_AT_ONCE] = {};
        next_rows<SUMS_AT_ONCE>(&d, &p, [&](int i, size_t at) { rows[i] = fetch<T, N>(x, at); });
        UNROLLED
        for (int i = 0; i < SUMS_AT_ONCE; i++)
            UNROLLED
        for (int k = 0; k < N && p.row + i * d.lanes < p.end; k++) {
            float away = value_of<T, N>(rows[i], k) - shift[k];
            sum[k] += away;
            square[k] += away * away;
        }
    }
    write_partial<N>(&d, sum, w.first);
    write_partial<N>(&d, square, w.second);
}

/* A group's mean, and its variance: the channels', and how far their means are apart. */
static __global__ void forward_fold(sb_norm s, shares d, const void *x, float *statistics, work w)
{
    const int t = my_column(), size = s.channels / s.groups, set = t / s.groups, begin = t % s.groups * size,
              end = begin + size;
    const bool mine = t < s.sets * s.groups;
    double mean = 0, total = 0;
    two_sums sums = {};
    for (int c = begin; c < end; c++) {
        sums = fold(&d, w.first, w.second, mine, set, c);
        if (mine)
            mean += shift_of(&s, x, set, c) + sums.first / s.rows;
    }
    mean /= size;
    for (int c = begin; c < end; c++) {
        if (size > 1)
            sums = fold(&d, w.first, w.second, mine, set, c);
        if (mine) {
            double m = sums.first / s.rows, apart = shift_of(&s, x, set, c) + m - mean;
            total += sums.second / s.rows - m * m + apart * apart;
        }
    }
    if (!mine || threadIdx.y != 0)
        return;
    float *to = statistics + (size_t)set * 2 * (size_t)s.groups + (size_t)(t % s.groups);
    to[0] = (float)mean;
    to[s.groups] = (float)(total <= 0 ? 0 : total / size); /* NaN stays, here and below */
}

/* y = relu?(x scale + offset + residual?) */
template <sb_type T, int N>
static __global__ void __launch_bounds__(THREADS, 4)
    forward_apply(sb_norm s, shares d, const void *x, const void *residual, const float *gamma,
                  const float *beta, const float *statistics, void *y)
{
    span p = my_span<N>(&d);
    if (p.row >= p.end)
        return;
    const affine<N> a = affine_of<N>(&s, &p, gamma, beta, statistics);
    ROLLED
    for (; p.row < p.end; p.row += APPLIED_AT_ONCE * d.lanes) {
        vector<T, N> rows[APPLIED_AT_ONCE] = {}, more[APPLIED_AT_ONCE] = {};
        next_rows<APPLIED_AT_ONCE>(&d, &p, [&](int i, size_t at) {
            rows[i] = fetch<T, N>(x, at);
            if (s.residual)
                more[i] = fetch<T, N>(residual, at);
        });
        next_rows<APPLIED_AT_ONCE>(&d, &p, [&](int i, size_t at) {
            float value[N];
            UNROLLED
            for (int k = 0; k < N; k++) {
                value[k] = value_of<T, N>(rows[i], k) * a.scale[k] + a.offset[k];
                if (s.residual)
                    value[k] += value_of<T, N>(more[i], k);
                value[k] = s.relu && value[k] <= 0 ? 0 : value[k];
            }
            put<T, N>(y, at, vector_of<T, N>(value));
        });
    }
}

/* ---- backward ------------------------------------------------------------------------------------------ */

/* Where the ReLU let dy through: x tells, or, where there was a residual, y. */
static bool x_tells(const sb_norm *s) { return s->relu && !s->residual; }

/* g, the gradient that reaches a normalised value. `out` is what the ReLU gave. */
static __device__ inline float masked(bool relu, float out, float dy) { return relu && out <= 0 ? 0 : dy; }

/* Sums of g and of g xhat. g is the residual's gradient; where x tells, there is none. y: NULL where it is
 * not asked. */
template <sb_type T, int N, bool X_TELLS>
static __global__ void __launch_bounds__(THREADS, 4)
    backward_sums(sb_norm s, shares d, const void *x, const void *y, const void *dy, const float *gamma,
                  const float *beta, const float *statistics, void *dresidual, bool add, work w)
{
    span p = my_span<N>(&d);
    affine<N> a = {};
    float centre[N] = {}, sum[N] = {}, product[N] = {};
    if (p.row < p.end) {
        UNROLLED
        for (int k = 0; k < N; k++)
            centre[k] = *mean_of(&s, statistics, p.set, p.channel + k);
        if (X_TELLS)
            a = affine_of<N>(&s, &p, gamma, beta, statistics);
    }
    ROLLED
    for (; p.row < p.end; p.row += d.lanes) {
        const size_t at = vector_at(&d, &p, p.row);
        const vector<T, N> xs = fetch<T, N>(x, at), dys = fetch<T, N>(dy, at);
        vector<T, N> ys = {}, held = {};
        if (!X_TELLS && y)
            ys = fetch<T, N>(y, at);
        if (!X_TELLS && dresidual && add)
            held = fetch<T, N>(dresidual, at);
        float g[N];
        UNROLLED
        for (int k = 0; k < N; k++) {
            const float value = value_of<T, N>(xs, k),
                        out = X_TELLS ? value * a.scale[k] + a.offset[k] : value_of<T, N>(ys, k);
            g[k] = masked(X_TELLS || y, out, value_of<T, N>(dys, k));
            sum[k] += g[k];
            product[k] += g[k] * (value - centre[k]);
        }
        if (!X_TELLS && dresidual)
            give_values<T, N>(dresidual, at, g, add, held);
    }
    UNROLLED
    for (int k = 0; k < N && p.channel + k < s.channels; k++)
        product[k] *= 1.0f / sqrtf(mean_of(&s, statistics, p.set, p.channel + k)[s.groups] + s.epsilon);
    write_partial<N>(&d, sum, w.first);
    write_partial<N>(&d, product, w.second);
}

/* dx = inverse (gamma g - mean(gamma g) - xhat mean(gamma g xhat)), with means over the group, = g row[0] + x
 * row[1] + row[2] */
static __global__ void backward_fold(sb_norm s, shares d, const float *gamma, const float *statistics, work w)
{
    const int t = my_column(), size = s.channels / s.groups, set = t / s.groups, begin = t % s.groups * size,
              end = begin + size;
    const bool mine = t < s.sets * s.groups;
    double sum = 0, product = 0, count = (double)s.rows * size;
    for (int c = begin; c < end; c++) {
        const double factor = mine && gamma ? gamma[c] : 1.0f;
        const two_sums more = fold(&d, w.first, w.second, mine, set, c);
        sum += factor * more.first;
        product += factor * more.second;
    }
    if (!mine || threadIdx.y != 0)
        return;
    const float *mean = mean_of(&s, statistics, set, begin);
    double inverse = 1.0f / sqrtf(mean[s.groups] + s.epsilon), along = inverse * inverse * product / count;
    for (int c = begin; c < end; c++) {
        size_t at = place(&d, set, c);
        w.row[0][at] = (float)((gamma ? gamma[c] : 1.0f) * inverse);
        w.row[1][at] = (float)-along;
        w.row[2][at] = (float)(along * *mean - inverse * sum / count);
    }
}

/* dy: or g, where the first pass wrote it alone, as the residual's gradient; then y is NULL, too. */
template <sb_type T, int N, bool X_TELLS>
static __global__ void __launch_bounds__(THREADS, 4)
    backward_apply(sb_norm s, shares d, const void *x, const void *y, const void *dy, const float *gamma,
                   const float *beta, const float *statistics, void *dx, bool add, work w)
{
    span p = my_span<N>(&d);
    if (p.row >= p.end)
        return;
    const size_t mine = place(&d, p.set, p.channel);
    affine<N> a = {};
    float from_x[N], constant[N];
    if (X_TELLS)
        a = affine_of<N>(&s, &p, gamma, beta, statistics);
    else
        read_floats<N>(w.row[0] + mine, a.scale); /* the same but for a rounding */
    read_floats<N>(w.row[1] + mine, from_x);
    read_floats<N>(w.row[2] + mine, constant);
    ROLLED
    for (; p.row < p.end; p.row += d.lanes) {
        const size_t at = vector_at(&d, &p, p.row);
        const vector<T, N> xs = fetch<T, N>(x, at), dys = fetch<T, N>(dy, at);
        vector<T, N> ys = {}, held = {};
        if (!X_TELLS && y)
            ys = fetch<T, N>(y, at);
        if (add)
            held = fetch<T, N>(dx, at);
        float value[N];
        UNROLLED
        for (int k = 0; k < N; k++) {
            value[k] = value_of<T, N>(xs, k);
            const float out = X_TELLS ? value[k] * a.scale[k] + a.offset[k] : value_of<T, N>(ys, k),
                        g = masked(X_TELLS || y, out, value_of<T, N>(dys, k));
            value[k] = g * a.scale[k] + value[k] * from_x[k] + constant[k];
        }
        give_values<T, N>(dx, at, value, add, held);
    }
}

/* Of given statistics: y tells what the ReLU let through. */
template <sb_type T, int N>
static __global__ void __launch_bounds__(THREADS, 4)
    backward_given(sb_norm s, shares d, const void *y, const void *dy, const float *gamma,
                   const float *statistics, void *dresidual, bool add_residual, void *dx, bool add)
{
    span p = my_span<N>(&d);
    if (p.row >= p.end)
        return;
    const affine<N> a = affine_of<N>(&s, &p, gamma, NULL, statistics);
    ROLLED
    for (; p.row < p.end; p.row += d.lanes) {
        const size_t at = vector_at(&d, &p, p.row);
        const vector<T, N> dys = fetch<T, N>(dy, at);
        vector<T, N> ys = {}, held = {}, held_residual = {};
        if (s.relu)
            ys = fetch<T, N>(y, at);
        if (dresidual && add_residual)
            held_residual = fetch<T, N>(dresidual, at);
        if (dx && add)
            held = fetch<T, N>(dx, at);
        float g[N], scaled[N];
        UNROLLED
        for (int k = 0; k < N; k++) {
            g[k] = masked(s.relu, value_of<T, N>(ys, k), value_of<T, N>(dys, k));
            scaled[k] = g[k] * a.scale[k];
        }
        if (dresidual)
            give_values<T, N>(dresidual, at, g, add_residual, held_residual);
        if (dx)
            give_values<T, N>(dx, at, scaled, add, held);
    }
}

/* ---- host ---------------------------------------------------------------------------------------------- */

extern "C" int sb_cuda_norm_forward(sb_device *device, const sb_norm *s, const sb_call *c, const float *given)
{
    cudaStream_t stream = sb_cuda_compute(device);
    const shares d = shares_of_norm(s);
    const unsigned blocks = blocks_of(&d);
    work w = lay_out_work(s, c->scratch);
    float *statistics = (float *)c->aux;
    with_vectors(s->type, s->channels, [&]<sb_type T, int N>() {
        if (!given) {
            LAUNCH((forward_sums<T, N>), blocks, THREADS, 0, stream, d, c->x[0], w);
            LAUNCH(forward_fold, folds_of(s->sets * s->groups), dim3(FOLDED, FOLDERS), 0, stream, *s, d,
                   c->x[0], statistics, w);
        }
        LAUNCH((forward_apply<T, N>), blocks, THREADS, 0, stream, *s, d, c->x[0], c->x[1], c->w[0], c->w[1],
               given ? given : statistics, c->y);
    });
    return sb_cuda_launched("norm_forward");
}

/* Both passes, by who tells what the ReLU let through. */
template <sb_type T, int N, bool X_TELLS>
static void launch_backward(sb_device *device, const sb_norm *s, const sb_call *c)
{
    cudaStream_t stream = sb_cuda_compute(device);
    const shares d = shares_of_norm(s);
    const unsigned blocks = blocks_of(&d);
    work w = lay_out_work(s, c->scratch);
    const float *statistics = (const float *)c->aux;
    const void *y = s->relu ? c->y : NULL, *kept = c->add[1] ? NULL : c->dx[1];
    LAUNCH((backward_sums<T, N, X_TELLS>), blocks, THREADS, 0, stream, *s, d, c->x[0], y, c->dy, c->w[0],
           c->w[1], statistics, c->dx[1], c->add[1], w);
    add_runs(device, &d, w.first, w.second, c->dw[1], c->dw[0]);
    if (!c->dx[0])
        return;
    LAUNCH(backward_fold, folds_of(s->sets * s->groups), dim3(FOLDED, FOLDERS), 0, stream, *s, d, c->w[0],
           statistics, w);
    LAUNCH((backward_apply<T, N, X_TELLS>), blocks, THREADS, 0, stream, *s, d, c->x[0], kept ? NULL : y,
           kept ? kept : c->dy, c->w[0], c->w[1], statistics, c->dx[0], c->add[0], w);
}

extern "C" int sb_cuda_norm_backward(sb_device *device, const sb_norm *s, const sb_call *c)
{
    with_vectors(s->type, s->channels, [&]<sb_type T, int N>() {
        if (x_tells(s))
            launch_backward<T, N, true>(device, s, c);
        else
            launch_backward<T, N, false>(device, s, c);
    });
    return sb_cuda_launched("norm_backward");
}

extern "C" int sb_cuda_norm_backward_given(sb_device *device, const sb_norm *s, const sb_call *c,
                                           const float *given)
{
    const shares d = shares_of_norm(s);
    with_vectors(s->type, s->channels, [&]<sb_type T, int N>() {
        LAUNCH((backward_given<T, N>), blocks_of(&d), THREADS, 0, sb_cuda_compute(device), *s, d, c->y, c->dy,
               c->w[0], given, c->dx[1], c->add[1], c->dx[0], c->add[0]);
    });
    return sb_cuda_launched("norm_backward_given");
}
