/* reference.c: see reference.h. */
#include "tests/kernels/reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- convolution ------------------------------------------------------------------------------------------------------------------ */

typedef enum { FORWARD, DATA, WEIGHT } direction;

/* Every product of the convolution once; `which` says where it is added. */
static void convolve(const sb_conv_shape *s, direction which, const double *x_in, const double *w_in, const double *y_in, double *out)
{
    int oh = (s->h + 2 * s->pad - s->kernel) / s->stride + 1, ow = (s->w + 2 * s->pad - s->kernel) / s->stride + 1;
    for (int n = 0; n < s->n; n++)
        for (int i = 0; i < oh; i++)
            for (int j = 0; j < ow; j++)
                for (int a = 0; a < s->kernel; a++)
                    for (int b = 0; b < s->kernel; b++) {
                        int row = i * s->stride - s->pad + a, column = j * s->stride - s->pad + b;
                        if (row < 0 || row >= s->h || column < 0 || column >= s->w)
                            continue;
                        long x = (((long)n * s->h + row) * s->w + column) * s->in, y = (((long)n * oh + i) * ow + j) * s->out;
                        for (int o = 0; o < s->out; o++)
                            for (int c = 0; c < s->in; c++) {
                                long w = (((long)o * s->in + c) * s->kernel + a) * s->kernel + b;
                                if (which == FORWARD)
                                    out[y + o] += x_in[x + c] * w_in[w];
                                else if (which == DATA)
                                    out[x + c] += y_in[y + o] * w_in[w];
                                else
                                    out[w] += y_in[y + o] * x_in[x + c];
                            }
                    }
}

static size_t conv_outputs(const sb_conv_shape *s)
{
    int oh = (s->h + 2 * s->pad - s->kernel) / s->stride + 1, ow = (s->w + 2 * s->pad - s->kernel) / s->stride + 1;
    return (size_t)s->n * (size_t)oh * (size_t)ow * (size_t)s->out;
}

void sb_reference_conv_forward(const sb_conv_shape *s, const double *x, const double *w, double *y)
{
    memset(y, 0, conv_outputs(s) * sizeof *y);
    convolve(s, FORWARD, x, w, NULL, y);
}

void sb_reference_conv_backward_data(const sb_conv_shape *s, const double *dy, const double *w, double *dx)
{
    memset(dx, 0, (size_t)s->n * (size_t)s->h * (size_t)s->w * (size_t)s->in * sizeof *dx);
    convolve(s, DATA, NULL, w, dy, dx);
}

void sb_reference_conv_backward_weight(const sb_conv_shape *s, const double *x, const double *dy, double *dw)
{
    memset(dw, 0, (size_t)s->out * (size_t)s->in * (size_t)s->kernel * (size_t)s->kernel * sizeof *dw);
    convolve(s, WEIGHT, x, NULL, dy, dw);
}

/* ---- norm ------------------------------------------------------------------------------------------------------------------------- */

void sb_reference_norm_statistics(const sb_norm_shape *s, const double *x, double *mean, double *variance)
{
    for (int c = 0; c < s->channels; c++) {
        double sum = 0, square = 0;
        for (long r = 0; r < s->rows; r++)
            sum += x[r * s->channels + c];
        mean[c] = sum / s->rows;
        for (long r = 0; r < s->rows; r++)
            square += pow(x[r * s->channels + c] - mean[c], 2);
        variance[c] = square / s->rows;
    }
}

void sb_reference_norm_apply(const sb_norm_shape *s, const double *x, const double *residual, const double *gamma, const double *beta,
                             const double *mean, const double *variance, double *y)
{
    for (long r = 0; r < s->rows; r++)
        for (int c = 0; c < s->channels; c++) {
            long i = r * s->channels + c;
            double v = (x[i] - mean[c]) / sqrt(variance[c] + s->epsilon);
            v = v * (gamma ? gamma[c] : 1) + (beta ? beta[c] : 0) + (s->residual ? residual[i] : 0);
            y[i] = s->relu && v < 0 ? 0 : v;
        }
}

