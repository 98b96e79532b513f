/* norm.c: batch and group normalisation on the CPU (kernels/op/norm.h).
 *
 * Two passes forward (sums; apply) and two backward (sums; apply), each reading every activation once. They
 * go by units: SB_CPU_BLOCK places of a set, of all channels in rows, of one block's channels in blocks; and
 * in a unit by lines, values that lie side by side: a row, or some places of a block, so that a line is long
 * enough for vectors either way. What is known of a channel stands as often as it comes in a line.
 *
 * Each unit sums x - shift and its square in f32, a few lines at a time; the units' sums and then the
 * channels of a group are added in order in f64. The shift is the set's first place, which takes the mean's
 * size out of the squares. */
#include "kernels/cpu/norm.h"

#include <math.h>
#include <string.h>

#include "kernels/cpu/cpu.h"

#define PLACES 8 /* of a block, in a line */

/* Channels that lie side by side, how often each comes in a line, and how many such runs there are. */
static size_t run_of(const sb_norm *s) { return (size_t)(s->block ? s->block : s->channels); }
static size_t repeats(const sb_norm *s) { return s->block ? PLACES : 1; }
static int runs_of(const sb_norm *s) { return s->channels / (int)run_of(s); }

static size_t line_of(const sb_norm *s) { return run_of(s) * repeats(s); }
static size_t padded(const sb_norm *s) { return (line_of(s) + 15) / 16 * 16; }

/* Rows that lie one behind the other; units of them; and units of a run in a set. */
static int together(const sb_norm *s) { return s->block ? s->places : s->rows; }
static int parts_of(const sb_norm *s) { return (together(s) + SB_CPU_BLOCK - 1) / SB_CPU_BLOCK; }
static int units_of_run(const sb_norm *s) { return s->rows / together(s) * parts_of(s); }
static int units_of(const sb_norm *s) { return s->sets * runs_of(s) * units_of_run(s); }

/* `count` values from element `begin` on. */
typedef struct {
    size_t begin, count;
    size_t mine;  /* where its sums and lines begin */
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
    float *first, *second;             /* [units, line]: sums */
    float *a, *b, *c;                  /* [units, line]: lines of each unit's own */
    float *shift;                      /* [sets, runs, line], as all that follow: known of channels */
    float *scale, *offset;             /* what normalising does: x scale + offset */
    float *inverse, *mean;             /* backward: 1 / deviation, in the shift's place */
    float *from_g, *from_x, *constant; /* dx = g from_g + x from_x + constant */
} work;

#define FEW 16 /* lines whose sums are taken alone */
#define UNIT_LINES 5
#define KNOWN 7

size_t sb_cpu_norm_scratch(const sb_norm *s)
{
    return ((size_t)units_of(s) * UNIT_LINES * padded(s) + (size_t)s->sets * KNOWN * set_width(s)) *
           sizeof(float);
}

static work lay_out_work(const sb_norm *s, void *memory)
{
    size_t many = (size_t)units_of(s) * padded(s), all = (size_t)s->sets * set_width(s);
    float *each = memory, *set = each + UNIT_LINES * many;
    return (work){ .first = each,
                   .second = each + many,
                   .a = each + 2 * many,
                   .b = each + 3 * many,
                   .c = each + 4 * many,
                   .shift = set,
                   .inverse = set,
                   .scale = set + all,
                   .offset = set + 2 * all,
                   .from_g = set + 3 * all,
                   .from_x = set + 4 * all,
                   .constant = set + 5 * all,
                   .mean = set + 6 * all };
}

