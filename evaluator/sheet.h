/* sheet.h: a picture of rows of square cells, 8-bit RGB, white, with a frame around each cell. */
#ifndef SB_EVALUATOR_SHEET_H
#define SB_EVALUATOR_SHEET_H

#include <stddef.h>
#include <stdint.h>

#define SB_CELL_MAX \
    256 /* views are shown as they are up to this side; larger ones are cut to every k-th pixel */

#define SB_SHEET_FRAME 4 /* pixels around a cell */

typedef struct {
    int columns, rows, cell, width, height;
    uint8_t *pixels;
} sb_sheet;

extern const uint8_t sb_sheet_green[3], sb_sheet_red[3], sb_sheet_blue[3], sb_sheet_grey[3];

/* cell: the side of one. The caller frees out->pixels. */
int sb_sheet_create(sb_sheet *out, int columns, int rows, int cell);

/* Fills a cell and its frame with a colour. */
void sb_sheet_frame(sb_sheet *sheet, int column, int row, const uint8_t colour[3]);

/* Puts a view [side, side, channels] into a cell, top left. */
void sb_sheet_put(sb_sheet *sheet, int column, int row, const uint8_t *view, int side, int channels);

/* As RUN/NAME.png, renamed into place. */
int sb_sheet_save(const sb_sheet *sheet, const char *run_dir, const char *name);

/* As a JPEG in base64, which the caller frees; NULL: it failed. */
char *sb_sheet_base64(const sb_sheet *sheet);

/* The same of a PNG file, made at most `most` pixels wide. */
char *sb_sheet_base64_of(const char *path, int most);

/* Pixels of a JPEG in memory; -1: it is none. */
int sb_sheet_size_of(const void *jpeg, size_t bytes, int *width, int *height);

/* "libvips 8.14.1" */
const char *sb_sheet_library(void);

#endif
