/* dense.c: see dense.h. */
#include "trainer/dense.h"

#include <math.h>

#include "proto/error.h"
#include "trainer/configuration.h"
#include "trainer/graph/build.h"
#include "trainer/method.h"

static const sb_key keys[] = {
    SB_KEY_REAL(sb_dense_keys, weight, "0", 0, 1,
                "share of the loss that is of places: each is to be found in the other view; 0: none"),
    SB_KEY_REAL(sb_dense_keys, temperature, "0.2", 0.001, 100, "of the softmax over similarities of places"),
    SB_KEY_INT(sb_dense_keys, grid, "16", 1, 256,
               "the map is averaged to so many places along a side at most"),
    SB_KEY_INT(sb_dense_keys, hidden, "2048", 1, 65536, "width of the hidden layer over a place"),
    SB_KEY_INT(sb_dense_keys, out, "128", 1, 65536, "width of a place's embedding"),
    SB_KEY_INT(sb_dense_keys, queue, "4096", 1, 1 << 20,
               "earlier images whose mean place is a negative, down to a multiple of the batch"),
};

const sb_key_table sb_dense_table = SB_KEY_TABLE("dense", NULL, sb_dense_keys, keys);

static const sb_dense_keys *keys_of(const sb_method *m) { return &m->config->dense; }

/* f. A second call shares the weights. */
static sb_t layers(sb_graph *g, sb_t map, const sb_dense_keys *k)
{
    sb_scope(g, "dense");
    sb_t t = sb_linear(g, map, "0", .out = k->hidden, .bias = true);
    t = sb_linear(g, sb_map(g, t, SB_MAP_RELU), "2", .out = k->out, .bias = true);
    return sb_leave(g, t);
}

static int check(const sb_method *m)
{
    const char *name = m->kind->name;
    if (m->kind->map || m->kind->inside || m->kind->mask)
        return sb_fail("dense.weight: the loss of method %s is of places already", name);
    if (m->views < 2)
        return sb_fail("dense.weight: a place is to be found in another view, and method %s has one", name);
    if (sb_queue_rows(m, keys_of(m)->queue) == 0)
        return sb_fail("dense.queue = %d is less than a batch of %d: there would never be a negative",
                       keys_of(m)->queue, m->samples);
    return 0;
}

int sb_dense_begin(sb_method *m, sb_dense *out)
{
    const sb_dense_keys *k = keys_of(m);
    if (check(m) != 0)
        return -1;
    const bool target = m->kind->momentum != NULL;
    sb_graph *g = target ? m->target : m->graph;
    out->z = layers(m->graph, sb_map_of_views(m), k);
    const sb_t z = target ? layers(g, m->target->leaves[SB_ROW_MAP], k) : sb_stop(out->z),
               all = sb_unit_rows(g, z), pooled = sb_unit_rows(g, sb_avgpool(g, z));
    out->keys = target ? sb_target_output(m, all, "target places") : all;
    out->pooled = target ? sb_target_output(m, pooled, "target mean places") : pooled;
    return out->z < 0 || out->keys < 0 || out->pooled < 0 ? -1 : 0;
}

static double filled(const sb_method *m, int64_t step, int64_t steps)
{
    (void)steps;
    return sb_queue_filled(m, sb_queue_rows(m, keys_of(m)->queue), step);
}

/* The backbone's map of one view, each place of unit length: what places are matched by. */
static sb_t places(sb_method *m, sb_t map, int view)
{
    return sb_unit_rows(m->graph, sb_view_rows(m, sb_stop(map), view));
}

/* How badly the places of one view are found in the next one: [1, 1]. */
static sb_t error(sb_method *m, const sb_dense *d, int view, sb_t queue, sb_t count)
{
    sb_graph *g = m->graph;
    const float T = (float)keys_of(m)->temperature;
    const int other = (view + 1) % m->views;
    const sb_t of_keys = m->kind->momentum ? sb_target_map(m) : sb_map_of_views(m);
    sb_t q = sb_unit_rows(g, sb_view_rows(m, d->z, view));
    sb_t key = sb_match(g, places(m, sb_map_of_views(m), view), places(m, of_keys, other),
                        sb_view_rows(m, d->keys, other));
    sb_t products = sb_product(g, q, queue, .form = SB_PRODUCT_COLUMNS, .scale = 1);
    sb_t negatives = sb_logsumexp(g, products, count, SB_NONE, .temperature = T, .empty = -INFINITY);
    sb_t less = sb_combine(g, negatives, sb_row_dot(g, q, key), .alpha = 1, .beta = -1 / T);
    return sb_mean(g, sb_softplus(g, less));
}

sb_t sb_dense_loss(sb_method *m, const sb_dense *d)
{
    const sb_dense_keys *k = keys_of(m);
    const float share = 1 / (float)m->views;
    sb_t queue = sb_queue(m, "dense.queue", sb_queue_rows(m, k->queue), k->out), count = sb_number(m, filled);
    if (sb_push(m, queue, sb_view_rows(m, d->pooled, 0)) < 0)
        return SB_FAILED;
    sb_t sum = SB_NONE;
    for (int v = 0; v < m->views; v++) {
        const sb_t one = error(m, d, v, queue, count);
        sum = v == 0 ? sb_combine(m->graph, one, SB_NONE, .alpha = share)
                     : sb_combine(m->graph, sum, one, .alpha = 1, .beta = share);
    }
    return sum;
}
