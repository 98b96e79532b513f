/* store.c: see store.h. */
#include "trainer/graph/store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/share/sincos.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "trainer/graph/normal.h"

#define ENTRIES_MAX 8192

void sb_store_init(sb_store *s, sb_device *device) { *s = (sb_store){ .device = device }; }

void sb_store_free(sb_store *s)
{
    free(s->entries);
    *s = (sb_store){ 0 };
}

static bool same_sides(const sb_extent *a, const sb_extent *b)
{
    return a->dims == b->dims && memcmp(a->side, b->side, (size_t)a->dims * sizeof *a->side) == 0;
}

int sb_store_add(sb_store *s, const char *name, sb_entry_kind kind, const sb_extent *extent)
{
    for (int i = 0; i < s->count; i++)
        if (strcmp(s->entries[i].name, name) == 0)
            return s->entries[i].kind == kind && same_sides(&s->entries[i].extent, extent)
                       ? i
                       : sb_fail("%s is wanted twice, with different sides", name);
    if (s->closed)
        return sb_fail("%s is added after a section was made", name);
    if (s->count == ENTRIES_MAX)
        return sb_fail("%s: a store has at most %d entries", name, ENTRIES_MAX);
    sb_entry *grown = sb_grown(s->entries, (size_t)(s->count + 1), sizeof *grown, "the list of weights");
    if (!grown)
        return -1;
    s->entries = grown;
    sb_entry *e = &grown[s->count];
    *e = (sb_entry){ .kind = kind,
                     .extent = *extent,
                     .offset = s->floats[kind],
                     .count = sb_extent_count(extent),
                     .frozen_until = extent->given ? INT64_MAX : 0,
                     .rate = 1 };
    if (snprintf(e->name, sizeof e->name, "%s", name) >= (int)sizeof e->name)
        return sb_fail("the name %s is too long for a weight", name);
    s->floats[kind] += e->count;
    return s->count++;
}

/* ---- initialisation ------------------------------------------------------------------------------------ */

static void fill_normal(const sb_entry *e, double deviation, uint64_t seed, int stream, float *out)
{
    sb_random random;
    sb_random_init(&random, seed, SB_RANDOM_WEIGHTS, (uint32_t)stream, (uint32_t)e->kind, 0);
    sb_normals(&random, deviation, out, e->count);
}

static void fill_uniform(const sb_entry *e, double most, uint64_t seed, int stream, float *out)
{
    sb_random random;
    sb_random_init(&random, seed, SB_RANDOM_WEIGHTS, (uint32_t)stream, (uint32_t)e->kind, 0);
    for (size_t i = 0; i < e->count; i++)
        out[i] = (float)(most * (((double)sb_random_u32(&random) + 0.5) / 2147483648.0 - 1));
}

static void fill_with(const sb_entry *e, float value, float *out)
{
    for (size_t i = 0; i < e->count; i++)
        out[i] = value;
}

/* Of a table [1, rows, width], whose last rows are of a grid of places. */
static void fill_positions(const sb_entry *e, float *out)
{
    const int width = (int)e->extent.side[2], half = width > 1 ? width / 2 : 1,
              grid = e->grid > 0 ? e->grid : 1, first = (int)e->extent.side[1] - grid * grid;
    for (int row = 0; row < (int)e->extent.side[1]; row++)
        for (int i = 0; i < width; i++) {
            const int place = i < half ? (row - first) % grid : (row - first) / grid;
            *out++ = row < first ? 0 : sb_sincos_axis(width, place, i % half);
        }
}

/* The rows of a weight that is to have rows of unit length. */
static void make_unit_rows(const sb_entry *e, float *rows)
{
    size_t width = e->count / (size_t)e->extent.side[0];
    for (size_t i = 0; i < e->count; i += width) {
        double square = 0;
        for (size_t k = i; k < i + width; k++)
            square += (double)rows[k] * (double)rows[k];
        for (size_t k = i; k < i + width; k++)
            rows[k] = (float)((double)rows[k] / sqrt(square));
    }
}

/* He et al. 2015: the deviation that keeps the scale of what passes through a ReLU, for so many values that
 * meet in one. */
