/* norm.c: batch and group normalisation on the CPU (kernels/op/norm.h).
 *
 * Two passes forward (sums; apply) and two backward (sums; apply), each reading every activation once. They
 * go by units: SB_CPU_BLOCK places of a set, of all channels in rows, of one block's channels in blocks; and
 * in a unit by lines, values that lie side by side: a row, or some places where a row or a block is short, so
 * that a line is long enough for vectors. What is known of a channel stands as often as it comes in a line.
 *
 * Each unit sums x - shift and its square in f32, a few lines at a time; the units' sums and then the
 * channels of a group are added in order in f64. The shift is the set's first place, which takes the mean's
 * size out of the squares. */
#include "kernels/cpu/norm.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "kernels/cpu/cpu.h"

/* Channels that lie side by side, and how many such runs there are. */
static size_t run_of(const sb_norm *s) { return (size_t)(s->block ? s->block : s->channels); }
static int runs_of(const sb_norm *s) { return s->channels / (int)run_of(s); }

/* Rows that lie one behind the other. */
static int together(const sb_norm *s) { return s->block ? s->places : s->rows; }

/* How often each channel comes in a line of about LINE values, and the values of a line. */
#define LINE ((size_t)256)
static size_t repeats(const sb_norm *s)
{
    const size_t fit = LINE / run_of(s), places = (size_t)together(s), most = fit < places ? fit : places;
    return most > 1 ? most : 1;
}
static size_t line_of(const sb_norm *s) { return run_of(s) * repeats(s); }
static size_t padded(const sb_norm *s) { return (line_of(s) + 15) / 16 * 16; }

/* Units of rows that lie together, and units of a run in a set. */
static int parts_of(const sb_norm *s) { return (together(s) + SB_CPU_BLOCK - 1) / SB_CPU_BLOCK; }
static int units_of_run(const sb_norm *s) { return s->rows / together(s) * parts_of(s); }
static int units_of(const sb_norm *s) { return s->sets * runs_of(s) * units_of_run(s); }

/* `count` values from element `begin` on. */
typedef struct {
    size_t begin, count;
    size_t mine;  /* where its sums begin */
    size_t known; /* where its channels begin in an array of what is known of them */
} unit;

/* Units are numbered set by set, run by run, image by image. */
static unit unit_of(const sb_norm *s, int number)
{
    const int of_run = units_of_run(s), parts = parts_of(s), part = number % of_run % parts;
    const size_t image = (size_t)(number % of_run / parts), run = (size_t)(number / of_run % runs_of(s)),
                 set = (size_t)(number / of_run / runs_of(s)), runs = (size_t)runs_of(s),
                 images = (size_t)(s->rows / together(s)), rows = (size_t)together(s),
                 first = (size_t)part * SB_CPU_BLOCK, left = rows - first;
    return (unit){ .begin = (((set * images + image) * runs + run) * rows + first) * run_of(s),
                   .count = (left < SB_CPU_BLOCK ? left : SB_CPU_BLOCK) * run_of(s),
                   .mine = (size_t)number * padded(s),
                   .known = (set * runs + run) * padded(s) };
}

/* Values of the line that begins `done` values behind the unit's first. */
static int values(const sb_norm *s, const unit *u, size_t done)
{
    const size_t left = u->count - done, line = line_of(s);
    return (int)(left < line ? left : line);
}

/* Floats of what is known of a set's channels, and where a channel stands there first; it comes again
 * run_of(s) behind that. */
static size_t set_width(const sb_norm *s) { return (size_t)runs_of(s) * padded(s); }
static size_t channel_at(const sb_norm *s, int set, int channel)
{
    const size_t run = run_of(s), c = (size_t)channel;
    return (size_t)set * set_width(s) + c / run * padded(s) + c % run;
}

static void set_known(const sb_norm *s, float *known, size_t at, float value)
{
    for (size_t k = 0; k < repeats(s); k++)
        known[at + k * run_of(s)] = value;
}

/* What a call works in. */
typedef struct {
    int threads;
    float *first, *second;             /* [units, line]: sums */
    float *shift;                      /* [sets, runs, line], as all that follow: known of channels */
    float *scale, *offset;             /* what normalising does: x scale + offset */
    float *inverse, *mean;             /* backward: 1 / deviation, in the shift's place */
    float *from_g, *from_x, *constant; /* dx = g from_g + x from_x + constant */
    double *sum, *sum_more;            /* [sets, channels]: of `first` and of `second` */
    float *few;                        /* [threads, 2, line]: sums */
} work;

