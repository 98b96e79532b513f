/* encoder.c: see encoder.h. */
#include "evaluator/encoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "trainer/checkpoint.h"
#include "trainer/network.h"
#include "trainer/projector.h"

#define CHUNK_PIXELS (32 * 224 * 224) /* views that go through at once: about this many pixels, at least 2 */

struct sb_encoder {
    sb_device *device;
    sb_config config;
    sb_parameters parameters;
    sb_network *network;
    sb_projector *projector; /* never run: its parameters are part of a checkpoint */
    sb_plan *plan;
    void *arena, *packed;
    uint8_t *pixels;
    float *features, *statistics;
    float *host; /* weights and running statistics */
    int side, chunk, width;
};

static int take(sb_encoder *e, size_t bytes, void *out)
{
    void *memory;
    if (e->device->alloc(e->device, bytes, &memory) != 0)
        return -1;
    memcpy(out, &memory, sizeof memory);
    return 0;
}

int sb_encoder_create(sb_encoder **out, sb_device *device, const sb_config *config, int side)
{
    sb_encoder *e = calloc(1, sizeof *e);
    if (!e)
        return sb_fail("out of memory");
    e->device = device;
    e->config = *config;
    e->side = side;
    e->chunk = CHUNK_PIXELS / (side * side);
    e->chunk = e->chunk < 2 ? 2 : e->chunk > 64 ? 64 : e->chunk;
    sb_parameters_init(&e->parameters, device);
    int rc = sb_network_create(&e->network, &e->parameters, config->data.channels);
    if (rc == 0)
        rc = sb_encoder_build(e->network, config);
    if (rc == 0) {
        e->width = sb_network_width(e->network);
        rc = sb_projector_create(&e->projector, &e->parameters, config, e->width, 2);
    }
    if (rc == 0)
        rc = sb_parameters_allocate(&e->parameters, false, config->seed);
    if (rc == 0)
        rc = sb_plan_create(&e->plan, e->network, e->chunk, side, SB_F32, true);
    size_t chunk = (size_t)e->chunk;
    if (rc == 0 && (take(e, sb_plan_bytes(e->plan), &e->arena) != 0 || take(e, sb_plan_packed_bytes(e->plan), &e->packed) != 0 ||
                    take(e, chunk * (size_t)side * (size_t)side * (size_t)config->data.channels, &e->pixels) != 0 ||
                    take(e, chunk * (size_t)e->width * sizeof(float), &e->features) != 0 ||
                    take(e, e->parameters.statistic_floats * sizeof(float), &e->statistics) != 0 ||
                    sb_plan_bind(e->plan, e->arena, e->packed) != 0 || sb_plan_pack(e->plan) != 0))
        rc = -1;
    e->host = calloc(e->parameters.floats + e->parameters.statistic_floats, sizeof *e->host);
    if (rc == 0 && !e->host)
        rc = sb_fail("out of memory");
    if (rc != 0) {
        sb_encoder_destroy(&e);
        return -1;
    }
    *out = e;
    return 0;
}

void sb_encoder_destroy(sb_encoder **encoder)
{
    sb_encoder *e = *encoder;
    if (!e)
        return;
    void *memory[] = { e->arena, e->packed, e->pixels, e->features, e->statistics };
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        if (memory[i])
            e->device->release(e->device, memory[i]);
    sb_plan_destroy(&e->plan);
    sb_projector_destroy(&e->projector);
    sb_network_destroy(&e->network);
    sb_parameters_free(&e->parameters);
    free(e->host);
    free(e);
    *encoder = NULL;
}

int sb_encoder_set(sb_encoder *e, const float *weight, size_t weight_floats, const float *running, size_t statistic_floats)
{
    sb_parameters *p = &e->parameters;
    if (weight_floats != p->floats || statistic_floats != p->statistic_floats)
        return sb_fail("weights of another network: %zu weights and %zu statistics, expected %zu and %zu", weight_floats,
                       statistic_floats, p->floats, p->statistic_floats);
    if (e->device->copy(e->device, SB_STREAM_COMPUTE, p->weight, weight, p->floats * sizeof(float), SB_TO_DEVICE) != 0 ||
        e->device->copy(e->device, SB_STREAM_COMPUTE, p->running, running, p->statistic_floats * sizeof(float), SB_TO_DEVICE) != 0)
        return -1;
    return sb_plan_pack(e->plan);
}

