/* supervised.c: no self-supervision: the network learns what columns of the data set say of its images, as
 * labels do. It is what a self-supervised network is held against (./run evaluate --supervised).
 *
 *     L = sum over the columns of w_k mean over the samples of -log softmax(W_k h + b_k)_class,
 *         or (W_k h + b_k - number)^2 where the column is one of numbers;  w_k: guide.COLUMN
 *
 * h are the embeddings: the backbone's features, unless there is a projector. */
#include <stdio.h>

#include "proto/error.h"
#include "trainer/configuration.h"
#include "trainer/graph/build.h"
#include "trainer/method.h"

static sb_t build(sb_method *m)
{
    sb_graph *g = m->graph;
    sb_t loss = SB_NONE;
    if (m->config->bank > 0)
        return sb_fail("method.bank = %d: method supervised compares no samples with each other",
                       m->config->bank);
    for (int i = 0; i < m->config->guide_count; i++) {
        const double weight = m->config->guides[i].weight;
        char name[32];
        if (weight < 0)
            return sb_fail("guide: a weight of %g: method supervised learns columns, and unlearns none",
                           weight);
        snprintf(name, sizeof name, "classifier.%d", i);
        sb_t x = sb_linear(g, sb_embeddings(m), name, .out = sb_told_width(m, i), .bias = true);
        sb_t own = sb_told_error(m, i, x);
        loss = i == 0 ? sb_combine(g, own, SB_NONE, .alpha = (float)weight)
                      : sb_combine(g, loss, own, .alpha = 1, .beta = (float)weight);
    }
    return loss;
}

static const char *const defaults[] = { "projector.layers=0", "guide.label=1", NULL };

const sb_method_kind sb_method_supervised = {
    .name = "supervised",
    .summary = "the labels, as a classifier learns them: what the others are held against",
    .paper = "no paper",
    .keys = SB_KEY_TABLE_EMPTY("method", "supervised"),
    .defaults = defaults,
    .views_least = 1,
    .views_most = SB_VIEWS_MAX,
    .samples_least = 1,
    .told = true,
    .build = build,
};
