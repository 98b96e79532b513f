/* config.h: the configuration of a run. One table in config.c documents every key, its default and its range;
 * this is its struct.
 *
 * Sources, later ones win: the defaults, a YAML recipe, `key=value` overrides. A key is a dotted path
 * ("data.tile", "views.0.blur"). An unknown key or a bad value is an error that names key, file and line, the
 * nearest known key and the range; so is what two keys do not allow together: every key knows where it was
 * set. */
#ifndef SB_PROTO_CONFIG_H
#define SB_PROTO_CONFIG_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SB_VIEWS_MAX 16
#define SB_NAME_MAX 64
#define SB_KEYS_MAX 64 /* in config.c's table, and of one view: */
#define SB_VIEW_KEYS_MAX 32
#define SB_PLACE_MAX (PATH_MAX + 32)

typedef enum { SB_PLACE_RANDOM, SB_PLACE_GRID } sb_place;
typedef enum { SB_GROUPS_ANY, SB_GROUPS_DISTINCT } sb_groups;
typedef enum { SB_DEVICE_AUTO, SB_DEVICE_CPU, SB_DEVICE_CUDA } sb_device_choice;
typedef enum { SB_PRECISION_F32, SB_PRECISION_BF16 } sb_precision;
typedef enum { SB_METHOD_SIMCLR, SB_METHOD_DCL } sb_method_name;
typedef enum { SB_ENCODER_RESNET18, SB_ENCODER_RESNET34, SB_ENCODER_RESNET50 } sb_encoder_name;
typedef enum { SB_PROJECTOR_NORM, SB_PROJECTOR_BIAS, SB_PROJECTOR_PLAIN } sb_mlp_last_choice;
typedef enum { SB_VIEWS_TOGETHER, SB_VIEWS_APART } sb_projector_views;
typedef enum { SB_STEM_IMAGENET, SB_STEM_SMALL } sb_stem; /* 7x7/2 and max-pool; 3x3/1 without pool */
typedef enum { SB_OPTIMISER_SGD, SB_OPTIMISER_LARS, SB_OPTIMISER_ADAMW } sb_optimiser_name;
typedef enum {
    SB_SCALING_NONE,
    SB_SCALING_LINEAR,
    SB_SCALING_SQRT
} sb_lr_scaling; /* lr; lr B/256; lr sqrt(B) */

/* How one view is drawn (views.N.*). Probabilities in 0 .. 1. */
typedef struct {
    int size;                                     /* pixels of a side; default data.view */
    double crop_min, crop_max;                    /* area of the crop as a share of the tile's */
    double ratio_min, ratio_max;                  /* aspect ratio of the crop */
    double flip;                                  /* probability */
    double jitter;                                /* probability of the four below, in random order */
    double brightness, contrast, saturation, hue; /* strengths as torchvision's ColorJitter takes them */
    double grey;                                  /* probability */
    double blur, blur_min, blur_max;              /* probability; sigma in pixels of the view */
    double solarise, solarise_threshold;          /* probability; 0 .. 1 */
} sb_view_config;

typedef struct {
    uint64_t seed;
    sb_device_choice device;
    char cuda_plugin[PATH_MAX]; /* cuda.plugin; "" = sb_cuda.so beside the program */
    char init[PATH_MAX];        /* safetensors to start from; "" none */

    struct {
        char dir[PATH_MAX]; /* run.dir; "" = runs/DATE-RECIPE */
    } run;

    struct {
        char path[PATH_MAX]; /* folder or CSV manifest */
        int tile;            /* side in pixels, >= 16 */
        int view;            /* side of a view that names no size */
        int window;          /* images whose tiles are mixed with one another */
        int channels;        /* 3 or 1 */
        sb_place place;      /* random: anywhere in the training region; grid: non-overlapping */
        int tiles_per_image; /* multiplies max(1, floor(w/T) floor(h/T)) */
        bool untrusted;      /* allow loaders that libvips marks untrusted */
        double max_bad;      /* share of images that may be quarantined before the run stops */
    } data;

    struct {
        int cache_mb; /* decoded whole images that a loader keeps; 0 = those of a window, at most an eighth of
                         the memory */
        double timeout; /* seconds without progress before a loader is killed */
        int slots;      /* of the tile ring; 0 = chosen */
    } loader;
    int loaders; /* run.loaders: how many at the start */

    struct {
        sb_groups groups; /* distinct: no two tiles of one image or group in a batch */
    } batch;

    int view_count;
    sb_view_config views[SB_VIEWS_MAX];

    sb_method_name method;
    double temperature; /* method.temperature */

    struct {
        sb_encoder_name name;
        sb_stem stem;
    } encoder;

    struct {
        int layers; /* linear layers, >= 1 */
        int hidden; /* width of the hidden ones; 0 = the encoder's */
        int out;
        sb_mlp_last_choice last;
        sb_projector_views views;
    } projector;

    struct {
        int batch;     /* samples of a step */
        int chunk;     /* encoder inputs in the backbone at once (of one size); 0 = all: the plain step */
        int64_t steps; /* optimiser steps of the whole run */
        int threads;   /* compute threads; 0 = all cores. Fixed for the life of a run */
        sb_precision precision;
        int checkpoint_every, checkpoint_keep;

    } trainer;

    struct {
        sb_optimiser_name name;
        double lr;
        sb_lr_scaling scaling;
        double warmup;   /* share of the steps, linear from 0 */
        double final_lr; /* share of the peak where the cosine ends */
        double momentum, weight_decay;
        double trust;                 /* LARS eta */
        double beta1, beta2, epsilon; /* AdamW */
    } optimiser;

    struct {
        int views;          /* distorted views of each held-out tile */
        int size;           /* pixels of a view; 0 = data.view */
        int max_tiles;      /* held-out tiles at most */
        int snapshot_every; /* steps between the snapshots of the weights that a live evaluator reads */
    } evaluate;

    struct { /* for sb_config_place: lines of `file`, in the order of config.c's tables; 0: the default, -1:
                the command line */
        char file[PATH_MAX];
        int keys[SB_KEYS_MAX], views[SB_VIEWS_MAX][SB_VIEW_KEYS_MAX], view_list;
    } places;
} sb_config;

/* Sets every key to its default. */
void sb_config_defaults(sb_config *config);

/* Reads a YAML file over what is there. */
int sb_config_read(sb_config *config, const char *path);

/* Applies one "key=value"; the value is YAML. */
int sb_config_set(sb_config *config, const char *assignment);

/* Where a key (or the list "views") was set, for an error about it: "recipe.yaml:3", "command line" or
 * "default". Returns `out` (SB_PLACE_MAX bytes). */
const char *sb_config_place(const sb_config *config, const char *name, char *out);

/* Checks what no single key shows (chunk against batch, sizes against tile...), fills values that follow from
 * others (0 = chosen). */
int sb_config_finish(sb_config *config);

/* The whole configuration as YAML that reads back to the same struct; malloc'ed, the caller frees. */
char *sb_config_text(const sb_config *config);

/* The keys that the result depends on, as text: without paths, loaders, checkpoints kept and evaluation.
 * malloc'ed. */
char *sb_config_result_text(const sb_config *config);

/* Prints every key with default, range and meaning as a Markdown table (the README's, and `./run help keys`).
 */
int sb_config_document(void);

/* Distinct view sizes in ascending order into sizes[SB_VIEWS_MAX]; returns how many. Each is a class with its
 * own ring. */
int sb_config_view_sizes(const sb_config *config, int *sizes);

#endif
