/* build.h: the operations as a graph's builders write them: sb_conv(g, x, "conv1", .out = 64, .kernel = 3,
 * .stride = 1, .pad = 1). What each computes and what its fields mean stands in kernels/op/NAME.h. An
 * operation that has no line here is used through sb_apply. */
#ifndef SB_TRAINER_GRAPH_BUILD_H
#define SB_TRAINER_GRAPH_BUILD_H

#include "kernels/op/attention.h"
#include "kernels/op/avgpool.h"
#include "kernels/op/batchnorm.h"
#include "kernels/op/centre.h"
#include "kernels/op/combine.h"
#include "kernels/op/concat.h"
#include "kernels/op/conv.h"
#include "kernels/op/cross_entropy.h"
#include "kernels/op/depthwise.h"
#include "kernels/op/deviation.h"
#include "kernels/op/epps_pulley.h"
#include "kernels/op/gather.h"
#include "kernels/op/gelu.h"
#include "kernels/op/gridpool.h"
#include "kernels/op/groupnorm.h"
#include "kernels/op/grn.h"
#include "kernels/op/identity_distance.h"
#include "kernels/op/input.h"
#include "kernels/op/layernorm.h"
#include "kernels/op/linear.h"
#include "kernels/op/logdet.h"
#include "kernels/op/logsumexp.h"
#include "kernels/op/logsumexp_pairs.h"
#include "kernels/op/map.h"
#include "kernels/op/mask.h"
#include "kernels/op/match.h"
#include "kernels/op/maxpool.h"
#include "kernels/op/mean.h"
#include "kernels/op/nearest_row.h"
#include "kernels/op/nuclear_norm.h"
#include "kernels/op/patch_error.h"
#include "kernels/op/pick.h"
#include "kernels/op/product.h"
#include "kernels/op/queries.h"
#include "kernels/op/relations.h"
#include "kernels/op/residual.h"
#include "kernels/op/row_dot.h"
#include "kernels/op/rows.h"
#include "kernels/op/sinkhorn.h"
#include "kernels/op/softmax.h"
#include "kernels/op/softplus.h"
#include "kernels/op/times.h"
#include "kernels/op/tokens.h"
#include "kernels/op/unit_columns.h"
#include "kernels/op/unit_rows.h"
#include "kernels/op/unpick.h"
#include "kernels/op/wasserstein.h"
#include "kernels/op/whiten.h"
#include "trainer/graph/graph.h"

#define SB_NORM_EPSILON 1e-5f

/* One, two inputs; without `how`; with. */
#define SB_APPLY(g, OP, name, without, a, b, how) \
    sb_apply(g, OP, (const sb_t[SB_INPUTS_MAX]){ a, b, SB_NONE }, name, without, how, sizeof *(how))
#define SB_APPLY_PLAIN(g, OP, name, a, b) \
    sb_apply(g, OP, (const sb_t[SB_INPUTS_MAX]){ a, b, SB_NONE }, name, 0, NULL, 0)

#define sb_conv(g, x, name, ...) SB_APPLY(g, SB_OP_CONV, name, 0, x, SB_NONE, (&(sb_conv_how){ __VA_ARGS__ }))
#define sb_depthwise(g, x, name, ...) \
    SB_APPLY(g, SB_OP_DEPTHWISE, name, 0, x, SB_NONE, (&(sb_depthwise_how){ __VA_ARGS__ }))
#define sb_maxpool(g, x) SB_APPLY_PLAIN(g, SB_OP_MAXPOOL, "maxpool", x, SB_NONE)

/* Over all places, or over .count of them from .first on. */
#define sb_avgpool(g, x, ...) \
    SB_APPLY(g, SB_OP_AVGPOOL, "avgpool", 0, x, SB_NONE, (&(sb_avgpool_how){ __VA_ARGS__ }))

/* To a grid of at most .most x .most cells; of tokens, without the .first leading ones. */
#define sb_gridpool(g, x, ...) \
    SB_APPLY(g, SB_OP_GRIDPOOL, "gridpool", 0, x, SB_NONE, (&(sb_gridpool_how){ __VA_ARGS__ }))

