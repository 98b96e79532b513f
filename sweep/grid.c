/* grid.c: see grid.h. */
#include "sweep/grid.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/memory.h"

/* Cuts `text` at each `mark` into copies, a list that ends with NULL; *count of them. */
static char **pieces_of(const char *text, char mark, int *count)
{
    int pieces = 1;
    for (const char *c = text; *c; c++)
        pieces += *c == mark;
    char **list = sb_zeroed((size_t)pieces + 1, sizeof *list, "the values of a sweep");
    for (int i = 0; list && i < pieces; i++) {
        const char *end = strchrnul(text, mark);
        list[i] = strndup(text, (size_t)(end - text));
        if (!list[i]) {
            sb_grid_assignments_free(list);
            sb_fail("out of memory: the values of a sweep");
            return NULL;
        }
        text = end + 1;
    }
    *count = pieces;
    return list;
}

void sb_grid_assignments_free(char **assignments)
{
    for (char **a = assignments; a && *a; a++)
        free(*a);
    free(assignments);
}

static int count_of(const char *text, char mark)
{
    int count = 1;
    for (; *text; text++)
        count += *text == mark;
    return count;
}

static int read_axis(sb_axis *axis, const char *argument)
{
    const char *equals = strchr(argument, '=');
    if (!equals || equals == argument || strchr(argument, '\n'))
        return sb_fail("`%s`: KEY=VALUE,VALUE,... was expected", argument);
    axis->name = strndup(argument, (size_t)(equals - argument));
    if (!axis->name)
        return sb_fail("out of memory: a key of a sweep");
    axis->value = pieces_of(equals + 1, ',', &axis->values);
    if (!axis->value)
        return -1;
    axis->keys = count_of(axis->name, ':');
    for (int v = 0; v < axis->values; v++) {
        if (axis->value[v][0] == '\0' && axis->values > 1)
            return sb_fail("`%s`: value %d is empty; a value that contains a comma cannot be swept", argument,
                           v + 1);
        if (axis->keys > 1 && count_of(axis->value[v], ':') != axis->keys)
            return sb_fail("`%s`: %s has %d keys and %s has %d values", argument, axis->name, axis->keys,
                           axis->value[v], count_of(axis->value[v], ':'));
        for (int other = 0; other < v; other++)
            if (strcmp(axis->value[v], axis->value[other]) == 0)
                return sb_fail("`%s`: %s is there twice", argument, axis->value[v]);
    }
    return 0;
}

/* Every key stands once, and none is the sweep's own. */
static int check_keys(const sb_grid *g)
{
    char **seen = NULL;
    int rc = 0, count = 0;
    size_t bytes = 1, at = 0;
    for (int a = 0; a < g->axes; a++)
        bytes += strlen(g->axis[a].name) + 1;
    char *all = sb_zeroed(bytes, 1, "the keys of a sweep");
    if (!all)
        return -1;
    for (int a = 0; a < g->axes; a++)
        at += (size_t)snprintf(all + at, bytes - at, "%s%s", a > 0 ? ":" : "", g->axis[a].name);
    seen = g->axes > 0 ? pieces_of(all, ':', &count) : NULL;
    free(all);
    if (g->axes > 0 && !seen)
        return -1;
    for (int i = 0; rc == 0 && i < count; i++) {
        if (strcmp(seen[i], "run.dir") == 0)
            rc = sb_fail("run.dir is the sweep's: name its folder with -o DIR");
        for (int j = 0; rc == 0 && j < i; j++)
            if (strcmp(seen[i], seen[j]) == 0)
                rc = sb_fail("%s is there twice: its values are one list, separated by commas", seen[i]);
    }
    sb_grid_assignments_free(seen);
    return rc;
}

