/* guides.h: what the columns that guide (guide.COLUMN) say of the images of a run. A column whose values are
 * all numbers, more than SB_GUIDE_CLASSES different ones, is one of numbers: they are given less their mean
 * and divided by their deviation, over the rows that are trained on. Any other has classes, numbered in the
 * order of their names. A row without a value is left out. */
#ifndef SB_TRAINER_GUIDES_H
#define SB_TRAINER_GUIDES_H

#include <stdint.h>

#include "loader/keys.h"

#define SB_GUIDE_CLASSES 20       /* with more, numbers are numbers */
#define SB_GUIDE_CLASSES_MAX 4096 /* of a column of classes */

typedef struct {
    int classes;     /* 0: numbers */
    uint32_t silent; /* rows that are trained on and have no value */
    float *values;   /* [rows]: a class, or a number; NAN: none */
} sb_guide_column;

typedef struct {
    sb_guide_column columns[SB_GUIDES_MAX]; /* of the keys whose weight is not 0, in their order */
    int count;
    uint32_t rows; /* of the run's index */
} sb_guides;

/* Refuses a column that says the same of all images. Notes on standard error what guides. */
int sb_guides_read(sb_guides *out, const char *run_dir, const sb_data_keys *data);
void sb_guides_free(sb_guides *guides);

#endif
