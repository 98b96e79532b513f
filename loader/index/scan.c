/* scan.c: a data set becomes an index: what is named, what that is, what is held out. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "loader/index/names.h"
#include "loader/index/ranges.h"
#include "loader/index/scan.h"
#include "proto/error.h"

/* An image in the place of its folder. */
static int refuse_image(sb_decoder *decoder, const char *path)
{
    sb_decode_header header;
    return sb_decoder_probe(decoder, path, 0, &header) != 0
               ? 0
               : sb_fail("data.path = %s is an image: a folder of images or a manifest (CSV, with a column "
                         "`path`) is expected",
                         path);
}
/* The columns that guide. Of a folder the labels alone are known, which stand in no column. */
static int add_columns(sb_builder *b, const sb_data_keys *data, bool folder)
{
    for (int i = 0; i < data->guide_count; i++) {
        const sb_guide_key *g = &data->guides[i];
        if (g->weight == 0)
            continue;
        if (folder && strcmp(g->column, "label") != 0)
            return sb_fail("guide.%s: data.path = %s is a folder: columns are a CSV manifest's (a folder has "
                           "label alone)",
                           g->column, data->path);
        if (sb_builder_column(b, g->column) != 0)
            return -1;
    }
    return 0;
}
int sb_index_scan(sb_index *out, const sb_data_keys *data, const sb_loader_keys *loader)
{
    *out = (sb_index){ .tile = data->tile };
    const char *path = data->path;
    const size_t cache = loader->cache_mb > 0 ? (size_t)loader->cache_mb << 20 : sb_decoder_most();
    sb_builder b = sb_builder_begin(out, path);
    sb_decoder *decoder = NULL;
    struct stat info;
    int rc = stat(path, &info) != 0 ? sb_fail_errno("data.path = %s", path)
                                    : sb_decoder_create(&decoder, &data->samples, cache, data->untrusted);
    const bool folder = rc == 0 && S_ISDIR(info.st_mode);
    if (rc == 0 && !folder)
        rc = refuse_image(decoder, path);
    if (rc == 0)
        rc = sb_names_root(out, path, !folder);
    if (rc == 0)
        rc = add_columns(&b, data, folder);
    if (rc == 0)
        rc = folder ? sb_scan_folder(&b, data) : sb_scan_manifest(&b, data);
    if (rc == 0) {
        sb_builder_sort(&b);
        rc = sb_scan_look(&b, decoder);
    }
    if (rc == 0)
        rc = sb_scan_ranges(&b, decoder, &data->samples);
    sb_decoder_destroy(&decoder);
    if (rc == 0 && b.count == 0)
        rc = sb_fail("data.path = %s: no image that can be used%s%s", path, out->skipped_count ? "; " : "",
                     out->skipped_count ? out->skipped[0].reason : "");
    if (rc == 0)
        rc = sb_builder_number(&b);
    if (rc == 0)
        sb_hold_out(&b, out->tile);
    return sb_builder_finish(&b, rc);
}
