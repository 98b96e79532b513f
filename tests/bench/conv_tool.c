/* The convolutions of a training step alone, in their three directions: what a step cannot be faster than. Arguments: SIDE VIEWS f32|bf16
 * THREADS. Serves as worker.h says. */
#include <stdlib.h>

#include "kernels/device.h"
#include "proto/config.h"
#include "tests/bench/worker.h"

#define CONVS 20 /* of ResNet-18 */

typedef struct {
    sb_conv_shape shape;
    sb_conv *conv;
    void *x, *y, *dx, *packed;
    float *weight, *gradient;
} layer;

typedef struct {
    sb_device *device;
    layer layers[CONVS];
    int count;
    void *scratch;
} bench;

static int out_side(const sb_conv_shape *s) { return (s->h + 2 * s->pad - s->kernel) / s->stride + 1; }

static void add(bench *b, sb_conv_shape shape) { b->layers[b->count++].shape = shape; }

/* The shapes of torchvision's ResNet-18. */
static void describe(bench *b, int n, int side, sb_type type)
{
    add(b, (sb_conv_shape){ n, side, side, 3, 64, 7, 2, 3, type, false });
    int h = ((side + 1) / 2 + 1) / 2, in = 64;
    for (int stage = 0; stage < 4; stage++) {
        int out = 64 << stage, stride = stage ? 2 : 1;
        add(b, (sb_conv_shape){ n, h, h, in, out, 3, stride, 1, type, true });
        if (stage)
            add(b, (sb_conv_shape){ n, h, h, in, out, 1, stride, 0, type, true });
        h = (h - 1) / stride + 1;
        for (int i = 0; i < 3; i++)
            add(b, (sb_conv_shape){ n, h, h, out, out, 3, 1, 1, type, true });
        in = out;
    }
}

static int take(sb_device *d, size_t bytes, void *out)
{
    void *memory;
    if (d->alloc(d, bytes, &memory) != 0 || d->zero(d, memory, bytes) != 0)
        return -1;
    memcpy(out, &memory, sizeof memory);
    return 0;
}

static int prepare(bench *b)
{
    size_t scratch = 0;
    for (int i = 0; i < b->count; i++) {
        layer *l = &b->layers[i];
        const sb_conv_shape *s = &l->shape;
        size_t bytes = sb_type_bytes(s->type), x = (size_t)s->n * (size_t)s->h * (size_t)s->w * (size_t)s->in;
        size_t y = (size_t)s->n * (size_t)out_side(s) * (size_t)out_side(s) * (size_t)s->out;
        size_t weights = (size_t)s->in * (size_t)s->out * (size_t)s->kernel * (size_t)s->kernel * sizeof(float);
        if (b->device->conv_create(b->device, s, &l->conv) != 0 || take(b->device, x * bytes, &l->x) != 0 ||
            take(b->device, x * bytes, &l->dx) != 0 || take(b->device, y * bytes, &l->y) != 0 ||
            take(b->device, weights, &l->weight) != 0 || take(b->device, weights, &l->gradient) != 0 ||
            take(b->device, b->device->conv_packed(l->conv), &l->packed) != 0)
            return -1;
        size_t need = b->device->conv_scratch(l->conv);
        scratch = need > scratch ? need : scratch;
    }
    return take(b->device, scratch, &b->scratch);
}

static int all_convolutions(void *context)
{
    bench *b = context;
    sb_device *d = b->device;
    for (int i = 0; i < b->count; i++) {
        layer *l = &b->layers[i];
        if (d->conv_forward(d, l->conv, l->x, l->packed, l->y, b->scratch) != 0 ||
            d->conv_backward_weight(d, l->conv, l->x, l->y, l->gradient, false, b->scratch) != 0 ||
            (l->shape.data_gradient && d->conv_backward_data(d, l->conv, l->y, l->packed, l->dx, b->scratch) != 0))
            return -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    static bench b;
    describe(&b, atoi(argv[2]), atoi(argv[1]), strcmp(argv[3], "bf16") == 0 ? SB_BF16 : SB_F32);
    if (sb_device_cpu(&b.device, atoi(argv[4])) != 0 || prepare(&b) != 0) {
        fprintf(stderr, "%s\n", sb_error());
        return 1;
    }
    int rc = bench_serve(all_convolutions, &b, 0);
    for (int i = 0; i < b.count; i++) {
        layer *l = &b.layers[i];
        void *memory[] = { l->x, l->dx, l->y, l->weight, l->gradient, l->packed };
        for (int k = 0; k < 6; k++)
            b.device->release(b.device, memory[k]);
        b.device->conv_destroy(b.device, l->conv);
    }
    b.device->release(b.device, b.scratch);
    sb_device_close(&b.device);
    return rc;
}
