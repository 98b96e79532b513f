/* agree.c: the embeddings of two views are to be the same number by number, and unlike a vector that each
 * image has. (It is a test.) It counts in how many batches each image was. */
#include "kernels/op/square.h"
#include "trainer/graph/build.h"
#include "trainer/method.h"

typedef struct {
    double weight;
} agree_keys;

static const sb_key keys[] = { SB_KEY_REAL(agree_keys, weight, "1", 0, 100, "of the loss") };

static sb_t build(sb_method *m)
{
    const agree_keys *k = m->keys;
    sb_graph *g = m->graph;
    sb_t difference = sb_combine(g, sb_embedding(m, 0), sb_embedding(m, 1), .alpha = 1, .beta = -1);
    sb_t seen = sb_per_image(m, "seen", 1);
    if (sb_put(m, seen, sb_combine(g, seen, SB_NONE, .alpha = 1, .constant = 1)) < 0)
        return SB_FAILED;
    sb_t agreement = sb_mean(g, SB_APPLY_PLAIN(g, SB_OP_SQUARE, "square", difference, SB_NONE));
    sb_t z = sb_embedding(m, 0), vectors = sb_table(m, "vectors", sb_shape_of(g, z).c, 2);
    sb_t likeness = sb_mean(g, sb_row_dot(g, z, vectors));
    return sb_combine(g, agreement, likeness, .alpha = (float)k->weight, .beta = (float)k->weight);
}

static const char *const defaults[] = { "projector.out=12", NULL };

const sb_method_kind sb_method_agree = {
    .name = "agree",
    .summary = "two views have the same embedding, unlike a vector of the image",
    .keys = SB_KEY_TABLE("method", "agree", agree_keys, keys),
    .defaults = defaults,
    .views_least = 2,
    .views_most = 2,
    .samples_least = 1,
    .images = true,
    .build = build
};
