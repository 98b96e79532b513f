/* catalogue.c: see catalogue.h. What a method is made of is read off the graph that it builds, so that
 * nothing here knows a method. */
#include "trainer/catalogue.h"

#include <stdio.h>
#include <string.h>

#include "proto/error.h"
#include "trainer/backbone.h"
#include "trainer/configuration.h"

#define BATCH 64 /* that the memory is said for */

/* A method as it builds itself with its defaults. */
typedef struct {
    const sb_method_kind *kind;
    sb_settings settings;
    sb_store store;
    sb_graph *encoder, *loss, *target;
    sb_method method;
    sb_backbone backbone;
} sketch;

static int read_settings(sketch *s)
{
    char name[64], batch[32];
    sb_config config;
    sb_config_init(&config);
    if (s->kind->views_least > config.view_count)
        config.view_count = s->kind->views_least;
    snprintf(name, sizeof name, "method.name=%s", s->kind->name);
    snprintf(batch, sizeof batch, "trainer.batch=%d", BATCH);
    int rc = sb_config_set(&config, name) != 0 || sb_config_set(&config, batch) != 0 ||
                     sb_config_suggest(&config, "default", "data.path=none") != 0 ||
                     sb_settings_read(&s->settings, &config) != 0
                 ? -1
                 : 0;
    sb_config_free(&config);
    return rc;
}

/* Nothing is created on a device: a graph is a list of nodes, and a store a list of names. */
static int build(sketch *s)
{
    sb_store_init(&s->store, NULL);
    if (read_settings(s) != 0 || sb_graph_create(&s->encoder, &s->store) != 0 ||
        sb_graph_create(&s->loss, &s->store) != 0 || sb_graph_create(&s->target, &s->store) != 0)
        return -1;
    sb_shape rows[SB_METHOD_ROWS];
    if (sb_backbone_build(&s->backbone, s->encoder, &s->settings, SB_F32) != 0 ||
        sb_backbone_rows(&s->backbone, &s->settings, rows) != 0)
        return -1;
    if (sb_method_build(&s->method, s->loss, s->target, &s->settings, rows) != 0)
        return -1;
    sb_backbone_limit_target(&s->backbone, &s->method);
    return 0;
}

static void discard(sketch *s)
{
    sb_graph_destroy(&s->encoder);
    sb_graph_destroy(&s->loss);
    sb_graph_destroy(&s->target);
    sb_backbone_free(&s->backbone);
    sb_store_free(&s->store);
}

/* The first part of an entry's name, "predictor" of "predictor.0.weight"; its length. */
static int part_of(const char *name) { return (int)strcspn(name, "."); }

/* A part of the method's that stands in the backbone's graph: a decoder. */
static bool behind_encoder(const sketch *s, const sb_entry *e)
{
    return e->kind == SB_ENTRY_WEIGHT && e->offset >= s->backbone.floats[SB_ENTRY_WEIGHT] &&
           e->offset < s->backbone.weights;
}

/* What stands behind encoder and projector, each part once, in the order of the store. */
static void say_parts(const sketch *s)
{
    const char *before = "";
    printf(s->settings.projector.layers > 0 ? "projector" : "no projector");
    if (s->kind->momentum)
        printf(", target network");
    if (s->kind->teacher == SB_TEACHER_FILE)
        printf(", teacher (%s)", s->settings.teacher_encoder->name);
    for (int i = 0; i < s->store.count; i++) {
        const sb_entry *e = &s->store.entries[i];
        const int length = part_of(e->name);
        if ((e->offset < s->method.projector[e->kind] && !behind_encoder(s, e)) ||
            (part_of(before) == length && strncmp(e->name, before, (size_t)length) == 0))
            continue;
        printf(", %.*s", length, e->name);
        before = e->name;
    }
}

/* Bytes beside backbone and projector: what the method has of its own, and a target network. */
static double memory(const sketch *s)
{
    double floats = s->kind->teacher == SB_TEACHER_AVERAGE
                        ? 0 /* its target ends with the encoder, and the rest is counted below */
                        : (double)(s->backbone.weights - s->backbone.floats[SB_ENTRY_WEIGHT]);
    for (int k = 0; k < SB_ENTRY_KINDS; k++)
        floats += (double)(s->store.floats[k] - s->method.projector[k]) +
                  (s->kind->momentum ? (double)s->method.projector[k] : 0) +
                  (s->kind->teacher == SB_TEACHER_FILE ? (double)s->backbone.teacher.store.floats[k] : 0);
    return 4 * floats;
}

static int say(const sb_method_kind *kind)
{
    sketch s = { .kind = kind };
    int rc = build(&s);
    if (rc == 0) {
        const int views = s.settings.view_count;
        printf("%-12s %s\n%-12s ", kind->name, kind->summary, "");
        say_parts(&s);
        printf("; %d%s view%s of an image, %d encoded; %.1f MiB more\n%-12s ", views,
               kind->views_most > views ? " or more" : "",
               sb_plural((uint64_t)(views > kind->views_most ? views : kind->views_most)),
               kind->momentum || kind->teacher ? 2 * views : views, memory(&s) / (1 << 20), "");
        if (kind->works_from > 0)
            printf("known to work from batch %d: %s\n\n", kind->works_from, kind->evidence);
        else
            printf("no result at a small batch is known\n\n");
    }
    discard(&s);
    return rc;
}

int sb_catalogue(const char *name)
{
    bool found = false;
    for (const sb_method_kind *const *kind = sb_methods; *kind; kind++) {
        if (name && strcmp((*kind)->name, name) != 0)
            continue;
        found = true;
        if (say(*kind) != 0)
            return sb_context("method %s", (*kind)->name);
        if (name)
            printf("%s\n\n", (*kind)->paper);
    }
    if (!name)
        printf(
            "More MiB: beside backbone (ResNet-18) and projector, at batch %d, with the method's defaults.\n"
            "./run methods NAME: its keys, its paper, its figures at small batches, and what goes wrong with "
            "it.\n",
            BATCH);
    else if (found && sb_settings_document(name) != 0)
        return -1;
    if (name && !found)
        return sb_fail("there is no method %s; ./run methods lists them", name);
    return 0;
}
