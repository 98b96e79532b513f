/* classifier.h: the linear classifier of the probe. */
#ifndef SB_EVALUATOR_CLASSIFIER_H
#define SB_EVALUATOR_CLASSIFIER_H

#include <stdint.h>

#include "kernels/device.h"

/* Multinomial logistic regression: weight[classes, width] that makes the mean over the rows of
 * -log softmax(x weight')[label] + l2 / 2 |weight|^2 least, by L-BFGS from what it holds. x [rows, width]
 * ends with a column of ones, whose weights, the biases, are not in |weight|^2. label: below `classes`. */
typedef struct {
    sb_device *device;
    const float *x;
    const uint32_t *label;
    int rows, width, classes;
} sb_classified;
int sb_classifier_fit(const sb_classified *set, double l2, float *weight);
/* scores[rows, classes] of each class; labels are not read. */
int sb_classifier_score(const sb_classified *set, const float *weight, float *scores);
/* log sum exp of a row of scores. */
double sb_classifier_log_sum(const float *scores, int classes);

#endif