#define KNOWN 7

size_t sb_cpu_norm_scratch(int threads, const sb_norm *s)
{
    return (((size_t)units_of(s) + (size_t)threads) * 2 * padded(s) +
            (size_t)s->sets * KNOWN * set_width(s)) *
               sizeof(float) +
           2 * (size_t)s->sets * (size_t)s->channels * sizeof(double);
}

static work lay_out_work(int threads, const sb_norm *s, void *memory)
{
    size_t many = (size_t)units_of(s) * padded(s), all = (size_t)s->sets * set_width(s);
    float *each = memory, *set = each + 2 * many;
    double *sums = (double *)(void *)(set + KNOWN * all);
    return (work){ .threads = threads,
                   .first = each,
                   .second = each + many,
                   .shift = set,
                   .inverse = set,
                   .scale = set + all,
                   .offset = set + 2 * all,
                   .from_g = set + 3 * all,
                   .from_x = set + 4 * all,
                   .constant = set + 5 * all,
                   .mean = set + 6 * all,
                   .sum = sums,
                   .sum_more = sums + (size_t)s->sets * (size_t)s->channels,
                   .few = (float *)(void *)(sums + 2 * (size_t)s->sets * (size_t)s->channels) };
}

/* Those of the thread that calls. */
static float *few_of(const sb_norm *s, const work *w)
{
    return w->few + (size_t)omp_get_thread_num() * 2 * padded(s);
}

/* To the sums over the units of each set, in order: of a unit's line, each channel. */
static void fold(const sb_norm *s, const float *partial, double *sums)
{
    const size_t run = run_of(s), runs = (size_t)runs_of(s), units = (size_t)units_of_run(s),
                 width = padded(s), often = repeats(s);
#pragma omp parallel for schedule(static) if (s->sets > 1)
    for (size_t r = 0; r < (size_t)s->sets * runs; r++) {
        double *to = sums + r * run;
        memset(to, 0, run * sizeof *to);
        for (size_t k = r * units * often; k < (r + 1) * units * often; k++) {
            const float *from = partial + k / often * width + k % often * run;
#pragma omp simd
            for (size_t i = 0; i < run; i++)
                to[i] += from[i];
        }
    }
}

/* What normalising with these statistics [sets, 2, groups] does to a row. */
static void set_affine(const sb_norm *s, const sb_call *call, const float *statistics, const work *w)
{
    const float *gamma = call->w[0], *beta = call->w[1];
    const int group = s->channels / s->groups;
#pragma omp parallel for schedule(static) if (s->sets > 1)
    for (int set = 0; set < s->sets; set++) {
        const float *mean = statistics + (size_t)set * 2 * (size_t)s->groups, *variance = mean + s->groups;
        for (int i = 0; i < s->channels; i++) {
            const size_t at = channel_at(s, set, i);
            const float scale = (gamma ? gamma[i] : 1.0f) / sqrtf(variance[i / group] + s->epsilon);
            set_known(s, w->scale, at, scale);
            set_known(s, w->offset, at, (beta ? beta[i] : 0.0f) - mean[i / group] * scale);
        }
    }
}

/* ---- passes -------------------------------------------------------------------------------------------- */

/* Calls a pass over a unit with the type as a constant. */
#define BY_TYPE(type, pass, ...)        \
    do {                                \
        if ((type) == SB_F32)           \
            pass(SB_F32, __VA_ARGS__);  \
        else if ((type) == SB_BF16)     \
            pass(SB_BF16, __VA_ARGS__); \
        else                            \
            pass(SB_F16, __VA_ARGS__);  \
    } while (0)

/* Lines whose sums are taken alone: 256 numbers in a row would lose more digits. */
#define FEW 16

/* ---- forward ------------------------------------------------------------------------------------------- */