int sb_encoder_load(sb_encoder *e, const char *run_dir, int64_t *step)
{
    sb_parameters *p = &e->parameters;
    sb_checkpoint_view view = { .params = p, .weight = e->host, .running = e->host + p->floats };
    int found = sb_checkpoint_load_latest(run_dir, &view);
    if (found <= 0)
        return found;
    *step = view.step;
    return sb_encoder_set(e, view.weight, p->floats, view.running, p->statistic_floats) != 0 ? -1 : 1;
}

/* Copies the views from `start` on into device memory; the last chunk is filled up with the first views. */
static int upload(sb_encoder *e, const uint8_t *views, int count, int start)
{
    size_t bytes = (size_t)e->side * (size_t)e->side * (size_t)e->config.data.channels;
    for (int i = 0; i < e->chunk; i++) {
        int view = (start + i) % count;
        if (e->device->copy(e->device, SB_STREAM_COMPUTE, e->pixels + (size_t)i * bytes, views + (size_t)view * bytes, bytes,
                            SB_TO_DEVICE) != 0)
            return -1;
    }
    return 0;
}

int sb_encoder_calibrate(sb_encoder *e, const uint8_t *views, int count)
{
    sb_parameters *p = &e->parameters;
    size_t floats = p->statistic_floats;
    double *sum = calloc(floats, sizeof *sum), *square = calloc(floats, sizeof *square);
    float *now = malloc(floats * sizeof *now);
    if (!sum || !square || !now) {
        free(sum);
        free(square);
        free(now);
        return sb_fail("out of memory");
    }
    int rc = 0, chunks = 0;
    for (int start = 0; rc == 0 && start < count; start += e->chunk, chunks++) {
        if (upload(e, views, count, start) != 0 || sb_plan_forward(e->plan, e->pixels, e->features, e->statistics) != 0 ||
            e->device->copy(e->device, SB_STREAM_COMPUTE, now, e->statistics, floats * sizeof(float), SB_TO_HOST) != 0 ||
            e->device->wait(e->device, SB_STREAM_COMPUTE) != 0)
            rc = -1;
        for (size_t i = 0; rc == 0 && i < floats; i++) {
            sum[i] += now[i];
            square[i] += (double)now[i] * now[i];
        }
    }
    /* Total variance = mean of the variances within chunks + variance of the means between them. */
    for (int s = 0; rc == 0 && s < p->statistic_count; s++) {
        const sb_statistic *t = &p->statistics[s];
        for (int c = 0; c < t->channels; c++) {
            size_t mean = t->offset + (size_t)c, variance = mean + (size_t)t->channels;
            double m = sum[mean] / chunks;
            now[mean] = (float)m;
            now[variance] = (float)(sum[variance] / chunks + fmax(square[mean] / chunks - m * m, 0));
        }
    }
    if (rc == 0)
        rc = e->device->copy(e->device, SB_STREAM_COMPUTE, p->running, now, floats * sizeof(float), SB_TO_DEVICE);
    free(sum);
    free(square);
    free(now);
    return rc;
}

int sb_encoder_features(sb_encoder *e, const uint8_t *views, int count, float *features)
{
    size_t width = (size_t)e->width;
    for (int start = 0; start < count; start += e->chunk) {
        size_t n = (size_t)(count - start < e->chunk ? count - start : e->chunk);
        if (upload(e, views, count, start) != 0 || sb_plan_infer(e->plan, e->pixels, e->features) != 0 ||
            e->device->copy(e->device, SB_STREAM_COMPUTE, features + (size_t)start * width, e->features, n * width * sizeof(float),
                            SB_TO_HOST) != 0 ||
            e->device->wait(e->device, SB_STREAM_COMPUTE) != 0)
            return -1;
    }
    return 0;
}

int sb_encoder_width(const sb_encoder *e) { return e->width; }
