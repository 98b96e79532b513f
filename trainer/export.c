/* export.c: see export.h. */
#include "trainer/export.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
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

int sb_export_backbone(const char *run_dir, const char *out)
{
    char path[PATH_MAX];
    sb_safetensors file;
    int found = sb_checkpoint_latest(run_dir, path);
    if (found < 0)
        return -1;
    if (found == 0)
        return sb_fail("%s has no checkpoint yet", run_dir);
    if (sb_safetensors_read(&file, path) != 0)
        return -1;
    int count = 0;
    for (int i = 0; i < file.count; i++)
        if (belongs(file.tensors[i].name))
            file.tensors[count++] = file.tensors[i];
    const char *step = sb_safetensors_metadata(&file, "smallbatch.step");
    const char *metadata[] = { "format", "pt", "smallbatch.step", step ? step : "", NULL };
    int rc = sb_safetensors_write(out, file.tensors, count, metadata);
    sb_safetensors_free(&file);
    return rc;
}
