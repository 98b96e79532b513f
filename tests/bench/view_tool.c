/* Makes pairs of SimCLR's views of a tile of noise. Arguments: side of the tile, side of a view. Serves as
 * worker.h says. */
#include <stdlib.h>

#include "augment/view.h"
#include "tests/bench/worker.h"

typedef struct {
    sb_augment_keys keys;
    sb_device *device;
    int tile, side;
    uint8_t *pixels, *view[2];
    void *scratch;
    uint32_t position;
} bench;

static int pair(void *context)
{
    bench *b = context;
    sb_view_params params[2];
    for (int v = 0; v < 2; v++)
        sb_view_of_sample(&b->keys, 0, b->position, v, b->tile, b->tile, &params[v]);
    b->position++;
    const sb_view_how how = { .params = params, .count = 2, .out = b->view, .max_size = b->side };
    return sb_view(b->device, &how, sb_view_tile(b->tile, b->tile, 3), b->pixels, b->scratch);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    static bench b;
    sb_config defaults;
    sb_config_init(&defaults);
    if (sb_config_set(&defaults, "data.path=/") != 0 || sb_augment_keys_read(&defaults, &b.keys) != 0)
        return 1;
    sb_config_free(&defaults);
    b.tile = atoi(argv[1]);
    b.side = atoi(argv[2]);
    size_t side = (size_t)b.side, bytes = (size_t)b.tile * (size_t)b.tile * 3;
    for (int v = 0; v < 2; v++) {
        b.keys.views[v].side = b.side;
        b.view[v] = malloc(side * side * 3);
    }
    b.pixels = malloc(bytes);
    if (!b.pixels || !b.view[0] || !b.view[1] || sb_device_cpu(&b.device, 1) != 0 ||
        b.device->alloc(b.device, sb_view_scratch(b.device, sb_view_tile(b.tile, b.tile, 3), 2, b.side),
                        &b.scratch) != 0)
        return 1;
    sb_random random;
    sb_random_init(&random, 1, SB_RANDOM_EVALUATE, 0, 0, 0);
    for (size_t i = 0; i < bytes; i++)
        b.pixels[i] = (uint8_t)sb_random_u32(&random);
    int rc = bench_serve(pair, &b, 0);
    b.device->release(b.device, b.scratch);
    sb_device_close(&b.device);
    free(b.view[0]);
    free(b.view[1]);
    free(b.pixels);
    return rc;
}
