/* statistics.c: see statistics.h. */
#include "sweep/statistics.h"

#include <math.h>

/* The probability that |T| <= sqrt(freedom) tan(angle). */
static double probability(double angle, int freedom)
{
    const double c = cos(angle), s = sin(angle);
    const int odd = freedom % 2;
    double term = odd ? c : 1, sum = freedom > 1 ? term : 0;
    for (int k = odd ? 3 : 2; k <= freedom - 2; k += 2) {
        term *= c * c * (k - 1) / k;
        sum += term;
    }
    return odd ? 2 / M_PI * (angle + s * sum) : s * sum;
}

double sb_student(double share, int freedom)
{
    double low = 0, high = M_PI / 2;
    for (int i = 0; i < 200 && low < high; i++) {
        double middle = low + (high - low) / 2;
        if (middle <= low || middle >= high)
            break;
        if (probability(middle, freedom) < share)
            low = middle;
        else
            high = middle;
    }
    return sqrt(freedom) * tan(low);
}

sb_interval sb_interval_of(const double *values, int count)
{
    double sum = 0, squares = 0;
    for (int i = 0; i < count; i++)
        sum += values[i];
    const double mean = count > 0 ? sum / count : NAN;
    for (int i = 0; i < count; i++)
        squares += (values[i] - mean) * (values[i] - mean);
    return (sb_interval){ .mean = mean,
                          .half = count < 2
                                      ? -1
                                      : sb_student(0.95, count - 1) * sqrt(squares / (count - 1) / count),
                          .count = count };
}
