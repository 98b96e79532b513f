/* step.h: one training step: the exact gradient of a whole batch with only a chunk of it in the backbone.
 *
 * DESIGN (gradient caching; Gao et al., "Scaling deep contrastive learning batch size under memory limited
 * setup", 2021). Pass 1 runs the backbone chunk by chunk and keeps only the features. Heads and loss, one
 * graph, run once over the whole batch and give the gradient at the features. Pass 2 runs each chunk again
 * and takes its share back through the backbone. The last chunk of pass 1 is still in memory and goes first
 * in pass 2, so a batch of one chunk is the plain step, without a second forward pass. (Of many chunks the
 * last may have to go forth again, too: budget.c.)
 *
 * A chunk counts encoder inputs of one size and is the group of batch normalisation. Where a batch has
 * several chunks, the views after the first go in a permutation of the samples keyed by (seed, step).
 * Otherwise the views of an image would always share a chunk and its statistics, and a network would learn to
 * recognise those instead of the image. Nothing is committed (weights, running statistics) before
 * sb_step_commit, so a step can be dropped at any moment. All memory is taken at creation, that of the device
 * in one piece (budget.c).
 *
 * With replicas (trainer.replicas) the batch is computed as that many devices would that exchange embeddings
 * and gradients: a chunk is what one of them has, all views of its share of the samples (method.h says what
 * its heads do).
 *
 * Where a run goes on from given weights (continue.*), the heads learn alone in its first steps: pass 2 is
 * left out, and of the backbone and its target neither weights nor running statistics change. Norms of the
 * backbone use the batch's statistics as ever, so that the heads learn on what they will be given later.
 *
 * Where low-rank adapters learn in place of the backbone's matrices (continue.lora; lora.c), their gradients
 * follow from those of the matrices when the step is committed.
 *
 * A step of several batches (trainer.accumulate) averages their gradients. Each batch has its own loss, over
 * its own samples; norms gather from one after the other. What a method keeps from batch to batch would have
 * to change within a step, so such a method is refused.
 *
 * In f16 (trainer.precision) gradients are scaled on their way through the backbone (scale.c), by one scale
 * in all chunks and batches of a step. A step whose gradients are not finite is skipped: it changes the scale
 * and nothing else. */
#ifndef SB_TRAINER_STEP_H
#define SB_TRAINER_STEP_H

#include "kernels/share/overlap.h"
#include "trainer/checkpoint.h"
#include "trainer/configuration.h"
#include "trainer/graph/store.h"

typedef struct sb_step sb_step;

/* Where the batch comes from. */
typedef struct {
    void *context;
    /* The 8-bit pixels [size, size, channels] of view `view` of sample `sample` (0 .. batch - 1) in host
     * memory, valid until the step ends; waits for them. 0; 1: asked to stop; -1. Each view is asked for once
     * in each pass, but for those that came by `next`. */
    int (*fetch)(void *context, int view, int sample, const uint8_t **pixels);
    /* The same of the next batch (the step's next part, or the next step's first), without waiting: asked
     * when all of this one was fetched, and of a view more than once. So its first chunk comes to the device
     * while this batch still computes; valid until its own step ends. 0; 1: it is not there. NULL: none is.
     */
    int (*next)(void *context, int view, int sample, const uint8_t **pixels);
    /* After pass 1, where the method asks for it: fills places [batch] with the place of each sample
     * (kernels/share/overlap.h). 0; -1. NULL: none overlap. */
    int (*places)(void *context, sb_square *places);
    /* After pass 1, where the method asks for it: fills index [batch] with the image of each sample, 0 ..
     * images - 1 (configuration.h). 0; -1. NULL: sample i is of image i mod images. */
    int (*images)(void *context, int32_t *index);
    /* After pass 1: fills said [batch] with what column `guide` of those that guide says of each sample: its
     * class, or a number; NAN: nothing. 0; -1. NULL: sample i has class i mod classes, or 1 and -1 in turn.
     */
    int (*guide)(void *context, int guide, float *said);
} sb_step_source;

/* What the step takes of the device's memory, in bytes. */
typedef struct {
    size_t weights;     /* weights, gradients, optimiser state, statistics */
    size_t packed;      /* weights where a device keeps them in a form of its own; the CPU does not */
    size_t activations; /* the arena of one chunk */
    size_t batch;       /* features, heads, loss: grows with the batch */
    int chunks;         /* of a batch */
} sb_step_budget;

/* SB_DEVICE_FULL in place of -1 where nothing but memory is missing. */
int sb_step_create(sb_step **out, sb_device *device, const sb_settings *config);
void sb_step_destroy(sb_step **step);

/* The most views that a chunk can have: all of a size, of a replica. */
int sb_step_largest_chunk(const sb_settings *config);

/* A step that nothing is created for on the device: what it would take is arithmetic, also in a precision
 * that the device lacks. To be asked by sb_step_size, and destroyed, alone. */
int sb_step_sketch(sb_step **out, sb_device *device, const sb_settings *config);

/* What a step takes with this chunk (0: all views of a size) and what is made again, to the byte. */
int sb_step_size(sb_step *sketch, int chunk, sb_recompute recompute, sb_step_budget *out);

