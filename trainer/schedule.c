/* schedule.c: see schedule.h. */
#include "trainer/schedule.h"

#include <math.h>

double sb_schedule_peak(const sb_optimiser_keys *o, const sb_trainer_keys *t)
{
    const double batch = (double)t->batch * t->accumulate;
    switch (o->scaling) {
    case SB_SCALING_LINEAR: return o->lr * batch / 256;
    case SB_SCALING_SQRT: return o->lr * sqrt(batch);
    default: return o->lr;
    }
}

double sb_schedule_lr(const sb_optimiser_keys *o, const sb_trainer_keys *t, int64_t number)
{
    const double peak = sb_schedule_peak(o, t);
    int64_t warm = llround(o->warmup * (double)t->steps);
    if (number < warm)
        return peak * (double)(number + 1) / (double)warm;
    int64_t rest = t->steps - 1 - warm;
    double done = rest > 0 ? (double)(number - warm) / (double)rest : 1;
    return peak * (o->final_lr + (1 - o->final_lr) * 0.5 * (1 + cos(M_PI * fmin(done, 1))));
}

bool sb_schedule_heads_alone(const sb_continue_keys *c, int64_t number)
{
    return c->enabled && number < c->heads;
}

double sb_schedule_backbone(const sb_continue_keys *c, int64_t number)
{
    if (!c->enabled)
        return 1;
    if (sb_schedule_heads_alone(c, number))
        return 0;
    const int64_t after = number - c->heads + 1;
    return after < c->ramp ? c->lr * (double)after / (double)c->ramp : c->lr;
}
