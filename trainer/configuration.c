/* configuration.c: see configuration.h. */
#include "trainer/configuration.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/cores.h"
#include "proto/error.h"

/* ---- choices ------------------------------------------------------------------------------------------- */

#define SB_METHOD(name) "|" #name
static const char method_names[] =
#include "trainer/methods/methods.def"
    ;
#undef SB_METHOD

#define SB_ENCODER(name) "|" #name
static const char encoder_names[] =
#include "trainer/encoders/encoders.def"
    ;
#undef SB_ENCODER

#define SB_ENCODER(name) &sb_encoder_##name,
static const sb_encoder_kind *const encoders[] = {
#include "trainer/encoders/encoders.def"
};
#undef SB_ENCODER

#define SB_OPTIMISER(name) &sb_optimiser_##name,
static const sb_optimiser_kind *const optimisers[] = {
#include "trainer/optimisers/optimisers.def"
};
#undef SB_OPTIMISER

/* method.*, encoder.*, whichever is chosen. name: which of the list. */
typedef struct {
    int name, bank;
} method_choice;
typedef struct {
    int name;
} encoder_choice;

static const sb_key method_keys[] = {
    SB_KEY_CHOICE(method_choice, name, "dcl", method_names + 1, "the method"),
    SB_KEY_INT(method_choice, bank, "0", 0, 65536,
               "samples that a loss compares: the batch, and earlier ones without a gradient; 0: the batch"),
};
static const sb_key encoder_keys[] = {
    SB_KEY_CHOICE(encoder_choice, name, "resnet18", encoder_names + 1, "the backbone"),
};
static const sb_key_table method_table = SB_KEY_TABLE("method", NULL, method_choice, method_keys),
                          encoder_table = SB_KEY_TABLE("encoder", NULL, encoder_choice, encoder_keys);

#define SB_METHOD(name) &sb_method_##name.keys,
#define SB_ENCODER(name) &sb_encoder_##name.keys,
#define SB_OPTIMISER(name) &sb_optimiser_##name.keys,
const sb_key_table *const sb_tables[] = { &sb_common_table,    &sb_start_table,     &sb_continue_table,
                                          &sb_cuda_table,      &sb_run_table,       &sb_data_table,
                                          &sb_guide_table,     &sb_loader_table,    &sb_batch_table,
                                          &method_table,
#include "trainer/methods/methods.def"
                                          &encoder_table,
#include "trainer/encoders/encoders.def"
                                          &sb_projector_table, &sb_dense_table,     &sb_teacher_table,
                                          &sb_trainer_table,   &sb_optimiser_table,
#include "trainer/optimisers/optimisers.def"
                                          &sb_evaluate_table,  &sb_view_table,      NULL };

/* ---- reading ------------------------------------------------------------------------------------------- */

static int fill_choice(const sb_config *config, const sb_key_table *table, unsigned char *out)
{
    if (table->bytes > SB_CHOICE_BYTES)
        return sb_fail("the keys of %s %s take %zu bytes, there is room for %d", table->section,
                       table->choice, table->bytes, SB_CHOICE_BYTES);
    return sb_config_fill(config, table, out);
}

/* The method is known from here on, and so is what it suggests. */
static int choose_method(sb_settings *s, sb_config *config)
{
    method_choice method;
    char place[64];
    if (sb_config_fill(config, &method_table, &method) != 0)
        return -1;
    s->method = sb_methods[method.name];
    s->bank = method.bank;
    if (!config->views_given && config->view_count > s->method->views_most)
        config->view_count = s->method->views_most;
    snprintf(place, sizeof place, "method %s", s->method->name);
    for (const char *const *d = s->method->defaults; d && *d; d++)
        if (sb_config_suggest(config, place, *d) != 0)
            return -1;
    return 0;
}

static int choose_encoder(const sb_config *config, const sb_encoder_kind **kind, unsigned char *keys)
{
    encoder_choice encoder;
    if (sb_config_fill(config, &encoder_table, &encoder) != 0)
        return -1;
    *kind = encoders[encoder.name];
    return fill_choice(config, &(*kind)->keys, keys);
}

