/* counts_tool.c: what training steps should take on GPUs, as Markdown: the least time that published figures
 * leave for what is counted (counts.h), and the time that a model gives (model.h), whose assumptions come
 * last. These are predictions, and no measurements.
 *
 *     counts_tool                the steps of sb_counts_cases, each as it fits into the card
 *     counts_tool RECIPE...      recipes operation by operation */
#include <stdio.h>

#include "proto/error.h"
#include "tests/bench/counts.h"
#include "trainer/planner.h"

/* Published: NVIDIA's Ada whitepaper (RTX 4090; bf16 with f32 accumulation, dense), its data sheets (RTX 4060
 * laptop at its highest boost clock; H100 SXM, dense). PCIe: 4.0 with 8 and 16 lanes, 5.0 with 16. */
static const sb_peak gpus[] = { { "RTX 4060 laptop", 256e9, 14.6e12, 29.1e12, 15.75e9 },
                                { "RTX 4090", 1008e9, 82.6e12, 165.2e12, 31.5e9 },
                                { "H100 SXM", 3350e9, 66.9e12, 989e12, 63e9 } };
static const size_t memories[] = { (size_t)8 << 30, (size_t)24 << 30, (size_t)80 << 30 };
#define GPUS ((int)(sizeof gpus / sizeof *gpus))
#define WORKSPACE ((size_t)1 << 30) /* what cuDNN's plans may take beside what is counted */
#define ROW_LEAST 1e5               /* bytes: what moves less has no row of its own */

static const char *const precisions[] = { "f32", "bf16" };

/* ---- steps --------------------------------------------------------------------------------------------- */

static int cell(const sb_counts_case *of, const char *precision, int g)
{
    static const char *const again[] = { "", ", norms again", ", wide again", ", blocks again" };
    sb_settings c;
    sb_counts n;
    sb_device *paper = sb_counts_paper(sb_planner_card(memories[g]) - WORKSPACE);
    if (sb_counts_case_settings(&c, paper, of, precision, NULL, 0) != 0 ||
        sb_counts_step(&c, gpus, GPUS, &n) != 0)
        return -1;
    const double bound = sb_counts_sum(&n).bound[g], model = sb_counts_seconds(&n, gpus, g),
                 views = n.forward[SB_OP_VIEW].model[g];
    printf(" %.0f / %.0f ms, %.0f images/s", 1e3 * bound, 1e3 * model, c.trainer.batch / (model + views));
    if (n.chunks > 1 || c.trainer.recompute != SB_RECOMPUTE_NONE)
        printf(" (%d views%s)", c.trainer.chunk, again[c.trainer.recompute]);
    printf(" |");
    return 0;
}

static int steps(void)
{
    printf("| step: at least / as modelled (chunk, what is made again) |");
    for (int g = 0; g < GPUS; g++)
        printf(" %s |", gpus[g].name);
    printf("\n|---|---|---|---|\n");
    for (int k = 0; k < sb_counts_case_count; k++)
        for (int p = 0; p < 2; p++) {
            printf("| %s, %s, batch %d |", sb_counts_cases[k].name, precisions[p], sb_counts_cases[k].batch);
            for (int g = 0; g < GPUS; g++)
                if (cell(&sb_counts_cases[k], precisions[p], g) != 0)
                    return -1;
            printf("\n");
        }
    return 0;
}

/* ---- recipes ------------------------------------------------------------------------------------------- */

static void row(const char *name, const sb_tally *t)
{
    if (t->bytes < ROW_LEAST)
        return;
    printf("| %s | %ld | %.1f | %.2f |", name, t->calls, t->bytes / 1e6, t->operations / 1e9);
    for (int g = 0; g < GPUS; g++)
        printf(" %.3f / %.3f |", 1e3 * t->bound[g], 1e3 * t->model[g]);
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
    printf("| step | | | |");
    for (int g = 0; g < GPUS; g++)
        printf(" %.3f / %.3f |", 1e3 * all.bound[g], 1e3 * sb_counts_seconds(&n, gpus, g));
    printf("\n");
    return 0;
}

int main(int argc, char **argv)
{
    int rc = argc > 1 ? 0 : steps();
    for (int i = 1; rc == 0 && i < argc; i++)
        for (int p = 0; rc == 0 && p < 2; p++)
            if (recipe(argv[i], precisions[p]) != 0)
                rc = sb_context("%s", argv[i]);
    if (rc != 0)
        fprintf(stderr, "%s\n", sb_error());
    printf("\n");
    sb_model_print();
    return rc != 0;
}
