/* finish.c: see finish.h. */
#include "trainer/finish.h"

#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/error.h"
#include "proto/jsonl.h"
#include "proto/rundir.h"
#include "trainer/export.h"
#include "trainer/safetensors.h"
#include "trainer/status.h"

/* A sound one, of this step. */
static bool has_backbone(const char *path, int64_t steps)
{
    sb_safetensors file;
    if (access(path, F_OK) != 0 || sb_safetensors_open(&file, path) != 0)
        return false;
    const char *step = sb_safetensors_metadata(&file, "smallbatch.step");
    const bool has = step && strtoll(step, NULL, 10) == steps;
    sb_safetensors_close(&file);
    return has;
}

/* What the last step said of itself. */
static void on_step(void *context, const json_t *object)
{
    sb_status *s = context;
    if (json_integer_value(json_object_get(object, "step")) != s->step)
        return;
    s->loss = json_real_value(json_object_get(object, "loss"));
    s->images_per_second = json_real_value(json_object_get(object, "images_per_second"));
    s->waited = json_real_value(json_object_get(object, "waited"));
}

static int finish_status(const char *run_dir, int64_t steps)
{
    sb_status s;
    const bool known = sb_status_read(run_dir, &s) == 0 && s.step == steps && s.steps == steps;
    if (known && strcmp(s.phase, "finished") == 0)
        return 0;
    if (!known) {
        s = (sb_status){ .step = steps, .steps = steps, .bottleneck = "train" };
        if (sb_jsonl_read(run_dir, "metrics.jsonl", on_step, &s) != 0)
            return -1;
    }
    s.eta_s = 0;
    snprintf(s.phase, sizeof s.phase, "finished");
    return sb_status_write(run_dir, &s);
}

int sb_finish(const char *run_dir, int64_t steps)
{
    char path[PATH_MAX];
    if (sb_rundir_path(path, run_dir, "backbone.safetensors") != 0 ||
        (!has_backbone(path, steps) && sb_export_backbone(run_dir, false, path) != 0))
        return -1;
    return finish_status(run_dir, steps);
}
