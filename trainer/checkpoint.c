/* checkpoint.c: see checkpoint.h. */
#include "trainer/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/share/codes.h"
#include "kernels/staging.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "proto/rundir.h"
#include "proto/unfinished.h"
#include "trainer/safetensors.h"

#define GIVEN "given.safetensors"
#define BEST "checkpoints/best.safetensors"
#define HELD "checkpoints/held-%d.safetensors" /* by the process */
#define LEFT "checkpoints/left"
#define CODES ".codes"
#define MAXIMA ".maxima"

/* ---- tensors of a view --------------------------------------------------------------------------------- */

typedef struct {
    sb_tensor *tensors; /* data: in device memory; I64 in the host's */
    int count;
    int64_t step; /* num_batches_tracked */
    sb_staging staging;
} listing;

static int add(listing *l, sb_tensor_type type, int dims, const int64_t *shape, const void *data,
               size_t bytes, const char *prefix, const char *name, const char *suffix)
{
    sb_tensor *t = &l->tensors[l->count++];
    *t = (sb_tensor){ .type = type, .dims = dims, .data = data, .bytes = bytes };
    for (int d = 0; d < dims; d++)
        t->shape[d] = shape[d];
    return snprintf(t->name, sizeof t->name, "%s%s%s", prefix, name, suffix) < (int)sizeof t->name
               ? 0
               : sb_fail("tensor name %s%s%s is too long", prefix, name, suffix);
}

/* Means, then variances, as torchvision names them. */
static int add_statistic(listing *l, const sb_checkpoint_part *p, const sb_entry *e)
{
    const int64_t channels = e->extent.side[1];
    const float *mean = p->memory + e->offset, *variance = mean + channels;
    size_t bytes = (size_t)channels * sizeof(float);
    int rc = add(l, SB_TENSOR_F32, 1, &channels, mean, bytes, p->prefix, e->name, ".running_mean");
    rc |= add(l, SB_TENSOR_F32, 1, &channels, variance, bytes, p->prefix, e->name, ".running_var");
    return rc | add(l, SB_TENSOR_I64, 0, NULL, &l->step, sizeof l->step, p->prefix, e->name,
                    ".num_batches_tracked");
}

/* Of an optimiser, of entry number i. */
static int add_state(listing *l, const sb_checkpoint_part *p, const sb_store *store, int i)
{
    const sb_entry *e = &store->entries[i];
    const int64_t blocks = (int64_t)sb_codes_blocks(e->count);
    if (!sb_state_coded(p->state, e))
        return add(l, SB_TENSOR_F32, e->extent.dims, e->extent.side, p->memory + p->state->at[i],
                   e->count * sizeof(float), p->prefix, e->name, "");
    return add(l, SB_TENSOR_U8, e->extent.dims, e->extent.side, sb_state_codes(p->state, store, i, p->memory),
               e->count, p->prefix, e->name, CODES) != 0
               ? -1
               : add(l, SB_TENSOR_F32, 1, &blocks, sb_state_maxima(p->state, i, p->memory),
                     (size_t)blocks * sizeof(float), p->prefix, e->name, MAXIMA);
}

static int add_entry(listing *l, const sb_checkpoint_part *p, const sb_store *store, int i)
{
    const sb_entry *e = &store->entries[i];
    if (p->state)
        return sb_state_has(e) ? add_state(l, p, store, i) : 0;
    if (e->kind != p->kind || e->offset + e->count > p->floats)
        return 0;
    if (e->kind == SB_ENTRY_STATISTIC)
        return add_statistic(l, p, e);
    return add(l, SB_TENSOR_F32, e->extent.dims, e->extent.side, p->memory + e->offset,
               e->count * sizeof(float), p->prefix, e->name, "");
}

/* Every tensor of the view; the caller calls drop, after a failure too. */
static int list(const sb_checkpoint_view *v, listing *l)
{
    *l = (listing){ .step = v->step };
    size_t most = 3 * (size_t)v->part_count *
                  (size_t)v->store->count; /* an entry has three tensors at most */
    l->tensors = sb_zeroed(most, sizeof *l->tensors, "the list of a checkpoint's tensors");
    int rc = l->tensors ? sb_staging_open(&l->staging, v->store->device) : -1;
    for (int p = 0; rc == 0 && p < v->part_count; p++) {
        const sb_checkpoint_part *part = &v->parts[p];
        for (int i = 0; rc == 0 && i < v->store->count; i++)
            rc = add_entry(l, part, v->store, i);
    }
    return rc;
}

