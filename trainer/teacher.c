/* teacher.c: see teacher.h. */
#include "trainer/teacher.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "proto/error.h"
#include "proto/memory.h"
#include "proto/rundir.h"
#include "trainer/configuration.h"
#include "trainer/graph/build.h"
#include "trainer/init.h"

#define PIECE ((size_t)4 << 20)

static const sb_key keys[] = {
    SB_KEY_TEXT(sb_teacher_keys, encoder, SB_TEACHER_ENCODER,
                "the teacher's encoder, for methods that have one; behind its name keys of its own: "
                "vit_small pool=class registers=4"),
    SB_KEY_TEXT(sb_teacher_keys, file, "", "safetensors file with its weights (torchvision or timm names)",
                .apart = true, .path = true),
};

const sb_key_table sb_teacher_table = SB_KEY_TABLE("teacher", NULL, sb_teacher_keys, keys);

/* ---- the graph ----------------------------------------------------------------------------------------- */

static int build(sb_teacher *t, const sb_settings *c, sb_type type, int most)
{
    const bool other = c->method->teacher == SB_TEACHER_FILE;
    sb_encoder_map map;
    int rc = sb_encoder_build_map(t->graph, other ? c->teacher_encoder : c->encoder,
                                  other ? c->teacher_encoder_keys : c->encoder_keys, c, type, false, &map);
    if (rc >= 0 && most > 0) {
        t->places = true;
        rc = sb_output(t->graph, sb_gridpool(t->graph, map.map, .first = map.prefix, .most = most), false);
    }
    return rc < 0 ? sb_context("the teacher") : 0;
}

int sb_teacher_build(sb_teacher *t, sb_device *device, const sb_settings *c, sb_type type, int most)
{
    *t = (sb_teacher){ 0 };
    sb_store_init(&t->store, device);
    return sb_graph_create(&t->graph, &t->store) != 0 ? -1 : build(t, c, type, most);
}

void sb_teacher_free(sb_teacher *t)
{
    sb_graph_destroy(&t->graph);
    sb_store_free(&t->store);
}

sb_shape sb_teacher_pixels(const sb_teacher *t, int n, int side)
{
    sb_shape pixels = sb_shape_of(t->graph, t->graph->leaves[0]);
    pixels.n = n;
    pixels.h = pixels.w = side;
    return pixels;
}

int sb_teacher_shape(const sb_teacher *t, int n, int side, int output, sb_shape *out)
{
    const sb_shape pixels = sb_teacher_pixels(t, n, side);
    return sb_graph_shape(t->graph, &pixels, t->graph->outputs[output], out) == 0
               ? 0
               : sb_context("views of %d x %d (data.view) cannot go through the teacher", side, side);
}

/* ---- the weights --------------------------------------------------------------------------------------- */

static int sum_file(const char *path, char mark[SB_TEACHER_MARK])
{
    size_t bytes;
    const int fd = sb_file_open(path, SIZE_MAX >> 1, &bytes);
    if (fd < 0)
        return -1;
    unsigned char *piece = sb_grown(NULL, PIECE, 1, "a piece of a file");
    uLong crc = crc32(0, NULL, 0);
    ssize_t got = piece ? 1 : -1;
    while (got > 0 && (got = read(fd, piece, PIECE)) > 0)
        crc = crc32(crc, piece, (uInt)got);
    const int rc = piece && got < 0 ? sb_fail_errno("reading %s", path) : piece ? 0 : -1;
    free(piece);
    close(fd);
    snprintf(mark, SB_TEACHER_MARK, "%08" PRIx32, (uint32_t)crc);
    return rc;
}

int sb_teacher_take(const sb_checkpoint_view *view, const sb_settings *c, char **report,
                    char mark[SB_TEACHER_MARK])
{
    const char *path = c->teacher.file;
    *report = NULL;
    if (path[0] == '\0')
        return sb_fail("teacher.file is not set: method %s learns from a teacher (teacher.encoder = %s), and "
                       "a safetensors file has its weights",
                       c->method->name, c->teacher.encoder);
    if (sb_init_take(view, path, view->store->floats, true, report) == 0 && sum_file(path, mark) == 0)
        return 0;
    free(*report);
    *report = NULL;
    return sb_context("teacher.encoder = %s, teacher.file", c->teacher.encoder);
}
