/* main.c of sb_trainer: prepares, trains and exports a run. */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/cores.h"           /* sb_cores */
#include "proto/error.h"           /* sb_fail */
#include "proto/memory.h"          /* sb_memory_available */
#include "proto/outfile.h"         /* sb_outfile_* */
#include "proto/process.h"         /* sb_stop_install */
#include "proto/program.h"         /* sb_program_* */
#include "trainer/calibrate.h"     /* sb_calibrate */
#include "trainer/catalogue.h"     /* sb_catalogue */
#include "trainer/configuration.h" /* sb_settings_* */
#include "trainer/export.h"        /* sb_export_backbone */
#include "trainer/loss.h"          /* sb_loss */
#include "trainer/planner.h"       /* sb_planner_* */
#include "trainer/prepare.h"       /* sb_prepare* */
#include "trainer/remarks.h"       /* sb_remarks_recipe */
#include "trainer/resume.h"        /* sb_resume */
#include "trainer/train.h"         /* sb_train */

typedef struct arguments arguments;

#define SIZES_MAX 16
#define FIT_S \
    (8 * 60.0) /* of the demo's steps; loaders, augment and evaluator take their share of the same cores */

typedef struct {
    const char *name;
    int least, most; /* arguments */
    int (*run)(const arguments *a);
    bool remarks; /* on its recipe are said */
} command;

struct arguments {
    const command *command;
    const char *recipe, *output, *arrays, *places, *images, *guides;
    int64_t step;
    size_t memory[SIZES_MAX]; /* bytes of devices; none: of the one that is here */
    int memory_count;
    char **rest; /* what follows the command */
    int rest_count;
    char *targets[SB_VIEWS_MAX];
    int target_count;
    bool best;
};

/* data: where it may be, if neither the recipe nor a key says so; NULL: one of them must. */
static int read_recipe(const arguments *a, const char *data, sb_settings *settings, sb_config *config)
{
    if (a->recipe && sb_config_read(config, a->recipe) != 0)
        return -1;
    for (int i = 0; i < a->rest_count; i++)
        if (sb_config_set(config, a->rest[i]) != 0)
            return -1;
    if (a->command->remarks) /* before what it may explain */
        sb_remarks_recipe(config);
    if (data && sb_config_suggest(config, "default", data) != 0)
        return -1;
    return sb_settings_read(settings, config);
}

static int prepare(const arguments *a)
{
    sb_config config;
    sb_settings settings;
    sb_config_init(&config);
    int rc = read_recipe(a, NULL, &settings, &config);
    if (rc == 0)
        rc = sb_prepare(&settings, &config, a->recipe ? a->recipe : "run");
    sb_config_free(&config);
    if (rc == 0)
        printf("%s\n", settings.run.dir);
    return rc;
}

static int supervised(const arguments *a) { return sb_prepare_supervised(a->rest[0]); }

/* The settings of a recipe for who has no data. settle: with what is auto chosen. */
static int read_without_data(const arguments *a, bool settle, sb_settings *out)
{
    sb_config config;
    sb_config_init(&config);
    int rc = read_recipe(a, "data.path=none", out, &config);
    if (rc == 0 && settle)
        rc = sb_planner_settle(out, &config);
    sb_config_free(&config);
    return rc;
}

static int plan(const arguments *a)
{
    sb_settings config;
    int rc = read_without_data(a, false, &config);
    for (int i = 0; i < a->memory_count && rc == 0; i++)
        rc = sb_planner_print(&config, a->memory[i]);
    return a->memory_count == 0 && rc == 0 ? sb_planner_print(&config, 0) : rc;
}

/* "MIB of device memory, MIB of shared memory for views", as numbers, for ./run doctor. */
static int needs(const arguments *a)
{
    sb_settings config;
    size_t device, shared;
    if (read_without_data(a, true, &config) != 0 || sb_train_needs(&config, &device, &shared) != 0)
        return -1;
    printf("%zu %zu\n", (device >> 20) + 1, (shared >> 20) + 1);
    return 0;
}

/* MiB of host memory that may still be taken, for ./run doctor. */
static int memory(const arguments *a)
{
    (void)a;
    printf("%zu\n", sb_memory_available() >> 20);
    return 0;
}

/* Processors that may be used, for ./run doctor. */
static int cores(const arguments *a)
{
    (void)a;
    printf("%d\n", sb_cores());
    return 0;
}

/* "about 26 minutes: 1000 steps of 1.58 s (CPU, 2 threads, ...; measured for 1.6 s)", for ./run doctor. */
static int say_time(const arguments *a)
{
    sb_settings config;
    sb_calibration c;
    if (read_without_data(a, true, &config) != 0 || sb_calibrate(&config, &c) != 0)
        return -1;
    char all[48];
    sb_calibrate_duration(c.step_s * (double)config.trainer.steps, all);
    printf("about %s: %" PRId64 " step%s of %.*f s (%s; measured for %.1f s", all, config.trainer.steps,
           sb_plural((uint64_t)config.trainer.steps), c.step_s < 1 ? 5 : 2, c.step_s, c.device, c.measured_s);
    if (c.batch < config.trainer.batch)
        printf(", with %d of %d samples", c.batch, config.trainer.batch);
    printf(")\n");
    return 0;
}