void sb_reference_norm_backward(const sb_norm_shape *s, const double *x, const double *y, const double *dy, const double *dy_more,
                                const double *gamma, const double *mean, const double *variance, double *dx, double *g_out,
                                double *dgamma, double *dbeta)
{
    double *g = malloc((size_t)s->rows * sizeof *g), *normal = malloc((size_t)s->rows * sizeof *normal);
    for (int c = 0; c < s->channels; c++) {
        double inverse = 1 / sqrt(variance[c] + s->epsilon), sum = 0, product = 0;
        for (long r = 0; r < s->rows; r++) {
            long i = r * s->channels + c;
            g[r] = s->relu && !(y[i] > 0) ? 0 : dy[i] + (dy_more ? dy_more[i] : 0);
            normal[r] = (x[i] - mean[c]) * inverse;
            sum += g[r];
            product += g[r] * normal[r];
        }
        for (long r = 0; r < s->rows; r++) {
            long i = r * s->channels + c;
            if (dx)
                dx[i] = (gamma ? gamma[c] : 1) * inverse * (g[r] - sum / s->rows - normal[r] * product / s->rows);
            if (g_out)
                g_out[i] = g[r];
        }
        if (dgamma)
            dgamma[c] = product;
        if (dbeta)
            dbeta[c] = sum;
    }
    free(g);
    free(normal);
}

/* ---- pooling ---------------------------------------------------------------------------------------------------------------------- */

void sb_reference_maxpool_forward(const sb_pool_shape *s, const double *x, double *y, double *argmax)
{
    int oh = (s->h - 1) / 2 + 1, ow = (s->w - 1) / 2 + 1;
    for (int n = 0; n < s->n; n++)
        for (int i = 0; i < oh; i++)
            for (int j = 0; j < ow; j++)
                for (int c = 0; c < s->c; c++) {
                    long to = (((long)n * oh + i) * ow + j) * s->c + c;
                    y[to] = -INFINITY;
                    for (int k = 0; k < 9; k++) {
                        int row = 2 * i - 1 + k / 3, column = 2 * j - 1 + k % 3;
                        if (row < 0 || row >= s->h || column < 0 || column >= s->w)
                            continue;
                        double value = x[(((long)n * s->h + row) * s->w + column) * s->c + c];
                        if (value > y[to]) {
                            y[to] = value;
                            argmax[to] = k;
                        }
                    }
                }
}

void sb_reference_maxpool_backward(const sb_pool_shape *s, const double *argmax, const double *dy, double *dx)
{
    int oh = (s->h - 1) / 2 + 1, ow = (s->w - 1) / 2 + 1;
    memset(dx, 0, (size_t)s->n * (size_t)s->h * (size_t)s->w * (size_t)s->c * sizeof *dx);
    for (int n = 0; n < s->n; n++)
        for (int i = 0; i < oh; i++)
            for (int j = 0; j < ow; j++)
                for (int c = 0; c < s->c; c++) {
                    long from = (((long)n * oh + i) * ow + j) * s->c + c;
                    int k = (int)argmax[from], row = 2 * i - 1 + k / 3, column = 2 * j - 1 + k % 3;
                    dx[(((long)n * s->h + row) * s->w + column) * s->c + c] += dy[from];
                }
}

void sb_reference_avgpool_forward(const sb_pool_shape *s, const double *x, double *y)
{
    long places = (long)s->h * s->w;
    for (int n = 0; n < s->n; n++)
        for (int c = 0; c < s->c; c++) {
            double sum = 0;
            for (long p = 0; p < places; p++)
                sum += x[(n * places + p) * s->c + c];
            y[(long)n * s->c + c] = sum / (double)places;
        }
}

