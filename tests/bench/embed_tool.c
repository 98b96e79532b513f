/* Takes views of random pixels to their features, forward alone, as `embed` does. Arguments: VIEWS, and
 * KEY=VALUE of the configuration. Serves as worker.h says. */
#include <stdlib.h>

#include "evaluator/encoder.h"
#include "proto/random.h"
#include "tests/bench/worker.h"

typedef struct {
    sb_settings config;
    sb_device *device;
    sb_encoder *encoder;
    int views;
    uint8_t *pixels; /* [views, side, side, channels] */
    float *features;
} bench;

static int embed(void *context)
{
    const bench *b = context;
    return sb_encoder_features(b->encoder, b->pixels, b->views, b->features);
}

/* Random pixels, for which the norms are set. */
static int prepare(bench *b)
{
    const int side = b->config.data.view;
    const size_t bytes = (size_t)b->views * (size_t)side * (size_t)side * (size_t)b->config.data.channels;
    if (sb_encoder_create(&b->encoder, b->device, &b->config, side) != 0)
        return -1;
    b->pixels = malloc(bytes);
    b->features = calloc((size_t)b->views * (size_t)sb_encoder_width(b->encoder), sizeof *b->features);
    if (!b->pixels || !b->features)
        return sb_fail("out of memory");
    sb_random random;
    sb_random_init(&random, 1, SB_RANDOM_EVALUATE, 0, 0, 0);
    for (size_t i = 0; i < bytes; i++)
        b->pixels[i] = (uint8_t)sb_random_u32(&random);
    return sb_encoder_calibrate(b->encoder, b->pixels, b->views);
}

int main(int argc, char **argv)
{
    static bench b;
    static char path[] = "data.path=/"; /* one that is there, in place of VIEWS */
    b.views = argc > 1 ? atoi(argv[1]) : 0;
    if (b.views < 1)
        return 2;
    argv[1] = path;
    int rc = 1;
    if (sb_settings_of(&b.config, NULL, (const char *const *)argv + 1, argc - 1) != 0 ||
        sb_device_cpu(&b.device, b.config.trainer.threads) != 0 || prepare(&b) != 0)
        fprintf(stderr, "%s\n", sb_error());
    else
        rc = bench_serve(embed, &b, 0);
    sb_encoder_destroy(&b.encoder);
    sb_device_close(&b.device);
    free(b.pixels);
    free(b.features);
    return rc;
}
