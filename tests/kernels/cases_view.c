/* cases_view.c: views of a tile, several of one tile in a call: at most half a level (the rounding) and a hundredth (the arithmetic) from the
 * reference. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kernels/cases.h"
#include "tests/kernels/reference.h"

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
        double value = 140 + 160 * sin(9 * x + phase) * cos(7 * y - phase) + 40 * ((double)sb_random_uniform(&t->random) - 0.5);
        tile->value[i] = floor(fmin(fmax(x > 0.9 ? 255 * y : value, 0), 255));
    }
    for (int k = 0; k < p->views; k++) {
        size_t size = (size_t)p->params[k].size;
        sb_array_add(t, "view", SB_ARRAY_U8, SB_ARRAY_WRITTEN, size * size * (size_t)p->channels);
    }
}

static int open_view(sb_trial *t, sb_device *device)
{
    const parameters *p = of(t);
    int largest = 0;
    for (int k = 0; k < p->views; k++)
        largest = p->params[k].size > largest ? p->params[k].size : largest;
    t->scratch_bytes = device->view_scratch(device, p->width, p->height, p->channels, largest, p->views);
    return 0;
}

static int call(sb_trial *t, sb_device *device)
{
    const parameters *p = of(t);
    uint8_t *out[VIEWS_MAX];
    for (int k = 0; k < p->views; k++)
        out[k] = sb_memory(t, OUT + k);
    return device->view(device, sb_memory(t, TILE), p->width, p->height, p->channels, p->params, p->views, out, t->scratch);
}

static void reference(sb_trial *t)
{
    const parameters *p = of(t);
    for (int k = 0; k < p->views; k++) {
        sb_array *a = &t->arrays[OUT + k];
        double near = sb_reference_view(sb_value(t, TILE), p->width, p->height, p->channels, &p->params[k], a->wanted);
        if (near < 1e-6) {
            fprintf(stderr, "a value is within %g of the solarise threshold, where a last bit decides: take another threshold\n", near);
            abort();
        }
        for (size_t i = 0; i < a->count; i++)
            a->bound[i] = 0.51;
    }
}

static const sb_operation view = { .name = "view", .prepare = prepare, .open = open_view, .call = call, .reference = reference };

static void add(bool timed, int width, int height, int channels, int views, const sb_view_params *params, const char *name)
{
    parameters p = { .width = width, .height = height, .channels = channels, .views = views };
    memcpy(p.params, params, (size_t)views * sizeof *params);
    sb_case_add(&view, timed, &p, sizeof p, "%s, %d x %d x %d", name, width, height, channels);
}

/* ---- refusals --------------------------------------------------------------------------------------------------------------------- */

static int view_of(sb_device *device, int channels, sb_view_params p)
{
    uint8_t *none = NULL;
    return device->view(device, NULL, 32, 32, channels, &p, 1, &none, NULL);
}

static int two_channels(sb_device *d) { return view_of(d, 2, (sb_view_params){ 0, 0, 32, 32, 16, .solarise = 2 }); }
static int empty_crop(sb_device *d) { return view_of(d, 3, (sb_view_params){ 0, 0, 0, 32, 16, .solarise = 2 }); }
static int crop_left_of_it(sb_device *d) { return view_of(d, 3, (sb_view_params){ -1, 0, 8, 8, 16, .solarise = 2 }); }
static int crop_below_it(sb_device *d) { return view_of(d, 3, (sb_view_params){ 0, 25, 8, 8, 16, .solarise = 2 }); }
static int crop_far_away(sb_device *d) { return view_of(d, 3, (sb_view_params){ 0x7FFFFFFF, 0, 8, 8, 16, .solarise = 2 }); }
static int no_size(sb_device *d) { return view_of(d, 3, (sb_view_params){ 0, 0, 8, 8, 0, .solarise = 2 }); }

void sb_cases_view(void)
{
    const sb_view_params plain = { .width = 64, .height = 64, .size = 64, .solarise = 2 };
    const struct {
        const char *name;
        int left, top, width, height, size, flip;
    } crops[] = { { "as it is", 0, 0, 65, 63, 64, 0 },         { "flipped", 0, 0, 65, 63, 65, 1 }, { "smaller", 3, 1, 61, 62, 17, 1 },
                  { "larger", 5, 7, 13, 11, 33, 0 },           { "one pixel", 64, 62, 1, 1, 16, 0 }, { "a line", 0, 31, 65, 1, 31, 0 },
                  { "a column, to one pixel", 31, 0, 1, 63, 1, 1 } };
    for (int channels = 1; channels <= 3; channels += 2) {
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
                sb_view_params p = { .left = 1, .width = 250, .height = 200, .size = 33, .jitter = 1,
                                     .order = { first, (first + 1) % 4, (first + 2) % 4, (first + 3) % 4 },
                                     .brightness = strong ? 1.8f : 0.6f, .contrast = strong ? 0.2f : 1.4f,
                                     .saturation = strong ? 1.8f : 0.2f, .hue = strong ? -0.5f : 0.2f, .solarise = 2 };
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
        p.blur = 0;
        p.size = 255;
        p.solarise = 0.497f;
        add(false, 101, 90, channels, 1, &p, "solarised");
        sb_view_params three[VIEWS_MAX] = { p, plain, { .left = 9, .top = 8, .width = 77, .height = 66, .size = 31, .flip = 1, .grey = 1,
                                                .jitter = 1, .order = { 3, 1, 0, 2 }, .brightness = 0.7f, .contrast = 1.3f,
                                                .saturation = 0.5f, .hue = 0.1f, .blur = 1, .solarise = 0.3f } };
        add(false, 101, 90, channels, VIEWS_MAX, three, "three of different sizes");
    }
    for (int size = 224; size <= 1024; size += 800) { /* SimCLR's, from a tile of 1024 */
        sb_view_params p = { .left = 100, .top = 50, .width = 700, .height = 650, .size = size, .flip = 1, .jitter = 1, .order = { 3, 1, 0, 2 },
                             .brightness = 0.7f, .contrast = 1.3f, .saturation = 0.5f, .hue = 0.1f, .blur = 1.5f, .solarise = 2 };
        char name[64];
        snprintf(name, sizeof name, "SimCLR's of %d", size);
        add(true, 1024, 1024, 3, 1, &p, name);
        p.jitter = 0;
        p.blur = 0;
        snprintf(name, sizeof name, "crop alone of %d", size);
        add(true, 1024, 1024, 3, 1, &p, name);
    }
    sb_case_add_refusal("view: two channels", two_channels);
    sb_case_add_refusal("view: an empty crop", empty_crop);
    sb_case_add_refusal("view: a crop left of the tile", crop_left_of_it);
    sb_case_add_refusal("view: a crop that reaches below the tile", crop_below_it);
    sb_case_add_refusal("view: a crop whose end overflows", crop_far_away);
    sb_case_add_refusal("view: of no size", no_size);
}
