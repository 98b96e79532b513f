/* keys.c: see keys.h. */
#include "augment/keys.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "proto/error.h"

static const sb_key common_keys[] = {
    SB_KEY_UINT64(sb_common_keys, seed, "1", 0, SB_KEY_LARGEST,
                  "every random number of the run follows from it"),
    SB_KEY_CHOICE(sb_common_keys, device, "auto", "auto|cpu|cuda",
                  "what computes; auto: a GPU if there is one"),
};

static const sb_key cuda_keys[] = {
    SB_KEY_TEXT(sb_cuda_keys, plugin, "", "the CUDA device's file; empty: sb_cuda.so beside the program",
                .apart = true, .path = true),
};

static const sb_key batch_keys[] = {
    SB_KEY_CHOICE(sb_batch_keys, groups, "any", "any|distinct",
                  "distinct: no two tiles of a group in a batch"),
};

static const sb_key view_keys[] = {
    SB_KEY_SIDES(
        sb_view_keys, size, "0", 16, 1024,
        "side in pixels; several with the share of the steps from which each is in force: 256 512@0.6 "
        "1024@0.9; 0: data.view"),
    SB_KEY_REAL(sb_view_keys, crop_min, "0.2", 0.0001, 1, "smallest share of the tile's area"),
    SB_KEY_REAL(sb_view_keys, crop_max, "1", 0.0001, 1, "largest share of the tile's area"),
    SB_KEY_REAL(sb_view_keys, ratio_min, "0.75", 0.05, 20, "narrowest crop: width / height"),
    SB_KEY_REAL(sb_view_keys, ratio_max, "1.3333333333333333", 0.05, 20, "widest crop"),
    SB_KEY_REAL(sb_view_keys, flip, "0.5", 0, 1, "probability of a mirror image"),
    SB_KEY_REAL(sb_view_keys, jitter, "0.8", 0, 1, "probability of the four colour changes, in random order"),
    SB_KEY_REAL(sb_view_keys, brightness, "0.4", 0, 10, "strength"),
    SB_KEY_REAL(sb_view_keys, contrast, "0.4", 0, 10, "strength"),
    SB_KEY_REAL(sb_view_keys, saturation, "0.4", 0, 10, "strength"),
    SB_KEY_REAL(sb_view_keys, hue, "0.1", 0, 0.5, "strength, in turns"),
    SB_KEY_REAL(sb_view_keys, grey, "0.2", 0, 1, "probability"),
    SB_KEY_REAL(sb_view_keys, blur, "0.5", 0, 1, "probability of a Gaussian blur"),
    SB_KEY_REAL(sb_view_keys, blur_min, "0.1", 0.01, 100, "smallest sigma, in pixels of the view"),
    SB_KEY_REAL(sb_view_keys, blur_max, "2", 0.01, 100, "largest sigma"),
    SB_KEY_REAL(sb_view_keys, solarise, "0", 0, 1, "probability"),
    SB_KEY_REAL(sb_view_keys, solarise_threshold, "0.5", 0, 1, "values at or above are inverted"),
};

const sb_key_table sb_common_table = SB_KEY_TABLE("", NULL, sb_common_keys, common_keys),
                   sb_cuda_table = SB_KEY_TABLE("cuda", NULL, sb_cuda_keys, cuda_keys),
                   sb_batch_table = SB_KEY_TABLE("batch", NULL, sb_batch_keys, batch_keys),
                   sb_view_table = SB_KEY_TABLE("views.N", NULL, sb_view_keys, view_keys);

/* views.N.LOW must not be above views.N.HIGH. The one that was set is to blame, not a default. */
static int check_order(const sb_config *c, int view, const char *what, double low, double high)
{
    const double values[2] = { low, high };
    char names[2][SB_KEY_NAME_MAX];
    const char *places[2];
    if (low <= high)
        return 0;
    for (int i = 0; i < 2; i++) {
        snprintf(names[i], sizeof names[i], "views.%d.%s_%s", view, what, i ? "max" : "min");
        places[i] = sb_config_place(c, names[i]);
    }
    int blamed = strcmp(places[0], "default") == 0, other = !blamed;
    return sb_fail("%s: %s = %g: must not be %s %s = %g (%s)", places[blamed], names[blamed], values[blamed],
                   blamed ? "below" : "above", names[other], values[other], places[other]);
}

static int side_at(const sb_sides *s, double share)
{
    int at = s->count - 1;
    while (at > 0 && s->from[at] > share)
        at--;
    return s->sides[at];
}