/* The largest chunk that fits into so many bytes, with everything beside it; of those that
 * are at least half as large, rather one that leaves no rest, which would be a norm of its own size. 0: there
 * is none. */
int sb_step_fit(sb_step *sketch, sb_recompute recompute, size_t available);

/* A step without a backbone and without a projector: for the loss of embeddings [views * batch, width] that
 * come from outside (sb_step_loss). config->projector.layers is 0. */
int sb_step_create_loss(sb_step **out, sb_device *device, const sb_settings *config, int width);
void sb_step_measure(const sb_step *step, sb_step_budget *out);

/* The names of all that is trained, its arrays, and the optimiser's state: state_arrays arrays, each as the
 * layout says. Where all weights have a state and none is coded, that is as the weights lie. */
const sb_store *sb_step_store(const sb_step *step);
const sb_section *sb_step_section(const sb_step *step);
float *sb_step_state(const sb_step *step, int *state_arrays);
const sb_state_layout *sb_step_state_layout(const sb_step *step);

/* The target network, the beginning of each of the store's arrays; empty where the method has none. */
const sb_section *sb_step_target(const sb_step *step);

/* The backbone comes first in each of the section's arrays: its floats, by sb_entry_kind. */
const size_t *sb_step_backbone(const sb_step *step);

const sb_method *sb_step_method(const sb_step *step);

/* All that a checkpoint of the step after `number` steps has. config_text stays the caller's. */
sb_checkpoint_view sb_step_kept(const sb_step *step, int64_t number, const char *config_text);

/* The teacher's arrays, in a store of its own, which no checkpoint has: before the first step they are to be
 * taken from its file (sb_teacher_take). Only with SB_TEACHER_FILE. */
sb_checkpoint_view sb_step_teacher(const sb_step *step);

/* To be called after weights, or all that a checkpoint has, were set from outside. */
int sb_step_weights_changed(sb_step *step);

/* To be called before the first step of a run, once its initial weights are set: a target network begins as a
 * copy of them. */
int sb_step_begin(sb_step *step);

/* Computes the loss of batch `part`, one of the trainer.accumulate of step `number`, and adds its share of
 * the step's gradient to the section's, which batch 0 overwrites. 0; 1: the source was asked to stop; -1. */
int sb_step_gradient(sb_step *step, int64_t number, int part, const sb_step_source *source, double *loss);

/* Whether the views of a sample always share a norm of the backbone with the same few others: as replicas. In
 * chunks they are permuted, and which views are together tells nothing. */
bool sb_step_regroups(const sb_step *step);

/* The loss that the first batch of step `number` would have if its later views were permuted over the
 * replicas: as sb_step_gradient's, whose call comes after it, but for that. A network that tells
 * images by the statistics of their chunk does worse there (leak.h). Leaves nothing behind. NAN while a bank
 * fills. 0; 1: the source was asked to stop; -1. */
int sb_step_regrouped(sb_step *step, int64_t number, const sb_step_source *source, double *loss);

/* A batch of embeddings, in host memory. */
typedef struct {
    const float *embeddings; /* [rows, width]: row view * batch + sample */
    const float *target;     /* the target network's; NULL: those of the trained one */
    const sb_square *places; /* as sb_step_source gives them; NULL: none overlap */
    const float *guides;     /* [guides, batch]: as sb_step_source gives them; NULL: as it says */
    const int32_t *images;   /* as sb_step_source gives them; NULL: sample i is of image i mod images */
} sb_step_embedded;

/* The same of a step without a backbone: the gradient at the embeddings, and the section's, and what a step
 * leaves behind in the section (queues, rows of images: those that learn as at a learning rate of 1), as if
 * no weight had been changed. */
int sb_step_loss(sb_step *step, int64_t number, const sb_step_embedded *batch, double *loss, float *gradient);

/* The loss of a guide (configuration.h) in the last batch, without its weight. */
double sb_step_guide_loss(const sb_step *step, int guide);

/* Makes the optimiser's step with this learning rate, and updates the running statistics. 0; 1: the step was
 * skipped; -1: also where the gradient is not finite, and nothing has changed. */
int sb_step_commit(sb_step *step, int64_t number, double lr);

/* The length of the gradient of the last step that was not skipped, of all weights together. */
double sb_step_gradient_norm(const sb_step *step);

/* The scale of f16's gradients. All are numbers of a checkpoint's tensor "loss_scale". */
typedef struct {
    float factor;  /* of the next step: 1 or more */
    float good;    /* steps in a row that were not skipped, since it changed last */
    float skipped; /* steps, of the whole run; the optimiser has not counted them */
} sb_step_scale;

/* NULL: gradients are not scaled. */
const sb_step_scale *sb_step_scale_of(const sb_step *step);

/* What the step computes in: not `auto`. */
sb_precision sb_step_precision(const sb_step *step);

/* The embeddings of one view of the last batch, f32 [batch, width] in device memory, not normalised. */
const float *sb_step_embeddings(const sb_step *step, int view, int *width);

#endif
