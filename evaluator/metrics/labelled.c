/* labelled.c: what a probe learns from and is asked. See labelled.h. */
#include <math.h>
#include <stdlib.h>

#include "evaluator/metrics/labelled.h"
#include "proto/memory.h"

/* The number of each label among those of the training part, in their order; UINT32_MAX: it is not there.
 * [labels], malloc'ed. */
static uint32_t *number_classes(const sb_features *f, uint32_t *labels, int *classes)
{
    *labels = 0;
    for (int i = 0; i < f->learnt.tiles; i++)
        *labels = f->learnt.label[i] >= *labels ? f->learnt.label[i] + 1 : *labels;
    uint32_t *number = sb_zeroed((size_t)*labels + 1, sizeof *number, "the classes of a probe");
    *classes = 0;
    for (int i = 0; number && i < f->learnt.tiles; i++)
        number[f->learnt.label[i]] = 1;
    for (uint32_t l = 0; number && l < *labels; l++)
        number[l] = number[l] ? (uint32_t)(*classes)++ : UINT32_MAX;
    return number;
}

/* Rows of x, which have a column of ones behind the features, from those of `feature` that `row` names (NULL:
 * all). */
static void standardise(const sb_features *f, const double *mean, const double *scale, const float *feature,
                        const int *row, int rows, float *x)
{
    for (int i = 0; i < rows; i++) {
        const float *from = feature + (size_t)(row ? row[i] : i) * (size_t)f->width;
        float *to = x + (size_t)i * (size_t)(f->width + 1);
        for (int c = 0; c < f->width; c++)
            to[c] = (float)((from[c] - mean[c]) * scale[c]);
        to[f->width] = 1;
    }
}

/* Of the training part; the scale of a column that is the same everywhere is 0. */
static void spread_of(const sb_features *f, double *mean, double *scale)
{
    const int rows = f->learnt.tiles;
    for (int c = 0; c < f->width; c++) {
        double sum = 0, square = 0;
        for (int i = 0; i < rows; i++)
            sum += f->learnt.feature[(size_t)i * (size_t)f->width + (size_t)c];
        mean[c] = sum / rows;
        for (int i = 0; i < rows; i++) {
            const double d = f->learnt.feature[(size_t)i * (size_t)f->width + (size_t)c] - mean[c];
            square += d * d;
        }
        const double deviation = sqrt(square / rows);
        scale[c] = deviation > 1e-7 * fabs(mean[c]) && deviation > 0 ? 1 / deviation : 0;
    }
}

