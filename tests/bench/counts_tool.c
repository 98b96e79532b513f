/* counts_tool.c: what a training step of each recipe asks of a GPU, counted (counts.h), and the least time
 * that published figures leave for it.
 *
 *     counts_tool RECIPE...      Markdown, for f32 and bf16
 *
 * The bound of an operation is the longer of bytes / bandwidth and operations / peak. These are predictions
 * of what cannot be beaten, not measurements. */
#include <stdio.h>

#include "proto/error.h"
#include "tests/bench/counts.h"

/* Published: NVIDIA's Ada whitepaper (RTX 4090; bf16 with f32 accumulation, dense), its data sheets (RTX 4060
 * laptop at its highest boost clock; H100 SXM, dense). */
static const sb_peak gpus[] = { { "RTX 4060 laptop", 256e9, 14.6e12, 29.1e12 },
                                { "RTX 4090", 1008e9, 82.6e12, 165.2e12 },
                                { "H100 SXM", 3350e9, 66.9e12, 989e12 } };
#define GPUS ((int)(sizeof gpus / sizeof *gpus))
#define ROW_LEAST 1e5 /* bytes: what moves less has no row of its own */

static void row(const char *name, const sb_tally *t)
{
    if (t->bytes < ROW_LEAST)
        return;
    printf("| %s | %ld | %.1f | %.2f |", name, t->calls, t->bytes / 1e6, t->operations / 1e9);
    for (int g = 0; g < GPUS; g++)
        printf(" %.3f |", 1e3 * t->bound[g]);
    printf("\n");
}

static int recipe(const char *path, const char *precision)
{
    sb_settings c;
    char text[64];
    sb_counts n;
    snprintf(text, sizeof text, "trainer.precision=%s", precision);
    const char *const assignments[] = { "data.path=none", text };
    if (sb_settings_of(&c, path, assignments, 2) != 0 || sb_counts_step(&c, gpus, GPUS, &n) != 0)
        return -1;
    printf("\n### %s, %s: a step of %d samples, %d chunk%s\n\n", path, precision, c.trainer.batch, n.chunks,
           sb_plural((uint64_t)n.chunks));
    printf("Memory %.0f MiB without workspaces; %.1f MB of pixels come up (without the tiles and views of "
           "augment: %.1f MB up, %.1f MB down).\n\n",
           n.memory / 1048576, n.pixels / 1e6, n.tiles / 1e6, n.views / 1e6);
    printf("| operation | calls | MB | GFLOP |");
    for (int g = 0; g < GPUS; g++)
        printf(" %s, ms |", gpus[g].name);
    printf("\n|---|---|---|---|---|---|---|\n");
    for (int op = 0; op < SB_OPS; op++)
        row(sb_ops[op]->name, &n.forward[op]);
    for (int op = 0; op < SB_OPS; op++) {
        char name[64];
        snprintf(name, sizeof name, "%s, back", sb_ops[op]->name);
        row(name, &n.backward[op]);
    }
    row("packing weights", &n.pack);
    row("rows of features", &n.rows);
    const sb_tally all = sb_counts_sum(&n);
    row("**all but views**", &all);
    printf("| images/s at most | | | |");
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
