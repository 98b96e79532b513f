/* planner.c: see planner.h. */
#include "trainer/planner.h"

#include <inttypes.h>
#include <stdio.h>

#include "kernels/open.h"
#include "proto/error.h"
#include "proto/program.h"
#include "trainer/calibrate.h"
#include "trainer/precision.h"
#include "trainer/train.h"

#define NORM_VIEWS 32               /* in a norm: fewer make its statistics noise (MoCo's groups have 32) */
#define RESERVE ((size_t)256 << 20) /* of a GPU, and 4 % of a larger one (kernels/cuda/device.c) */
#define MARGIN \
    ((size_t)512 << 20) /* what the others take between now and the run's start, which asks again */
#define OWN                                                                                                \
    ((size_t)512 << 20) /* a context and the libraries of whoever trains, on a device that cannot be asked \
                         */
#define MIB (1024.0 * 1024.0)

static const char *const names[] = { "none", "norms", "wide", "blocks" };

/* What is tried: the cheapest first. A chunk that cannot be planned does not fit. */
static sb_recompute first_of(const sb_settings *c)
{
    return c->trainer.recompute == SB_RECOMPUTE_AUTO ? SB_RECOMPUTE_NONE : c->trainer.recompute;
}
static sb_recompute last_of(const sb_settings *c)
{
    return c->trainer.recompute == SB_RECOMPUTE_AUTO ? SB_RECOMPUTE_BLOCKS : c->trainer.recompute;
}

static size_t total_of(const sb_step_budget *b) { return b->weights + b->packed + b->activations + b->batch; }

/* ---- choosing ------------------------------------------------------------------------------------------ */

typedef struct {
    int chunk; /* 0: none fits */
    sb_recompute recompute;
} choice;

/* With a chunk that was asked for, or a replica's: the least that has to be made again. */
static choice choose_recompute(sb_step *sketch, const sb_settings *c, size_t available)
{
    const int chunk = c->trainer.chunk > 0 ? c->trainer.chunk : sb_step_largest_chunk(c);
    for (sb_recompute r = first_of(c); r <= last_of(c); r++) {
        sb_step_budget b;
        if (sb_step_size(sketch, chunk, r, &b) == 0 && total_of(&b) <= available)
            return (choice){ chunk, r };
    }
    return (choice){ 0, first_of(c) };
}

static choice choose_chunk(sb_step *sketch, const sb_settings *c, size_t available)
{
    const int whole = sb_step_largest_chunk(c);
    choice found[SB_RECOMPUTE_AUTO] = { { 0 } }, best = { 0, first_of(c) };
    for (sb_recompute r = first_of(c); r <= last_of(c); r++) {
        found[r] = (choice){ sb_step_fit(sketch, r, available), r };
        if (found[r].chunk == whole)
            return found[r];
    }
    for (sb_recompute r = first_of(c); r <= last_of(c) && best.chunk < NORM_VIEWS; r++)
        if (found[r].chunk > best.chunk)
            best = found[r];
    return best;
}

size_t sb_planner_card(size_t memory)
{
    const size_t held = OWN + (memory / 25 > RESERVE ? memory / 25 : RESERVE);
    return memory > held ? memory - held : 0;
}

/* What there is with so many of MARGINS parts of the margin left free. */
enum { MARGINS = 8 };
static size_t less_margin(size_t available, int parts)
{
    const size_t margin = MARGIN / MARGINS * (size_t)parts;
    return available > margin ? available - margin : 0;
}

/* Where nothing fits beside the margin, beside as much of it as can be: it may be that nobody takes it. */
static choice choose(sb_step *sketch, const sb_settings *c, size_t available)
{
    choice chosen = { 0 };
    for (int parts = MARGINS; parts >= 0 && chosen.chunk == 0; parts--)
        chosen = c->trainer.chunk > 0 || c->trainer.replicas > 1
                     ? choose_recompute(sketch, c, less_margin(available, parts))
                     : choose_chunk(sketch, c, less_margin(available, parts));
    return chosen;
}

int sb_planner_fit(sb_step *sketch, sb_recompute r, size_t available)
{
    int chunk = 0;
    for (int parts = MARGINS; parts >= 0 && chunk == 0; parts--)
        chunk = sb_step_fit(sketch, r, less_margin(available, parts));
    return chunk;
}

static int settle(sb_settings *s, sb_config *config, const choice *chosen, size_t available)
{
    const int whole = sb_step_largest_chunk(s), chunk = chosen->chunk > 0 ? chosen->chunk : whole;
    const bool cut = s->trainer.chunk == 0 && chunk < whole;
    char text[32];
    if (chosen->chunk > 0 && (cut || chosen->recompute != first_of(s)))
        sb_note("trainer.chunk = %d of %d views, trainer.recompute = %s: what fits into %.0f MiB%s", chunk,
                whole, names[chosen->recompute], (double)available / MIB,
                cut ? "; a norm of the backbone sees a chunk" : "");
    snprintf(text, sizeof text, "%d", chunk);
    if (s->trainer.replicas == 1) {
        s->trainer.chunk = chunk;
        if (sb_config_settle(config, "trainer.chunk", text) != 0)
            return -1;
    }
    s->trainer.recompute = chosen->recompute;
    return sb_config_settle(config, "trainer.recompute", names[chosen->recompute]);
}

