/* configuration.h: the one list of all key tables, and a whole configuration as the trainer and the evaluator
 * read it.
 *
 * Each part's keys belong to the part: `loader`, `augment`, `trainer` and `evaluator` have a keys.h and
 * keys.c each, which are data alone; the head, each method, each encoder and each optimiser have theirs in
 * their own file. Only the keys of the chosen method, encoder and optimiser are known to a run. What a method
 * suggests for other keys (sb_method_kind) stands between their defaults and the recipe. */
#ifndef SB_TRAINER_CONFIGURATION_H
#define SB_TRAINER_CONFIGURATION_H

#include "augment/keys.h"
#include "evaluator/keys.h"
#include "trainer/dense.h"
#include "trainer/encoder.h"
#include "trainer/heads/guide.h"
#include "trainer/heads/projector.h"
#include "trainer/keys.h"
#include "trainer/method.h"
#include "trainer/optimiser.h"
#include "trainer/teacher.h"

#define SB_CHOICE_BYTES 512 /* of one choice's own keys at most */

struct sb_settings {
    sb_common_keys common;
    sb_cuda_keys cuda;
    sb_start_keys start;
    sb_continue_keys continuing;
    sb_run_keys run;
    sb_data_keys data;
    sb_loader_keys loader;
    sb_projector_keys projector;
    sb_dense_keys dense;
    sb_teacher_keys teacher;
    sb_trainer_keys trainer;
    sb_optimiser_keys optimiser;
    sb_evaluate_keys evaluate;
    int images; /* of the data set (method.h); before a run's index is read, a number to plan with */
    int guide_count;
    sb_guide_how guides[SB_GUIDES_MAX]; /* of columns; their classes as for images, until the index is read */
    int view_count;
    sb_view_keys views[SB_VIEWS_MAX];
    int bank; /* samples that a loss compares, of this batch and of earlier ones; 0: of this one alone */
    const sb_method_kind *method;                     /* what was chosen, and its own keys */
    const sb_encoder_kind *encoder, *teacher_encoder; /* the teacher's: NULL: the method has none */
    const sb_optimiser_kind *optimiser_kind;
    _Alignas(max_align_t) unsigned char method_keys[SB_CHOICE_BYTES], encoder_keys[SB_CHOICE_BYTES],
        teacher_encoder_keys[SB_CHOICE_BYTES], optimiser_keys[SB_CHOICE_BYTES];
};

/* Every table, in the order in which a configuration is written; ends with NULL. */
extern const sb_key_table *const sb_tables[];

/* Prints what of this, the config.yaml of a run of an earlier version, sb_settings_read takes by another
 * name. */
void sb_settings_say_renamed(const sb_config *config);

/* Checks all that was set against every table, and fills the settings. A value that follows from others (0:
 * chosen) is written into the settings and into the configuration. */
int sb_settings_read(sb_settings *out, sb_config *config);

/* The settings of a recipe (NULL: of none) and KEY=VALUEs. */
int sb_settings_of(sb_settings *out, const char *recipe, const char *const *assignments, int count);

/* The settings of a run directory. result_text (NULL: not wanted): the keys that the result depends on, as
 * text; the caller frees it. */
int sb_settings_of_run(sb_settings *out, const char *run_dir, char **result_text);

/* Prints all keys, or those that a method, an encoder or an optimiser brings (`./run help keys`). */
int sb_settings_document(const char *choice);

#endif
