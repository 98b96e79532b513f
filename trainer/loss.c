/* loss.c: see loss.h. */
#include "trainer/loss.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/open.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "proto/outfile.h"
#include "trainer/npy.h"
#include "trainer/step/step.h"

#define IMAGES_MOST (1 << 24)

typedef struct {
    const sb_loss_request *request;
    sb_settings settings;
    sb_device *device;
    sb_step *step;
    int views, samples, width;
    float *embeddings, *targets, *gradient; /* [views * samples, width]; targets: NULL: none were given */
    sb_square *places;                      /* [samples]; NULL: none were given */
    float *guides;                          /* [guides, samples]; NULL: none was given */
    int32_t *images;                        /* [samples]; NULL: none was given */
    int32_t image_count;                    /* one more than the largest of these */
} loss;

/* ---- what comes in ------------------------------------------------------------------------------------- */

static int check_finite(const sb_npy *a, const char *path)
{
    const float *x = a->values;
    for (size_t i = 0; i < a->count; i++)
        if (!isfinite(x[i]))
            return sb_fail("%s: value %zu is %g: only finite numbers have a loss", path, i, (double)x[i]);
    return 0;
}

/* One matrix into rows `view` * samples and following; the first one says how large they all are. */
static int read_view(loss *l, float **all, int view, const char *path)
{
    sb_npy a;
    if (sb_npy_read(&a, path, SB_NPY_F32) != 0)
        return -1;
    int rc = -1;
    if (a.dims != 2 || a.count == 0 || a.side[0] > 65536 || a.side[1] > 65536) {
        sb_fail("%s: a matrix [N, d] of at most 65536 rows and columns was expected", path);
        goto out;
    }
    if (l->samples == 0) {
        l->samples = (int)a.side[0];
        l->width = (int)a.side[1];
    }
    if (a.side[0] != l->samples || a.side[1] != l->width) {
        sb_fail(
            "%s is [%d, %d], and the first view is [%d, %d]: views have a row for each sample, in one order",
            path, (int)a.side[0], (int)a.side[1], l->samples, l->width);
        goto out;
    }
    if (!*all && !(*all = sb_zeroed((size_t)l->views * a.count, sizeof **all, "embeddings")))
        goto out;
    if (check_finite(&a, path) != 0)
        goto out;
    memcpy(*all + (size_t)view * a.count, a.values, a.count * sizeof(float));
    rc = 0;
out:
    free(a.values);
    return rc;
}

static int read_places(loss *l, const char *path)
{
    sb_npy a;
    if (sb_npy_read(&a, path, SB_NPY_I32) != 0)
        return -1;
    l->places = a.values;
    if (a.dims != 2 || a.side[0] != l->samples || a.side[1] != SB_SQUARE_NUMBERS)
        return sb_fail("%s: [%d, %d] was expected: image, left, top and side of each sample's tile", path,
                       l->samples, SB_SQUARE_NUMBERS);
    for (int i = 0; i < l->samples; i++)
        if (l->places[i].side < 1)
            return sb_fail("%s: the tile of sample %d has a side of %d: image, left, top and side were "
                           "expected",
                           path, i, (int)l->places[i].side);
    return 0;
}

static int read_images(loss *l, const char *path)
{
    sb_npy a;
    if (sb_npy_read(&a, path, SB_NPY_I32) != 0)
        return -1;
    l->images = a.values;
    if (a.dims != 1 || a.side[0] != l->samples)
        return sb_fail("%s: [%d] was expected: a number for each sample", path, l->samples);
    for (int i = 0; i < l->samples; i++) {
        if (l->images[i] < 0 || l->images[i] >= IMAGES_MOST)
            return sb_fail("%s: sample %d is of image %d, of at most %d", path, i, (int)l->images[i],
                           IMAGES_MOST);
        if (l->images[i] >= l->image_count)
            l->image_count = l->images[i] + 1;
    }
    return 0;
}

