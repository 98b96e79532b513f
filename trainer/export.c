/* export.c: see export.h. */
#include "trainer/export.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/memory.h"
#include "trainer/checkpoint.h"
#include "trainer/safetensors.h"

static bool belongs(const char *name)
{
    const char *others[] = { "projector.", "optimiser." };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strncmp(name, others[i], strlen(others[i])) == 0)
            return false;
    return true;
}

/* A tensor's bytes out of the file that it comes from. */
typedef struct {
    sb_safetensors file;
    char piece[SB_TENSOR_PIECE];
} source;

static const void *look(void *context, const sb_tensor *tensor, size_t at, size_t bytes)
{
    source *s = context;
    return sb_safetensors_read(&s->file, tensor, at, s->piece, bytes) == 0 ? s->piece : NULL;
}

static int export(source *s, const char *from, const char *out)
{
    if (sb_safetensors_open(&s->file, from) != 0)
        return -1;
    sb_safetensors *file = &s->file;
    int count = 0;
    for (int i = 0; i < file->count; i++)
        if (belongs(file->tensors[i].name))
            file->tensors[count++] = file->tensors[i];
    const char *step = sb_safetensors_metadata(file, "smallbatch.step");
    const char *metadata[] = { "format", "pt", "smallbatch.step", step ? step : "", NULL };
    int rc = sb_safetensors_write(out, file->tensors, count, metadata, look, s);
    sb_safetensors_close(file);
    return rc;
}

int sb_export_backbone(const char *run_dir, const char *out)
{
    char path[PATH_MAX];
    int found = sb_checkpoint_latest(run_dir, path);
    if (found < 0)
        return -1;
    if (found == 0)
        return sb_fail("%s has no checkpoint yet", run_dir);
    source *s = sb_zeroed(1, sizeof *s, "what passes from one file to another");
    if (!s)
        return -1;
    int rc = export(s, path, out);
    free(s);
    return rc;
}