static int settle_precision(sb_settings *s, sb_config *config, const sb_device *device)
{
    if (sb_precision_settle(device, s->trainer.precision, &s->trainer.precision) != 0)
        return -1;
    return sb_config_settle(config, "trainer.precision", sb_precision_name(s->trainer.precision));
}

static bool is_planned(const sb_settings *s)
{
    return s->trainer.chunk > 0 && s->trainer.recompute != SB_RECOMPUTE_AUTO;
}

int sb_planner_settle_on(sb_device *device, sb_settings *s, sb_config *config)
{
    sb_step *sketch = NULL;
    size_t available = 0;
    if (settle_precision(s, config, device) != 0)
        return -1;
    if (is_planned(s))
        return 0;
    if (device->available(device, &available) != 0 || sb_step_sketch(&sketch, device, s) != 0)
        return -1;
    const choice chosen = choose(sketch, s, available);
    sb_step_destroy(&sketch);
    return settle(s, config, &chosen, available);
}

int sb_planner_settle(sb_settings *s, sb_config *config)
{
    sb_device *device = NULL;
    int rc = sb_device_open(&device, s->common.device, s->cuda.plugin, s->trainer.threads);
    if (rc == 0)
        rc = sb_planner_settle_on(device, s, config);
    sb_device_close(&device);
    return rc == 0 ? 0 : -1;
}

/* ---- saying -------------------------------------------------------------------------------------------- */

/* One view size after another in the table: the recipe's, and these times it. */
static const double scales[] = { 0.5, 1, 2, 4 };
enum { VIEW_LEAST = 16, VIEW_MOST = 1024 };

/* Passes of a step: there is 1, back 2; a batch that is cut goes there twice, but where the loss is the mean
 * of the views' own, and so does what is made again but for norms and what is widened, which are some per
 * cent of a pass (a ResNet-50's). A teacher's are not counted. */
static double passes(const sb_settings *c, bool cut, sb_recompute r)
{
    static const double again[] = { 0, 0.12, 0.16, 1 };
    return (3 + (cut && c->method->build) + again[r]) / 3;
}

/* Rows of the table: this size of views with all that can be made again. */
static int print_rows(sb_device *device, const sb_settings *settings, double scale, size_t available)
{
    sb_settings c = *settings;
    int largest = 0;
    const int whole_cells = c.method->mask ? c.encoder->cell(c.encoder_keys) : 1;
    for (int v = 0; v < c.view_count; v++) {
        c.views[v].side = (int)(c.views[v].side * scale) / whole_cells * whole_cells;
        if (scale < 1 && c.views[v].side < 2 * whole_cells) /* too few to hide some */
            return 0;
        if (c.views[v].side < VIEW_LEAST || c.views[v].side > VIEW_MOST)
            return 0;
        largest = c.views[v].side > largest ? c.views[v].side : largest;
    }
    sb_step *sketch = NULL;
    int rc = sb_step_sketch(&sketch, device, &c);
    const int whole = sb_step_largest_chunk(&c);
    for (sb_recompute r = SB_RECOMPUTE_NONE; r < SB_RECOMPUTE_AUTO && rc == 0; r++) {
        sb_step_budget b;
        const int chunk = sb_planner_fit(sketch, r, available);
        if (chunk <= 0)
            printf("  %4d px   %-6s   does not fit\n", largest, names[r]);
        else if (sb_step_size(sketch, chunk, r, &b) != 0)
            rc = -1;
        else
            printf("  %4d px   %-6s   %5d of %-5d %8.0f MiB   %.2f\n", largest, names[r], chunk, whole,
                   (double)total_of(&b) / MIB, passes(&c, chunk < whole, r));
    }
    sb_step_destroy(&sketch);
    return rc;
}

/* What a checkpoint holds. */
static double checkpoint_bytes(sb_step *sketch)
{
    const sb_store *store = sb_step_store(sketch);
    const sb_method *m = sb_step_method(sketch);
    int arrays;
    sb_step_state(sketch, &arrays);
    size_t floats = (size_t)arrays * sb_step_state_layout(sketch)->floats;
    for (int k = 0; k < SB_ENTRY_KINDS; k++)
        floats += store->floats[k] + (m->kind->momentum ? m->projector[k] : 0);
    return (double)(floats * sizeof(float));
}