/* Whole numbers from 0 are classes. Returns how many; 0: these are numbers. */
static int classes_in(const float *said, int count)
{
    float most = 1;
    for (int i = 0; i < count; i++) {
        if (isnan(said[i]))
            continue;
        if (said[i] < 0 || said[i] >= 65536 || said[i] != floorf(said[i]))
            return 0;
        most = said[i] > most ? said[i] : most;
    }
    return 1 + (int)most;
}

/* What columns say of the samples, in the order of the settings' guides. */
static int read_guides(loss *l, const char *folder)
{
    sb_settings *c = &l->settings;
    const size_t samples = (size_t)l->samples;
    int guide = 0;
    l->guides = sb_zeroed((size_t)c->guide_count * samples + 1, sizeof *l->guides, "what columns say");
    for (int i = 0; l->guides && i < c->data.guide_count; i++) {
        char path[PATH_MAX];
        sb_npy a;
        if (c->data.guides[i].weight == 0)
            continue;
        snprintf(path, sizeof path, "%s/%s.npy", folder, c->data.guides[i].column);
        if (sb_npy_read(&a, path, SB_NPY_F32) != 0)
            return -1;
        const bool fits = a.dims == 1 && a.side[0] == l->samples;
        if (fits)
            memcpy(l->guides + (size_t)guide * samples, a.values, samples * sizeof(float));
        free(a.values);
        if (!fits)
            return sb_fail("%s: [%d] was expected: a number for each sample", path, l->samples);
        c->guides[guide].classes = classes_in(l->guides + (size_t)guide * samples, l->samples);
        guide++;
    }
    return l->guides ? 0 : -1;
}

static int read_files(loss *l)
{
    const sb_loss_request *r = l->request;
    while (1 + l->views < r->argument_count && !strchr(r->arguments[1 + l->views], '='))
        l->views++;
    if (r->argument_count < 1 || l->views < 1 || l->views > SB_VIEWS_MAX)
        return sb_fail(
            "loss METHOD A.npy B.npy [more views...] [KEY=VALUE...] -o FOLDER: name a method and a "
            "file for each view");
    if (r->target_count != 0 && r->target_count != l->views)
        return sb_fail("%d target%s for %d view%s: --target is given once for each view", r->target_count,
                       sb_plural((uint64_t)r->target_count), l->views, sb_plural((uint64_t)l->views));
    for (int v = 0; v < l->views; v++)
        if (read_view(l, &l->embeddings, v, r->arguments[1 + v]) != 0)
            return -1;
    for (int v = 0; v < r->target_count; v++)
        if (read_view(l, &l->targets, v, r->targets[v]) != 0)
            return -1;
    if (r->images && read_images(l, r->images) != 0)
        return -1;
    return r->places ? read_places(l, r->places) : 0;
}

static int read_settings(loss *l)
{
    const sb_loss_request *r = l->request;
    sb_config config;
    char name[128], batch[64];
    sb_config_init(&config);
    config.view_count = l->views;
    config.views_given = true;
    snprintf(name, sizeof name, "method.name=%s", r->arguments[0]);
    snprintf(batch, sizeof batch, "trainer.batch=%d", l->samples);
    int rc = sb_config_set(&config, name);
    for (int i = 1 + l->views; i < r->argument_count && rc == 0; i++)
        rc = sb_config_set(&config, r->arguments[i]);
    if (rc == 0 &&
        (sb_config_set(&config, batch) != 0 || sb_config_suggest(&config, "default", "data.path=none") != 0 ||
         sb_settings_read(&l->settings, &config) != 0))
        rc = -1;
    sb_config_free(&config);
    l->settings.projector.layers = 0;
    if (l->image_count > l->settings.images)
        l->settings.images = l->image_count;
    return rc;
}

/* ---- the method's own arrays --------------------------------------------------------------------------- */

/* Host memory <-> an entry's array. */
static int copy_entry(const loss *l, const sb_entry *e, float *array, float *host, sb_direction direction)
{
    sb_device *d = l->device;
    float *device = array + e->offset;
    const bool up = direction == SB_TO_DEVICE;
    if (d->copy(d, SB_STREAM_COMPUTE, up ? device : host, up ? host : device, e->count * sizeof(float),
                direction) != 0)
        return -1;
    return d->wait(d, SB_STREAM_COMPUTE);
}

