/* names.c: see names.h. */
#include "loader/index/names.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "proto/error.h"

#define BESIDE "../" /* stands before the names of files that lie beside their manifest, or below */

int sb_names_root(sb_index *x, const char *data_path, bool beside)
{
    const char *slash = strrchr(data_path, '/');
    const size_t length = strlen(data_path);
    int rc;
    x->beside = beside;
    if (beside)
        rc = asprintf(&x->root, "%.*s/", slash ? (int)(slash - data_path) : 1, slash ? data_path : ".");
    else
        rc = asprintf(&x->root, "%s%s", data_path, length > 0 && data_path[length - 1] == '/' ? "" : "/");
    if (rc < 0)
        x->root = NULL;
    return rc < 0 ? sb_fail("out of memory for the folder of the data") : 0;
}

void sb_names_of(const sb_index *x, const char *path, char *out)
{
    const size_t head = x->root ? strlen(x->root) : 0;
    const bool below = head > 0 && strncmp(path, x->root, head) == 0;
    snprintf(out, PATH_MAX, "%s%s", below && x->beside ? BESIDE : "", below ? path + head : path);
}

int sb_index_path(const sb_index *x, const char *name, char *out)
{
    const bool whole = name[0] == '/', beside = strncmp(name, BESIDE, strlen(BESIDE)) == 0;
    if (!whole && (!x->root || beside != x->beside))
        return sb_fail("%s: either every name begins with " BESIDE " or none", name);
    return snprintf(out, PATH_MAX, "%s%s", whole ? "" : x->root,
                    !whole && beside ? name + strlen(BESIDE) : name) < PATH_MAX
               ? 0
               : sb_fail("%s: the path is too long", name);
}

const char *sb_index_name(const sb_index *x, const sb_image *image) { return x->names + image->name; }

const char *sb_index_path_of(const sb_index *x, const sb_image *image, char *out)
{
    const char *name = sb_index_name(x, image);
    if (sb_index_path(x, name, out) != 0)
        snprintf(out, PATH_MAX, "%s", name); /* sb_index_check_row refuses it */
    return out;
}

bool sb_index_same_file(const sb_index *x, const sb_image *a, const sb_image *b)
{
    return a->name == b->name || strcmp(sb_index_name(x, a), sb_index_name(x, b)) == 0;
}
