/* classifier.c: multinomial logistic regression by L-BFGS (liblbfgs). See classifier.h.
 *
 * Products of matrices are the device's, in f32; sums over classes and rows, and the search itself, are in
 * double. Limits: a search that comes no further for f32's rounding is at its end, and no error. */
#include <lbfgs.h>
#include <math.h>
#include <stdlib.h>

#include "evaluator/metrics/classifier.h"
#include "kernels/op/product.h"
#include "proto/error.h"
#include "proto/memory.h"

#define ITERATIONS 500
#define PRECISE 1e-5 /* length of the gradient, as a share of the weights' (at least 1), at the end */

typedef struct {
    const sb_classified *set;
    double l2;
    float *weight, *gradient, *scores; /* [classes, width] twice, [rows, classes] */
    int failed;
} search;

int sb_classifier_score(const sb_classified *s, const float *weight, float *scores)
{
    const sb_product_how how = { .form = SB_PRODUCT_COLUMNS, .scale = 1 };
    const sb_call call = { .how = &how,
                           .xs = { { s->rows, 1, 1, s->width, SB_F32 },
                                   { s->classes, 1, 1, s->width, SB_F32 } },
                           .ys = { s->rows, 1, 1, s->classes, SB_F32 },
                           .x = { s->x, weight },
                           .y = scores };
    return sb_forward(s->device, SB_OP_PRODUCT, &call);
}

double sb_classifier_log_sum(const float *scores, int classes)
{
    double most = scores[0];
    for (int k = 1; k < classes; k++)
        most = scores[k] > most ? scores[k] : most;
    double sum = exp(scores[0] - most);
    for (int k = 1; k < classes; k++)
        sum += exp(scores[k] - most);
    return most + log(sum);
}

/* From scores to the loss, and in their place its gradient at them. */
static double soften(const sb_classified *s, float *scores)
{
    double loss = 0;
    for (int i = 0; i < s->rows; i++) {
        float *row = scores + (size_t)i * (size_t)s->classes;
        const double all = sb_classifier_log_sum(row, s->classes);
        loss += all - row[s->label[i]];
        for (int k = 0; k < s->classes; k++)
            row[k] = (float)((exp(row[k] - all) - (k == (int)s->label[i])) / s->rows);
    }
    return loss / s->rows;
}

static lbfgsfloatval_t evaluate(void *context, const lbfgsfloatval_t *x, lbfgsfloatval_t *g, const int n,
                                const lbfgsfloatval_t step)
{
    (void)step;
    search *s = context;
    const sb_classified *set = s->set;
    const sb_product_how how = { .form = SB_PRODUCT_ROWS, .scale = 1 };
    const sb_call call = { .how = &how,
                           .xs = { { set->rows, 1, 1, set->classes, SB_F32 },
                                   { set->rows, 1, 1, set->width, SB_F32 } },
                           .ys = { set->classes, 1, 1, set->width, SB_F32 },
                           .x = { s->scores, set->x },
                           .y = s->gradient };
    for (int i = 0; i < n; i++)
        s->weight[i] = (float)x[i];
    if (sb_classifier_score(set, s->weight, s->scores) != 0)
        s->failed = -1;
    double loss = soften(set, s->scores);
    if (sb_forward(set->device, SB_OP_PRODUCT, &call) != 0)
        s->failed = -1;
    for (int i = 0; i < n; i++) {
        const bool bias = i % set->width == set->width - 1;
        g[i] = s->gradient[i] + (bias ? 0 : s->l2 * x[i]);
        loss += bias ? 0 : s->l2 / 2 * x[i] * x[i];
    }
    return loss;
}

/* What ends a search without an error of it: it has arrived, or comes no further. */
static bool is_end(int status)
{
    return status >= 0 || status == LBFGSERR_ROUNDING_ERROR || status == LBFGSERR_MINIMUMSTEP ||
           status == LBFGSERR_MAXIMUMSTEP || status == LBFGSERR_MAXIMUMLINESEARCH ||
           status == LBFGSERR_MAXIMUMITERATION || status == LBFGSERR_WIDTHTOOSMALL ||
           status == LBFGSERR_INCREASEGRADIENT;
}

int sb_classifier_fit(const sb_classified *set, double l2, float *weight)
{
    const size_t weights = (size_t)set->classes * (size_t)set->width;
    search s = { .set = set, .l2 = l2, .weight = weight };
    s.gradient = sb_zeroed(weights, sizeof *s.gradient, "a classifier's gradient");
    s.scores = sb_zeroed((size_t)set->rows * (size_t)set->classes, sizeof *s.scores, "a classifier's scores");
    lbfgsfloatval_t *x = lbfgs_malloc((int)weights);
    int rc = -1;
    if (s.gradient && s.scores && x) {
        lbfgs_parameter_t how;
        lbfgs_parameter_init(&how);
        how.epsilon = PRECISE;
        how.max_iterations = ITERATIONS;
        for (size_t i = 0; i < weights; i++)
            x[i] = weight[i];
        const int status = lbfgs((int)weights, x, NULL, evaluate, NULL, &s, &how);
        rc = s.failed;
        if (rc == 0 && !is_end(status))
            rc = sb_fail("the classifier's search ended with %d", status);
        for (size_t i = 0; i < weights; i++)
            weight[i] = (float)x[i];
    } else if (!x) {
        sb_fail("no memory for a classifier's %zu weights", weights);
    }
    free(s.gradient);
    free(s.scores);
    lbfgs_free(x);
    return rc;
}
