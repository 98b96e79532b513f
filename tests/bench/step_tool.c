/* Makes training steps on random pixels, without the rest of the pipeline. Arguments: KEY=VALUE of the
 * configuration. Serves as worker.h says; the memory is what was taken since before the step was planned. */
#include <stdio.h>
#include <stdlib.h>

#include "proto/error.h"
#include "proto/random.h"
#include "tests/bench/worker.h"
#include "trainer/step/step.h"

typedef struct {
    sb_settings config;
    sb_device *device;
    sb_step *step;
    uint8_t *pixels; /* of all views, one behind the other */
    int64_t number;
} bench;

static int fetch(void *context, int view, int sample, const uint8_t **pixels)
{
    const bench *b = context;
    size_t side = (size_t)b->config.data.view, at = (size_t)(view * b->config.trainer.batch + sample);
    *pixels = b->pixels + at * side * side * (size_t)b->config.data.channels;
    return 0;
}

static int one_step(void *context)
{
    bench *b = context;
    const sb_step_source source = { .context = b, .fetch = fetch };
    double loss;
    if (sb_step_gradient(b->step, b->number, 0, &source, &loss) != 0 ||
        sb_step_commit(b->step, b->number, 1e-4) != 0)
        return -1;
    b->number++;
    return 0;
}

int main(int argc, char **argv)
{
    static bench b;
    static char path[] = "data.path=/"; /* one that is there, in place of the program's name */
    argv[0] = path;
    int rc = sb_settings_of(&b.config, NULL, (const char *const *)argv, argc);
    if (rc == 0)
        rc = sb_device_cpu(&b.device, b.config.trainer.threads);
    size_t side = (size_t)b.config.data.view;
    size_t bytes = (size_t)(b.config.view_count * b.config.trainer.batch) * side * side *
                   (size_t)b.config.data.channels;
    b.pixels = malloc(bytes ? bytes : 1);
    if (rc != 0 || !b.pixels) {
        fprintf(stderr, "%s\n", rc ? sb_error() : "out of memory");
        return 1;
    }
    sb_random random;
    sb_random_init(&random, 1, SB_RANDOM_EVALUATE, 0, 0, 0);
    for (size_t i = 0; i < bytes; i++)
        b.pixels[i] = (uint8_t)sb_random_u32(&random);
    size_t base = bench_memory("VmRSS");
    if (sb_step_create(&b.step, b.device, &b.config) != 0) {
        fprintf(stderr, "%s\n", sb_error());
        return 1;
    }
    rc = bench_serve(one_step, &b, base);
    sb_step_destroy(&b.step);
    sb_device_close(&b.device);
    free(b.pixels);
    return rc;
}