void sb_reference_avgpool_backward(const sb_pool_shape *s, const double *dy, double *dx)
{
    long places = (long)s->h * s->w;
    for (int n = 0; n < s->n; n++)
        for (long p = 0; p < places; p++)
            for (int c = 0; c < s->c; c++)
                dx[(n * places + p) * s->c + c] = dy[(long)n * s->c + c] / (double)places;
}

/* ---- matrices and rows ------------------------------------------------------------------------------------------------------------ */

void sb_reference_matmul(bool transpose_a, bool transpose_b, int m, int n, int k, const double *a, const double *b, double *out)
{
    for (long i = 0; i < m; i++)
        for (long j = 0; j < n; j++) {
            double sum = 0;
            for (long l = 0; l < k; l++)
                sum += a[transpose_a ? l * m + i : i * k + l] * b[transpose_b ? j * k + l : l * n + j];
            out[i * n + j] = sum;
        }
}

void sb_reference_column_sum(int rows, int columns, const double *x, double *out)
{
    for (int c = 0; c < columns; c++) {
        out[c] = 0;
        for (long r = 0; r < rows; r++)
            out[c] += x[r * columns + c];
    }
}

void sb_reference_row_dot(int rows, int columns, const double *a, const double *b, double *out)
{
    for (long r = 0; r < rows; r++) {
        out[r] = 0;
        for (int c = 0; c < columns; c++)
            out[r] += a[r * columns + c] * b[r * columns + c];
    }
}

void sb_reference_rownorm_forward(int rows, int columns, const double *x, double *z, double *norm)
{
    sb_reference_row_dot(rows, columns, x, x, norm);
    for (long r = 0; r < rows; r++) {
        norm[r] = fmax(sqrt(norm[r]), 1e-12);
        for (int c = 0; c < columns; c++)
            z[r * columns + c] = x[r * columns + c] / norm[r];
    }
}

void sb_reference_rownorm_backward(int rows, int columns, const double *z, const double *norm, const double *dz, double *dx)
{
    for (long r = 0; r < rows; r++) {
        double along;
        sb_reference_row_dot(1, columns, z + r * columns, dz + r * columns, &along);
        for (int c = 0; c < columns; c++)
            dx[r * columns + c] = (dz[r * columns + c] - z[r * columns + c] * along) / norm[r];
    }
}

/* ---- similarities ----------------------------------------------------------------------------------------------------------------- */

void sb_reference_similarity(const sb_similarity_shape *s, const double *z, const double *skip, double *out)
{
    long m = (long)s->samples * s->views;
    sb_reference_matmul(false, true, (int)m, (int)m, s->width, z, z, out);
    for (long i = 0; i < m; i++)
        for (long j = 0; j < m; j++) {
            long a = i % s->samples, b = j % s->samples;
            bool left_out = i == j || (a == b && s->no_positives) || (a != b && skip && skip[a * s->samples + b] != 0);
            out[i * m + j] = left_out ? -INFINITY : out[i * m + j] / s->temperature;
        }
}

void sb_reference_similarity_lse(const sb_similarity_shape *s, const double *z, const double *skip, double *lse)
{
    long m = (long)s->samples * s->views;
    double *logits = malloc((size_t)(m * m) * sizeof *logits);
    sb_reference_similarity(s, z, skip, logits);
    for (long i = 0; i < m; i++) {
        double most = -INFINITY, sum = 0;
        for (long j = 0; j < m; j++)
            most = fmax(most, logits[i * m + j]);
        for (long j = 0; j < m && most > -INFINITY; j++)
            sum += exp(logits[i * m + j] - most);
        lse[i] = most > -INFINITY ? most + log(sum) : -INFINITY;
    }
    free(logits);
}

