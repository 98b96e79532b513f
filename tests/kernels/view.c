/* view.c: views of a tile, several of one tile in a call: at most half a level (the rounding) and a hundredth
 * (the arithmetic) from the reference. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/op/view.h"
#include "tests/kernels/cases.h"

#define VIEWS_MAX 3

typedef struct {
    int width, height, channels, views;
    sb_view_params params[VIEWS_MAX];
} parameters;

enum { TILE, OUT };

static const parameters *of(const sb_trial *t) { return t->parameters; }

/* Noise over waves, so that colours are strong, and black, white and grey places. */
static void prepare(sb_trial *t)
{
    const parameters *p = of(t);
    size_t count = (size_t)p->width * (size_t)p->height * (size_t)p->channels;
    sb_array *tile = sb_array_add(t, "tile", SB_ARRAY_U8, SB_ARRAY_GIVEN, count);
    for (size_t i = 0; i < count; i++) {
        size_t pixel = i / (size_t)p->channels;
        double place = (double)pixel, phase = 2 * (double)(i % (size_t)p->channels);
        double x = fmod(place, p->width) / p->width, y = place / p->width / p->height;
        double value = 140 + 160 * sin(9 * x + phase) * cos(7 * y - phase) +
                       40 * ((double)sb_random_uniform(&t->random) - 0.5);
        tile->value[i] = floor(fmin(fmax(x > 0.9 ? 255 * y : value, 0), 255));
    }
    for (int k = 0; k < p->views; k++) {
        size_t size = (size_t)p->params[k].size;
        sb_array_add(t, "view", SB_ARRAY_U8, SB_ARRAY_WRITTEN, size * size * (size_t)p->channels);
        const sb_view_params *v = &p->params[k];
        const sb_cost cost = sb_cost_of_view(v->height, v->width, p->channels, v->size, v->blur > 0);
        t->work.cost.bytes += cost.bytes;
        t->work.cost.operations += cost.operations;
    }
    t->work.kind = SB_KIND_VIEW;
}

static int largest_of(const sb_trial *t)
{
    const parameters *p = of(t);
    int largest = 0;
    for (int k = 0; k < p->views; k++)
        largest = p->params[k].size > largest ? p->params[k].size : largest;
    return largest;
}

static sb_shape tile_of(const sb_trial *t)
{
    return sb_view_tile(of(t)->height, of(t)->width, of(t)->channels);
}

static int open_view(sb_trial *t, sb_device *device)
{
    t->scratch_bytes = sb_view_scratch(device, tile_of(t), of(t)->views, largest_of(t));
    return 0;
}

static int call(sb_trial *t, sb_device *device)
{
    const parameters *p = of(t);
    uint8_t *out[VIEWS_MAX];
    for (int k = 0; k < p->views; k++)
        out[k] = sb_memory(t, OUT + k);
    const sb_view_how how = { .params = p->params, .count = p->views, .out = out, .max_size = largest_of(t) };
    return sb_view(device, &how, tile_of(t), sb_memory(t, TILE), t->scratch);
}

/* ---- the reference ------------------------------------------------------------------------------------- */

static double clamp(double x) { return x < 0 ? 0 : x > 1 ? 1 : x; }

static double luma(const double *pixel, int channels)
{
    return channels >= 3 ? 0.2989 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2] : pixel[0];
}

/* The weight of input `at` in output `i` of an axis of `in` that becomes `out`: a triangle, as wide as the
 * image shrinks. Not normalised. */
static double triangle(int in, int out, int i, int at)
{
    double scale = (double)in / out, width = fmax(scale, 1),
           distance = fabs(at + 0.5 - scale * (i + 0.5)) / width;
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

/* What changes colours changes the first three, the one there is, or none of two. */
static int colours_of(int channels) { return channels == 2 ? 0 : channels > 3 ? 3 : channels; }

static void blend(double *pixel, int channels, double other, double factor)
{
    for (int c = 0; c < colours_of(channels); c++)
        pixel[c] = clamp(factor * pixel[c] + (1 - factor) * other);
}

/* The textbook's RGB -> HSV -> RGB. */
static void turn_hue(double *p, double turn)
{
    double most = fmax(p[0], fmax(p[1], p[2])), least = fmin(p[0], fmin(p[1], p[2])), range = most - least,
           hue = 0;
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
    for (int c = 0; c < 3;
         c++) { /* value = most - range max(0, min(k, 4 - k, 1)) with k = (5, 3, 1)[c] + hue mod 6 */
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
        else if (what == 2 && channels >= 3)
            blend(pixel, channels, luma(pixel, channels), p->saturation);
        else if (what == 3 && channels >= 3)
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
                        sum += weight *
                               copy[(axis ? (long)y * size + at : (long)at * size + x) * channels + c];
                        total += weight;
                    }
                    view[((long)y * size + x) * channels + c] = sum / total;
                }
    }
    free(copy);
}

