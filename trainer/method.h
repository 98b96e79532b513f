/* method.h: what a self-supervised method is: a loss over the features of a batch, as a graph.
 *
 * DESIGN. A method is a small file in methods/ that reads like its formula, built of operations whose
 * gradients are known: it writes none itself. It asks for what it needs by the functions below; the trainer
 * does the rest (views, chunks, target network, optimiser, checkpoints). Row v * samples + i of what covers
 * all views is view v of sample i.
 *
 * What is built is run in this order in each step: the target network or the teacher over all views, if one
 * was asked for; the backbone; this graph over the whole batch, there and back; the optimiser's step; then,
 * at once, what a step leaves behind: the target's average, the queues' rows, rows that are to have unit
 * length, and what is kept for each image. Where a step has several batches (trainer.accumulate), the
 * networks and this graph run once for each, and what is left behind comes after the last: a method that
 * keeps anything is refused there.
 *
 * A method may want more of the backbone than the features (sb_backbone_row): a map of each view, of the
 * target's too, or the loss of each view by itself, which a graph behind the encoder makes where the view is
 * in the backbone (`inside`). Where that is all of the loss, its gradient is known before its value, and one
 * pass through the backbone is enough.
 *
 * A method may learn from a teacher (teacher.h), which goes over each chunk of views before the backbone. Its
 * features are the whole batch's. Its map is there with the chunk alone, for `inside`, so that memory does
 * not grow with the batch; a batch of several chunks goes through the teacher twice.
 *
 * With a bank (method.bank) the loss compares more samples than a batch has: behind the rows of a batch stand
 * those of the batches before it, without a gradient. A method does not notice: it has the embeddings of
 * `samples` samples, and what it keeps itself would be kept twice, so that is refused. Until the bank is full
 * a step only fills it: its loss and its gradient are 0.
 *
 * With replicas (trainer.replicas) the loss is of the whole batch, as where devices exchange their embeddings
 * and the gradients at them. Norms see the share of one, and the first one's gather the running statistics,
 * as PyTorch's DistributedDataParallel does.
 *
 * Columns that guide (guide.COLUMN) are no method's: each has a head of its own over the backbone's features,
 * whose loss is added to the method's. One method (`told`) learns from them alone.
 *
 * An image is here what the data set has one of: with data.place = grid a cell of an image's grid, or else
 * two tiles of one image would share what is kept, although they show different things. */
#ifndef SB_TRAINER_METHOD_H
#define SB_TRAINER_METHOD_H

#include "kernels/share/overlap.h"
#include "loader/keys.h"
#include "proto/config.h"
#include "trainer/graph/graph.h"
#include "trainer/heads/mlp.h"
#include "trainer/masks.h"

typedef struct sb_settings sb_settings; /* trainer/configuration.h */

#define SB_PUSHES_MAX SB_VIEWS_MAX
#define SB_TABLES_MAX 4

typedef struct sb_method sb_method;

/* A number that follows from the step: 0 is the first of `steps`. */
typedef double (*sb_schedule)(const sb_method *method, int64_t step, int64_t steps);

/* What the backbone gives of each view; and what the method is given beside it, without a gradient. */
typedef enum {
    SB_ROW_FEATURES,
    SB_ROW_MAP,  /* what the features are the mean of, in cells: f32 [g, g, c] */
    SB_ROW_LOSS, /* of the view by itself */
    SB_BACKBONE_ROWS,
    SB_ROW_TEACHER = SB_BACKBONE_ROWS, /* the teacher's features */
    SB_METHOD_ROWS
} sb_backbone_row;

/* What a leaf of the graph is given before it runs. */
typedef enum {
    SB_GIVEN_BACKBONE,   /* row `index` (sb_backbone_row), of all views */
    SB_GIVEN_PLACES,     /* where the samples lie; NULL where none overlap */
    SB_GIVEN_TARGET,     /* output `index` of the target's graph */
    SB_GIVEN_TARGET_MAP, /* the target backbone's, of all views */
    SB_GIVEN_STATE,      /* the store's entry `index` */
    SB_GIVEN_NUMBER,     /* `number` of this step */
    SB_GIVEN_NORMAL,     /* normal numbers, drawn anew for each step */
    SB_GIVEN_IMAGES,     /* which image each sample is of */
    SB_GIVEN_OTHERS,     /* images of which no sample is, drawn anew for each step */
    SB_GIVEN_ROWS,       /* the rows of table `index` for the images of the batch */
    SB_GIVEN_SAID,       /* of which samples the column of guide `index` says something (heads/guide.h) */
    SB_GIVEN_TOLD        /* what it says */
} sb_given_kind;
typedef struct {
    sb_given_kind kind;
    int index;
    sb_schedule number;
} sb_given;