/* "data.view=96" where the steps of the recipe would take longer than FIT_S here; says so. Of a recipe whose
 * views follow data.view. */
static int fit(const arguments *a)
{
    sb_settings config;
    sb_calibration c;
    char all[48];
    if (read_without_data(a, true, &config) != 0 || sb_calibrate(&config, &c) != 0)
        return -1;
    const double seconds = c.step_s * (double)config.trainer.steps;
    const int side = sb_calibrate_side(config.data.view, seconds, FIT_S);
    if (side == config.data.view)
        return 0;
    sb_calibrate_duration(seconds, all);
    sb_note("%" PRId64 " steps with views of %d pixels would take about %s here (%.2f s a step): views of %d "
            "pixels are taken, and data.view=%d takes the time",
            config.trainer.steps, config.data.view, all, c.step_s, side, config.data.view);
    printf("data.view=%d\n", side);
    return 0;
}

static int resume(const arguments *a)
{
    return sb_resume(a->rest[0], a->best, a->rest + 1, a->rest_count - 1);
}

static int train(const arguments *a)
{
    if (sb_stop_install() != 0 || sb_process_die_with_supervisor() != 0)
        return -1;
    const sb_train_end end = sb_train(a->rest[0]);
    if (end == SB_TRAIN_NO_ROOM)
        sb_note("%s", sb_error());
    return (int)end;
}

static int export(const arguments *a)
{
    if (!a->output)
        return sb_fail("export needs -o FILE");
    const sb_outfile out = sb_outfile_look(a->output);
    if (sb_outfile_check(&out) != 0 || sb_outfile_check_run(&out, a->rest[0]) != 0)
        return -1;
    return sb_export_backbone(a->rest[0], a->best, a->output) == 0 ? sb_export_show(a->rest[0], a->output)
                                                                   : -1;
}

static int keys(const arguments *a) { return sb_settings_document(a->rest_count > 0 ? a->rest[0] : NULL); }

static int methods(const arguments *a) { return sb_catalogue(a->rest_count > 0 ? a->rest[0] : NULL); }

static int loss(const arguments *a)
{
    const sb_loss_request request = { .arguments = a->rest,
                                      .argument_count = a->rest_count,
                                      .targets = (char **)(uintptr_t)a->targets,
                                      .target_count = a->target_count,
                                      .arrays = a->arrays,
                                      .places = a->places,
                                      .images = a->images,
                                      .guides = a->guides,
                                      .out = a->output,
                                      .step = a->step };
    return sb_loss(&request);
}

static const command commands[] = {
    { "prepare", 0, INT_MAX, prepare, .remarks = true },
    { "needs", 0, INT_MAX, needs },
    { "memory", 0, 0, memory },
    { "cores", 0, 0, cores },
    { "time", 0, INT_MAX, say_time },
    { "plan", 0, INT_MAX, plan, .remarks = true },
    { "loss", 0, INT_MAX, loss },
    { "keys", 0, 1, keys },
    { "methods", 0, 1, methods },
    { "resume", 1, INT_MAX, resume },
    { "train", 1, 1, train },
    { "export", 1, 1, export },
    { "supervised", 1, 1, supervised },
    { "fit", 0, INT_MAX, fit },
};
enum { COMMANDS = sizeof commands / sizeof *commands };