void sb_reference_similarity_gradient(const sb_similarity_shape *s, const double *z, const double *skip, const double *lse, double scale,
                                      double *dz)
{
    long m = (long)s->samples * s->views;
    double *logits = malloc((size_t)(m * m) * sizeof *logits);
    sb_reference_similarity(s, z, skip, logits);
    memset(dz, 0, (size_t)m * (size_t)s->width * sizeof *dz);
    for (long i = 0; i < m; i++)
        for (long j = 0; j < m; j++) {
            if (logits[i * m + j] == -INFINITY)
                continue;
            double weight = exp(logits[i * m + j] - lse[i]) + exp(logits[i * m + j] - lse[j]);
            for (int k = 0; k < s->width; k++)
                dz[i * s->width + k] += scale / s->temperature * weight * z[j * s->width + k];
        }
    free(logits);
}

/* ---- optimisers ------------------------------------------------------------------------------------------------------------------- */

void sb_reference_update(const sb_update_values *v, bool decayed, size_t count, double *w, const double *g, double *state)
{
    double decay = decayed ? v->weight_decay : 0, trust = 1;
    if (v->rule == SB_UPDATE_ADAMW) {
        double first = 1 - pow(v->beta1, (double)v->step), second = 1 - pow(v->beta2, (double)v->step), *m = state, *s = state + count;
        for (size_t i = 0; i < count; i++) {
            m[i] = v->beta1 * m[i] + (1 - v->beta1) * g[i];
            s[i] = v->beta2 * s[i] + (1 - v->beta2) * g[i] * g[i];
            w[i] -= v->lr * decay * w[i];
            w[i] -= v->lr * (m[i] / first) / (sqrt(s[i] / second) + v->epsilon);
        }
        return;
    }
    if (v->rule == SB_UPDATE_LARS && decayed) {
        double weight = 0, step = 0;
        for (size_t i = 0; i < count; i++) {
            weight += w[i] * w[i];
            step += pow(g[i] + decay * w[i], 2);
        }
        trust = weight > 0 && step > 0 ? v->trust * sqrt(weight / step) : 1;
    }
    for (size_t i = 0; i < count; i++) {
        state[i] = v->momentum * state[i] + trust * (g[i] + decay * w[i]);
        w[i] -= v->lr * state[i];
    }
}

/* ---- the view --------------------------------------------------------------------------------------------------------------------- */

static double clamp(double x) { return x < 0 ? 0 : x > 1 ? 1 : x; }

static double luma(const double *pixel, int channels)
{
    return channels == 3 ? 0.2989 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2] : pixel[0];
}

/* The weight of input `at` in output `i` of an axis of `in` that becomes `out`: a triangle, as wide as the image shrinks. Not normalised. */
static double triangle(int in, int out, int i, int at)
{
    double scale = (double)in / out, width = fmax(scale, 1), distance = fabs(at + 0.5 - scale * (i + 0.5)) / width;
    return distance < 1 ? 1 - distance : 0;
}

/* One axis of `lines` lines: in [lines, length, inner] -> out [lines, size, inner]. */
static void resample(const double *from, int lines, int length, int inner, int size, double *out)
{
    for (int l = 0; l < lines; l++)
        for (int i = 0; i < size; i++) {
            double total = 0, *to = out + ((long)l * size + i) * inner;
            memset(to, 0, (size_t)inner * sizeof *to);
            for (int at = 0; at < length; at++) {
                double weight = triangle(length, size, i, at);
                total += weight;
                for (int k = 0; k < inner && weight > 0; k++)
                    to[k] += weight * from[((long)l * length + at) * inner + k];
            }
            for (int k = 0; k < inner; k++)
                to[k] /= total;
        }
}

static void blend(double *pixel, int channels, double other, double factor)
{
    for (int c = 0; c < channels; c++)
        pixel[c] = clamp(factor * pixel[c] + (1 - factor) * other);
}

/* The textbook's RGB -> HSV -> RGB. */
static void turn_hue(double *p, double turn)
{
    double most = fmax(p[0], fmax(p[1], p[2])), least = fmin(p[0], fmin(p[1], p[2])), range = most - least, hue = 0;
    if (range == 0)
        return;
    if (most == p[0])
        hue = (p[1] - p[2]) / range;
    else if (most == p[1])
        hue = 2 + (p[2] - p[0]) / range;
    else
        hue = 4 + (p[0] - p[1]) / range;
    hue = hue / 6 + turn;
    hue = 6 * (hue - floor(hue));
    for (int c = 0; c < 3; c++) { /* value = most - range max(0, min(k, 4 - k, 1)) with k = (5, 3, 1)[c] + hue mod 6 */
        double k = fmod(5 - 2 * c + hue, 6);
        p[c] = most - range * fmax(0, fmin(fmin(k, 4 - k), 1));
    }
}