#define sb_linear(g, x, name, ...) \
    SB_APPLY(g, SB_OP_LINEAR, name, 0, x, SB_NONE, (&(sb_linear_how){ __VA_ARGS__ }))
#define sb_unit_rows(g, x) SB_APPLY_PLAIN(g, SB_OP_UNIT_ROWS, "unit_rows", x, SB_NONE)
#define sb_nuclear_norm(g, x) SB_APPLY_PLAIN(g, SB_OP_NUCLEAR_NORM, "nuclear_norm", x, SB_NONE)

/* By a of its own shape, [rows, 1] or [1, 1]. */
#define sb_times(g, a, b) SB_APPLY_PLAIN(g, SB_OP_TIMES, "times", a, b)
#define sb_row_dot(g, a, b) SB_APPLY_PLAIN(g, SB_OP_ROW_DOT, "row_dot", a, b)
#define sb_identity_distance(g, x, ...)                                      \
    SB_APPLY(g, SB_OP_IDENTITY_DISTANCE, "identity_distance", 0, x, SB_NONE, \
             (&(sb_identity_distance_how){ __VA_ARGS__ }))
#define sb_epps_pulley(g, x, ...) \
    SB_APPLY(g, SB_OP_EPPS_PULLEY, "epps_pulley", 0, x, SB_NONE, (&(sb_epps_pulley_how){ __VA_ARGS__ }))
#define sb_wasserstein(g, x, ...) \
    SB_APPLY(g, SB_OP_WASSERSTEIN, "wasserstein", 0, x, SB_NONE, (&(sb_wasserstein_how){ __VA_ARGS__ }))
#define sb_whiten(g, x, ...) \
    SB_APPLY(g, SB_OP_WHITEN, "whiten", 0, x, SB_NONE, (&(sb_whiten_how){ __VA_ARGS__ }))
#define sb_logdet(g, x, ...) \
    SB_APPLY(g, SB_OP_LOGDET, "logdet", 0, x, SB_NONE, (&(sb_logdet_how){ __VA_ARGS__ }))
#define sb_softplus(g, x) SB_APPLY_PLAIN(g, SB_OP_SOFTPLUS, "softplus", x, SB_NONE)
#define sb_centre(g, x, ...) \
    SB_APPLY(g, SB_OP_CENTRE, "centre", 0, x, SB_NONE, (&(sb_centre_how){ __VA_ARGS__ }))
#define sb_deviation(g, x, ...) \
    SB_APPLY(g, SB_OP_DEVIATION, "deviation", 0, x, SB_NONE, (&(sb_deviation_how){ __VA_ARGS__ }))
#define sb_map(g, x, which) \
    SB_APPLY(g, SB_OP_MAP, "map", 0, x, SB_NONE, (&(sb_map_how){ .function = (which) }))
#define sb_mean(g, x) SB_APPLY_PLAIN(g, SB_OP_MEAN, "mean", x, SB_NONE)
#define sb_logsumexp_pairs(g, z, places, ...)                           \
    SB_APPLY(g, SB_OP_LOGSUMEXP_PAIRS, "logsumexp_pairs", 0, z, places, \
             (&(sb_logsumexp_pairs_how){ __VA_ARGS__ }))

/* x, and `.value` for pairs of samples whose places overlap (SB_NONE: for none). */
#define sb_mask(g, x, places, ...) \
    SB_APPLY(g, SB_OP_MASK, "mask", 0, x, places, (&(sb_mask_how){ __VA_ARGS__ }))

/* Of each row of x, the nearest of the first `used` rows of a queue. */
#define sb_nearest_row(g, x, queue, used) \
    sb_apply(g, SB_OP_NEAREST_ROW, (const sb_t[SB_INPUTS_MAX]){ x, queue, used }, "nearest_row", 0, NULL, 0)

