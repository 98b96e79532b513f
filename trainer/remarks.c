/* remarks.c: see remarks.h. */
#include "trainer/remarks.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/error.h"
#include "trainer/configuration.h"

#define FEW_VIEWS                                                                            \
    8 /* batch norm over fewer gains nothing from what it gathers (Wu and He 2018, figure 1) \
       */
#define SMALL_BATCH \
    256 /* below it the linear rule of LARS' learning rate loses 5 points (SimCLR, table B.1) */
#define COLUMNS_A_SAMPLE 4 /* more columns than this for each sample: far from full rank */

static const sb_entry *pushed(const sb_method *m, int push)
{
    return &m->graph->store->entries[m->pushes[push].entry];
}

/* Rows of the longest queue; 0: there is none. What is kept from one step to the next alone is no queue. */
static int64_t queue_rows(const sb_method *m)
{
    int64_t most = 0;
    for (int i = 0; i < m->push_count; i++) {
        const int64_t rows = pushed(m, i)->extent.side[0];
        if (strncmp(pushed(m, i)->name, "queue", 5) == 0 && rows > most)
            most = rows;
    }
    return most;
}

static int64_t negatives(const sb_method *m)
{
    const int64_t samples = m->samples;
    switch (m->kind->negatives) {
    case SB_NO_NEGATIVES: break;
    case SB_NEGATIVES_OF_OTHER_VIEW: return samples - 1;
    case SB_NEGATIVES_OF_BOTH_VIEWS: return 2 * samples - 2;
    case SB_NEGATIVES_OF_QUEUE: return queue_rows(m);
    }
    return 0;
}

/* Samples that a target network averages over, as its momentum is at the first step. */
static double horizon(const sb_method *m)
{
    return (double)m->step_samples / (1 - m->kind->momentum(m, 0, m->steps) + 1e-12);
}

/* Views that a batch norm of the backbone sees at once. */
static int views_at_once(const sb_settings *c, const sb_method *m)
{
    return c->trainer.chunk > 0 ? c->trainer.chunk : m->batch / c->trainer.replicas * m->views;
}

static void say_facts(const sb_settings *c, const sb_method *m)
{
    const int views = m->views, share = m->batch / c->trainer.replicas;
    const bool apart = c->projector.views == SB_VIEWS_APART;
    char text[512];
    size_t used = 0;
    if (m->kind->negatives != SB_NO_NEGATIVES)
        used += (size_t)snprintf(text + used, sizeof text - used, "%" PRId64 " negative%s for an anchor, ",
                                 negatives(m), sb_plural((uint64_t)negatives(m)));
    switch (sb_encoder_norm_of(c)) {
    case SB_ENCODER_BATCH:
        used += (size_t)snprintf(text + used, sizeof text - used, "%d view%s in a norm of the backbone, ",
                                 views_at_once(c, m), sb_plural((uint64_t)views_at_once(c, m)));
        break;
    case SB_ENCODER_GROUP:
        used += (size_t)snprintf(text + used, sizeof text - used,
                                 "one view alone in a norm of the backbone, ");
        break;
    case SB_ENCODER_FROZEN:
        used += (size_t)snprintf(text + used, sizeof text - used,
                                 "the statistics of init in the norms of the backbone, ");
        break;
    }
    used += (size_t)snprintf(text + used, sizeof text - used, "%d in one of the heads",
                             apart ? share : share * views);
    if (m->samples > m->batch)
        used += (size_t)snprintf(
            text + used, sizeof text - used,
            ", a bank of %d earlier sample%s without a gradient, which only fills in the "
            "first %d step%s",
            m->samples - m->batch, sb_plural((uint64_t)(m->samples - m->batch)), m->samples / m->batch - 1,
            sb_plural((uint64_t)(m->samples / m->batch - 1)));
    if (queue_rows(m) > 0)
        used += (size_t)snprintf(
            text + used, sizeof text - used, ", a queue of %" PRId64 " that is full after %" PRId64 " step%s",
            queue_rows(m), queue_rows(m) / m->batch, sb_plural((uint64_t)(queue_rows(m) / m->batch)));
    if (m->kind->momentum)
        snprintf(text + used, sizeof text - used, ", a target that averages over %.0f samples", horizon(m));
    sb_note("method %s: %s", m->kind->name, text);
    if (c->data.channels > 3)
        sb_note(
            "data.channels = %d: jitter, grey and solarise change the first three; crop, flip and blur are "
            "of all. The first three are normalised as colours, the others as grey",
            c->data.channels);
    if (c->data.channels == 2)
        sb_note("data.channels = 2: jitter, grey and solarise are off: two channels are no colour. Crop, "
                "flip and "
                "blur are of both");
    if (c->continuing.enabled)
        sb_note("continue: %" PRId64
                " step%s of the heads alone, then the backbone's learning rate rises in %" PRId64
                " to %g of theirs",
                c->continuing.heads, sb_plural((uint64_t)c->continuing.heads), c->continuing.ramp,
                c->continuing.lr);
}

