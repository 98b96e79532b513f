/* Arguments: tiles, distorted views of each, width; labelled tiles of the training part; tiles whose places
 * are there, places of each, their width. Standard input: f32 features [tiles, width], [tiles * views,
 * width], [training tiles, width], [tiles, places, their width], then u32 labels and groups of the tiles, and
 * of the training part's. Prints every measure by name. For tests/oracle/metrics.py. */
#include <stdio.h>
#include <stdlib.h>

#include "evaluator/measure.h"
#include "proto/error.h"

int main(int argc, char **argv)
{
    int number[7];
    if (argc != 8)
        return 2;
    for (int i = 0; i < 7; i++)
        number[i] = atoi(argv[1 + i]);
    const int tiles = number[0], views = number[1], width = number[2], learnt = number[3];
    const size_t clean = (size_t)tiles * (size_t)width, all = clean * (size_t)(1 + views),
                 labelled = (size_t)learnt * (size_t)width,
                 places = (size_t)number[4] * (size_t)number[5] * (size_t)number[6], held = (size_t)tiles,
                 facts_count = 2 * (held + (size_t)learnt);
    float *features = malloc((all + labelled + places) * sizeof *features);
    uint32_t *facts = malloc(facts_count * sizeof *facts);
    sb_image *images = calloc(held + (size_t)learnt, sizeof *images);
    sb_tile *tile = calloc(held + (size_t)learnt, sizeof *tile);
    sb_device *device = NULL;
    if (!features || !facts || !images || !tile ||
        fread(features, sizeof *features, all + labelled + places, stdin) != all + labelled + places ||
        fread(facts, sizeof *facts, facts_count, stdin) != facts_count || sb_device_cpu(&device, 1) != 0)
        exit(1);
    for (size_t t = 0; t < held + (size_t)learnt; t++) {
        const size_t at = t < held ? t : t + held;
        tile[t].image = (uint32_t)t;
        images[t].label = facts[at];
        images[t].group = facts[at + (t < held ? held : (size_t)learnt)];
    }
    sb_gallery gallery = {
        .tiles = tiles, .distorted = views, .tile = tile, .learnt = learnt, .learnt_tile = tile + held
    };
    sb_index index = { .images = images, .count = (uint32_t)(tiles + learnt) };
    sb_encoded encoded = { .clean = features,
                           .view = features + clean,
                           .learnt_view = features + all,
                           .width = width,
                           .places = { .tiles = number[4],
                                       .places = number[5],
                                       .width = number[6],
                                       .feature = features + all + labelled } };
    sb_measures m, chance;
    if (sb_measure(&encoded, device, &gallery, &index, &m) != 0 ||
        sb_measure_chance(&gallery, &index, &chance) != 0) {
        fprintf(stderr, "%s\n", sb_error());
        return 1;
    }
    for (int k = 0; k < SB_METRICS; k++) {
        printf("%s %.17g\n", sb_metrics[k]->key, m.value[k]);
        if (sb_metrics[k]->chance)
            printf("chance.%s %.17g\n", sb_metrics[k]->key, chance.value[k]);
    }
    sb_device_close(&device);
    free(features);
    free(facts);
    free(images);
    free(tile);
    return 0;
}
