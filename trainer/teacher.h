/* teacher.h: a teacher: a network that a method learns from (sb_method_kind.teacher), in a graph and a store
 * of its own. It sees the pixels that the backbone sees, runs as evaluation runs it, and has no gradient.
 *
 * SB_TEACHER_FILE: any encoder of ours that was trained before and stays as it is. Its weights and its norms'
 * statistics come from a safetensors file with that encoder's names. No checkpoint has them: a run needs the
 * file whenever it starts, and refuses another one than it began with (checkpoint.h).
 * SB_TEACHER_AVERAGE: the run's own encoder, over all of a view. Its weights are the target network's, which
 * checkpoints have. */
#ifndef SB_TRAINER_TEACHER_H
#define SB_TRAINER_TEACHER_H

#include <limits.h>

#include "proto/key.h"
#include "trainer/checkpoint.h"
#include "trainer/graph/graph.h"

typedef struct sb_settings sb_settings; /* trainer/configuration.h */

#define SB_TEACHER_ENCODER "resnet50" /* by default */

/* teacher.* */
typedef struct {
    char encoder[PATH_MAX], file[PATH_MAX]; /* encoder: "vit_small pool=class registers=4" */
} sb_teacher_keys;

extern const sb_key_table sb_teacher_table;

typedef struct {
    sb_store store;
    sb_graph *graph; /* NULL: there is no teacher */
    bool places;     /* whether output 1 is its map */
} sb_teacher;

/* What it gives of each view, f32: outputs of the graph. */
enum { SB_TEACHER_FEATURES, SB_TEACHER_MAP };

/* The teacher of a configuration whose method has one, in activations of this type. most: cells along a side
 * of its map at most; 0: no map is wanted. */
int sb_teacher_build(sb_teacher *out, sb_device *device, const sb_settings *config, sb_type type, int most);
void sb_teacher_free(sb_teacher *teacher); /* tolerates zeroes */

/* The graph's leaf for n views of side x side; and of an output the shape. 0; -1. */
sb_shape sb_teacher_pixels(const sb_teacher *teacher, int n, int side);
int sb_teacher_shape(const sb_teacher *teacher, int n, int side, int output, sb_shape *out);

/* Takes the weights from the file: all of them, or it is refused. view: the teacher's arrays
 * (sb_step_teacher). *report: what was taken, malloc'ed. mark: a checksum of the file. */
#define SB_TEACHER_MARK 16
int sb_teacher_take(const sb_checkpoint_view *view, const sb_settings *config, char **report,
                    char mark[SB_TEACHER_MARK]);

#endif