/* Whether two views are of one size always, or never, at the shares at which one of them changes. */
static bool stay_together(const sb_view_keys *a, const sb_view_keys *b)
{
    const bool equal = a->side == b->side;
    for (int i = 0; i < a->size.count; i++)
        if ((a->size.sides[i] == side_at(&b->size, a->size.from[i])) != equal)
            return false;
    for (int i = 0; i < b->size.count; i++)
        if ((b->size.sides[i] == side_at(&a->size, b->size.from[i])) != equal)
            return false;
    return true;
}

static int check_sizes(const sb_config *config, const sb_view_keys *views)
{
    for (int i = 0; i < config->view_count; i++)
        for (int j = 0; j < i; j++) {
            char name[SB_KEY_NAME_MAX];
            snprintf(name, sizeof name, "views.%d.size", views[i].size.count > 1 ? i : j); /* it was set */
            if (!stay_together(&views[j], &views[i]))
                return sb_fail(
                    "%s: views.%d.size and views.%d.size are one size in a part of the run and not in "
                    "all of it, and views of one size share their norms: give both the same",
                    sb_config_place(config, name), j, i);
        }
    return 0;
}

int sb_view_keys_read(const sb_config *config, int side, sb_view_keys *views)
{
    for (int i = 0; i < config->view_count; i++) {
        sb_view_keys *v = &views[i];
        if (sb_config_fill_view(config, &sb_view_table, i, v) != 0 ||
            check_order(config, i, "crop", v->crop_min, v->crop_max) != 0 ||
            check_order(config, i, "ratio", v->ratio_min, v->ratio_max) != 0 ||
            check_order(config, i, "blur", v->blur_min, v->blur_max) != 0)
            return -1;
        if (v->size.sides[0] == 0)
            v->size.sides[0] = side;
        v->side = 0;
        for (int k = 0; k < v->size.count; k++)
            v->side = v->size.sides[k] > v->side ? v->size.sides[k] : v->side;
    }
    return check_sizes(config, views);
}

int64_t sb_view_sides_at(sb_view_keys *views, int count, int64_t step, int64_t steps)
{
    int64_t until = steps;
    for (int v = 0; v < count; v++) {
        const sb_sides *s = &views[v].size;
        for (int k = 0; k < s->count; k++) {
            const int64_t begin = llround(s->from[k] * (double)steps);
            if (begin <= step)
                views[v].side = s->sides[k];
            else if (begin < until && s->sides[k] != s->sides[k - 1]) /* k > 0: the first begins at 0 */
                until = begin;
        }
    }
    return until;
}

int sb_augment_keys_read(const sb_config *config, sb_augment_keys *out)
{
    *out = (sb_augment_keys){ .view_count = config->view_count };
    if (sb_config_fill(config, &sb_common_table, &out->common) != 0 ||
        sb_config_fill(config, &sb_cuda_table, &out->cuda) != 0 ||
        sb_config_fill(config, &sb_batch_table, &out->batch) != 0 ||
        sb_config_fill(config, &sb_trainer_table, &out->trainer) != 0 ||
        sb_loader_keys_read(config, &out->data, &out->loader) != 0)
        return -1;
    return sb_view_keys_read(config, out->data.view, out->views);
}

int sb_augment_keys_of_run(sb_augment_keys *out, const char *run_dir)
{
    sb_config config;
    int rc = sb_config_read_run(&config, run_dir);
    if (rc == 0)
        rc = sb_augment_keys_read(&config, out);
    sb_config_free(&config);
    return rc;
}

double sb_view_area(const sb_view_keys *views, int count, int64_t step, int64_t steps)
{
    sb_view_keys now[SB_VIEWS_MAX];
    double all = 0;
    memcpy(now, views, (size_t)count * sizeof *now);
    for (int64_t until; step < steps; step = until) {
        until = sb_view_sides_at(now, count, step, steps);
        for (int v = 0; v < count; v++)
            all += (double)(until - step) * now[v].side * now[v].side;
    }
    return all;
}

int sb_view_sizes(const sb_view_keys *views, int view_count, int *sizes)
{
    int count = 0;
    for (int v = 0; v < view_count; v++) {
        int at = 0, size = views[v].side;
        while (at < count && sizes[at] < size)
            at++;
        if (at < count && sizes[at] == size)
            continue;
        memmove(sizes + at + 1, sizes + at, (size_t)(count - at) * sizeof *sizes);
        sizes[at] = size;
        count++;
    }
    return count;
}
