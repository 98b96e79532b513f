/* private.h: a step as its own files see it: step.c (creation, the two passes), chunks.c (which views go
 * through the backbone together, and how they come to the device), heads.c (heads and loss: what they are
 * given, what a step leaves behind), images.c (what a method keeps for each image), places.c (where the
 * samples lie), guides.c (what columns say of them), teacher.c (the teacher), budget.c (memory), recompute.c
 * (what is made again), norm.c (the gradient's length), update.c (optimiser), lora.c (low-rank adapters),
 * scale.c (f16's gradients). */
#ifndef SB_TRAINER_STEP_PRIVATE_H
#define SB_TRAINER_STEP_PRIVATE_H

#include "trainer/backbone.h"
#include "trainer/graph/plan.h"
#include "trainer/method.h"
#include "trainer/step/step.h"

#define SB_STEP_PLANS_MAX (2 * SB_VIEWS_MAX) /* for each size of view: whole chunks, and the rest */
#define SB_UPDATE_PARTS 2                    /* the optimiser may treat heads and backbone apart */

/* The encoder's plan for n views of side x side, and how many chunks go through it. */
typedef struct {
    sb_plan *plan, *teacher; /* teacher: NULL where there is none */
    int side, n, chunks;
    sb_masks masks;                                /* of views of this side */
    void *packed, *target_packed, *teacher_packed; /* weights of the trained network, and of the others */
} sb_step_plan;

/* Inputs start .. start + n of a size: a piece of `inputs`. pixels, and cells (the visible ones of each, then
 * the predicted of each): where they were uploaded to last. */
typedef struct {
    sb_step_plan *plan;
    int start, n;
    uint8_t *pixels;
    int32_t *cells;
} sb_chunk;

typedef struct {
    int view, sample;
} sb_step_input;

/* What the backbone and the teacher give of each view (sb_backbone_row), of the whole batch. Device memory.
 */
typedef struct {
    size_t width;        /* floats of a row; 0: none */
    float *rows, *drows; /* [views * batch, width]: row view * batch + sample, and the gradient there; a
                            teacher has none */
    float *chunk_drows;  /* [largest chunk, width] */
    float *target;       /* as rows, the target network's */
} sb_step_rows;

typedef struct sb_step_adapter sb_step_adapter;

struct sb_step {
    sb_device *device;
    const sb_settings *config;
    sb_store store;
    sb_section section, target; /* target: of backbone and projector; empty where the method has none */
    sb_section teacher; /* of its own store (teacher.h), or `target`, which then has the encoder alone */
    sb_method method;
    sb_graph *encoder, *loss, *target_projector;   /* heads and loss; the projector of the target network */
    sb_backbone backbone;                          /* the encoder's graph */
    sb_plan *heads, *target_heads;                 /* of the last two; target_heads: NULL without a target */
    sb_plan_bytes heads_bytes, target_heads_bytes; /* what they take; in a sketch what they would at most */
    bool *again; /* [nodes of the encoder]: what is made again instead of kept */
    sb_step_plan plans[SB_STEP_PLANS_MAX];
    sb_chunk *chunks;
    int plan_count, chunk_count;
    sb_step_input *inputs;     /* [rows]: in the order in which they go through the backbone */
    int64_t inputs_of;         /* the batch whose they are */
    sb_step_adapter *adapters; /* of the backbone (lora.c) */
    int rows, adapter_count;   /* rows: views * batch */
    void *update;              /* the optimiser's table (update.c) */
    float *state;              /* state_arrays arrays, one behind the other */
    int state_arrays;
    sb_state_layout state_layout;
    sb_step_budget budget;
    sb_precision precision; /* not auto */
    bool scaled;            /* f16: there is a scale, an entry of the store */
    bool overlapping;       /* places of the batch in work; otherwise the loss is given none */
    int scale_entry;
    sb_step_scale scale;