/* Of "NAME KEY=VALUE...": the keys are as `encoder` has them. */
static int read_teacher(sb_config *config, sb_settings *s)
{
    char text[sizeof s->teacher.encoder], *rest = text, *word, name[SB_KEY_NAME_MAX];
    int rc = 0;
    memcpy(text, s->teacher.encoder, sizeof text);
    for (bool first = true; rc == 0 && (word = strtok_r(rest, " ", &rest)); first = false)
        rc = snprintf(name, sizeof name, first ? "encoder.name=%s" : "encoder.%s", word) < (int)sizeof name
                 ? sb_config_set(config, name)
                 : sb_fail("%s is too long", word);
    if (rc == 0 && config->count == 0)
        rc = sb_fail("the name of an encoder was expected");
    return rc != 0 || sb_config_check(config, sb_tables) != 0
               ? -1
               : choose_encoder(config, &s->teacher_encoder, s->teacher_encoder_keys);
}

static int choose_teacher(sb_settings *s, const sb_config *config)
{
    char whole[PATH_MAX];
    if (sb_config_fill(config, &sb_teacher_table, &s->teacher) != 0)
        return -1;
    if (s->method->teacher != SB_TEACHER_FILE) {
        const char *set = s->teacher.file[0] != '\0' ? "teacher.file" : NULL;
        if (strcmp(s->teacher.encoder, SB_TEACHER_ENCODER) != 0)
            set = "teacher.encoder";
        return set ? sb_fail("%s: %s: method %s takes no teacher from a file", sb_config_place(config, set),
                             set, s->method->name)
                   : 0;
    }
    if (realpath(s->teacher.file, whole))
        memcpy(s->teacher.file, whole, sizeof whole);
    sb_config own;
    sb_config_init(&own);
    const int rc = read_teacher(&own, s);
    sb_config_free(&own);
    return rc == 0 ? 0
                   : sb_context("%s: teacher.encoder = %s", sb_config_place(config, "teacher.encoder"),
                                s->teacher.encoder);
}

static int fill(sb_settings *s, const sb_config *config)
{
    if (sb_config_fill(config, &sb_common_table, &s->common) != 0 ||
        sb_config_fill(config, &sb_start_table, &s->start) != 0 ||
        sb_config_fill(config, &sb_continue_table, &s->continuing) != 0 ||
        sb_config_fill(config, &sb_cuda_table, &s->cuda) != 0 ||
        sb_config_fill(config, &sb_run_table, &s->run) != 0 ||
        sb_loader_keys_read(config, &s->data, &s->loader) != 0 ||
        fill_choice(config, &s->method->keys, s->method_keys) != 0 ||
        choose_encoder(config, &s->encoder, s->encoder_keys) != 0 || choose_teacher(s, config) != 0 ||
        sb_config_fill(config, &sb_projector_table, &s->projector) != 0 ||
        sb_config_fill(config, &sb_dense_table, &s->dense) != 0 ||
        sb_config_fill(config, &sb_trainer_table, &s->trainer) != 0 ||
        sb_config_fill(config, &sb_optimiser_table, &s->optimiser) != 0)
        return -1;
    s->optimiser_kind = optimisers[s->optimiser.name];
    if (fill_choice(config, &s->optimiser_kind->keys, s->optimiser_keys) != 0 ||
        sb_config_fill(config, &sb_evaluate_table, &s->evaluate) != 0)
        return -1;
    s->view_count = config->view_count;
    s->images = 2 * s->trainer.batch;
    for (int i = 0; i < s->data.guide_count; i++)
        if (s->data.guides[i].weight != 0)
            s->guides[s->guide_count++] = (sb_guide_how){ .classes = 2, .weight = s->data.guides[i].weight };
    return sb_view_keys_read(config, s->data.view, s->views);
}