static void drop(listing *l)
{
    sb_staging_close(&l->staging);
    free(l->tensors);
}

/* A checkpoint is what a run goes back to, and what is exported: one that is not finite would push out a
 * sound one. */
static bool is_finite(const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i])) {
            sb_fail(
                "it has a value of %g: nothing is written, and what was saved before stays. Where training "
                "made it, lower optimiser.lr or raise optimiser.warmup",
                (double)values[i]);
            return false;
        }
    return true;
}

static const void *look(void *context, const sb_tensor *t, size_t at, size_t bytes)
{
    listing *l = context;
    const char *from = (const char *)t->data + at;
    if (t->type == SB_TENSOR_I64)
        return from;
    const void *piece = sb_staging_fetch(&l->staging, from, bytes);
    return piece && t->type == SB_TENSOR_F32 && !is_finite(piece, bytes / sizeof(float)) ? NULL : piece;
}

static bool fits(const sb_tensor *wanted, const sb_tensor *t)
{
    bool same = t->type == wanted->type && t->dims == wanted->dims;
    for (int d = 0; same && d < t->dims; d++)
        same = t->shape[d] == wanted->shape[d];
    return same;
}

/* Loads what the file has for a tensor of the listing. A count of batches follows from the step. */
static int load_tensor(const sb_safetensors *file, const sb_tensor *t, listing *l, const sb_tensor *wanted)
{
    char *to = (char *)(uintptr_t)wanted->data;
    for (size_t at = 0, n; wanted->type != SB_TENSOR_I64 && at < t->bytes; at += n) {
        n = t->bytes - at < SB_STAGING_BYTES ? t->bytes - at : SB_STAGING_BYTES;
        if (sb_safetensors_read(file, t, at, sb_staging_room(&l->staging, to + at), n) != 0 ||
            sb_staging_send(&l->staging, to + at, n) != 0)
            return -1;
    }
    return 0;
}

/* ---- files --------------------------------------------------------------------------------------------- */

static int path_of(char *path, const char *run_dir, int64_t step)
{
    return sb_rundir_path(path, run_dir, "checkpoints/step-%09" PRId64 ".safetensors", step);
}

static int write_file(const char *path, const sb_checkpoint_view *v)
{
    char step[32];
    listing l;
    snprintf(step, sizeof step, "%" PRId64, v->step);
    const char *metadata[] = { "format",
                               "pt",
                               "smallbatch.step",
                               step,
                               "smallbatch.config",
                               v->config_text,
                               v->teacher ? "smallbatch.teacher" : NULL,
                               v->teacher,
                               NULL };
    int rc = list(v, &l);
    if (rc == 0)
        rc = sb_safetensors_write(path, l.tensors, l.count, metadata, look, &l);
    drop(&l);
    return rc;
}

int sb_checkpoint_save(const char *run_dir, const sb_checkpoint_view *v, int keep)
{
    char path[PATH_MAX];
    if (path_of(path, run_dir, v->step) != 0 || write_file(path, v) != 0)
        return sb_context("checkpoint of step %" PRId64, v->step);
    int64_t *steps;
    int count = sb_rundir_checkpoints(run_dir, &steps);
    if (count < 0)
        return -1;
    for (int i = keep; i < count; i++)
        if (path_of(path, run_dir, steps[i]) == 0 && unlink(path) != 0)
            sb_note("%s is not needed any more and cannot be removed: %s", path, strerror(errno));
    free(steps);
    return 0;
}

/* Why the file has no tensor of that name: the same state in another form, or none at all. Always -1. */
static int missing(const sb_safetensors *file, const char *name)
{
    char other[SB_TENSOR_NAME];
    const size_t length = strlen(name), ending = sizeof CODES - 1;
    const bool coded = length > ending && strcmp(name + length - ending, CODES) == 0;
    snprintf(other, sizeof other, "%.*s%s", (int)(coded ? length - ending : length), name,
             coded ? "" : CODES);
    return sb_safetensors_find(file, other)
               ? sb_fail("it has the optimiser's state in %s, and this run in %s (optimiser.state)",
                         coded ? "f32" : "8 bits", coded ? "8 bits" : "f32")
               : sb_fail("tensor %s is missing", name);
}