/* Bytes of the host's memory that a leaf of this kind and shape is given anew in each step; 0: it is given
 * what is on the device. */
static inline size_t sb_given_bytes(sb_given_kind kind, const sb_shape *shape)
{
    const bool on_device = kind == SB_GIVEN_BACKBONE || kind == SB_GIVEN_TARGET || kind == SB_GIVEN_STATE ||
                           kind == SB_GIVEN_ROWS || kind == SB_GIVEN_TARGET_MAP;
    return on_device ? 0 : (sb_shape_bytes(shape) + 255) / 256 * 256;
}

/* After a step, output `output` is written over the oldest rows of the queue, which is entry `entry`. */
typedef struct {
    int entry, output;
} sb_queue_push;

/* After a step, output `output` is written over the rows of the batch's images in entry `entry`. */
typedef struct {
    int entry, output;
} sb_image_put;

/* Entry `entry`, whose rows learn by themselves; leaf `leaf` is given those of the batch's images. */
typedef struct {
    int entry, leaf;
    double rate;
} sb_image_table;

/* Where the negatives of an anchor come from. */
typedef enum {
    SB_NO_NEGATIVES,
    SB_NEGATIVES_OF_OTHER_VIEW, /* of the batch: samples - 1 */
    SB_NEGATIVES_OF_BOTH_VIEWS, /* of the batch: 2 samples - 2 */
    SB_NEGATIVES_OF_QUEUE
} sb_negatives;

/* Another network that a method learns from: one that was trained before; or the target network, an average
 * of the encoder alone, which sees all of a view where the encoder does not (so its map is what is wanted).
 */
typedef enum { SB_TEACHER_NONE, SB_TEACHER_FILE, SB_TEACHER_AVERAGE } sb_teacher_kind;

/* The graph of the encoder, which is made longer: what `inside` has to go on from. pixels: as they came,
 * 8-bit [n, side, side, channels]; map and prefix: encoder.h; visible, predicted: the numbers of these cells
 * of each view, i32 [n, 1, count, 1], where the method masks; places, teacher: where there is a teacher and
 * its map is wanted, the map (not of a part of a view) and the teacher's in the same cells, f32 [n, g, g, c]
 * each, the latter without a gradient. */
typedef struct {
    sb_graph *graph;
    sb_t pixels, map, visible, predicted, places, teacher;
    int prefix, cell; /* cell: its side in pixels; 0: the encoder has none */
} sb_inside;

typedef struct {
    const char *name;
    const char *summary;  /* what it does, in half a line */
    const char *paper;    /* authors, year, arXiv number */
    int works_from;       /* the smallest batch at which a source shows that it works; 0: none known */
    const char *evidence; /* which source, with its figure; NULL: none */
    sb_negatives negatives;
    bool moments;      /* the loss is of how columns vary together, which takes more samples than columns */
    bool even;         /* samples are dealt out evenly to `prototypes` */
    sb_key_table keys; /* of this method alone: method.* */
    const char *const *defaults; /* "key=value" for keys of others, where the recipe says nothing; ends with
                                    NULL; NULL: none */
    int views_least, views_most;
    int samples_least;       /* a smaller batch is refused with this number */
    sb_schedule momentum;    /* of the target network; NULL: there is none */
    bool images;             /* it keeps something for each image */
    bool told;               /* its loss is of the columns that guide, of which there is one at least */
    sb_teacher_kind teacher; /* it learns from another network (teacher.h); its map, if any, is as large as
                                `map` says, and then only `inside` has maps */
    const sb_mask_keys *(*mask)(const void *keys); /* of its own keys. NULL: nothing is hidden, and all of a
                                                      view is encoded */
    int (*map)(const void *keys); /* cells of the map's side at most; NULL: it wants no map */
    sb_t (*inside)(const void *keys, const sb_inside *in); /* f32 [n, 1], a loss of each view; NULL: none */
    sb_t (*build)(sb_method *method); /* the loss [1, 1]; SB_FAILED. NULL: the mean of those of all views */

    /* What stands behind the projector in the target network, too, over embeddings z of a graph: the target's
     * embeddings are what it makes of them. NULL: nothing. */
    sb_t (*head)(sb_method *method, sb_graph *graph, sb_t z);
} sb_method_kind;