static int check_continue(const sb_settings *s, const sb_config *c)
{
    if (s->continuing.enabled && s->start.init[0] == '\0')
        return sb_fail("%s: continue: there are no weights to go on from: init=FILE names them",
                       sb_config_place(c, "continue.enabled"));
    if (s->continuing.enabled && s->continuing.heads >= s->trainer.steps)
        return sb_fail("%s: continue.heads = %" PRId64 ": the run has trainer.steps = %" PRId64
                       ", and its backbone would stay as it was given (%s)",
                       sb_config_place(c, "continue.heads"), s->continuing.heads, s->trainer.steps,
                       sb_config_place(c, "trainer.steps"));
    if (s->continuing.enabled && s->continuing.lora > 0 && s->optimiser_kind->rule == SB_UPDATE_LARS)
        return sb_fail(
            "%s: continue.lora = %d with optimiser.name = lars: its steps are a share of a weight's norm, "
            "and half of the adapters begin at 0 (%s)",
            sb_config_place(c, "continue.lora"), s->continuing.lora, sb_config_place(c, "optimiser.name"));
    if (s->continuing.enabled && s->continuing.lora > 0 && s->continuing.lora_alpha == 0)
        return sb_fail("%s: continue.lora_alpha = 0: what the adapters of continue.lora = %d learn would be "
                       "multiplied by 0 (%s)",
                       sb_config_place(c, "continue.lora_alpha"), s->continuing.lora,
                       sb_config_place(c, "continue.lora"));
    return 0;
}

/* A target that sees all of a view where the encoder sees a part is run as evaluation runs it: batch norms
 * would take statistics that were gathered over visible places alone. */
static int check_target(const sb_settings *s, const sb_config *c)
{
    if (s->method->teacher == SB_TEACHER_AVERAGE && sb_encoder_norm_of(s) == SB_ENCODER_BATCH)
        return sb_fail(
            "%s: encoder.name = %s has batch norms: method %s takes an encoder whose norms are of one "
            "view by itself (ConvNeXt; ResNet with encoder.norm=group or frozen)",
            sb_config_place(c, "encoder.name"), s->encoder->name, s->method->name);
    return 0;
}

/* What no single table shows. */
static int check(const sb_settings *s, const sb_config *c)
{
    const sb_method_kind *method = s->method;
    if (s->trainer.chunk > s->trainer.batch * s->view_count)
        return sb_fail(
            "%s: trainer.chunk = %d: a batch has only %d views, %d of each sample of trainer.batch = %d (%s)",
            sb_config_place(c, "trainer.chunk"), s->trainer.chunk, s->trainer.batch * s->view_count,
            s->view_count, s->trainer.batch, sb_config_place(c, "trainer.batch"));
    if (s->view_count < method->views_least || s->view_count > method->views_most)
        return sb_fail("%s: views: method %s compares %d views of a sample, not %d",
                       sb_config_place(c, "views"), method->name, method->views_least, s->view_count);
    if (s->trainer.batch < method->samples_least)
        return sb_fail("%s: trainer.batch = %d: method %s needs at least %d",
                       sb_config_place(c, "trainer.batch"), s->trainer.batch, method->name,
                       method->samples_least);
    if (method->told && s->guide_count == 0)
        return sb_fail("%s: method.name = %s learns what columns say, and none is named: guide.label=1 is of "
                       "labels, guide.COLUMN=1 of any column of a manifest",
                       sb_config_place(c, "method.name"), method->name);
    if (s->trainer.batch % s->trainer.replicas != 0)
        return sb_fail("%s: trainer.replicas = %d do not share trainer.batch = %d evenly (%s)",
                       sb_config_place(c, "trainer.replicas"), s->trainer.replicas, s->trainer.batch,
                       sb_config_place(c, "trainer.batch"));
    if (s->trainer.replicas > 1 && (s->trainer.chunk > 0 || s->bank > 0))
        return sb_fail("%s: trainer.replicas = %d with %s: the chunk is a replica's share of the batch, and "
                       "the loss is of the batch",
                       sb_config_place(c, "trainer.replicas"), s->trainer.replicas,
                       s->bank > 0 ? "method.bank" : "trainer.chunk");
    if (s->bank > 0 && (s->bank % s->trainer.batch != 0 || s->bank == s->trainer.batch))
        return sb_fail("%s: method.bank = %d: a multiple of trainer.batch = %d, of at least twice as many, "
                       "was expected (%s)",
                       sb_config_place(c, "method.bank"), s->bank, s->trainer.batch,
                       sb_config_place(c, "trainer.batch"));
    return check_target(s, c) != 0 ? -1 : check_continue(s, c);
}

static int settle_number(sb_config *config, const char *name, int value)
{
    char text[32];
    snprintf(text, sizeof text, "%d", value);
    return sb_config_settle(config, name, text);
}

