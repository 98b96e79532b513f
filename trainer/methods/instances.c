/* instances.c: a learnt vector for each image, to which all its views go, while the vectors keep away from
 * each other. What keeps a network from giving every image one embedding is then a table over the whole data
 * set, and no batch: it works with one sample. This is the manner of IConE (2026, arXiv 2603.15263), whose
 * equations are not known here: these are our own.
 *
 *     z_iv: the embedding of view v of sample i, e_i: the vector of its image, both of unit length
 *     L = mean over views and samples of  1 - <z_iv, e_i>
 *       + mu mean over the samples of  T log sum_{j in S} exp(<e_i, e_j> / T)
 *     S: images of which no sample of the batch is, drawn anew for each step
 *
 * The network sees the first term alone: dL/dz_iv = -e_i / (V N), of one size always, and the same whatever
 * the other samples are. Of the second, each vector of the batch's images takes its own share; those of S
 * stay. Where all vectors are one, L is mu (1 + T log |S|), and its gradient vanishes. */
#include "trainer/configuration.h"
#include "trainer/graph/build.h"
#include "trainer/method.h"
#include "trainer/schedule.h"

typedef struct {
    double mu, temperature, rate;
    int others;
} instances_keys;

static const sb_key keys[] = {
    SB_KEY_REAL(instances_keys, mu, "1", 0, 1e6, "weight of what keeps the images' vectors apart"),
    SB_KEY_REAL(instances_keys, temperature, "0.2", 0.001, 100, "of the log-sum-exp over other images"),
    SB_KEY_REAL(instances_keys, rate, "0.5", 0, 1e6,
                "of an image's vector, each time that it is met, at the peak of the learning rate"),
    SB_KEY_INT(instances_keys, others, "4096", 1, 1 << 20,
               "images that a vector keeps away from in a step, or as many as there are"),
};

/* In a step a vector goes along its samples' gradient, in which each has a share of 1 / N. The rate is for
 * the whole of it, and for the peak of whatever schedule the network has: no batch and no optimiser changes
 * what it means. */
static double rate_of(const sb_method *m)
{
    const instances_keys *k = m->keys;
    const double peak = sb_schedule_peak(&m->config->optimiser, &m->config->trainer);
    return peak > 0 ? k->rate * m->samples / peak : 0;
}

static sb_t build(sb_method *m)
{
    const instances_keys *k = m->keys;
    sb_graph *g = m->graph;
    const float T = (float)k->temperature;
    sb_t z = sb_unit_rows(g, sb_embeddings(m));
    sb_t e = sb_table(m, "vectors", sb_shape_of(g, z).c, rate_of(m));
    sb_t others = sb_rows_of_images(m, e, sb_other_images(m, k->others));
    sb_t of_views = sb_rows(g, e, .first = 0, .count = m->views * m->samples); /* the same for each view */
    sb_t agreement = sb_mean(g, sb_row_dot(g, z, of_views));
    sb_t products = sb_product(g, e, others, .form = SB_PRODUCT_COLUMNS, .scale = 1);
    sb_t crowd = sb_mean(g, sb_logsumexp(g, products, SB_NONE, SB_NONE, .temperature = T));
    return sb_combine(g, agreement, crowd, .alpha = -1, .beta = (float)k->mu * T, .constant = 1);
}

/* A linear projector: there is no norm in it that would see the batch. */
static const char *const defaults[] = { "projector.layers=1", "projector.out=128", "projector.last=bias",
                                        NULL };

const sb_method_kind sb_method_instances = {
    .name = "instances",
    .summary = "every image has a learnt vector, to which its views go; the vectors keep apart",
    .paper = "in the manner of IConE, 2026, arXiv 2603.15263; the equations are ours",
    .keys = SB_KEY_TABLE("method", "instances", instances_keys, keys),
    .defaults = defaults,
    .views_least = 2,
    .views_most = SB_VIEWS_MAX,
    .samples_least = 1,
    .images = true,
    .build = build
};
