/* scalars.c: see scalars.h. */
#include "evaluator/scalars.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/memory.h"

/* NULL: there is no memory. */
static sb_scalar *series_of(sb_scalars *s, const char *name)
{
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->series[i].name, name) == 0)
            return &s->series[i];
    if (s->count == s->room) {
        sb_scalar *more = sb_grown(s->series, 2 * s->room + 16, sizeof *more, "the curves of a run");
        if (!more)
            return NULL;
        s->series = more;
        s->room = 2 * s->room + 16;
    }
    char *copy = strdup(name);
    if (!copy) {
        sb_fail("out of memory for the curve %s", name);
        return NULL;
    }
    s->series[s->count] = (sb_scalar){ .name = copy };
    return &s->series[s->count++];
}

void sb_scalars_add(sb_scalars *scalars, const char *name, int64_t step, double value)
{
    if (scalars->failed || !(fabs(value) <= (double)FLT_MAX))
        return;
    sb_scalar *s = series_of(scalars, name);
    if (s && s->count == s->room) {
        sb_point *more = sb_grown(s->point, 2 * s->room + 64, sizeof *more, "the points of a curve");
        s->point = more ? more : s->point;
        s->room = more ? 2 * s->room + 64 : s->room;
    }
    scalars->failed = !s || s->count == s->room;
    if (scalars->failed)
        return;
    size_t at = s->count; /* nearly always: logs are written in order */
    while (at > 0 && s->point[at - 1].step > step)
        at--;
    if (at > 0 && s->point[at - 1].step == step) {
        s->point[at - 1].value = value;
        return;
    }
    memmove(s->point + at + 1, s->point + at, (s->count - at) * sizeof *s->point);
    s->point[at] = (sb_point){ step, value };
    s->count++;
}

void sb_scalars_add_object(sb_scalars *scalars, const char *group, int64_t step, const json_t *object)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        char name[NAME_MAX];
        if ((!json_is_number(value) && !json_is_boolean(value)) || strcmp(key, "step") == 0)
            continue;
        snprintf(name, sizeof name, "%s/%s", group, key);
        sb_text_clean(name);
        sb_scalars_add(scalars, name, step,
                       json_is_number(value) ? json_number_value(value) : json_is_true(value));
    }
}

void sb_scalar_thin(sb_scalar *s)
{
    const size_t count = s->count, points = count < SB_SCALAR_POINTS ? count : SB_SCALAR_POINTS;
    for (size_t p = 0; p < points; p++) {
        const size_t from = p * count / points, to = (p + 1) * count / points;
        double sum = 0;
        for (size_t i = from; i < to; i++)
            sum += s->point[i].value;
        s->point[p] = (sb_point){ s->point[to - 1].step, sum / (double)(to - from) };
    }
    s->count = points;
}

void sb_scalars_free(sb_scalars *scalars)
{
    for (size_t i = 0; i < scalars->count; i++) {
        free(scalars->series[i].name);
        free(scalars->series[i].point);
    }
    free(scalars->series);
    *scalars = (sb_scalars){ 0 };
}