/* All that is wanted is looked for before the first of it is taken. */
static int take_all(const sb_safetensors *file, listing *l)
{
    for (int i = 0; i < l->count; i++) {
        const sb_tensor *wanted = &l->tensors[i], *t = sb_safetensors_find(file, wanted->name);
        if (!t)
            return missing(file, wanted->name);
        char has[SB_TENSOR_DESCRIBED], needs[SB_TENSOR_DESCRIBED];
        if (!fits(wanted, t))
            return sb_fail("tensor %s is %s, and this configuration and data set need %s", wanted->name,
                           sb_tensor_describe(t, has), sb_tensor_describe(wanted, needs));
    }
    for (int i = 0; i < l->count; i++)
        if (load_tensor(file, sb_safetensors_find(file, l->tensors[i].name), l, &l->tensors[i]) != 0)
            return -1;
    return 0;
}

static int read_step(const sb_safetensors *file, int64_t *out)
{
    const char *step = sb_safetensors_metadata(file, "smallbatch.step");
    char *end = NULL;
    errno = 0;
    long long number = step ? strtoll(step, &end, 10) : -1;
    if (!step || errno || *end || number < 0)
        return sb_fail("it names no step");
    *out = number;
    return 0;
}

static int check_teacher(const sb_safetensors *file, const char *mark)
{
    const char *has = sb_safetensors_metadata(file, "smallbatch.teacher");
    return !mark || (has && strcmp(has, mark) == 0)
               ? 0
               : sb_fail("its run has another teacher: teacher.file is not what it was (checksum %s, now %s)",
                         has ? has : "none", mark);
}

static int load(const char *path, sb_checkpoint_view *v)
{
    sb_safetensors file;
    listing l;
    int64_t step = 0;
    if (sb_safetensors_open(&file, path) != 0)
        return -1;
    int rc = list(v, &l);
    if (rc == 0)
        rc = read_step(&file, &step);
    if (rc == 0)
        rc = check_teacher(&file, v->teacher);
    if (rc == 0)
        rc = take_all(&file, &l);
    if (rc == 0)
        v->step = step;
    drop(&l);
    sb_safetensors_close(&file);
    return rc == 0 ? 0 : sb_context("%s", path);
}

static int fail_unusable(const char *run_dir, int count)
{
    return sb_fail(
        "of %d checkpoint%s in %s/checkpoints none can be used: move them away to start from step 0", count,
        sb_plural((uint64_t)count), run_dir);
}

int sb_checkpoint_load_latest(const char *run_dir, sb_checkpoint_view *v)
{
    int64_t *steps;
    char path[PATH_MAX];
    int count = sb_rundir_checkpoints(run_dir, &steps), found = 0;
    if (count < 0)
        return -1;
    for (int i = 0; found == 0 && i < count; i++) {
        if (path_of(path, run_dir, steps[i]) != 0)
            found = -1;
        else if (load(path, v) == 0)
            found = 1;
        else
            sb_note("checkpoint not used: %s", sb_error());
    }
    if (found == 0 && count > 0)
        found = fail_unusable(run_dir, count);
    free(steps);
    return found;
}

/* The step that a file names, and its configuration (NULL: not wanted). */
static int read_head(const char *path, int64_t *step, char **config_text)
{
    sb_safetensors file;
    if (sb_safetensors_open(&file, path) != 0)
        return -1;
    int rc = read_step(&file, step) != 0 ? sb_context("%s", path) : 0;
    const char *text = sb_safetensors_metadata(&file, "smallbatch.config");
    if (rc == 0 && config_text && text && !(*config_text = strdup(text)))
        rc = sb_fail("out of memory for the configuration of %s", path);
    sb_safetensors_close(&file);
    return rc;
}