/* Whether the target network is a second one of backbone and projector, which sees what they see. */
static inline bool sb_method_mirrored(const sb_method_kind *kind)
{
    return kind->momentum && kind->teacher != SB_TEACHER_AVERAGE;
}

/* What a method builds with, and what it asked for. */
struct sb_method {
    const sb_method_kind *kind;
    const sb_settings *config;
    const void *keys;          /* the method's own, filled */
    int batch;                 /* samples that go through the network */
    int samples, views, width; /* samples: that the loss compares, of batch and bank; width: of a feature */
    sb_t rows[SB_METHOD_ROWS], target_map; /* SB_NONE: there are none */
    int step_samples;                      /* of an optimiser step: of its batches together */
    int images;                            /* of the data set */
    int64_t steps;                         /* of the run */
    sb_graph *graph, *target; /* target: its projector, over the target's features, which are leaf 0 */
    sb_given given[SB_LEAVES_MAX];
    sb_t embeddings[SB_VIEWS_MAX], targets[SB_VIEWS_MAX]; /* of the batch; SB_NONE: not asked for yet */
    sb_t compared[SB_VIEWS_MAX];                          /* embeddings of batch and bank, in the same way */
    size_t projector[SB_ENTRY_KINDS];    /* floats of the store, to the end of projector and head */
    int embedding_outputs[SB_VIEWS_MAX]; /* of a view; of all views in the first, where they go together */
    int loss_output, guide_outputs[SB_GUIDES_MAX]; /* the loss; each guide's, of the settings' */
    sb_queue_push pushes[SB_PUSHES_MAX];
    sb_image_put puts[SB_PUSHES_MAX];
    sb_image_table tables[SB_TABLES_MAX];
    int push_count, put_count, table_count;
    sb_t image_index; /* SB_NONE: not asked for yet */
};

/* Builds heads and loss into two empty graphs of one store, the target's if the method has one, over what the
 * backbone and the teacher give of each view (n is 1; c is 0: nothing): leaf k of the graph is the k-th that
 * is given, of all views. `out` is kept as long as the graphs are. */
int sb_method_build(sb_method *out, sb_graph *graph, sb_graph *target, const sb_settings *config,
                    const sb_shape rows[SB_METHOD_ROWS]);

/* Whether the bank is not full yet in this step. */
bool sb_method_fills(const sb_method *method, int64_t step);

/* ---- what a method asks for ------------------------------------------------------------------------------
 * A tensor each; SB_FAILED, which every builder passes on. */

/* The projector's output, not normalised: of all views [views * samples, projector.out]; of one view
 * [samples, projector.out]. projector.views says whether the norms of the projector see all views together
 * or each view alone; the first of the two functions needs them together. */
sb_t sb_embeddings(sb_method *method);
sb_t sb_embedding(sb_method *method, int view);

/* Layers behind them (a predictor): over x, which covers one view or all of them. Each of the replicas
 * (trainer.replicas) has norms of its own. A second call with the same name shares the weights. */
sb_t sb_head(const sb_method *method, sb_t x, const char *name, const sb_mlp_how *how);

/* The same of the target network, which has an encoder and a projector of its own: an average of the trained
 * ones. No gradient goes to it. */
sb_t sb_target_embedding(sb_method *method, int view);

/* Of a tensor t that covers all views, the rows of one view. */
sb_t sb_view_rows(sb_method *method, sb_t t, int view);

/* i32 [samples, 4]: the place of each sample (kernels/share/overlap.h). Those that overlap are never each
 * other's negatives; what is in a bank overlaps nothing. */
sb_t sb_places(sb_method *method);

/* The map of all views, f32 [views * samples, g, g, c], and the target network's, to which no gradient goes.
 */
sb_t sb_map_of_views(sb_method *method);
sb_t sb_target_map(sb_method *method);

/* The losses of all views, which `inside` makes, [views * samples, 1]; and of a teacher the features, which
 * have no gradient, [views * samples, width]. */
sb_t sb_losses_of_views(sb_method *method);
sb_t sb_teacher_features(sb_method *method);

/* Of the target's graph, whose leaves are the target's features and its map, where there is one: tensor t of
 * it as a leaf of the method's graph. */
sb_t sb_target_output(sb_method *method, sb_t t, const char *name);

/* [rows, width], zeros at first: what the last step pushed in its place (an average over the steps). */
sb_t sb_kept(sb_method *method, const char *name, int rows, int width);