int sb_grid_read(sb_grid *g, const char *const *arguments, int count)
{
    *g = (sb_grid){ .cells = 1, .seed = -1 };
    g->axis = sb_zeroed((size_t)count, sizeof *g->axis, "the keys of a sweep");
    if (!g->axis)
        return -1;
    int rc = 0;
    for (int a = 0; rc == 0 && a < count; a++) {
        sb_axis *axis = &g->axis[g->axes++];
        rc = read_axis(axis, arguments[a]);
        if (rc != 0)
            break;
        if (axis->values > SB_CELLS_MAX / g->cells)
            rc = sb_fail("the grid has more than %d cells", SB_CELLS_MAX);
        else
            g->cells *= axis->values;
        if (strcmp(axis->name, "seed") == 0)
            g->seed = a;
    }
    if (rc == 0)
        rc = check_keys(g);
    if (rc != 0)
        sb_grid_free(g);
    return rc;
}

void sb_grid_free(sb_grid *g)
{
    for (int a = 0; a < g->axes; a++) {
        free(g->axis[a].name);
        sb_grid_assignments_free(g->axis[a].value);
    }
    free(g->axis);
    *g = (sb_grid){ 0 };
}

/* How many cells lie between two neighbouring values of an axis. */
static int stride_of(const sb_grid *g, int axis)
{
    int stride = 1;
    for (int a = axis + 1; a < g->axes; a++)
        stride *= g->axis[a].values;
    return stride;
}

int sb_grid_value(const sb_grid *g, int cell, int axis)
{
    return cell / stride_of(g, axis) % g->axis[axis].values;
}

int sb_grid_other(const sb_grid *g, int cell, int axis, int value)
{
    return cell + (value - sb_grid_value(g, cell, axis)) * stride_of(g, axis);
}

bool sb_grid_first_seed(const sb_grid *g, int cell)
{
    return g->seed < 0 || sb_grid_value(g, cell, g->seed) == 0;
}

int sb_grid_seeds(const sb_grid *g) { return g->seed < 0 ? 1 : g->axis[g->seed].values; }

/* The "key=value"s of one axis, behind out[*at]. An empty value of several leaves its key out. */
static int assign(const sb_axis *axis, const char *value, char **out, int *at)
{
    const char *key = axis->name;
    for (int k = 0; k < axis->keys; k++) {
        const char *key_end = axis->keys > 1 ? strchrnul(key, ':') : key + strlen(key);
        const char *value_end = axis->keys > 1 ? strchrnul(value, ':') : value + strlen(value);
        const bool left_out = axis->keys > 1 && value_end == value;
        if (!left_out && asprintf(&out[*at], "%.*s=%.*s", (int)(key_end - key), key, (int)(value_end - value),
                                  value) < 0) {
            out[*at] = NULL;
            return sb_fail("out of memory: the keys of a cell");
        }
        *at += !left_out;
        key = key_end + (*key_end != '\0');
        value = value_end + (*value_end != '\0');
    }
    return 0;
}

char **sb_grid_assignments(const sb_grid *g, int cell)
{
    int keys = 0, at = 0;
    for (int a = 0; a < g->axes; a++)
        keys += g->axis[a].keys;
    char **out = sb_zeroed((size_t)keys + 1, sizeof *out, "the keys of a cell");
    for (int a = 0; out && a < g->axes; a++)
        if (assign(&g->axis[a], g->axis[a].value[sb_grid_value(g, cell, a)], out, &at) != 0) {
            sb_grid_assignments_free(out);
            return NULL;
        }
    return out;
}

void sb_grid_name(const sb_grid *g, int cell, char *out)
{
    char number[16];
    int digits = snprintf(number, sizeof number, "%d", g->cells);
    size_t at = (size_t)snprintf(out, SB_CELL_NAME_MAX, "%0*d", digits, cell + 1);
    for (int a = 0; a < g->axes; a++) {
        if (g->axis[a].values == 1)
            continue;
        const char *value = g->axis[a].value[sb_grid_value(g, cell, a)];
        bool apart = true; /* from what stands before, by one character */
        char between = '-';
        for (const char *c = value; *c && at + 3 < SB_CELL_NAME_MAX; c++) {
            if (!isalnum((unsigned char)*c) && *c != '.') {
                apart = true;
                continue;
            }
            if (apart)
                out[at++] = between;
            out[at++] = *c;
            apart = false;
            between = '_';
        }
    }
    out[at] = '\0';
}
