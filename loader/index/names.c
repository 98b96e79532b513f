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

uint32_t sb_names_head(const sb_index *x, const char *path)
{
    const size_t head = x->root ? strlen(x->root) : 0;
    return head > 0 && strncmp(path, x->root, head) == 0 ? (uint32_t)head : 0;
}

void sb_names_write(const sb_index *x, const char *path, uint32_t head, char *out)
{
    snprintf(out, PATH_MAX, "%s%s", head > 0 && x->beside ? BESIDE : "", path + head);
}

const char *sb_index_name(const sb_index *x, const sb_image *image, char *out)
{
    sb_names_write(x, image->path, image->head, out);
    return out;
}

bool sb_names_beside(const char *name) { return strncmp(name, BESIDE, strlen(BESIDE)) == 0; }

int sb_names_path(const sb_index *x, const char *name, char *out, uint32_t *head)
{
    const bool whole = name[0] == '/';
    if (!whole && (!x->root || sb_names_beside(name) != x->beside))
        return sb_fail("%s: either every name begins with " BESIDE " or none", name);
    *head = whole ? 0 : (uint32_t)strlen(x->root);
    return snprintf(out, PATH_MAX, "%s%s", whole ? "" : x->root,
                    !whole && x->beside ? name + strlen(BESIDE) : name) < PATH_MAX
               ? 0
               : sb_fail("%s: the path is too long", name);
}

int sb_index_path(const sb_index *x, const char *name, char *out)
{
    uint32_t head;
    return sb_names_path(x, name, out, &head);
}
