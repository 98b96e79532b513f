/* The denominators of SimCLR's loss and of DCL's, and their gradient, for two views of random unit vectors.
 * Arguments: samples, width, threads. Serves as worker.h says; the memory is what was taken since the vectors
 * were there. */
#include <math.h>
#include <stdlib.h>

#include "kernels/op/logsumexp_pairs.h"
#include "kernels/open.h"
#include "proto/random.h"
#include "tests/bench/worker.h"

enum { Z, DZ, DY, Y, LSE, ARRAYS };

typedef struct {
    sb_device *device;
    sb_call call;
} bench;

static int loss(void *context)
{
    bench *b = context;
    const sb_kernel *kernel = b->device->kernels[SB_OP_LOGSUMEXP_PAIRS];
    return kernel->forward(b->device, &b->call) != 0 || kernel->backward(b->device, &b->call) != 0 ? -1 : 0;
}

static void fill(float *z, size_t rows, size_t width)
{
    sb_random random;
    sb_random_init(&random, 1, SB_RANDOM_EVALUATE, 0, 0, 0);
    for (size_t r = 0; r < rows; r++) {
        double squares = 0;
        for (size_t k = 0; k < width; k++) {
            z[r * width + k] = sb_random_uniform(&random) - 0.5f;
            squares += (double)z[r * width + k] * z[r * width + k];
        }
        for (size_t k = 0; k < width; k++)
            z[r * width + k] /= (float)sqrt(squares);
    }
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    const int samples = atoi(argv[1]), width = atoi(argv[2]), rows = 2 * samples;
    const sb_logsumexp_pairs_how how = { samples, 0.1f, .positives = false, .empty = -INFINITY };
    bench b = { .call = {
                    .how = &how, .xs = { { rows, 1, 1, width, SB_F32 } }, .ys = { rows, 1, 1, 1, SB_F32 } } };
    void *array[ARRAYS];
    for (int a = 0; a < ARRAYS; a++)
        array[a] = calloc((size_t)rows * (size_t)(a <= DZ ? width : 1), sizeof(float));
    for (int a = 0; a < ARRAYS; a++)
        if (!array[a])
            return 1;
    fill(array[Z], (size_t)rows, (size_t)width);
    for (int r = 0; r < rows; r++)
        ((float *)array[DY])[r] = 1 / (float)rows;
    b.call.x[0] = array[Z];
    b.call.dx[0] = array[DZ];
    b.call.dy = array[DY];
    b.call.y = array[Y];
    b.call.aux = array[LSE];
    size_t base = bench_memory("VmRSS");
    if (sb_device_cpu(&b.device, atoi(argv[3])) != 0) {
        fprintf(stderr, "%s\n", sb_error());
        return 1;
    }
    int rc = bench_serve(loss, &b, base);
    sb_device_close(&b.device);
    for (int a = 0; a < ARRAYS; a++)
        free(array[a]);
    return rc;
}
