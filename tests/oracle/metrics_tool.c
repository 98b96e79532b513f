/* Arguments: tiles, distorted views of each, width. Standard input: f32 features [tiles, width], then [tiles
 * * views, width], then u32 labels [tiles] and groups [tiles]. Prints every measure by name. For
 * tests/oracle/metrics.py. */
#include <stdio.h>
#include <stdlib.h>

#include "evaluator/measure.h"
#include "proto/error.h"

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    int tiles = atoi(argv[1]), views = atoi(argv[2]), width = atoi(argv[3]);
    size_t clean = (size_t)tiles * (size_t)width, all = clean * (size_t)(1 + views);
    float *features = malloc(all * sizeof *features);
    uint32_t *facts = malloc(2 * (size_t)tiles * sizeof *facts);
    sb_image *images = calloc((size_t)tiles, sizeof *images);
    sb_tile *tile = calloc((size_t)tiles, sizeof *tile);
    if (!features || !facts || !images || !tile || fread(features, sizeof *features, all, stdin) != all ||
        fread(facts, sizeof *facts, 2 * (size_t)tiles, stdin) != 2 * (size_t)tiles)
        exit(1);
    for (int t = 0; t < tiles; t++) {
        tile[t].image = (uint32_t)t;
        images[t].label = facts[t];
        images[t].group = facts[tiles + t];
    }
    sb_gallery gallery = { .tiles = tiles, .distorted = views, .tile = tile };
    sb_index index = { .images = images, .count = (uint32_t)tiles };
    sb_measures m, chance;
    if (sb_measure(features, features + clean, width, &gallery, &index, &m) != 0 ||
        sb_measure_chance(&gallery, &index, &chance) != 0) {
        fprintf(stderr, "%s\n", sb_error());
        return 1;
    }
    for (int k = 0; k < SB_METRICS; k++) {
        printf("%s %.17g\n", sb_metrics[k]->key, m.value[k]);
        if (sb_metrics[k]->chance)
            printf("chance.%s %.17g\n", sb_metrics[k]->key, chance.value[k]);
    }
    free(features);
    free(facts);
    free(images);
    free(tile);
    return 0;
}
