/* jpeg.c: see jpeg.h. */
#include "loader/readers/jpeg.h"

#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>

#define SCANS_MAX 100 /* as libvips: a small file of many scans would take for ever */

typedef struct {
    struct jpeg_error_mgr errors; /* first: what libjpeg hands back is this */
    struct jpeg_progress_mgr progress;
    jmp_buf given_up;
} state;

static void give_up(j_common_ptr jpeg) { longjmp(((state *)jpeg->err)->given_up, 1); }

/* Warnings are negative, the rest is for debugging. */
static void on_message(j_common_ptr jpeg, int level)
{
    if (level < 0)
        give_up(jpeg);
}

static void on_progress(j_common_ptr jpeg)
{
    if (((j_decompress_ptr)jpeg)->input_scan_number > SCANS_MAX)
        give_up(jpeg);
}

bool sb_jpeg_pixels(const uint8_t *data, size_t bytes, int width, int height, int channels, uint8_t *pixels)
{
    struct jpeg_decompress_struct jpeg;
    state s;
    jpeg.err = jpeg_std_error(&s.errors);
    s.errors.error_exit = give_up;
    s.errors.emit_message = on_message;
    s.progress.progress_monitor = on_progress;
    volatile bool done = false; /* set between setjmp and longjmp */
    if (setjmp(s.given_up) == 0) {
        jpeg_create_decompress(&jpeg);
        jpeg.progress = &s.progress;
        jpeg_mem_src(&jpeg, data, bytes);
        jpeg_read_header(&jpeg, TRUE);
        jpeg_start_decompress(&jpeg);
        bool same = jpeg.output_width == (JDIMENSION)width && jpeg.output_height == (JDIMENSION)height &&
                    jpeg.output_components == channels &&
                    jpeg.out_color_space == (channels == 3 ? JCS_RGB : JCS_GRAYSCALE);
        size_t pitch = (size_t)width * (size_t)channels;
        while (same && jpeg.output_scanline < jpeg.output_height) {
            JSAMPROW row = pixels + jpeg.output_scanline * pitch;
            jpeg_read_scanlines(&jpeg, &row, 1);
        }
        if (same)
            jpeg_finish_decompress(&jpeg);
        done = same;
    }
    jpeg_destroy_decompress(&jpeg);
    return done;
}