static int by_value(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

int sb_labelled_distinct(const uint32_t *id, int rows, uint32_t *out)
{
    int count = 0;
    for (int i = 0; i < rows; i++)
        out[i] = id[i];
    qsort(out, (size_t)rows, sizeof *out, by_value);
    for (int i = 0; i < rows; i++)
        if (count == 0 || out[count - 1] != out[i])
            out[count++] = out[i];
    return count;
}

sb_random sb_labelled_draws(uint32_t a, uint32_t b)
{
    sb_random r;
    sb_random_init(&r, 0, SB_RANDOM_EVALUATE, a, b, 1);
    return r;
}

/* number[labels]: the class of each label; row[l->held.rows]: which tiles have one; spread[2, width]: room.
 */
static int fill(sb_labelled *l, const sb_features *f, const uint32_t *number, uint32_t labels, const int *row,
                double *spread)
{
    const size_t width = (size_t)f->width + 1, learnt = (size_t)f->learnt.tiles, held = (size_t)l->held.rows;
    l->x = sb_zeroed((learnt + held) * width, sizeof *l->x, "the standardised features");
    l->facts = sb_zeroed(learnt + 4 * held, sizeof *l->facts, "the classes of tiles");
    l->tally = sb_zeroed(2 * held, sizeof *l->tally, "the counts of classes");
    if (!l->x || !l->facts || !l->tally)
        return -1;
    uint32_t *held_label = l->facts + learnt, *distinct = held_label + held;
    l->held_number = distinct + held;
    l->held_group = l->held_number + held;
    l->learnt.x = l->x;
    l->held.x = l->x + learnt * width;
    spread_of(f, spread, spread + f->width);
    standardise(f, spread, spread + f->width, f->learnt.feature, NULL, f->learnt.tiles, l->x);
    standardise(f, spread, spread + f->width, f->plain, row, l->held.rows, l->x + learnt * width);
    for (size_t i = 0; i < learnt; i++)
        l->facts[i] = number[f->learnt.label[i]];
    for (size_t i = 0; i < held; i++) {
        l->held_number[i] = f->label[row[i]];
        l->held_group[i] = f->group[row[i]];
        held_label[i] = f->label[row[i]] < labels ? number[f->label[row[i]]] : UINT32_MAX;
    }
    l->held_classes = sb_labelled_distinct(l->held_number, l->held.rows, distinct);
    for (size_t i = 0; i < held; i++)
        for (int k = 0; k < l->held_classes; k++)
            if (l->held_number[i] == distinct[k]) {
                l->held_number[i] = (uint32_t)k;
                break;
            }
    l->learnt.label = l->facts;
    l->held.label = held_label;
    l->learnt_group = f->learnt.group;
    return 1;
}

int sb_labelled_create(sb_labelled *l, const sb_features *f)
{
    *l = (sb_labelled){ 0 };
    if (f->learnt.tiles == 0)
        return 0;
    uint32_t labels = 0;
    int classes = 0, rows = 0;
    uint32_t *number = number_classes(f, &labels, &classes);
    int *row = sb_zeroed((size_t)f->tiles, sizeof *row, "the labelled tiles");
    double *spread = sb_zeroed(2 * (size_t)f->width, sizeof *spread, "the spread of features");
    int rc = number && row && spread ? 0 : -1;
    for (int i = 0; rc == 0 && i < f->tiles; i++)
        if (f->label[i] != UINT32_MAX)
            row[rows++] = i;
    l->held = (sb_classified){ .device = f->device, .rows = rows, .width = f->width + 1, .classes = classes };
    l->learnt = l->held;
    l->learnt.rows = f->learnt.tiles;
    if (rc == 0 && classes > 1 && rows > 0)
        rc = fill(l, f, number, labels, row, spread);
    free(number);
    free(row);
    free(spread);
    if (rc != 1)
        sb_labelled_free(l);
    return rc;
}

void sb_labelled_free(sb_labelled *l)
{
    free(l->x);
    free(l->facts);
    free(l->tally);
    *l = (sb_labelled){ 0 };
}

void sb_labelled_above(const sb_labelled *l, const float *scores, int *above)
{
    const uint32_t classes = (uint32_t)l->held.classes;
    for (int i = 0; i < l->held.rows; i++) {
        const float *s = scores + (size_t)i * classes;
        const uint32_t own = l->held.label[i];
        above[i] = own == UINT32_MAX ? l->held.classes : 0;
        for (uint32_t k = 0; own != UINT32_MAX && k < classes; k++)
            above[i] += s[k] > s[own] || (k < own && s[k] == s[own]);
    }
}

double sb_labelled_balanced(const sb_labelled *l, const int *above, const int *times)
{
    double sum = 0, *counted = l->tally, *right = l->tally + l->held_classes;
    int seen = 0;
    for (int k = 0; k < l->held_classes; k++)
        counted[k] = right[k] = 0;
    for (int i = 0; i < l->held.rows; i++) {
        const int n = times ? times[i] : 1;
        counted[l->held_number[i]] += n;
        right[l->held_number[i]] += above[i] == 0 ? n : 0;
    }
    for (int k = 0; k < l->held_classes; k++) {
        seen += counted[k] > 0;
        sum += counted[k] > 0 ? right[k] / counted[k] : 0;
    }
    return sum / seen;
}

/* One of the classes of the training part. */
double sb_labelled_chance(const sb_features *f)
{
    int classes = 0;
    for (int i = 0; i < f->learnt.tiles; i++) {
        bool seen = false;
        for (int j = 0; j < i && !seen; j++)
            seen = f->learnt.label[j] == f->learnt.label[i];
        classes += !seen;
    }
    return classes > 1 ? 1.0 / classes : SB_LACKS;
}