/* [rows, width], zeros at first: what the last steps pushed. `rows` is a multiple of the samples, and the
 * rows of a step stand at (step mod rows / samples) * samples: their order is not that of their age. */
sb_t sb_queue(sb_method *method, const char *name, int rows, int width);

/* Of a queue that is asked for with `rows`, down to a multiple of the samples. */
static inline int sb_queue_rows(const sb_method *method, int rows)
{
    return rows / method->samples * method->samples;
}

/* How many rows of a queue of so many the steps before `step` have pushed. */
static inline double sb_queue_filled(const sb_method *method, int rows, int64_t step)
{
    return step < rows / method->samples ? (double)(step * method->samples) : rows;
}

/* After the step, t takes the place of the oldest rows of a queue, or of all rows of what is kept. */
sb_t sb_push(sb_method *method, sb_t queue, sb_t t);

/* x [n, width] times `count` learnt vectors of unit length: [n, count]. They stay as they began for the
 * first `frozen` steps. A second call shares them. */
sb_t sb_prototypes(sb_method *method, sb_t x, int count, int64_t frozen);
sb_t sb_prototypes_in(sb_graph *graph, sb_t x, int count, int64_t frozen); /* for a head */

/* Every vector (a bias, a weight of a norm) that was built so far learns at `rate` times the learning
 * rate. */
void sb_vector_rate(sb_method *method, double rate);

/* Every weight that was built so far and whose name begins with `name` learns at the schedule's peak
 * throughout: neither warm-up nor decay applies. */
void sb_steady_rate(sb_method *method, const char *name);

/* [1, 1]: a number that follows from the step. */
sb_t sb_number(sb_method *method, sb_schedule number);

/* [1, 1]: the number 1. Times a column, as a product over columns, it makes a row of that. */
sb_t sb_one(sb_method *method);

/* [1, 1]: a number that is learnt, 0 at first, without weight decay. Under `name`.weight. */
sb_t sb_learnt(sb_method *method, const char *name);

/* [rows, width]: normal numbers that follow from the seed and the step. */
sb_t sb_normal(sb_method *method, int rows, int width);

/* ---- what is kept for each image -------------------------------------------------------------------------
 * For a method that says so (sb_method_kind.images). The arrays have a row for each of `images`: they are in
 * the checkpoints of a run, and belong to its data set. */

/* i32 [samples, 1]: which image each sample of the batch is of, 0 .. images - 1. It may come twice. */
sb_t sb_image_index(sb_method *method);

/* Of an array [images, width], zeros at first, the rows of the batch's images [samples, width]. No gradient
 * goes to them. */
sb_t sb_per_image(sb_method *method, const char *name, int width);

/* After the step, t [samples, width] takes the place of these rows, which sb_per_image gave. Of two samples
 * of one image the later one counts. */
sb_t sb_put(sb_method *method, sb_t rows, sb_t t);

/* The same of an array of learnt vectors of unit length, which begin at random. After the step each vector e
 * of the batch's images goes along the sum g of its samples' gradients, e <- unit(e - rate lr g), lr the
 * step's learning rate. It has no momentum and no weight decay, which would move the vectors of all other
 * images, too, and takes no memory beside itself. */
sb_t sb_table(sb_method *method, const char *name, int width, double rate);

/* i32 [count, 1]: `most` images, or as many as there are, of which no sample of the batch is: each at most
 * once, in an order that follows from the seed and the step. */
sb_t sb_other_images(sb_method *method, int most);

/* The rows of other images in an array of which sb_table or sb_per_image gave `rows`: [count, width]. No
 * gradient goes to them. */
sb_t sb_rows_of_images(sb_method *method, sb_t rows, sb_t index);

/* ---- what columns say ------------------------------------------------------------------------------------
 * For a method that says so (sb_method_kind.told), of guide `guide` of the settings' guide_count. */

/* How wide an output is that tells it: its classes; 1: a number. */
int sb_told_width(const sb_method *method, int guide);

/* [1, 1]: how far x [views * batch, width] is from it, in the mean of the samples of which it says something:
 * cross-entropy of logits, or a squared distance. */
sb_t sb_told_error(sb_method *method, int guide, sb_t x);

#define SB_METHOD(name) extern const sb_method_kind sb_method_##name;
#include "trainer/methods/methods.def"
#undef SB_METHOD

/* All of them, in the order of methods.def; ends with NULL. */
extern const sb_method_kind *const sb_methods[];

#endif
