/* levels.c: see levels.h. */
#include "loader/readers/levels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

sb_quantiles sb_levels_quantiles(sb_levels *l)
{
    if (l->count == 0)
        return (sb_quantiles){ 0 };
    qsort(l->values, l->count, sizeof *l->values, by_value);
    const double last = (double)(l->count - 1);
    return (sb_quantiles){ .least = l->values[0],
                           .low = l->values[(size_t)(0.005 * last)],
                           .middle = l->values[(size_t)(0.5 * last)],
                           .high = l->values[(size_t)ceil(0.995 * last)],
                           .most = l->values[l->count - 1] };
}

/* ---- histogram -------------------------------------------------------------------------------------------- */

/* The upper bits of a float, turned so that they ascend with its value. */
static uint32_t step_of(double value)
{
    float f = (float)value;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    bits = bits >> 31 ? ~bits : bits | 1u << 31;
    return bits >> 12;
}

static double value_of(uint32_t step, bool up)
{
    uint32_t bits = step << 12 | (up ? 0xfff : 0);
    bits = bits >> 31 ? bits & ~(1u << 31) : ~bits;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

void sb_levels_count(const sb_levels *l, uint64_t *histogram)
{
    for (size_t i = 0; i < l->count; i++)
        histogram[step_of(l->values[i])]++;
}

double sb_levels_share(const uint64_t *histogram, double share, bool up)
{
    uint64_t total = 0, below = 0;
    for (uint32_t i = 0; i < SB_LEVELS_STEPS; i++)
        total += histogram[i];
    for (uint32_t i = 0; i < SB_LEVELS_STEPS; i++) {
        below += histogram[i];
        if (histogram[i] > 0 && (double)below >= share * (double)total)
            return value_of(i, up);
    }
    return 0;
}

/* ---- judgement -------------------------------------------------------------------------------------------- */

/* Where a value comes to lie, black 0 and white 1. */
static double place_of(const sb_levels *l, double value)
{
    double at = (value - l->low) / (l->high - l->low);
    at = at < 0 ? 0 : at > 1 ? 1 : at;
    return l->light ? pow(at, 1 / 2.2) : at;
}

const char *sb_levels_trouble(const sb_levels *l, const sb_quantiles *q)
{
    /* 14 bits in 16 fill a quarter; a mask has a few values of 8 bits. */
    const double dark = l->wide ? 0.26 : 1.0 / 16, light = l->wide ? 7.0 / 8 : 15.0 / 16, few = 64.0 / 255;
    if (l->count == 0)
        return NULL;
    if (place_of(l, q->high) < dark)
        return "nearly black";
    if (place_of(l, q->low) > light || (l->wide && place_of(l, q->middle) > 0.99))
        return "nearly white";
    if (l->wide && q->most > q->least && place_of(l, q->high) - place_of(l, q->low) < few)
        return "of few levels";
    return NULL;
}

/* One digit and zeros, at or above a positive value. */
static double round_up(double value)
{
    const double unit = pow(10, floor(log10(value)));
    return ceil(value / unit * (1 - 1e-9)) * unit;
}

static double power_above(double value) { return exp2(ceil(log2(value))); }

void sb_levels_suggest(double least, double most, bool whole, double *low, double *high)
{
    if (whole) {
        *high = most > 0 ? power_above(most + 1) - 1 : 1;
        *low = least < 0 ? -power_above(-least) : least > *high / 2 ? floor(least) : 0;
    } else {
        *high = most <= 0 ? 0 : most <= 1 ? 1 : most > 100 && most <= 255 ? 255 : round_up(most);
        *low = least < 0 ? -round_up(-least) : least > *high / 2 ? least : 0;
    }
    if (*high <= *low)
        *high = *low + 1;
}
