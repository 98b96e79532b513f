/* For tests/oracle/view.py: what the view operation makes of given parameters, and which parameters a recipe
 * draws.
 *
 *   view_tool render WIDTH HEIGHT CHANNELS COUNT < tile and parameters > views
 *   view_tool draw WIDTH HEIGHT COUNT KEY=VALUE... > parameters of view 0 of COUNT samples
 *
 * Tile and views are 8-bit pixels, parameters are sb_view_params as they lie in memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "augment/view.h"
#include "proto/error.h"

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "view_tool: %s: %s\n", what, sb_error());
    exit(1);
}

static int render(int width, int height, int channels, int count)
{
    size_t tile_bytes = (size_t)width * (size_t)height * (size_t)channels;
    uint8_t *tile = malloc(tile_bytes), *out = NULL;
    sb_view_params *params = malloc((size_t)count * sizeof *params);
    sb_shape tile_shape = sb_view_tile(height, width, channels);
    sb_device *device;
    int largest = 1;
    if (!tile || !params || fread(tile, 1, tile_bytes, stdin) != tile_bytes ||
        fread(params, sizeof *params, (size_t)count, stdin) != (size_t)count ||
        sb_device_cpu(&device, 1) != 0)
        fail("start");
    for (int i = 0; i < count; i++)
        largest = params[i].size > largest ? params[i].size : largest;
    size_t view_bytes = (size_t)largest * (size_t)largest * (size_t)channels;
    void *scratch;
    if (!(out = malloc(view_bytes)) ||
        device->alloc(device, sb_view_scratch(device, tile_shape, 1, largest), &scratch) != 0)
        fail("memory");
    for (int i = 0; i < count; i++) {
        const sb_view_how how = { .params = &params[i], .count = 1, .out = &out, .max_size = largest };
        if (sb_view(device, &how, tile_shape, tile, scratch) != 0)
            fail("view");
        fwrite(out, 1, (size_t)params[i].size * (size_t)params[i].size * (size_t)channels, stdout);
    }
    device->release(device, scratch);
    sb_device_close(&device);
    free(tile);
    free(params);
    free(out);
    return 0;
}

static int draw(int width, int height, int count, char **keys)
{
    sb_config config;
    sb_augment_keys settings;
    sb_config_init(&config);
    int rc = sb_config_set(&config, "data.path=.");
    for (; rc == 0 && *keys; keys++)
        rc = sb_config_set(&config, *keys);
    if (rc != 0 || sb_augment_keys_read(&config, &settings) != 0)
        fail("draw");
    sb_config_free(&config);
    for (int i = 0; i < count; i++) {
        sb_view_params params;
        sb_view_of_sample(&settings, 0, (uint32_t)i, 0, width, height, &params);
        fwrite(&params, sizeof params, 1, stdout);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "render") == 0)
        return render(atoi(argv[2]), atoi(argv[3]), atoi(argv[4]), atoi(argv[5]));
    if (argc >= 5 && strcmp(argv[1], "draw") == 0)
        return draw(atoi(argv[2]), atoi(argv[3]), atoi(argv[4]), argv + 5);
    return 2;
}
