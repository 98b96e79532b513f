/* scalars.h: numbers against steps, by name, as a log's lines bring them; of long ones as many points as are
 * looked at. */
#ifndef SB_EVALUATOR_SCALARS_H
#define SB_EVALUATOR_SCALARS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SB_SCALAR_POINTS 1000 /* as many as TensorBoard holds of a curve, unless it is told otherwise */

typedef struct {
    int64_t step;
    double value; /* finite, as f32 too */
} sb_point;

/* Steps ascend, each comes once. */
typedef struct {
    char *name;
    sb_point *point;
    size_t count, room;
} sb_scalar;

typedef struct {
    sb_scalar *series; /* in the order in which their names came */
    size_t count, room;
    bool failed; /* there was no memory (sb_error): they lack something */
} sb_scalars;

/* A value that is not finite, or too large for f32, is left out. Of a step that comes again the last value
 * counts. name: UTF-8. */
void sb_scalars_add(sb_scalars *scalars, const char *name, int64_t step, double value);

/* The object's numbers and truth values but for its "step", as GROUP/KEY. object NULL: nothing. */
void sb_scalars_add_object(sb_scalars *scalars, const char *group, int64_t step, const json_t *object);

/* Leaves at most SB_SCALAR_POINTS: each is the mean of as many that followed each other, at the last one's
 * step. */
void sb_scalar_thin(sb_scalar *series);

void sb_scalars_free(sb_scalars *scalars);

#endif