/* The view in levels (0 .. 255), not rounded. Returns the smallest distance of any value to the solarise
 * threshold (in 0 .. 1), which is where a last bit decides a whole value; 1 where there is none. */
static double make_view(const double *tile, int tile_width, int channels, const sb_view_params *p,
                        double *out)
{
    int size = p->size;
    long count = (long)size * size, row = (long)p->width * channels;
    double *crop = malloc((size_t)(p->height * row) * sizeof *crop),
           *tall = malloc((size_t)(size * row) * sizeof *tall), nearest = 1;
    for (long y = 0; y < p->height; y++)
        for (long i = 0; i < row; i++)
            crop[y * row + i] = tile[((p->top + y) * tile_width + p->left) * channels + i] / 255;
    resample(crop, 1, p->height, (int)row, size, tall);
    resample(tall, size, p->width, channels, size, out);
    for (long y = 0; y < size && p->flip; y++)
        for (long x = 0; x < size / 2; x++)
            for (int c = 0; c < channels; c++) {
                double *a = out + (y * size + x) * channels + c,
                       *b = out + (y * size + size - 1 - x) * channels + c, kept = *a;
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
        if (p->solarise < 2 && i % channels < colours_of(channels)) {
            nearest = fmin(nearest, fabs(out[i] - p->solarise));
            out[i] = out[i] >= p->solarise ? 1 - out[i] : out[i];
        }
        out[i] = 255 * clamp(out[i]);
    }
    free(crop);
    free(tall);
    return nearest;
}

/* ---- the cases ----------------------------------------------------------------------------------------- */

static void reference(sb_trial *t)
{
    const parameters *p = of(t);
    for (int k = 0; k < p->views; k++) {
        sb_array *a = &t->arrays[OUT + k];
        double near = make_view(sb_value(t, TILE), p->width, p->channels, &p->params[k], a->wanted);
        if (near < 1e-6) {
            fprintf(stderr,
                    "a value is within %g of the solarise threshold, where a last bit decides: take another "
                    "threshold\n",
                    near);
            abort();
        }
        for (size_t i = 0; i < a->count; i++)
            a->bound[i] = 0.51;
    }
}

static const sb_operation view = {
    .name = "view", .prepare = prepare, .open = open_view, .call = call, .reference = reference
};

static void add(bool timed, int width, int height, int channels, int views, const sb_view_params *params,
                const char *name)
{
    parameters p = { .width = width, .height = height, .channels = channels, .views = views };
    memcpy(p.params, params, (size_t)views * sizeof *params);
    sb_case_add(&view, timed, &p, sizeof p, "%s, %d x %d x %d", name, width, height, channels);
}

/* ---- refusals ------------------------------------------------------------------------------------------ */

static int view_of(sb_device *device, int channels, sb_view_params p)
{
    uint8_t *none = NULL;
    const sb_view_how how = { .params = &p, .count = 1, .out = &none, .max_size = 32 };
    return sb_view(device, &how, sb_view_tile(32, 32, channels), NULL, NULL);
}

static int nine_channels(sb_device *d)
{
    return view_of(d, 9, (sb_view_params){ 0, 0, 32, 32, 16, .solarise = 2 });
}
static int empty_crop(sb_device *d)
{
    return view_of(d, 3, (sb_view_params){ 0, 0, 0, 32, 16, .solarise = 2 });
}
static int crop_left_of_it(sb_device *d)
{
    return view_of(d, 3, (sb_view_params){ -1, 0, 8, 8, 16, .solarise = 2 });
}
static int crop_below_it(sb_device *d)
{
    return view_of(d, 3, (sb_view_params){ 0, 25, 8, 8, 16, .solarise = 2 });
}
static int crop_far_away(sb_device *d)
{
    return view_of(d, 3, (sb_view_params){ 0x7FFFFFFF, 0, 8, 8, 16, .solarise = 2 });
}
static int no_size(sb_device *d) { return view_of(d, 3, (sb_view_params){ 0, 0, 8, 8, 0, .solarise = 2 }); }
static int larger_than_planned(sb_device *d)
{
    return view_of(d, 3, (sb_view_params){ 0, 0, 8, 8, 33, .solarise = 2 });
}