static void jitter(double *view, long count, int channels, int what, const sb_view_params *p)
{
    double mean = 0;
    for (long i = 0; i < count && what == 1; i++)
        mean += luma(view + i * channels, channels) / (double)count;
    for (long i = 0; i < count; i++) {
        double *pixel = view + i * channels;
        if (what == 0)
            blend(pixel, channels, 0, p->brightness);
        else if (what == 1)
            blend(pixel, channels, mean, p->contrast);
        else if (what == 2 && channels == 3)
            blend(pixel, channels, luma(pixel, channels), p->saturation);
        else if (what == 3 && channels == 3)
            turn_hue(pixel, p->hue);
    }
}

/* A Gaussian a tenth of the view wide, odd, at least 3; edges reflected. */
static void blur(double *view, int size, int channels, double sigma)
{
    int half = size / 10 / 2 > 1 ? size / 10 / 2 : 1;
    long count = (long)size * size * channels;
    double *copy = malloc((size_t)count * sizeof *copy);
    for (int axis = 0; axis < 2; axis++) {
        memcpy(copy, view, (size_t)count * sizeof *copy);
        for (int y = 0; y < size; y++)
            for (int x = 0; x < size; x++)
                for (int c = 0; c < channels; c++) {
                    double sum = 0, total = 0;
                    for (int k = -half; k <= half; k++) {
                        double weight = exp(-0.5 * pow(k / sigma, 2));
                        int at = abs((axis ? x : y) + k);
                        at = at >= size ? 2 * (size - 1) - at : at;
                        sum += weight * copy[(axis ? (long)y * size + at : (long)at * size + x) * channels + c];
                        total += weight;
                    }
                    view[((long)y * size + x) * channels + c] = sum / total;
                }
    }
    free(copy);
}

double sb_reference_view(const double *tile, int tile_width, int tile_height, int channels, const sb_view_params *p, double *out)
{
    (void)tile_height;
    int size = p->size;
    long count = (long)size * size, row = (long)p->width * channels;
    double *crop = malloc((size_t)(p->height * row) * sizeof *crop), *tall = malloc((size_t)(size * row) * sizeof *tall), nearest = 1;
    for (long y = 0; y < p->height; y++)
        for (long i = 0; i < row; i++)
            crop[y * row + i] = tile[((p->top + y) * tile_width + p->left) * channels + i] / 255;
    resample(crop, 1, p->height, (int)row, size, tall);
    resample(tall, size, p->width, channels, size, out);
    for (long y = 0; y < size && p->flip; y++)
        for (long x = 0; x < size / 2; x++)
            for (int c = 0; c < channels; c++) {
                double *a = out + (y * size + x) * channels + c, *b = out + (y * size + size - 1 - x) * channels + c, kept = *a;
                *a = *b;
                *b = kept;
            }
    for (int k = 0; k < 4 && p->jitter; k++)
        jitter(out, count, channels, p->order[k], p);
    for (long i = 0; i < count && p->grey; i++)
        blend(out + i * channels, channels, luma(out + i * channels, channels), 0);
    if (p->blur > 0)
        blur(out, size, channels, p->blur);
    for (long i = 0; i < count * channels; i++) {
        if (p->solarise < 2) {
            nearest = fmin(nearest, fabs(out[i] - p->solarise));
            out[i] = out[i] >= p->solarise ? 1 - out[i] : out[i];
        }
        out[i] = 255 * clamp(out[i]);
    }
    free(crop);
    free(tall);
    return nearest;
}
