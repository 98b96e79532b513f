/* method.h: what a self-supervised method is: a loss over the features of a batch, as a graph.
 *
 * A method is a small file in methods/ that reads like its formula, built of operations whose gradients are
 * known: it writes none itself. The trainer does the rest (views, chunks, optimiser). Row v * samples + i of
 * features and embeddings is view v of sample i. */
#ifndef SB_TRAINER_METHOD_H
#define SB_TRAINER_METHOD_H

#include "proto/key.h"
#include "trainer/graph/graph.h"

typedef struct sb_settings sb_settings; /* trainer/configuration.h */

/* What a method builds with. */
typedef struct {
    sb_graph *graph;
    const void *keys; /* the method's own, filled */
    int samples, views;
    sb_t embeddings; /* the projector's output [views * samples, projector.out], not normalised */
    sb_t skip; /* 8-bit [samples, samples]: pairs of samples that are never each other's negatives; nothing is
                  given where there is none */
} sb_method;

typedef struct {
    const char *name;
    sb_key_table keys;           /* of this method alone: method.* */
    const char *const *defaults; /* "key=value" for keys of others, where the recipe says nothing; ends with
                                    NULL; NULL: none */
    int views_least, views_most;
    int samples_least;                /* a smaller batch is refused with this number */
    sb_t (*build)(sb_method *method); /* the loss [1, 1], a mean over the anchors; SB_FAILED */
} sb_method_kind;

/* Builds projector and loss over features [views * samples, width]: leaf 0 the features (their gradient is
 * wanted), leaf 1 skip; output 0 the embeddings, output 1 the loss, whose gradient is given (1). */
int sb_method_build(sb_graph *graph, const sb_settings *settings, int width);

enum { SB_LEAF_FEATURES, SB_LEAF_SKIP };
enum { SB_OUTPUT_EMBEDDINGS, SB_OUTPUT_LOSS };

#define SB_METHOD(name) extern const sb_method_kind sb_method_##name;
#include "trainer/methods/methods.def"
#undef SB_METHOD

#endif
