/* backbone.h: the encoder with what a method wants of it beside the features: a map, a loss of each view by
 * itself; and beside it the teacher, if the method has one. Each is an output of one graph, f32, at which a
 * gradient comes in: the graph of heads and loss has the rows of the whole batch as leaves (step/step.h),
 * whatever they are rows of.
 *
 * What stands behind the encoder has its weights behind the encoder's in the store. They are no part of what
 * is exported or evaluated. */
#ifndef SB_TRAINER_BACKBONE_H
#define SB_TRAINER_BACKBONE_H

#include "trainer/configuration.h"
#include "trainer/encoder.h"
#include "trainer/method.h"
#include "trainer/teacher.h"

typedef struct {
    sb_graph *graph;
    int outputs[SB_BACKBONE_ROWS]; /* of the graph; -1: the method does not want it */
    size_t floats[SB_ENTRY_KINDS]; /* of the store, to the end of the encoder */
    size_t weights;                /* floats of it, to the end of the graph */
    sb_teacher teacher;
} sb_backbone;

/* Into an empty graph of a store that is empty, too. The caller calls free, after a failure too; the graph
 * stays the caller's. */
int sb_backbone_build(sb_backbone *out, sb_graph *graph, const sb_settings *config, sb_type type);
void sb_backbone_free(sb_backbone *backbone);

/* What a batch has of each output and of the teacher, one row for a view (sb_method_build): n is 1, c 0 where
 * there is none. All views have to give rows of the same shape. */
int sb_backbone_rows(const sb_backbone *backbone, const sb_settings *config, sb_shape rows[SB_METHOD_ROWS]);

/* Of a method that was built: a target network that is an average of the encoder alone has nothing behind it.
 */
void sb_backbone_limit_target(const sb_backbone *backbone, sb_method *method);

/* The leaf that the teacher's map is, where there is one. */
int sb_backbone_teacher_leaf(const sb_settings *config);

/* The shapes of the graph's leaves for `n` views of side x side: pixels, and where the method masks the
 * visible and the predicted cells, then the teacher's map. 0; -1. */
int sb_backbone_leaves(const sb_backbone *backbone, const sb_settings *config, int n, int side,
                       sb_shape leaves[SB_LEAVES_MAX]);

/* The masks of views of side x side, which the caller frees; without cells where the method has none. 0; -1.
 */
int sb_backbone_masks(const sb_settings *config, int side, sb_masks *out);

#endif
