/* beside.c: see beside.h. */
#include "tests/bench/beside.h"

#include <math.h>
#include <stdio.h>

#define NEAR 1.25 /* a share that is off by more is to be corrected */

static int rows, as_modelled, gathered;

static struct {
    int calls;
    double logs, least, most; /* logs: of the shares, added up */
} reached[SB_KINDS][SB_SHARES];

void sb_beside_head(void)
{
    printf("%-80s %12s %12s %12s %8s %s\n", "operation: shape", "bound, us", "model, us", "measured, us",
           "ratio", "to the model");
}

void sb_beside_row(const char *name, double bound, double model, double measured)
{
    const double ratio = measured / model;
    const bool slower = ratio > SB_MODEL_FACTOR, faster = ratio < 1 / SB_MODEL_FACTOR;
    rows++;
    as_modelled += !slower && !faster;
    printf("%-80s %12.3f %12.3f %12.3f %8.3g %s\n", name, 1e6 * bound, 1e6 * model, 1e6 * measured, ratio,
           slower   ? "SLOWER"
           : faster ? "FASTER"
                    : "within");
}

void sb_beside_call(const char *name, const sb_peak *gpu, const sb_work *w, double measured)
{
    const sb_share share = sb_work_share(gpu, w);
    const double part = sb_work_reached(gpu, w, measured);
    sb_beside_row(name, sb_work_bound(gpu, w), sb_work_seconds(gpu, w), measured);
    if (part <= 0)
        return;
    if (reached[w->kind][share].calls == 0 || part < reached[w->kind][share].least)
        reached[w->kind][share].least = part;
    if (part > reached[w->kind][share].most)
        reached[w->kind][share].most = part;
    reached[w->kind][share].logs += log(part);
    reached[w->kind][share].calls++;
    gathered++;
}

void sb_beside_end(void)
{
    static const char *const names[] = { "of the bandwidth", "of the peak, f32", "of the peak, half" };
    printf("%d of %d within a factor of %g of the model\n", as_modelled, rows, SB_MODEL_FACTOR);
    if (gathered)
        printf("%-24s %-20s %8s %8s %8s %8s %6s\n", "kind of kernel", "share", "assumed", "reached", "least",
               "most", "calls");
    for (int k = 0; k < SB_KINDS; k++)
        for (int s = 0; s < SB_SHARES; s++) {
            const int calls = reached[k][s].calls;
            const double assumed = sb_assumed_share((sb_kind)k, (sb_share)s),
                         mean = exp(reached[k][s].logs / (calls > 0 ? calls : 1));
            if (calls > 0)
                printf("%-24s %-20s %8.2f %8.3g %8.3g %8.3g %6d %s\n", sb_assumed[k].name, names[s], assumed,
                       mean, reached[k][s].least, reached[k][s].most, calls,
                       mean > NEAR * assumed || assumed > NEAR * mean ? "to be corrected" : "kept");
        }
}