void sb_cases_view(void)
{
    const sb_view_params plain = { .width = 64, .height = 64, .size = 64, .solarise = 2 };
    const struct {
        const char *name;
        int left, top, width, height, size, flip;
    } crops[] = { { "as it is", 0, 0, 65, 63, 64, 0 },
                  { "flipped", 0, 0, 65, 63, 65, 1 },
                  { "smaller", 3, 1, 61, 62, 17, 1 },
                  { "larger", 5, 7, 13, 11, 33, 0 },
                  { "one pixel", 64, 62, 1, 1, 16, 0 },
                  { "a line", 0, 31, 65, 1, 31, 0 },
                  { "a column, to one pixel", 31, 0, 1, 63, 1, 1 } };
    const int numbers[] = { 1, 3, 2, 5, 8 };
    for (int n = 0; n < 5; n++) {
        const int channels = numbers[n];
        for (size_t i = 0; i < sizeof crops / sizeof *crops; i++) {
            sb_view_params p = plain;
            p.left = crops[i].left;
            p.top = crops[i].top;
            p.width = crops[i].width;
            p.height = crops[i].height;
            p.size = crops[i].size;
            p.flip = crops[i].flip;
            add(false, 65, 63, channels, 1, &p, crops[i].name);
        }
        for (int first = 0; first < 4; first++)
            for (int strong = 0; strong < 2; strong++) { /* every operation once first and once last */
                sb_view_params p = { .left = 1,
                                     .width = 250,
                                     .height = 200,
                                     .size = 33,
                                     .jitter = 1,
                                     .order = { first, (first + 1) % 4, (first + 2) % 4, (first + 3) % 4 },
                                     .brightness = strong ? 1.8f : 0.6f,
                                     .contrast = strong ? 0.2f : 1.4f,
                                     .saturation = strong ? 1.8f : 0.2f,
                                     .hue = strong ? -0.5f : 0.2f,
                                     .solarise = 2 };
                char name[64];
                snprintf(name, sizeof name, "jitter from %d%s", first, strong ? ", strong" : "");
                add(false, 257, 200, channels, 1, &p, name);
            }
        sb_view_params p = { .width = 100, .height = 90, .size = 63, .grey = 1, .solarise = 2 };
        add(false, 101, 90, channels, 1, &p, "grey");
        p.grey = 0;
        const int blurred[] = { 2, 16, 31, 64, 129 };
        for (size_t i = 0; i < sizeof blurred / sizeof *blurred; i++) {
            char name[64];
            p.size = blurred[i];
            p.blur = i % 2 ? 0.1f : 2;
            snprintf(name, sizeof name, "blur %g of %d", (double)p.blur, p.size);
            add(false, 101, 90, channels, 1, &p, name);
        }
        if (channels == 1) { /* more taps than a GPU's block has at a time */
            p.size = 651;
            p.blur = 20;
            add(false, 101, 90, channels, 1, &p, "blur 20 of 651");
        }
        p.blur = 0;
        p.size = 255;
        p.solarise = 0.497f;
        add(false, 101, 90, channels, 1, &p, "solarised");
        sb_view_params three[VIEWS_MAX] = { p,
                                            plain,
                                            { .left = 9,
                                              .top = 8,
                                              .width = 77,
                                              .height = 66,
                                              .size = 31,
                                              .flip = 1,
                                              .grey = 1,
                                              .jitter = 1,
                                              .order = { 3, 1, 0, 2 },
                                              .brightness = 0.7f,
                                              .contrast = 1.3f,
                                              .saturation = 0.5f,
                                              .hue = 0.1f,
                                              .blur = 1,
                                              .solarise = 0.3f } };
        add(false, 101, 90, channels, VIEWS_MAX, three, "three of different sizes");
    }
    for (int size = 224; size <= 1024; size += 800) { /* SimCLR's, from a tile of 1024 */
        sb_view_params p = { .left = 100,
                             .top = 50,
                             .width = 700,
                             .height = 650,
                             .size = size,
                             .flip = 1,
                             .jitter = 1,
                             .order = { 3, 1, 0, 2 },
                             .brightness = 0.7f,
                             .contrast = 1.3f,
                             .saturation = 0.5f,
                             .hue = 0.1f,
                             .blur = 1.5f,
                             .solarise = 2 };
        char name[64];
        snprintf(name, sizeof name, "SimCLR's of %d", size);
        add(true, 1024, 1024, 3, 1, &p, name);
        p.jitter = 0;
        p.blur = 0;
        snprintf(name, sizeof name, "crop alone of %d", size);
        add(true, 1024, 1024, 3, 1, &p, name);
    }
    sb_case_add_refusal("view: nine channels", nine_channels);
    sb_case_add_refusal("view: an empty crop", empty_crop);
    sb_case_add_refusal("view: a crop left of the tile", crop_left_of_it);
    sb_case_add_refusal("view: a crop that reaches below the tile", crop_below_it);
    sb_case_add_refusal("view: a crop whose end overflows", crop_far_away);
    sb_case_add_refusal("view: of no size", no_size);
    sb_case_add_refusal("view: larger than planned", larger_than_planned);
}