static void initialise(const sb_entry *e, uint64_t seed, int stream, float *out)
{
    const int64_t *side = e->extent.side;
    int64_t taps = 1;
    for (int d = 2; d < e->extent.dims; d++)
        taps *= side[d];
    switch (e->extent.init) {
    case SB_INIT_FAN_OUT: fill_normal(e, sqrt(2.0 / (double)(side[0] * taps)), seed, stream, out); break;
    case SB_INIT_FAN_IN: fill_normal(e, sqrt(2.0 / (double)(side[1] * taps)), seed, stream, out); break;
    case SB_INIT_UNIFORM: fill_uniform(e, (double)e->extent.size, seed, stream, out); break;
    case SB_INIT_NORMAL: fill_normal(e, (double)e->extent.size, seed, stream, out); break;
    case SB_INIT_POSITIONS: fill_positions(e, out); break;
    case SB_INIT_CONSTANT: fill_with(e, e->extent.size, out); break;
    case SB_INIT_ZERO: fill_with(e, 0, out); break;
    case SB_INIT_ONE: fill_with(e, 1, out); break;
    case SB_INIT_STATISTIC: /* means, then variances */
        for (size_t i = 0; i < e->count; i++)
            out[i] = i >= e->count / 2 ? 1.0f : 0.0f;
        break;
    }
    if (e->unit_rows)
        make_unit_rows(e, out);
}

/* ---- sections ------------------------------------------------------------------------------------------ */

/* A whole number of what a device aligns to. */
static size_t bytes_of(size_t floats) { return (floats * sizeof(float) + 255) / 256 * 256; }

size_t sb_section_bytes(const size_t floats[SB_ENTRY_KINDS], bool trained)
{
    size_t bytes = trained ? bytes_of(floats[SB_ENTRY_WEIGHT]) : 0;
    for (int k = 0; k < SB_ENTRY_KINDS; k++)
        bytes += bytes_of(floats[k]);
    return bytes;
}

/* The next array of so many floats; NULL: of none. */
static float *next_array(char **memory, size_t floats)
{
    char *at = *memory;
    if (floats == 0)
        return NULL;
    *memory += bytes_of(floats);
    return (float *)(void *)at;
}

static int lay_out(sb_section *out, sb_device *device, const size_t floats[SB_ENTRY_KINDS], bool trained,
                   void *memory)
{
    const size_t bytes = sb_section_bytes(floats, trained);
    *out = (sb_section){ 0 };
    memcpy(out->floats, floats, sizeof out->floats);
    if (!memory && bytes > 0) {
        if (device->alloc(device, bytes, &out->own) != 0)
            return sb_context("weights");
        memory = out->own;
    }
    char *at = memory;
    for (int k = 0; k < SB_ENTRY_KINDS; k++)
        out->array[k] = next_array(&at, floats[k]);
    out->gradient = trained ? next_array(&at, floats[SB_ENTRY_WEIGHT]) : NULL;
    return bytes > 0 ? device->zero(device, memory, bytes) : 0;
}

int sb_section_create(sb_section *out, sb_store *s, const size_t floats[SB_ENTRY_KINDS], bool trained,
                      uint64_t seed, void *memory)
{
    sb_device *device = s->device;
    size_t most = 0;
    s->closed = true;
    if (lay_out(out, device, floats ? floats : s->floats, trained, memory) != 0)
        return -1;
    for (int k = 0; k < SB_ENTRY_KINDS; k++)
        most = out->floats[k] > most ? out->floats[k] : most;
    float *host = sb_zeroed(most, sizeof *host, "initial weights");
    if (!host)
        return -1;
    int rc = 0;
    for (int k = 0; k < SB_ENTRY_KINDS && rc == 0; k++) {
        for (int i = 0, stream = 0; i < s->count; i++) {
            const sb_entry *e = &s->entries[i];
            if ((int)e->kind == k && e->offset + e->count <= out->floats[k])
                initialise(e, seed, stream, host + e->offset);
            stream += (int)e->kind == k;
        }
        if (out->floats[k] > 0 && (device->copy(device, SB_STREAM_COMPUTE, out->array[k], host,
                                                out->floats[k] * sizeof *host, SB_TO_DEVICE) != 0 ||
                                   device->wait(device, SB_STREAM_COMPUTE) != 0))
            rc = -1;
    }
    free(host);
    return rc;
}

int sb_section_assign(const sb_section *to, sb_store *s, const sb_section *from)
{
    for (int k = 0; k < SB_ENTRY_KINDS; k++)
        if (to->floats[k] > 0 && s->device->copy(s->device, SB_STREAM_COMPUTE, to->array[k], from->array[k],
                                                 to->floats[k] * sizeof(float), SB_ON_DEVICE) != 0)
            return -1;
    return 0;
}

void sb_section_free(sb_section *section, sb_store *s)
{
    if (section->own)
        s->device->release(s->device, section->own);
    *section = (sb_section){ 0 };
}