/* Prototypes that samples are dealt out to; 0: none. */
static int64_t prototypes(const sb_method *m)
{
    for (int i = 0; m->kind->even && i < m->graph->store->count; i++)
        if (strcmp(m->graph->store->entries[i].name, "prototypes.weight") == 0)
            return m->graph->store->entries[i].extent.side[0];
    return 0;
}

void sb_remarks_recipe(const sb_config *config)
{
    const char *first = NULL, *last = NULL;
    bool known = false;
    for (int i = 0; i < config->count; i++) {
        const sb_setting *s = &config->settings[i];
        if (strcmp(s->name, "method.name") != 0)
            continue;
        first = first ? first : s->value;
        last = s->value;
    }
    for (const sb_method_kind *const *m = sb_methods; *m && last; m++)
        known = known || strcmp((*m)->name, last) == 0;
    if (known && strcmp(first, last) != 0)
        sb_note("method.name = %s: the recipe's other keys were chosen for %s; the recipe for %s is "
                "methods/%s (./run train methods/%s)",
                last, first, last, last, last);
}

/* 1: a warning. */
static int say_measures(const sb_evaluate_keys *e, int64_t steps)
{
    const int64_t between = (int64_t)e->every * e->snapshot_every;
    if (e->every == 0 || between < steps)
        return 0;
    sb_note("warning: evaluate.every = %d: beside training there is an evaluation after every %" PRId64
            " steps (evaluate.snapshot_every = %d), and the run ends with step %" PRId64
            ": there will be none. Lower evaluate.snapshot_every, or ./run evaluate measures the end",
            e->every, between, e->snapshot_every, steps);
    return 1;
}

int sb_remarks(const sb_settings *c, const sb_method *m)
{
    int warnings = say_measures(&c->evaluate, m->steps);
    say_facts(c, m);
    const int64_t seen = m->samples + queue_rows(m), run = m->steps * (int64_t)m->step_samples;
    const bool of_batch = m->kind->negatives == SB_NEGATIVES_OF_OTHER_VIEW ||
                          m->kind->negatives == SB_NEGATIVES_OF_BOTH_VIEWS || m->kind->moments;
    if (c->trainer.accumulate > 1 && of_batch) {
        warnings++;
        sb_note(
            "warning: trainer.accumulate = %d: the loss of method %s compares the samples of one batch, and "
            "a "
            "batch stays %d. trainer.batch=%d trainer.chunk=%d gives the gradient of all in the same memory",
            c->trainer.accumulate, m->kind->name, m->batch, m->step_samples, m->batch * m->views);
    }
    if (sb_encoder_norm_of(c) == SB_ENCODER_BATCH && views_at_once(c, m) < FEW_VIEWS) {
        warnings++;
        sb_note("warning: a norm of the backbone sees %d view%s: their mean and variance say little of all "
                "images. encoder.norm=group normalises each view by itself, encoder.norm=frozen keeps the "
                "statistics of init=FILE; with both a chunk may be as small as one view",
                views_at_once(c, m), sb_plural((uint64_t)views_at_once(c, m)));
    }
    if (m->kind->works_from > m->batch) {
        warnings++;
        sb_note(
            "warning: trainer.batch = %d: method %s is known to work from %d on (%s). ./run methods lists "
            "what works below",
            m->batch, m->kind->name, m->kind->works_from, m->kind->evidence);
    }
    if (m->kind->moments && c->projector.out > COLUMNS_A_SAMPLE * seen) {
        warnings++;
        sb_note(
            "warning: projector.out = %d columns from %" PRId64
            " samples: the matrix of their correlations has at most that rank, and the rest of the loss is "
            "a floor. Lower projector.out towards %" PRId64 "%s",
            c->projector.out, seen, COLUMNS_A_SAMPLE * seen,
            strcmp(m->kind->name, "barlow") == 0 ? ", or set method.queue" : "");
    }
    if (prototypes(m) > seen) {
        warnings++;
        sb_note("warning: %" PRId64 " prototypes for %" PRId64
                " samples of batch and queue: no even assignment exists. Lower method.prototypes, or raise "
                "method.queue",
                prototypes(m), seen);
    }
    if (m->kind->momentum && horizon(m) > (double)run) {
        warnings++;
        sb_note(
            "warning: the target averages over %.0f samples, and this run has %" PRId64
            ": it stays near where it began. Lower method.momentum, or method.momentum_batch to the batch "
            "that this momentum is meant for",
            horizon(m), run);
    }
    if (c->optimiser.scaling == SB_SCALING_LINEAR && strcmp(c->optimiser_kind->name, "lars") == 0 &&
        m->step_samples < SMALL_BATCH) {
        warnings++;
        sb_note(
            "warning: optimiser.scaling = linear gives LARS a learning rate of lr * %d / 256. At small "
            "batches lr * sqrt(batch) is better (optimiser.scaling=sqrt optimiser.lr=0.075; SimCLR, table "
            "B.1)",
            m->batch);
    }
    return warnings;
}
