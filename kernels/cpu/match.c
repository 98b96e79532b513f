/* match.c: the most similar places on the CPU. The products are oneDNN's, a band at a time. */
#include "kernels/op/match.h"

#include <math.h>
#include <string.h>

#include "kernels/cpu/cpu.h"

static size_t scratch(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_match s = sb_match_of(call);
    return sb_match_bytes(&s);
}

static int largest(const float *products, int count)
{
    float most = -INFINITY;
    int at = 0;
    for (int j = 0; j < count; j++)
        if (products[j] > most) {
            most = products[j];
            at = j;
        }
    return at;
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_match s = sb_match_of(call);
    const size_t columns = (size_t)s.columns, out = (size_t)s.out, others = (size_t)s.others;
    float *products = call->scratch;
    for (size_t n = 0; n < (size_t)s.images; n++) {
        const float *b = (const float *)call->x[1] + n * others * columns,
                    *v = (const float *)call->x[2] + n * others * out;
        for (int first = 0; first < s.places; first += s.band) {
            const int count = s.places - first < s.band ? s.places - first : s.band;
            const size_t row = n * (size_t)s.places + (size_t)first;
            const float *a = (const float *)call->x[0] + row * columns;
            float *y = (float *)call->y + row * out;
            if (sb_cpu_sgemm(false, true, count, s.others, s.columns, 1, a, b, 0, products) != 0)
                return -1;
#pragma omp parallel for schedule(static)
            for (int r = 0; r < count; r++)
                memcpy(y + (size_t)r * out,
                       v + (size_t)largest(products + (size_t)r * others, s.others) * out, out * sizeof *y);
        }
    }
    return 0;
}

const sb_kernel sb_cpu_match = { .scratch = scratch, .forward = forward };
