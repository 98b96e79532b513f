/* lora.c: low-rank adapters (Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021,
 * arXiv 2106.09685) of a backbone that goes on from given weights.
 *
 * A weight of a linear layer or a convolution, seen as [out, in k k], is W = W0 + (alpha / r) B' A: W0 stays
 * as it was given, A [r, in k k] and B [r, out] learn. A begins at random and B at 0, so that W begins as W0.
 *
 * The section has W itself, made again after each step, so that all that knows weights knows nothing of this:
 * the graph, the packed forms, the target network, snapshots, exports. The product B' A is an operation like
 * any, and so is its gradient: from that of W, which the step computes as ever, follow those of A and B. In
 * the graph, as two more layers beside each, adapters would need no gradient of W, but activations of their
 * own in each chunk; and of large images, those are what fills the memory.
 *
 * W0, A and B are entries of the store behind all others ("lora.NAME.base", ".A", ".B"), W0 as a state that
 * is kept from step to step. Of the backbone's other weights the vectors (norms, biases, scales of layers)
 * learn as ever; what is no vector and has no adapter (filters of single channels, tokens, positions) stays.
 * What stays has no state of an optimiser's. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels/op/combine.h"
#include "kernels/op/product.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "trainer/step/private.h"

/* Entries of the store. */
struct sb_step_adapter {
    int weight, base, a, b;
    int64_t out, columns, rank;
};

static int add(sb_step *s, const char *weight, const char *what, sb_entry_kind kind, const sb_extent *extent)
{
    char name[SB_ENTRY_NAME];
    if (snprintf(name, sizeof name, "lora.%s.%s", weight, what) >= (int)sizeof name)
        return sb_fail("the name lora.%s.%s is too long for a weight", weight, what);
    return sb_store_add(&s->store, name, kind, extent);
}

/* Of the weight number `weight`. */
static int add_adapter(sb_step *s, int weight)
{
    const sb_entry of = s->store.entries[weight]; /* a copy: the list grows */
    const int64_t out = of.extent.side[0], columns = (int64_t)of.count / out;
    int64_t rank = s->config->continuing.lora;
    rank = rank < out ? rank : out;
    rank = rank < columns ? rank : columns;
    const sb_extent base = { .dims = 2, .side = { out, columns }, .init = SB_INIT_ZERO },
                    a = { .dims = 2,
                          .side = { rank, columns },
                          .init = SB_INIT_NORMAL,
                          .size = (float)(1 / sqrt((double)columns)),
                          .decayed = true },
                    b = { .dims = 2, .side = { rank, out }, .init = SB_INIT_ZERO, .decayed = true };
    sb_step_adapter *added = &s->adapters[s->adapter_count];
    *added = (sb_step_adapter){ .weight = weight, .out = out, .columns = columns, .rank = rank };
    added->base = add(s, of.name, "base", SB_ENTRY_STATE, &base);
    added->a = add(s, of.name, "A", SB_ENTRY_WEIGHT, &a);
    added->b = add(s, of.name, "B", SB_ENTRY_WEIGHT, &b);
    if (added->base < 0 || added->a < 0 || added->b < 0)
        return -1;
    s->store.entries[added->a].adapter = s->store.entries[added->b].adapter = true;
    s->adapter_count++;
    return 0;
}

int sb_step_add_adapters(sb_step *s)
{
    const sb_graph *g = s->encoder;
    if (!s->config->continuing.enabled || s->config->continuing.lora == 0)
        return 0;
    s->adapters = sb_zeroed((size_t)g->count, sizeof *s->adapters, "the list of adapters");
    if (!s->adapters)
        return -1;
    for (int i = 0; i < s->store.count; i++) {
        sb_entry *e = &s->store.entries[i];
        if (e->kind == SB_ENTRY_WEIGHT && e->offset + e->count <= s->backbone.floats[SB_ENTRY_WEIGHT])
            e->fixed = e->extent.dims > 1;
    }
    for (int n = 0; n < g->count; n++) {
        const sb_node *node = &g->nodes[n];
        bool there = node->leaf || (node->op != SB_OP_CONV && node->op != SB_OP_LINEAR);
        for (int i = 0; i < s->adapter_count; i++)
            there = there || s->adapters[i].weight == node->w[0];
        if (!there && add_adapter(s, node->w[0]) != 0)
            return -1;
    }
    return 0;
}

static float *weight_of(const sb_step *s, int entry)
{
    return s->section.weight + s->store.entries[entry].offset;
}

static float *gradient_of(const sb_step *s, int entry)
{
    return s->section.gradient + s->store.entries[entry].offset;
}

static float *base_of(const sb_step *s, const sb_step_adapter *adapter)
{
    return s->section.state + s->store.entries[adapter->base].offset;
}

int sb_step_begin_adapters(sb_step *s)
{
    for (int i = 0; i < s->adapter_count; i++) {
        const sb_step_adapter *p = &s->adapters[i];
        if (s->device->copy(s->device, SB_STREAM_COMPUTE, base_of(s, p), weight_of(s, p->weight),
                            s->store.entries[p->weight].count * sizeof(float), SB_ON_DEVICE) != 0)
            return -1;
    }
    return 0;
}

/* The product of an adapter's factors. */
static sb_product_how how_of(const sb_step *s)
{
    const sb_continue_keys *c = &s->config->continuing;
    return (sb_product_how){ .form = SB_PRODUCT_ROWS, .scale = (float)(c->lora_alpha / c->lora) };
}

static sb_call product_of(const sb_step *s, const sb_step_adapter *p, const sb_product_how *how)
{
    return (sb_call){ .how = how,
                      .xs = { { (int)p->rank, 1, 1, (int)p->out, SB_F32 },
                              { (int)p->rank, 1, 1, (int)p->columns, SB_F32 } },
                      .ys = { (int)p->out, 1, 1, (int)p->columns, SB_F32 },
                      .x = { weight_of(s, p->b), weight_of(s, p->a) } };
}

int sb_step_adapter_gradients(sb_step *s)
{
    const sb_product_how how = how_of(s);
    for (int i = 0; i < s->adapter_count; i++) {
        const sb_step_adapter *p = &s->adapters[i];
        sb_call call = product_of(s, p, &how);
        call.dy = gradient_of(s, p->weight);
        call.dx[0] = gradient_of(s, p->b);
        call.dx[1] = gradient_of(s, p->a);
        if (sb_backward(s->device, SB_OP_PRODUCT, &call) != 0)
            return sb_context("%s", s->store.entries[p->a].name);
    }
    return 0;
}

int sb_step_merge_adapters(sb_step *s)
{
    const sb_product_how how = how_of(s);
    const sb_combine_how sum = { .alpha = 1, .beta = 1 };
    for (int i = 0; i < s->adapter_count; i++) {
        const sb_step_adapter *p = &s->adapters[i];
        float *w = weight_of(s, p->weight);
        sb_call call = product_of(s, p, &how);
        const sb_call add_base = {
            .how = &sum, .xs = { call.ys, call.ys }, .ys = call.ys, .x = { w, base_of(s, p) }, .y = w
        };
        call.y = w;
        if (sb_forward(s->device, SB_OP_PRODUCT, &call) != 0 ||
            sb_forward(s->device, SB_OP_COMBINE, &add_base) != 0)
            return sb_context("%s", s->store.entries[p->weight].name);
    }
    return 0;
}
