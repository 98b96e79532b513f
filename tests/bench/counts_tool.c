/* counts_tool.c: what a training step of each recipe asks of a GPU, counted (counts.h), and the least time that published figures leave for it.
 *
 *     counts_tool RECIPE...      Markdown, for f32 and bf16
 *
 * The bound of an operation is the longer of bytes / bandwidth and operations / peak. These are predictions of what cannot be beaten, not
 * measurements. */
#include <stdio.h>

#include "proto/error.h"
#include "tests/bench/counts.h"

/* Published: NVIDIA's Ada whitepaper (RTX 4090; bf16 with f32 accumulation, dense), its data sheets (RTX 4060 laptop at its highest boost clock;
 * H100 SXM, dense). */
static const sb_peak gpus[] = { { "RTX 4060 laptop", 256e9, 14.6e12, 29.1e12 },
                                { "RTX 4090", 1008e9, 82.6e12, 165.2e12 },
                                { "H100 SXM", 3350e9, 66.9e12, 989e12 } };
#define GPUS ((int)(sizeof gpus / sizeof *gpus))

static int recipe(const char *path, const char *precision)
{
    sb_config c;
    sb_config_defaults(&c);
    char text[64];
    sb_counts n;
    snprintf(text, sizeof text, "trainer.precision=%s", precision);
    if (sb_config_read(&c, path) != 0 || sb_config_set(&c, "data.path=none") != 0 || sb_config_set(&c, text) != 0 ||
        sb_config_finish(&c) != 0 || sb_counts_step(&c, gpus, GPUS, &n) != 0)
        return -1;
    double mib = 1024.0 * 1024.0;
    printf("\n### %s, %s: a step of %d samples, %d chunk%s\n\n", path, precision, c.trainer.batch, n.budget.chunks, n.budget.chunks == 1 ? "" : "s");
    printf("Memory %.0f MiB; up %.1f MB, down %.2f MB in %ld transfers (without the tiles and views of augment: %.1f MB up, %.1f MB down).\n\n",
           (double)(n.budget.weights + n.budget.packed + n.budget.activations + n.budget.batch) / mib, n.uploaded / 1e6, n.downloaded / 1e6,
           n.uploads + n.downloads, n.tiles / 1e6, n.views / 1e6);
    printf("| operation | calls | launches | MB | GFLOP |");
    for (int g = 0; g < GPUS; g++)
        printf(" %s, ms |", gpus[g].name);
    printf("\n|---|---|---|---|---|---|---|---|\n");
    sb_tally all = { 0 };
    for (int k = 0; k < SB_COUNT_KINDS; k++) {
        const sb_tally *t = &n.of[k];
        if (t->calls == 0)
            continue;
        printf("| %s | %ld | %ld | %.1f | %.2f |", sb_count_names[k], t->calls, sb_launches_sum(&t->launches), t->bytes / 1e6, t->operations / 1e9);
        for (int g = 0; g < GPUS; g++)
            printf(" %.3f |", 1e3 * t->bound[g]);
        printf("\n");
        sb_tally_add(&all, t);
    }
    printf("| **all** | %ld | %ld | %.1f | %.2f |", all.calls, sb_launches_sum(&all.launches), all.bytes / 1e6, all.operations / 1e9);
    for (int g = 0; g < GPUS; g++)
        printf(" **%.3f** |", 1e3 * all.bound[g]);
    printf("\n| images/s at most | | | | |");
    for (int g = 0; g < GPUS; g++)
        printf(" %.0f |", c.trainer.batch / all.bound[g]);
    printf("\n");
    return 0;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (recipe(argv[i], "f32") != 0 || recipe(argv[i], "bf16") != 0) {
            fprintf(stderr, "%s: %s\n", argv[i], sb_error());
            return 1;
        }
    return argc < 2;
}
