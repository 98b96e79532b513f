/* places.c: see places.h. */
#include "tests/kernels/places.h"

#define IMAGES 3
#define EDGE 8 /* of where squares begin */

enum { IMAGE, LEFT, TOP, SIDE, NUMBERS };

void sb_fill_crowd(sb_trial *t, double *places, int samples)
{
    for (int i = 0; i < samples; i++) {
        double *p = places + (size_t)i * NUMBERS;
        p[IMAGE] = sb_random_below(&t->random, IMAGES);
        p[LEFT] = sb_random_below(&t->random, EDGE) + (p[IMAGE] == 0 ? 0x1p31 - EDGE : 0);
        p[TOP] = sb_random_below(&t->random, EDGE);
        p[SIDE] = 1 + sb_random_below(&t->random, EDGE / 2);
    }
}

void sb_fill_beside_first(double *places, int samples)
{
    for (int i = 0; i < samples; i++) {
        double *p = places + (size_t)i * NUMBERS;
        p[IMAGE] = 5;
        p[LEFT] = i;
        p[TOP] = i % 2;
        p[SIDE] = i == 0 ? samples : 1;
    }
}

static bool along(const double *a, const double *b, int from)
{
    for (int i = 0; i < (int)a[SIDE]; i++)
        if (a[from] + i >= b[from] && a[from] + i < b[from] + b[SIDE])
            return true;
    return false;
}

bool sb_places_meet(const double *places, size_t a, size_t b)
{
    const double *p = places + a * NUMBERS, *q = places + b * NUMBERS;
    return p[IMAGE] == q[IMAGE] && along(p, q, LEFT) && along(p, q, TOP);
}
