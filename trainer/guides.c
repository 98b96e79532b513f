/* guides.c: see guides.h. */
#include "trainer/guides.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/index/index.h"
#include "proto/error.h"
#include "proto/memory.h"

static int by_text(const void *a, const void *b) { return strcmp(**(char **const *)a, **(char **const *)b); }

static bool number_of(const char *text, double *out)
{
    char *end;
    errno = 0;
    *out = strtod(text, &end);
    return end != text && *end == '\0' && errno == 0 && isfinite(*out);
}

/* The values of a column that stand in a row that is trained on, in order: pointers into the index. */
static const char ***sort_values(const sb_index *x, int column, uint32_t *count)
{
    const sb_column *c = &x->columns[column];
    const char ***sorted = sb_zeroed((size_t)c->count + 1, sizeof *sorted, "the values of a column");
    bool *trained = sb_zeroed((size_t)c->count + 1, sizeof *trained, "the values of a column");
    *count = 0;
    for (uint32_t i = 0; sorted && trained && i < x->count; i++) {
        const uint32_t value = x->images[i].value[column];
        if (x->images[i].tiles == 0 || value == UINT32_MAX || trained[value])
            continue;
        trained[value] = true;
        sorted[(*count)++] = &c->values[value];
    }
    if (sorted && trained)
        qsort(sorted, *count, sizeof *sorted, by_text);
    const bool made = trained != NULL;
    free(trained);
    if (!made) {
        free(sorted);
        return NULL;
    }
    return sorted;
}

static bool are_numbers(const char **const *sorted, uint32_t count)
{
    double ignored;
    uint32_t i = 0;
    while (i < count && number_of(*sorted[i], &ignored))
        i++;
    return i == count && count > SB_GUIDE_CLASSES;
}

/* Standardised over the rows that are trained on. */
static int take_numbers(sb_guide_column *out, const sb_index *x, int column)
{
    double sum = 0, squares = 0, count = 0, number;
    for (int pass = 0; pass < 3; pass++) {
        const double mean = count > 0 ? sum / count : 0, deviation = count > 0 ? sqrt(squares / count) : 0;
        for (uint32_t i = 0; i < x->count; i++) {
            const sb_image *m = &x->images[i];
            if (m->tiles == 0 || m->value[column] == UINT32_MAX ||
                !number_of(x->columns[column].values[m->value[column]], &number))
                continue;
            if (pass == 0) {
                sum += number;
                count++;
            } else if (pass == 1) {
                squares += (number - mean) * (number - mean);
            } else {
                out->values[i] = (float)((number - mean) / deviation);
            }
        }
    }
    return squares > 0 && isfinite(squares)
               ? 0
               : sb_fail("guide.%s: the numbers are all the same, or too large", x->columns[column].name);
}

static void take_classes(sb_guide_column *out, const sb_index *x, int column, const char **const *sorted,
                         uint32_t count)
{
    for (uint32_t i = 0; i < x->count; i++) {
        const sb_image *m = &x->images[i];
        if (m->tiles == 0 || m->value[column] == UINT32_MAX)
            continue;
        const char **value = &x->columns[column].values[m->value[column]];
        const char ***found = bsearch(&value, sorted, count, sizeof *sorted, by_text);
        if (found)
            out->values[i] = (float)(found - (const char ***)(uintptr_t)sorted);
    }
    out->classes = (int)count;
}

static int read_column(sb_guide_column *out, const sb_index *x, const sb_guide_key *key)
{
    int column = 0;
    uint32_t count;
    while (column < x->column_count && strcmp(x->columns[column].name, key->column) != 0)
        column++;
    if (column == x->column_count)
        return sb_fail("guide.%s: the run's index has no such column", key->column);
    const char ***sorted = sort_values(x, column, &count);
    out->values = sb_zeroed(x->count, sizeof *out->values, "what a column says of the images");
    int rc = sorted && out->values ? 0 : -1;
    for (uint32_t i = 0; rc == 0 && i < x->count; i++) {
        out->values[i] = NAN;
        out->silent += x->images[i].tiles > 0 && x->images[i].value[column] == UINT32_MAX;
    }
    if (rc == 0 && count < 2)
        rc = sb_fail("guide.%s: the column says %s of all images that are trained on: it cannot guide",
                     key->column, count == 1 ? *sorted[0] : "nothing");
    else if (rc == 0 && are_numbers(sorted, count))
        rc = take_numbers(out, x, column);
    else if (rc == 0 && count > SB_GUIDE_CLASSES_MAX)
        rc = sb_fail("guide.%s: %" PRIu32 " different values are no numbers, and more than %d classes",
                     key->column, count, SB_GUIDE_CLASSES_MAX);
    else if (rc == 0)
        take_classes(out, x, column, sorted, count);
    free(sorted);
    return rc;
}

static void say(const sb_guide_column *c, const sb_guide_key *key)
{
    char what[64];
    snprintf(what, sizeof what, c->classes > 0 ? "%d classes" : "numbers", c->classes);
    sb_note("guide %s: %s, which the features are %s (%+g)%s", key->column, what,
            key->weight > 0 ? "to tell" : "not to tell", key->weight,
            strcmp(key->column, "label") == 0 ? "; this run sees labels, as it was asked to" : "");
    if (c->silent > 0)
        sb_note("guide %s: %" PRIu32 " row%s of the index without a value, left out of it", key->column,
                c->silent, sb_plural(c->silent));
}

int sb_guides_read(sb_guides *out, const char *run_dir, const sb_data_keys *data)
{
    sb_index index;
    *out = (sb_guides){ 0 };
    bool any = false;
    for (int i = 0; i < data->guide_count; i++)
        any = any || data->guides[i].weight != 0;
    if (!any)
        return 0;
    if (sb_index_read(&index, run_dir, data) != 0)
        return -1;
    out->rows = index.count;
    int rc = 0;
    for (int i = 0; rc == 0 && i < data->guide_count; i++) {
        if (data->guides[i].weight == 0)
            continue;
        sb_guide_column *c = &out->columns[out->count++];
        rc = read_column(c, &index, &data->guides[i]);
        if (rc == 0)
            say(c, &data->guides[i]);
    }
    sb_index_free(&index);
    return rc;
}

void sb_guides_free(sb_guides *g)
{
    for (int i = 0; i < g->count; i++)
        free(g->columns[i].values);
    *g = (sb_guides){ 0 };
}