static void print_memory(const sb_settings *c, sb_step *sketch, const sb_step_budget *b, size_t available,
                         bool here)
{
    sb_layout layout;
    size_t rings = 0;
    sb_train_layout(&layout, c);
    for (int i = 0; i < layout.class_count; i++)
        rings += (size_t)layout.classes[i].slots * layout.classes[i].bytes;
    const size_t total = total_of(b);
    printf("device memory\n"
           "  weights, gradients, optimiser, what the method keeps   %8.0f MiB\n"
           "  weights as the device packs them                       %8.0f MiB\n"
           "  activations and workspace of a chunk                   %8.0f MiB\n"
           "  heads, loss and features of the batch                  %8.0f MiB\n"
           "  all                                                    %8.0f MiB of %.0f beside %s%s\n",
           (double)b->weights / MIB, (double)b->packed / MIB, (double)b->activations / MIB,
           (double)b->batch / MIB, (double)total / MIB, (double)available / MIB,
           here ? "a reserve" : "a reserve, and the libraries'", total <= available ? "" : ": DOES NOT FIT");
    printf("host memory for views                                    %8.0f MiB\n", (double)rings / MIB);
    char disk[64];
    const int kept = c->trainer.checkpoint_keep;
    snprintf(disk, sizeof disk, "disk for %d checkpoint%s and the best one", kept, sb_plural((uint64_t)kept));
    printf("%-57s%8.0f MiB\n", disk, (kept + 1) * checkpoint_bytes(sketch) / MIB);
}

/* From steps of this machine. */
static int print_time(const sb_settings *c)
{
    sb_calibration k;
    if (!sb_program_flush()) /* a step may take a minute: what is known is seen before */
        return 0;
    fprintf(stderr, "plan: measuring steps on this machine\n");
    if (sb_calibrate(c, &k) != 0)
        return -1;
    char all[48];
    sb_calibrate_duration(k.step_s * (double)c->trainer.steps, all);
    printf("time: %.2f s a step%s, %.1f images/s, %s for %" PRId64 " step%s (%s; measured for %.1f s)\n",
           k.step_s, k.sizes > 1 ? " on average" : "", c->trainer.batch * c->trainer.accumulate / k.step_s,
           all, c->trainer.steps, sb_plural((uint64_t)c->trainer.steps), k.device, k.measured_s);
    return 0;
}

/* With a sketch of the recipe as it would run. */
static int print_plan(sb_device *device, const sb_settings *settings, size_t available, bool here)
{
    sb_settings c = *settings;
    sb_step *sketch = NULL;
    sb_step_budget b;
    if (sb_step_sketch(&sketch, device, &c) != 0)
        return -1;
    const choice chosen = choose(sketch, &c, available);
    const int whole = sb_step_largest_chunk(&c);
    const int asked = settings->trainer.chunk > 0 ? settings->trainer.chunk : whole;
    c.trainer.chunk = c.trainer.replicas > 1 ? 0 : chosen.chunk > 0 ? chosen.chunk : asked;
    c.trainer.recompute = chosen.recompute;
    int rc = sb_step_size(sketch, c.trainer.chunk, c.trainer.recompute, &b);
    if (rc == 0) {
        printf("method %s, batch %d of %d views: trainer.chunk = %d of %d, trainer.recompute = %s\n",
               c.method->name, c.trainer.batch, c.view_count, c.trainer.chunk > 0 ? c.trainer.chunk : whole,
               whole, names[c.trainer.recompute]);
        for (int v = 0; v < c.view_count; v++)
            if (c.views[v].size.count > 1)
                printf("views.%d has %d sizes in the course of the run: planned for %d pixels\n", v,
                       c.views[v].size.count, c.views[v].side);
        print_memory(&c, sketch, &b, available, here);
    }
    sb_step_destroy(&sketch);
    if (rc == 0 && here && total_of(&b) <= available)
        rc = print_time(&c);
    if (rc == 0)
        printf("\n  view      again    chunk               memory       passes against a whole batch that "
               "keeps all\n");
    for (size_t i = 0; i < sizeof scales / sizeof *scales && rc == 0 && sb_program_flush(); i++)
        rc = print_rows(device, settings, scales[i], available);
    return rc;
}

int sb_planner_print(const sb_settings *settings, size_t memory)
{
    sb_device *device = NULL;
    size_t available = memory;
    if (sb_device_open(&device, settings->common.device, settings->cuda.plugin, settings->trainer.threads) !=
        0)
        return -1;
    if (memory > 0)
        printf("for a device of %.0f MiB, as the kernels of this one take it: %s\n", (double)memory / MIB,
               device->description);
    int rc = 0;
    sb_precision has;
    if (memory == 0 && sb_precision_settle(device, settings->trainer.precision, &has) != 0) {
        rc = sb_context("a plan for this machine (for another: --device-memory 8GiB)");
    } else if (memory > 0) {
        available = sb_planner_card(memory);
    } else {
        rc = device->available(device, &available);
    }
    if (rc == 0)
        rc = print_plan(device, settings, available, memory == 0);
    sb_device_close(&device);
    return rc;
}