/* NULL: there is none of this name. */
static const command *command_of(const char *name)
{
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

enum {
    KEY_RECIPE = 0x100,
    KEY_TARGET,
    KEY_ARRAYS,
    KEY_PLACES,
    KEY_IMAGES,
    KEY_GUIDES,
    KEY_STEP,
    KEY_MEMORY,
    KEY_BEST
};

/* A whole number of an option. */
static error_t number(const char *option, const char *text, int64_t least, int64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return errno || *end || end == text || *out < least
               ? sb_program_wrong("%s %s: a whole number from %" PRId64 " on was expected", option, text,
                                  least)
               : 0;
}

/* "8GiB", "6000MiB". */
static int read_bytes(const char *text, size_t *out)
{
    char *end;
    const double value = strtod(text, &end);
    const int shift = strcmp(end, "GiB") == 0 ? 30 : strcmp(end, "MiB") == 0 ? 20 : 0;
    if (end == text || shift == 0 || !(value >= 1.0 / 1024 && value <= 1e6))
        return -1;
    *out = (size_t)(value * (double)((size_t)1 << shift));
    return 0;
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    arguments *a = state->input;
    switch (key) {
    case KEY_RECIPE: a->recipe = argument; break;
    case KEY_TARGET:
        if (a->target_count == SB_VIEWS_MAX)
            return sb_program_wrong("--target: at most %d", SB_VIEWS_MAX);
        a->targets[a->target_count++] = argument;
        break;
    case KEY_BEST: a->best = true; break;
    case KEY_ARRAYS: a->arrays = argument; break;
    case KEY_PLACES: a->places = argument; break;
    case KEY_IMAGES: a->images = argument; break;
    case KEY_GUIDES: a->guides = argument; break;
    case KEY_STEP: return number("--step", argument, 0, &a->step);
    case KEY_MEMORY:
        if (a->memory_count == SIZES_MAX)
            return sb_program_wrong("--device-memory: at most %d", SIZES_MAX);
        if (read_bytes(argument, &a->memory[a->memory_count++]) != 0)
            return sb_program_wrong("--device-memory %s: a size like 8GiB or 6000MiB was expected", argument);
        break;
    case 'o': a->output = argument; break;
    case ARGP_KEY_ARG:
        a->command = command_of(argument);
        if (!a->command)
            return sb_program_wrong("no command `%s` (--help)", argument);
        a->rest = &state->argv[state->next];
        a->rest_count = state->argc - state->next;
        state->next = state->argc;
        break;
    case ARGP_KEY_END:
        if (!a->command)
            return sb_program_wrong("a command was expected (--help)");
        if (a->rest_count > a->command->most)
            return sb_program_wrong("%s: one argument too many: %s (./run help %s)", a->command->name,
                                    a->rest[a->command->most], a->command->name);
        if (a->rest_count < a->command->least)
            return sb_program_wrong("%s: an argument is missing (--help)", a->command->name);
        return sb_program_check_options(state, a->command->name);
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int main(int argc, char **argv)
{
    const struct argp_option options[] = {
        { "recipe", KEY_RECIPE, "FILE", 0, "prepare, plan, needs, time, fit: YAML recipe", 0 },
        { "device-memory", KEY_MEMORY, "SIZE", 0,
          "plan: of a device that is not here, 8GiB or 6000MiB; once for each", 0 },
        { "output", 'o', "PATH", 0, "export: the file of the backbone. loss: the folder of the gradients",
          0 },
        { "target", KEY_TARGET, "FILE", 0,
          "loss: the target network's embeddings, once for each view; else the views' own", 0 },
        { "best", KEY_BEST, NULL, 0,
          "export: of the best checkpoint, not the newest. resume: from that; later ones are set aside", 0 },
        { "arrays", KEY_ARRAYS, "FOLDER", 0,
          "loss: NAME.npy of what the method has of its own (predictor, prototypes, queues); else as it "
          "begins",
          0 },
        { "places", KEY_PLACES, "FILE", 0,
          "loss: i32 [N, 4], image, left, top and side of each sample's tile: those that overlap are no "
          "negatives of each other",
          0 },
        { "guides", KEY_GUIDES, "FOLDER", 0,
          "loss: COLUMN.npy, f32 [N], what each column that guides says of the samples; NAN: nothing", 0 },
        { "images", KEY_IMAGES, "FILE", 0,
          "loss: i32 [N], which image each sample is of, for methods that keep something for each", 0 },
        { "step", KEY_STEP, "NUMBER", 0, "loss: the step of trainer.steps that it is; 0", 0 },
        { 0 },
    };
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "prepare [KEY=VALUE...]\nplan [KEY=VALUE...]\nkeys [CHOICE]\nmethods "
                    "[NAME]\nmemory\ncores\nneeds "
                    "[KEY=VALUE...]\nfit [KEY=VALUE...]\ntime "
                    "[KEY=VALUE...]\nloss "
                    "METHOD A.npy B.npy [KEY=VALUE...] -o FOLDER\nresume RUN_DIR [KEY=VALUE...]\ntrain "
                    "RUN_DIR\nexport "
                    "RUN_DIR -o FILE\nsupervised RUN_DIR",
        .doc =
            "Prepares, trains and exports a run. Used by ./run.\v"
            "train exits with 0 when the run is finished, 3 when it was asked to stop and has saved its "
            "last finished step, 5 when it has saved it because its views have another size from the next "
            "step on, and is to be started again; 7 when it cannot begin for lack of memory alone; 8 when an "
            "alarm has stopped it, and it has saved; 1 when it cannot go on.\n\n"
            "resume makes a run ready for train: it applies keys and checks the configuration. It exits with "
            "6 when the run is finished; 1 when it cannot go on so.\n\n"
            "supervised makes or continues RUN_DIR/supervised, which is to learn the labels of that run's "
            "data; it exits as resume does.\n\n"
            "loss prints a method's loss of embeddings from files, f32 [N, d] a view, and writes into the "
            "folder gradient.V.npy for each view V, and what the method has of its own: arrays/, "
            "gradients/ and after/NAME.npy.",
    };
    arguments a = { 0 };
    sb_program_begin("trainer");
    sb_program_arguments(&argp, argc, argv, &a);
    return sb_program_end(a.command->run(&a));
}