    /* Device memory: one piece, and what lies in it. */
    void *memory, *section_memory, *target_memory, *teacher_memory, *update_packed[SB_UPDATE_PARTS];
    size_t update_bytes[SB_UPDATE_PARTS];
    bool shares; /* heads and loss work where the chunks do: the last chunk is gone when its gradient comes */
    void *arena, *heads_arena, *heads_packed, *target_arena, *target_packed;
    uint8_t *pixels[2]; /* a chunk is uploaded while the one before computes */
    int32_t *cells[2];  /* with it */
    unsigned uploads;   /* so far: which of the two is next */
    bool uploaded;      /* the chunk that comes next has been */
    int64_t ahead;      /* the batch whose first chunk that is, if a call before uploaded it; else -1 */
    sb_step_rows given_rows[SB_METHOD_ROWS];
    float *teacher_map;              /* of the chunk that it went over last */
    int32_t *index;                  /* [rows]: of each of `inputs`, its row in these */
    float *running, *target_running; /* [statistic floats of the section]: as they are after the step */
    int32_t *wrong;       /* [2]: whether a gradient is not finite, of the backbone and of the rest */
    float *squares;       /* of the gradient, piece by piece (norm.c) */
    float *share;         /* 1 / accumulate: the gradient at the loss of a batch */
    int64_t batch_number; /* of the batch in work, counted over the run: what it draws follows from it */
    float *lengths;       /* of the rows of one weight that are to have length 1 */
    float *given; /* [given_floats]: the numbers that the loss is given in each step; images' and places' are
                     i32 */
    float *table_rows, *table_gradient; /* [table_floats]: table t's rows of the batch's images */
    size_t table_floats, table_offset[SB_TABLES_MAX];

    const sb_step_embedded *embedded; /* what sb_step_loss was given */
    int32_t *index_host;              /* [rows] */
    float *squares_host;
    double gradient_norm;            /* of the last step that was committed */
    int32_t *cells_host[2];          /* NULL where nothing is masked */
    uint32_t *permutation;           /* [batch] */
    int32_t *all_images;             /* [images]: in their order; NULL where nothing draws from them */
    int32_t *swapped;                /* [images] */
    float *given_host;               /* [given_floats]: leaf k's from given_offset[k] on */
    float *said_host;                /* [batch]: what a column says */
    sb_square *places_sorted;        /* [batch] */
    float guide_loss[SB_GUIDES_MAX]; /* of the last batch */
    size_t given_floats, given_offset[SB_LEAVES_MAX];
};

/* recompute.c. Sets again[] of the encoder's nodes. */
void sb_step_recompute(sb_step *step, sb_recompute what);

/* chunks.c. How a batch is cut: the views of each size, `rows`, into chunks of `whole` and a last one of
 * `rest` (0: none). most: inputs of a chunk; 0: no bound. Returns how many sizes there are, ascending. */
typedef struct {
    int side, rows, whole, rest;
} sb_step_cut;
int sb_step_cut_batch(const sb_settings *config, int most, sb_step_cut out[SB_VIEWS_MAX]);

/* chunks.c. Lays the batch out in chunks of at most `most` inputs (0: no bound), in place of those before. */
int sb_step_lay_out(sb_step *step, int most);
void sb_step_drop_plans(sb_step *step);

/* chunks.c. -1: says why the encoder has no plan for n views of side x side, whose error there is: not for a
 * single one, which is smaller than what it needs, or not for so many. */
int sb_step_cannot_plan(const sb_step *step, int n, int side);

/* chunks.c. Sets the order of the samples in this batch, and tells the device: view 0 as they come, every
 * other view permuted, by (seed, batch, view), where there are several chunks. Of a replica all views are of
 * its own samples. again: another permutation, over the replicas, too. */
typedef enum { SB_GROUP_STEP, SB_GROUP_AGAIN } sb_step_grouping;
int sb_step_order(sb_step *step, sb_step_grouping grouping);

/* chunks.c. Uploads chunk `number` into the buffer that the chunk before is not in. 0; 1: asked to stop; -1.
 */
int sb_step_upload(sb_step *step, const sb_step_source *source, int number);

/* chunks.c. Uploads the first chunk of the next batch, if all of it is there, when all of this one was
 * uploaded: beside what the last chunk still computes. */
int sb_step_upload_ahead(sb_step *step, const sb_step_source *source);

/* chunks.c. What was uploaded and not computed counts as not uploaded. */
void sb_step_forget_upload(sb_step *step);

