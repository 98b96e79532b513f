/* encoder_tool.c: what an encoder takes, by arithmetic alone, so in bf16 on any machine. Arguments: KEY=VALUE
 * of the configuration. Prints one line:
 *
 *     multiply-adds of a view forward: convolutions, linear layers, attention
 *     weights of the backbone
 *     bytes of the device's memory for each view that is in training, f32 and bf16
 *     views that a card of 8 GiB holds at once, bf16
 *
 * What a view takes is the difference between two chunks, so that nothing is in it which is there once. What
 * a card holds is as ./run plan reckons (planner.h), weights and the optimiser's state beside it: the views
 * of the largest batch that is whole with nothing made again. */
#include <stdio.h>
#include <string.h>

#include "kernels/open.h"
#include "proto/error.h"
#include "tests/bench/counts.h"
#include "trainer/planner.h"

#define CARD ((size_t)8 << 30)
#define SAMPLES 32         /* of the larger chunk; the smaller one has the half */
#define SAMPLES_MOST 65536 /* trainer.batch has no more */

/* -1: it cannot be planned. */
static double multiply_adds(const sb_settings *c)
{
    sb_counts n;
    double operations = 0;
    if (sb_counts_step(c, NULL, 0, &n) != 0)
        return -1;
    for (int op = 0; op < SB_OPS; op++)
        if (sb_counts_product((sb_op_id)op))
            operations += n.forward[op].operations;
    return operations / 2 / (c->trainer.batch * c->view_count);
}

/* -1: it cannot be planned. */
static double bytes_of_view(sb_step *sketch, const sb_settings *c)
{
    const int chunk = sb_step_largest_chunk(c), less = chunk / 2, views = chunk - less;
    sb_step_budget whole, half;
    if (sb_step_size(sketch, chunk, SB_RECOMPUTE_NONE, &whole) != 0 ||
        sb_step_size(sketch, less, SB_RECOMPUTE_NONE, &half) != 0)
        return -1;
    return (double)(whole.activations - half.activations) / views;
}

/* Whether a batch of so many samples fits whole. 1; 0; -1. */
static int card_holds(sb_device *device, const sb_settings *settings, int samples)
{
    sb_settings c = *settings;
    c.trainer.batch = samples;
    sb_step *sketch = NULL;
    int rc = sb_step_sketch(&sketch, device, &c);
    if (rc == 0)
        rc = sb_planner_fit(sketch, SB_RECOMPUTE_NONE, sb_planner_card(CARD)) == sb_step_largest_chunk(&c);
    sb_step_destroy(&sketch);
    return rc;
}

/* The largest batch that fits; -1. */
static int card_batch(sb_device *device, const sb_settings *c)
{
    int fits = 0, fails = SAMPLES_MOST + 1;
    while (fails - fits > 1) {
        const int middle = fits + (fails - fits) / 2, rc = card_holds(device, c, middle);
        if (rc < 0)
            return -1;
        *(rc ? &fits : &fails) = middle;
    }
    return fits;
}

static int print(sb_device *device, sb_settings *c)
{
    static const sb_precision precisions[] = { SB_PRECISION_F32, SB_PRECISION_BF16 };
    double bytes[2] = { 0 };
    size_t weights = 0;
    c->trainer.batch = SAMPLES;
    const double products = multiply_adds(c);
    int rc = products < 0 ? -1 : 0;
    for (int p = 0; p < 2 && rc == 0; p++) {
        sb_step *sketch = NULL;
        c->trainer.precision = precisions[p];
        rc = sb_step_sketch(&sketch, device, c);
        if (rc == 0) {
            weights = sb_step_backbone(sketch)[SB_ENTRY_WEIGHT];
            bytes[p] = bytes_of_view(sketch, c);
            rc = bytes[p] < 0 ? -1 : 0;
        }
        sb_step_destroy(&sketch);
    }
    const int batch = rc == 0 ? card_batch(device, c) : -1; /* in bf16, the last */
    if (batch < 0)
        return -1;
    printf("%.0f %zu %.0f %.0f %d\n", products, weights, bytes[0], bytes[1], batch * c->view_count);
    return 0;
}

int main(int argc, char **argv)
{
    static sb_settings config;
    static char path[] = "data.path=/"; /* one that is there, in place of the program's name */
    sb_device *device = NULL;
    argv[0] = path;
    int rc = sb_settings_of(&config, NULL, (const char *const *)argv, argc);
    if (rc == 0)
        rc = sb_device_cpu(&device, config.trainer.threads);
    if (rc == 0)
        rc = print(device, &config);
    sb_device_close(&device);
    if (rc != 0)
        fprintf(stderr, "%s\n", sb_error());
    return rc != 0;
}