/* The sum of a channel over the units of a set, in order. */
static double fold(const sb_norm *s, const float *partial, int set, int channel)
{
    const size_t run = run_of(s), width = padded(s), units = (size_t)units_of_run(s),
                 first = ((size_t)set * (size_t)runs_of(s) + (size_t)channel / run) * units;
    double sum = 0;
    for (size_t u = first; u < first + units; u++)
        for (size_t k = 0; k < repeats(s); k++)
            sum += partial[u * width + k * run + (size_t)channel % run];
    return sum;
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

/* Adds to the sums of a unit those of a few of its lines, which begin anew: 256 numbers in a row would lose
 * more digits. */
static void add_few(int count, float *sum, float *more, float *few, float *few_more)
{
#pragma omp simd
    for (int i = 0; i < count; i++) {
        sum[i] += few[i];
        more[i] += few_more[i];
        few[i] = few_more[i] = 0;
    }
}

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

static void forward_sums(const sb_norm *s, const void *x, const work *w)
{
    const int units = units_of(s), line = (int)line_of(s);
    const size_t bytes = (size_t)line * sizeof(float);
#pragma omp parallel for schedule(static)
    for (int n = 0; n < units; n++) {
        const unit u = unit_of(s, n);
        const float *shift = w->shift + u.known;
        float *sum = w->first + u.mine, *square = w->second + u.mine, *buffer = w->a + u.mine;
        float *few = w->b + u.mine, *few_squares = w->c + u.mine;
        memset(sum, 0, bytes);
        memset(square, 0, bytes);
        memset(few, 0, bytes);
        memset(few_squares, 0, bytes);
        int lines = 0;
        for (size_t done = 0; done < u.count; done += (size_t)line) {
            const int count = values(s, &u, done);
            const float *row = sb_cpu_row(x, s->type, u.begin + done, count, buffer);
#pragma omp simd
            for (int i = 0; i < count; i++) {
                float d = row[i] - shift[i];
                few[i] += d;
                few_squares[i] += d * d;
            }
            if (++lines % FEW == 0)
                add_few(line, sum, square, few, few_squares);
        }
        add_few(line, sum, square, few, few_squares);
    }
}

/* Mean and biased variance of a group: the channels', and how far their means are apart. */
static void fold_group(const sb_norm *s, const work *w, int set, int group, float *mean, float *variance)
{
    const int size = s->channels / s->groups, first = group * size;
    double all = 0, total = 0;
    for (int i = first; i < first + size; i++)
        all += w->shift[channel_at(s, set, i)] + fold(s, w->first, set, i) / s->rows;
    all /= size;
    for (int i = first; i < first + size; i++) {
        double m = fold(s, w->first, set, i) / s->rows, apart = w->shift[channel_at(s, set, i)] + m - all;
        total += fold(s, w->second, set, i) / s->rows - m * m + apart * apart;
    }
    *mean = (float)all;
    *variance = (float)(total <= 0 ? 0 : total / size); /* NaN stays, here and below */
}

static void forward_fold(const sb_norm *s, const work *w, float *statistics)
{
#pragma omp parallel for schedule(static) if (s->sets > 1)
    for (int set = 0; set < s->sets; set++) {
        float *mean = statistics + (size_t)set * 2 * (size_t)s->groups;
        for (int g = 0; g < s->groups; g++)
            fold_group(s, w, set, g, &mean[g], &mean[s->groups + g]);
    }
}

/* y = relu?(x scale + offset + residual?) */
static void forward_apply(const sb_norm *s, const sb_call *call, const work *w)
{
    const int units = units_of(s);
#pragma omp parallel for schedule(static)
    for (int n = 0; n < units; n++) {
        const unit u = unit_of(s, n);
        const float *scale = w->scale + u.known, *offset = w->offset + u.known;
        float *buffer = w->a + u.mine, *second = w->b + u.mine;
        for (size_t done = 0; done < u.count; done += line_of(s)) {
            const size_t at = u.begin + done;
            const int count = values(s, &u, done);
            const float *row = sb_cpu_row(call->x[0], s->type, at, count, buffer);
            float *y = sb_cpu_row_to(call->y, s->type, at, false, buffer);
            if (s->residual) {
                const float *other = sb_cpu_row(call->x[1], s->type, at, count, second);
#pragma omp simd
                for (int i = 0; i < count; i++)
                    y[i] = row[i] * scale[i] + offset[i] + other[i];
            } else {
#pragma omp simd
                for (int i = 0; i < count; i++)
                    y[i] = row[i] * scale[i] + offset[i];
            }
            if (s->relu) {
#pragma omp simd
                for (int i = 0; i < count; i++)
                    y[i] = y[i] <= 0 ? 0 : y[i];
            }
            if (y == buffer)
                sb_cpu_store_row(call->y, s->type, at, count, y);
        }
    }
}

void sb_cpu_norm_forward(const sb_norm *s, const sb_call *call, const float *given)
{
    work w = lay_out_work(s, call->scratch);
    if (!given) {
        take_shift(s, call->x[0], &w);
        forward_sums(s, call->x[0], &w);
        forward_fold(s, &w, call->aux);
    }
    set_affine(s, call, given ? given : call->aux, &w);
    forward_apply(s, call, &w);
}

/* ---- backward ------------------------------------------------------------------------------------------ */

/* g, the gradient that reaches the normalised value: dy where the ReLU let it through, which y tells, or,
 * where there was no residual, the values of x: the sign of x scale + offset, as forward computed it. Where
 * there is no ReLU it is dy itself, where that lies, or in `g`. */
static const float *masked_line(const sb_norm *s, const sb_call *call, const float *scale,
                                const float *offset, const float *row, size_t at, int count, float *g,
                                float *buffer)
{
    const float *dy = sb_cpu_row(call->dy, s->type, at, count, g);
    if (!s->relu)
        return dy;
    if (s->residual) {
        const float *y = sb_cpu_row(call->y, s->type, at, count, buffer);
#pragma omp simd
        for (int i = 0; i < count; i++)
            g[i] = y[i] <= 0 ? 0 : dy[i];
    } else {
#pragma omp simd
        for (int i = 0; i < count; i++)
            g[i] = row[i] * scale[i] + offset[i] <= 0 ? 0 : dy[i];
    }
    return g;
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

/* Gives a gradient the values of a line, which may stay where they are. */
static void give_line(void *dx, sb_type type, size_t at, int count, const float *line, bool add)
{
    if (!add) {
        sb_cpu_store_row(dx, type, at, count, line);
        return;
    }
    for (int i = 0; i < count; i++)
        sb_cpu_store(dx, type, at + (size_t)i, line[i] + sb_cpu_load(dx, type, at + (size_t)i));
}

/* Sums of g and of g xhat. g is the residual's gradient. */
static void backward_sums(const sb_norm *s, const sb_call *call, const work *w)
{
    const int units = units_of(s);
    const size_t bytes = line_of(s) * sizeof(float);
#pragma omp parallel for schedule(static)
    for (int n = 0; n < units; n++) {
        const unit u = unit_of(s, n);
        const float *mean = w->mean + u.known, *inverse = w->inverse + u.known;
        float *sum = w->first + u.mine, *product = w->second + u.mine;
        memset(sum, 0, bytes);
        memset(product, 0, bytes);
        for (size_t done = 0; done < u.count; done += line_of(s)) {
            const size_t at = u.begin + done;
            const int count = values(s, &u, done);
            const float *row = sb_cpu_row(call->x[0], s->type, at, count, w->c + u.mine);
            const float *g = masked_line(s, call, w->scale + u.known, w->offset + u.known, row, at, count,
                                         w->a + u.mine, w->b + u.mine);
#pragma omp simd
            for (int i = 0; i < count; i++) {
                sum[i] += g[i];
                product[i] += g[i] * ((row[i] - mean[i]) * inverse[i]);
            }
            if (call->dx[1])
                give_line(call->dx[1], s->type, at, count, g, call->add[1]);
        }
    }
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
                sum += factor * fold(s, w->first, set, i);
                product += factor * fold(s, w->second, set, i);
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
            sum += fold(s, w->first, set, i);
            product += fold(s, w->second, set, i);
        }
        if (dgamma)
            dgamma[i] += (float)product;
        if (dbeta)
            dbeta[i] += (float)sum;
    }
}

