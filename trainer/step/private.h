/* private.h: a step as its own files see it: step.c (creation, the two passes), chunks.c (which views go
 * through the backbone together, and how they come to the device), budget.c (memory), update.c (optimiser).
 */
#ifndef SB_TRAINER_STEP_PRIVATE_H
#define SB_TRAINER_STEP_PRIVATE_H

#include "trainer/graph/plan.h"
#include "trainer/step/step.h"

#define SB_STEP_PLANS_MAX (2 * SB_VIEWS_MAX) /* for each size of view: whole chunks, and the rest */

/* The encoder's plan for n views of side x side. */
typedef struct {
    sb_plan *plan;
    int side, n;
    void *packed;
} sb_step_plan;

/* Inputs start .. start + n of a size: a piece of `inputs`. pixels: where it was uploaded to last. */
typedef struct {
    sb_step_plan *plan;
    int start, n;
    uint8_t *pixels;
} sb_chunk;

typedef struct {
    int view, sample;
} sb_step_input;

struct sb_step {
    sb_device *device;
    const sb_settings *config;
    sb_store store;
    sb_section section;
    sb_graph *encoder, *method; /* graphs */
    sb_plan *heads;             /* of `method` */
    sb_step_plan plans[SB_STEP_PLANS_MAX];
    int plan_count;
    sb_chunk *chunks;
    int chunk_count;
    sb_step_input *inputs;           /* [rows]: in the order in which they go through the backbone */
    int rows;                        /* views * batch */
    int width;                       /* of a feature */
    size_t backbone[SB_ENTRY_KINDS]; /* floats */
    void *update;                    /* what the device prepared for the optimiser */
    float *state;
    int state_arrays;
    sb_step_budget budget;

    /* Device memory. */
    void *arena, *heads_arena, *heads_packed;
    uint8_t *pixels[2], *skip;   /* pixels: a chunk is uploaded while the one before computes */
    unsigned uploads;            /* so far: which of the two is next */
    bool uploaded;               /* the chunk that comes next has been */
    float *features, *dfeatures; /* [rows, width]: row view * batch + sample */
    float *chunk_dfeatures;      /* [largest chunk, width] */
    float *running;              /* [statistic floats]: as they are after the step */
    float *one;                  /* 1: the gradient at the loss */

    uint8_t *skip_host;    /* [batch, batch] */
    uint32_t *permutation; /* [batch] */
};

/* chunks.c. Lays the batch out in chunks of at most `most` inputs (0: no bound), in place of those before. */
int sb_step_lay_out(sb_step *step, int most);
void sb_step_drop_plans(sb_step *step);

/* chunks.c. Which samples go where in step `number`: view 0 in order, every other view permuted, by (seed,
 * step, view), where there are several chunks. */
void sb_step_permute(sb_step *step, int64_t number);

/* chunks.c. Uploads chunk `number` into the buffer that the chunk before is not in. 0; 1: asked to stop; -1.
 */
int sb_step_upload(sb_step *step, const sb_step_source *source, int number);

/* chunks.c. Rows of a chunk from the batch's order to its own, and back. */
int sb_step_gather(sb_step *step, const sb_chunk *chunk, const float *batch, float *rows);
int sb_step_scatter(sb_step *step, const sb_chunk *chunk, const float *rows, float *batch);

/* budget.c. Takes all memory beside weights and optimiser; refuses what does not fit, with the largest chunk
 * that would. */
int sb_step_take_memory(sb_step *step);
void sb_step_free_memory(sb_step *step);

/* update.c */
int sb_step_make_update(sb_step *step);
void sb_step_free_update(sb_step *step);
int sb_step_update(sb_step *step, int64_t number, double lr);

#endif
