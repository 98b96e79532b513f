/* statistics.h: what a few seeds say: their mean, and Student's t interval around it. */
#ifndef SB_SWEEP_STATISTICS_H
#define SB_SWEEP_STATISTICS_H

/* The t that a Student variable of `freedom` >= 1 degrees of freedom exceeds in magnitude with probability 1
 * - `share`, 0 < share < 1: the factor of a two-sided interval. Of the finite sums of Abramowitz and Stegun
 * (1964), 26.7.3 and 26.7.4. */
double sb_student(double share, int freedom);

/* half: half the width of the 95 % interval of the mean, if the values are a sample of normal ones; negative
 * where fewer than two values leave none. */
typedef struct {
    double mean, half;
    int count;
} sb_interval;
sb_interval sb_interval_of(const double *values, int count);

#endif