/* The first place of each set. */
static void take_shift(const sb_norm *s, const void *x, const work *w)
{
    const size_t run = run_of(s), rows = (size_t)together(s), images = (size_t)(s->rows / together(s));
    for (int set = 0; set < s->sets; set++)
        for (int i = 0; i < s->channels; i++) {
            const size_t image = (size_t)set * images, c = (size_t)i,
                         at = (image * (size_t)runs_of(s) + c / run) * rows * run + c % run;
            set_known(s, w->shift, channel_at(s, set, i), sb_cpu_load(x, s->type, at));
        }
}

/* Adds to the sums of a unit those of a few of its lines, which begin anew. */
static void add_few(size_t count, float *sum, float *more, float *few, float *few_more)
{
#pragma omp simd
    for (size_t i = 0; i < count; i++) {
        sum[i] += few[i];
        more[i] += few_more[i];
        few[i] = few_more[i] = 0;
    }
}

/* Sums of x - shift and of its square. type: a constant where it is inlined. */
INLINE void add_line(sb_type type, const void *x, size_t at, int count, const float *shift, float *sum,
                     float *square)
{
#pragma omp simd
    for (int i = 0; i < count; i++) {
        const float d = sb_cpu_load(x, type, at + (size_t)i) - shift[i];
        sum[i] += d;
        square[i] += d * d;
    }
}

INLINE void sum_unit(sb_type type, const sb_norm *s, const void *x, const work *w, const unit *u)
{
    const size_t line = line_of(s);
    float *sum = w->first + u->mine, *square = w->second + u->mine, *few = few_of(s, w),
          *few_squares = few + padded(s);
    memset(sum, 0, line * sizeof *sum);
    memset(square, 0, line * sizeof *square);
    memset(few, 0, 2 * padded(s) * sizeof *few);
    for (size_t done = 0, lines = 1; done < u->count; done += line, lines++) {
        add_line(type, x, u->begin + done, values(s, u, done), w->shift + u->known, few, few_squares);
        if (lines % FEW == 0)
            add_few(line, sum, square, few, few_squares);
    }
    add_few(line, sum, square, few, few_squares);
}

static void forward_sums(const sb_norm *s, const void *x, const work *w)
{
    const int units = units_of(s);
#pragma omp parallel for schedule(static) num_threads(w->threads)
    for (int n = 0; n < units; n++) {
        const unit u = unit_of(s, n);
        BY_TYPE(s->type, sum_unit, s, x, w, &u);
    }
}

/* Mean and biased variance of a group: the channels', and how far their means are apart. */
static void fold_group(const sb_norm *s, const work *w, int set, int group, float *mean, float *variance)
{
    const int size = s->channels / s->groups, first = group * size;
    const double *sum = w->sum + (size_t)set * (size_t)s->channels,
                 *squares = w->sum_more + (size_t)set * (size_t)s->channels;
    double all = 0, total = 0;
    for (int i = first; i < first + size; i++)
        all += w->shift[channel_at(s, set, i)] + sum[i] / s->rows;
    all /= size;
    for (int i = first; i < first + size; i++) {
        double m = sum[i] / s->rows, apart = w->shift[channel_at(s, set, i)] + m - all;
        total += squares[i] / s->rows - m * m + apart * apart;
    }
    *mean = (float)all;
    *variance = (float)(total <= 0 ? 0 : total / size); /* NaN stays, here and below */
}

static void forward_fold(const sb_norm *s, const work *w, float *statistics)
{
    fold(s, w->first, w->sum);
    fold(s, w->second, w->sum_more);
#pragma omp parallel for schedule(static) if (s->sets > 1)
    for (int set = 0; set < s->sets; set++) {
        float *mean = statistics + (size_t)set * 2 * (size_t)s->groups;
        for (int g = 0; g < s->groups; g++)
            fold_group(s, w, set, g, &mean[g], &mean[s->groups + g]);
    }
}

/* y = relu?(x scale + offset + residual?). relu, residual: constants, as the type. */
INLINE void apply_line(sb_type type, bool relu, bool residual, const sb_call *call, size_t at, int count,
                       const float *scale, const float *offset)
{
#pragma omp simd
    for (int i = 0; i < count; i++) {
        float y = sb_cpu_load(call->x[0], type, at + (size_t)i) * scale[i] + offset[i];
        if (residual)
            y += sb_cpu_load(call->x[1], type, at + (size_t)i);
        if (relu)
            y = y <= 0 ? 0 : y;
        sb_cpu_store(call->y, type, at + (size_t)i, y);
    }
}