/* The newest that is sound. Returns as sb_checkpoint_latest; *count: of all. noted: why others are not is. */
static int find_newest(const char *run_dir, bool noted, char *path, int64_t *step, char **config_text,
                       int *count)
{
    int64_t *steps;
    int found = 0;
    *count = sb_rundir_checkpoints(run_dir, &steps);
    if (*count < 0)
        return -1;
    for (int i = 0; found == 0 && i < *count; i++) {
        if (path_of(path, run_dir, steps[i]) != 0)
            found = -1;
        else if (read_head(path, step, config_text) == 0)
            found = 1;
        else if (noted)
            sb_note("checkpoint not used: %s", sb_error());
    }
    free(steps);
    return found;
}

int sb_checkpoint_latest(const char *run_dir, char *path, int64_t *step)
{
    int count;
    return find_newest(run_dir, true, path, step, NULL, &count);
}

int sb_checkpoint_begun(const char *run_dir, int64_t *step, char **config_text)
{
    char path[PATH_MAX];
    int count;
    *step = 0;
    *config_text = NULL;
    int found = find_newest(run_dir, false, path, step, config_text, &count);
    if (found == 0 && count > 0) { /* else who goes on from it notes them */
        found = find_newest(run_dir, true, path, step, config_text, &count);
        return found != 0 ? found : fail_unusable(run_dir, count);
    }
    if (found != 0)
        return found;
    if (sb_rundir_path(path, run_dir, GIVEN) != 0)
        return -1;
    if (access(path, F_OK) != 0)
        return errno == ENOENT ? 0 : sb_fail_errno("%s", path);
    return read_head(path, step, config_text) == 0 ? 1 : -1;
}

/* ---- what a run was given ------------------------------------------------------------------------------ */

/* The parts of a view that are the network's own. */
static sb_checkpoint_view network_of(const sb_checkpoint_view *v)
{
    sb_checkpoint_view out = *v;
    out.part_count = 0;
    for (int p = 0; p < v->part_count; p++)
        if (v->parts[p].prefix[0] == '\0' && v->parts[p].kind != SB_ENTRY_STATE)
            out.parts[out.part_count++] = v->parts[p];
    return out;
}

int sb_checkpoint_keep_given(const char *run_dir, const sb_checkpoint_view *v)
{
    char path[PATH_MAX];
    const sb_checkpoint_view network = network_of(v);
    return sb_rundir_path(path, run_dir, GIVEN) != 0 || write_file(path, &network) != 0
               ? sb_context("%s", GIVEN)
               : 0;
}

int sb_checkpoint_load_given(const char *run_dir, const sb_checkpoint_view *v)
{
    char path[PATH_MAX];
    sb_checkpoint_view network = network_of(v);
    if (sb_rundir_path(path, run_dir, GIVEN) != 0)
        return -1;
    if (access(path, F_OK) != 0)
        return errno == ENOENT ? 0 : sb_fail_errno("%s", path);
    return load(path, &network) == 0 ? 1 : -1;
}

/* ---- the best one --------------------------------------------------------------------------------------- */