static sb_npy shape_of(const sb_entry *e)
{
    sb_npy a = { .kind = SB_NPY_F32, .dims = e->extent.dims, .count = e->count };
    for (int k = 0; k < e->extent.dims; k++)
        a.side[k] = e->extent.side[k];
    return a;
}

static int set_entry(const loss *l, const sb_entry *e, const char *path)
{
    sb_npy a;
    const sb_npy wanted = shape_of(e);
    if (sb_npy_read(&a, path, SB_NPY_F32) != 0)
        return -1;
    int rc = 0;
    if (a.dims != wanted.dims || memcmp(a.side, wanted.side, sizeof a.side) != 0)
        rc = sb_fail("%s has another shape than %s of this method and this batch", path, e->name);
    else if (check_finite(&a, path) != 0 ||
             copy_entry(l, e, sb_step_section(l->step)->array[e->kind], a.values, SB_TO_DEVICE) != 0)
        rc = -1;
    free(a.values);
    return rc;
}

static int set_arrays(const loss *l)
{
    const sb_store *store = sb_step_store(l->step);
    for (int i = 0; i < store->count && l->request->arrays; i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/%s.npy", l->request->arrays, store->entries[i].name);
        if (store->entries[i].kind != SB_ENTRY_STATISTIC && access(path, F_OK) == 0 &&
            set_entry(l, &store->entries[i], path) != 0)
            return -1;
    }
    return sb_step_begin(l->step); /* a target network begins as a copy of them */
}

/* ---- what comes out ------------------------------------------------------------------------------------ */

static int check_in_folder(const sb_outfile *o, const char *folder, const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s.npy", folder, name);
    return sb_outfile_check_input(o, path);
}

/* The file `name` of the folder that is written is none that is read. */
static int check_output(const loss *l, const char *name)
{
    const sb_loss_request *r = l->request;
    const sb_store *store = sb_step_store(l->step);
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s.npy", r->out, name);
    const sb_outfile o = sb_outfile_look(path);
    int rc = 0;
    for (int v = 0; v < l->views && rc == 0; v++)
        rc = sb_outfile_check_input(&o, r->arguments[1 + v]);
    for (int v = 0; v < r->target_count && rc == 0; v++)
        rc = sb_outfile_check_input(&o, r->targets[v]);
    if (rc == 0 && r->places)
        rc = sb_outfile_check_input(&o, r->places);
    if (rc == 0 && r->images)
        rc = sb_outfile_check_input(&o, r->images);
    for (int i = 0; i < l->settings.data.guide_count && r->guides && rc == 0; i++)
        rc = check_in_folder(&o, r->guides, l->settings.data.guides[i].column);
    for (int i = 0; i < store->count && r->arrays && rc == 0; i++)
        rc = check_in_folder(&o, r->arrays, store->entries[i].name);
    return rc;
}

static int check_outputs(const loss *l)
{
    static const char *const own[] = { "arrays", "gradients", "after" }; /* write_arrays */
    const sb_store *store = sb_step_store(l->step);
    char name[PATH_MAX];
    for (int v = 0; v < l->views; v++) {
        snprintf(name, sizeof name, "gradient.%d", v);
        if (check_output(l, name) != 0)
            return -1;
    }
    for (int i = 0; i < store->count; i++)
        for (size_t k = 0; k < sizeof own / sizeof *own; k++) {
            snprintf(name, sizeof name, "%s/%s", own[k], store->entries[i].name);
            if (check_output(l, name) != 0)
                return -1;
        }
    return 0;
}

static int make_folder(const char *path)
{
    return mkdir(path, 0777) == 0 || errno == EEXIST ? 0 : sb_fail_errno("creating %s", path);
}

