/* images.h: which image a tile is of, as methods count them (method.h): the images of a run's index that are
 * trained on, in their order; with data.place = grid, the cells of their grids. A tile that a manifest places
 * counts as an image. */
#ifndef SB_TRAINER_IMAGES_H
#define SB_TRAINER_IMAGES_H

#include "loader/keys.h"
#include "proto/ring.h"

/* A row of the index: it has the numbers first .. first + tiles - 1; several are its grid's, row by row from
 * (left, top) on. */
typedef struct {
    int32_t first, tiles, columns, left, top;
} sb_images_row;

typedef struct {
    sb_images_row *rows;
    uint32_t row_count;
    int32_t count; /* of all numbers */
    int tile;      /* side of a cell of a grid; 0: tiles lie anywhere */
} sb_images;

/* Of a run's index, which stays as it is for as long as the run does. */
int sb_images_read(sb_images *out, const char *run_dir, const sb_data_keys *data);
void sb_images_free(sb_images *images);

/* The number of the image that a tile is of; -1: the index has no such tile. */
int32_t sb_images_number(const sb_images *images, const sb_slot_meta *tile);

#endif