/* g is read where the first pass wrote it alone, as the residual's gradient; else it is computed again. */
static void backward_apply(const sb_norm *s, const sb_call *call, const work *w)
{
    const int units = units_of(s);
    const void *kept = call->add[1] ? NULL : call->dx[1];
#pragma omp parallel for schedule(static)
    for (int n = 0; n < units; n++) {
        const unit u = unit_of(s, n);
        const float *from_g = w->from_g + u.known, *from_x = w->from_x + u.known,
                    *constant = w->constant + u.known;
        float *buffer = w->a + u.mine;
        for (size_t done = 0; done < u.count; done += line_of(s)) {
            const size_t at = u.begin + done;
            const int count = values(s, &u, done);
            const float *row = sb_cpu_row(call->x[0], s->type, at, count, w->c + u.mine);
            const float *g = kept ? sb_cpu_row(kept, s->type, at, count, buffer)
                                  : masked_line(s, call, w->scale + u.known, w->offset + u.known, row, at,
                                                count, buffer, w->b + u.mine);
            float *dx = sb_cpu_row_to(call->dx[0], s->type, at, call->add[0], buffer);
#pragma omp simd
            for (int i = 0; i < count; i++)
                dx[i] = g[i] * from_g[i] + row[i] * from_x[i] + constant[i];
            if (dx == buffer)
                sb_cpu_give_row(call->dx[0], s->type, at, count, dx, call->add[0]);
        }
    }
}

void sb_cpu_norm_backward(const sb_norm *s, const sb_call *call)
{
    work w = lay_out_work(s, call->scratch);
    set_affine(s, call, call->aux, &w);
    spread_statistics(s, call->aux, &w);
    backward_sums(s, call, &w);
    give_weights(s, call, &w);
    if (!call->dx[0])
        return;
    backward_fold(s, call, &w);
    backward_apply(s, call, &w);
}

void sb_cpu_norm_backward_given(const sb_norm *s, const sb_call *call, const float *given)
{
    work w = lay_out_work(s, call->scratch);
    const int units = units_of(s);
    set_affine(s, call, given, &w);
#pragma omp parallel for schedule(static)
    for (int n = 0; n < units; n++) {
        const unit u = unit_of(s, n);
        const float *scale = w.scale + u.known;
        float *buffer = w.a + u.mine, *second = w.b + u.mine;
        for (size_t done = 0; done < u.count; done += line_of(s)) {
            const size_t at = u.begin + done;
            const int count = values(s, &u, done);
            const float *g = sb_cpu_row(call->dy, s->type, at, count, buffer);
            if (s->relu) {
                const float *y = sb_cpu_row(call->y, s->type, at, count, second);
#pragma omp simd
                for (int i = 0; i < count; i++)
                    buffer[i] = y[i] <= 0 ? 0 : g[i];
                g = buffer;
            }
#pragma omp simd
            for (int i = 0; i < count; i++)
                second[i] = g[i] * scale[i];
            if (call->dx[1])
                give_line(call->dx[1], s->type, at, count, g, call->add[1]);
            if (call->dx[0])
                give_line(call->dx[0], s->type, at, count, second, call->add[0]);
        }
    }
}
