/* steps.h: training steps on the emulated GPU, of small views and an encoder of the test's own: what tests of
 * them begin and end with. */
#ifndef SB_TESTS_STEPS_H
#define SB_TESTS_STEPS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "kernels/cuda/device.h"
#include "proto/error.h"
#include "tests/emulated/emulation.h"
#include "tests/step.h"
#include "trainer/step/step.h"

#define BATCH 4
#define VIEWS 2
#define SIDE 32
#define VIEW_BYTES (SIDE * SIDE * 3)
#define KEYS_MAX 6

typedef struct {
    sb_settings config;
    sb_device *device;
    sb_step *step;
} steps;

static inline void good(int rc)
{
    if (rc != 0)
        fail_msg("%s", sb_error());
}

/* own: the encoder, where the method masks nothing. by_call: nothing is recorded. pixels: what the steps will
 * read, which the device pins, or copies would be staged at once. */
static inline void steps_begin(steps *s, const char *const keys[KEYS_MAX], const sb_encoder_kind *own,
                               bool by_call, void *pixels, size_t bytes)
{
    const char *all[5 + KEYS_MAX] = { "data.path=.", "data.view=32", "trainer.batch=4",
                                      "trainer.precision=f32", "optimiser.name=adamw" };
    int count = 5;
    for (int i = 0; i < KEYS_MAX && keys[i]; i++)
        all[count++] = keys[i];
    *s = (steps){ 0 };
    good(sb_settings_of(&s->config, NULL, all, count));
    if (!s->config.method->mask)
        s->config.encoder = own;
    good(sb_device_cuda(&s->device));
    if (by_call)
        s->device->record = NULL;
    good(s->device->pin(s->device, pixels, bytes));
    good(sb_step_create(&s->step, s->device, &s->config));
    good(sb_step_begin(s->step));
}

/* All that was taken has been given back. */
static inline void steps_end(steps *s)
{
    sb_step_destroy(&s->step);
    sb_device_close(&s->device);
    assert_int_equal(emulation_alive(), 0);
}

/* The weights as they are, for the caller to free. */
static inline float *steps_weights(const steps *s, size_t *bytes)
{
    *bytes = sb_step_store(s->step)->floats[SB_ENTRY_WEIGHT] * sizeof(float);
    float *weights = malloc(*bytes);
    assert_non_null(weights);
    good(s->device->copy(s->device, SB_STREAM_COMPUTE, weights, sb_step_section(s->step)->weight, *bytes,
                         SB_TO_HOST));
    good(s->device->wait(s->device, SB_STREAM_COMPUTE));
    return weights;
}

#endif
