/* keys.h: the keys of sampling and of views, and those that every program that computes reads: seed and
 * device. Data alone: every program links it. */
#ifndef SB_AUGMENT_KEYS_H
#define SB_AUGMENT_KEYS_H

#include "kernels/open.h"
#include "loader/keys.h"
#include "trainer/keys.h"

typedef enum { SB_GROUPS_ANY, SB_GROUPS_DISTINCT } sb_groups;

/* seed, device */
typedef struct {
    uint64_t seed;
    sb_device_choice device;
} sb_common_keys;

/* cuda.* */
typedef struct {
    char plugin[PATH_MAX]; /* "" = sb_cuda.so beside the program */
} sb_cuda_keys;

/* batch.* */
typedef struct {
    sb_groups groups; /* distinct: no two tiles of one image or group in a batch */
} sb_batch_keys;

/* views.N.*: how one view is drawn. Probabilities in 0 .. 1. */
typedef struct {
    sb_sides size;             /* pixels of a side, in the course of the run; default data.view */
    int side;                  /* in the step that sb_view_sides_at was asked for; before that the largest */
    double crop_min, crop_max; /* area of the crop as a share of the tile's */
    double ratio_min, ratio_max;                  /* aspect ratio of the crop */
    double flip;                                  /* probability */
    double jitter;                                /* probability of the four below, in random order */
    double brightness, contrast, saturation, hue; /* strengths as torchvision's ColorJitter takes them */
    double grey;                                  /* probability */
    double blur, blur_min, blur_max;              /* probability; sigma in pixels of the view */
    double solarise, solarise_threshold;          /* probability; 0 .. 1 */
} sb_view_keys;

extern const sb_key_table sb_common_table, sb_cuda_table, sb_batch_table, sb_view_table;

/* What augment reads of a configuration: its own keys and others'. */
typedef struct {
    sb_common_keys common;
    sb_cuda_keys cuda;
    sb_data_keys data;
    sb_loader_keys loader;
    sb_batch_keys batch;
    sb_trainer_keys trainer;
    int view_count;
    sb_view_keys views[SB_VIEWS_MAX];
} sb_augment_keys;

/* Fills the struct and checks what no key shows by itself: rules over several keys. */
int sb_augment_keys_read(const sb_config *config, sb_augment_keys *out);

/* The same of a run directory. */
int sb_augment_keys_of_run(sb_augment_keys *out, const char *run_dir);

/* Fills views[config->view_count], each with its largest side. A view without a size gets `side`. Views that
 * are of one size in a part of the run must be so in all of it, and be it together: they share norms and a
 * ring, and what the largest sizes take bounds what others do. */
int sb_view_keys_read(const sb_config *config, int side, sb_view_keys *views);

/* Sets each view's side to what it is in step `step` (0 ..) of `steps`. Returns the first step after it in
 * which a view has another; `steps`: none has. */
int64_t sb_view_sides_at(sb_view_keys *views, int count, int64_t step, int64_t steps);

/* Pixels of a side squared, over the views of steps [step, steps): what they cost grows with it. */
double sb_view_area(const sb_view_keys *views, int count, int64_t step, int64_t steps);

/* Distinct sizes of views in ascending order into sizes[SB_VIEWS_MAX]; returns how many. Each is a class with
 * its own ring. */
int sb_view_sizes(const sb_view_keys *views, int count, int *sizes);

#endif
