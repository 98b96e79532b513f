/* export.c: see export.h. */
#include "trainer/export.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/op/standard_rows.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "trainer/checkpoint.h"
#include "trainer/configuration.h"
#include "trainer/encoders/parts.h"
#include "trainer/safetensors.h"

/* The backbone's entry that a tensor of the checkpoint is of, whose names are those of the encoder's graph: a
 * weight by its own name, and of a norm what it gathered. NULL: it is not the backbone's. */
static const sb_entry *entry_of(const char *name, const sb_store *backbone)
{
    for (int i = 0; i < backbone->count; i++) {
        const sb_entry *e = &backbone->entries[i];
        const size_t length = strlen(e->name);
        if (strncmp(name, e->name, length) == 0 &&
            name[length] == (e->kind == SB_ENTRY_STATISTIC ? '.' : '\0') &&
            (e->kind != SB_ENTRY_STATISTIC || !strchr(name + length + 1, '.')))
            return e;
    }
    return NULL;
}

/* A tensor's bytes out of the file that it comes from. */
typedef struct {
    sb_safetensors file;
    const sb_store *backbone;
    float *standard; /* a whole tensor with standard rows; NULL: none was asked for yet */
    char piece[SB_TENSOR_PIECE];
} source;

/* What computes with it makes its rows standard: so they are written, and a network that does not computes
 * the same. */
static int standardise(source *s, const sb_tensor *tensor)
{
    const size_t rows = (size_t)tensor->shape[0], columns = tensor->bytes / sizeof(float) / rows;
    float *grown = sb_grown(s->standard, tensor->bytes, 1, "a tensor");
    if (!grown)
        return -1;
    s->standard = grown;
    if (sb_safetensors_read(&s->file, tensor, 0, grown, tensor->bytes) != 0)
        return -1;
    for (size_t r = 0; r < rows; r++)
        sb_standard_row(grown + r * columns, columns, grown + r * columns);
    return 0;
}

static const void *look(void *context, const sb_tensor *tensor, size_t at, size_t bytes)
{
    source *s = context;
    if (entry_of(tensor->name, s->backbone)->extent.standardised)
        return at > 0 || standardise(s, tensor) == 0 ? (const char *)s->standard + at : NULL;
    return sb_safetensors_read(&s->file, tensor, at, s->piece, bytes) == 0 ? s->piece : NULL;
}

static int export(source *s, const char *from, const char *out)
{
    if (sb_safetensors_open(&s->file, from) != 0)
        return -1;
    sb_safetensors *file = &s->file;
    int count = 0;
    for (int i = 0; i < file->count; i++)
        if (entry_of(file->tensors[i].name, s->backbone))
            file->tensors[count++] = file->tensors[i];
    const char *step = sb_safetensors_metadata(file, "smallbatch.step");
    const char *metadata[] = { "format", "pt", "smallbatch.step", step ? step : "", NULL };
    int rc = sb_safetensors_write(out, file->tensors, count, metadata, look, s);
    sb_safetensors_close(file);
    return rc;
}

/* The names of the backbone of a run, from the graph of its encoder, and of what others keep with it: nothing
 * is made on a device. */
static int name_backbone(sb_store *out, const char *run_dir)
{
    sb_settings settings;
    sb_graph *encoder = NULL;
    sb_store_init(out, NULL);
    int rc = sb_settings_of_run(&settings, run_dir, NULL) != 0 || sb_graph_create(&encoder, out) != 0 ? -1
                                                                                                      : 0;
    if (rc == 0) {
        sb_t t = sb_encoder_build(encoder, &settings, SB_F32);
        if (settings.encoder->head)
            t = settings.encoder->head(encoder, t, false);
        rc = t < 0 ? -1 : 0;
    }
    sb_graph_destroy(&encoder);
    return rc;
}

int sb_export_backbone(const char *run_dir, bool best, const char *out)
{
    char path[PATH_MAX];
    sb_store backbone;
    int64_t step;
    int found = best ? sb_checkpoint_best(run_dir, path, &step, NULL)
                     : sb_checkpoint_latest(run_dir, path, &step);
    if (found < 0)
        return -1;
    if (found == 0)
        return best ? sb_checkpoint_fail_best(run_dir) : sb_fail("%s has no checkpoint yet", run_dir);
    source *s = sb_zeroed(1, sizeof *s, "what passes from one file to another");
    if (!s)
        return -1;
    s->backbone = &backbone;
    int rc = name_backbone(&backbone, run_dir);
    if (rc == 0)
        rc = export(s, path, out);
    sb_store_free(&backbone);
    free(s->standard);
    free(s);
    return rc;
}

/* As a string of Python. */
static void show_string(const char *text)
{
    putchar('"');
    for (; *text; text++)
        printf(*text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    putchar('"');
}

static void show_tuple(const float *values, int count)
{
    for (int i = 0; i < count; i++)
        printf("%s%g", i == 0 ? "(" : ", ", (double)values[i]);
    printf(count == 1 ? ",)" : ")");
}

/* What the inputs are, where that is not README's 8-bit colour or grey. */
static void show_inputs(const sb_data_keys *data)
{
    const sb_samples_keys *s = &data->samples;
    const sb_input_how how = sb_encoder_normalise(s->channels, SB_F32);
    if ((s->channels == 1 || s->channels == 3) && s->band_count == 0 && s->range != SB_RANGE_GIVEN)
        return;
    printf("# inputs: [n, %d, height, width]", s->channels);
    if (s->band_count > 0)
        printf(", samples %s of a pixel", data->bands);
    if (s->range == SB_RANGE_GIVEN)
        printf(", %s (of 8-bit files 0..255) as 0..1", data->range);
    else
        printf(" / 255");
    printf(", less ");
    show_tuple(how.mean, s->channels);
    printf(", by ");
    show_tuple(how.std, s->channels);
    printf("\n");
}

int sb_export_show(const char *run_dir, const char *out)
{
    sb_settings settings;
    if (sb_settings_of_run(&settings, run_dir, NULL) != 0)
        return -1;
    if (!settings.encoder->show)
        return 0;
    sb_encoder_show(stdout, &settings);
    printf("model.load_state_dict(safetensors.torch.load_file(");
    show_string(out);
    printf("), strict=True)\n");
    show_inputs(&settings.data);
    return 0;
}
