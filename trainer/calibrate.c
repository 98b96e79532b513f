/* calibrate.c: see calibrate.h. */
#include "trainer/calibrate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels/open.h"      /* sb_device_open */
#include "proto/error.h"       /* sb_fail */
#include "proto/memory.h"      /* sb_zeroed */
#include "proto/process.h"     /* sb_now */
#include "trainer/precision.h" /* sb_precision_* */
#include "trainer/schedule.h"  /* sb_schedule_lr */
#include "trainer/step/step.h" /* sb_step_* */

#define BATCH_LEAST 2 /* a method's least */
#define LOOK_S 1.0    /* steps are repeated until so much time went by */
#define SIDE_STEP 16
#define SIDE_LEAST 64
#define PATIENCE_S 2.0 /* a first step that takes longer is the only one */

/* The same pixels for every view. */
static int fetch(void *context, int view, int sample, const uint8_t **pixels)
{
    (void)view, (void)sample;
    *pixels = context;
    return 0;
}

/* One step to its end, in seconds; -1. */
static double take_step(sb_device *device, const sb_settings *config, sb_step *step, int64_t number,
                        const sb_step_source *source)
{
    double loss;
    uint64_t begin = sb_now();
    if (sb_step_gradient(step, number, 0, source, &loss) != 0 ||
        sb_step_commit(step, number, sb_schedule_lr(&config->optimiser, &config->trainer, number)) < 0 ||
        device->wait(device, SB_STREAM_COMPUTE) != 0)
        return -1;
    return (double)(sb_now() - begin) * 1e-9;
}

/* Seconds of a step of `batch` samples, in as many chunks as the whole batch has. */
static int measure(sb_device *device, const sb_settings *whole, int batch, uint8_t *pixels,
                   sb_calibration *out)
{
    sb_settings config = *whole;
    const sb_step_source source = { .context = pixels, .fetch = fetch };
    sb_step *step = NULL;
    batch = (batch + config.trainer.replicas - 1) / config.trainer.replicas * config.trainer.replicas;
    config.trainer.batch = batch;
    config.continuing.enabled = false; /* a step of the heads alone takes less */
    config.bank = whole->bank / whole->trainer.batch * batch;
    if (config.trainer.chunk > 0)
        config.trainer.chunk = (int)(((int64_t)whole->trainer.chunk * batch + whole->trainer.batch - 1) /
                                     whole->trainer.batch);
    if (sb_step_create(&step, device, &config) != 0)
        return -1;
    const int full = config.bank / batch; /* a step that only fills a bank takes less */
    double first = take_step(device, &config, step, full, &source), all = 0, now = 0;
    int steps = 0;
    while (first >= 0 && first <= PATIENCE_S && now >= 0 && all < LOOK_S) {
        now = take_step(device, &config, step, full + 1 + steps++, &source);
        all += now;
    }
    sb_step_destroy(&step);
    if (first < 0 || now < 0)
        return -1;
    out->batch = batch;
    out->measured_s = steps > 0 ? all : first;
    out->step_s = (steps > 0 ? all / steps : first) * whole->trainer.batch / batch;
    return 0;
}

/* A little first: it says how much a second holds. */
static int measure_enough(sb_device *device, const sb_settings *config, uint8_t *pixels, sb_calibration *out)
{
    int all = config->trainer.batch, batch = all < BATCH_LEAST ? all : BATCH_LEAST;
    if (measure(device, config, batch, pixels, out) != 0)
        return -1;
    double fits = LOOK_S / out->step_s * all;
    int larger = fits < all ? (int)fits : all;
    return larger > batch ? measure(device, config, larger, pixels, out) : 0;
}

/* The steps of all parts of the run. */
static int measure_run(sb_device *device, const sb_settings *config, uint8_t *pixels, sb_calibration *out)
{
    sb_settings now = *config;
    double step_s = 0, measured_s = 0;
    const int64_t steps = config->trainer.steps;
    int sizes = 0, batch = config->trainer.batch;
    for (int64_t step = 0, until; step < steps; step = until, sizes++) {
        until = sb_view_sides_at(now.views, now.view_count, step, steps);
        if (measure_enough(device, &now, pixels, out) != 0)
            return -1;
        step_s += out->step_s * (double)(until - step) / (double)steps;
        measured_s += out->measured_s;
        batch = out->batch < batch ? out->batch : batch;
    }
    *out = (sb_calibration){ .step_s = step_s * config->trainer.accumulate, /* one batch was measured */
                             .sizes = sizes,
                             .measured_s = measured_s,
                             .batch = batch };
    return 0;
}

int sb_calibrate(const sb_settings *config, sb_calibration *out)
{
    int sizes[SB_VIEWS_MAX], count = sb_view_sizes(config->views, config->view_count, sizes);
    size_t bytes = (size_t)sizes[count - 1] * (size_t)sizes[count - 1] * (size_t)config->data.channels;
    sb_device *device = NULL;
    uint8_t *pixels = sb_zeroed(bytes, 1, "a view's pixels");
    if (!pixels)
        return -1;
    for (size_t i = 0; i < bytes; i++)
        pixels[i] = (uint8_t)(i * 7919 % 251);
    sb_precision precision = SB_PRECISION_F32;
    int rc = -1;
    if (sb_device_open(&device, config->common.device, config->cuda.plugin, config->trainer.threads) == 0 &&
        sb_precision_settle(device, config->trainer.precision, &precision) == 0)
        rc = measure_run(device, config, pixels, out);
    if (rc == 0)
        snprintf(out->device, sizeof out->device, "%s; %s", device->description,
                 sb_precision_name(precision));
    sb_device_close(&device);
    free(pixels);
    return rc;
}

int sb_calibrate_side(int side, double seconds, double most)
{
    const int fits = (int)(side * sqrt(most / seconds)) / SIDE_STEP * SIDE_STEP;
    if (seconds <= most || side <= SIDE_LEAST)
        return side;
    return fits > SIDE_LEAST ? fits : SIDE_LEAST;
}

void sb_calibrate_duration(double seconds, char out[48])
{
    static const struct {
        double seconds, most;
        const char *name;
    } units[] = { { 1, 90, "seconds" },
                  { 60, 90 * 60, "minutes" },
                  { 3600, 48 * 3600, "hours" },
                  { 86400, INFINITY, "days" } };
    size_t unit = 0;
    while (seconds >= units[unit].most)
        unit++;
    const double count = seconds / units[unit].seconds;
    snprintf(out, 48, "%.*f %s", count < 9.5, count, units[unit].name); /* "1.0 seconds" */
}
