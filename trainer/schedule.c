/* schedule.c: see schedule.h. */
#include "trainer/schedule.h"

#include <math.h>

double sb_schedule_lr(const sb_optimiser_keys *o, const sb_trainer_keys *t, int64_t number)
{
    double batch = t->batch, peak = o->lr;
    if (o->scaling == SB_SCALING_LINEAR)
        peak *= batch / 256;
    else if (o->scaling == SB_SCALING_SQRT)
        peak *= sqrt(batch);
    int64_t warm = llround(o->warmup * (double)t->steps);
    if (number < warm)
        return peak * (double)(number + 1) / (double)warm;
    int64_t rest = t->steps - 1 - warm;
    double done = rest > 0 ? (double)(number - warm) / (double)rest : 1;
    return peak * (o->final_lr + (1 - o->final_lr) * 0.5 * (1 + cos(M_PI * fmin(done, 1))));
}
