/* encoder.h: the backbone as a graph: pixels in, features out. Each encoder is a line in
 * encoders/encoders.def, and it or its family is a file beside that. */
#ifndef SB_TRAINER_ENCODER_H
#define SB_TRAINER_ENCODER_H

#include <stdio.h>

#include "proto/key.h"
#include "trainer/graph/graph.h"

typedef struct sb_settings sb_settings; /* trainer/configuration.h */

/* What its norms normalise over: all views in the backbone at once; each view by itself; or nothing: they
 * keep the statistics of the weights that a run starts from. */
typedef enum { SB_ENCODER_BATCH, SB_ENCODER_GROUP, SB_ENCODER_FROZEN } sb_encoder_norm;

/* What a backbone is built for: channels of an image; the largest side that the first view has in the run,
 * for what learns something of each place (other sides are taken, too); the type of the activations; whether
 * only a part of each view is encoded. */
typedef struct {
    int channels, side;
    sb_type type;
    bool masked;
} sb_encoder_input;

/* What the features are the mean of, in the type of the activations: a map [n, h, w, c], or tokens [n, 1,
 * prefix + h w, c], the first `prefix` of which are of no place. Where only a part is encoded, the tokens of
 * that part, or a convolutional net's places, [n, 1, count, c] where a place is a cell. */
typedef struct {
    sb_t map;
    int prefix;
} sb_encoder_map;

/* Builds a backbone: leaf 0 is the views' pixels, 8-bit [n, side, side, channels]; output 0 the features, f32
 * [n, width], at which a gradient comes in. Where only a part is encoded, leaf 1 says which, i32
 * [n, 1, count, 1]: the numbers of the visible cells of each view, ascending. Returns the features, and says
 * what they are the mean of. */
typedef struct {
    const char *name;
    sb_key_table keys; /* of this one alone: encoder.* */
    sb_t (*build)(sb_graph *graph, const void *keys, const sb_encoder_input *input, sb_encoder_map *map);

    /* Pixels of a cell's side: what is visible or hidden as a whole. NULL: it encodes all of a view only. */
    int (*cell)(const void *keys);

    /* Layers behind the features with which other libraries keep this encoder: features [n, width] -> [n, c].
     * They are the first of the projector, so that they are trained with it and the features are what comes
     * before, in evaluation too; `init` takes them where the file has them, an export has them. untracked:
     * its norms gather no running statistics. NULL: none. */
    sb_t (*head)(sb_graph *graph, sb_t features, bool untracked);

    /* Prints the lines of Python, imports first, that make `model`, into which what is exported loads
     * strictly. NULL: no library has this encoder. */
    void (*show)(FILE *out, const void *keys, const sb_encoder_input *input);

    sb_encoder_norm (*norm)(const void *keys); /* NULL: SB_ENCODER_BATCH */
} sb_encoder_kind;

#define SB_ENCODER(name) extern const sb_encoder_kind sb_encoder_##name;
#include "trainer/encoders/encoders.def"
#undef SB_ENCODER

/* Of the chosen one, which encodes all of a view. */
sb_t sb_encoder_build(sb_graph *graph, const sb_settings *settings, sb_type type);

/* Of any, with its own keys, for views as the settings have them; masked: only a part of a view. */
sb_t sb_encoder_build_map(sb_graph *graph, const sb_encoder_kind *kind, const void *keys,
                          const sb_settings *settings, sb_type type, bool masked, sb_encoder_map *map);
void sb_encoder_show(FILE *out, const sb_settings *settings); /* where there is a `show` */
sb_encoder_norm sb_encoder_norm_of(const sb_settings *settings);

#endif
