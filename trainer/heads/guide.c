/* guide.c: see guide.h. */
#include "trainer/heads/guide.h"

#include <math.h>
#include <stdio.h>

#include "trainer/graph/build.h"

double sb_guide_lambda(int64_t step, int64_t steps)
{
    const int64_t warmup = steps / 10 < 1000 ? steps / 10 : 1000;
    return step < warmup ? 0 : 2 / (1 + exp(-10 * (double)(step - warmup) / (double)(steps - warmup))) - 1;
}

/* h, whose gradient is multiplied: what is added is 0 to the last bit. */
static sb_t scale_gradient(sb_graph *g, sb_t h, sb_t lambda, float sign)
{
    sb_t zero = sb_combine(g, sb_times(g, h, lambda), sb_times(g, sb_stop(h), lambda), .alpha = 1,
                           .beta = -1);
    return sb_combine(g, sb_stop(h), zero, .alpha = 1, .beta = sign);
}

static sb_t layers(sb_graph *g, sb_t x, const char *name, const int *widths, int count)
{
    sb_scope(g, "%s", name);
    for (int i = 0; i < count; i++) {
        char linear[16];
        snprintf(linear, sizeof linear, "%d", 2 * i); /* linear and ReLU take a number each */
        x = sb_linear(g, x, linear, .out = widths[i], .bias = true);
        if (i < count - 1)
            x = sb_map(g, x, SB_MAP_RELU);
    }
    return sb_leave(g, x);
}

sb_t sb_guide_error(sb_graph *g, sb_t output, sb_t said, sb_t target, const sb_guide_how *how)
{
    const int rows = sb_shape_of(g, output).n; /* views times samples: the same for each view */
    target = sb_rows(g, target, .first = 0, .count = rows);
    sb_t wrong = how->classes > 0 ? sb_cross_entropy(g, output, target, .temperature = 1)
                                  : sb_row_distance(g, output, target);
    return sb_mean(g, sb_times(g, wrong, sb_rows(g, said, .first = 0, .count = rows)));
}

sb_t sb_guide(sb_graph *g, sb_t h, sb_t lambda, sb_t said, sb_t target, const char *name,
              const sb_guide_how *how)
{
    const int widths[] = { 512, 512, 256, how->classes }, of_number[] = { 256, 128, 1 };
    sb_t x = scale_gradient(g, h, lambda, how->weight < 0 ? -1 : 1);
    x = how->classes > 0 ? layers(g, x, name, widths, 4) : layers(g, x, name, of_number, 3);
    return sb_guide_error(g, x, said, target, how);
}