/* All of the method's arrays, or the gradients of those that have one, into a folder of `out`. */
static int write_arrays(const loss *l, const char *name, bool gradients)
{
    const sb_store *store = sb_step_store(l->step);
    const sb_section *section = sb_step_section(l->step);
    char path[PATH_MAX];
    int rc = 0;
    for (int i = 0; i < store->count && rc == 0; i++) {
        const sb_entry *e = &store->entries[i];
        if (e->kind == SB_ENTRY_STATISTIC || (gradients && e->kind != SB_ENTRY_WEIGHT))
            continue;
        snprintf(path, sizeof path, "%s/%s", l->request->out, name);
        if (make_folder(path) != 0)
            return -1;
        snprintf(path, sizeof path, "%s/%s/%s.npy", l->request->out, name, e->name);
        sb_npy a = shape_of(e);
        a.values = sb_zeroed(e->count, sizeof(float), e->name);
        if (!a.values || copy_entry(l, e, gradients ? section->gradient : section->array[e->kind], a.values,
                                    SB_TO_HOST) != 0)
            rc = -1;
        else
            rc = sb_npy_write(path, &a);
        free(a.values);
    }
    return rc;
}

static int write_gradients(const loss *l)
{
    const size_t count = (size_t)l->samples * (size_t)l->width;
    for (int v = 0; v < l->views; v++) {
        char path[PATH_MAX];
        const sb_npy a = { .kind = SB_NPY_F32,
                           .dims = 2,
                           .side = { l->samples, l->width },
                           .count = count,
                           .values = l->gradient + (size_t)v * count };
        snprintf(path, sizeof path, "%s/gradient.%d.npy", l->request->out, v);
        if (sb_npy_write(path, &a) != 0)
            return -1;
    }
    return 0;
}

/* A method that compares no samples of a batch with each other takes no places. */
static int check_places(const loss *l)
{
    const sb_method *m = sb_step_method(l->step);
    for (int k = 0; k < m->graph->leaf_count; k++)
        if (m->given[k].kind == SB_GIVEN_PLACES)
            return 0;
    return sb_fail("method %s has no negatives in its batch: --places does not apply", m->kind->name);
}

static int run(loss *l)
{
    const sb_loss_request *r = l->request;
    const sb_settings *c = &l->settings;
    double value;
    if (!r->out)
        return sb_fail("loss needs -o FOLDER");
    if (read_files(l) != 0 || read_settings(l) != 0)
        return -1;
    if (r->guides && read_guides(l, r->guides) != 0)
        return -1;
    if (r->target_count > 0 && !c->method->momentum)
        return sb_fail("method %s has no target network: --target does not apply", c->method->name);
    if (r->images && !c->method->images)
        return sb_fail("method %s keeps nothing for each image: --images does not apply", c->method->name);
    if (r->step < 0 || r->step >= c->trainer.steps)
        return sb_fail("step %lld: trainer.steps = %lld are counted from 0", (long long)r->step,
                       (long long)c->trainer.steps);
    l->gradient = sb_zeroed((size_t)l->views * (size_t)l->samples * (size_t)l->width, sizeof *l->gradient,
                            "the gradient at the embeddings");
    const sb_step_embedded batch = { l->embeddings, l->targets, l->places, l->guides, l->images };
    if (!l->gradient ||
        sb_device_open(&l->device, c->common.device, c->cuda.plugin, c->trainer.threads) != 0 ||
        sb_step_create_loss(&l->step, l->device, c, l->width) != 0 || (l->places && check_places(l) != 0) ||
        check_outputs(l) != 0 || set_arrays(l) != 0 || make_folder(r->out) != 0 ||
        write_arrays(l, "arrays", false) != 0 ||
        sb_step_loss(l->step, r->step, &batch, &value, l->gradient) != 0 || write_gradients(l) != 0 ||
        write_arrays(l, "gradients", true) != 0 || write_arrays(l, "after", false) != 0)
        return -1;
    printf("loss %.9g\n", value);
    return 0;
}

int sb_loss(const sb_loss_request *request)
{
    loss *l = sb_zeroed(1, sizeof *l, "the loss of files");
    if (!l)
        return -1;
    l->request = request;
    int rc = run(l);
    sb_step_destroy(&l->step);
    if (l->device)
        sb_device_close(&l->device);
    free(l->embeddings);
    free(l->targets);
    free(l->gradient);
    free(l->places);
    free(l->images);
    free(l->guides);
    free(l);
    return rc;
}