/* chunks.c. The gradient at what the backbone gives, from the batch's order to the chunk's; and what it gave
 * of the chunk, in the trained network or in the target, to its rows of the batch. */
int sb_step_gather(sb_step *step, const sb_chunk *chunk);
int sb_step_scatter(sb_step *step, const sb_chunk *chunk, bool target);

/* heads.c. Plans heads and loss, and the target's projector; says how many numbers they are given. sketch:
 * how large they would be is enough. */
int sb_step_plan_heads(sb_step *step, bool sketch);

/* heads.c. The loss of step `number` over the features of the whole batch; nothing else is made of it. NAN
 * while a bank fills. */
int sb_step_heads_loss(sb_step *step, int64_t number, const sb_step_source *source, double *loss);

/* heads.c. Heads and loss of step `number` over the features of the whole batch, there and back. */
int sb_step_heads(sb_step *step, int64_t number, const sb_step_source *source, double *loss);

/* heads.c. After the optimiser's step: unit rows, the target's average, the queues, what images have. */
int sb_step_follow(sb_step *step, int64_t number, double lr);

/* guides.c. Asks the source what columns say of the batch: into given_host. */
int sb_step_ask_guides(sb_step *step, const sb_step_source *source);

/* places.c. Asks the source where the samples of the batch lie, and whether any overlap: into given_host. */
int sb_step_ask_places(sb_step *step, const sb_step_source *source);

/* images.c. Asks the source which images the batch has, and draws others: into given_host. */
int sb_step_number_images(sb_step *step, const sb_step_source *source);

/* images.c. The rows that the loss is given; and after it, with that learning rate, what becomes of them. */
int sb_step_get_rows(sb_step *step);
int sb_step_keep_rows(sb_step *step, double lr);

/* teacher.c. All do nothing where there is none. plan: that of a chunk. size: what that takes, and the map of
 * a chunk. pack: after its weights were set. */
int sb_step_plan_teacher(sb_step *step, sb_step_plan *plan);
int sb_step_size_teacher(const sb_step *step, int n, int side, sb_plan_bytes *plan, size_t *map);
int sb_step_pack_teacher(sb_step *step);

/* teacher.c. The teacher over a chunk that was brought: its features to their rows of the batch, its map to
 * teacher_map. */
int sb_step_teach(sb_step *step, const sb_chunk *chunk);

/* budget.c. Takes all of the device's memory, once everything is planned, and the host's; refuses what does
 * not fit, with the largest chunk that would: SB_DEVICE_FULL. */
int sb_step_take_memory(sb_step *step);
void sb_step_free_memory(sb_step *step);

/* lora.c. All do nothing where there are no adapters. add: when all other entries are there. begin: the
 * weights are as they were given. gradients: of a step, from those of the weights. merge: the weights again,
 * after the optimiser's step. */
int sb_step_add_adapters(sb_step *step);
int sb_step_begin_adapters(sb_step *step);
int sb_step_adapter_gradients(sb_step *step);
int sb_step_merge_adapters(sb_step *step);

/* scale.c. All do nothing where gradients are not scaled, but the first, which adds the entry. */
int sb_step_make_scale(sb_step *step);
int sb_step_read_scale(sb_step *step);     /* after what a checkpoint has was set */
int sb_step_scale_gradient(sb_step *step); /* at the features */

/* scale.c. Of the weights, once all batches of a step were added; then the scale is the next step's. 0; 1:
 * the step is to be skipped; -1. alone: the heads learn alone, and nothing went back through the backbone. */
int sb_step_unscale(sb_step *step, bool alone);

/* norm.c. pieces: of `squares`. measure: the gradient of a step, before the optimiser has it; -1 where it is
 * not finite. */
size_t sb_step_norm_pieces(const sb_step *step);
int sb_step_measure_gradient(sb_step *step);

/* update.c. list: the optimiser's tables, without addresses, and how much of the device's memory they take.
 * set: with them, and the state zeroed. */
int sb_step_list_update(sb_step *step);
int sb_step_set_update(sb_step *step);
void sb_step_free_update(sb_step *step);
int sb_step_update(sb_step *step, int64_t number, double lr);

#endif
