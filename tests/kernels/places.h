/* places.h: places of samples (kernels/share/overlap.h) for the cases of operations over pairs of them, and
 * which of them overlap, by their pixels. */
#ifndef SB_TESTS_KERNELS_PLACES_H
#define SB_TESTS_KERNELS_PLACES_H

#include "tests/kernels/op_cases.h"

/* Small squares in a few images: some overlap, some touch. Those of one image end beyond INT32_MAX. */
void sb_fill_crowd(sb_trial *trial, double *places, int samples);

/* All of one image: the first overlaps every other, and no two others overlap. */
void sb_fill_beside_first(double *places, int samples);

/* Whether two of these places have a pixel in common. */
bool sb_places_meet(const double *places, size_t a, size_t b);

#endif