INLINE void apply_unit(sb_type type, const sb_norm *s, const sb_call *call, const work *w, const unit *u)
{
    const float *scale = w->scale + u->known, *offset = w->offset + u->known;
    for (size_t done = 0; done < u->count; done += line_of(s)) {
        const size_t at = u->begin + done;
        const int count = values(s, u, done);
        if (s->relu && s->residual)
            apply_line(type, true, true, call, at, count, scale, offset);
        else if (s->relu)
            apply_line(type, true, false, call, at, count, scale, offset);
        else if (s->residual)
            apply_line(type, false, true, call, at, count, scale, offset);
        else
            apply_line(type, false, false, call, at, count, scale, offset);
    }
}

static void forward_apply(const sb_norm *s, const sb_call *call, const work *w)
{
    const int units = units_of(s);
#pragma omp parallel for schedule(static)
    for (int n = 0; n < units; n++) {
        const unit u = unit_of(s, n);
        BY_TYPE(s->type, apply_unit, s, call, w, &u);
    }
}

void sb_cpu_norm_forward(int threads, const sb_norm *s, const sb_call *call, const float *given)
{
    work w = lay_out_work(threads, s, call->scratch);
    if (!given) {
        take_shift(s, call->x[0], &w);
        forward_sums(s, call->x[0], &w);
        forward_fold(s, &w, call->aux);
    }
    set_affine(s, call, given ? given : call->aux, &w);
    forward_apply(s, call, &w);
}

/* ---- backward ------------------------------------------------------------------------------------------ */

/* How g, the gradient that reaches the normalised value, is told from dy: it is dy itself; or dy where the
 * ReLU let it through, which y tells, or, where there was no residual, the values of x: the sign of
 * x scale + offset, as forward computed it. */
typedef enum { IS_DY, BY_Y, BY_X } passing;

static passing passing_of(const sb_norm *s) { return !s->relu ? IS_DY : s->residual ? BY_Y : BY_X; }

/* g of one value. how: a constant, as the type. Chosen by bits: a branch would take the loop its vectors. */
INLINE float passed(sb_type type, passing how, const sb_call *call, size_t at, float x, float scale,
                    float offset)
{
    sb_float_bits g = { .f = sb_cpu_load(call->dy, type, at) };
    if (how != IS_DY)
        g.u &= (how == BY_Y ? sb_cpu_load(call->y, type, at) : x * scale + offset) <= 0 ? 0 : UINT32_MAX;
    return g.f;
}

/* Mean and 1 / deviation of each channel. */
static void spread_statistics(const sb_norm *s, const float *statistics, const work *w)
{
    const int group = s->channels / s->groups;
#pragma omp parallel for schedule(static) if (s->sets > 1)
    for (int set = 0; set < s->sets; set++) {
        const float *mean = statistics + (size_t)set * 2 * (size_t)s->groups, *variance = mean + s->groups;
        for (int i = 0; i < s->channels; i++) {
            const size_t at = channel_at(s, set, i);
            set_known(s, w->mean, at, mean[i / group]);
            set_known(s, w->inverse, at, 1.0f / sqrtf(variance[i / group] + s->epsilon));
        }
    }
}

/* Sums of g and of g (x - mean). how: a constant, as the type. */
INLINE void add_products(sb_type type, passing how, const sb_call *call, size_t at, int count, const work *w,
                         const unit *u, float *sum, float *product)
{
    const float *mean = w->mean + u->known, *scale = w->scale + u->known, *offset = w->offset + u->known;
#pragma omp simd
    for (int i = 0; i < count; i++) {
        const float x = sb_cpu_load(call->x[0], type, at + (size_t)i),
                    g = passed(type, how, call, at + (size_t)i, x, scale[i], offset[i]);
        sum[i] += g;
        product[i] += g * (x - mean[i]);
    }
}

/* The residual's gradient is g. how: IS_DY or BY_Y, since there is a residual. */
INLINE void give_residual(sb_type type, passing how, const sb_call *call, size_t at, int count)
{
    void *dx = call->dx[1];
    const bool add = call->add[1];
#pragma omp simd
    for (int i = 0; i < count; i++) {
        const float g = passed(type, how, call, at + (size_t)i, 0, 0, 0);
        sb_cpu_store(dx, type, at + (size_t)i, add ? g + sb_cpu_load(dx, type, at + (size_t)i) : g);
    }
}

