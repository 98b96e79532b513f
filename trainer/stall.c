/* stall.c: see stall.h. */
#include "trainer/stall.h"

#include <math.h>

static void add(sb_stall_mean *m, double value)
{
    const double distance = value - m->mean;
    m->count++;
    m->mean += distance / (double)m->count;
    m->squares += distance * (value - m->mean);
}

static double error(const sb_stall_mean *m)
{
    return m->count > 1 ? m->squares / (double)(m->count - 1) / (double)m->count : 0;
}

static bool is_same(const sb_stall_mean *a, const sb_stall_mean *b)
{
    return a->count > 0 && b->count > 0 &&
           fabs(a->mean - b->mean) <= SB_STALL_ERRORS * sqrt(error(a) + error(b));
}

sb_stall_found sb_stall_look(sb_stall *s, int64_t step, int64_t steps, double loss, double gradient)
{
    const int64_t twentieth = steps / 20, third = steps / 3,
                  first = twentieth > SB_STALL_FIRST ? twentieth : SB_STALL_FIRST,
                  end = third > SB_STALL_STEPS ? third : SB_STALL_STEPS;
    if (step <= first || (step > end - first && step <= end)) {
        add(step <= first ? &s->first.loss : &s->last.loss, loss);
        if (!isnan(gradient))
            add(step <= first ? &s->first.gradient : &s->last.gradient, gradient);
    }
    const bool known = s->first.gradient.count >= SB_STALL_FIRST / 2,
               still = isnan(gradient) || (known && gradient <= SB_STALL_GRADIENT * s->first.gradient.mean);
    s->still = still ? s->still + 1 : 0;
    if (s->still == SB_STALL_STILL)
        return SB_STALL_NO_GRADIENT;
    return step == end && is_same(&s->first.loss, &s->last.loss) &&
                   is_same(&s->first.gradient, &s->last.gradient)
               ? SB_STALL_NO_CHANGE
               : SB_STALL_NONE;
}