/* For each place of a map a, what map v has where map b of the same image is most like it. */
#define sb_match(g, a, b, v) \
    sb_apply(g, SB_OP_MATCH, (const sb_t[SB_INPUTS_MAX]){ a, b, v }, "match", 0, NULL, 0)

/* How the places of map s relate to each other, against how those of map t do, through which no gradient goes
 * back. */
#define sb_relations(g, s, t, ...) \
    SB_APPLY(g, SB_OP_RELATIONS, "relations", 0, s, sb_stop(t), (&(sb_relations_how){ __VA_ARGS__ }))

/* Of logits x; the first `used` columns, and of samples whose places do not overlap (SB_NONE: all). */
#define sb_logsumexp(g, x, used, places, ...)                                                    \
    sb_apply(g, SB_OP_LOGSUMEXP, (const sb_t[SB_INPUTS_MAX]){ x, used, places }, "logsumexp", 0, \
             &(sb_logsumexp_how){ __VA_ARGS__ }, sizeof(sb_logsumexp_how))

/* Of logits x and targets q, through which no gradient goes back. */
#define sb_cross_entropy(g, x, q, ...)                                  \
    SB_APPLY(g, SB_OP_CROSS_ENTROPY, "cross_entropy", 0, x, sb_stop(q), \
             (&(sb_cross_entropy_how){ __VA_ARGS__ }))

/* Of logits x less an offset [1, K] (or SB_NONE). */
#define sb_softmax(g, x, offset, ...) \
    SB_APPLY(g, SB_OP_SOFTMAX, "softmax", 0, sb_stop(x), offset, (&(sb_softmax_how){ __VA_ARGS__ }))

/* Codes of scores x; of the earlier scores, the first `used` rows count (both SB_NONE: there are none). */
#define sb_sinkhorn(g, x, earlier, used, ...)                                                   \
    sb_apply(g, SB_OP_SINKHORN, (const sb_t[SB_INPUTS_MAX]){ x, earlier, used }, "sinkhorn", 0, \
             &(sb_sinkhorn_how){ __VA_ARGS__ }, sizeof(sb_sinkhorn_how))

/* Columns of unit length, without their means, of x and of the first `used` rows of the earlier ones (both
 * SB_NONE: there are none). */
#define sb_unit_columns(g, x, earlier, used)                                                            \
    sb_apply(g, SB_OP_UNIT_COLUMNS, (const sb_t[SB_INPUTS_MAX]){ x, earlier, used }, "unit_columns", 0, \
             &(sb_unit_columns_how){ .epsilon = SB_NORM_EPSILON }, sizeof(sb_unit_columns_how))

/* .scale a' b where .form is SB_PRODUCT_ROWS, .scale a b' where it is SB_PRODUCT_COLUMNS. */
#define sb_product(g, a, b, ...) \
    SB_APPLY(g, SB_OP_PRODUCT, "product", 0, a, b, (&(sb_product_how){ __VA_ARGS__ }))

/* alpha a + beta b. */
#define sb_combine(g, a, b, ...) \
    SB_APPLY(g, SB_OP_COMBINE, "combine", 0, a, b, (&(sb_combine_how){ __VA_ARGS__ }))

/* Rows first .. first + count - 1, counted round. */
#define sb_rows(g, x, ...) SB_APPLY(g, SB_OP_ROWS, "rows", 0, x, SB_NONE, (&(sb_rows_how){ __VA_ARGS__ }))

/* The rows of a, then those of b. */
#define sb_concat(g, a, b) SB_APPLY_PLAIN(g, SB_OP_CONCAT, "concat", a, b)

/* Rows of x by their numbers, i32 [m, 1]. */
#define sb_gather(g, index, x) SB_APPLY_PLAIN(g, SB_OP_GATHER, "gather", index, x)

/* Batch norm + residual (or SB_NONE), then ReLU where .relu. */
#define sb_batchnorm(g, x, residual, name, ...)        \
    SB_APPLY(g, SB_OP_BATCHNORM, name, 0, x, residual, \
             (&(sb_batchnorm_how){ .epsilon = SB_NORM_EPSILON, __VA_ARGS__ }))

