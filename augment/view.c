/* view.c: see view.h. The order of draws is part of what makes a run repeatable: crop, flip, jitter, grey,
 * blur, solarise. */
#include "augment/view.h"

#include <math.h>

static double uniform(sb_random *random, double low, double high)
{
    return low + (high - low) * (double)sb_random_uniform(random);
}

static int chance(sb_random *random, double probability)
{
    return (double)sb_random_uniform(random) < probability;
}

/* torchvision's RandomResizedCrop.get_params. */
static void draw_crop(const sb_view_keys *c, int width, int height, sb_random *random, sb_view_params *out)
{
    double area = (double)width * height, low = log(c->ratio_min), high = log(c->ratio_max);
    for (int attempt = 0; attempt < 10; attempt++) {
        double target = area * uniform(random, c->crop_min, c->crop_max),
               ratio = exp(uniform(random, low, high));
        int w = (int)lround(sqrt(target * ratio)), h = (int)lround(sqrt(target / ratio));
        if (w < 1 || h < 1 || w > width || h > height)
            continue;
        out->width = w;
        out->height = h;
        out->top = (int)sb_random_below(random, (uint32_t)(height - h + 1));
        out->left = (int)sb_random_below(random, (uint32_t)(width - w + 1));
        return;
    }
    double ratio = (double)width / height;
    out->width = ratio > c->ratio_max ? (int)lround(height * c->ratio_max) : width;
    out->height = ratio < c->ratio_min ? (int)lround(width / c->ratio_min) : height;
    out->left = (width - out->width) / 2;
    out->top = (height - out->height) / 2;
}

static float draw_factor(sb_random *random, double strength)
{
    return (float)uniform(random, fmax(0, 1 - strength), 1 + strength);
}

void sb_view_draw(const sb_view_keys *c, int tile_width, int tile_height, sb_random *random,
                  sb_view_params *out)
{
    *out = (sb_view_params){ .size = c->side, .solarise = 2 };
    draw_crop(c, tile_width, tile_height, random, out);
    out->flip = chance(random, c->flip);
    out->jitter = chance(random, c->jitter);
    for (int i = 0; i < 4; i++) { /* Fisher and Yates */
        int j = (int)sb_random_below(random, (uint32_t)i + 1);
        out->order[i] = out->order[j];
        out->order[j] = i;
    }
    out->brightness = draw_factor(random, c->brightness);
    out->contrast = draw_factor(random, c->contrast);
    out->saturation = draw_factor(random, c->saturation);
    out->hue = (float)uniform(random, -c->hue, c->hue);
    out->grey = chance(random, c->grey);
    int blurred = chance(random, c->blur);
    float sigma = (float)uniform(random, c->blur_min, c->blur_max);
    out->blur = blurred ? sigma : 0;
    if (chance(random, c->solarise))
        out->solarise = (float)c->solarise_threshold;
}

void sb_view_of_sample(const sb_augment_keys *keys, uint32_t epoch, uint32_t position, int view,
                       int tile_width, int tile_height, sb_view_params *out)
{
    sb_random random;
    sb_random_init(&random, keys->common.seed, SB_RANDOM_VIEW, epoch, position, (uint32_t)view);
    sb_view_draw(&keys->views[view], tile_width, tile_height, &random, out);
}

void sb_view_clean(int tile_width, int tile_height, int size, sb_view_params *out)
{
    *out = (sb_view_params){ .width = tile_width, .height = tile_height, .size = size, .solarise = 2 };
}