/* Values that follow from others, in the configuration's text, too. */
static int settle(sb_settings *s, sb_config *config)
{
    char name[SB_KEY_NAME_MAX];
    if (s->trainer.threads == 0)
        s->trainer.threads = sb_cores();
    for (int v = 0; v < s->view_count; v++) {
        snprintf(name, sizeof name, "views.%d.size", v);
        if (s->views[v].size.count == 1 && settle_number(config, name, s->views[v].side) != 0)
            return -1;
    }
    if (settle_number(config, "trainer.threads", s->trainer.threads) != 0 ||
        (s->teacher.file[0] != '\0' && sb_config_settle(config, "teacher.file", s->teacher.file) != 0))
        return -1;
    return sb_config_settle(config, "data.path", s->data.path);
}

/* What earlier versions wrote into the config.yaml of a run, and what it is now. */
static const struct {
    const char *name, *value, *name_now, *value_now;
} renamed[] = { { "trainer.on_collapse", "warn", "trainer.on_alarm", "note" },
                { "trainer.on_collapse", "stop", "trainer.on_alarm", "stop" } };
enum { RENAMED = sizeof renamed / sizeof *renamed };

/* The row of a setting; RENAMED: none. */
static size_t row_of(const sb_setting *s)
{
    size_t row = 0;
    while (row < RENAMED && (!s->value || strcmp(s->name, renamed[row].name) != 0 ||
                             strcmp(s->value, renamed[row].value) != 0))
        row++;
    return row;
}

void sb_settings_say_renamed(const sb_config *config)
{
    for (int i = 0; i < config->count; i++) {
        const size_t row = row_of(&config->settings[i]);
        if (row < RENAMED)
            printf("%s = %s, of an earlier version, is %s = %s now\n", renamed[row].name, renamed[row].value,
                   renamed[row].name_now, renamed[row].value_now);
    }
}

static int take_renamed(sb_config *config)
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < config->count; i++) {
        const size_t row = row_of(&config->settings[i]);
        if (row < RENAMED)
            rc = sb_config_replace(config, i, renamed[row].name_now, renamed[row].value_now);
    }
    return rc;
}

int sb_settings_read(sb_settings *out, sb_config *config)
{
    *out = (sb_settings){ 0 };
    if (take_renamed(config) != 0 || choose_method(out, config) != 0 ||
        sb_config_check(config, sb_tables) != 0 || fill(out, config) != 0 || check(out, config) != 0)
        return -1;
    return settle(out, config);
}

int sb_settings_of(sb_settings *out, const char *recipe, const char *const *assignments, int count)
{
    sb_config config;
    sb_config_init(&config);
    int rc = recipe ? sb_config_read(&config, recipe) : 0;
    for (int i = 0; rc == 0 && i < count; i++)
        rc = sb_config_set(&config, assignments[i]);
    if (rc == 0)
        rc = sb_settings_read(out, &config);
    sb_config_free(&config);
    return rc;
}

int sb_settings_of_run(sb_settings *out, const char *run_dir, char **result_text)
{
    sb_config config;
    int rc = sb_config_read_run(&config, run_dir);
    if (rc == 0)
        rc = sb_settings_read(out, &config);
    if (rc == 0 && result_text && !(*result_text = sb_config_text(&config, sb_tables, true)))
        rc = -1;
    sb_config_free(&config);
    return rc;
}

/* ---- documentation ------------------------------------------------------------------------------------- */

int sb_settings_document(const char *name)
{
    const sb_key_table *brought = NULL;
    if (!name) {
        sb_keys_document(sb_tables, NULL);
        return 0;
    }
    for (const sb_key_table *const *t = sb_tables; *t && !brought; t++)
        if ((*t)->choice && strcmp((*t)->choice, name) == 0)
            brought = *t;
    if (!brought)
        return sb_fail("there is no method, encoder or optimiser %s; there are %s, %s, %s", name,
                       method_names + 1, encoder_names + 1, sb_optimiser_names + 1);
    if (brought->count == 0)
        printf("%s %s brings no keys of its own.\n", brought->section, name);
    else
        sb_keys_document(sb_tables, name);
    for (const sb_method_kind *const *kind = sb_methods; *kind; kind++)
        for (const char *const *d = (*kind)->defaults; d && *d && strcmp((*kind)->name, name) == 0; d++)
            printf("%s%s\n",
                   d == (*kind)->defaults ? "\nWith it these are the defaults of other keys:\n" : "", *d);
    return 0;
}
