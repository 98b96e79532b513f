/* jpeg.c: see jpeg.h. */
#include "loader/readers/jpeg.h"

#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>

#include <jerror.h>

#include "proto/error.h"

#define SCANS_MAX 100 /* as libvips: a small file of many scans would take for ever */

typedef struct {
    struct jpeg_error_mgr errors; /* first: what libjpeg hands back is this */
    struct jpeg_progress_mgr progress;
    jmp_buf given_up;
    bool warned; /* of what may matter */
} state;

static void give_up(j_common_ptr jpeg) { longjmp(((state *)jpeg->err)->given_up, 1); }

/* libjpeg has counted bytes that it skipped; they lie before the next that it reads. */
static bool padding(const struct jpeg_decompress_struct *jpeg, int skipped)
{
    if (jpeg->input_scan_number == 0)
        return true;
    for (int i = 1; i <= skipped; i++)
        if (jpeg->src->next_input_byte[-i] != 0)
            return false;
    return true;
}

/* Warnings are negative, the rest is for debugging. */
static void on_message(j_common_ptr jpeg, int level)
{
    const struct jpeg_error_mgr *e = jpeg->err;
    const bool harmless = e->msg_code == JWRN_JFIF_MAJOR ||
                          (e->msg_code == JWRN_EXTRANEOUS_DATA &&
                           padding((j_decompress_ptr)jpeg, e->msg_parm.i[0]));
    if (level >= 0 || harmless)
        return;
    ((state *)jpeg->err)->warned = true;
    give_up(jpeg);
}

static void on_progress(j_common_ptr jpeg)
{
    if (((j_decompress_ptr)jpeg)->input_scan_number > SCANS_MAX)
        give_up(jpeg);
}

static void begin(struct jpeg_decompress_struct *jpeg, state *s)
{
    jpeg->err = jpeg_std_error(&s->errors);
    s->errors.error_exit = give_up;
    s->errors.emit_message = on_message;
    s->progress.progress_monitor = on_progress;
    s->warned = false;
}

static void read_header(struct jpeg_decompress_struct *jpeg, state *s, const uint8_t *data, size_t bytes)
{
    jpeg_create_decompress(jpeg);
    jpeg->progress = &s->progress;
    jpeg_mem_src(jpeg, data, bytes);
    jpeg_read_header(jpeg, TRUE);
}

int sb_jpeg_pixels(const uint8_t *data, size_t bytes, int width, int height, int channels, uint8_t *pixels)
{
    struct jpeg_decompress_struct jpeg;
    state s;
    volatile int rc = 1; /* set between setjmp and longjmp */
    begin(&jpeg, &s);
    if (setjmp(s.given_up) == 0) {
        read_header(&jpeg, &s, data, bytes);
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
        rc = same ? 0 : 1;
    } else if (s.warned) {
        char text[JMSG_LENGTH_MAX];
        jpeg.err->format_message((j_common_ptr)&jpeg, text);
        rc = sb_fail("%s", text);
    }
    jpeg_destroy_decompress(&jpeg);
    return rc;
}

bool sb_jpeg_sound(const uint8_t *data, size_t bytes)
{
    struct jpeg_decompress_struct jpeg;
    state s;
    volatile bool sound = false;
    begin(&jpeg, &s);
    if (setjmp(s.given_up) == 0) {
        read_header(&jpeg, &s, data, bytes);
        jpeg_read_coefficients(&jpeg);
        jpeg_finish_decompress(&jpeg);
        sound = true;
    }
    jpeg_destroy_decompress(&jpeg);
    return sound;
}