/* Sums of a unit, and the residual's gradient of each line while it is in the cache. */
INLINE void product_lines(sb_type type, passing how, const sb_norm *s, const sb_call *call, const work *w,
                          const unit *u, float *sum, float *product)
{
    const size_t line = line_of(s);
    float *few = few_of(s, w), *few_products = few + padded(s);
    memset(few, 0, 2 * padded(s) * sizeof *few);
    for (size_t done = 0, lines = 1; done < u->count; done += line, lines++) {
        const size_t at = u->begin + done;
        const int count = values(s, u, done);
        add_products(type, how, call, at, count, w, u, few, few_products);
        if (how != BY_X && call->dx[1])
            give_residual(type, how, call, at, count);
        if (lines % FEW == 0)
            add_few(line, sum, product, few, few_products);
    }
    add_few(line, sum, product, few, few_products);
}

INLINE void product_unit(sb_type type, const sb_norm *s, const sb_call *call, const work *w, const unit *u)
{
    const passing how = passing_of(s);
    const size_t line = line_of(s);
    const float *inverse = w->inverse + u->known;
    float *sum = w->first + u->mine, *product = w->second + u->mine;
    memset(sum, 0, line * sizeof *sum);
    memset(product, 0, line * sizeof *product);
    if (how == IS_DY)
        product_lines(type, IS_DY, s, call, w, u, sum, product);
    else if (how == BY_Y)
        product_lines(type, BY_Y, s, call, w, u, sum, product);
    else
        product_lines(type, BY_X, s, call, w, u, sum, product);
#pragma omp simd
    for (size_t i = 0; i < line; i++)
        product[i] *= inverse[i];
}

/* Sums of g and of g xhat. g is the residual's gradient. */
static void backward_sums(const sb_norm *s, const sb_call *call, const work *w)
{
    const int units = units_of(s);
#pragma omp parallel for schedule(static) num_threads(w->threads)
    for (int n = 0; n < units; n++) {
        const unit u = unit_of(s, n);
        BY_TYPE(s->type, product_unit, s, call, w, &u);
    }
    fold(s, w->first, w->sum);
    fold(s, w->second, w->sum_more);
}

/* dx = inverse (gamma g - mean(gamma g) - xhat mean(gamma g xhat)), with means over the group, as g from_g +
 * x from_x + constant. */
static void backward_fold(const sb_norm *s, const sb_call *call, const work *w)
{
    const float *gamma = call->w[0];
    const int size = s->channels / s->groups;
#pragma omp parallel for schedule(static) if (s->sets > 1)
    for (int set = 0; set < s->sets; set++)
        for (int first = 0; first < s->channels; first += size) {
            double sum = 0, product = 0, count = (double)s->rows * size;
            for (int i = first; i < first + size; i++) {
                const double factor = gamma ? gamma[i] : 1;
                sum += factor * w->sum[(size_t)set * (size_t)s->channels + (size_t)i];
                product += factor * w->sum_more[(size_t)set * (size_t)s->channels + (size_t)i];
            }
            for (int i = first; i < first + size; i++) {
                const size_t at = channel_at(s, set, i);
                const double inverse = w->inverse[at], along = inverse * inverse * product / count;
                set_known(s, w->from_g, at, (float)((gamma ? gamma[i] : 1) * inverse));
                set_known(s, w->from_x, at, (float)-along);
                set_known(s, w->constant, at, (float)(along * w->mean[at] - inverse * sum / count));
            }
        }
}

static void give_weights(const sb_norm *s, const sb_call *call, const work *w)
{
    float *dgamma = call->dw[0], *dbeta = call->dw[1];
    for (int i = 0; i < s->channels; i++) {
        double sum = 0, product = 0;
        for (int set = 0; set < s->sets; set++) {
            sum += w->sum[(size_t)set * (size_t)s->channels + (size_t)i];
            product += w->sum_more[(size_t)set * (size_t)s->channels + (size_t)i];
        }
        if (dgamma)
            dgamma[i] += (float)product;
        if (dbeta)
            dbeta[i] += (float)sum;
    }
}

