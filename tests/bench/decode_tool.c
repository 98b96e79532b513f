/* Decodes every tile of JPEG files, or the files whole with libjpeg-turbo. Arguments: `tiles SIDE FILE...` or
 * `whole FILE...`. Serves as worker.h says; one round is all files. */
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>

#include "loader/readers/decoder.h"
#include "tests/bench/worker.h"

#define CACHE_BYTES \
    (64 << 20) /* of the largest photograph and no more: nothing is left of it when its turn comes again */

typedef struct {
    char **files;
    int count, side;
    sb_decoder *decoder;
    sb_decode_source *sources;
    uint8_t *pixels;
    size_t room;
} bench;

/* What a run's index knows of the files. */
static int look(bench *b)
{
    b->sources = calloc((size_t)b->count, sizeof *b->sources);
    for (int i = 0; b->sources && i < b->count; i++) {
        sb_decode_header h;
        if (sb_decoder_probe(b->decoder, b->files[i], 0, &h) != 0)
            return -1;
        b->sources[i] = (sb_decode_source){ .path = b->files[i],
                                            .bytes = h.bytes,
                                            .width = h.width,
                                            .height = h.height,
                                            .random_access = h.random_access };
    }
    return b->sources ? 0 : -1;
}

static int tiles(void *context)
{
    const bench *b = context;
    for (int i = 0; i < b->count; i++) {
        uint64_t read_ns = 0, decode_ns = 0;
        const sb_decode_source *source = &b->sources[i];
        for (int top = 0; top + b->side <= source->height; top += b->side)
            for (int left = 0; left + b->side <= source->width; left += b->side)
                if (sb_decoder_tile(b->decoder, source, left, top, b->side, b->pixels, &read_ns,
                                    &decode_ns) != 0)
                    return -1;
    }
    return 0;
}

/* Read, decoded to RGB line by line into one buffer: what any decoder has to do. */
static int whole(void *context)
{
    bench *b = context;
    for (int i = 0; i < b->count; i++) {
        struct jpeg_decompress_struct jpeg;
        struct jpeg_error_mgr errors;
        FILE *file = fopen(b->files[i], "rbe");
        if (!file)
            return sb_fail_errno("%s", b->files[i]);
        jpeg.err = jpeg_std_error(&errors); /* a fault ends the program, with a message */
        jpeg_create_decompress(&jpeg);
        jpeg_stdio_src(&jpeg, file);
        jpeg_read_header(&jpeg, TRUE);
        jpeg.out_color_space = JCS_RGB;
        jpeg_start_decompress(&jpeg);
        size_t pitch = (size_t)jpeg.output_width * 3, bytes = pitch * jpeg.output_height;
        if (bytes > b->room) {
            free(b->pixels);
            b->pixels = malloc(bytes);
            b->room = b->pixels ? bytes : 0;
        }
        if (!b->pixels) {
            fclose(file);
            return sb_fail("out of memory");
        }
        while (jpeg.output_scanline < jpeg.output_height) {
            JSAMPROW row = b->pixels + jpeg.output_scanline * pitch;
            jpeg_read_scanlines(&jpeg, &row, 1);
        }
        jpeg_finish_decompress(&jpeg);
        jpeg_destroy_decompress(&jpeg);
        fclose(file);
    }
    return 0;
}

int main(int argc, char **argv)
{
    int tiled = argc > 1 && strcmp(argv[1], "tiles") == 0, first = tiled ? 3 : 2;
    if (argc <= first)
        return 2;
    bench b = { .files = argv + first, .count = argc - first, .side = tiled ? atoi(argv[2]) : 0 };
    int rc = 0;
    if (tiled) {
        b.pixels = malloc((size_t)b.side * (size_t)b.side * 3);
        rc = !b.pixels ||
             sb_decoder_create(&b.decoder, &(sb_samples_keys){ .channels = 3 }, CACHE_BYTES, false) != 0 ||
             look(&b) != 0;
    }
    if (rc == 0)
        rc = bench_serve(tiled ? tiles : whole, &b, 0);
    sb_decoder_destroy(&b.decoder);
    free(b.sources);
    free(b.pixels);
    return rc;
}
