/* Runs the convolutions of a training step alone, in their three directions: a step cannot be faster than
 * they are. Arguments: SIDE VIEWS f32|bf16 THREADS. Serves as worker.h says. */
#include <stdlib.h>

#include "kernels/op/conv.h"
#include "tests/bench/worker.h"

#define CONVS 20 /* of ResNet-18 */

typedef struct {
    sb_conv_how how;
    sb_call call;
    void *x, *y, *dx, *gradient;
} layer;

typedef struct {
    sb_device *device;
    layer layers[CONVS];
    int count;
    void *scratch;
} bench;

/* `gradient`: of the input, which the first layer has none of. */
static void add(bench *b, sb_shape x, sb_conv_how how, bool gradient)
{
    layer *l = &b->layers[b->count++];
    l->how = how;
    l->call = (sb_call){ .how = &l->how, .xs = { x }, .gradient = { gradient } };
}

/* The shapes of torchvision's ResNet-18. */
static void describe(bench *b, int n, int side, sb_type type)
{
    add(b, (sb_shape){ n, side, side, 3, type }, (sb_conv_how){ 64, 7, 2, 3 }, false);
    int h = ((side + 1) / 2 + 1) / 2, in = 64;
    for (int stage = 0; stage < 4; stage++) {
        int out = 64 << stage, stride = stage ? 2 : 1;
        add(b, (sb_shape){ n, h, h, in, type }, (sb_conv_how){ out, 3, stride, 1 }, true);
        if (stage)
            add(b, (sb_shape){ n, h, h, in, type }, (sb_conv_how){ out, 1, stride, 0 }, true);
        h = (h - 1) / stride + 1;
        for (int i = 0; i < 3; i++)
            add(b, (sb_shape){ n, h, h, out, type }, (sb_conv_how){ out, 3, 1, 1 }, true);
        in = out;
    }
}

static int allocate(sb_device *d, size_t bytes, void *out)
{
    void *memory;
    if (d->alloc(d, bytes, &memory) != 0 || d->zero(d, memory, bytes) != 0)
        return -1;
    memcpy(out, &memory, sizeof memory);
    return 0;
}

static int prepare(bench *b)
{
    const sb_kernel *k = b->device->kernels[SB_OP_CONV];
    size_t scratch = 0;
    for (int i = 0; i < b->count; i++) {
        layer *l = &b->layers[i];
        sb_call *c = &l->call;
        sb_extent w[SB_WEIGHTS_MAX];
        if (sb_op_conv.shape(c->how, c->xs, &c->ys) != 0 || k->plan(b->device, c) != 0)
            return -1;
        sb_op_conv.weights(c->how, c->xs, w);
        size_t weights = sb_extent_count(&w[0]) * sizeof(float), need = k->scratch(b->device, c);
        if (allocate(b->device, sb_shape_bytes(&c->xs[0]), &l->x) != 0 ||
            allocate(b->device, sb_shape_bytes(&c->xs[0]), &l->dx) != 0 ||
            allocate(b->device, sb_shape_bytes(&c->ys), &l->y) != 0 ||
            allocate(b->device, weights, &l->gradient) != 0 ||
            allocate(b->device, k->packed(b->device, c), &c->packed) != 0)
            return -1;
        scratch = need > scratch ? need : scratch;
        c->x[0] = l->x;
        c->y = l->y;
        c->dy = l->y;
        c->dx[0] = c->gradient[0] ? l->dx : NULL;
        c->dw[0] = l->gradient;
    }
    if (allocate(b->device, scratch, &b->scratch) != 0)
        return -1;
    for (int i = 0; i < b->count; i++)
        b->layers[i].call.scratch = b->scratch;
    return 0;
}

static int all_convolutions(void *context)
{
    bench *b = context;
    for (int i = 0; i < b->count; i++) {
        const sb_call *c = &b->layers[i].call;
        if (sb_forward(b->device, SB_OP_CONV, c) != 0 || sb_backward(b->device, SB_OP_CONV, c) != 0)
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
        void *memory[] = { l->x, l->dx, l->y, l->gradient, l->call.packed };
        for (int k = 0; k < 5; k++)
            b.device->release(b.device, memory[k]);
        b.device->kernels[SB_OP_CONV]->unplan(b.device, l->call.planned);
    }
    b.device->release(b.device, b.scratch);
    sb_device_close(&b.device);
    return rc;
}
