/* schedule.c: see schedule.h. */
#include "trainer/schedule.h"

#include <math.h>

double sb_schedule_lr(const sb_config *c, int64_t number)
{
    double batch = c->trainer.batch, peak = c->optimiser.lr;
    if (c->optimiser.scaling == SB_SCALING_LINEAR)
        peak *= batch / 256;
    else if (c->optimiser.scaling == SB_SCALING_SQRT)
        peak *= sqrt(batch);
    int64_t warm = llround(c->optimiser.warmup * (double)c->trainer.steps);
    if (number < warm)
        return peak * (double)(number + 1) / (double)warm;
    int64_t rest = c->trainer.steps - 1 - warm;
    double done = rest > 0 ? (double)(number - warm) / (double)rest : 1;
    return peak *
           (c->optimiser.final_lr + (1 - c->optimiser.final_lr) * 0.5 * (1 + cos(M_PI * fmin(done, 1))));
}