/* Group norm in the same way. */
#define sb_groupnorm(g, x, residual, name, ...)        \
    SB_APPLY(g, SB_OP_GROUPNORM, name, 0, x, residual, \
             (&(sb_groupnorm_how){ .epsilon = SB_NORM_EPSILON, __VA_ARGS__ }))

#define sb_grn(g, x, name, ...) SB_APPLY(g, SB_OP_GRN, name, 0, x, SB_NONE, (&(sb_grn_how){ __VA_ARGS__ }))

#define sb_layernorm(g, x, name, ...) \
    SB_APPLY(g, SB_OP_LAYERNORM, name, 0, x, SB_NONE, (&(sb_layernorm_how){ __VA_ARGS__ }))

#define sb_gelu(g, x, name, ...) SB_APPLY(g, SB_OP_GELU, name, 0, x, SB_NONE, (&(sb_gelu_how){ __VA_ARGS__ }))

#define sb_attention(g, x, ...) \
    SB_APPLY(g, SB_OP_ATTENTION, "attention", 0, x, SB_NONE, (&(sb_attention_how){ __VA_ARGS__ }))
/* Queries x to keys and values of other places. */
#define sb_cross_attention(g, x, keys, ...) \
    SB_APPLY(g, SB_OP_ATTENTION, "attention", 0, x, keys, (&(sb_attention_how){ __VA_ARGS__ }))

/* Behind `.prefix` tokens the rows of these cells, or cells of `.side` places; in their places again; what a
 * decoder asks with for cells; and how far it is off. */
#define sb_pick(g, x, cells, ...) \
    SB_APPLY(g, SB_OP_PICK, "pick", 0, x, cells, (&(sb_pick_how){ __VA_ARGS__ }))
#define sb_unpick(g, x, cells, pixels, name, ...)                                       \
    sb_apply(g, SB_OP_UNPICK, (const sb_t[SB_INPUTS_MAX]){ x, cells, pixels }, name, 0, \
             &(sb_unpick_how){ __VA_ARGS__ }, sizeof(sb_unpick_how))
#define sb_queries(g, cells, pixels, name, ...) \
    SB_APPLY(g, SB_OP_QUERIES, name, 0, cells, pixels, (&(sb_queries_how){ __VA_ARGS__ }))
#define sb_patch_error(g, x, pixels, cells, ...)                                                      \
    sb_apply(g, SB_OP_PATCH_ERROR, (const sb_t[SB_INPUTS_MAX]){ x, pixels, cells }, "patch_error", 0, \
             &(sb_patch_error_how){ __VA_ARGS__ }, sizeof(sb_patch_error_how))
#define sb_tokens(g, x, name, ...) \
    SB_APPLY(g, SB_OP_TOKENS, name, 0, x, SB_NONE, (&(sb_tokens_how){ __VA_ARGS__ }))

/* r + x, or r + gamma x where .scaled. */
#define sb_residual(g, x, r, name, ...) \
    SB_APPLY(g, SB_OP_RESIDUAL, name, 0, x, r, (&(sb_residual_how){ __VA_ARGS__ }))

/* Columns of mean 0 and variance 1 over the batch, in evaluation too: batch norm without weights and without
 * running statistics. */
#define sb_standardise(g, x)                                                  \
    SB_APPLY(g, SB_OP_BATCHNORM, "standardise", SB_BATCHNORM_ALL, x, SB_NONE, \
             (&(sb_batchnorm_how){ .epsilon = SB_NORM_EPSILON }))

/* 1 in every place of x's shape; x is finite. */
static inline sb_t sb_ones_like(sb_graph *g, sb_t x)
{
    return sb_combine(g, sb_stop(x), SB_NONE, .alpha = 0, .constant = 1);
}

/* The squared distance of each row of a from that of b: [n, 1]. */
static inline sb_t sb_row_distance(sb_graph *g, sb_t a, sb_t b)
{
    sb_t difference = sb_combine(g, a, b, .alpha = 1, .beta = -1);
    return sb_row_dot(g, difference, difference);
}

#endif