static int copy(const char *from, const char *to)
{
    char piece[1 << 16];
    sb_new_file file;
    ssize_t got = -1;
    const int fd = open(from, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return sb_fail_errno("opening %s", from);
    int rc = sb_new_file_begin(&file, to);
    if (rc == 0) {
        while (rc == 0 && (got = read(fd, piece, sizeof piece)) > 0)
            rc = sb_new_file_write(&file, piece, (size_t)got);
        if (rc == 0 && got < 0)
            rc = sb_fail_errno("reading %s", from);
        if (sb_new_file_end(&file, rc == 0) != 0)
            rc = -1;
    }
    close(fd);
    return rc;
}

/* A second name for the file; where the file system has no such thing, a copy. 1; 0: there is no file; -1. */
static int name_again(const char *from, const char *to)
{
    if (unlink(to) != 0 && errno != ENOENT)
        return sb_fail_errno("removing %s", to);
    if (link(from, to) == 0)
        return 1;
    if (errno == ENOENT)
        return 0;
    return errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS || errno == EMLINK
               ? (copy(from, to) == 0 ? 1 : -1)
               : sb_fail_errno("naming %s %s", from, to);
}

int sb_checkpoint_best(const char *run_dir, char *path, int64_t *step, char **config_text)
{
    if (sb_rundir_path(path, run_dir, BEST) != 0)
        return -1;
    if (access(path, F_OK) != 0)
        return errno == ENOENT ? 0 : sb_fail_errno("%s", path);
    return read_head(path, step, config_text) == 0 ? 1 : -1;
}

int sb_checkpoint_load_best(const char *run_dir, sb_checkpoint_view *v)
{
    char path[PATH_MAX];
    if (sb_rundir_path(path, run_dir, BEST) != 0)
        return -1;
    if (access(path, F_OK) != 0)
        return errno == ENOENT ? 0 : sb_fail_errno("%s", path);
    return load(path, v) == 0 ? 1 : -1;
}

int sb_checkpoint_fail_best(const char *run_dir)
{
    return sb_fail(
        "%s has no best checkpoint: evaluations choose it (evaluate.every, ./run evaluate), of steps "
        "that have one",
        run_dir);
}

/* Of this process; removed where a signal ends it. */
static int held_path(const char *run_dir, char *path)
{
    return sb_rundir_path(path, run_dir, HELD, (int)getpid());
}
static int held = -1;

int sb_checkpoint_hold(const char *run_dir, int64_t step)
{
    char from[PATH_MAX], to[PATH_MAX];
    if (path_of(from, run_dir, step) != 0 || held_path(run_dir, to) != 0)
        return -1;
    sb_unfinished_end(held);
    held = sb_unfinished_begin(to);
    return name_again(from, to);
}

int sb_checkpoint_let_go(const char *run_dir)
{
    char path[PATH_MAX];
    if (held_path(run_dir, path) != 0)
        return -1;
    const int rc = unlink(path) == 0 || errno == ENOENT ? 0 : sb_fail_errno("removing %s", path);
    sb_unfinished_end(held);
    held = -1;
    return rc;
}

int sb_checkpoint_keep_best(const char *run_dir)
{
    char path[PATH_MAX], best[PATH_MAX];
    if (held_path(run_dir, path) != 0 || sb_rundir_path(best, run_dir, BEST) != 0)
        return -1;
    if (rename(path, best) != 0)
        return errno == ENOENT ? 0 : sb_fail_errno("renaming %s", path);
    return sb_checkpoint_let_go(run_dir) == 0 ? 1 : -1; /* two names of one file: rename has left both */
}

int sb_checkpoint_drop_held(const char *run_dir)
{
    char path[PATH_MAX];
    if (sb_rundir_path(path, run_dir, "checkpoints") != 0)
        return -1;
    DIR *dir = opendir(path);
    if (!dir)
        return sb_fail_errno("opening %s", path);
    int rc = 0, pid, end = 0;
    for (struct dirent *entry; rc == 0 && (entry = readdir(dir)); end = 0)
        if (sscanf(entry->d_name, "held-%d.safetensors%n", &pid, &end) == 1 && end > 0 &&
            entry->d_name[end] == '\0' && unlinkat(dirfd(dir), entry->d_name, 0) != 0 && errno != ENOENT)
            rc = sb_fail_errno("removing %s/%s", path, entry->d_name);
    closedir(dir);
    return rc;
}

int sb_checkpoint_go_back(const char *run_dir, int64_t step)
{
    char from[PATH_MAX], to[PATH_MAX];
    int64_t *steps;
    int left = 0, rc = 0;
    if (sb_rundir_path(from, run_dir, BEST) != 0 || path_of(to, run_dir, step) != 0)
        return -1;
    const int named = access(to, F_OK) == 0 ? 1 : name_again(from, to);
    if (named <= 0)
        return named < 0 ? -1 : sb_fail("%s is gone", from);
    const int count = sb_rundir_checkpoints(run_dir, &steps);
    if (count < 0)
        return -1;
    if (count > 0 && steps[0] > step &&
        (sb_rundir_path(to, run_dir, LEFT) != 0 || (mkdir(to, 0777) != 0 && errno != EEXIST)))
        rc = sb_fail_errno("making directory %s", to);
    for (int i = 0; rc == 0 && i < count && steps[i] > step; i++, left++)
        if (path_of(from, run_dir, steps[i]) != 0 ||
            sb_rundir_path(to, run_dir, LEFT "/step-%09" PRId64 ".safetensors", steps[i]) != 0)
            rc = -1;
        else if (rename(from, to) != 0)
            rc = sb_fail_errno("renaming %s to %s", from, to);
    free(steps);
    return rc == 0 ? left : -1;
}