/* dx of a line. dy of the call is what g is told from. */
INLINE void give_line(sb_type type, passing how, bool add, const sb_call *call, size_t at, int count,
                      const work *w, size_t known)
{
    const float *from_g = w->from_g + known, *from_x = w->from_x + known, *constant = w->constant + known,
                *scale = w->scale + known, *offset = w->offset + known;
    void *dx = call->dx[0];
#pragma omp simd
    for (int i = 0; i < count; i++) {
        const size_t here = at + (size_t)i;
        const float x = sb_cpu_load(call->x[0], type, here),
                    g = passed(type, how, call, here, x, scale[i], offset[i]),
                    value = g * from_g[i] + x * from_x[i] + constant[i];
        sb_cpu_store(dx, type, here, add ? value + sb_cpu_load(dx, type, here) : value);
    }
}

INLINE void give_unit(sb_type type, const sb_norm *s, const sb_call *call, passing how, const work *w,
                      const unit *u)
{
    const bool add = call->add[0];
    for (size_t done = 0; done < u->count; done += line_of(s)) {
        const size_t at = u->begin + done;
        const int count = values(s, u, done);
        if (how == IS_DY)
            give_line(type, IS_DY, add, call, at, count, w, u->known);
        else if (how == BY_Y)
            give_line(type, BY_Y, add, call, at, count, w, u->known);
        else
            give_line(type, BY_X, add, call, at, count, w, u->known);
    }
}

/* g is read where the first pass wrote it alone, as the residual's gradient; else it is computed again. */
static void backward_apply(const sb_norm *s, const sb_call *call, const work *w)
{
    const int units = units_of(s);
    const bool kept = call->dx[1] && !call->add[1];
    const passing how = kept ? IS_DY : passing_of(s);
    sb_call from = *call;
    from.dy = kept ? call->dx[1] : call->dy;
#pragma omp parallel for schedule(static)
    for (int n = 0; n < units; n++) {
        const unit u = unit_of(s, n);
        BY_TYPE(s->type, give_unit, s, &from, how, w, &u);
    }
}

void sb_cpu_norm_backward(int threads, const sb_norm *s, const sb_call *call)
{
    work w = lay_out_work(threads, s, call->scratch);
    set_affine(s, call, call->aux, &w);
    spread_statistics(s, call->aux, &w);
    backward_sums(s, call, &w);
    give_weights(s, call, &w);
    if (!call->dx[0])
        return;
    backward_fold(s, call, &w);
    backward_apply(s, call, &w);
}

/* dx = g scale, and the residual's gradient: both of a value at once, since either may lie over dy or y. how:
 * a constant, as the type. */
INLINE void give_scaled(sb_type type, passing how, const sb_call *call, size_t at, int count,
                        const float *scale)
{
    void *dx = call->dx[0], *residual = call->dx[1];
    const bool add = call->add[0], add_residual = call->add[1];
#pragma omp simd
    for (int i = 0; i < count; i++) {
        const size_t here = at + (size_t)i;
        const float g = passed(type, how, call, here, 0, 0, 0), value = g * scale[i];
        if (residual)
            sb_cpu_store(residual, type, here, add_residual ? g + sb_cpu_load(residual, type, here) : g);
        if (dx)
            sb_cpu_store(dx, type, here, add ? value + sb_cpu_load(dx, type, here) : value);
    }
}

/* y tells what the ReLU let through, with a residual or without. */
INLINE void scaled_unit(sb_type type, const sb_norm *s, const sb_call *call, const work *w, const unit *u)
{
    for (size_t done = 0; done < u->count; done += line_of(s)) {
        const int count = values(s, u, done);
        if (s->relu)
            give_scaled(type, BY_Y, call, u->begin + done, count, w->scale + u->known);
        else
            give_scaled(type, IS_DY, call, u->begin + done, count, w->scale + u->known);
    }
}

void sb_cpu_norm_backward_given(int threads, const sb_norm *s, const sb_call *call, const float *given)
{
    work w = lay_out_work(threads, s, call->scratch);
    const int units = units_of(s);
    set_affine(s, call, given, &w);
#pragma omp parallel for schedule(static)
    for (int n = 0; n < units; n++) {
        const unit u = unit_of(s, n);
        BY_TYPE(s->type, scaled_unit, s, call, &w, &u);
    }
}
